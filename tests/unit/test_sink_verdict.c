/* Verdicts, ledger entries, the table of snapshots and the schema cache, each alone. */
#include "agent/sink/schema_cache.h"
#include "agent/sink/snapshot_doc.h"
#include "agent/sink/snapshot_table.h"
#include "agent/sink/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- verdicts --- */

static verdict judge(uint64_t records, uint64_t digest, const int64_t *positions, size_t count)
{
    verdict_claim claim = { "complete", records, 0, digest };
    tally *t = tally_open(&claim, NULL);
    verdict v;

    assert_non_null(t);
    for (size_t i = 0; i < count; i++) {
        tally_record(t, false, positions[i], 1);
    }
    tally_verdict(t, &v);
    tally_close(t);
    return v;
}

static void gaps_are_named_as_ranges(void **state)
{
    (void)state;
    static const int64_t there[] = { 1, 2, 5, 6, 7, 11 };
    verdict v = judge(14, 14, there, 6);

    assert_int_equal(v.state, VERDICT_INCOMPLETE);
    assert_int_equal(v.missing, 8);
    assert_int_equal(v.range_count, 4);
    static const verdict_range expected[] = { { 0, 0 }, { 3, 4 }, { 8, 10 }, { 12, 13 } };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(v.ranges[i].first, expected[i].first);
        assert_int_equal(v.ranges[i].last, expected[i].last);
    }
    assert_string_equal(v.reason, "8 of 14 records are missing");
}

static void many_gaps_are_counted_though_not_all_named(void **state)
{
    (void)state;
    int64_t there[500];

    for (int i = 0; i < 500; i++) {
        there[i] = 2 * i;
    }
    verdict v = judge(1000, 0, there, 500);
    assert_int_equal(v.missing, 500);
    assert_int_equal(v.range_count, VERDICT_RANGES_MAX);
    assert_int_equal(v.ranges[31].first, 63);
}

static void odd_counts_do_no_harm(void **state)
{
    (void)state;
    static const int64_t there[] = { 0, STORE_NO_POSITION, INT64_MAX, INT64_MIN };
    verdict v = judge(UINT64_MAX, 0, there, 4); /* more than positions are kept for */

    assert_int_equal(v.state, VERDICT_INCOMPLETE);
    assert_int_equal(v.range_count, 0);
    assert_true(v.missing == UINT64_MAX - 4);
    v = judge(0, 0, NULL, 0);
    assert_int_equal(v.state, VERDICT_COMPLETE);
    v = judge(4, 4, there, 4); /* the numbers agree, wherever the records say they were */
    assert_int_equal(v.state, VERDICT_COMPLETE);
    v = judge(5, 5, there, 4);
    assert_int_equal(v.missing, 1);
}

static void the_latest_version_of_each_record_may_be_the_one_that_counts(void **state)
{
    (void)state;
    verdict_claim claim = { "complete", 2, 0, 30 };
    tally *t = tally_open(&claim, NULL);
    verdict v;

    tally_record(t, false, 1, 5);
    tally_record(t, true, 0, 10);
    tally_record(t, false, 0, 7);
    tally_record(t, true, 1, 8);
    tally_record(t, true, 1, 20);
    tally_verdict(t, &v);
    assert_int_equal(v.state, VERDICT_COMPLETE);
    assert_int_equal(v.copies, 3);
    tally_close(t);
}

static void a_proof_beats_a_gap_and_the_last_word_anything_else(void **state)
{
    (void)state;
    const verdict_claim claim = { "complete", 2, 1, 12 };
    verdict_gap gap = { 5, "quota", "pi", true };

    for (int i = 0; i < 16; i++) {
        bool claimed = i & 1, whole = i & 2, last = i & 4, rejected = i & 8;
        verdict v;
        gap.last = last;
        tally *t = tally_open(claimed ? &claim : NULL, &gap);
        tally_record(t, false, 0, 5);
        tally_record(t, false, 1, whole ? 7 : 8);
        if (rejected) {
            tally_reject(t);
        }
        tally_verdict(t, &v);
        tally_close(t);
        if (claimed && whole && rejected) {
            assert_int_equal(v.state, VERDICT_COMPLETE);
            assert_string_equal(v.reason, "");
        } else {
            bool is_gap = last || !claimed;
            assert_int_equal(v.state, is_gap ? VERDICT_GAP : VERDICT_INCOMPLETE);
            assert_int_equal(v.dropped, is_gap ? 5 : 0);
            assert_int_equal(strcmp(v.reason, "5 records were dropped by pi: quota") == 0, is_gap);
        }
        assert_int_equal(v.stored, 2);
    }
}

static void a_gap_of_nothing_is_a_gap_and_its_words_may_be_missing(void **state)
{
    (void)state;
    const verdict_gap gap = { 0, "", "", false };
    verdict v;
    tally *t = tally_open(NULL, &gap);

    tally_verdict(t, &v);
    tally_close(t);
    assert_int_equal(v.state, VERDICT_GAP);
    assert_string_equal(v.reason, "0 records were dropped: no reason given");
}

/* --- ledger entries --- */

static gv_status decode(const char *key, const char *json, ledger *out, gv_error *err)
{
    bson_t whole;
    gv_status status = ledger_decode(gv_span_str(key), gv_span_str(json), out, &whole, err);

    if (status == GV_OK) {
        bson_destroy(&whole);
    }
    return status;
}

static void a_ledger_entry_is_read(void **state)
{
    (void)state;
    ledger l;

    assert_int_equal(decode("eu/604/0/1404174601",
                            "{\"snapshot\":\"eu/604/0/1404174601\",\"state\":\"complete\",\"records"
                            "\":74518,\"rejects\":2,\"digest\":\"FFffffffffffffff\",\"topic\":"
                            "\"auctions.raw\",\"later\":{\"x\":[1]}}",
                            &l, NULL),
                     GV_OK);
    assert_string_equal(l.snapshot, "eu/604/0/1404174601");
    assert_string_equal(l.topic, "auctions.raw");
    assert_int_equal(l.claim.records, 74518);
    assert_int_equal(l.claim.rejects, 2);
    assert_true(l.claim.digest == UINT64_MAX);
}

static void a_gap_entry_is_read(void **state)
{
    (void)state;
    ledger l;

    assert_int_equal(
        decode("eu/604/0/1404174601",
               "{\"snapshot\":\"eu/604/0/1404174601\",\"state\":\"gap\",\"records\":812,"
               "\"rejects\":2,\"reason\":\"quota\",\"topic\":\"auctions.raw\","
               "\"device\":\"pi-attic\",\"agent\":\"gavel 0.2.0\"}",
               &l, NULL),
        GV_OK);
    assert_true(l.is_gap);
    assert_int_equal(l.claim.records, 812);
    assert_int_equal(l.claim.rejects, 2);
    assert_string_equal(l.reason, "quota");
    assert_string_equal(l.device, "pi-attic");
    assert_string_equal(l.topic, "auctions.raw");
}

static void what_is_no_ledger_entry_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"snapshot\":5,\"state\":\"complete\"}",
        "{\"snapshot\":\"eu/604/0\",\"state\":\"complete\"}",
        "{\"snapshot\":\"eu/604/0/1x\",\"state\":\"complete\"}",
        "{\"snapshot\":\"eu/-4/0/1\",\"state\":\"complete\"}",
        "{\"snapshot\":\"eu/604/0/99999999999999999\",\"state\":\"gap\",\"records\":1}",
        "{\"snapshot\":\"eu/604/0/1\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"complete\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"complete\",\"records\":1,\"digest\":\"12\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"complete\",\"records\":-1,\"digest\":"
        "\"0000000000000000\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"complete\",\"records\":1.5,\"digest\":"
        "\"0000000000000000\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"complete\",\"records\":1,\"rejects\":\"2\","
        "\"digest\":\"0000000000000000\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"gap\"}",
        "{\"snapshot\":\"eu/604/0/1\",\"state\":\"gap\",\"records\":-2}",
        "{\"snapshot\":\"eu/604/0/2\",\"state\":\"gap\",\"records\":2}", /* not its key */
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ledger l;
        gv_error err = { 0 };
        assert_int_equal(decode("eu/604/0/1", bad[i], &l, &err), GV_CORRUPT);
        assert_int_equal(strncmp(err.text, "ledger entry: ", 14), 0);
    }
}

/* --- the table of snapshots --- */

static void entries_without_a_wish_give_way(void **state)
{
    (void)state;
    snapshot_table t;
    char id[SNAPSHOT_TEXT_MAX];

    assert_true(snapshot_table_open(&t, 8));
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "eu/%d/0/1", i);
        snapshot_table_add(&t, id)->flags = i % 2 ? SNAPSHOT_WANTED : 0;
    }
    assert_int_equal(t.used, 8);
    for (int i = 8; i < 12; i++) {
        snprintf(id, sizeof id, "eu/%d/0/1", i);
        snapshot_table_add(&t, id)->flags = SNAPSHOT_DUE;
    }
    assert_int_equal(t.used, 8);
    assert_null(snapshot_table_add(&t, "eu/99/0/1"));
    assert_null(snapshot_table_find(&t, "eu/2/0/1"));
    assert_non_null(snapshot_table_find(&t, "eu/3/0/1"));
    snapshot_table_remove(&t, snapshot_table_find(&t, "eu/3/0/1"));
    assert_null(snapshot_table_find(&t, "eu/3/0/1"));
    assert_non_null(snapshot_table_add(&t, "eu/99/0/1"));
    assert_non_null(snapshot_table_with(&t, SNAPSHOT_DUE));
    assert_null(snapshot_table_with(&t, SNAPSHOT_FORCED));
    snapshot_table_close(&t);
}

/* --- the schema cache --- */

static uint64_t now_ms;
static int asked;
static gv_status answer;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return now_ms;
}

static gv_status fetch(void *ctx, uint32_t id, void (*take)(void *arg, const char *text), void *arg,
                       gv_error *err)
{
    (void)ctx;
    asked++;
    if (answer == GV_OK) {
        take(arg, id == 666 ? "{" : "\"long\"");
        return GV_OK;
    }
    return gv_fail(err, answer, "id %u: no", id);
}

static void schemas_are_asked_for_once_and_failures_of_the_registry_again(void **state)
{
    (void)state;
    const plat_clock clock = { .mono_ms = mono };
    schema_cache *c = schema_cache_open(&clock, fetch, NULL);
    const cached_schema *s;
    gv_error err = { 0 };

    asked = 0;
    answer = GV_IO;
    assert_int_equal(schema_cache_get(c, 1, &s, &err), GV_IO);
    answer = GV_OK;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(schema_cache_get(c, 1, &s, NULL), GV_OK);
        assert_int_equal(s->writer.root->kind, SCHEMA_LONG);
        assert_int_equal(schema_cache_get(c, 666, &s, NULL), GV_INVAL);
    }
    assert_int_equal(asked, 3);
    /* an unknown one is asked for again after a while, and may be there then */
    answer = GV_INVAL;
    assert_int_equal(schema_cache_get(c, 2, &s, NULL), GV_INVAL);
    assert_int_equal(schema_cache_get(c, 2, &s, NULL), GV_INVAL);
    assert_int_equal(asked, 4);
    answer = GV_OK;
    now_ms += SCHEMA_UNKNOWN_MS;
    assert_int_equal(schema_cache_get(c, 2, &s, NULL), GV_OK);
    /* more than there are slots: those used last stay */
    for (uint32_t id = 1000; id < 1000 + SCHEMA_CACHE_SLOTS - 1; id++) {
        assert_int_equal(schema_cache_get(c, 2, &s, NULL), GV_OK);
        assert_int_equal(schema_cache_get(c, id, &s, NULL), GV_OK);
    }
    int before = asked;
    assert_int_equal(schema_cache_get(c, 2, &s, NULL), GV_OK);
    assert_int_equal(asked, before);
    assert_int_equal(schema_cache_get(c, 1, &s, NULL), GV_OK);
    assert_int_equal(asked, before + 1);
    schema_cache_close(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_named_as_ranges),
        cmocka_unit_test(many_gaps_are_counted_though_not_all_named),
        cmocka_unit_test(odd_counts_do_no_harm),
        cmocka_unit_test(the_latest_version_of_each_record_may_be_the_one_that_counts),
        cmocka_unit_test(a_proof_beats_a_gap_and_the_last_word_anything_else),
        cmocka_unit_test(a_gap_of_nothing_is_a_gap_and_its_words_may_be_missing),
        cmocka_unit_test(a_ledger_entry_is_read),
        cmocka_unit_test(a_gap_entry_is_read),
        cmocka_unit_test(what_is_no_ledger_entry_is_refused_with_a_reason),
        cmocka_unit_test(entries_without_a_wish_give_way),
        cmocka_unit_test(schemas_are_asked_for_once_and_failures_of_the_registry_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
