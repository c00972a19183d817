/* A wall clock that cannot be trusted: it starts in 1970, jumps ahead and back while the agent works.
 * What is asked, when, and what it is stamped with must not change by it. */
#include "tests/unit/source_world.h"

#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 200

/* When each request of one run went out, by the monotonic clock. */
typedef struct {
    uint64_t at_ms[CALLS_MAX];
    size_t count;
    uint64_t snapshots, failures;
    int64_t stamped; /* the feed's last_modified at the end */
} run_record;

/* Where the wall clock is put, minute by minute; 0: it runs on. */
typedef int64_t wall_story(uint64_t minute);

static int64_t starts_right(uint64_t minute)
{
    return minute == 0 ? INT64_C(1000) * EPOCH : 0;
}

static int64_t stays_in_1970(uint64_t minute)
{
    (void)minute;
    return 0;
}

static int64_t is_set_after_ten_minutes(uint64_t minute)
{
    return minute == 10 ? INT64_C(1000) * (EPOCH + 600) : 0;
}

static int64_t jumps_ahead_and_back(uint64_t minute)
{
    return minute == 0        ? INT64_C(1000) * EPOCH
           : minute % 90 == 5 ? INT64_C(4102444800000)
           : minute % 90 == 7 ? 1
                              : 0;
}

static int64_t falls_back_an_hour_each_hour(uint64_t minute)
{
    return minute == 0 ? INT64_C(1000) * EPOCH : minute % 60 == 30 ? w.now.wall_ms - 3600000 : 0;
}

/* All runs open at the same time of both clocks, in 1970, and so have the same chance. */
static void live(wall_story *story, uint64_t minutes)
{
    w.now = (clock_double){ START_MS, 7 };
    w.clock = clock_double_table(&w.now);
    open_source();
    for (uint64_t m = 0; m < minutes; m++) {
        int64_t wall = story(m);
        if (wall)
            w.now.wall_ms = wall;
        run_for(MINUTE);
    }
}

static int64_t cursor_time(void)
{
    static const char key[] = "\"last_modified\":";
    char text[256] = "";
    gv_span content;
    assert_true(disk_double_look(w.disk, CURSOR_604, &content));
    assert_true(content.len < sizeof text);
    memcpy(text, content.data, content.len);
    assert_non_null(strstr(text, key));
    return atoll(strstr(text, key) + strlen(key));
}

static void record(run_record *r, wall_story *story, uint64_t minutes)
{
    size_t before = calls_of("/auctions");
    disk_double_wipe(w.disk);
    w.auctions.next = 0;
    live(story, minutes);
    *r = (run_record){ .snapshots = counts()->snapshots, .failures = counts()->failures };
    for (const http_call *call; (call = call_of("/auctions", before + r->count)); r->count++) {
        assert_true(r->count < CALLS_MAX);
        r->at_ms[r->count] = call->at_ms;
    }
    r->stamped = cursor_time();
    close_source();
}

static void expect_same(const run_record *a, const run_record *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_int_equal(a->at_ms[i], b->at_ms[i]);
    assert_int_equal(a->snapshots, b->snapshots);
    assert_int_equal(a->failures, b->failures);
    assert_int_equal(a->stamped, b->stamped);
}

static void expect_the_same_day_whatever_the_clock_says(uint64_t minutes, run_record *day)
{
    static wall_story *const stories[] = { stays_in_1970, is_set_after_ten_minutes,
                                           jumps_ahead_and_back, falls_back_an_hour_each_hour };
    static run_record other;
    record(day, starts_right, minutes);
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        record(&other, stories[i], minutes);
        expect_same(day, &other);
    }
}

static void a_day_of_snapshots_is_the_same_however_the_wall_clock_jumps(void **state)
{
    static run_record day;
    (void)state;
    w.hourly = true;
    expect_the_same_day_whatever_the_clock_says(24 * 60, &day);
    assert_int_equal(day.snapshots, 25); /* the one that was there, and 24 new ones */
    assert_int_equal(day.failures, 0);
    assert_int_equal(day.stamped, EPOCH + 24 * 3600);
}

static void back_off_after_failures_is_the_same_however_the_wall_clock_jumps(void **state)
{
    static run_record day;
    (void)state;
    w.hourly = true;
    for (int i = 0; i < ANSWERS; i++)
        once(&w.auctions, i % 2 ? status_only(503) : no_answer("no route"));
    expect_the_same_day_whatever_the_clock_says(3 * 60, &day);
    assert_int_equal(day.failures, ANSWERS);
    assert_int_equal(day.count, ANSWERS + day.snapshots);
    for (size_t i = 1; i < ANSWERS;
         i++) /* it did grow: 1 s, doubled each time, half of it chance */
        assert_in_range(day.at_ms[i] - day.at_ms[i - 1], SECOND << (i - 1) >> 1, SECOND << (i - 1));
    assert_int_equal(day.stamped, EPOCH + 3 * 3600);
}

static void late_snapshot_is_polled_for_the_same_however_the_wall_clock_jumps(void **state)
{
    static run_record day;
    (void)state;
    w.published = EPOCH;
    expect_the_same_day_whatever_the_clock_says(4 * 60, &day);
    assert_int_equal(day.snapshots, 1);
    assert_true(day.count > 20);
    assert_int_equal(day.stamped, EPOCH);
}

/* What the server said last is the least that TLS judges certificates by, however far back it falls. */
static void clock_that_falls_back_does_not_take_the_floor_with_it(void **state)
{
    (void)state;
    w.hourly = true;
    live(starts_right, 3 * 60);
    w.now.wall_ms = 1;
    assert_true(plat_clock_is_behind(&w.clock));
    assert_in_range(plat_wall_ms(&w.clock), INT64_C(1000) * (EPOCH + 2 * 3600), INT64_MAX);
}

/* The time on the disk is the floor of a clock without a battery, and what the server is asked with. */
static void expect_restart_knows(int64_t stamped)
{
    char text[64];
    size_t before = calls_of("/auctions");
    w.now.wall_ms = 7;
    w.clock = clock_double_table(&w.now);
    open_source();
    assert_in_range(plat_wall_ms(&w.clock), 1000 * stamped, 1000 * stamped + 7);
    run_for(MINUTE);
    date_text(stamped, text, sizeof text);
    assert_non_null(call_of("/auctions", before));
    assert_string_equal(http_call_header(call_of("/auctions", before), "If-Modified-Since"), text);
    close_source();
}

/* From 2038 on 31 bits are too few for a time, from 2106 on 32; the board's clock is in 1970 as ever. */
static void a_day_of_the_next_century_is_like_any_other(void **state)
{
    static run_record today, later;
    static const int64_t ahead_h[] = { 220000, 820000 }; /* in 2039 and 2108 */
    (void)state;
    w.hourly = true;
    record(&today, stays_in_1970, 24 * 60);
    for (size_t i = 0; i < sizeof ahead_h / sizeof ahead_h[0]; i++) {
        w.later_s = ahead_h[i] * 3600;
        record(&later, stays_in_1970, 24 * 60);
        assert_true(later.stamped == today.stamped + w.later_s);
        later.stamped = today.stamped;
        expect_same(&today, &later);
        expect_restart_knows(today.stamped + w.later_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_day_of_snapshots_is_the_same_however_the_wall_clock_jumps),
        TEST(back_off_after_failures_is_the_same_however_the_wall_clock_jumps),
        TEST(late_snapshot_is_polled_for_the_same_however_the_wall_clock_jumps),
        TEST(a_day_of_the_next_century_is_like_any_other),
        TEST(clock_that_falls_back_does_not_take_the_floor_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
