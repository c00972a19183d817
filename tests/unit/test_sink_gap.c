/* Gaps: what the agent had to drop, against what it claims and what the store proves. */
#include "tests/unit/sink_help.h"

#include "agent/sink/audit.h"
#include "platform/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S1   "eu/604/0/1404174601"
#define S2   "eu/604/0/1404178201"
#define HOUR 3600000u

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

/* The digest of rows that are not in Kafka (yet). */
static uint64_t digest_of(const char *snapshot, int64_t first, int64_t count)
{
    int64_t even = w.partitions[RAW][0].high, odd = w.partitions[RAW][1].high;
    uint64_t sum = world_rows(&w, snapshot, first, count);

    for (int p = 0; p < 2; p++) {
        world_partition *part = &w.partitions[RAW][p];
        while (part->high > (p ? odd : even)) {
            free(part->messages[--part->high].bytes);
        }
    }
    return sum;
}

static void assert_state(const char *snapshot, const char *expected)
{
    snapshot_doc d = world_snapshot(&w, snapshot);

    assert_string_equal(d.state, expected);
    assert_false(d.recheck);
    assert_int_equal(d.dropped != 0, strcmp(expected, "gap") == 0);
}

static void a_gap_says_what_was_dropped_and_what_is_there(void **state)
{
    (void)state;
    world_rows(&w, S1, 0, 10);
    world_reject(&w, 0, S1, 3);
    world_gap(&w, S1, 7, 2);
    world_gap(&w, S2, 40, 0); /* nothing of this one was ever sent */
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
    assert_state(S2, "gap");
    snapshot_doc d = world_snapshot(&w, S1);
    assert_int_equal(d.dropped, 7);
    assert_int_equal(d.gap.claim.rejects, 2);
    assert_string_equal(d.gap.reason, "quota");
    assert_string_equal(d.gap.device, "pi-attic");
    assert_string_equal(d.reason, "7 records were dropped by pi-attic: quota");
    assert_int_equal(d.stored, 10);
    assert_int_equal(d.rejects_stored, 1);
    assert_true(d.verified);
    assert_int_equal(world_snapshot(&w, S2).stored, 0);
    assert_int_equal(sink_counted(w.sink)->gaps, 2);
    assert_int_equal(w.letter_count, 0);
}

static void a_gap_takes_the_place_of_an_earlier_claim(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10) + digest_of(S1, 10, 7);
    world_ledger(&w, S1, 17, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    world_gap(&w, S1, 7, 0);
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
    assert_int_equal(world_snapshot(&w, S1).missing, 7); /* the claim still tells which */
}

static void what_the_store_proves_is_complete_whatever_a_gap_says(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    world_gap(&w, S1, 4, 0);
    world_ledger(&w, S2, 6, 0, digest_of(S2, 0, 6));
    world_gap(&w, S2, 6, 0);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_state(S2, "gap");
    world_gap(&w, S1, 5, 0); /* proved before it came */
    assert_true(world_turn(&w, w.batch_records));
    assert_string_equal(world_snapshot(&w, S1).state, "complete"); /* not for a moment another */
    assert_true(world_snapshot(&w, S1).gap_last);
    w.now_ms += 9 * HOUR;
    world_rows(&w, S2, 0, 6); /* somebody had them after all */
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_state(S2, "complete");
    world_rows(&w, S1, 10, 1); /* the proof is gone: the last word was a gap */
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
}

static void a_claim_after_the_gap_is_judged_as_any(void **state)
{
    (void)state;
    world_rows(&w, S1, 0, 4);
    world_gap(&w, S1, 6, 0);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
    world_ledger(&w, S1, 10, 0, digest_of(S1, 0, 10)); /* fetched again */
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_int_equal(world_snapshot(&w, S1).missing, 6);
    world_rows(&w, S1, 0, 10);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
}

static void a_gap_is_final_and_rows_that_come_late_are_counted(void **state)
{
    (void)state;
    world_rows(&w, S1, 0, 3);
    world_gap(&w, S1, 6, 0);
    world_start(&w);
    assert_true(world_drain(&w));
    w.now_ms += 30 * HOUR;
    world_rows(&w, S1, 3, 2);
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
    assert_int_equal(world_snapshot(&w, S1).stored, 5);
}

/* --- redelivery, restarts, two sinks --- */

/* "C": a claim of 10 rows; "G": a gap. Seven of the rows are there, or with `whole` all. */
typedef struct {
    const char *entries;
    bool whole;
    const char *state;
} story;

static const story stories[] = {
    { "G", false, "gap" },          { "CG", false, "gap" },      { "GC", false, "incomplete" },
    { "CGC", false, "incomplete" }, { "GCG", false, "gap" },     { "GGCCG", false, "gap" },
    { "CG", true, "complete" },     { "CGC", true, "complete" }, { "GCG", true, "complete" },
    { "GG", true, "gap" }, /* nothing proves it */
};

static void tell(const story *t)
{
    uint64_t sum = world_rows(&w, S1, 0, t->whole ? 10 : 7);

    sum += t->whole ? 0 : digest_of(S1, 7, 3);
    for (const char *e = t->entries; *e; e++) {
        if (*e == 'C') {
            world_ledger(&w, S1, 10, 0, sum);
        } else {
            world_gap(&w, S1, 3, 0);
        }
    }
}

static void no_failure_changes_the_outcome(const story *t, bool kill, bool fail_after)
{
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        world_close(&w);
        world_open(&w);
        w.batch_records = 3;
        tell(t);
        w.fail_at = n;
        w.fail_after = fail_after;
        world_start(&w);
        for (int attempt = 0; !world_drain(&w); attempt++) {
            assert_true(attempt < 3);
            if (kill) {
                world_restart(&w);
            }
        }
        failed = w.failed;
        assert_state(S1, t->state);
        assert_int_equal(world_snapshot(&w, S1).stored, t->whole ? 10 : 7);
    }
}

static void no_kill_or_failure_changes_what_a_gap_comes_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        for (int how = 0; how < 4; how++) {
            no_failure_changes_the_outcome(&stories[i], how & 1, how & 2);
        }
    }
}

/* The group reads the ledger again from any of its entries, and stops at any. */
static void reading_the_ledger_again_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        int64_t count = (int64_t)strlen(stories[i].entries);
        for (int64_t from = 0; from < count; from++) {
            for (int64_t to = from + 1; to <= count; to++) {
                world_close(&w);
                world_open(&w);
                tell(&stories[i]);
                world_start(&w);
                assert_true(world_drain(&w));
                w.partitions[LEDGER][0].committed = from;
                w.partitions[RAW][0].committed = -1;
                world_restart(&w);
                while (w.partitions[LEDGER][0].next < to) {
                    assert_true(world_turn(&w, 1));
                }
                w.partitions[LEDGER][0].committed = count; /* the rest is another sink's */
                world_restart(&w);
                assert_true(world_drain(&w));
                assert_state(S1, stories[i].state);
            }
        }
    }
}

/* A sink that was thought dead writes the first `held` entries that it had read: only its commit would be
 * refused. The other one reads those from `low`: the rest is compacted away by then. */
static void wake_late(const story *t, int64_t held, int64_t low)
{
    int64_t count = (int64_t)strlen(t->entries);

    world_close(&w);
    world_open(&w);
    tell(t);
    w.partitions[LEDGER][0].high = held;
    world_start(&w);
    w.store_away = true;
    assert_false(world_turn(&w, w.batch_records));
    w.store_away = false;
    w.partitions[LEDGER][0].high = count;
    w.partitions[LEDGER][0].low = low;
    sink *late = w.sink;
    world_start(&w);
    assert_true(world_drain(&w));
    assert_int_equal(sink_flush(late, NULL), GV_OK);
    w.partitions[LEDGER][0].committed = count;
    while (sink_verify(late, true, NULL) != GV_OK) {
        w.now_ms += 300;
    }
    sink_close(late);
    w.partitions[LEDGER][0].low = 0;
    assert_true(world_drain(&w));
    assert_state(S1, t->state);
}

static void a_sink_that_wakes_late_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        int64_t count = (int64_t)strlen(stories[i].entries);
        for (int64_t held = 1; held <= count; held++) {
            wake_late(&stories[i], held, 0);
            if (!stories[i].whole) { /* a proof needs its claim */
                wake_late(&stories[i], held, count - 1);
            }
        }
    }
}

/* A second sink stores a gap, and dies before its verdict. */
static void other_stores_a_gap(void)
{
    sink *mine = w.sink, *other;

    world_gap(&w, S1, 3, 0);
    world_start(&w);
    other = w.sink;
    w.sink = mine;
    kafka_message m = { .topic = "auctions.snapshots",
                        .offset = 1,
                        .key = gv_span_str(S1),
                        .value = gv_span_of(w.partitions[LEDGER][0].messages[1].bytes + strlen(S1),
                                            w.partitions[LEDGER][0].messages[1].value_len) };
    assert_int_equal(sink_add(other, &m, NULL), GV_OK);
    assert_int_equal(sink_flush(other, NULL), GV_OK);
    sink_close(other);
    w.partitions[LEDGER][0].next = 2; /* read and committed by the other */
}

static void a_verdict_overtaken_by_a_gap_is_not_written(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 7) + digest_of(S1, 7, 3);
    world_start(&w);
    assert_true(world_drain(&w)); /* what a start looks at again is over */
    world_ledger(&w, S1, 10, 0, sum);
    w.at_scan = other_stores_a_gap;
    assert_true(world_drain(&w));
    assert_null(w.at_scan);
    assert_int_equal(w.partitions[LEDGER][0].committed, 2);
    assert_state(S1, "gap");
}

static void a_ledger_made_anew_is_believed(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        world_gap(&w, S2, 1, 0);
    }
    world_rows(&w, S1, 0, 7);
    world_gap(&w, S1, 3, 0); /* offset 5 */
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "gap");
    world_partition *p = &w.partitions[LEDGER][0];
    while (p->high > 0) { /* the topic is deleted, and made again */
        free(p->messages[--p->high].bytes);
    }
    p->committed = -1;
    world_ledger(&w, S1, 10, 0, world_rows(&w, S1, 0, 10)); /* offset 0 */
    world_restart(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_false(world_snapshot(&w, S1).gap_last);
}

/* --- audit --- */

static void audit_shows_gaps_and_that_not_all_is_well(void **state)
{
    (void)state;
    char *text;
    size_t size;
    bool all = true;

    world_ledger(&w, S1, 10, 0, world_rows(&w, S1, 0, 10));
    world_rows(&w, S2, 0, 6);
    world_gap(&w, S2, 45, 0);
    world_start(&w);
    assert_true(world_drain(&w));
    for (int json = 0; json < 2; json++) {
        FILE *f = open_memstream(&text, &size);
        assert_int_equal(audit_print(&w.inner, f, json, &all, NULL), GV_OK);
        fclose(f);
        assert_false(all);
        if (json) {
            assert_non_null(strstr(text, "\"state\" : \"gap\""));
            assert_non_null(strstr(text, "\"stored\" : 6"));
            assert_non_null(strstr(text, "\"dropped\" : 45, \"device\" : \"pi-attic\""));
            assert_null(strstr(strstr(text, S1), "\"dropped\" : 0"));
        } else {
            assert_non_null(strstr(text, "  MISSING  DROPPED  VERIFIED"));
            assert_non_null(strstr(text, S2 "        gap                -         6       0 "
                                            "       -         -       45  20"));
            assert_non_null(strstr(text, "  45 records were dropped by pi-attic: quota\n"));
            assert_non_null(strstr(text, "\n2 snapshots, 1 complete, 1 with a gap\n"));
        }
        free(text);
    }
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        EACH(a_gap_says_what_was_dropped_and_what_is_there),
        EACH(a_gap_takes_the_place_of_an_earlier_claim),
        EACH(what_the_store_proves_is_complete_whatever_a_gap_says),
        EACH(a_claim_after_the_gap_is_judged_as_any),
        EACH(a_gap_is_final_and_rows_that_come_late_are_counted),
        EACH(no_kill_or_failure_changes_what_a_gap_comes_to),
        EACH(reading_the_ledger_again_changes_nothing),
        EACH(a_sink_that_wakes_late_changes_nothing),
        EACH(a_verdict_overtaken_by_a_gap_is_not_written),
        EACH(a_ledger_made_anew_is_believed),
        EACH(audit_shows_gaps_and_that_not_all_is_well),
    };
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
