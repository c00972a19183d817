#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/token.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/http_double.h"
#include "tests/doubles/log_double.h"

#include <stdio.h>
#include <stdlib.h>

#define SECRET "hunter2-do-not-show"

static const token_config config = {
    .url = "https://oauth.example/token",
    .client_id = "the-id",
    .client_secret = SECRET,
    .retry = { .retry_min_ms = 1000, .retry_max_ms = 60000 },
};

static clock_double now;
static plat_clock wall;
static http_client *http;
static schedule_random chance;
static token t;
static log_double said;
static http_answer next; /* what the token endpoint answers */

static void serve(void *ctx, const http_call *call, http_answer *answer)
{
    (void)ctx, (void)call;
    int64_t retry_after_s = next.reply.retry_after_s;
    *answer = next;
    answer->reply.retry_after_s = retry_after_s ? retry_after_s : -1;
}

static void answer_with(int status, const char *body)
{
    next = (http_answer){ .reply = { .status = status }, .body = gv_span_str(body) };
}

static int setup(void **state)
{
    (void)state;
    now = (clock_double){ 10000, 0 };
    wall = clock_double_table(&now);
    http = http_open(NULL, &wall, 2, "test", NULL);
    http_double_serve(http, serve, NULL);
    schedule_seed(&chance, 7);
    token_init(&t, &config, http, &wall, &chance);
    log_double_open(&said);
    answer_with(200, "{\"access_token\":\"EUabc-123\",\"token_type\":\"bearer\","
                     "\"expires_in\":86399,\"sub\":\"x\"}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(log_double_count(&said, SECRET), 0);
    assert_int_equal(log_double_count(&said, "EUabc"), 0);
    token_stop(&t);
    http_close(http);
    log_double_close(&said);
    return 0;
}

/* One round of the loop; returns the deadline of the token. */
static uint64_t tick(void)
{
    token_tick(&t, now.mono_ms);
    http_tick(http);
    return token_tick(&t, now.mono_ms);
}

static void token_is_asked_for_as_the_standard_says(void **state)
{
    (void)state;
    assert_false(token_usable(&t, now.mono_ms));
    tick();
    assert_true(token_usable(&t, now.mono_ms));
    assert_string_equal(t.header, "Authorization: Bearer EUabc-123");
    assert_int_equal(http_double_calls(http), 1);
    const http_call *call = http_double_call(http, 0);
    assert_string_equal(call->method, "POST");
    assert_string_equal(call->url, config.url);
    assert_string_equal(call->username, "the-id");
    assert_string_equal(call->password, SECRET);
    assert_string_equal(call->body, "grant_type=client_credentials");
    assert_string_equal(http_call_header(call, "Content-Type"),
                        "application/x-www-form-urlencoded");
}

static void token_is_kept_until_a_minute_before_it_expires(void **state)
{
    (void)state;
    tick();
    clock_double_advance(&now, (86399 - 60) * 1000 - 1);
    assert_int_equal(tick(), UINT64_MAX);
    assert_int_equal(http_double_calls(http), 1);
    clock_double_advance(&now, 1);
    assert_false(token_usable(&t, now.mono_ms));
    tick();
    assert_int_equal(http_double_calls(http), 2);
    assert_int_equal(t.fetched, 2);
}

static void short_lived_token_is_used_for_half_of_its_life(void **state)
{
    (void)state;
    answer_with(200, "{\"access_token\":\"EUabc\",\"expires_in\":20}");
    tick();
    clock_double_advance(&now, 9999);
    assert_true(token_usable(&t, now.mono_ms));
    clock_double_advance(&now, 1);
    assert_false(token_usable(&t, now.mono_ms));
}

static void token_that_has_expired_when_it_comes_is_a_failure_not_a_loop(void **state)
{
    (void)state;
    answer_with(200, "{\"access_token\":\"EUabc\",\"expires_in\":0}");
    uint64_t due_ms = tick();
    assert_false(token_usable(&t, now.mono_ms));
    assert_in_range(due_ms, now.mono_ms + 500, now.mono_ms + 1000);
    assert_int_equal(http_double_calls(http), 1);
    assert_int_equal(log_double_count(&said, "had expired when it came"), 1);
}

static void token_without_expires_in_is_kept_for_an_hour(void **state)
{
    (void)state;
    answer_with(200, "{\"access_token\":\"EUabc\"}");
    tick();
    assert_true(token_usable(&t, now.mono_ms + 3539999));
    assert_false(token_usable(&t, now.mono_ms + 3540000));
}

static void expiry_that_is_absurdly_far_is_capped(void **state)
{
    (void)state;
    answer_with(200, "{\"access_token\":\"EUabc\",\"expires_in\":1e300}");
    tick();
    assert_true(token_usable(&t, now.mono_ms + UINT64_C(365) * 86400000));
    assert_false(token_usable(&t, now.mono_ms + UINT64_C(367) * 86400000));
}

static void wrong_client_backs_off_and_says_what_to_check(void **state)
{
    static const int statuses[] = { 400, 401, 403 };
    (void)state;
    uint64_t full_ms = 1000;
    for (size_t i = 0; i < 3; i++) {
        answer_with(statuses[i], "{\"error\":\"unauthorized\"}");
        uint64_t due_ms = tick();
        assert_false(token_usable(&t, now.mono_ms));
        assert_in_range(due_ms, now.mono_ms + full_ms / 2, now.mono_ms + full_ms);
        assert_int_equal(log_double_count(&said, "check api.client_id and api.client_secret"),
                         i + 1);
        now.mono_ms = due_ms - 1;
        tick();
        assert_int_equal(http_double_calls(http), i + 1); /* not before it is due */
        now.mono_ms = due_ms;
        full_ms *= 2;
    }
    answer_with(200, "{\"access_token\":\"EUabc\"}");
    tick();
    assert_true(token_usable(&t, now.mono_ms));
    assert_int_equal(t.failures, 0);
}

static void endpoint_in_trouble_is_asked_again_no_sooner_than_it_wants(void **state)
{
    (void)state;
    answer_with(503, "<html>");
    next.reply.retry_after_s = 30;
    assert_int_equal(tick(), now.mono_ms + 30000);
    assert_int_equal(log_double_count(&said, "HTTP 503"), 1);
}

static void network_failure_and_oversized_reply_back_off(void **state)
{
    static char large[TOKEN_REPLY_MAX + 1];
    (void)state;
    answer_with(0, "");
    next.end = GV_IO;
    next.error = "cannot connect";
    uint64_t due_ms = tick();
    assert_in_range(due_ms, now.mono_ms + 500, now.mono_ms + 1000);
    assert_int_equal(log_double_count(&said, "cannot connect"), 1);
    now.mono_ms = due_ms;
    memset(large, ' ', sizeof large);
    next = (http_answer){ .reply = { .status = 200 }, .body = gv_span_of(large, sizeof large) };
    next.chunk_bytes = 1000;
    due_ms = tick();
    assert_in_range(due_ms, now.mono_ms + 1000, now.mono_ms + 2000);
    assert_int_equal(t.failures, 2);
}

/* Such as a CA file that is not there: nothing was sent, but trying for ever must not look well. */
static void request_that_cannot_be_made_counts_as_a_failure(void **state)
{
    (void)state;
    http_double_refuse(http, GV_INVAL);
    uint64_t due_ms = token_tick(&t, now.mono_ms);
    assert_in_range(due_ms, now.mono_ms + 500, now.mono_ms + 1000);
    assert_int_equal(t.failures, 1);
    assert_int_equal(log_double_count(&said, "refused by the test"), 1);
    now.mono_ms = due_ms;
    http_double_refuse(http, GV_AGAIN); /* all slots are in use: nobody's fault */
    due_ms = token_tick(&t, now.mono_ms);
    assert_int_equal(t.failures, 1);
    assert_true(due_ms > now.mono_ms);
    now.mono_ms = due_ms;
    tick();
    assert_true(token_usable(&t, now.mono_ms));
}

static void reply_in_pieces_and_a_second_one_after_it_are_both_read(void **state)
{
    (void)state;
    next.chunk_bytes = 1;
    tick();
    assert_string_equal(t.header, "Authorization: Bearer EUabc-123");
    token_drop(&t);
    assert_false(token_usable(&t, now.mono_ms));
    answer_with(200, "{\"access_token\":\"EUabc-456\"}");
    tick();
    assert_string_equal(t.header, "Authorization: Bearer EUabc-456");
}

static void stopping_cancels_what_runs(void **state)
{
    (void)state;
    next.silent = true;
    token_tick(&t, now.mono_ms);
    http_tick(http);
    token_stop(&t);
    assert_int_equal(http_double_active(http), 0);
    token_stop(&t);
}

static void reply_that_is_no_token_is_refused_without_quoting_it(void **state)
{
    static const char *const bad[] = {
        "",
        "EUabc",
        "{\"access_token\":\"EUabc\"",
        "[]",
        "null",
        "{}",
        "{\"access_token\":5}",
        "{\"access_token\":\"\"}",
        "{\"access_token\":\"EUabc\\r\\nX-Evil: 1\"}",
        "{\"access_token\":\"EU abc\"}",
        "{\"access_token\":\"EU\\u00e9abc\"}",
        "{\"access_token\":\"EUabc\",\"expires_in\":\"5\"}",
        "{\"access_token\":\"EUabc\",\"expires_in\":-1}",
        "{\"access_token\":\"EUabc\",\"expires_in\":null}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char bearer[TOKEN_TEXT_MAX];
        uint64_t life_s;
        gv_error err = { 0, "" };
        assert_int_equal(token_parse(gv_span_str(bad[i]), bearer, &life_s, &err), GV_INVAL);
        assert_true(err.text[0] != '\0');
        assert_null(strstr(err.text, "EU"));
    }
}

static void longest_token_fits_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    char json[TOKEN_TEXT_MAX + 64], bearer[TOKEN_TEXT_MAX], text[TOKEN_TEXT_MAX + 1];
    uint64_t life_s;
    gv_error err = { 0, "" };
    memset(text, 'a', sizeof text);
    text[TOKEN_TEXT_MAX - 1] = '\0';
    snprintf(json, sizeof json, "{\"access_token\":\"%s\"}", text);
    assert_int_equal(token_parse(gv_span_str(json), bearer, &life_s, &err), GV_OK);
    assert_string_equal(bearer, text);
    assert_int_equal(life_s, 3600);
    text[TOKEN_TEXT_MAX - 1] = 'a';
    text[TOKEN_TEXT_MAX] = '\0';
    snprintf(json, sizeof json, "{\"access_token\":\"%s\"}", text);
    assert_int_equal(token_parse(gv_span_str(json), bearer, &life_s, &err), GV_INVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(token_is_asked_for_as_the_standard_says),
        TEST(token_is_kept_until_a_minute_before_it_expires),
        TEST(short_lived_token_is_used_for_half_of_its_life),
        TEST(token_that_has_expired_when_it_comes_is_a_failure_not_a_loop),
        TEST(token_without_expires_in_is_kept_for_an_hour),
        TEST(expiry_that_is_absurdly_far_is_capped),
        TEST(wrong_client_backs_off_and_says_what_to_check),
        TEST(endpoint_in_trouble_is_asked_again_no_sooner_than_it_wants),
        TEST(network_failure_and_oversized_reply_back_off),
        TEST(request_that_cannot_be_made_counts_as_a_failure),
        TEST(reply_in_pieces_and_a_second_one_after_it_are_both_read),
        TEST(stopping_cancels_what_runs),
        TEST(reply_that_is_no_token_is_refused_without_quoting_it),
        TEST(longest_token_fits_and_a_longer_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
