/* Realms from the index, a single pass that always ends, and stopping. */
#include "tests/unit/source_world.h"

#include <stdio.h>

/* --- the realm index -------------------------------------------------------------------------- */

static void all_realms_come_from_the_index_and_are_refreshed_daily(void **state)
{
    (void)state;
    watch_all();
    w.hourly = true;
    w.index = "{\"connected_realms\":[" HREF(604) "," HREF(1080) "," HREF(604) "]}";
    open_source();
    run_for(SECOND);
    assert_string_equal(call_of("index", 0)->url, "https://eu.api.example/data/wow/connected-realm/"
                                                  "index?namespace=dynamic-eu");
    assert_string_equal(http_call_header(call_of("index", 0), "Authorization"), "Bearer T1");
    assert_int_equal(counts()->feeds, 2);
    assert_int_equal(counts()->snapshots, 2);
    w.index = "{\"connected_realms\":[" HREF(604) "," HREF(1080) "," HREF(3666) "]}";
    run_for(DAY - 2 * SECOND);
    assert_int_equal(calls_of("index"), 1);
    run_for(2 * SECOND);
    assert_int_equal(calls_of("index"), 2);
    assert_int_equal(counts()->feeds, 3);
    assert_non_null(call_of("connected-realm/3666/auctions", 0));
}

static void index_that_is_of_no_use_is_asked_again_with_back_off(void **state)
{
    static char large[80 * 1024];
    static const char *const words[] = { "not JSON", "no connected_realms list", "HTTP 500",
                                         "larger than", "cannot connect" };
    (void)state;
    memset(large, ' ', sizeof large);
    watch_all();
    once(&w.indexes, (http_answer){ .reply = { .status = 200 }, .body = gv_span_str("<html>") });
    once(&w.indexes, (http_answer){ .reply = { .status = 200 }, .body = gv_span_str("{}") });
    once(&w.indexes, status_only(500));
    once(&w.indexes, (http_answer){ .reply = { .status = 200 },
                                    .body = gv_span_of(large, sizeof large),
                                    .chunk_bytes = 10000 });
    once(&w.indexes, no_answer("cannot connect"));
    w.index = "{\"connected_realms\":[" HREF(604) "]}";
    open_source();
    run_for(MINUTE);
    assert_int_equal(calls_of("index"), 6);
    assert_int_equal(counts()->failures, 5);
    assert_int_equal(counts()->snapshots, 1);
    for (size_t i = 0; i < 5; i++) {
        uint64_t wait_ms = call_of("index", i + 1)->at_ms - call_of("index", i)->at_ms;
        assert_in_range(wait_ms, SECOND << i >> 1, SECOND << i);
        assert_true(log_double_count(&w.said, words[i]) > 0);
    }
    once(&w.indexes, status_only(500)); /* a day later the back-off starts anew */
    run_for(DAY);
    uint64_t wait_ms = call_of("index", 7)->at_ms - call_of("index", 6)->at_ms;
    assert_in_range(wait_ms, SECOND / 2, SECOND);
}

static void refused_token_at_the_index_is_replaced_once(void **state)
{
    (void)state;
    watch_all();
    w.expires_in = "999999";
    w.valid_token = 2;
    w.index = "{\"connected_realms\":[" HREF(604) "]}";
    open_source();
    run_for(SECOND);
    assert_int_equal(calls_of("index"), 2);
    assert_int_equal(calls_of("oauth"), 2);
    assert_int_equal(counts()->snapshots, 1);
    run_for(DAY - 3 * SECOND);
    w.valid_token = w.issued + 1; /* and again the next day */
    run_for(3 * SECOND);
    assert_int_equal(calls_of("index"), 4);
    assert_int_equal(counts()->failures, 0);
}

static void too_many_realms_are_an_error_with_words_and_the_rest_is_fetched(void **state)
{
    static char text[60 * 1024];
    (void)state;
    size_t len = (size_t)snprintf(text, sizeof text, "{\"connected_realms\":[");
    for (int i = 1; i <= SOURCE_REALMS_PER_LIST + 1; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "%s{\"href\":\"https://x/data/wow/connected-realm/%d\"}",
                                i > 1 ? "," : "", i);
    snprintf(text + len, sizeof text - len, "]}");
    watch_all();
    w.index = text;
    w.hold = true;
    open_source();
    run_for(100);
    assert_int_equal(counts()->feeds, SOURCE_REALMS_PER_LIST);
    assert_int_equal(w.opened, 4);
    assert_int_equal(log_double_count(&w.said, "name the ones you want"), 1);
}

static void index_that_never_answers_does_not_keep_the_others_waiting(void **state)
{
    (void)state;
    w.lists[0] = (source_list){ .region = "us", .all_realms = true, .commodities = true };
    w.lists[1] = (source_list){ .region = "eu", .realms = thrall, .realm_count = 1 };
    w.config.list_count = 2;
    w.index_silent = true;
    open_source();
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 2);
}

static void every_house_of_every_game_and_region_is_fetched(void **state)
{
    static const uint8_t houses[] = { 2, 6, 7 };
    static const uint32_t realms[] = { 4419, 4420 };
    static const char *const parts[] = {
        "//us.api.example/data/wow/auctions/commodities?namespace=dynamic-us",
        "//us.api.example/data/wow/connected-realm/604/auctions?namespace=dynamic-us",
        "//kr.api.example/data/wow/connected-realm/4419/auctions/2?namespace=dynamic-classic-kr",
        "//kr.api.example/data/wow/connected-realm/4419/auctions/6?namespace=dynamic-classic-kr",
        "//kr.api.example/data/wow/connected-realm/4419/auctions/7?namespace=dynamic-classic-kr",
        "//kr.api.example/data/wow/connected-realm/4420/auctions/7?namespace=dynamic-classic-kr",
        "//tw.api.example/data/wow/connected-realm/9/auctions/2?namespace=dynamic-classic1x-tw",
        "//tw.api.example/data/wow/connected-realm/index?namespace=dynamic-classic1x-tw",
        "//eu.api.example/data/wow/connected-realm/604/auctions/6?namespace=dynamic-classicann-eu",
    };
    (void)state;
    w.lists[0] =
        (source_list){ .region = "us", .realms = thrall, .realm_count = 1, .commodities = true };
    w.lists[1] = (source_list){ .region = "kr",
                                .game = GAME_CLASSIC,
                                .realms = realms,
                                .realm_count = 2,
                                .houses = houses,
                                .house_count = 3 };
    w.lists[2] = (source_list){ .region = "tw",
                                .game = GAME_CLASSIC1X,
                                .all_realms = true,
                                .houses = houses,
                                .house_count = 1 };
    w.lists[3] = (source_list){ .region = "eu",
                                .game = GAME_CLASSICANN,
                                .realms = thrall,
                                .realm_count = 1,
                                .houses = houses,
                                .house_count = 3 };
    w.config.list_count = 4;
    w.index = "{\"connected_realms\":[" HREF(9) "]}";
    open_source();
    run_for(5 * SECOND);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_int_equal(calls_of(parts[i]), 1);
    assert_int_equal(counts()->feeds, 2 + 6 + 1 + 3);
    assert_int_equal(counts()->snapshots, 12);
    assert_true(source_memory_bytes(&w.config) > 12 * sizeof(feed));
}

/* --- a single pass ---------------------------------------------------------------------------- */

/* Runs until it is through, at most a day. */
static void run_single_pass(void)
{
    w.config.single_pass = true;
    open_source();
    for (int i = 0; i < 24 * 60 && !source_finished(w.source); i++)
        run_for(MINUTE);
    assert_true(source_finished(w.source));
    assert_false(source_busy(w.source));
}

static void single_pass_ends_when_everything_is_fetched(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    run_single_pass();
    assert_int_equal(counts()->snapshots, 12);
    assert_int_equal(counts()->feeds_done, 12);
    assert_int_equal(counts()->feeds_failed, 0);
    run_for(DAY);
    assert_int_equal(calls_of("/auctions"), 12);
}

static void single_pass_ends_when_nothing_is_new(void **state)
{
    (void)state;
    save_cursor(EPOCH, "");
    w.published = EPOCH;
    run_single_pass();
    assert_int_equal(counts()->not_modified, 1);
    assert_int_equal(counts()->feeds_failed, 0);
}

static void single_pass_looks_through_and_fetches_again(void **state)
{
    (void)state;
    w.look_first = true;
    run_single_pass();
    assert_int_equal(counts()->snapshots, 1);
}

static void single_pass_with_all_realms_waits_for_the_index(void **state)
{
    (void)state;
    watch_all();
    w.delay_ms = 10 * SECOND;
    w.index = "{\"connected_realms\":[" HREF(604) "," HREF(1080) "]}";
    run_single_pass();
    assert_int_equal(counts()->snapshots, 2);
    assert_int_equal(calls_of("index"), 1);
}

static void expect_given_up(void)
{
    run_single_pass();
    assert_int_equal(counts()->feeds_failed, 1);
    assert_int_equal(counts()->snapshots, 0);
    size_t calls = http_double_calls(w.http);
    run_for(DAY);
    assert_int_equal(http_double_calls(w.http), calls);
}

static void single_pass_gives_up_without_a_token(void **state)
{
    (void)state;
    always(&w.tokens, status_only(401));
    expect_given_up();
}

static void single_pass_gives_up_when_tokens_have_expired(void **state)
{
    (void)state;
    w.expires_in = "0";
    expect_given_up();
}

static void single_pass_gives_up_when_every_token_is_refused(void **state)
{
    (void)state;
    w.valid_token = 9999;
    expect_given_up();
    assert_int_equal(calls_of("/auctions"), 2 * SOURCE_SINGLE_PASS_TRIES);
}

static void single_pass_gives_up_a_snapshot_that_keeps_breaking(void **state)
{
    (void)state;
    w.outcome = SETTLE_BROKEN;
    expect_given_up();
    assert_int_equal(counts()->broken, SOURCE_SINGLE_PASS_TRIES);
}

static void single_pass_gives_up_what_is_not_there(void **state)
{
    (void)state;
    always(&w.auctions, status_only(404));
    expect_given_up();
    assert_int_equal(calls_of("/auctions"), SOURCE_SINGLE_PASS_TRIES);
}

static void single_pass_gives_up_what_has_no_identity(void **state)
{
    (void)state;
    always(&w.auctions, snapshot_of(-1));
    expect_given_up();
}

static void single_pass_gives_up_without_a_network(void **state)
{
    (void)state;
    always(&w.auctions, no_answer("cannot connect"));
    expect_given_up();
}

static void single_pass_gives_up_without_an_index(void **state)
{
    (void)state;
    watch_all();
    always(&w.indexes, status_only(500));
    expect_given_up();
}

static void single_pass_gives_up_an_index_without_a_token(void **state)
{
    (void)state;
    watch_all();
    always(&w.tokens, no_answer("cannot connect"));
    expect_given_up();
}

static void single_pass_gives_up_when_requests_cannot_be_made(void **state)
{
    (void)state;
    char base[FEED_URL_MAX];
    memset(base, 'x', sizeof base);
    base[sizeof base - 1] = '\0';
    w.config.base_url = base;
    expect_given_up();
}

static void single_pass_gives_up_when_the_index_cannot_be_asked(void **state)
{
    (void)state;
    watch_all();
    single_pass_gives_up_when_requests_cannot_be_made(state);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void it_can_be_stopped_at_any_moment(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    w.lists[1] = (source_list){ .region = "us", .all_realms = true };
    w.config.list_count = 2;
    w.delay_ms = 7;
    w.odd_delay_ms = 30;
    w.index = "{\"connected_realms\":[" HREF(1) "," HREF(2) "]}";
    for (unsigned moment = 0; moment < 60; moment++) {
        w.hold = moment % 2;
        w.starve = moment % 3 == 1;
        w.opened = w.ended = 0;
        disk_double_wipe(w.disk);
        open_source();
        if (moment > 0)
            run_for(3 * (moment - 1));
        source_stop(w.source);
        assert_int_equal(w.opened, w.ended);
        assert_int_equal(http_double_active(w.http), 0);
        size_t calls = http_double_calls(w.http);
        assert_int_equal(source_tick(w.source), UINT64_MAX);
        for (unsigned i = 0; i < SOURCE_TRANSFERS_MAX; i++)
            if (w.slots[i].busy)
                settle(i, SETTLE_BROKEN);
        assert_false(source_busy(w.source));
        assert_int_equal(log_double_count(&w.said, "snapshot not fetched"), 0); /* nobody's fault */
        assert_int_equal(source_tick(w.source), UINT64_MAX);
        assert_int_equal(http_double_calls(w.http), calls);
        source_stop(w.source);
        close_source();
    }
}

static void what_was_whole_when_it_stopped_may_still_become_safe(void **state)
{
    (void)state;
    w.hold = true;
    open_source();
    run_for(SECOND);
    source_stop(w.source);
    assert_int_equal(w.ended_whole, 1);
    assert_true(source_busy(w.source));
    settle(0, SETTLE_SAFE);
    assert_false(source_busy(w.source));
    assert_int_equal(w.disk->renames, 1);
}

static void directory_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    gv_error err = { 0, "" };
    source *s = NULL;
    const source_events events = { NULL, NULL, NULL, NULL }; /* nothing comes to them */
    w.disk->fail_at = w.disk->operations + 1;
    assert_int_equal(source_open(&w.config, w.http, &w.fs, &w.clock, &events, &s, &err), GV_IO);
    assert_null(s);
    assert_true(err.text[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_realms_come_from_the_index_and_are_refreshed_daily),
        TEST(index_that_is_of_no_use_is_asked_again_with_back_off),
        TEST(refused_token_at_the_index_is_replaced_once),
        TEST(too_many_realms_are_an_error_with_words_and_the_rest_is_fetched),
        TEST(index_that_never_answers_does_not_keep_the_others_waiting),
        TEST(every_house_of_every_game_and_region_is_fetched),
        TEST(single_pass_ends_when_everything_is_fetched),
        TEST(single_pass_ends_when_nothing_is_new),
        TEST(single_pass_looks_through_and_fetches_again),
        TEST(single_pass_with_all_realms_waits_for_the_index),
        TEST(single_pass_gives_up_without_a_token),
        TEST(single_pass_gives_up_when_tokens_have_expired),
        TEST(single_pass_gives_up_when_every_token_is_refused),
        TEST(single_pass_gives_up_a_snapshot_that_keeps_breaking),
        TEST(single_pass_gives_up_what_is_not_there),
        TEST(single_pass_gives_up_what_has_no_identity),
        TEST(single_pass_gives_up_without_a_network),
        TEST(single_pass_gives_up_without_an_index),
        TEST(single_pass_gives_up_an_index_without_a_token),
        TEST(single_pass_gives_up_when_requests_cannot_be_made),
        TEST(single_pass_gives_up_when_the_index_cannot_be_asked),
        TEST(it_can_be_stopped_at_any_moment),
        TEST(what_was_whole_when_it_stopped_may_still_become_safe),
        TEST(directory_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
