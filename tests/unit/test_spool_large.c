/* A spool that 32 bits cannot count: its sums, its quota and its quarantine, on the system's own files.
 * The large ones are sparse; their zeros are not read here, since it is the last segment that is looked through. */
#include "platform/clock.h"
#include "spool/cursor.h"
#include "spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB           (UINT64_C(1) << 30)
#define PAYLOAD_BYTES 60000u
#define OK(call)      assert_int_equal(call, GV_OK)
#define SEGMENT_1     "0000000000000001.seg"
#define QUARANTINED_1 "quarantine/" SEGMENT_1
#define OLDEST        "quarantine/0000000000000000.seg"
#define OLDER         "quarantine/0000000000000000.seg.1"

static char dir[] = "spool-XXXXXX";
static plat_fs fs;
static plat_clock now;
static spool_config config;
static spool *s;
static uint64_t shed;
/* 2107-08-09T10:11:12Z: neither 31 nor 32 bits hold it. */
static const spool_snapshot late = { "eu", 604, 0, INT64_C(4342327872000) };

static void on_event(void *ctx, const spool_event *event)
{
    (void)ctx;
    shed += event->kind == SPOOL_SHED;
}

static void open_spool(void)
{
    gv_error err = { 0, "" };

    assert_int_equal(spool_open(&config, &s, &err), GV_OK);
    assert_string_equal(err.text, "");
}

static void append_to(gv_status wanted, const char *words)
{
    static uint8_t payload[PAYLOAD_BYTES];
    const spool_meta meta = { late, 1, 100, SPOOL_AUCTIONS };
    uint32_t x = 1;
    gv_error err = { 0, "" };

    for (size_t i = 0; i < sizeof payload; i++) /* nothing to be packed: a batch fills a segment */
        payload[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    assert_int_equal(spool_append(s, &meta, gv_span_of(payload, sizeof payload), &err), wanted);
    assert_non_null(strstr(err.text, words));
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "spool-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    fs = plat_fs_system();
    now = plat_clock_system(0);
    shed = 0;
    config = (spool_config){ .fs = &fs,
                             .clock = &now,
                             .dir = dir,
                             .payload_bytes = PAYLOAD_BYTES,
                             .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                             .quota_bytes = 16 * GIB,
                             .quarantine_bytes = 7 * GIB,
                             .window = 8,
                             .cursor_ms = 1000,
                             .event = on_event };
    config.mem_bytes = spool_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    return config.mem ? 0 : -1;
}

static const char *in(const char *name)
{
    static char path[PLAT_PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int teardown(void **state)
{
    static const char *const left[] = {
        "lock", "cursor", SEGMENT_1,    "0000000000000002.seg", "0000000000000003.seg",
        OLDEST, OLDER,    QUARANTINED_1
    };

    (void)state;
    spool_close(s);
    free(config.mem);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        OK(fs.remove(fs.ctx, in(left[i]), NULL));
    rmdir(in("quarantine")); /* which most tests do not have */
    return rmdir(dir);
}

/* Makes a file so long; what is new are zeros. */
static void make_long(const char *name, uint64_t bytes)
{
    int file;

    OK(fs.open(fs.ctx, in(name), access(in(name), F_OK) == 0 ? PLAT_WRITE : PLAT_CREATE, &file,
               NULL));
    OK(fs.truncate(fs.ctx, file, bytes, NULL));
    fs.close(fs.ctx, file);
}

/* Two segments, of which the first has 5 GiB; the spool is closed. */
static void make_large_spool(void)
{
    open_spool();
    append_to(GV_OK, "");
    append_to(GV_OK, "");
    OK(spool_commit(s, NULL));
    assert_int_equal(spool_look(s)->segments, 2);
    spool_close(s);
    make_long(SEGMENT_1, 5 * GIB);
}

static void more_than_4_gib_are_counted_and_kept_within_a_larger_quota(void **state)
{
    (void)state;
    make_large_spool();
    config.quota_bytes = 5 * GIB + (1 << 20);
    config.quarantine_bytes = GIB;
    open_spool();
    assert_in_range(spool_look(s)->bytes, 5 * GIB, 5 * GIB + 2 * SPOOL_SEGMENT_BYTES_MIN);
    append_to(GV_OK, "");
    OK(spool_commit(s, NULL));
    spool_close(s);
    config.quota_bytes = 5 * GIB;
    open_spool();
    append_to(GV_FULL, "holds 5120 MiB of the 5120 MiB it may use");
}

static void a_reserve_beyond_4_gib_is_left_free(void **state)
{
    uint64_t there = 0;

    (void)state;
    config.reserve_bytes = UINT64_C(1) << 50;
    open_spool();
    append_to(GV_FULL, "of which 1073741824 MiB are to stay free");
    spool_close(s);
    OK(fs.free_bytes(fs.ctx, dir, &there, NULL));
    config.reserve_bytes = there > 6 * GIB ? 5 * GIB : 0;
    open_spool();
    append_to(GV_OK, "");
}

/* Brings what can be read; a damaged segment is set aside on the way. */
static void drain(void)
{
    static uint8_t bytes[PAYLOAD_BYTES];
    spool_meta meta;
    uint64_t seq = 0;
    gv_status st = GV_OK;

    while (st == GV_OK) {
        gv_buf payload = gv_buf_of(bytes, sizeof bytes);
        st = spool_next(s, &meta, &payload, &seq, NULL);
        if (st == GV_OK)
            spool_ack(s, seq);
    }
    assert_int_equal(st, GV_AGAIN);
}

static void damage(const char *name)
{
    int file;

    OK(fs.open(fs.ctx, in(name), PLAT_WRITE, &file, NULL));
    OK(fs.write_at(fs.ctx, file, 0, "no header", 9, NULL));
    fs.close(fs.ctx, file);
}

/* Opens a spool whose first segment is damaged, and reads it. */
static void open_damaged_spool(uint64_t quarantine_bytes)
{
    config.quarantine_bytes = quarantine_bytes;
    open_spool();
    for (int i = 0; i < 2; i++)
        append_to(GV_OK, "");
    OK(spool_commit(s, NULL));
    make_long(SEGMENT_1, SPOOL_SEGMENT_BYTES_MIN);
    damage(SEGMENT_1);
    drain();
}

static void a_quarantine_beyond_4_gib_is_weighed_whole(void **state)
{
    (void)state;
    OK(fs.make_dir(fs.ctx, in("quarantine"), NULL));
    make_long(OLDEST, 5 * GIB);
    make_long(OLDER, GIB);
    open_damaged_spool(7 * GIB);
    assert_true(spool_look(s)->quarantine_bytes == 6 * GIB + SPOOL_SEGMENT_BYTES_MIN);
    assert_int_equal(shed, 0);
}

static void a_quarantine_keeps_to_a_cap_beyond_4_gib(void **state)
{
    (void)state;
    OK(fs.make_dir(fs.ctx, in("quarantine"), NULL));
    make_long(OLDEST, 5 * GIB);
    make_long(OLDER, GIB);
    open_damaged_spool(6 * GIB);
    assert_true(spool_look(s)->quarantine_bytes == GIB + SPOOL_SEGMENT_BYTES_MIN);
    assert_int_equal(shed, 1);
}

static void a_snapshot_of_the_next_century_comes_back_with_its_time(void **state)
{
    static uint8_t bytes[PAYLOAD_BYTES];
    gv_buf payload = gv_buf_of(bytes, sizeof bytes);
    spool_meta meta;
    uint64_t seq = 0;

    (void)state;
    open_spool();
    append_to(GV_OK, "");
    OK(spool_commit(s, NULL));
    spool_close(s);
    open_spool();
    assert_true(spool_look(s)->oldest_ms == late.time_ms);
    OK(spool_next(s, &meta, &payload, &seq, NULL));
    assert_true(spool_snapshot_equal(&meta.snapshot, &late));
    assert_true(meta.snapshot.time_ms == late.time_ms);
}

/* Only bytes that somebody made up say so; a batch under a sequence beyond the last would not be read. */
static void a_spool_whose_sequences_are_used_up_takes_no_more_and_says_so(void **state)
{
    static uint8_t bytes[PAYLOAD_BYTES];
    gv_buf payload = gv_buf_of(bytes, sizeof bytes);
    spool_cursor cursor = { .next_seq = SPOOL_SEQ_LIMIT - 1, .count = 1 };
    spool_meta meta;
    uint64_t seq = 0;

    (void)state;
    OK(spool_cursor_save(&fs, dir, &cursor, NULL));
    for (unsigned starts = 0; starts < 2; starts++) {
        open_spool();
        if (starts == 0)
            append_to(GV_OK, "");
        append_to(GV_FULL, "no sequence left");
        OK(spool_commit(s, NULL));
        if (starts == 0)
            spool_close(s);
    }
    OK(spool_next(s, &meta, &payload, &seq, NULL));
    assert_true(seq == SPOOL_SEQ_LIMIT - 1 && payload.len == PAYLOAD_BYTES);
    spool_ack(s, seq);
    spool_tick(s);
    append_to(GV_FULL, "no sequence left");
    assert_int_equal(access(in("3fffffffffffffff.seg"), F_OK), -1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(more_than_4_gib_are_counted_and_kept_within_a_larger_quota),
        TEST(a_reserve_beyond_4_gib_is_left_free),
        TEST(a_quarantine_beyond_4_gib_is_weighed_whole),
        TEST(a_quarantine_keeps_to_a_cap_beyond_4_gib),
        TEST(a_snapshot_of_the_next_century_comes_back_with_its_time),
        TEST(a_spool_whose_sequences_are_used_up_takes_no_more_and_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
