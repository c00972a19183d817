/* Backlogs: snapshots that arrive many hours late, and thousands of them interleaved. */
#include "tests/unit/sink_help.h"

#include "platform/log.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FEEDS 100
#define HOURS 24
#define ROWS  2 /* of a snapshot */
#define HOUR  3600000u

static world w;

static int set_up(void **state)
{
    world_open(&w);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static const char *name_of(int feed, int hour)
{
    static char name[SNAPSHOT_TEXT_MAX];

    snprintf(name, sizeof name, "eu/%d/0/%d", feed + 1, 1404174601 + hour * 3600);
    return name;
}

/* The first row of every snapshot, then the second of every: no two neighbours are of one. */
static void put_rows(int hours, uint64_t sums[FEEDS][HOURS])
{
    for (int row = 0; row < ROWS; row++) {
        for (int h = 0; h < hours; h++) {
            for (int f = 0; f < FEEDS; f++) {
                world_auction(&w, row, name_of(f, h), row, row, 50, &sums[f][h]);
            }
        }
    }
}

static bool is_gap(int feed, int hour)
{
    return (feed + hour) % 10 == 0;
}

static void put_ledger(int hours, uint64_t sums[FEEDS][HOURS])
{
    for (int h = 0; h < hours; h++) {
        for (int f = 0; f < FEEDS; f++) {
            if (is_gap(f, h)) {
                world_gap(&w, name_of(f, h), 3, 0);
            } else {
                world_ledger(&w, name_of(f, h), ROWS, 0, sums[f][h]);
            }
        }
    }
}

static void assert_verdicts(int hours)
{
    for (int h = 0; h < hours; h++) {
        for (int f = 0; f < FEEDS; f++) {
            snapshot_doc d = world_snapshot(&w, name_of(f, h));
            assert_string_equal(d.state, is_gap(f, h) ? "gap" : "complete");
            assert_int_equal(d.stored, ROWS);
            assert_false(d.recheck);
        }
    }
}

/* Calls of the outside for each snapshot of a backlog of so many hours. */
static uint64_t drain(int hours)
{
    static uint64_t sums[FEEDS][HOURS];

    memset(sums, 0, sizeof sums);
    w.batch_records = 500;
    put_rows(hours, sums);
    put_ledger(hours, sums);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_verdicts(hours);
    return w.calls / (uint64_t)(hours * FEEDS);
}

static void a_day_of_a_hundred_feeds_drains_at_once(void **state)
{
    (void)state;
    assert_in_range(drain(HOURS), 4, 8);
}

static void a_backlog_larger_than_the_table_is_judged_whole(void **state)
{
    (void)state;
    w.snapshots = 64;
    assert_in_range(drain(HOURS), 4, 12);
}

/* The agent was cut off for a day, and the ledger topic is far ahead of the records: hours pass between
 * the entries and each part of the rows, and the sink is started anew in between. */
static void rows_that_come_hours_after_their_ledger_entry_are_judged_the_same(void **state)
{
    (void)state;
    static uint64_t sums[FEEDS][HOURS];
    int64_t high[2];

    memset(sums, 0, sizeof sums);
    put_rows(2, sums);
    put_ledger(2, sums);
    for (int p = 0; p < 2; p++) {
        high[p] = w.partitions[RAW][p].high;
        w.partitions[RAW][p].high = 0;
    }
    world_start(&w);
    assert_true(world_drain(&w));
    assert_string_equal(world_snapshot(&w, name_of(1, 0)).state, "incomplete");
    for (int part = 1; part <= 3; part++) {
        for (int p = 0; p < 2; p++) {
            w.partitions[RAW][p].high = high[p] * part / 3;
        }
        w.now_ms += 7 * HOUR;
        if (part == 2) {
            world_restart(&w);
        }
        assert_true(world_drain(&w));
    }
    assert_verdicts(2);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_day_of_a_hundred_feeds_drains_at_once),
        EACH(rows_that_come_hours_after_their_ledger_entry_are_judged_the_same),
        EACH(a_backlog_larger_than_the_table_is_judged_whole),
    };
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
