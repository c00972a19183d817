/* gavel-spool-maker - makes a spool as an agent leaves it that had no broker, without an agent.
 *
 * usage: gavel-spool-maker DIR SNAPSHOTS RECORDS [ack=N] [thin=N] [body=TEXT] [unknown] [schema=FILE]
 *   Snapshots of eu/604, an hour apart from 2014-07-01T00:30:01Z on, of RECORDS auctions and one
 *   reject each; each ends with its ledger entry, but for the last one.
 *   ack      reads and acknowledges the first N batches
 *   thin     gives N snapshots up, with gap entries
 *   body     one more batch of one auction whose body is TEXT, which is none
 *   unknown  one more batch of one record of a schema that nobody knows
 *   schema   auctions are written in this schema instead of today's
 * Auction ids are 1000000 * snapshot + i; buyout is 9007199254740993 + i, which no double can hold.
 */
#include "agent/codec/batch.h"
#include "agent/codec/digest.h"
#include "agent/codec/reject.h"
#include "agent/pipeline/ledger.h"
#include "spool/spool.h"
#include "tests/unit/codec_help.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_MS      INT64_C(1404174601000)
#define HOUR_MS       INT64_C(3600000)
#define BATCH_RECORDS 40u
#define BATCH_BYTES   (64u * 1024u)

typedef struct {
    spool *out;
    codec codec;
    plan_value values[5];
    batch batch;
    uint8_t room[BATCH_BYTES];
} maker;

static void must(gv_status status, const gv_error *err)
{
    if (status != GV_OK) {
        fprintf(stderr, "gavel-spool-maker: %s\n", err->text);
        exit(1);
    }
}

static void open_out(maker *m, const plat_fs *fs, const plat_clock *clock, const char *dir)
{
    gv_error err = { 0, "" };
    spool_config config = { .fs = fs,
                            .clock = clock,
                            .dir = dir,
                            .payload_bytes = BATCH_BYTES,
                            .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                            .quota_bytes = 1u << 30,
                            .quarantine_bytes = 1u << 24,
                            .window = 8 };

    config.mem_bytes = spool_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    must(spool_open(&config, &m->out, &err), &err);
}

/* Appends what is in the batch. */
static void flush(maker *m, spool_kind kind)
{
    const batch *b = &m->batch;
    gv_error err = { 0, "" };
    spool_meta meta = { .fingerprint = b->fingerprint, .records = b->records, .kind = kind };

    if (b->records == 0)
        return;
    memcpy(meta.snapshot.region, b->snapshot.region, sizeof meta.snapshot.region);
    meta.snapshot.realm = b->snapshot.realm;
    meta.snapshot.house = b->snapshot.house;
    meta.snapshot.time_ms = b->snapshot.time_ms;
    must(spool_append(m->out, &meta, gv_span_of(b->bytes.data, b->bytes.len), &err), &err);
    m->batch.bytes.len = 0;
    m->batch.records = 0;
}

static void put(maker *m, uint64_t key, gv_span body)
{
    if (!batch_append(&m->batch, key, body))
        abort();
}

static uint64_t put_auctions(maker *m, const snapshot_id *id, unsigned number, unsigned records)
{
    size_t cap = 64 + records * 200u;
    char *text = malloc(cap);
    size_t len = (size_t)snprintf(text, cap, "{\"auctions\":[");
    uint64_t digest = 0;
    codec_run run;

    for (unsigned i = 0; i < records; i++)
        len += (size_t)snprintf(text + len, cap - len,
                                "%s{\"id\":%u,\"item\":{\"id\":%u},\"buyout\":%" PRIu64
                                ",\"quantity\":%u,\"time_left\":\"LONG\",\"new\":\"\\u00e9\"}",
                                i ? "," : "", number * 1000000u + i, 25 + i % 7,
                                UINT64_C(9007199254740993) + i, 1 + i % 20);
    len += (size_t)snprintf(text + len, cap - len, "]}");
    m->values[3].number = id->time_ms;
    codec_feed(&m->codec, gv_span_of(text, len), &(feeding){ 0 }, NULL, &run);
    if (run.record_count != records)
        abort();
    batch_start(&m->batch, BATCH_AUCTIONS, id, m->codec.schema.fingerprint);
    for (size_t i = 0; i < run.record_count; i++) {
        digest += codec_digest(run_body(&run, i));
        put(m, (uint64_t)run.records[i].key, run_body(&run, i));
        if (m->batch.records == BATCH_RECORDS)
            flush(m, SPOOL_AUCTIONS);
    }
    flush(m, SPOOL_AUCTIONS);
    run_free(&run);
    free(text);
    return digest;
}

static void put_reject(maker *m, const snapshot_id *id, uint64_t fingerprint)
{
    transcode_reject reject = {
        .row = 7, .reason = "it is wrong", .path = "id", .raw = gv_span_str("{\"id\":\"\xFF\"}")
    };
    uint8_t room[256];
    gv_buf body = gv_buf_of(room, sizeof room);

    batch_start(&m->batch, BATCH_REJECTS, id, fingerprint);
    if (!reject_encode(id, &reject, &body))
        abort();
    put(m, reject.row, gv_span_of(body.data, body.len));
    flush(m, SPOOL_REJECTS);
}

static size_t write_entry(const ledger_entry *entry, char text[LEDGER_BYTES_MAX])
{
    gv_error err = { 0, "" };
    size_t len;

    must(ledger_write(entry, text, &len, &err), &err);
    return len;
}

static void put_ledger(maker *m, const ledger_entry *entry)
{
    char text[LEDGER_BYTES_MAX];
    size_t len = write_entry(entry, text);

    batch_start(&m->batch, BATCH_LEDGER, &entry->snapshot, 0);
    put(m, 0, gv_span_of(text, len));
    flush(m, SPOOL_LEDGER);
}

static void put_odd(maker *m, const snapshot_id *id, uint64_t fingerprint, const char *body)
{
    batch_start(&m->batch, BATCH_AUCTIONS, id, fingerprint);
    put(m, 1, gv_span_str(body));
    flush(m, SPOOL_AUCTIONS);
}

static bool is_written(void *ctx, const spool_snapshot *snapshot)
{
    (void)ctx, (void)snapshot;
    return false;
}

static void give_up_one(maker *m)
{
    char text[LEDGER_BYTES_MAX];
    uint8_t room[LEDGER_BYTES_MAX + BATCH_ENTRY_OVERHEAD];
    gv_error err = { 0, "" };
    spool_victim victim;
    ledger_entry entry = { .topic = "auctions.raw", .device = "maker" };
    batch b = { .bytes = gv_buf_of(room, sizeof room) };

    must(spool_choose(m->out, SPOOL_THIN, is_written, NULL, &victim, &err), &err);
    memcpy(entry.snapshot.region, victim.snapshot.region, sizeof entry.snapshot.region);
    entry.snapshot.realm = victim.snapshot.realm;
    entry.snapshot.time_ms = victim.snapshot.time_ms;
    entry.records = victim.records;
    entry.rejects = victim.rejects;
    size_t len = write_entry(&entry, text);
    batch_start(&b, BATCH_LEDGER, &entry.snapshot, 0);
    if (!batch_append(&b, 0, gv_span_of(text, len)))
        abort();
    must(spool_drop(m->out, &victim, gv_span_of(b.bytes.data, b.bytes.len), &err), &err);
}

static void acknowledge(maker *m, unsigned batches)
{
    gv_error err = { 0, "" };

    for (unsigned i = 0; i < batches; i++) {
        gv_buf payload = gv_buf_of(m->room, sizeof m->room);
        spool_meta meta;
        uint64_t seq;
        must(spool_next(m->out, &meta, &payload, &seq, &err), &err);
        spool_ack(m->out, seq);
    }
}

static uint64_t reject_fingerprint(void)
{
    static uint8_t block[64 * 1024];
    gv_arena arena;
    schema s;
    size_t len;
    gv_error err = { 0, "" };
    char *text = load_file(GAVEL_SOURCE_DIR "/schemas/reject.avsc", &len);

    gv_arena_init(&arena, block, sizeof block);
    must(schema_parse(gv_span_of(text, len), &arena, &s, &err), &err);
    free(text);
    return s.fingerprint;
}

static void put_snapshots(maker *m, unsigned snapshots, unsigned records)
{
    uint64_t reject = reject_fingerprint();

    for (unsigned i = 0; i < snapshots; i++) {
        snapshot_id id = { "eu", 604, 0, FIRST_MS + (int64_t)i * HOUR_MS };
        ledger_entry entry = { .snapshot = id,
                               .records = records,
                               .rejects = 1,
                               .digest = put_auctions(m, &id, i, records),
                               .fingerprint = m->codec.schema.fingerprint,
                               .topic = "auctions.raw",
                               .device = "maker" };
        put_reject(m, &id, reject);
        if (i + 1 < snapshots)
            put_ledger(m, &entry);
    }
}

static void open_codec(maker *m, int argc, char **argv)
{
    const char *path = GAVEL_SOURCE_DIR "/schemas/auction.avsc";
    size_t len;

    for (int i = 4; i < argc; i++)
        if (strncmp(argv[i], "schema=", 7) == 0)
            path = argv[i] + 7;
    char *text = load_file(path, &len);
    codec_open(&m->codec, text, true);
    free(text);
}

int main(int argc, char **argv)
{
    static maker m;
    plat_fs fs = plat_fs_system();
    plat_clock clock = plat_clock_system(0);
    const snapshot_id odd = { "us", 1, 0, FIRST_MS };
    gv_error err = { 0, "" };

    if (argc < 4)
        return 2;
    open_codec(&m, argc, argv);
    memcpy(m.values, m.codec.values, sizeof m.values);
    m.codec.values = m.values;
    m.batch.bytes = gv_buf_of(m.room, sizeof m.room);
    open_out(&m, &fs, &clock, argv[1]);
    put_snapshots(&m, (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    for (int i = 4; i < argc; i++) {
        if (strncmp(argv[i], "body=", 5) == 0)
            put_odd(&m, &odd, m.codec.schema.fingerprint, argv[i] + 5);
        if (strcmp(argv[i], "unknown") == 0)
            put_odd(&m, &odd, 0x1234, "?");
    }
    must(spool_commit(m.out, &err), &err);
    for (int i = 4; i < argc; i++) {
        if (strncmp(argv[i], "ack=", 4) == 0)
            acknowledge(&m, (unsigned)atoi(argv[i] + 4));
        for (int n = strncmp(argv[i], "thin=", 5) == 0 ? atoi(argv[i] + 5) : 0; n > 0; n--)
            give_up_one(&m);
    }
    spool_close(m.out);
    return 0;
}
