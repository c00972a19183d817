/* The spool on a healthy disk: order, acknowledgement, both ends across restarts, quota, and what the read-only
 * reader sees of it. What happens when the power goes or the disk fails is in tests/powerloss. */
#include "spool/reader.h"
#include "spool/spool.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIR           "/var/spool"
#define PAYLOAD_BYTES 20000u
#define MIB           (1024u * 1024u)
#define HOUR_MS       INT64_C(3600000)
#define EVENTS_MAX    32

typedef struct {
    disk_double *disk;
    plat_fs fs;
    clock_double now;
    plat_clock clock;
    spool_config config;
    spool *spool;
    uint8_t *memory;
    spool_event events[EVENTS_MAX];
    size_t event_count;
} world;

static world w;

static void on_event(void *ctx, const spool_event *event)
{
    (void)ctx;
    assert_true(w.event_count < EVENTS_MAX);
    w.events[w.event_count++] = *event;
}

static void open_spool(void)
{
    gv_error err = { 0, "" };

    assert_int_equal(spool_open(&w.config, &w.spool, &err), GV_OK);
}

static void reopen(void)
{
    spool_close(w.spool);
    open_spool();
}

static int setup(void **state)
{
    (void)state;
    w = (world){ .disk = disk_double_new(64u * MIB) };
    w.fs = disk_double_table(w.disk);
    w.clock = clock_double_table(&w.now);
    w.config = (spool_config){ .fs = &w.fs,
                               .clock = &w.clock,
                               .dir = DIR,
                               .payload_bytes = PAYLOAD_BYTES,
                               .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                               .quota_bytes = 16u * MIB,
                               .quarantine_bytes = MIB,
                               .window = 8,
                               .cursor_ms = 1000,
                               .event = on_event };
    w.config.mem_bytes = spool_mem_needed(&w.config);
    w.config.mem = w.memory = malloc(w.config.mem_bytes);
    assert_non_null(w.memory);
    open_spool();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    spool_close(w.spool);
    assert_int_equal(disk_double_open_files(w.disk), 0);
    disk_double_free(w.disk);
    free(w.memory);
    return 0;
}

/* --- batches that know themselves -------------------------------------------------------------------- */
static spool_meta meta_of(uint32_t realm, int64_t hour, spool_kind kind)
{
    return (spool_meta){ .snapshot = { "eu", realm, 0, hour * HOUR_MS },
                         .fingerprint = 0x1122334455667788,
                         .records = kind == SPOOL_AUCTIONS ? 100 : 1,
                         .kind = kind };
}

/* Half of it is hard to compress, so that sizes are real. */
static gv_span payload_of(uint32_t number, size_t len)
{
    static uint8_t bytes[PAYLOAD_BYTES + 1];
    uint32_t x = number * 2654435761u + 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = i % 2 ? (uint8_t)(x >> 24) : (uint8_t)number;
    }
    return gv_span_of(bytes, len);
}

static size_t length_of(uint32_t number)
{
    return 3000 + number * 977 % 15000;
}

static void append_as(uint32_t number, spool_meta meta)
{
    gv_error err = { 0, "" };

    assert_int_equal(spool_append(w.spool, &meta, payload_of(number, length_of(number)), &err),
                     GV_OK);
}

static void append(uint32_t number)
{
    append_as(number, meta_of(number, 1, SPOOL_AUCTIONS));
}

static void commit(void)
{
    gv_error err = { 0, "" };

    assert_int_equal(spool_commit(w.spool, &err), GV_OK);
}

static gv_status read_next(spool_meta *meta, uint64_t *seq, gv_span *payload)
{
    static uint8_t room[PAYLOAD_BYTES];
    gv_buf buf = gv_buf_of(room, sizeof room);
    gv_error err = { 0, "" };
    gv_status st = spool_next(w.spool, meta, &buf, seq, &err);

    *payload = gv_span_of(buf.data, buf.len);
    return st;
}

/* The next batch is that one; its sequence. */
static uint64_t expect(uint32_t number)
{
    spool_meta meta;
    uint64_t seq;
    gv_span payload;

    assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
    assert_int_equal(meta.snapshot.realm, number);
    assert_true(gv_span_equal(payload, payload_of(number, length_of(number))));
    return seq;
}

static void expect_none(void)
{
    spool_meta meta;
    uint64_t seq;
    gv_span payload;

    assert_int_equal(read_next(&meta, &seq, &payload), GV_AGAIN);
}

static size_t segments_on_disk(void)
{
    size_t count = 0;

    for (size_t i = 0; disk_double_name(w.disk, i); i++)
        count += strstr(disk_double_name(w.disk, i), ".seg") != NULL;
    return count;
}

/* --- a queue ----------------------------------------------------------------------------------------- */
static void damage_first(void)
{
    char name[SPOOL_NAME_BYTES], path[64];

    spool_segment_name(1, name);
    snprintf(path, sizeof path, DIR "/%s", name);
    disk_double_flip(w.disk, path, SPOOL_HEADER_BYTES + 5, 0x10); /* in the first payload */
}

/* Batches up to `last` are there but the first, and that one is told. */
static void expect_first_damaged(uint32_t last)
{
    for (uint32_t i = 2; i <= last; i++)
        spool_ack(w.spool, expect(i));
    expect_none();
    assert_int_equal(w.event_count, 1);
    assert_int_equal(w.events[0].kind, SPOOL_DAMAGED);
    assert_int_equal(w.events[0].first_seq, 1);
    assert_int_equal(w.events[0].last_seq, 1);
    assert_true(w.events[0].records > 0);
}

static void batches_come_out_as_they_went_in_across_segments(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 60; i++)
        append(i);
    commit();
    assert_true(spool_look(w.spool)->segments > 3);
    for (uint32_t i = 1; i <= 60; i++) {
        uint64_t seq = expect(i);
        assert_int_equal(seq, i);
        spool_ack(w.spool, seq);
    }
    expect_none();
    assert_int_equal(w.event_count, 0);
}

static void uncommitted_batch_is_not_read(void **state)
{
    (void)state;
    append(1);
    expect_none();
    assert_int_equal(spool_look(w.spool)->pending, 1);
    commit();
    expect(1);
    append(2);
    expect_none();
}

static void one_commit_serves_many_appends(void **state)
{
    (void)state;
    append(1);
    commit();
    unsigned before = w.disk->syncs;
    for (uint32_t i = 2; i <= 4; i++)
        append(i);
    commit();
    commit();
    assert_int_equal(w.disk->syncs, before + 1);
}

static void window_bounds_what_is_read_ahead(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 10; i++)
        append(i);
    commit();
    for (uint32_t i = 1; i <= w.config.window; i++)
        expect(i);
    expect_none();
    spool_ack(w.spool, 2); /* not the first: the window does not move */
    expect_none();
    spool_ack(w.spool, 1);
    expect(9);
    expect(10);
    expect_none();
}

static void incompressible_and_empty_payloads_are_kept(void **state)
{
    uint8_t noise[PAYLOAD_BYTES];
    gv_error err = { 0, "" };
    spool_meta meta = meta_of(1, 1, SPOOL_AUCTIONS);
    uint64_t seq;
    gv_span payload;
    uint32_t x = 1;

    (void)state;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    assert_int_equal(spool_append(w.spool, &meta, gv_span_of(noise, sizeof noise), &err), GV_OK);
    assert_int_equal(spool_append(w.spool, &meta, gv_span_of(noise, 0), &err), GV_OK);
    assert_int_equal(spool_append(w.spool, &meta, gv_span_of(noise, 1), &err), GV_OK);
    commit();
    assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
    assert_true(gv_span_equal(payload, gv_span_of(noise, sizeof noise)));
    assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
    assert_int_equal(payload.len, 0);
    assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
    assert_int_equal(payload.len, 1);
}

static void too_large_a_payload_is_refused_and_nothing_changes(void **state)
{
    gv_error err = { 0, "" };
    spool_meta meta = meta_of(1, 1, SPOOL_AUCTIONS);

    (void)state;
    append(1);
    assert_int_equal(spool_append(w.spool, &meta, payload_of(2, PAYLOAD_BYTES + 1), &err),
                     GV_INVAL);
    assert_non_null(strstr(err.text, "larger than the spool takes"));
    commit();
    expect(1);
    expect_none();
}

static void too_small_a_buffer_costs_nothing(void **state)
{
    uint8_t room[10];
    gv_buf small = gv_buf_of(room, sizeof room);
    gv_error err = { 0, "" };
    spool_meta meta;
    uint64_t seq;

    (void)state;
    append(1);
    commit();
    assert_int_equal(spool_next(w.spool, &meta, &small, &seq, &err), GV_INVAL);
    expect(1);
}

/* --- what stays on the disk --------------------------------------------------------------------------- */
static void drained_spool_leaves_no_segments(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 20; i++)
        append(i);
    commit();
    for (uint32_t i = 1; i <= 20; i++)
        spool_ack(w.spool, expect(i));
    spool_tick(w.spool);
    assert_int_equal(segments_on_disk(), 0);
    assert_int_equal(spool_look(w.spool)->bytes, 0);
    assert_int_equal(spool_look(w.spool)->segments, 0);
    assert_int_equal(spool_look(w.spool)->records, 0);
    append(21);
    commit();
    assert_int_equal(expect(21), 21); /* sequences go on */
    reopen();
    assert_int_equal(expect(21), 21);
}

static void healthy_day_writes_nothing(void **state)
{
    (void)state;
    uint64_t written = w.disk->written_bytes;
    unsigned syncs = w.disk->syncs;
    for (int i = 0; i < 1000; i++) {
        w.now.mono_ms += 86400;
        spool_tick(w.spool);
        expect_none();
        commit();
    }
    reopen();
    assert_int_equal(w.disk->written_bytes, written);
    assert_int_equal(w.disk->syncs, syncs);
}

static void segment_stays_until_all_of_it_is_acknowledged(void **state)
{
    uint64_t seqs[8];

    (void)state;
    for (uint32_t i = 1; i <= 40; i++)
        append(i);
    commit();
    size_t all = segments_on_disk();
    for (uint32_t i = 1; i <= 8; i++)
        seqs[i - 1] = expect(i);
    for (int i = 7; i > 0; i--)
        spool_ack(w.spool, seqs[i]);
    assert_int_equal(segments_on_disk(), all);
    spool_ack(w.spool, seqs[0]);
    for (uint32_t i = 9; i <= 40; i++)
        spool_ack(w.spool, expect(i));
    assert_true(segments_on_disk() < all);
}

static void reading_goes_on_after_a_restart_where_it_was_acknowledged(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 30; i++)
        append(i);
    commit();
    for (uint32_t i = 1; i <= 11; i++)
        spool_ack(w.spool, expect(i));
    expect(12);
    reopen();
    assert_int_equal(spool_look(w.spool)->batches, 19);
    assert_int_equal(spool_look(w.spool)->records, 1900);
    for (uint32_t i = 12; i <= 30; i++)
        spool_ack(w.spool, expect(i));
    append(31);
    commit();
    spool_ack(w.spool, expect(31));
    reopen();
    expect_none();
    assert_int_equal(segments_on_disk(), 0);
    assert_int_equal(w.event_count, 0);
}

static void second_process_is_kept_out(void **state)
{
    spool_config other = w.config;
    uint8_t *memory = malloc(other.mem_bytes);
    spool *second;
    gv_error err = { 0, "" };

    (void)state;
    other.mem = memory;
    assert_int_equal(spool_open(&other, &second, &err), GV_AGAIN);
    assert_null(second);
    append(1);
    commit();
    expect(1);
    free(memory);
}

static void cursor_of_another_spool_is_not_believed(void **state)
{
    gv_span cursor;
    uint8_t copy[8192];

    (void)state;
    for (uint32_t i = 1; i <= 9; i++)
        append(i);
    commit();
    for (uint32_t i = 1; i <= 5; i++)
        spool_ack(w.spool, expect(i));
    spool_close(w.spool);
    assert_true(disk_double_look(w.disk, DIR "/cursor", &cursor));
    memcpy(copy, cursor.data, cursor.len);
    size_t len = cursor.len;

    /* The same sequences, other batches. */
    for (const char *name; (name = disk_double_name(w.disk, 0)) != NULL;)
        w.fs.remove(w.fs.ctx, name, NULL);
    open_spool();
    for (uint32_t i = 101; i <= 109; i++)
        append(i);
    commit();
    spool_close(w.spool);
    disk_double_put(w.disk, DIR "/cursor", copy, len);
    open_spool();
    for (uint32_t i = 101; i <= 109; i++)
        spool_ack(w.spool, expect(i));
}

/* --- quota --------------------------------------------------------------------------------------------- */
static bool none_in_use(void *ctx, const spool_snapshot *snapshot)
{
    (void)ctx;
    (void)snapshot;
    return false;
}

static bool realm_in_use(void *ctx, const spool_snapshot *snapshot)
{
    return snapshot->realm == *(uint32_t *)ctx;
}

static const uint8_t gap_text[] = "gap";

/* One snapshot of `batches` batches and its ledger entry. */
static void append_snapshot(uint32_t realm, int64_t hour, uint32_t batches)
{
    for (uint32_t i = 0; i < batches; i++)
        append_as(realm, meta_of(realm, hour, SPOOL_AUCTIONS));
    append_as(realm, meta_of(realm, hour, SPOOL_LEDGER));
}

static void drop_one(spool_policy policy, uint32_t realm, int64_t hour)
{
    spool_victim v;
    gv_error err = { 0, "" };

    assert_int_equal(spool_choose(w.spool, policy, none_in_use, NULL, &v, &err), GV_OK);
    assert_int_equal(v.snapshot.realm, realm);
    assert_int_equal(v.snapshot.time_ms, hour * HOUR_MS);
    assert_int_equal(spool_drop(w.spool, &v, gv_span_of(gap_text, 3), &err), GV_OK);
}

static void quota_is_kept_and_told(void **state)
{
    gv_error err = { 0, "" };
    spool_meta meta = meta_of(1, 1, SPOOL_AUCTIONS);
    gv_status st = GV_OK;
    unsigned count = 0;

    (void)state;
    while (st == GV_OK && count < 10000) {
        st = spool_append(w.spool, &meta, payload_of(1, PAYLOAD_BYTES), &err);
        count += st == GV_OK;
    }
    assert_int_equal(st, GV_FULL);
    assert_non_null(strstr(err.text, "may use"));
    commit();
    assert_true(spool_look(w.spool)->bytes <= w.config.quota_bytes);
    assert_true(spool_look(w.spool)->bytes > w.config.quota_bytes - 2 * SPOOL_SEGMENT_BYTES_MIN);
    assert_int_equal(spool_look(w.spool)->batches, count);
}

static void reserve_of_the_disk_is_left_free(void **state)
{
    gv_error err = { 0, "" };
    spool_meta meta = meta_of(1, 1, SPOOL_AUCTIONS);
    gv_status st = GV_OK;
    uint64_t there;

    (void)state;
    spool_close(w.spool);
    w.config.reserve_bytes = 60u * MIB;
    open_spool();
    while (st == GV_OK)
        st = spool_append(w.spool, &meta, payload_of(1, PAYLOAD_BYTES), &err);
    assert_int_equal(st, GV_FULL);
    assert_non_null(strstr(err.text, "to stay free"));
    assert_int_equal(w.fs.free_bytes(w.fs.ctx, DIR, &there, &err), GV_OK);
    assert_true(there >= 60u * MIB);
}

static void oldest_snapshot_gives_way_whole_and_leaves_a_gap_entry(void **state)
{
    spool_victim v;
    spool_meta meta;
    uint64_t seq;
    gv_span payload;
    gv_error err = { 0, "" };

    (void)state;
    append_snapshot(1, 1, 30);
    append_snapshot(2, 1, 3);
    commit();
    uint64_t bytes = spool_look(w.spool)->bytes;
    assert_int_equal(spool_choose(w.spool, SPOOL_DROP_OLDEST, none_in_use, NULL, &v, &err), GV_OK);
    assert_int_equal(v.batches, 31);
    assert_int_equal(v.records, 3000);
    assert_int_equal(spool_drop(w.spool, &v, gv_span_of(gap_text, 3), &err), GV_OK);
    assert_true(spool_look(w.spool)->bytes < bytes);
    assert_int_equal(spool_look(w.spool)->batches, 5);
    assert_int_equal(spool_look(w.spool)->dropped_snapshots, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
        assert_int_equal(meta.snapshot.realm, 2);
        spool_ack(w.spool, seq);
    }
    assert_int_equal(read_next(&meta, &seq, &payload), GV_OK);
    assert_int_equal(meta.kind, SPOOL_GAP);
    assert_int_equal(meta.snapshot.realm, 1);
    assert_int_equal(meta.records, 1);
    assert_true(gv_span_equal(payload, gv_span_of(gap_text, 3)));
    spool_ack(w.spool, seq);
    spool_tick(w.spool);
    assert_int_equal(segments_on_disk(), 0);
    assert_int_equal(w.event_count, 0);
}

static void snapshot_that_is_written_or_read_is_spared(void **state)
{
    uint32_t realm = 2;
    spool_victim v;
    gv_error err = { 0, "" };

    (void)state;
    append_snapshot(1, 1, 3);
    append_snapshot(2, 1, 3);
    append_snapshot(3, 1, 3);
    commit();
    expect(1);
    assert_int_equal(spool_choose(w.spool, SPOOL_DROP_OLDEST, realm_in_use, &realm, &v, &err),
                     GV_OK);
    assert_int_equal(v.snapshot.realm, 3);
    assert_int_equal(spool_drop(w.spool, &v, gv_span_of(gap_text, 3), &err), GV_OK);
    assert_int_equal(spool_choose(w.spool, SPOOL_DROP_OLDEST, realm_in_use, &realm, &v, &err),
                     GV_AGAIN);
}

static void thinning_halves_the_hours_before_it_makes_a_hole(void **state)
{
    (void)state;
    for (int64_t hour = 0; hour < 8; hour++)
        append_snapshot((uint32_t)hour + 1, 400 + hour, 2);
    commit();
    static const int64_t order[] = { 401, 403, 405, 407, 402, 406, 400, 404 };
    for (size_t i = 0; i < 8; i++)
        drop_one(SPOOL_THIN, (uint32_t)(order[i] - 400) + 1, order[i]);
}

static void an_hour_that_comes_later_is_thinned_before_what_was_to_stay(void **state)
{
    static const int64_t order[] = { 401, 403, 402, 405, 407, 406, 400, 404 };
    int64_t hour = 400;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        /* Two odd hours and an even one are gone, then the others come. */
        for (; hour < (i < 3 ? 404 : 408); hour++)
            append_snapshot((uint32_t)(hour - 400) + 1, hour, 2);
        commit();
        drop_one(SPOOL_THIN, (uint32_t)(order[i] - 400) + 1, order[i]);
    }
}

static uint64_t bytes_in_quarantine(void)
{
    const char *name;
    uint64_t bytes = 0;
    gv_span content;

    for (size_t i = 0; (name = disk_double_name(w.disk, i)) != NULL; i++)
        if (strstr(name, "/quarantine/") && disk_double_look(w.disk, name, &content))
            bytes += content.len;
    return bytes;
}

/* One flipped bit in the first batch of every segment, then all that can be read is read. */
static void damage_every_segment_and_drain(void)
{
    const char *name;
    spool_meta meta;
    uint64_t seq;
    gv_span payload;

    for (uint32_t i = 1; i <= 60; i++)
        append(i);
    commit();
    for (size_t i = 0; (name = disk_double_name(w.disk, i)) != NULL; i++)
        if (strstr(name, ".seg") && !strstr(name, "/quarantine/"))
            disk_double_flip(w.disk, name, SPOOL_HEADER_BYTES + 5, 0x10);
    while (read_next(&meta, &seq, &payload) == GV_OK)
        spool_ack(w.spool, seq);
    spool_tick(w.spool);
}

static void quarantine_keeps_to_its_cap_and_gives_up_the_oldest(void **state)
{
    static const uint64_t quotas[] = { 16u * MIB, MIB };
    static const uint64_t caps[] = { 192u * 1024u, 512u * 1024u }; /* the second: half the quota */

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t shed = 0;
        spool_close(w.spool);
        w.config.quota_bytes = quotas[i];
        w.config.quarantine_bytes = i == 0 ? caps[0] : 16u * MIB;
        w.event_count = 0;
        open_spool();
        damage_every_segment_and_drain();
        for (size_t k = 0; k < w.event_count; k++)
            shed += w.events[k].kind == SPOOL_SHED;
        assert_true(shed > 0);
        assert_true(bytes_in_quarantine() <= caps[i]);
        assert_true(bytes_in_quarantine() > caps[i] / 2);
        assert_int_equal(spool_look(w.spool)->quarantine_bytes, bytes_in_quarantine());

        assert_int_equal(spool_look(w.spool)->segments, 0);
    }
}

/* --- the reader ------------------------------------------------------------------------------------------ */
static void reader_sees_all_and_changes_nothing(void **state)
{
    spool_reader_config config = { .fs = &w.fs, .dir = DIR, .payload_bytes = PAYLOAD_BYTES };
    spool_reader *r;
    spool_item item;
    gv_span payload;
    gv_error err = { 0, "" };

    (void)state;
    for (uint32_t i = 1; i <= 30; i++)
        append(i);
    commit();
    for (uint32_t i = 1; i <= 3; i++)
        spool_ack(w.spool, expect(i));
    w.now.mono_ms += 10000;
    spool_tick(w.spool);
    uint64_t written = w.disk->written_bytes;
    config.mem_bytes = spool_reader_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    assert_int_equal(spool_reader_open(&config, &r, &err), GV_OK);
    for (uint32_t i = 1; i <= 30; i++) {
        assert_int_equal(spool_reader_next(r, &item, &err), GV_OK);
        assert_int_equal(item.kind, SPOOL_ITEM_BATCH);
        assert_int_equal(item.header.seq, i);
        assert_int_equal(item.acked, i <= 3);
        assert_int_equal(spool_reader_payload(r, &payload, &err), GV_OK);
        assert_true(gv_span_equal(payload, payload_of(i, length_of(i))));
    }
    assert_int_equal(spool_reader_next(r, &item, &err), GV_AGAIN);
    spool_reader_close(r);
    free(config.mem);
    assert_int_equal(w.disk->written_bytes, written);
}

static void reader_tells_what_is_damaged_and_what_is_missing(void **state)
{
    spool_reader_config config = { .fs = &w.fs, .dir = DIR, .payload_bytes = PAYLOAD_BYTES };
    spool_reader *r;
    spool_item item;
    gv_error err = { 0, "" };
    uint64_t seen = 0, damaged = 0, missing = 0;
    char name[SPOOL_NAME_BYTES], path[64];
    uint64_t second = 0;

    (void)state;
    for (uint32_t i = 1; i <= 40; i++)
        append(i);
    commit();
    for (uint64_t seq = 2; second == 0; seq++) { /* the second segment goes */
        spool_segment_name(seq, name);
        snprintf(path, sizeof path, DIR "/%s", name);
        gv_span content;
        if (disk_double_look(w.disk, path, &content))
            second = seq;
    }
    assert_int_equal(w.fs.remove(w.fs.ctx, path, &err), GV_OK);
    damage_first();
    config.mem_bytes = spool_reader_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    assert_int_equal(spool_reader_open(&config, &r, &err), GV_OK);
    while (spool_reader_next(r, &item, &err) == GV_OK) {
        seen += item.kind == SPOOL_ITEM_BATCH;
        if (item.kind == SPOOL_ITEM_DAMAGE) {
            damaged += item.last_seq - item.first_seq + 1;
            assert_int_equal(item.first_seq, 1);
            assert_true(item.has_header);
        }
        if (item.kind == SPOOL_ITEM_MISSING) {
            missing += item.last_seq - item.first_seq + 1;
            assert_int_equal(item.first_seq, second);
        }
    }
    assert_int_equal(damaged, 1);
    assert_true(missing > 0);
    assert_int_equal(seen + damaged + missing, 40);
    spool_reader_close(r);
    free(config.mem);
}

/* What stands behind the damaged batch was written before the same commit, and cannot know of it. */
static void damage_is_told_for_what_it_is_when_a_later_commit_proves_the_promise(void **state)
{
    (void)state;
    append(1);
    append(2);
    append(3);
    commit();
    append(4);
    commit();
    reopen();
    damage_first();
    expect_first_damaged(4);
}

static void damage_is_told_for_what_it_is_when_this_process_has_promised_it(void **state)
{
    (void)state;
    append(1);
    append(2);
    append(3);
    commit();
    damage_first();
    expect_first_damaged(3);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        SPOOL_TEST(batches_come_out_as_they_went_in_across_segments),
        SPOOL_TEST(uncommitted_batch_is_not_read),
        SPOOL_TEST(one_commit_serves_many_appends),
        SPOOL_TEST(window_bounds_what_is_read_ahead),
        SPOOL_TEST(incompressible_and_empty_payloads_are_kept),
        SPOOL_TEST(too_large_a_payload_is_refused_and_nothing_changes),
        SPOOL_TEST(too_small_a_buffer_costs_nothing),
        SPOOL_TEST(drained_spool_leaves_no_segments),
        SPOOL_TEST(healthy_day_writes_nothing),
        SPOOL_TEST(segment_stays_until_all_of_it_is_acknowledged),
        SPOOL_TEST(reading_goes_on_after_a_restart_where_it_was_acknowledged),
        SPOOL_TEST(second_process_is_kept_out),
        SPOOL_TEST(cursor_of_another_spool_is_not_believed),
        SPOOL_TEST(quota_is_kept_and_told),
        SPOOL_TEST(reserve_of_the_disk_is_left_free),
        SPOOL_TEST(oldest_snapshot_gives_way_whole_and_leaves_a_gap_entry),
        SPOOL_TEST(snapshot_that_is_written_or_read_is_spared),
        SPOOL_TEST(thinning_halves_the_hours_before_it_makes_a_hole),
        SPOOL_TEST(an_hour_that_comes_later_is_thinned_before_what_was_to_stay),
        SPOOL_TEST(damage_is_told_for_what_it_is_when_a_later_commit_proves_the_promise),
        SPOOL_TEST(damage_is_told_for_what_it_is_when_this_process_has_promised_it),
        SPOOL_TEST(quarantine_keeps_to_its_cap_and_gives_up_the_oldest),
        SPOOL_TEST(reader_sees_all_and_changes_nothing),
        SPOOL_TEST(reader_tells_what_is_damaged_and_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
