/* gavel spool verify: reads everything, checks everything, counts exactly. */
#include "agent/cli/cli.h"
#include "agent/codec/avro_in.h"
#include "agent/tools/internal.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

#define RANGES_MAX 64u /* missing ranges that are listed; more are only counted */

typedef struct {
    scan scan;
    uint64_t good[SPOOL_GAP + 1]; /* records by kind */
    uint64_t bad_batches;         /* their checksum is right, but not what they hold */
    uint64_t other_schema;        /* records that this program cannot judge */
    /* What is not there, by the running count in the headers around it. */
    bool has_expected;
    uint64_t expected_before;
    uint64_t lost_records;
    struct {
        uint64_t first, last;
    } missing[RANGES_MAX];
    uint64_t missing_ranges;
    /* What was given up on purpose, as gap entries say. */
    uint64_t gaps, gap_records;
} verification;

/* --- lines -------------------------------------------------------------------------------------- */

static void tell(verification *v, const spool_item *item, const char *what, const char *why)
{
    char name[SNAPSHOT_TEXT_MAX];

    bar_clear(&v->scan.bar);
    printf("%s: %s at byte %" PRIu64 ", %" PRIu64 " bytes", what, item->file, item->offset,
           item->bytes);
    if (item->last_seq > item->first_seq)
        printf(": batches %" PRIu64 " to %" PRIu64, item->first_seq, item->last_seq);
    else if (item->last_seq == item->first_seq && item->first_seq != 0)
        printf(": batch %" PRIu64, item->first_seq);
    if (item->has_header || item->kind != SPOOL_ITEM_DAMAGE) {
        filter_format_snapshot(&item->header.meta.snapshot, name);
        printf(", %u records of %s", (unsigned)item->header.meta.records, name);
    }
    printf("%s%s\n", why[0] ? ": " : "", why);
}

static void take_missing(verification *v, const spool_item *item)
{
    if (v->missing_ranges < RANGES_MAX) {
        v->missing[v->missing_ranges].first = item->first_seq;
        v->missing[v->missing_ranges].last = item->last_seq;
    }
    v->missing_ranges++;
}

/* --- what a batch holds --------------------------------------------------------------------------- */

static double number_of(const cJSON *root, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, name);

    return cJSON_IsNumber(value) && value->valuedouble > 0 ? value->valuedouble : 0;
}

/* A ledger or gap entry: JSON about the snapshot that the header names. */
static gv_status check_entry(verification *v, const spool_item *item, gv_span body, gv_error *err)
{
    char name[SNAPSHOT_TEXT_MAX];
    cJSON *root = cJSON_ParseWithLength((const char *)body.data, body.len);
    const char *said = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "snapshot"));
    gv_status status = GV_OK;

    filter_format_snapshot(&item->header.meta.snapshot, name);
    if (!root)
        status = gv_fail(err, GV_CORRUPT, "the entry is no JSON");
    else if (!said || strcmp(said, name) != 0)
        status = gv_fail(err, GV_CORRUPT, "the entry is about another snapshot: %.60s",
                         said ? said : "none");
    else if (item->header.meta.kind == SPOOL_GAP) {
        v->gaps++;
        v->gap_records += (uint64_t)(number_of(root, "records") + number_of(root, "rejects")) + 1;
    }
    cJSON_Delete(root);
    return status;
}

static gv_status check_batch(verification *v, const spool_item *item, gv_error *err)
{
    spool_kind kind = item->header.meta.kind;
    const schema *type = scan_schema(&v->scan, item->header.meta.fingerprint);
    batch_entry entry;
    size_t offset = 0;
    batch b;

    gv_status status = scan_open_batch(&v->scan, item, &b, err);
    while (status == GV_OK && batch_next(&b, &offset, &entry)) {
        gv_span body =
            gv_span_of(entry.framed + BATCH_PREFIX_BYTES, entry.framed_len - BATCH_PREFIX_BYTES);
        if (kind == SPOOL_LEDGER || kind == SPOOL_GAP)
            status = check_entry(v, item, body, err);
        else if (type)
            status = avro_in_check(type->root, body, err);
        else
            v->other_schema++;
        v->good[kind] += status == GV_OK;
    }
    return status;
}

/* Each header says how many records came before it: what is not there is counted exactly. */
static void follow_count(verification *v, const spool_header *h)
{
    if (v->has_expected && h->records_before > v->expected_before)
        v->lost_records += h->records_before - v->expected_before;
    v->has_expected = true;
    v->expected_before = h->records_before + h->meta.records;
}

static void take_item(verification *v, const spool_item *item)
{
    gv_error err = { 0, "" };

    switch (item->kind) {
    case SPOOL_ITEM_BATCH:
        follow_count(v, &item->header);
        if (check_batch(v, item, &err) == GV_OK)
            return;
        v->bad_batches++;
        tell(v, item, "damaged", err.text);
        return;
    case SPOOL_ITEM_DAMAGE:
        if (item->has_header) { /* the last ones have none behind them that would tell */
            follow_count(v, &item->header);
            v->lost_records += item->header.meta.records;
        }
        tell(v, item, "damaged", item->has_header ? "its checksum is wrong" : "");
        return;
    case SPOOL_ITEM_FOREIGN:
        tell(v, item, "not read", "a newer version of gavel wrote it, or it is too large");
        return;
    case SPOOL_ITEM_MISSING:
        take_missing(v, item);
        return;
    case SPOOL_ITEM_TAIL:
        return; /* it is being written, or never was promised */
    }
}

/* --- result --------------------------------------------------------------------------------------- */

/* As many records were given up as are not there: then the gap entries say which. */
static bool is_explained(const verification *v)
{
    return v->gaps > 0 && v->lost_records <= v->gap_records;
}

static void print_missing(const verification *v)
{
    const char *why = is_explained(v) ? "given up to make room; gap entries say of which snapshots"
                                      : "no file has them, and no gap entry explains it";

    for (uint64_t i = 0; i < v->missing_ranges && i < RANGES_MAX; i++)
        printf("missing: batches %" PRIu64 " to %" PRIu64 ": %s\n", v->missing[i].first,
               v->missing[i].last, why);
    if (v->missing_ranges > RANGES_MAX)
        printf("missing: %" PRIu64 " more ranges\n", v->missing_ranges - RANGES_MAX);
}

static int print_result(const verification *v)
{
    const scan_counts *c = &v->scan.counts;
    uint64_t damaged = c->damaged + v->bad_batches;
    bool is_whole =
        damaged + c->foreign + c->unreadable == 0 && (v->missing_ranges == 0 || is_explained(v));

    print_missing(v);
    printf("%" PRIu64 " batches in %" PRIu64 " bytes: %" PRIu64 " auctions, %" PRIu64
           " rejects, %" PRIu64 " ledger entries, %" PRIu64 " gap entries\n",
           c->batches - v->bad_batches, spool_reader_bytes(v->scan.reader), v->good[SPOOL_AUCTIONS],
           v->good[SPOOL_REJECTS], v->good[SPOOL_LEDGER], v->good[SPOOL_GAP]);
    if (v->other_schema)
        printf("%" PRIu64 " records are of a schema that this program does not know; their "
               "checksums are right\n",
               v->other_schema);
    printf("damaged places %" PRIu64 ", missing batches %" PRIu64 ", of a newer version %" PRIu64
           ", unreadable files %" PRIu64 ", records not there %" PRIu64 "\n",
           damaged, c->missing, c->foreign, c->unreadable, v->lost_records);
    printf("%s\n", is_whole ? "all good" : "not all is good; `gavel spool salvage` saves what is");
    if (!tools_output_ok())
        return CLI_USAGE;
    return is_whole ? CLI_OK : CLI_NOT_ALL_WELL;
}

int tools_verify(tools_call *call)
{
    static verification v;
    gv_error err = { 0, "" };
    spool_item item;
    int code;

    if (!tools_words_left(call, 0) || !tools_find_dir(call))
        return CLI_USAGE;
    gv_status status = scan_open(&v.scan, call->dir, SCAN_SEGMENTS, &err);
    while (status == GV_OK && (status = scan_next(&v.scan, &item, &err)) == GV_OK)
        take_item(&v, &item);
    bar_clear(&v.scan.bar);
    code = status == GV_AGAIN ? print_result(&v) : tools_fail(&err);
    scan_close(&v.scan);
    return code;
}
