#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "agent/source/rate.h"
#include "agent/source/schedule.h"

#define TIMES_MAX 200000

static uint64_t *times; /* when requests went out */
static size_t count;

static int setup(void **state)
{
    (void)state;
    times = malloc(TIMES_MAX * sizeof *times);
    count = 0;
    return times ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(times);
    return 0;
}

/* The most requests in any window [t, t + span). */
static size_t most_in(uint64_t span_ms)
{
    size_t most = 0, from = 0;
    for (size_t i = 0; i < count; i++) {
        while (times[i] - times[from] >= span_ms)
            from++;
        if (i - from + 1 > most)
            most = i - from + 1;
    }
    return most;
}

/* Asks at random moments, at times in bursts, at times exactly when it is told to. */
static void use(rate_limit *r, schedule_random *random, uint64_t from_ms, uint64_t until_ms)
{
    uint64_t now_ms = from_ms;
    while (now_ms < until_ms && count < TIMES_MAX) {
        uint64_t wait_ms = rate_take(r, now_ms);
        if (wait_ms == 0)
            times[count++] = now_ms;
        switch (schedule_below(random, 4)) {
        case 0:
            now_ms += schedule_below(random, 50);
            break;
        case 1:
            now_ms += schedule_below(random, 100) == 0 ? schedule_below(random, 60000) : 0;
            break;
        default:
            now_ms += wait_ms;
        }
    }
}

static void no_second_and_no_hour_ever_sees_more_than_its_limit(void **state)
{
    static const struct {
        uint64_t per_s, per_hour;
    } limits[] = { { 100, 36000 }, { 50, 18000 }, { 1, 36000 }, { 1, 1 }, { 2, 3 }, { 7, 100 } };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            rate_limit r;
            schedule_random random;
            schedule_seed(&random, seed * 977 + i);
            count = 0;
            rate_init(&r, limits[i].per_s, limits[i].per_hour, 5000);
            use(&r, &random, 5000, 5000 + 3 * 3600000u);
            assert_true(count > 0);
            assert_in_range(most_in(1000), 1, limits[i].per_s);
            assert_in_range(most_in(3600000), 1, limits[i].per_hour);
        }
}

/* What a person gets who sets a limit is that limit, not half of it. */
static void steady_use_reaches_the_limits(void **state)
{
    (void)state;
    rate_limit r;
    rate_init(&r, 10, 36000, 0);
    for (uint64_t now_ms = 0; now_ms < 60000;) {
        uint64_t wait_ms = rate_take(&r, now_ms);
        count += wait_ms == 0;
        now_ms += wait_ms;
    }
    assert_in_range(count, 580, 610);
    count = 0;
    rate_init(&r, 100, 360, 0);
    for (uint64_t now_ms = 0; now_ms < 10 * 3600000u;) {
        uint64_t wait_ms = rate_take(&r, now_ms);
        count += wait_ms == 0;
        now_ms += wait_ms;
    }
    assert_in_range(count, 3500, 3600);
}

static void a_second_s_requests_may_go_out_at_once(void **state)
{
    (void)state;
    rate_limit r;
    rate_init(&r, 100, 36000, 77);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rate_take(&r, 77), 0);
}

static void the_wait_it_names_is_long_enough_and_not_longer(void **state)
{
    (void)state;
    rate_limit r;
    uint64_t now_ms = 0, wait_ms;
    rate_init(&r, 3, 36000, now_ms);
    for (int i = 0; i < 1000; i++) {
        while ((wait_ms = rate_take(&r, now_ms)) == 0)
            ;
        if (wait_ms > 1)
            assert_int_not_equal(rate_take(&r, now_ms + wait_ms - 1), 0);
        now_ms += wait_ms;
        assert_int_equal(rate_take(&r, now_ms), 0);
    }
}

static void a_block_stops_everything_until_it_ends(void **state)
{
    (void)state;
    rate_limit r;
    rate_init(&r, 100, 36000, 0);
    rate_block(&r, 1000, 5000);
    assert_int_equal(rate_take(&r, 1000), 5000);
    rate_block(&r, 2000, 1000); /* a shorter one does not lift it */
    assert_int_equal(rate_take(&r, 5999), 1);
    assert_int_equal(rate_take(&r, 6000), 0);
}

static void a_month_without_requests_overflows_nothing(void **state)
{
    (void)state;
    rate_limit r;
    rate_init(&r, 100, 36000, 0);
    for (uint64_t day = 1; day < 3650; day += 30) {
        uint64_t now_ms = day * 86400000u;
        count = 0;
        while (count < TIMES_MAX && rate_take(&r, now_ms) == 0)
            count++;
        assert_in_range(count, 1, 100);
    }
    assert_int_equal(rate_take(&r, UINT64_MAX / 2), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_second_and_no_hour_ever_sees_more_than_its_limit),
        TEST(steady_use_reaches_the_limits),
        TEST(a_second_s_requests_may_go_out_at_once),
        TEST(the_wait_it_names_is_long_enough_and_not_longer),
        TEST(a_block_stops_everything_until_it_ends),
        TEST(a_month_without_requests_overflows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
