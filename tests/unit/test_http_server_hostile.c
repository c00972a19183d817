/* The HTTP server among clients that stall, dawdle, shout, or are simply too many: it goes on, others are
 * answered, and the loop neither spins nor stops. */
#include "tests/unit/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST    "Host: localhost\r\n\r\n"
#define TIMEOUT 10000u

static http_client_end client;
static http_world world;

static void answer_hello(void *ctx, const http_question *question, http_answer *answer)
{
    (void)ctx, (void)question;
    answer->fixed = gv_span_str("hello");
}

static int open_world(void **state)
{
    const http_server_config config = { .listen = "127.0.0.1:0",
                                        .connections = 8,
                                        .timeout_ms = TIMEOUT,
                                        .request_bytes = 4096,
                                        .answer_bytes = 1024,
                                        .answers = 1 };
    (void)state;
    world_open(&world, &config, answer_hello, NULL);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void expect_hello(void)
{
    client_ask(&world, &client, "GET / HTTP/1.1\r\n" HOST);
    assert_int_equal(client_status(&client), 200);
    assert_string_equal(client_body(&client), "hello");
}

/* --- those who stall -------------------------------------------------------------------------------- */

#define CROWD 300

/* All come at once and stay. */
static void hundreds_of_stalled_connections_do_not_shut_out_who_asks(void **state)
{
    static int fds[CROWD];
    static const char question[] = "GET / HTTP/1.1\r\n" HOST;
    uint64_t start_ms = world.time.mono_ms;
    (void)state;
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_connect(&world);
        assert_true(fds[i] >= 0);
        if (i % 3 == 0)
            send(fds[i], "GET /", 5, MSG_NOSIGNAL);
        world_step(&world);
        assert_true(http_server_connections(world.server) <= 8);
    }
    client_start(&world, &client);
    assert_int_equal(client_send(&client, question, sizeof question - 1), sizeof question - 1);
    while (!client.ended) {
        world_pass(&world, 10);
        client_take(&client);
        assert_true(world.time.mono_ms - start_ms < TIMEOUT);
    }
    client_stop(&client);
    assert_int_equal(client_status(&client), 200);
    print_message("answered after %u ms behind %d\n", (unsigned)(world.time.mono_ms - start_ms),
                  CROWD);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    WORLD_UNTIL(&world, http_server_connections(world.server) == 0);
    expect_hello();
}

static void a_stalled_connection_ends_with_its_time_and_not_before(void **state)
{
    (void)state;
    client_start(&world, &client);
    WORLD_UNTIL(&world, http_server_connections(world.server) == 1);
    world_pass(&world, TIMEOUT - 1);
    client_take(&client);
    assert_false(client.ended);
    assert_true(http_server_tick(world.server) == world.time.mono_ms + 1);
    world_pass(&world, 1);
    client_finish(&world, &client);
    client_stop(&client);
    assert_int_equal(http_server_connections(world.server), 0);
    assert_true(http_server_tick(world.server) == UINT64_MAX);
}

static void one_who_sends_byte_by_byte_has_no_more_time_than_others(void **state)
{
    static const char endless[] = "GET / HTTP/1.1\r\nX: ";
    size_t sent = 0;
    (void)state;
    client_start(&world, &client);
    WORLD_UNTIL(&world, http_server_connections(world.server) == 1);
    for (uint64_t passed = 0; passed < TIMEOUT; passed += 100) {
        sent += client_send(&client, sent < sizeof endless - 1 ? endless + sent : "x", 1);
        world_pass(&world, 100);
    }
    client_finish(&world, &client);
    client_stop(&client);
    assert_true(sent > sizeof endless);
    assert_int_equal(client.len, 0);
}

static void a_question_may_come_byte_by_byte_in_time(void **state)
{
    static const char question[] = "GET / HTTP/1.1\r\n" HOST;
    (void)state;
    client_start(&world, &client);
    for (size_t i = 0; i < sizeof question - 1; i++) {
        WORLD_UNTIL(&world, client_send(&client, question + i, 1) == 1);
        world_step(&world);
    }
    client_finish(&world, &client);
    client_stop(&client);
    assert_string_equal(client_body(&client), "hello");
}

/* --- odd questions -------------------------------------------------------------------------------- */

static int status_of(const char *question)
{
    client_ask(&world, &client, question);
    return client_status(&client);
}

static void what_is_too_large_is_refused_and_the_next_one_answered(void **state)
{
    static char large[16384];
    (void)state;
    size_t at = (size_t)snprintf(large, sizeof large, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
    memset(large + at, 'x', sizeof large - at - 1);
    memcpy(large + sizeof large - 5, "\r\n\r\n", 5);
    client_start(&world, &client);
    client_send(&client, large, strlen(large));
    client_finish(&world, &client);
    client_stop(&client);
    assert_int_equal(client_status(&client), 431);
    expect_hello();

    memset(large, 'a', sizeof large);
    memcpy(large, "GET /", 5);
    memcpy(large + sizeof large - 30, " HTTP/1.1\r\n" HOST, 30);
    client_start(&world, &client);
    client_send(&client, large, sizeof large - 1);
    client_finish(&world, &client);
    client_stop(&client);
    assert_int_equal(client_status(&client), 414);
    expect_hello();
}

static void broken_questions_are_refused_and_the_next_one_answered(void **state)
{
    static const struct {
        const char *question;
        int status; /* 0: closed without a word */
    } broken[] = {
        { "GET / HTTP/9.9\r\n" HOST, 505 },
        { "GET / HTTP/1\r\n" HOST, 400 },
        { "GET  HTTP/1.1\r\n" HOST, 400 }, /* no path */
        { "GET ?a HTTP/1.1\r\n" HOST, 400 },
        { "GET / HTTP/1.1\r\n\r\n", 400 }, /* no Host */
        { "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n folded: x\r\n" HOST, 400 },
        { "\x16\x03\x01\x02\x01\xfc\r\n\r\n", 0 }, /* TLS */
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        int status = status_of(broken[i].question);
        if (status != broken[i].status)
            fail_msg("%.40s was answered %d: %.200s", broken[i].question, status, client.text);
        expect_hello();
    }
}

/* libmicrohttpd 1.0.1 takes the end of the last argument for that of the last header, and one without a
 * value ends nowhere. The recipe mends it (build_libmicrohttpd). */
static void an_argument_without_a_value_ends_where_it_ends(void **state)
{
    static const char *const ends[] = { "?a", "?a=", "?a=b", "?a=b&c", "?=&c&d", "?" };
    static char question[3000];
    (void)state;
    for (size_t len = 1; len < 2600; len += 51) {
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            int n = snprintf(question, sizeof question, "GET /%0*d%s HTTP/1.0\r\n\r\n", (int)len, 0,
                             ends[i]);
            client_start(&world, &client);
            assert_int_equal(client_send(&client, question, (size_t)n), n);
            client_finish(&world, &client);
            client_stop(&client);
            assert_int_equal(client_status(&client), 200);
        }
    }
    expect_hello();
}

static void of_questions_in_a_row_the_first_is_answered(void **state)
{
    (void)state;
    client_ask(&world, &client,
               "GET /a HTTP/1.1\r\n" HOST "GET /b HTTP/1.1\r\n" HOST "GET /c HTTP/1.1\r\n" HOST);
    assert_int_equal(client_status(&client), 200);
    assert_null(strstr(client.text + 1, "HTTP/1.1"));
}

static void who_has_said_all_still_hears_the_answer(void **state)
{
    static const char question[] = "GET / HTTP/1.1\r\n" HOST;
    (void)state;
    client_start(&world, &client);
    WORLD_UNTIL(&world, client_send(&client, question, sizeof question - 1) > 0);
    shutdown(client.fd, SHUT_WR);
    client_finish(&world, &client);
    client_stop(&client);
    assert_string_equal(client_body(&client), "hello");
}

static void who_goes_away_in_the_middle_leaves_nothing_behind(void **state)
{
    static const char question[] = "GET / HTTP/1.1\r\n" HOST;
    const struct linger at_once = { 1, 0 };
    (void)state;
    for (size_t len = 0; len < sizeof question; len++) {
        client_start(&world, &client);
        world_step(&world);
        client_send(&client, question, len);
        if (len % 2) /* with a reset */
            setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        client_stop(&client);
        world_pass(&world, 100);
    }
    expect_hello();
    world_pass(&world, TIMEOUT);
    assert_int_equal(http_server_connections(world.server), 0);
}

/* --- a system that has no more to give -------------------------------------------------------------- */

static void count_ready(void *arg, int fd, unsigned events)
{
    (void)fd, (void)events;
    (*(unsigned *)arg)++;
}

/* Somebody waits to be accepted and no descriptor is left: the loop goes on with other work, and does not
 * turn for this one. */
static void without_descriptors_the_loop_waits_and_then_goes_on(void **state)
{
    struct rlimit limit, low;
    int other[2];
    unsigned calls = 0;
    (void)state;
    assert_int_equal(pipe(other), 0);
    assert_int_equal(plat_loop_watch(world.loop, other[0], PLAT_LOOP_IN, count_ready, &calls, NULL),
                     GV_OK);
    client_start(&world, &client);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)client.fd + 1; /* none is left */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int probe = dup(client.fd);
    assert_true(probe < 0 && errno == EMFILE);

    /* It notices once, and names the time at which it tries again. */
    WORLD_UNTIL(&world, http_server_tick(world.server) == world.time.mono_ms + 1000);
    assert_int_equal(http_server_connections(world.server), 0);
    const plat_clock true_time = plat_clock_system(0);
    uint64_t before_ms = plat_mono_ms(&true_time);
    assert_int_equal(plat_loop_wait(world.loop, 30, NULL), GV_OK); /* nothing wakes it */
    assert_true(plat_mono_ms(&true_time) - before_ms >= 29);
    assert_int_equal(write(other[1], "x", 1), 1);
    world_step(&world);
    assert_true(calls > 0);

    world_pass(&world, 1000); /* still none */
    WORLD_UNTIL(&world, http_server_tick(world.server) == world.time.mono_ms + 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    client_send(&client, "GET / HTTP/1.1\r\n" HOST, sizeof("GET / HTTP/1.1\r\n" HOST) - 1);
    world_pass(&world, 1000);
    client_finish(&world, &client);
    client_stop(&client);
    assert_string_equal(client_body(&client), "hello");
    close(other[0]);
    close(other[1]);
}

static void places_of_its_own_making_are_taken_like_others(void **state)
{
    int ends[9][2];
    (void)state;
    for (int i = 0; i < 9; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends[i]), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(http_server_adopt(world.server, ends[i][1]), GV_OK);
    assert_int_equal(http_server_adopt(world.server, ends[8][1]), GV_FULL);
    assert_int_equal(http_server_connections(world.server), 8);
    client.fd = ends[0][0];
    client.len = 0;
    WORLD_UNTIL(&world, client_send(&client, "GET / HTTP/1.1\r\n" HOST, 35) == 35);
    client_finish(&world, &client);
    assert_string_equal(client_body(&client), "hello");
    for (int i = 0; i < 9; i++)
        close(ends[i][0]);
    WORLD_UNTIL(&world, http_server_connections(world.server) == 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hundreds_of_stalled_connections_do_not_shut_out_who_asks),
        TEST(a_stalled_connection_ends_with_its_time_and_not_before),
        TEST(one_who_sends_byte_by_byte_has_no_more_time_than_others),
        TEST(a_question_may_come_byte_by_byte_in_time),
        TEST(what_is_too_large_is_refused_and_the_next_one_answered),
        TEST(broken_questions_are_refused_and_the_next_one_answered),
        TEST(an_argument_without_a_value_ends_where_it_ends),
        TEST(of_questions_in_a_row_the_first_is_answered),
        TEST(who_has_said_all_still_hears_the_answer),
        TEST(who_goes_away_in_the_middle_leaves_nothing_behind),
        TEST(without_descriptors_the_loop_waits_and_then_goes_on),
        TEST(places_of_its_own_making_are_taken_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
