/* What the API may answer instead of a snapshot, and the limits that always hold. */
#include "tests/unit/source_world.h"

/* --- tokens ----------------------------------------------------------------------------------- */

static void token_is_kept_until_shortly_before_it_expires(void **state)
{
    (void)state;
    w.hourly = true;
    open_source();
    run_for(3 * DAY);
    assert_int_equal(calls_of("oauth"), 3); /* with the requests at 0 h, 25 h and 49 h */
    assert_int_equal(counts()->tokens, 3);
    assert_int_equal(counts()->failures, 0);
}

static void refused_token_is_replaced_once_and_then_it_is_a_failure(void **state)
{
    (void)state;
    w.valid_token = 99;
    open_source();
    run_for(400); /* less than the shortest back-off */
    assert_int_equal(calls_of("oauth"), 2);
    assert_int_equal(calls_of("/auctions"), 2);
    assert_int_equal(counts()->failures, 1);
    assert_int_equal(log_double_count(&w.said, "refused a fresh token"), 1);
    w.valid_token = 0;
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 1);
}

static void each_new_refusal_earns_a_new_token(void **state)
{
    (void)state;
    w.hourly = true;
    open_source();
    run_for(SECOND);
    for (unsigned i = 0; i < 3; i++) {
        w.valid_token = w.issued + 1; /* revoked */
        run_for(HOUR);
    }
    assert_int_equal(counts()->failures, 0);
    assert_int_equal(counts()->snapshots, 4);
    assert_int_equal(counts()->tokens, 4);
}

/* The late refusals of requests made with the old token say nothing about the new one. */
static void many_refusals_of_one_token_cost_one_new_token(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    w.delay_ms = 20;
    w.odd_delay_ms = 150;
    w.valid_token = 2;
    open_source();
    run_for(5 * SECOND);
    assert_int_equal(counts()->snapshots, 12);
    assert_int_equal(counts()->failures, 0);
    assert_int_equal(calls_of("oauth"), 2);
}

static void token_that_is_not_to_be_had_is_asked_for_ever_more_slowly(void **state)
{
    (void)state;
    always(&w.tokens, status_only(401));
    open_source();
    run_for(DAY);
    assert_int_equal(calls_of("/auctions"), 0);
    assert_in_range(calls_of("oauth"), 96, 96 * 2 + 12); /* one in 7.5 to 15 minutes */
    assert_int_equal(log_double_count(&w.said, "check api.client_id and api.client_secret"),
                     calls_of("oauth"));
}

static void token_that_has_expired_when_it_comes_is_not_asked_for_in_a_loop(void **state)
{
    (void)state;
    w.expires_in = "0";
    open_source();
    run_for(MINUTE);
    assert_in_range(calls_of("oauth"), 5, 12);
    assert_int_equal(calls_of("/auctions"), 0);
}

/* --- failures --------------------------------------------------------------------------------- */

static void trouble_backs_off_doubling_to_a_cap(void **state)
{
    static const struct {
        int status;
        const char *words;
    } kinds[] = { { 500, "the API is in trouble" },  { 502, "the API is in trouble" },
                  { 504, "the API is in trouble" },  { 404, "knows no such realm or namespace" },
                  { 403, "check api.client_id" },    { 418, "unexpected answer" },
                  { 0, "cannot connect to the API" } };
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        size_t before = calls_of("/auctions");
        unsigned said = log_double_count(&w.said, kinds[k].words);
        always(&w.auctions, kinds[k].status ? status_only(kinds[k].status)
                                            : no_answer("cannot connect to the API"));
        open_source();
        run_for(5 * HOUR);
        uint64_t full_ms = SECOND;
        for (size_t n = before; call_of("/auctions", n + 1); n++) {
            uint64_t wait_ms = call_of("/auctions", n + 1)->at_ms - call_of("/auctions", n)->at_ms;
            assert_in_range(wait_ms, full_ms / 2, full_ms);
            full_ms = full_ms * 2 < 15 * MINUTE ? full_ms * 2 : 15 * MINUTE;
        }
        assert_in_range(calls_of("/auctions") - before, 10 + 18, 60);
        assert_int_equal(counts()->failures, calls_of("/auctions") - before);
        assert_true(log_double_count(&w.said, kinds[k].words) > said);
        close_source();
    }
}

static void success_after_trouble_starts_the_back_off_anew(void **state)
{
    (void)state;
    w.hourly = true;
    for (int i = 0; i < 5; i++)
        once(&w.auctions, status_only(503));
    open_source();
    run_for(MINUTE);
    assert_int_equal(counts()->snapshots, 1);
    once(&w.auctions, status_only(503));
    run_for(HOUR);
    assert_int_equal(counts()->snapshots, 2);
    uint64_t wait_ms = call_of("/auctions", 7)->at_ms - call_of("/auctions", 6)->at_ms;
    assert_in_range(wait_ms, 500, 1000);
}

static void too_many_requests_stops_all_of_them_for_as_long_as_asked(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    w.config.max_transfers = 1;
    once(&w.auctions, status_only(429));
    w.auctions.answers[0].reply.retry_after_s = 30;
    once(&w.auctions, status_only(429)); /* no word of how long: a second */
    open_source();
    run_for(29 * SECOND + 999);
    assert_int_equal(calls_of("/auctions"), 1);
    run_for(1);
    assert_int_equal(calls_of("/auctions"), 2);
    run_for(999);
    assert_int_equal(calls_of("/auctions"), 2);
    run_for(1);
    assert_true(calls_of("/auctions") > 2);
    run_for(10 * SECOND);
    assert_int_equal(counts()->snapshots, 12);
}

static void service_unavailable_holds_back_its_own_feed_alone(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    once(&w.auctions, status_only(503));
    w.auctions.answers[0].reply.retry_after_s = 100;
    open_source();
    run_for(99 * SECOND);
    assert_int_equal(counts()->snapshots, 11);
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 12);
}

static void body_that_is_cut_is_broken_and_fetched_again(void **state)
{
    (void)state;
    once(&w.auctions, snapshot_of(EPOCH));
    w.auctions.answers[0].end = GV_CORRUPT;
    open_source();
    run_for(100);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.ended_whole, 0);
    assert_int_equal(counts()->broken, 1);
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 1);
}

static void body_larger_than_the_cap_is_broken(void **state)
{
    (void)state;
    w.config.max_body_bytes = 5;
    open_source();
    run_for(100);
    assert_int_equal(counts()->broken, 1);
    assert_int_equal(w.disk->renames, 0);
}

static void receiver_that_does_not_want_it_now_is_asked_again_later(void **state)
{
    (void)state;
    w.refuse_open = GV_FULL;
    open_source();
    run_for(100);
    assert_int_equal(counts()->failures, 1);
    assert_false(source_busy(w.source));
    w.refuse_open = GV_OK;
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 1);
}

/* Such as a CA file that is not there, or an address that is none. */
static void request_that_cannot_be_made_is_a_failure_of_its_feed(void **state)
{
    (void)state;
    open_source();
    settle_down(); /* has a token now and a snapshot */
    run_for(HOUR - START_MS - SECOND);
    http_double_refuse(w.http, GV_INVAL);
    run_for(16 * SECOND + 400);
    assert_int_equal(counts()->failures, 1);
    assert_int_equal(log_double_count(&w.said, "refused by the test"), 1);
    assert_int_equal(counts()->feeds_failed, 0);
    run_for(MINUTE);
    assert_true(counts()->not_modified >= 1);
    close_source();
    http_double_refuse(w.http, GV_OK);
    char base[FEED_URL_MAX];
    memset(base, 'x', sizeof base);
    base[sizeof base - 1] = '\0';
    w.config.base_url = base;
    open_source();
    run_for(HOUR);
    assert_in_range(counts()->failures, 10, 20);
}

static void full_client_is_waited_for(void **state)
{
    (void)state;
    open_source();
    settle_down();
    run_for(HOUR - START_MS - SECOND);
    w.published = EPOCH + 3600;
    http_double_refuse(w.http, GV_AGAIN);
    run_for(20 * SECOND);
    assert_int_equal(counts()->failures, 0);
    assert_int_equal(counts()->snapshots, 2);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void no_more_than_so_many_snapshots_at_once_until_they_are_settled(void **state)
{
    (void)state;
    watch_realms(twelve_realms, 12);
    for (unsigned limit = 1; limit <= SOURCE_TRANSFERS_MAX; limit++) {
        w.config.max_transfers = limit;
        w.hold = true;
        w.opened = 0;
        disk_double_wipe(w.disk);
        open_source();
        run_for(HOUR);
        assert_int_equal(w.opened, limit);
        for (unsigned n = limit; n < 12; n++) {
            settle(n % limit, SETTLE_SAFE);
            run_for(SECOND);
            assert_int_equal(w.opened, n + 1);
        }
        assert_int_equal(http_double_most_active(w.http), limit);
        close_source();
    }
}

static void paused_transfer_goes_on_when_resumed(void **state)
{
    (void)state;
    w.starve = true;
    open_source();
    run_for(HOUR);
    assert_int_equal(w.slots[0].bytes, 1);
    source_resume(w.source, 0);
    run_for(SECOND);
    assert_int_equal(w.slots[0].bytes, 2);
    w.starve = false;
    source_resume(w.source, 0);
    run_for(SECOND);
    assert_int_equal(w.slots[0].bytes, strlen("{\"auctions\":[]}"));
    assert_int_equal(counts()->snapshots, 1);
    source_resume(w.source, 0); /* nothing runs there: nothing happens */
}

static size_t most_in(uint64_t span_ms)
{
    size_t most = 0, n = http_double_calls(w.http);
    for (size_t from = 0, to = 0, in = 0; to < n; to++) {
        in += strstr(http_double_call(w.http, to)->url, "oauth") == NULL;
        for (;
             http_double_call(w.http, to)->at_ms - http_double_call(w.http, from)->at_ms >= span_ms;
             from++)
            in -= strstr(http_double_call(w.http, from)->url, "oauth") == NULL;
        most = in > most ? in : most;
    }
    return most;
}

/* By chance: everything that a server may answer. */
static void serve_by_chance(void *ctx, const http_call *call, http_answer *answer)
{
    static const int statuses[] = { 200, 200, 304, 404, 401, 429, 500, 503, 0 };
    schedule_random *chance = ctx;
    serve(NULL, call, answer);
    if (strstr(call->url, "oauth") && schedule_below(chance, 3))
        return;
    int status = statuses[schedule_below(chance, sizeof statuses / sizeof statuses[0])];
    answer->delay_ms = schedule_below(chance, 3) ? 0 : schedule_below(chance, 5000);
    if (status == 200)
        return;
    answer->reply.status = status;
    answer->reply.retry_after_s = (int64_t)schedule_below(chance, 10) - 1;
    answer->end = status ? GV_OK : GV_IO;
    answer->body = gv_span_str(status == 304 ? "" : "sorry");
}

static void api_limits_are_kept_whatever_the_server_does(void **state)
{
    static uint32_t realms[60];
    (void)state;
    for (uint32_t i = 0; i < 60; i++)
        realms[i] = i + 1;
    watch_realms(realms, 60);
    w.config.requests_per_s = 3;
    w.config.requests_per_hour = 90;
    w.config.schedule.retry_min_ms = 10;
    w.config.schedule.retry_max_ms = 2000;
    w.hourly = true;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        schedule_random chance;
        schedule_seed(&chance, seed);
        http_close(w.http);
        w.http = http_open(NULL, &w.clock, 6, "test", NULL);
        http_double_serve(w.http, serve_by_chance, &chance);
        disk_double_wipe(w.disk);
        open_source();
        run_for(6 * HOUR);
        assert_in_range(most_in(SECOND), 2, 3);
        assert_in_range(most_in(HOUR), 85, 90);
        assert_true(http_double_most_active(w.http) <= 4);
        close_source();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(token_is_kept_until_shortly_before_it_expires),
        TEST(refused_token_is_replaced_once_and_then_it_is_a_failure),
        TEST(each_new_refusal_earns_a_new_token),
        TEST(many_refusals_of_one_token_cost_one_new_token),
        TEST(token_that_is_not_to_be_had_is_asked_for_ever_more_slowly),
        TEST(token_that_has_expired_when_it_comes_is_not_asked_for_in_a_loop),
        TEST(trouble_backs_off_doubling_to_a_cap),
        TEST(success_after_trouble_starts_the_back_off_anew),
        TEST(too_many_requests_stops_all_of_them_for_as_long_as_asked),
        TEST(service_unavailable_holds_back_its_own_feed_alone),
        TEST(body_that_is_cut_is_broken_and_fetched_again),
        TEST(body_larger_than_the_cap_is_broken),
        TEST(receiver_that_does_not_want_it_now_is_asked_again_later),
        TEST(request_that_cannot_be_made_is_a_failure_of_its_feed),
        TEST(full_client_is_waited_for),
        TEST(no_more_than_so_many_snapshots_at_once_until_they_are_settled),
        TEST(paused_transfer_goes_on_when_resumed),
        TEST(api_limits_are_kept_whatever_the_server_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
