#include "agent/tools/scan.h"

#include "schema_auction.h"
#include "schema_reject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEMA_ARENA_BYTES (64u * 1024u)

static bool look_no_further(void *arg, const char *name)
{
    (void)arg, (void)name;
    return false;
}

static gv_status open_schemas(scan *s, gv_arena *arena, gv_error *err)
{
    gv_status status;

    s->texts[SCAN_AUCTION] = schema_auction;
    s->texts[SCAN_REJECT] = schema_reject;
    status = schema_parse(gv_span_of(schema_auction, schema_auction_bytes), arena,
                          &s->schemas[SCAN_AUCTION], err);
    if (status == GV_OK)
        status = schema_parse(gv_span_of(schema_reject, schema_reject_bytes), arena,
                              &s->schemas[SCAN_REJECT], err);
    return status;
}

static gv_status open_reader(scan *s, gv_error *err)
{
    spool_reader_config config = {
        .fs = &s->fs, .dir = s->dir, .payload_bytes = SCAN_PAYLOAD_BYTES, .any_file = s->any_file
    };
    gv_arena arena;

    config.mem_bytes = spool_reader_mem_needed(&config);
    s->memory = malloc(config.mem_bytes + SCHEMA_ARENA_BYTES);
    if (!s->memory)
        return gv_fail(err, GV_FULL, "no memory to read %s", s->dir);
    config.mem = s->memory;
    gv_arena_init(&arena, (uint8_t *)s->memory + config.mem_bytes, SCHEMA_ARENA_BYTES);
    gv_status status = open_schemas(s, &arena, err);
    return status == GV_OK ? spool_reader_open(&config, &s->reader, err) : status;
}

gv_status scan_open(scan *s, const char *dir, unsigned way, gv_error *err)
{
    gv_error why = { 0, "" };

    memset(s, 0, sizeof *s);
    s->fs = plat_fs_system();
    s->clock = plat_clock_system(0);
    s->dir = dir;
    s->any_file = (way & SCAN_ANY_FILE) != 0;
    s->bar = bar_open((way & SCAN_PRINTS) != 0);
    if (s->fs.list_dir(s->fs.ctx, dir, look_no_further, NULL, &why) != GV_OK)
        return gv_fail(err, GV_IO, "%s; name the spool's directory with --dir", why.text);
    return open_reader(s, err);
}

void scan_close(scan *s)
{
    bar_clear(&s->bar);
    if (s->reader)
        spool_reader_close(s->reader);
    free(s->memory);
    s->reader = NULL;
    s->memory = NULL;
}

/* --- walking ------------------------------------------------------------------------------------ */

static void show_progress(scan *s)
{
    uint64_t now_ms = plat_mono_ms(&s->clock);
    char text[96];

    if (!bar_due(&s->bar, now_ms))
        return;
    snprintf(text, sizeof text, "%.1f MB  %" PRIu64 " batches  %" PRIu64 " records",
             (double)s->done_bytes / 1e6, s->counts.batches, s->counts.records);
    bar_draw(&s->bar, s->done_bytes, spool_reader_bytes(s->reader), now_ms, text);
}

static void count(scan *s, const spool_item *item)
{
    scan_counts *c = &s->counts;

    s->done_bytes += item->bytes;
    switch (item->kind) {
    case SPOOL_ITEM_BATCH:
        c->batches++;
        c->records += item->header.meta.records;
        c->bytes += item->bytes;
        c->acked_batches += item->acked;
        break;
    case SPOOL_ITEM_DAMAGE:
        c->damaged++;
        break;
    case SPOOL_ITEM_FOREIGN:
        c->foreign++;
        break;
    case SPOOL_ITEM_MISSING:
        c->missing += item->last_seq - item->first_seq + 1;
        break;
    case SPOOL_ITEM_TAIL:
        break; /* being written, or never promised */
    }
}

gv_status scan_next(scan *s, spool_item *item, gv_error *err)
{
    for (;;) {
        gv_error why = { 0, "" };
        gv_status status = spool_reader_next(s->reader, item, &why);

        if (status == GV_OK && s->any_file && strcmp(item->file, "cursor") == 0)
            continue; /* the spool's note of how far it was read; holds no batches */
        if (status == GV_OK) {
            count(s, item);
            show_progress(s);
            return GV_OK;
        }
        if (status == GV_IO && why.os_errno == EISDIR)
            continue; /* among any files; quarantine/ is walked for itself */
        if (status != GV_IO)
            return status == GV_AGAIN ? GV_AGAIN : gv_fail(err, status, "%s", why.text);
        s->counts.unreadable++;
        bar_clear(&s->bar);
        fprintf(stderr, "gavel: a file is passed over: %s\n", why.text);
    }
}

gv_status scan_open_batch(scan *s, const spool_item *item, batch *out, gv_error *err)
{
    const spool_meta *meta = &item->header.meta;
    batch_kind kind = meta->kind == SPOOL_AUCTIONS  ? BATCH_AUCTIONS
                      : meta->kind == SPOOL_REJECTS ? BATCH_REJECTS
                                                    : BATCH_LEDGER;
    snapshot_id id = filter_snapshot_id(&meta->snapshot);
    gv_span payload;
    uint32_t records;

    gv_status status = spool_reader_payload(s->reader, &payload, err);
    if (status == GV_OK)
        status = batch_check(payload, &records, err);
    if (status != GV_OK)
        return status;
    if (records != meta->records)
        return gv_fail(err, GV_CORRUPT, "its header says %u records, but there are %u",
                       (unsigned)meta->records, (unsigned)records);
    /* A batch's bytes are not const; nobody here writes to them. */
    out->bytes = (gv_buf){ (uint8_t *)(uintptr_t)payload.data, payload.len, payload.len };
    batch_start(out, kind, &id, meta->fingerprint);
    out->bytes.len = payload.len;
    out->records = records;
    return GV_OK;
}

gv_status scan_next_batch(scan *s, const filter *f, spool_item *item, batch *out, gv_error *err)
{
    for (;;) {
        gv_error why = { 0, "" };
        gv_status status = scan_next(s, item, err);

        if (status != GV_OK)
            return status;
        if (item->kind != SPOOL_ITEM_BATCH || !filter_takes(f, &item->header.meta))
            continue;
        status = scan_open_batch(s, item, out, &why);
        if (status == GV_OK)
            return GV_OK;
        s->counts.damaged++;
        bar_clear(&s->bar);
        fprintf(stderr, "gavel: batch %" PRIu64 " in %s is passed over: %s\n", item->first_seq,
                item->file, why.text);
    }
}

const schema *scan_schema(const scan *s, uint64_t fingerprint)
{
    for (int i = 0; i < SCAN_SCHEMAS; i++)
        if (s->schemas[i].fingerprint == fingerprint)
            return &s->schemas[i];
    return NULL;
}

bool scan_tell_losses(const scan *s)
{
    const scan_counts *c = &s->counts;

    if (c->damaged + c->foreign + c->unreadable == 0)
        return false;
    fprintf(stderr,
            "gavel: not everything could be read: %" PRIu64 " damaged places, %" PRIu64
            " batches of a newer version, %" PRIu64 " unreadable files; `gavel spool verify` "
            "tells where\n",
            c->damaged, c->foreign, c->unreadable);
    return true;
}
