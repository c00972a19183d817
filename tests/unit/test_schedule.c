#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/schedule.h"

#define HOUR_MS  3600000u
#define DAY_2014 1404174601 /* Last-Modified of some snapshot */

static const schedule_config config = {
    .interval_ms = HOUR_MS,
    .late_poll_min_ms = 30000,
    .late_poll_max_ms = 600000,
    .retry_min_ms = 1000,
    .retry_max_ms = 900000,
    .stale_after_ms = 3 * HOUR_MS,
};

static schedule_random seeded(uint64_t seed)
{
    schedule_random r;
    schedule_seed(&r, seed);
    return r;
}

static void age_is_what_the_server_says_it_is(void **state)
{
    (void)state;
    feed f = { .last_modified = DAY_2014 };
    assert_int_equal(schedule_age_ms(&f, DAY_2014 + 90), 90000);
    assert_int_equal(schedule_age_ms(&f, DAY_2014), 0);
    assert_int_equal(schedule_age_ms(&f, DAY_2014 - 5), 0);
    assert_int_equal(schedule_age_ms(&f, -1), 0);
    f.last_modified = 0;
    assert_int_equal(schedule_age_ms(&f, DAY_2014), 0);
}

static void next_snapshot_is_asked_for_when_it_should_be_there(void **state)
{
    (void)state;
    uint64_t earliest = UINT64_MAX, latest = 0;
    schedule_random r = seeded(1);
    for (int i = 0; i < 2000; i++) {
        feed f = { .last_modified = DAY_2014, .failures = 3, .late_poll_ms = 60000 };
        schedule_next(&f, &config, &r, 1000, DAY_2014 + 600);
        assert_in_range(f.due_ms, 1000 + HOUR_MS - 600000, 1000 + HOUR_MS - 600000 + 15000);
        assert_int_equal(f.failures, 0);
        assert_int_equal(f.late_poll_ms, 0);
        earliest = f.due_ms < earliest ? f.due_ms : earliest;
        latest = f.due_ms > latest ? f.due_ms : latest;
    }
    assert_true(latest - earliest > 10000); /* boards do not all ask in the same second */
}

static void a_late_snapshot_is_polled_for_at_growing_intervals_up_to_the_cap(void **state)
{
    static const uint64_t waits[] = { 30000, 60000, 120000, 240000, 480000, 600000, 600000 };
    (void)state;
    feed f = { .last_modified = DAY_2014 };
    schedule_random r = seeded(2);
    uint64_t now_ms = 0;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        schedule_next(&f, &config, &r, now_ms, DAY_2014 + 3600 + (int64_t)(now_ms / 1000));
        assert_int_equal(f.due_ms - now_ms, waits[i]);
        now_ms = f.due_ms;
    }
    f.last_modified = DAY_2014 + 7200; /* it came: the next late one starts small again */
    schedule_next(&f, &config, &r, now_ms, DAY_2014 + 7300);
    assert_int_equal(f.late_poll_ms, 0);
    schedule_next(&f, &config, &r, now_ms, DAY_2014 + 7200 + 3600);
    assert_int_equal(f.due_ms - now_ms, waits[0]);
}

static void back_off_doubles_to_its_cap_with_jitter_of_a_half(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        schedule_random r = seeded(seed);
        uint32_t failures = 0;
        uint64_t full_ms = config.retry_min_ms;
        for (int i = 0; i < 20; i++) {
            uint64_t wait_ms = schedule_backoff(&config, &r, &failures, 0);
            assert_in_range(wait_ms, full_ms / 2, full_ms);
            assert_int_equal(failures, i + 1);
            full_ms = full_ms * 2 < config.retry_max_ms ? full_ms * 2 : config.retry_max_ms;
        }
    }
}

static void back_off_uses_the_whole_of_its_range(void **state)
{
    (void)state;
    uint64_t least = UINT64_MAX, most = 0;
    schedule_random r = seeded(3);
    for (int i = 0; i < 2000; i++) {
        uint32_t failures = 4; /* 16 s */
        uint64_t wait_ms = schedule_backoff(&config, &r, &failures, 0);
        least = wait_ms < least ? wait_ms : least;
        most = wait_ms > most ? wait_ms : most;
    }
    assert_in_range(least, 8000, 8400);
    assert_in_range(most, 15600, 16000);
}

static void back_off_is_never_shorter_than_what_the_server_asked_for(void **state)
{
    (void)state;
    schedule_random r = seeded(4);
    uint32_t failures = 0;
    assert_int_equal(schedule_backoff(&config, &r, &failures, 120000), 120000);
    feed f = { .failures = 0 };
    schedule_retry(&f, &config, &r, 500, 7000);
    assert_int_equal(f.due_ms, 7500);
    assert_int_equal(f.failures, 1);
}

static void retry_after_is_believed_for_a_day_at_most(void **state)
{
    (void)state;
    assert_int_equal(schedule_asked_ms(&(http_reply){ .retry_after_s = -1 }), 0);
    assert_int_equal(schedule_asked_ms(&(http_reply){ .retry_after_s = 0 }), 0);
    assert_int_equal(schedule_asked_ms(&(http_reply){ .retry_after_s = 120 }), 120000);
    assert_int_equal(schedule_asked_ms(&(http_reply){ .retry_after_s = INT64_MAX }), 86400000);
}

static void failures_without_end_overflow_nothing(void **state)
{
    (void)state;
    schedule_config c = config;
    c.retry_max_ms = UINT64_MAX / 4;
    schedule_random r = seeded(5);
    uint32_t failures = UINT32_MAX;
    assert_in_range(schedule_backoff(&c, &r, &failures, 0), UINT64_MAX / 8, UINT64_MAX / 4);
    assert_int_equal(failures, UINT32_MAX);
}

static void chance_stays_below_its_bound_and_survives_a_zero_seed(void **state)
{
    (void)state;
    schedule_random r = seeded(0);
    unsigned seen[10] = { 0 };
    assert_int_equal(schedule_below(&r, 0), 0);
    assert_int_equal(schedule_below(&r, 1), 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t n = schedule_below(&r, 10);
        assert_true(n < 10);
        seen[n]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 800, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(age_is_what_the_server_says_it_is),
        cmocka_unit_test(next_snapshot_is_asked_for_when_it_should_be_there),
        cmocka_unit_test(a_late_snapshot_is_polled_for_at_growing_intervals_up_to_the_cap),
        cmocka_unit_test(back_off_doubles_to_its_cap_with_jitter_of_a_half),
        cmocka_unit_test(back_off_uses_the_whole_of_its_range),
        cmocka_unit_test(back_off_is_never_shorter_than_what_the_server_asked_for),
        cmocka_unit_test(retry_after_is_believed_for_a_day_at_most),
        cmocka_unit_test(failures_without_end_overflow_nothing),
        cmocka_unit_test(chance_stays_below_its_bound_and_survives_a_zero_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
