/* The sink's core against SQLite and a world of its own: what is stored, and the verdicts. */
#include "tests/unit/sink_help.h"

#include "platform/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define S1 "eu/604/0/1404174601"
#define S2 "eu/604/0/1404178201"

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

static void assert_state(const char *snapshot, const char *expected)
{
    snapshot_doc d = world_snapshot(&w, snapshot);

    assert_string_equal(d.state, expected);
    assert_false(d.recheck);
    if (strcmp(expected, "complete") == 0) {
        assert_string_equal(d.reason, "");
    }
}

static void everything_stored_is_complete(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 250);
    world_reject(&w, 1, S1, 17);
    world_ledger(&w, S1, 250, 1, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    snapshot_doc d = world_snapshot(&w, S1);
    assert_int_equal(d.stored, 250);
    assert_int_equal(d.rejects_stored, 1);
    assert_int_equal(d.missing, 0);
    assert_true(d.verified);
    assert_int_equal(world_stored(&w, RAW, S1).docs, 250);
    assert_int_equal(w.letter_count, 0);
    assert_int_equal(w.fetches, 2); /* a schema is asked for once */
    assert_int_equal(sink_counted(w.sink)->complete, 1);
}

static void a_ledger_entry_may_come_first(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    w.partitions[RAW][0].next = w.partitions[RAW][0].high; /* raw partitions come later */
    w.partitions[RAW][1].next = w.partitions[RAW][1].high;
    assert_true(world_turn(&w, 100));
    for (int i = 0; i < 5; i++) {
        assert_true(world_turn(&w, 100));
    }
    assert_string_equal(world_snapshot(&w, S1).state, "pending");
    w.partitions[RAW][0].next = w.partitions[RAW][1].next = 0;
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_int_equal(sink_counted(w.sink)->incomplete, 0);
}

static void a_snapshot_without_ledger_entry_is_receiving(void **state)
{
    (void)state;
    world_rows(&w, S1, 0, 10);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_string_equal(world_snapshot(&w, S1).state, "receiving");
    uint64_t sum = world_rows(&w, S2, 0, 0);
    world_ledger(&w, S2, 0, 0, sum);
    assert_true(world_drain(&w));
    assert_state(S2, "complete"); /* an empty house */
}

static void missing_records_are_named(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10) + world_rows(&w, S1, 15, 5);
    world_ledger(&w, S1, 25, 0, sum + 1);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    snapshot_doc d = world_snapshot(&w, S1);
    assert_string_equal(d.reason, "10 of 25 records are missing");
    assert_int_equal(d.missing, 10);
    assert_int_equal(d.stored, 15);
}

static void what_was_missing_may_still_come(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    sum += world_rows(&w, S1, 10, 2);
    w.partitions[RAW][0].high = w.partitions[RAW][1].high = 5; /* the last two are not there yet */
    world_ledger(&w, S1, 12, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    w.partitions[RAW][0].high = w.partitions[RAW][1].high = 6;
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
}

static void a_changed_record_is_noticed(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum + 12345);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_non_null(strstr(world_snapshot(&w, S1).reason, "digest"));
}

static void a_record_too_many_is_noticed(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_rows(&w, S1, 10, 1);
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_string_equal(world_snapshot(&w, S1).reason,
                        "11 records are stored, the agent counted 10");
}

static void a_missing_reject_is_noticed(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_reject(&w, 0, S1, 3);
    world_ledger(&w, S1, 10, 2, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_string_equal(world_snapshot(&w, S1).reason, "1 of 2 rejects are missing");
}

static void the_agents_own_doubt_is_kept(void **state)
{
    (void)state;
    world_rows(&w, S1, 0, 10);
    world_json(&w, S1, "{\"snapshot\":\"" S1 "\",\"state\":\"partial\",\"news\":{\"records\":7}}");
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_string_equal(world_snapshot(&w, S1).reason, "the agent says: partial");
}

static void everything_twice_changes_nothing(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 120);
    world_reject(&w, 0, S1, 3);
    world_ledger(&w, S1, 120, 1, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    for (int round = 0; round < 3; round++) {
        world_rows(&w, S1, 0, 120); /* the agent sends it all again */
        world_reject(&w, 0, S1, 3);
        world_ledger(&w, S1, 120, 1, sum);
        if (round == 1) { /* and the group forgets what it has read */
            for (int t = 0; t < WORLD_TOPICS; t++) {
                w.partitions[t][0].committed = w.partitions[t][1].committed = -1;
            }
            world_restart(&w);
        }
        assert_true(world_drain(&w));
        assert_state(S1, "complete");
        world_sum stored = world_stored(&w, RAW, S1);
        assert_int_equal(stored.docs, 120);
        assert_int_equal(stored.copies, 0);
        assert_true(stored.digest == sum);
        assert_int_equal(world_stored(&w, REJECTS, S1).docs, 1);
    }
    assert_int_equal(sink_counted(w.sink)->incomplete, 0);
}

static void two_rows_of_one_id_are_both_counted(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_auction(&w, 0, S1, 1000, 10, 50, &sum); /* the same content at another place */
    world_auction(&w, 0, S1, 1000, 11, 99, &sum); /* and another price */
    world_ledger(&w, S1, 12, 0, sum);
    for (int round = 0; round < 2; round++) {
        world_start(&w);
        assert_true(world_drain(&w));
        assert_state(S1, "complete");
        world_sum stored = world_stored(&w, RAW, S1);
        assert_int_equal(stored.docs, 10);
        assert_int_equal(stored.copies, 2);
        assert_true(stored.digest == sum);
        assert_int_equal(world_snapshot(&w, S1).copies, 2);
        w.partitions[RAW][0].committed = w.partitions[LEDGER][0].committed = -1;
        sink_close(w.sink);
        w.sink = NULL;
    }
}

static void a_resend_in_another_order_is_complete(void **state)
{
    (void)state;
    uint64_t first = 0, second = 0;
    for (int i = 0; i < 6; i++) { /* an attempt that broke off */
        world_auction(&w, i % 2, S1, 1000 + i, i, 50, &first);
    }
    for (int i = 0; i < 10; i++) { /* the whole of it, from its end */
        world_auction(&w, i % 2, S1, 1000 + i, 9 - i, 50, &second);
    }
    world_ledger(&w, S1, 10, 0, second);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_int_equal(world_stored(&w, RAW, S1).docs, 10);
}

static void bad_messages_go_to_the_dead_letters_and_the_rest_goes_on(void **state)
{
    (void)state;
    static const uint8_t unframed[] = "hello world", cut[] = { 0, 0, 0, 0, 7, 4 };
    static const uint8_t unknown[] = { 0, 0, 0, 1, 0, 1 }, broken[] = { 0, 0, 0, 0, 9, 1 };
    gv_span key = gv_span_str("key");

    uint64_t sum = world_rows(&w, S1, 0, 3);
    world_put(&w, RAW, 0, key, gv_span_of(unframed, sizeof unframed), false);
    world_put(&w, RAW, 0, key, gv_span_of(cut, 3), false);
    world_put(&w, RAW, 0, key, gv_span_of(cut, sizeof cut), false);
    world_put(&w, RAW, 0, key, gv_span_of(unknown, sizeof unknown), false);
    world_put(&w, RAW, 0, key, gv_span_of(broken, sizeof broken), false);
    world_put(&w, RAW, 0, key, gv_span_of(NULL, 0), true);
    world_json(&w, S1, "not json");
    world_json(&w, S1, "{\"snapshot\":\"" S2 "\",\"state\":\"complete\"}");
    world_put(&w, LEDGER, 0, key, gv_span_of(NULL, 0), true); /* a deleted entry is no fault */
    sum += world_rows(&w, S1, 3, 4);
    world_ledger(&w, S1, 7, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
    assert_int_equal(w.letter_count, 8);
    int framing = 0, schemas = 0, avro = 0, ledgers = 0;
    for (size_t i = 0; i < w.letter_count; i++) {
        framing += strcmp(w.letters[i].reason, "framing") == 0;
        schemas += strcmp(w.letters[i].reason, "schema") == 0 && w.letters[i].has_schema;
        avro += strcmp(w.letters[i].reason, "avro") == 0;
        ledgers += strcmp(w.letters[i].reason, "ledger") == 0;
        assert_true(w.letters[i].error[0] != '\0');
    }
    assert_int_equal(framing, 3);
    assert_int_equal(schemas, 2);
    assert_int_equal(avro, 1);
    assert_int_equal(ledgers, 2);
    assert_int_equal(w.partitions[RAW][0].committed, w.partitions[RAW][0].high);
    assert_int_equal(sink_counted(w.sink)->dead_letters, 8);
}

static void a_record_larger_than_the_batch_is_a_dead_letter(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 5);
    w.batch_bytes = 64 * 1024;
    static uint8_t big[128 * 1024];
    memset(big, 'x', sizeof big);
    world_put(&w, RAW, 0, gv_span_str("key"), gv_span_of(big, sizeof big), false);
    world_ledger(&w, S1, 5, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_int_equal(w.letter_count, 1);
    assert_int_equal(w.letters[0].value_len, 0);
    assert_state(S1, "complete");
}

static void any_schema_is_stored(void **state)
{
    (void)state;
    static const uint8_t record[] = { 0, 0, 0, 0, ID_OTHER, 84 };

    world_put(&w, RAW, 1, gv_span_str("key"), gv_span_of(record, sizeof record), false);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_true(world_drain(&w));
    assert_int_equal(sink_counted(w.sink)->added, 1);
    assert_int_equal(w.letter_count, 0);
}

static void a_registry_that_is_away_is_waited_for(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    w.registry_away = true;
    for (int i = 0; i < 5; i++) {
        assert_false(world_drain(&w));
    }
    assert_int_equal(w.partitions[RAW][0].committed, -1);
    assert_int_equal(w.letter_count, 0);
    w.registry_away = false;
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
}

static void a_store_that_is_away_is_waited_for(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    kafka_message m = { .topic = "auctions.raw",
                        .key = gv_span_of(w.partitions[RAW][0].messages[0].bytes, 3),
                        .value = gv_span_of(w.partitions[RAW][0].messages[0].bytes +
                                                w.partitions[RAW][0].messages[0].key_len,
                                            w.partitions[RAW][0].messages[0].value_len) };
    assert_int_equal(sink_add(w.sink, &m, NULL), GV_OK);
    w.store_away = true;
    gv_error err = { 0 };
    assert_int_equal(sink_flush(w.sink, &err), GV_IO);
    assert_string_equal(err.text, "away");
    assert_int_equal(sink_flush(w.sink, NULL), GV_IO);
    assert_int_equal(sink_held(w.sink), 1);
    assert_int_equal(w.partitions[RAW][0].committed, -1);
    w.store_away = false;
    assert_int_equal(sink_flush(w.sink, NULL), GV_OK);
    assert_int_equal(sink_held(w.sink), 0);
    assert_int_equal(w.partitions[RAW][0].committed, 1);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
}

static void nothing_is_committed_before_its_dead_letter_is_acknowledged(void **state)
{
    (void)state;
    world_put(&w, RAW, 0, gv_span_str("key"), gv_span_str("not framed"), false);
    world_start(&w);
    w.kafka_away = true;
    assert_false(world_turn(&w, 10));
    assert_int_equal(w.partitions[RAW][0].committed, -1);
    w.kafka_away = false;
    assert_int_equal(sink_flush(w.sink, NULL), GV_OK);
    assert_int_equal(w.partitions[RAW][0].committed, 1);
    assert_int_equal(w.letter_count, 1);
}

static void partitions_taken_away_are_not_committed(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    w.store_away = true;
    assert_false(world_turn(&w, 100));
    const kafka_position gone[] = { { "auctions.raw", 0, 0 }, { "auctions.snapshots", 0, 0 } };
    sink_forget(w.sink, gone, 2);
    w.store_away = false;
    assert_int_equal(sink_flush(w.sink, NULL), GV_OK);
    assert_int_equal(w.partitions[RAW][0].committed, -1);
    assert_int_equal(w.partitions[RAW][1].committed, 5);
    assert_int_equal(w.partitions[LEDGER][0].committed, -1);
    assert_int_equal(world_stored(&w, RAW, S1).docs, 5);
    world_restart(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "complete");
}

static void records_the_broker_has_deleted_are_not_waited_for(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    world_ledger(&w, S1, 10, 0, sum);
    for (int i = 0; i < WORLD_PARTITIONS; i++) {
        w.partitions[RAW][i].low = w.partitions[RAW][i].high;
    }
    world_start(&w);
    assert_true(world_drain(&w));
    assert_state(S1, "incomplete");
    assert_int_equal(world_snapshot(&w, S1).missing, 10);
}

static void many_snapshots_at_once_are_all_judged(void **state)
{
    (void)state;
    char name[64];

    for (int i = 0; i < 80; i++) {
        uint64_t sum = 0;
        snprintf(name, sizeof name, "us/%d/0/1404174601", i);
        for (int k = 0; k < 10; k++) {
            world_auction(&w, k % 2, name, k, k, 50, &sum);
        }
        world_ledger(&w, name, 10, 0, sum + (i % 7 == 0));
    }
    world_start(&w);
    assert_true(world_drain(&w));
    for (int i = 0; i < 80; i++) {
        snprintf(name, sizeof name, "us/%d/0/1404174601", i);
        assert_state(name, i % 7 == 0 ? "incomplete" : "complete");
    }
}

static void more_snapshots_than_fit_are_all_judged_too(void **state)
{
    (void)state;
    w.snapshots = 5;
    w.batch_records = 60;
    many_snapshots_at_once_are_all_judged(NULL);
    world_restart(&w);
    assert_true(world_drain(&w));
    assert_string_equal(world_snapshot(&w, "us/1/0/1404174601").state, "complete");
    assert_string_equal(world_snapshot(&w, "us/7/0/1404174601").state, "incomplete");
}

static void a_document_the_store_refuses_is_a_dead_letter(void **state)
{
    (void)state;
    uint64_t sum = world_rows(&w, S1, 0, 10);
    w.refuse_id = S1 "/1004";
    world_ledger(&w, S1, 10, 0, sum);
    world_start(&w);
    assert_true(world_drain(&w));
    assert_int_equal(w.letter_count, 1);
    assert_string_equal(w.letters[0].reason, "store");
    assert_string_equal(w.letters[0].error, "too odd");
    assert_int_equal(w.letters[0].offset, 2);
    assert_true(w.letters[0].value_len > 20 && w.letters[0].has_schema);
    assert_state(S1, "incomplete");
    assert_int_equal(world_snapshot(&w, S1).missing, 1);
    assert_int_equal(w.partitions[RAW][0].committed, w.partitions[RAW][0].high);
}

/* Kills the sink at its Nth call of anything, for every N there is; then lets it go on. */
static void no_failure_changes_the_outcome(bool kill, bool fail_after)
{
    uint64_t calls = 0;

    for (uint64_t n = 1; n == 1 || n <= calls; n++) {
        world_close(&w);
        world_open(&w);
        w.batch_records = 7;
        uint64_t sum = world_rows(&w, S1, 0, 20), other = world_rows(&w, S2, 0, 6);
        world_put(&w, RAW, 1, gv_span_str("key"), gv_span_str("not framed"), false);
        world_auction(&w, 0, S1, 1000, 20, 77, &sum);
        world_reject(&w, 0, S1, 4);
        world_ledger(&w, S1, 21, 1, sum);
        world_ledger(&w, S2, 7, 0, other);
        w.fail_at = n;
        w.fail_after = fail_after;
        world_start(&w);
        for (int attempt = 0; !world_drain(&w); attempt++) {
            assert_true(attempt < 3);
            if (kill) {
                world_restart(&w);
            }
        }
        calls = w.calls;
        assert_state(S1, "complete");
        assert_state(S2, "incomplete");
        assert_int_equal(world_snapshot(&w, S2).missing, 1);
        world_sum stored = world_stored(&w, RAW, S1);
        assert_int_equal(stored.docs, 20);
        assert_int_equal(stored.copies, 1);
        assert_true(stored.digest == sum);
        assert_true(w.letter_count >= 1 && w.letter_count <= 2);
        if (!w.failed) {
            break;
        }
    }
    assert_true(calls > 30);
}

static void a_kill_before_any_call_changes_nothing(void **state)
{
    (void)state;
    no_failure_changes_the_outcome(true, false);
}

static void a_kill_after_any_call_changes_nothing(void **state)
{
    (void)state;
    no_failure_changes_the_outcome(true, true);
}

static void a_failed_call_is_made_up_for(void **state)
{
    (void)state;
    no_failure_changes_the_outcome(false, false);
}

static void a_lost_answer_is_made_up_for(void **state)
{
    (void)state;
    no_failure_changes_the_outcome(false, true);
}

/* Records that come after "complete" put the verdict in doubt, even if the sink dies at once. */
static void a_verdict_is_never_left_stale(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        world_close(&w);
        world_open(&w);
        uint64_t sum = world_rows(&w, S1, 0, 10);
        world_ledger(&w, S1, 10, 0, sum);
        world_start(&w);
        assert_true(world_drain(&w));
        assert_state(S1, "complete");
        world_rows(&w, S1, 10, 1); /* one that the ledger does not know */
        w.fail_at = w.calls + n;
        w.fail_after = n % 2;
        if (!world_drain(&w)) {
            world_restart(&w);
            assert_true(world_drain(&w));
        }
        assert_state(S1, "incomplete");
        if (!w.failed) {
            break;
        }
    }
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        EACH(everything_stored_is_complete),
        EACH(a_ledger_entry_may_come_first),
        EACH(a_snapshot_without_ledger_entry_is_receiving),
        EACH(missing_records_are_named),
        EACH(what_was_missing_may_still_come),
        EACH(a_changed_record_is_noticed),
        EACH(a_record_too_many_is_noticed),
        EACH(a_missing_reject_is_noticed),
        EACH(the_agents_own_doubt_is_kept),
        EACH(everything_twice_changes_nothing),
        EACH(two_rows_of_one_id_are_both_counted),
        EACH(a_resend_in_another_order_is_complete),
        EACH(bad_messages_go_to_the_dead_letters_and_the_rest_goes_on),
        EACH(a_record_larger_than_the_batch_is_a_dead_letter),
        EACH(any_schema_is_stored),
        EACH(a_registry_that_is_away_is_waited_for),
        EACH(a_store_that_is_away_is_waited_for),
        EACH(nothing_is_committed_before_its_dead_letter_is_acknowledged),
        EACH(partitions_taken_away_are_not_committed),
        EACH(records_the_broker_has_deleted_are_not_waited_for),
        EACH(many_snapshots_at_once_are_all_judged),
        EACH(more_snapshots_than_fit_are_all_judged_too),
        EACH(a_document_the_store_refuses_is_a_dead_letter),
        EACH(a_kill_before_any_call_changes_nothing),
        EACH(a_kill_after_any_call_changes_nothing),
        EACH(a_failed_call_is_made_up_for),
        EACH(a_lost_answer_is_made_up_for),
        EACH(a_verdict_is_never_left_stale),
    };
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
