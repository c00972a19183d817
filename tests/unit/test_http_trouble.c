/* What the HTTP client does when the network, a name, a certificate or the clock is bad. */
#include "tests/unit/transfer_world.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdatomic.h>
#include <time.h>

#define OTHER_CA GAVEL_SOURCE_DIR "/tests/doubles/tls/other-ca.pem"

/* --- a clock of our own ------------------------------------------------------------------------ */
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
        fds[count] = dup(w.server.input);
        if (plat_loop_watch(w.loop, fds[count], PLAT_LOOP_IN, ignore, NULL, NULL) != GV_OK)
            break;
        count++;
    }
    get(&p, "http", "/plain/10");
    assert_int_equal(p.status, GV_FULL);
    assert_said(&p, "descriptors");
    for (int i = 0; i < count; i++) {
        plat_loop_watch(w.loop, fds[i], 0, NULL, NULL, NULL);
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
    w.clock.sync = test_sync;
    sync_state = PLAT_SYNC_NO;
    get(&p, "https", "/plain/5");
    assert_said(&p, "and no time server sets it: check the clock (does NTP work?)");
    assert_said(&p, "if it is right, the server needs a new certificate");
    sync_state = PLAT_SYNC_YES;
    get(&p, "https", "/plain/5");
    assert_said(&p, "as a time server sets it, the server needs a new certificate");
    wall_ms = 5000;
    sync_state = PLAT_SYNC_NO;
    w.clock.floor_ms = INT64_C(86400000); /* a floor that is too early helps nobody, but is named */
    get(&p, "https", "/plain/5");
    assert_said(&p, "says 1970-01-01 00:00 UTC (taken as 1970-01-02 00:00 UTC), and no time server "
                    "sets it, but the certificate is valid only from 2020-01-01");
    assert_said(&p, "set the clock (does network time, NTP, work?)");
    w.clock.sync = NULL;

    /* The floor stands in for a clock that has not been set yet. */
    wall_ms = 5000;
    w.clock.floor_ms = INT64_C(1700000000000);
    get(&p, "https", "/plain/5");
    assert_string_equal(p.err.text, "");
    w.clock.floor_ms = 0;
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

static int open_trouble(void **state)
{
    if (world_setup(state) != 0)
        return -1;
    w.clock.wall_ms = test_wall;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, open_trouble, world_teardown);
}
