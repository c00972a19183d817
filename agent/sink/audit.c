#include "agent/sink/audit.h"

#include "agent/sink/snapshot_doc.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

typedef struct {
    FILE *out;
    bool json;
    uint64_t count;
    uint64_t complete;
    uint64_t gaps;
} audit;

static void format_time(const snapshot_doc *d, char text[32])
{
    time_t seconds = (time_t)(d->verified_at_ms / 1000);
    struct tm tm;

    if (!d->verified || !gmtime_r(&seconds, &tm) ||
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        text[0] = '\0';
    }
}

/* A number that is not known yet is "-". */
static void cell(FILE *out, bool known, uint64_t value, int width)
{
    if (known) {
        fprintf(out, " %*" PRIu64, width, value);
    } else {
        fprintf(out, " %*s", width, "-");
    }
}

static bool is_gap(const snapshot_doc *d)
{
    return strcmp(d->state, "gap") == 0;
}

static void print_row(FILE *out, const snapshot_doc *d, const char *verified)
{
    fprintf(out, "%-26s %-10s", d->id, d->state);
    cell(out, d->has_ledger, d->entry.claim.records, 9);
    cell(out, d->verified, d->stored, 9);
    cell(out, d->verified, d->copies, 7);
    cell(out, d->has_ledger, d->entry.claim.rejects, 8);
    cell(out, d->verified && d->has_ledger, d->missing, 9);
    cell(out, is_gap(d), d->dropped, 8);
    fprintf(out, "  %s", verified[0] ? verified : "-");
    if (d->reason[0]) {
        fprintf(out, "  %s", d->reason);
    }
    fputc('\n', out);
}

static void append_if(bson_t *b, bool known, const char *name, uint64_t value)
{
    if (known) {
        bson_append_int64(b, name, -1, (int64_t)value);
    }
}

static void print_json(FILE *out, const snapshot_doc *d, const char *verified, bool first)
{
    bson_t b;

    bson_init(&b);
    BSON_APPEND_UTF8(&b, "snapshot", d->id);
    BSON_APPEND_UTF8(&b, "state", d->state);
    BSON_APPEND_UTF8(&b, "reason", d->reason);
    append_if(&b, d->has_ledger, "records", d->entry.claim.records);
    append_if(&b, d->verified, "stored", d->stored);
    append_if(&b, d->verified, "copies", d->copies);
    append_if(&b, d->has_ledger, "rejects", d->entry.claim.rejects);
    append_if(&b, d->verified, "rejects_stored", d->rejects_stored);
    append_if(&b, d->verified && d->has_ledger, "missing", d->missing);
    append_if(&b, is_gap(d), "dropped", d->dropped);
    if (is_gap(d)) {
        BSON_APPEND_UTF8(&b, "device", d->gap.device);
    }
    if (verified[0]) {
        BSON_APPEND_UTF8(&b, "verified_at", verified);
    }
    char *text = bson_as_relaxed_extended_json(&b, NULL);
    fprintf(out, "%s%s", first ? "\n  " : ",\n  ", text ? text : "null");
    bson_free(text);
    bson_destroy(&b);
}

static gv_status print_snapshot(void *arg, const char *id, gv_span bson)
{
    audit *a = arg;
    snapshot_doc d;
    char verified[32];

    if (!snapshot_doc_read(id, bson, &d)) {
        snprintf(d.id, sizeof d.id, "%s", id);
        snprintf(d.state, sizeof d.state, "damaged");
    }
    format_time(&d, verified);
    if (a->json) {
        print_json(a->out, &d, verified, a->count == 0);
    } else {
        print_row(a->out, &d, verified);
    }
    a->count++;
    a->complete += strcmp(d.state, "complete") == 0;
    a->gaps += is_gap(&d);
    return GV_OK;
}

gv_status audit_print(const store *s, FILE *out, bool json, bool *all_complete, gv_error *err)
{
    audit a = { out, json, 0, 0, 0 };

    if (json) {
        fputc('[', out);
    } else {
        fprintf(out, "%-26s %-10s %9s %9s %7s %8s %9s %8s  %s\n", "SNAPSHOT", "STATE", "RECORDS",
                "STORED", "COPIES", "REJECTS", "MISSING", "DROPPED", "VERIFIED");
    }
    gv_status status = s->snapshots(s->ctx, print_snapshot, &a, err);
    if (status != GV_OK) {
        fputc('\n', out);
    } else if (json) {
        fputs(a.count ? "\n]\n" : "]\n", out);
    } else {
        fprintf(out, "%" PRIu64 " snapshots, %" PRIu64 " complete, %" PRIu64 " with a gap\n",
                a.count, a.complete, a.gaps);
    }
    *all_complete = a.count == a.complete;
    return status;
}
