/* gavel spool ls: what is there, a line for each snapshot or each segment. */
#include "agent/cli/cli.h"
#include "agent/codec/avro_json.h"
#include "agent/tools/internal.h"
#include "agent/tools/print.h"

#include <inttypes.h>
#include <stdio.h>

/* Batches of a snapshot follow each other closely: only so many are being written at one time. Should
 * one come again after so many others, it gets another line. */
#define OPEN_SNAPSHOTS 256u

typedef struct {
    spool_snapshot snapshot;
    uint64_t first_seq;
    uint64_t batches, records, rejects, bytes;
    bool has_ledger, has_gap;
} snapshot_row;

typedef struct {
    char file[64];
    uint64_t first_seq, last_seq;
    uint64_t batches, records, bytes, acked, damaged;
} segment_row;

typedef struct {
    bool json, by_segment;
    uint64_t rows;
    snapshot_row open[OPEN_SNAPSHOTS]; /* a ring, oldest first */
    size_t begin, count;
    segment_row segment;
    uint64_t segments;
    int64_t oldest_ms, newest_ms;
} listing;

/* --- lines -------------------------------------------------------------------------------------- */

static void start_row(listing *l)
{
    if (l->json)
        fputs(l->rows ? ",\n  " : "\n  ", stdout);
    else if (l->rows == 0 && l->by_segment)
        printf("%-20s %10s %10s %8s %10s %12s %8s %8s\n", "segment", "first", "last", "batches",
               "records", "bytes", "acked", "damaged");
    else if (l->rows == 0)
        printf("%10s  %-28s %8s %10s %8s %12s  %s\n", "first", "snapshot", "batches", "records",
               "rejects", "bytes", "state");
    l->rows++;
}

static void print_snapshot(listing *l, const snapshot_row *r)
{
    const char *state = r->has_gap ? "gap" : r->has_ledger ? "complete" : "partial";
    char name[SNAPSHOT_TEXT_MAX];

    filter_format_snapshot(&r->snapshot, name);
    start_row(l);
    if (!l->json) {
        printf("%10" PRIu64 "  %-28s %8" PRIu64 " %10" PRIu64 " %8" PRIu64 " %12" PRIu64 "  %s\n",
               r->first_seq, name, r->batches, r->records, r->rejects, r->bytes, state);
        return;
    }
    printf("{\"first_seq\":%" PRIu64 ",\"snapshot\":", r->first_seq);
    print_json_string(name);
    printf(",\"batches\":%" PRIu64 ",\"records\":%" PRIu64 ",\"rejects\":%" PRIu64
           ",\"bytes\":%" PRIu64 ",\"state\":\"%s\"}",
           r->batches, r->records, r->rejects, r->bytes, state);
}

static void print_segment(listing *l)
{
    const segment_row *r = &l->segment;

    if (!l->by_segment || r->file[0] == '\0')
        return;
    start_row(l);
    if (!l->json) {
        printf("%-20s %10" PRIu64 " %10" PRIu64 " %8" PRIu64 " %10" PRIu64 " %12" PRIu64
               " %8" PRIu64 " %8" PRIu64 "\n",
               r->file, r->first_seq, r->last_seq, r->batches, r->records, r->bytes, r->acked,
               r->damaged);
        return;
    }
    fputs("{\"file\":", stdout);
    print_json_string(r->file);
    printf(",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 ",\"batches\":%" PRIu64
           ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"acked\":%" PRIu64
           ",\"damaged\":%" PRIu64 "}",
           r->first_seq, r->last_seq, r->batches, r->records, r->bytes, r->acked, r->damaged);
}

/* --- collecting --------------------------------------------------------------------------------- */

static snapshot_row *row_for(listing *l, const spool_item *item)
{
    for (size_t i = l->count; i > 0; i--) {
        snapshot_row *r = &l->open[(l->begin + i - 1) % OPEN_SNAPSHOTS];
        if (spool_snapshot_equal(&r->snapshot, &item->header.meta.snapshot))
            return r;
    }
    if (l->count == OPEN_SNAPSHOTS) {
        print_snapshot(l, &l->open[l->begin]);
        l->begin = (l->begin + 1) % OPEN_SNAPSHOTS;
        l->count--;
    }
    snapshot_row *r = &l->open[(l->begin + l->count++) % OPEN_SNAPSHOTS];
    *r = (snapshot_row){ .snapshot = item->header.meta.snapshot, .first_seq = item->first_seq };
    return r;
}

static void take_batch(listing *l, const spool_item *item)
{
    const spool_meta *meta = &item->header.meta;
    int64_t time_ms = meta->snapshot.time_ms;

    if (l->oldest_ms == 0 || time_ms < l->oldest_ms)
        l->oldest_ms = time_ms;
    if (time_ms > l->newest_ms)
        l->newest_ms = time_ms;
    if (l->by_segment)
        return;
    snapshot_row *r = row_for(l, item);
    r->batches++;
    r->bytes += item->bytes;
    r->records += meta->kind == SPOOL_AUCTIONS ? meta->records : 0;
    r->rejects += meta->kind == SPOOL_REJECTS ? meta->records : 0;
    r->has_ledger = r->has_ledger || meta->kind == SPOOL_LEDGER;
    r->has_gap = r->has_gap || meta->kind == SPOOL_GAP;
}

static void take_segment(listing *l, const spool_item *item)
{
    segment_row *r = &l->segment;

    if (item->file[0] == '\0')
        return;
    if (strncmp(r->file, item->file, sizeof r->file - 1) != 0) {
        print_segment(l);
        *r = (segment_row){ .first_seq = 0 };
        snprintf(r->file, sizeof r->file, "%s", item->file);
        l->segments++;
    }
    r->bytes += item->bytes;
    r->damaged += item->kind == SPOOL_ITEM_DAMAGE;
    if (item->kind != SPOOL_ITEM_BATCH)
        return;
    r->first_seq = r->batches ? r->first_seq : item->first_seq;
    r->last_seq = item->last_seq;
    r->batches++;
    r->records += item->header.meta.records;
    r->acked += item->acked;
}

/* --- totals ------------------------------------------------------------------------------------- */

static void print_totals(const listing *l, const scan *s)
{
    const scan_counts *c = &s->counts;
    char oldest[FILTER_TIME_MAX], newest[FILTER_TIME_MAX];
    uint64_t aside, aside_bytes;

    filter_format_time(l->oldest_ms, oldest);
    filter_format_time(l->newest_ms, newest);
    tools_quarantine_sum(&s->fs, s->dir, &aside, &aside_bytes);
    if (l->json) {
        printf("%s],\n \"batches\":%" PRIu64 ",\"records\":%" PRIu64 ",\"acked_batches\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"segment_files\":%" PRIu64 ",\n \"damaged\":%" PRIu64
               ",\"foreign\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"strangers\":%" PRIu64
               ",\"quarantine_files\":%" PRIu64 ",\"quarantine_bytes\":%" PRIu64
               ",\n \"oldest\":\"%s\",\"newest\":\"%s\"}\n",
               l->rows ? "\n " : "", c->batches, c->records, c->acked_batches,
               spool_reader_bytes(s->reader), l->segments, c->damaged, c->foreign, c->missing,
               spool_reader_strangers(s->reader), aside, aside_bytes, oldest, newest);
        return;
    }
    printf("%s%" PRIu64 " batches with %" PRIu64 " records in %" PRIu64 " segments, %" PRIu64
           " bytes; %" PRIu64 " batches are acknowledged already\n",
           l->rows ? "\n" : "", c->batches, c->records, l->segments, spool_reader_bytes(s->reader),
           c->acked_batches);
    printf("damaged places %" PRIu64 ", missing batches %" PRIu64 ", of a newer version %" PRIu64
           "; set aside: %" PRIu64 " files, %" PRIu64 " bytes\n",
           c->damaged, c->missing, c->foreign, aside, aside_bytes);
    if (spool_reader_strangers(s->reader))
        printf("%" PRIu64 " files are none of the spool's and were passed over\n",
               spool_reader_strangers(s->reader));
    printf("oldest snapshot %s, newest %s\n", oldest, newest);
}

static int list(listing *l, const char *dir)
{
    gv_error err = { 0, "" };
    gv_status status;
    spool_item item;
    scan s;

    if ((status = scan_open(&s, dir, SCAN_PRINTS, &err)) == GV_OK && l->json)
        fputs(l->by_segment ? "{\"segments\":[" : "{\"snapshots\":[", stdout);
    while (status == GV_OK && (status = scan_next(&s, &item, &err)) == GV_OK) {
        take_segment(l, &item);
        if (item.kind == SPOOL_ITEM_BATCH)
            take_batch(l, &item);
    }
    bar_clear(&s.bar);
    if (status == GV_AGAIN) {
        print_segment(l);
        for (size_t i = 0; i < l->count; i++)
            print_snapshot(l, &l->open[(l->begin + i) % OPEN_SNAPSHOTS]);
        print_totals(l, &s);
    }
    scan_close(&s);
    if (status != GV_AGAIN)
        return tools_fail(&err);
    return !tools_output_ok()                           ? CLI_USAGE
           : s.counts.damaged + s.counts.unreadable > 0 ? CLI_NOT_ALL_WELL
                                                        : CLI_OK;
}

int tools_ls(tools_call *call)
{
    static listing l; /* too large for a stack */

    l.json = cli_take_flag(&call->argc, call->argv, "--json");
    l.by_segment = cli_take_flag(&call->argc, call->argv, "--segments");
    if (!tools_words_left(call, 0) || !tools_find_dir(call))
        return CLI_USAGE;
    return list(&l, call->dir);
}
