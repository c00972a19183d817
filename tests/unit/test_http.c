#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <netdb.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/net/http.h"
#include "agent/net/http_head.h"
#include "agent/net/http_url.h"
#include "tests/unit/double.h"

#define CA       GAVEL_SOURCE_DIR "/tests/doubles/tls/ca.pem"
#define OTHER_CA GAVEL_SOURCE_DIR "/tests/doubles/tls/other-ca.pem"
#define SLOTS    4

static test_double server;
static plat_loop *loop;
static plat_clock the_clock;
static http_client *client;
static int64_t wall_ms; /* 0: the real one */

/* In the C library's place: what mbedTLS asks, too. */
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t s = wall_ms ? (time_t)(wall_ms / 1000) : now.tv_sec;
    if (out)
        *out = s;
    return s;
}

static plat_sync sync_state;

static plat_sync test_sync(void *ctx)
{
    (void)ctx;
    return sync_state;
}

static int64_t test_wall(void *ctx)
{
    (void)ctx;
    return (int64_t)time(NULL) * 1000;
}

/* --- a resolver of our own, in the C library's place ------------------------------------------- */
static atomic_bool resolver_hangs;
static atomic_int resolving;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    static const struct timespec a_moment = { .tv_nsec = 5000000 };
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (strcmp(node, "hanging.invalid") == 0) {
        atomic_fetch_add(&resolving, 1);
        while (atomic_load(&resolver_hangs))
            nanosleep(&a_moment, NULL);
        atomic_fetch_sub(&resolving, 1);
        return EAI_NONAME;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, result);
}

/* --- one request and what came of it ----------------------------------------------------------- */
typedef struct probe {
    http_request request;
    http_transfer *transfer;
    char url[256];
    uint64_t got;
    bool same;       /* every byte was pattern(k) so far */
    char text[4096]; /* the body's beginning */
    int heads, dones;
    gv_status status;
    http_reply reply;
    gv_error err;
    size_t take_at_most; /* and then pause; 0: take all */
    unsigned pauses;
    bool paused;
    gv_status head_answer, data_answer;
    bool cancel_in_head, cancel_in_data;
    struct probe *cancel_other;
    struct probe *then; /* started by on_done */
} probe;

static uint8_t pattern(uint64_t k)
{
    uint64_t i = k % 65521;
    return (uint8_t)((i * i * 31 + i * 7 + 3) >> 3);
}

static void start(probe *p);

static gv_status on_headers(void *ctx, const http_reply *reply, gv_error *err)
{
    probe *p = ctx;
    p->heads++;
    p->reply = *reply;
    assert_int_equal(p->got, 0);
    assert_int_equal(p->dones, 0);
    if (p->cancel_in_head)
        http_cancel(p->transfer);
    return p->head_answer == GV_OK ? GV_OK : gv_fail(err, p->head_answer, "not wanted");
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    probe *p = ctx;
    assert_int_equal(p->heads, 1);
    assert_int_equal(p->dones, 0);
    assert_false(p->paused);
    assert_true(data.len > 0);
    if (p->cancel_in_data) {
        http_cancel(p->transfer);
        p->cancel_in_data = false;
        return GV_OK;
    }
    if (p->cancel_other) {
        http_cancel(p->cancel_other->transfer);
        p->cancel_other = NULL;
    }
    if (p->data_answer != GV_OK)
        return gv_fail(err, p->data_answer, "data not wanted");
    size_t n = data.len;
    if (p->take_at_most && n > p->take_at_most)
        n = p->take_at_most;
    for (size_t i = 0; i < n; i++) {
        if (data.data[i] != pattern(p->got + i))
            p->same = false;
        if (p->got + i < sizeof p->text - 1)
            p->text[p->got + i] = (char)data.data[i];
    }
    p->got += n;
    *taken = n;
    if (!p->take_at_most)
        return GV_OK;
    p->paused = true;
    p->pauses++;
    return GV_AGAIN;
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    probe *p = ctx;
    assert_int_equal(p->dones, 0);
    p->dones++;
    p->status = status;
    p->reply = *reply;
    p->err = *err;
    p->transfer = NULL;
    assert_int_equal(status == GV_OK, err->text[0] == '\0');
    if (p->then)
        start(p->then);
}

static void aim(probe *p, const char *port, const char *path)
{
    *p = (probe){ .same = true };
    snprintf(p->url, sizeof p->url, "%s://127.0.0.1:%d%s", strcmp(port, "http") ? "https" : "http",
             double_port(&server, port), path);
    p->request = (http_request){ .method = "GET",
                                 .url = p->url,
                                 .accept_gzip = true,
                                 .max_body_bytes = UINT64_C(1) << 40,
                                 .connect_timeout_ms = 5000,
                                 .stall_timeout_ms = 5000,
                                 .ca_file = CA,
                                 .on_headers = on_headers,
                                 .on_data = on_data,
                                 .on_done = on_done,
                                 .ctx = p };
}

static void start(probe *p)
{
    gv_error err = { 0 };
    assert_int_equal(http_start(client, &p->request, &p->transfer, &err), GV_OK);
    assert_int_equal(p->dones, 0);
}

/* One round of the loop. */
static void turn(void)
{
    uint64_t next = http_tick(client);
    uint64_t now = plat_mono_ms(&the_clock);
    int64_t wait = next <= now ? 0 : next - now > 50 ? 50 : (int64_t)(next - now);
    assert_int_equal(plat_loop_wait(loop, wait, NULL), GV_OK);
}

static void http_reopen(void)
{
    gv_error err = { 0 };
    http_close(client);
    client = http_open(loop, &the_clock, SLOTS, "gavel-test/1", &err);
    assert_non_null(client);
}

static void run(probe *p)
{
    uint64_t give_up = plat_mono_ms(&the_clock) + 30000;
    while (!p->dones && plat_mono_ms(&the_clock) < give_up) {
        if (p->paused) {
            p->paused = false;
            http_resume(p->transfer);
            http_tick(client);
        } else {
            turn();
        }
    }
    assert_int_equal(p->dones, 1);
}

static void get(probe *p, const char *port, const char *path)
{
    aim(p, port, path);
    start(p);
    run(p);
}

static void assert_said(const probe *p, const char *words)
{
    if (!strstr(p->err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", p->err.text, words);
}

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
    uint64_t until = plat_mono_ms(&the_clock) + 600;
    while (plat_mono_ms(&the_clock) < until) {
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
            http_tick(client);
            assert_int_equal(plat_loop_wait(loop, 0, NULL), GV_OK);
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
    assert_int_equal(http_start(client, &p[0].request, &more, &err), GV_AGAIN);
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
        assert_int_equal(http_start(client, &p.request, &p.transfer, &err), GV_INVAL);
        assert_true(err.text[0]);
    }
    aim(&p, "http", "/plain/1");
    p.request.headers = injected;
    p.request.header_count = 1;
    assert_int_equal(http_start(client, &p.request, &p.transfer, NULL), GV_INVAL);
    aim(&p, "https", "/plain/1");
    p.request.ca_file = "/nonexistent/ca.pem";
    gv_error err = { 0 };
    assert_int_equal(http_start(client, &p.request, &p.transfer, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    for (int i = 0; i < 2 * SLOTS; i++) /* no slot was lost */
        get(&p, "http", "/plain/1");
}

/* --- time-outs and network --------------------------------------------------------------------- */
static void a_stalled_body_fails_after_the_stall_timeout(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/stall/1000");
    p.request.stall_timeout_ms = 150;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "no byte for 150 ms");
    assert_said(&p, "1000 bytes");
    assert_int_equal(p.got, 1000);
    aim(&p, "https", "/silent/0");
    p.request.stall_timeout_ms = 150;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "no answer within 150 ms");
}

static void a_slow_body_is_no_stall(void **state)
{
    probe p;
    (void)state;
    aim(&p, "https", "/trickle/60"); /* 2.4 s in all, 40 ms between bytes */
    p.request.stall_timeout_ms = 1500;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_OK);
    assert_int_equal(p.got, 60);
}

static void a_server_that_is_away_is_named(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/x");
    snprintf(p.url, sizeof p.url, "http://user:pw@127.0.0.1:1/x?access_token=s3cret");
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_int_equal(p.reply.status, 0);
    assert_said(&p, "http://127.0.0.1:1/x: ");
    assert_null(strstr(p.err.text, "s3cret"));
    assert_null(strstr(p.err.text, "pw"));
}

static void a_resolver_that_hangs_never_holds_up_the_loop(void **state)
{
    probe p;
    (void)state;
    atomic_store(&resolver_hangs, true);
    aim(&p, "http", "/x");
    snprintf(p.url, sizeof p.url, "http://hanging.invalid/x");
    p.request.connect_timeout_ms = 100;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "no connection within 100 ms");
    aim(&p, "http", "/x");
    snprintf(p.url, sizeof p.url, "http://hanging.invalid/x");
    start(&p);
    while (atomic_load(&resolving) == 0)
        turn();
    http_cancel(p.transfer); /* returns while the resolver still hangs */
    get(&p, "http", "/plain/10");
    assert_int_equal(p.status, GV_OK);
    assert_int_not_equal(atomic_load(&resolving), 0);
    atomic_store(&resolver_hangs, false);
    while (atomic_load(&resolving) != 0)
        turn();
}

static void a_name_without_an_address_is_named(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/x");
    snprintf(p.url, sizeof p.url, "http://hanging.invalid/x");
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "hanging.invalid: check the name");
}

static void ignore(void *arg, int fd, unsigned events)
{
    (void)arg, (void)fd, (void)events;
}

static void a_full_loop_fails_one_transfer_and_not_the_client(void **state)
{
    int fds[PLAT_LOOP_WATCHES];
    int count = 0;
    probe p;
    (void)state;
    http_reopen(); /* no connection is left over */
    while (count < PLAT_LOOP_WATCHES) {
        fds[count] = dup(server.input);
        if (plat_loop_watch(loop, fds[count], PLAT_LOOP_IN, ignore, NULL, NULL) != GV_OK)
            break;
        count++;
    }
    get(&p, "http", "/plain/10");
    assert_int_equal(p.status, GV_FULL);
    assert_said(&p, "descriptors");
    for (int i = 0; i < count; i++) {
        plat_loop_watch(loop, fds[i], 0, NULL, NULL, NULL);
        close(fds[i]);
    }
    for (int i = 0; i < 2 * SLOTS; i++) {
        get(&p, "http", "/plain/10");
        assert_int_equal(p.status, GV_OK);
    }
}

static void a_proxy_is_not_asked_about_this_machine(void **state)
{
    static const char *const exempt[] = { NULL, "elsewhere.example", "" };
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    for (size_t i = 0; i < 3; i++) {
        probe p;
        exempt[i] ? setenv("no_proxy", exempt[i], 1) : unsetenv("no_proxy");
        http_reopen();
        get(&p, "https", "/plain/10");
        assert_int_equal(p.status, GV_OK);
        aim(&p, "http", "/");
        snprintf(p.url, sizeof p.url, "http://gavel.invalid/");
        start(&p);
        run(&p); /* for others it is asked */
        assert_int_equal(p.status, GV_IO);
        assert_said(&p, "127.0.0.1 port 1");
    }
    unsetenv("http_proxy"), unsetenv("https_proxy"), unsetenv("no_proxy");
    http_reopen();
}

static void connections_are_reused(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        probe p;
        char first[64];
        get(&p, tls ? "https" : "http", "/count/1");
        int number = atoi(p.text + strlen("connection "));
        int requests = atoi(strstr(p.text, "request ") + 8);
        for (int i = 1; i <= 50; i++) {
            get(&p, tls ? "https" : "http", "/count/1");
            snprintf(first, sizeof first, "connection %d request %d", number, requests + i);
            assert_string_equal(p.text, first);
        }
    }
}

static void a_kept_connection_that_was_closed_is_made_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        probe p;
        get(&p, i % 2 ? "http" : "https", "/hangup/1");
        assert_int_equal(p.status, GV_OK);
        assert_string_equal(p.text, "bye");
    }
}

/* --- TLS --------------------------------------------------------------------------------------- */
static void certificates_are_checked_by_authority_and_name(void **state)
{
    probe p;
    (void)state;
    get(&p, "https", "/plain/5"); /* leaves a connection that CA vouches for */
    assert_int_equal(p.status, GV_OK);
    aim(&p, "https", "/plain/5");
    p.request.ca_file = OTHER_CA; /* and that must not serve this one */
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_int_equal(p.heads, 0);
    assert_said(&p, "no trusted authority");
    aim(&p, "https", "/plain/5");
    p.request.ca_file = NULL;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "no trusted authority");
    get(&p, "elsewhere", "/plain/5");
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "another host name");
    get(&p, "https", "/plain/5");
    assert_int_equal(p.status, GV_OK);
}

static void a_wrong_clock_is_blamed_for_a_refused_certificate(void **state)
{
    probe p;
    (void)state;
    http_reopen(); /* without kept connections and sessions */
    wall_ms = 5000;
    get(&p, "https", "/plain/5");
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "clock of this machine says 1970-01-01 00:00 UTC");
    assert_said(&p, "2020-01-01");

    wall_ms = INT64_C(4765000000000); /* 2120-12-30 */
    get(&p, "https", "/plain/5");
    assert_int_equal(p.status, GV_IO);
    assert_said(&p, "valid until 2120-01-01");
    assert_said(&p, "2120-12-");

    /* Who set the clock decides where to look first. */
    the_clock.sync = test_sync;
    sync_state = PLAT_SYNC_NO;
    get(&p, "https", "/plain/5");
    assert_said(&p, "and no time server sets it: check the clock (does NTP work?)");
    assert_said(&p, "if it is right, the server needs a new certificate");
    sync_state = PLAT_SYNC_YES;
    get(&p, "https", "/plain/5");
    assert_said(&p, "as a time server sets it, the server needs a new certificate");
    wall_ms = 5000;
    sync_state = PLAT_SYNC_NO;
    the_clock.floor_ms =
        INT64_C(86400000); /* a floor that is too early helps nobody, but is named */
    get(&p, "https", "/plain/5");
    assert_said(&p, "says 1970-01-01 00:00 UTC (taken as 1970-01-02 00:00 UTC), and no time server "
                    "sets it, but the certificate is valid only from 2020-01-01");
    assert_said(&p, "set the clock (does network time, NTP, work?)");
    the_clock.sync = NULL;

    /* The floor stands in for a clock that has not been set yet. */
    wall_ms = 5000;
    the_clock.floor_ms = INT64_C(1700000000000);
    get(&p, "https", "/plain/5");
    assert_string_equal(p.err.text, "");
    the_clock.floor_ms = 0;
    wall_ms = 0;
}

static void a_changed_ca_file_is_read_again(void **state)
{
    char command[1024];
    probe p;
    (void)state;
    assert_int_equal(system("cp " OTHER_CA " changing.pem"), 0);
    for (int i = 0; i < 10; i++) {
        http_reopen();
        for (int good = 0; good < 2; good++) {
            snprintf(command, sizeof command, "cp %s changing.pem", good ? CA : OTHER_CA);
            assert_int_equal(system(command), 0);
            aim(&p, "https", "/plain/5");
            p.request.ca_file = "changing.pem";
            start(&p);
            run(&p);
            assert_int_equal(p.status, good ? GV_OK : GV_IO);
        }
    }
}

/* --- callbacks that interfere ------------------------------------------------------------------ */
static void callbacks_may_refuse_the_answer(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/plain/100000");
    p.head_answer = GV_INVAL;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_INVAL);
    assert_said(&p, "not wanted");
    assert_int_equal(p.got, 0);
    aim(&p, "https", "/gzip/100000");
    p.data_answer = GV_CORRUPT;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_CORRUPT);
    assert_said(&p, "data not wanted");
}

static void turn_until_quiet(void)
{
    for (int i = 0; i < 20; i++) {
        http_tick(client);
        assert_int_equal(plat_loop_wait(loop, 5, NULL), GV_OK);
    }
}

static void cancelling_is_safe_everywhere(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        probe p;
        probe other;
        aim(&p, "http", "/gzip/3000000");
        p.cancel_in_head = true;
        start(&p);
        turn_until_quiet();
        assert_int_equal(p.heads, 1);
        assert_int_equal(p.got + (unsigned)p.dones, 0);

        aim(&p, "https", "/gzip/3000000");
        p.cancel_in_data = true;
        start(&p);
        while (p.cancel_in_data)
            turn();
        turn_until_quiet();
        assert_int_equal(p.got + (unsigned)p.dones, 0);

        aim(&other, "http", "/stall/1");
        start(&other);
        aim(&p, "http", "/plain/1000000");
        p.cancel_other = &other;
        start(&p);
        run(&p);
        assert_int_equal(p.status, GV_OK);
        assert_int_equal(other.dones, 0);

        aim(&p, "http", "/plain/1"); /* before it began, and while paused */
        start(&p);
        http_cancel(p.transfer);
        aim(&p, "http", "/plain/1000000");
        p.take_at_most = 10;
        start(&p);
        while (!p.paused)
            turn();
        http_resume(p.transfer);
        http_cancel(p.transfer);
        turn_until_quiet();
        assert_int_equal(p.dones, 0);
    }
    probe p[SLOTS]; /* no slot was lost */
    for (int i = 0; i < SLOTS; i++) {
        aim(&p[i], "http", "/plain/10");
        start(&p[i]);
    }
    for (int i = 0; i < SLOTS; i++) {
        run(&p[i]);
        assert_int_equal(p[i].got, 10);
    }
}

static void the_next_request_may_start_in_on_done(void **state)
{
    probe busy[SLOTS - 1];
    probe p;
    probe second;
    (void)state;
    for (int i = 0; i < SLOTS - 1; i++) { /* so that there is but one slot */
        aim(&busy[i], "http", "/silent/1");
        start(&busy[i]);
    }
    aim(&p, "http", "/plain/10");
    aim(&second, "https", "/gzip/100000");
    p.then = &second;
    start(&p);
    run(&p);
    run(&second);
    assert_int_equal(second.got, 100000);
    assert_true(second.same);
    for (int i = 0; i < SLOTS - 1; i++)
        http_cancel(busy[i].transfer);
}

static void closing_with_transfers_under_way_is_clean(void **state)
{
    probe p[SLOTS];
    (void)state;
    for (int i = 0; i < SLOTS; i++) {
        aim(&p[i], i % 2 ? "http" : "https", "/gzip/3000000");
        p[i].take_at_most = i < 2 ? 100 : 0;
        start(&p[i]);
    }
    for (int i = 0; i < 5; i++)
        turn();
    http_reopen();
    turn_until_quiet();
}

/* --- pure parts -------------------------------------------------------------------------------- */
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

static int open_all(void **state)
{
    gv_error err = { 0 };
    (void)state;
    unsetenv("http_proxy"), unsetenv("https_proxy"), unsetenv("all_proxy");
    server = double_start("http_faults.py", NULL);
    the_clock = plat_clock_system(0);
    the_clock.wall_ms = test_wall;
    loop = plat_loop_open(&err);
    client = http_open(loop, &the_clock, SLOTS, "gavel-test/1", &err);
    return client ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    http_close(client);
    plat_loop_close(loop);
    double_stop(&server);
    return 0;
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
        cmocka_unit_test(a_stalled_body_fails_after_the_stall_timeout),
        cmocka_unit_test(a_slow_body_is_no_stall),
        cmocka_unit_test(a_server_that_is_away_is_named),
        cmocka_unit_test(a_resolver_that_hangs_never_holds_up_the_loop),
        cmocka_unit_test(a_name_without_an_address_is_named),
        cmocka_unit_test(a_full_loop_fails_one_transfer_and_not_the_client),
        cmocka_unit_test(a_proxy_is_not_asked_about_this_machine),
        cmocka_unit_test(connections_are_reused),
        cmocka_unit_test(a_kept_connection_that_was_closed_is_made_anew),
        cmocka_unit_test(certificates_are_checked_by_authority_and_name),
        cmocka_unit_test(a_wrong_clock_is_blamed_for_a_refused_certificate),
        cmocka_unit_test(a_changed_ca_file_is_read_again),
        cmocka_unit_test(callbacks_may_refuse_the_answer),
        cmocka_unit_test(cancelling_is_safe_everywhere),
        cmocka_unit_test(the_next_request_may_start_in_on_done),
        cmocka_unit_test(closing_with_transfers_under_way_is_clean),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
