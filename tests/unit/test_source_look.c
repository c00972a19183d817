/* What a status page is told of each feed is what is so. */
#include "tests/unit/source_world.h"

static source_feed look(uint32_t i)
{
    source_feed f;
    source_look(w.source, i, &f);
    return f;
}

static void feed_that_was_never_fetched_has_no_figures(void **state)
{
    (void)state;
    open_source();
    source_feed f = look(0);
    assert_string_equal(f.name, "eu/604/0");
    assert_string_equal(f.region, "eu");
    assert_int_equal(f.realm, 604);
    assert_int_equal(f.last_modified, 0);
    assert_int_equal(f.records, -1);
    assert_false(f.has_age || f.stale || f.fetching);
    assert_string_equal(f.trouble, "");
}

static void age_is_the_servers_and_goes_on_between_answers(void **state)
{
    (void)state;
    w.published = EPOCH - 600; /* ten minutes old when the monotonic clock said 0 */
    w.hold = true;
    open_source();
    run_for(SECOND);
    assert_true(look(0).fetching);
    source_note_records(w.source, 0, 4711);
    settle(0, SETTLE_SAFE);
    source_feed f = look(0);
    assert_false(f.fetching);
    assert_int_equal(f.last_modified, w.published);
    assert_int_equal(f.records, 4711);
    assert_true(f.has_age);
    uint64_t age_ms = f.age_ms;
    assert_in_range(age_ms, 10 * MINUTE, 10 * MINUTE + START_MS + 2 * SECOND);
    assert_true(f.next_ms > w.now.mono_ms);
    clock_double_advance(&w.now, 7 * MINUTE);
    assert_int_equal(look(0).age_ms, age_ms + 7 * MINUTE);
}

static void records_of_a_snapshot_from_before_the_start_are_not_known(void **state)
{
    (void)state;
    save_cursor(EPOCH, "");
    w.published = EPOCH;
    open_source();
    run_for(SECOND);
    assert_int_equal(look(0).last_modified, EPOCH);
    assert_int_equal(look(0).records, -1);
    assert_true(look(0).has_age);
}

static void trouble_is_told_until_it_is_over(void **state)
{
    (void)state;
    once(&w.auctions, status_only(503));
    once(&w.auctions, status_only(503));
    open_source();
    run_for(500);
    source_feed f = look(0);
    assert_string_equal(f.trouble, "HTTP 503: the API is in trouble");
    assert_true(f.failures >= 1);
    assert_int_equal(counts()->feeds_failing, 1);
    run_for(10 * MINUTE);
    assert_string_equal(look(0).trouble, "");
    assert_int_equal(look(0).failures, 0);
    assert_int_equal(counts()->feeds_failing, 0);
}

static void refused_key_is_told_until_another_is_accepted(void **state)
{
    (void)state;
    once(&w.tokens, status_only(401));
    open_source();
    run_for(500);
    assert_true(counts()->key_refused);
    assert_non_null(strstr(source_trouble(w.source), "api.client_id"));
    run_for(10 * MINUTE);
    assert_false(counts()->key_refused);
    assert_string_equal(source_trouble(w.source), "");
}

static void missing_list_of_realms_is_a_trouble_of_all(void **state)
{
    (void)state;
    watch_all();
    once(&w.indexes, status_only(500));
    open_source();
    run_for(500);
    assert_string_equal(source_trouble(w.source), "HTTP 500: the API is in trouble");
    run_for(10 * MINUTE);
    assert_string_equal(source_trouble(w.source), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(feed_that_was_never_fetched_has_no_figures),
        TEST(age_is_the_servers_and_goes_on_between_answers),
        TEST(records_of_a_snapshot_from_before_the_start_are_not_known),
        TEST(trouble_is_told_until_it_is_over),
        TEST(refused_key_is_told_until_another_is_accepted),
        TEST(missing_list_of_realms_is_a_trouble_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
