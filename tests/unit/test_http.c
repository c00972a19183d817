/* What the HTTP client carries to and fro: bodies, requests, headers, and the dates and URLs in them. */
#include "tests/unit/transfer_world.h"

#include <malloc.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/net/http_head.h"
#include "agent/net/http_url.h"

/* --- bodies ------------------------------------------------------------------------------------ */
static void bodies_arrive_byte_for_byte(void **state)
{
    static const char *const paths[] = {
        "/plain/1000000",   "/chunked/1000000",   "/gzip/1000000",
        "/members/1000000", "/tiny_chunks/30000", "/interim/70000"
    };
    static const uint64_t bytes[] = { 1000000, 1000000, 1000000, 1000000, 30000, 70000 };
    (void)state;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        for (int tls = 0; tls < 2; tls++) {
            probe p;
            get(&p, tls ? "https" : "http", paths[i]);
            assert_string_equal(p.err.text, "");
            assert_int_equal(p.status, GV_OK);
            assert_int_equal(p.reply.status, 200);
            assert_int_equal(p.got, bytes[i]);
            assert_true(p.same);
        }
}

static void pausing_anywhere_loses_and_doubles_nothing(void **state)
{
    static const char *const paths[] = { "/plain/100000", "/chunked/100000", "/gzip/100000",
                                         "/members/100000" };
    static const size_t steps[] = { 1 << 20, 16384, 16383, 8192, 1021, 97 };
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            probe p;
            aim(&p, i % 2 ? "http" : "https", paths[i]);
            p.take_at_most = steps[s];
            start(&p);
            run(&p);
            assert_string_equal(p.err.text, "");
            assert_int_equal(p.got, 100000);
            assert_true(p.same);
            assert_true(p.pauses >= 100000 / 16384);
        }
}

static void a_paused_transfer_waits_quietly_without_a_timeout(void **state)
{
    probe p;
    (void)state;
    aim(&p, "https", "/gzip/2000000");
    p.request.stall_timeout_ms = 400; /* shorter than the pause */
    p.take_at_most = 50000;
    start(&p);
    while (!p.paused)
        turn();
    struct rusage before;
    struct rusage after;
    getrusage(RUSAGE_SELF, &before);
    unsigned turns = 0;
    uint64_t until = plat_mono_ms(&w.clock) + 600;
    while (plat_mono_ms(&w.clock) < until) {
        turn();
        turns++;
    }
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(p.dones, 0);
    assert_true(turns < 100); /* the loop sleeps: nothing spins on the readable socket */
    p.paused = false;
    p.take_at_most = 0;
    http_resume(p.transfer);
    run(&p);
    assert_int_equal(p.status, GV_OK);
    assert_int_equal(p.got, 2000000);
    assert_true(p.same);
}

/* 0 where the C library cannot tell (musl). */
static size_t heap_in_use_bytes(void)
{
#ifdef __GLIBC__
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void a_slow_taker_costs_no_memory(void **state)
{
    probe p;
    (void)state;
    size_t before = 0;
    size_t most = 0;
    aim(&p, "https", "/chunked/3000000");
    p.take_at_most = 1500; /* and each time a pause: 2000 of them */
    start(&p);
    while (!p.dones) {
        if (p.paused) {
            size_t now = heap_in_use_bytes();
            if (before == 0)
                before = now;
            most = now > most ? now : most;
            p.paused = false;
            http_resume(p.transfer);
            http_tick(w.client);
            assert_int_equal(plat_loop_wait(w.loop, 0, NULL), GV_OK);
        } else {
            turn();
        }
    }
    assert_string_equal(p.err.text, "");
    assert_int_equal(p.got, 3000000);
    assert_true(p.same);
    assert_true(p.pauses >= 2000);
    assert_in_range(most - before, 0, 65536);
}

static void four_at_once_pause_independently(void **state)
{
    probe p[SLOTS];
    (void)state;
    for (int i = 0; i < SLOTS; i++) {
        aim(&p[i], i % 2 ? "http" : "https", "/gzip/500000");
        p[i].take_at_most = (size_t)(5000 + 777 * i);
        start(&p[i]);
    }
    gv_error err = { 0 };
    http_transfer *more;
    assert_int_equal(http_start(w.client, &p[0].request, &more, &err), GV_AGAIN);
    unsigned random = 1;
    for (int over = 0; over < SLOTS;) {
        turn();
        over = 0;
        for (int i = 0; i < SLOTS; i++) {
            random = random * 1103515245 + 12345;
            over += p[i].dones;
            if (p[i].paused && random >> 30) {
                p[i].paused = false;
                http_resume(p[i].transfer);
            }
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(p[i].status, GV_OK);
        assert_int_equal(p[i].got, 500000);
        assert_true(p[i].same);
    }
}

static void a_body_that_ends_early_is_corrupt_and_counted(void **state)
{
    static const char *const paths[] = { "/cut/50000", "/cut_chunked/50000", "/reset/50000",
                                         "/bad_chunk/50000" };
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (int tls = 0; tls < 2; tls++) {
            probe p;
            get(&p, tls ? "https" : "http", paths[i]);
            assert_int_equal(p.status, GV_CORRUPT);
            assert_int_equal(p.got, 50000);
            assert_true(p.same);
            assert_said(&p, "ended after 50000 bytes");
            assert_said(&p, paths[i]);
        }
}

static void a_gzip_body_that_is_cut_or_damaged_is_corrupt(void **state)
{
    probe p;
    (void)state;
    get(&p, "http", "/cut_gzip/50000");
    assert_int_equal(p.status, GV_CORRUPT);
    assert_said(&p, "ended after 50000 bytes");
    assert_true(p.same);
    get(&p, "http", "/bad_gzip/50000");
    assert_int_equal(p.status, GV_CORRUPT);
    assert_said(&p, "gzip stream is damaged");
    get(&p, "http", "/after_gzip/50000");
    assert_int_equal(p.status, GV_CORRUPT);
    assert_int_equal(p.got, 50000);
}

static void a_body_cut_while_paused_is_corrupt(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/cut/200000");
    p.take_at_most = 999;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_CORRUPT);
    assert_said(&p, "ended after 200000 bytes");
    assert_int_equal(p.got, 200000);
    assert_true(p.same);
}

static void a_body_larger_than_allowed_ends_the_transfer(void **state)
{
    static const char *const paths[] = { "/plain/100001", "/chunked/100001", "/gzip/100001",
                                         "/bomb/30000000" };
    probe p;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        aim(&p, "http", paths[i]);
        p.request.max_body_bytes = 100000;
        start(&p);
        run(&p);
        assert_int_equal(p.status, GV_FULL);
        assert_said(&p, "100000");
        assert_true(p.got <= 100000);
    }
    aim(&p, "http", "/gzip/100000");
    p.request.max_body_bytes = 100000;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_OK);
    assert_int_equal(p.got, 100000);
}

static void encodings_that_were_not_asked_for_are_refused(void **state)
{
    probe p;
    (void)state;
    get(&p, "http", "/brotli/1");
    assert_int_equal(p.status, GV_INVAL);
    aim(&p, "http", "/gzip/10");
    p.request.accept_gzip = false;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_INVAL);
    assert_int_equal(p.got, 0);
}

/* --- requests and headers ---------------------------------------------------------------------- */
static void requests_carry_method_headers_body_and_authorization(void **state)
{
    static const char *const headers[] = { "Content-Type: application/json", "X-One: 1" };
    probe p;
    (void)state;
    aim(&p, "https", "/echo/0?namespace=dynamic-eu");
    p.request.method = "POST";
    p.request.headers = headers;
    p.request.header_count = 2;
    p.request.body = gv_span_str("{\"a\":1}");
    p.request.username = "user";
    p.request.password = "s3cret";
    start(&p);
    run(&p);
    assert_non_null(strstr(p.text, "POST /echo/0?namespace=dynamic-eu\n"));
    assert_non_null(strstr(p.text, "accept-encoding: gzip\n"));
    assert_non_null(strstr(p.text, "authorization: Basic dXNlcjpzM2NyZXQ=\n"));
    assert_non_null(strstr(p.text, "content-type: application/json\n"));
    assert_non_null(strstr(p.text, "user-agent: gavel-test/1\n"));
    assert_non_null(strstr(p.text, "x-one: 1\n"));
    assert_null(strstr(p.text, "expect:"));
    assert_non_null(strstr(p.text, "\n\n{\"a\":1}"));

    /* Nothing of it sticks to the slot. */
    for (int i = 0; i < SLOTS; i++) {
        get(&p, "https", "/echo/0");
        assert_non_null(strstr(p.text, "GET /echo/0\n"));
        assert_null(strstr(p.text, "authorization"));
        assert_null(strstr(p.text, "content-type"));
    }
    aim(&p, "http", "/echo/0");
    p.request.method = "PUT";
    p.request.body = gv_span_str("x");
    start(&p);
    run(&p);
    assert_non_null(strstr(p.text, "PUT /echo/0\n"));
    aim(&p, "http", "/echo/0");
    p.request.method = "POST";
    start(&p);
    run(&p);
    assert_non_null(strstr(p.text, "POST /echo/0\n"));
    assert_non_null(strstr(p.text, "content-length: 0\n"));
}

static void etag_and_last_modified_make_a_304(void **state)
{
    static const char *const again[] = { "If-None-Match: W/\"abc\"" };
    probe p;
    (void)state;
    get(&p, "https", "/etag/0");
    assert_int_equal(p.reply.status, 200);
    assert_string_equal(p.reply.etag, "W/\"abc\"");
    assert_int_equal(p.reply.last_modified, 1404187200);
    assert_int_equal(p.reply.date, 1404187800);
    aim(&p, "https", "/etag/0");
    p.request.headers = again;
    p.request.header_count = 1;
    p.request.max_body_bytes = 5;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_OK);
    assert_int_equal(p.reply.status, 304);
    assert_int_equal(p.heads, 1);
    assert_int_equal(p.got, 0);
    get(&p, "http", "/interim/10");
    assert_string_equal(p.reply.etag, "\"right\"");
}

static void retry_after_is_seconds_or_a_date_by_the_servers_clock(void **state)
{
    probe p;
    (void)state;
    get(&p, "http", "/status/429");
    assert_int_equal(p.status, GV_OK);
    assert_int_equal(p.reply.status, 429);
    assert_int_equal(p.reply.retry_after_s, 7);
    get(&p, "http", "/status/503?after=Tue,_01_Jul_2014_04:12:30_GMT");
    assert_int_equal(p.reply.retry_after_s, 150);
    get(&p, "http", "/status/503?after=Tue,_01_Jul_2014_04:00:00_GMT");
    assert_int_equal(p.reply.retry_after_s, 0);
    get(&p, "http", "/status/503?after=soon");
    assert_int_equal(p.reply.retry_after_s, -1);
}

static void redirects_are_named_and_not_followed(void **state)
{
    probe p;
    (void)state;
    get(&p, "http", "/redirect/1?token=s3cret");
    assert_int_equal(p.status, GV_INVAL);
    assert_said(&p, "https://new.example/place");
    assert_null(strstr(p.err.text, "s3cret"));
    assert_null(strstr(p.err.text, "pw"));
}

static void headers_are_bounded(void **state)
{
    probe p;
    (void)state;
    get(&p, "http", "/many_headers/1000");
    assert_int_equal(p.status, GV_OK);
    get(&p, "http", "/many_headers/4000");
    assert_int_equal(p.status, GV_FULL);
    get(&p, "http", "/huge_header/5000000");
    assert_int_equal(p.status, GV_FULL);
    get(&p, "http", "/noise/1");
    assert_int_not_equal(p.status, GV_OK);
}

static void bad_requests_are_refused_at_once(void **state)
{
    static const char *const injected[] = { "X: 1\r\nY: 2" };
    static const char *const urls[] = {
        "ftp://host/", "file:///etc/passwd", "host", "http:///x", "", "http://a b/"
    };
    probe p;
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        gv_error err = { 0 };
        aim(&p, "http", "/");
        p.request.url = urls[i];
        assert_int_equal(http_start(w.client, &p.request, &p.transfer, &err), GV_INVAL);
        assert_true(err.text[0]);
    }
    aim(&p, "http", "/plain/1");
    p.request.headers = injected;
    p.request.header_count = 1;
    assert_int_equal(http_start(w.client, &p.request, &p.transfer, NULL), GV_INVAL);
    aim(&p, "https", "/plain/1");
    p.request.ca_file = "/nonexistent/ca.pem";
    gv_error err = { 0 };
    assert_int_equal(http_start(w.client, &p.request, &p.transfer, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    for (int i = 0; i < 2 * SLOTS; i++) /* no slot was lost */
        get(&p, "http", "/plain/1");
}

/* --- dates and URLs ----------------------------------------------------------------------------- */
static void dates_are_read_in_all_three_forms(void **state)
{
    static const char *const wrong[] = { "",
                                         "0",
                                         "Sun, 06 Nov 1994 08:49:37",
                                         "Sun, 06 Nov 1994 24:00:00 GMT",
                                         "Sun, 06 Foo 1994 08:49:37 GMT",
                                         "Sun, 06 anF 1994 08:49:37 GMT",
                                         "Sun, 32 Jan 1994 08:49:37 GMT",
                                         "Sun, 06 Nov 1994 08:49:37 GMT+1",
                                         "Sun, 06 Nov 1969 08:49:37 GMT",
                                         "Sun, 06 Nov -994 08:49:37 GMT" };
    (void)state;
    assert_int_equal(http_date_parse(gv_span_str("Sun, 06 Nov 1994 08:49:37 GMT")), 784111777);
    assert_int_equal(http_date_parse(gv_span_str("Sunday, 06-Nov-94 08:49:37 GMT")), 784111777);
    assert_int_equal(http_date_parse(gv_span_str("Sun Nov  6 08:49:37 1994")), 784111777);
    assert_true(http_date_parse(gv_span_str("Thu, 29 Feb 2096 00:00:00 GMT")) ==
                INT64_C(3981312000));
    assert_true(http_date_parse(gv_span_str("Fri, 03 Feb 2040 04:05:06 GMT")) ==
                INT64_C(2211854706));
    assert_true(http_date_parse(gv_span_str("Tue Aug  9 10:11:12 2107")) == INT64_C(4342327872));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(http_date_parse(gv_span_str(wrong[i])), -1);
    for (int64_t day = 0; day < 60000; day++) { /* beside the C library */
        time_t t = (time_t)(day * 86400);
        struct tm tm;
        gmtime_r(&t, &tm);
        assert_true(http_civil_to_s(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1,
                                    (unsigned)tm.tm_mday, 0, 0, 0) == t);
    }
}

static void a_shown_url_keeps_no_secret(void **state)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        { "https://host/a/b?x=1#y", "https://host/a/b" },
        { "https://u:p@host:8/a", "https://host:8/a" },
        { "https://u:p@q@host/a@b", "https://host/a@b" },
        { "HTTP://host?u@x", "HTTP://host" },
        { "nothing", "nothing" },
        { "a\nb", "a?b" },
    };
    char out[HTTP_URL_SHOWN_MAX];
    char small[12];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_url_show(cases[i].url, out, sizeof out);
        assert_string_equal(out, cases[i].shown);
    }
    http_url_show("https://host/very/long", small, sizeof small);
    assert_string_equal(small, "https://...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_in_all_three_forms),
        cmocka_unit_test(a_shown_url_keeps_no_secret),
        cmocka_unit_test(bodies_arrive_byte_for_byte),
        cmocka_unit_test(pausing_anywhere_loses_and_doubles_nothing),
        cmocka_unit_test(a_paused_transfer_waits_quietly_without_a_timeout),
        cmocka_unit_test(a_slow_taker_costs_no_memory),
        cmocka_unit_test(four_at_once_pause_independently),
        cmocka_unit_test(a_body_that_ends_early_is_corrupt_and_counted),
        cmocka_unit_test(a_gzip_body_that_is_cut_or_damaged_is_corrupt),
        cmocka_unit_test(a_body_cut_while_paused_is_corrupt),
        cmocka_unit_test(a_body_larger_than_allowed_ends_the_transfer),
        cmocka_unit_test(encodings_that_were_not_asked_for_are_refused),
        cmocka_unit_test(requests_carry_method_headers_body_and_authorization),
        cmocka_unit_test(etag_and_last_modified_make_a_304),
        cmocka_unit_test(retry_after_is_seconds_or_a_date_by_the_servers_clock),
        cmocka_unit_test(redirects_are_named_and_not_followed),
        cmocka_unit_test(headers_are_bounded),
        cmocka_unit_test(bad_requests_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
