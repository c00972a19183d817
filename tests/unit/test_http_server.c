/* The HTTP server: what is asked and answered, its memory, its port. */
#include "tests/unit/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n\r\n"

static http_client_end client; /* large */

/* --- all memory is counted ------------------------------------------------------------------------ */

/* The linker sends every call here, the library's too. Each block begins with its size. */
#define HEAD 16u

static size_t used, peak;

void *__real_malloc(size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void __wrap_free(void *block);

void *__wrap_malloc(size_t bytes)
{
    uint8_t *block = __real_malloc(bytes + HEAD);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    used += bytes;
    if (used > peak)
        peak = used;
    return block + HEAD;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    void *block = __wrap_malloc(count * bytes);
    return block ? memset(block, 0, count * bytes) : NULL;
}

void __wrap_free(void *block)
{
    size_t bytes;
    if (!block)
        return;
    memcpy(&bytes, (uint8_t *)block - HEAD, sizeof bytes);
    used -= bytes;
    __real_free((uint8_t *)block - HEAD);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    size_t had = 0;
    void *fresh = __wrap_malloc(bytes);
    if (block)
        memcpy(&had, (uint8_t *)block - HEAD, sizeof had);
    if (fresh && block)
        memcpy(fresh, block, had < bytes ? had : bytes);
    if (fresh)
        __wrap_free(block);
    return fresh;
}

/* --- a small site ----------------------------------------------------------------------------------- */

#define LARGE_BYTES 60000u

static void answer_test(void *ctx, const http_question *q, http_answer *answer)
{
    unsigned *asked = ctx;
    if (asked)
        (*asked)++;
    if (strcmp(q->path, "/fixed") == 0) {
        answer->fixed = gv_span_str("fixed words");
    } else if (strcmp(q->path, "/made") == 0) {
        const char *value = http_question_argument(q, "value");
        gv_buf *buf = http_answer_buffer(answer);
        if (buf)
            gv_buf_put(buf, value ? value : "none", strlen(value ? value : "none"));
    } else if (strcmp(q->path, "/large") == 0) {
        gv_buf *buf = http_answer_buffer(answer);
        if (!buf)
            return;
        memset(buf->data, 'x', LARGE_BYTES);
        buf->len = LARGE_BYTES;
    } else {
        answer->status = 404;
        answer->fixed = gv_span_str("nothing");
    }
}

static const http_server_config usual = { .listen = "127.0.0.1:0",
                                          .connections = 8,
                                          .timeout_ms = 10000,
                                          .request_bytes = 4096,
                                          .answer_bytes = 65536,
                                          .answers = 2 };

static http_world world;
static unsigned asked;

static int open_world(void **state)
{
    (void)state;
    asked = 0;
    world_open(&world, &usual, answer_test, &asked);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static void expect(const char *question, int status, const char *body)
{
    client_ask(&world, &client, question);
    if (client_status(&client) != status || strcmp(client_body(&client), body) != 0)
        fail_msg("%.60s was answered %.300s", question, client.text);
}

/* --- what is asked -------------------------------------------------------------------------------- */

static void a_question_has_its_answer_and_the_connection_ends(void **state)
{
    (void)state;
    expect("GET /fixed HTTP/1.1\r\n" HOST, 200, "fixed words");
    assert_non_null(strstr(client.text, "Content-Length: 11\r\n"));
    assert_non_null(strstr(client.text, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(client.text, "Connection: close\r\n"));
    expect("GET /made HTTP/1.1\r\n" HOST, 200, "none");
    expect("GET /else HTTP/1.1\r\n" HOST, 404, "nothing");
    expect("GET /fixed HTTP/1.0\r\n\r\n", 200, "fixed words");
    assert_int_equal(asked, 4);
    assert_int_equal(http_server_connections(world.server), 0);
}

static void every_answer_forbids_what_a_browser_need_not_do(void **state)
{
    static const char *const headers[] = {
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
        "X-Content-Type-Options: nosniff\r\n",
        "Referrer-Policy: no-referrer\r\n",
        "Cache-Control: no-store\r\n",
    };
    static const char *const questions[] = { "GET /fixed HTTP/1.1\r\n" HOST,
                                             "GET /else HTTP/1.1\r\n" HOST,
                                             "PUT /fixed HTTP/1.1\r\n" HOST,
                                             "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" };
    (void)state;
    for (size_t q = 0; q < sizeof questions / sizeof *questions; q++)
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
            if (!strstr(client_ask(&world, &client, questions[q]), headers[i]))
                fail_msg("%.20s: no %s in %s", questions[q], headers[i], client.text);
}

static void head_has_the_headers_and_no_body(void **state)
{
    (void)state;
    expect("HEAD /fixed HTTP/1.1\r\n" HOST, 200, "");
    assert_non_null(strstr(client.text, "Content-Length: 11\r\n"));
    expect("HEAD /large HTTP/1.1\r\n" HOST, 200, "");
    assert_non_null(strstr(client.text, "Content-Length: 60000\r\n"));
    expect("HEAD /large HTTP/1.1\r\n" HOST, 200, ""); /* its buffer came back */
    expect("HEAD /large HTTP/1.1\r\n" HOST, 200, "");
}

static void other_methods_are_told_which_there_are(void **state)
{
    static const char *const questions[] = {
        "POST /fixed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody",
        "PUT /fixed HTTP/1.1\r\n" HOST,
        "DELETE /fixed HTTP/1.1\r\n" HOST,
        "OPTIONS * HTTP/1.1\r\n" HOST,
        "CONNECT localhost:80 HTTP/1.1\r\n" HOST,
        "get /fixed HTTP/1.1\r\n" HOST,
        "POST /fixed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        expect(questions[i], 405, "Only GET and HEAD are answered here.\n");
        assert_non_null(strstr(client.text, "Allow: GET, HEAD\r\n"));
    }
    assert_int_equal(asked, 0);
}

static void arguments_are_apart_from_the_path_and_decoded(void **state)
{
    (void)state;
    expect("GET /made?value=a%20b%26c&x=1 HTTP/1.1\r\n" HOST, 200, "a b&c");
    expect("GET /made?other=1 HTTP/1.1\r\n" HOST, 200, "none");
    expect("GET /%66ixed HTTP/1.1\r\n" HOST, 200, "fixed words");
    expect("GET /fixed%00/../made HTTP/1.1\r\n" HOST, 404, "nothing");
    expect("GET /made?value=a%00b HTTP/1.1\r\n" HOST, 200, "a%00b");
}

static void a_page_from_elsewhere_cannot_ask_under_its_own_name(void **state)
{
    (void)state;
    client_ask(&world, &client, "GET /fixed HTTP/1.1\r\nHost: evil.example:9180\r\n\r\n");
    assert_int_equal(client_status(&client), 403);
    assert_non_null(strstr(client_body(&client), "localhost"));
    assert_int_equal(asked, 0);
    expect("GET /fixed HTTP/1.1\r\nHost: 127.0.0.1:9180\r\n\r\n", 200, "fixed words");
    expect("GET /fixed HTTP/1.1\r\nHost: [::1]:9180\r\n\r\n", 200, "fixed words");
}

static void listening_for_the_network_any_name_may_be_asked_for(void **state)
{
    (void)state;
    http_world open;
    http_server_config config = usual;
    config.listen = "0.0.0.0:0";
    world_open(&open, &config, answer_test, NULL);
    client_ask(&open, &client, "GET /fixed HTTP/1.1\r\nHost: attic.home:9180\r\n\r\n");
    assert_int_equal(client_status(&client), 200);
    world_close(&open);
}

static void both_families_are_served_on_one_port(void **state)
{
    (void)state;
    http_world open;
    http_server_config config = usual;
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0 || bind(probe, (struct sockaddr *)&at, sizeof at) != 0)
        skip(); /* a machine without IPv6 */
    close(probe);
    config.listen = "[::]:0";
    world_open(&open, &config, answer_test, NULL);
    client_ask(&open, &client, "GET /fixed HTTP/1.1\r\n" HOST);
    assert_int_equal(client_status(&client), 200);
    client_start(&open, &client);
    close(client.fd);
    client.fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    at.sin6_port = htons((in_port_t)http_server_port(open.server));
    assert_true(connect(client.fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    static const char question[] = "GET /fixed HTTP/1.1\r\nHost: [::1]\r\n\r\n";
    WORLD_UNTIL(&open, client_send(&client, question, sizeof question - 1) == sizeof question - 1);
    client_finish(&open, &client);
    client_stop(&client);
    assert_int_equal(client_status(&client), 200);
    world_close(&open);
}

/* --- port and memory ------------------------------------------------------------------------------ */

static void a_port_that_is_taken_is_an_error_and_nothing_is_left_behind(void **state)
{
    char listen[32];
    gv_error err = { 0, "" };
    http_server *second = NULL;
    http_server_config config = usual;
    size_t before = used;
    (void)state;
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(world.server));
    config.listen = listen;
    assert_int_equal(
        http_server_open(&config, world.loop, &world.clock, answer_test, NULL, &second, &err),
        GV_IO);
    assert_non_null(strstr(err.text, "another program has this port"));
    assert_null(second);
    assert_int_equal(used, before);
    expect("GET /fixed HTTP/1.1\r\n" HOST, 200, "fixed words");
}

/* As a reload does, with clients of the old one still there and its connections in TIME_WAIT. */
static void it_opens_again_at_once_on_the_same_port(void **state)
{
    char listen[32];
    http_server_config config = usual;
    (void)state;
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(world.server));
    config.listen = listen;
    for (int i = 0; i < 3; i++) {
        client_ask(&world, &client, "GET /fixed HTTP/1.1\r\n" HOST);
        assert_int_equal(client_status(&client), 200);
        client_start(&world, &client);
        WORLD_UNTIL(&world, http_server_connections(world.server) == 1);
        world_close(&world);
        client_finish(NULL, &client); /* the old one has ended it: nothing needs to turn */
        client_stop(&client);
        world_open(&world, &config, answer_test, &asked);
    }
}

/* Every place is taken by one who sends all that has room and reads nothing of a large answer of his own;
 * and others come. */
static void memory_never_exceeds_what_was_announced(void **state)
{
    enum { ALL = 8, MORE = 24 };
    static const char large[] = "GET /large HTTP/1.1\r\n";
    static char question[3000];
    static http_client_end clients[MORE];
    http_world small;
    unsigned served = 0;
    http_server_config config = usual;
    (void)state;
    config.connections = config.answers = ALL;
    memset(question, 'h', sizeof question);
    memcpy(question, large, sizeof large - 1);
    memcpy(question + sizeof large - 1, "X: ", 3);
    memcpy(question + sizeof question - 21, "\r\n" HOST, 21);
    size_t before = used;
    plat_loop *loop = plat_loop_open(NULL);
    size_t loop_bytes = used - before;
    plat_loop_close(loop);
    peak = used;
    world_open(&small, &config, answer_test, &served);
    for (unsigned i = 0; i < MORE; i++) {
        client_start(&small, &clients[i]);
        size_t sent = client_send(&clients[i], question, sizeof question);
        WORLD_UNTIL(&small, (sent += client_send(&clients[i], question + sent,
                                                 sizeof question - sent)) == sizeof question);
        WORLD_UNTIL(&small, i >= ALL || served == i + 1);
        world_pass(&small, 100);
    }
    size_t most = peak - before - loop_bytes, announced = http_server_memory_bytes(&config);
    print_message("memory: %zu of %zu\n", most, announced);
    assert_true(most <= announced);
    assert_true(most > announced / 10 * 9); /* so it is about this */
    for (unsigned i = 0; i < MORE; i++)
        client_stop(&clients[i]);
    world_close(&small);
    assert_int_equal(used, before);
}

static void slow_readers_of_all_answers_get_others_told_to_come_again(void **state)
{
    static http_client_end slow[2];
    static const char large[] = "GET /large HTTP/1.1\r\n" HOST;
    (void)state;
    for (int i = 0; i < 2; i++) {
        client_start(&world, &slow[i]);
        WORLD_UNTIL(&world, client_send(&slow[i], large, sizeof large - 1) > 0);
        WORLD_UNTIL(&world, asked == (unsigned)i + 1);
    }
    client_ask(&world, &client, "GET /made HTTP/1.1\r\n" HOST);
    assert_int_equal(client_status(&client), 503);
    assert_non_null(strstr(client.text, "Retry-After: 1\r\n"));
    expect("GET /fixed HTTP/1.1\r\n" HOST, 200, "fixed words"); /* needs none of them */
    /* Who asks again finds the place of the slowest. */
    world_pass(&world, 1000);
    client_ask(&world, &client, "GET /made HTTP/1.1\r\n" HOST);
    assert_int_equal(client_status(&client), 503);
    expect("GET /made HTTP/1.1\r\n" HOST, 200, "none");
    for (int i = 0; i < 2; i++)
        client_stop(&slow[i]);
}

static void a_slow_reader_in_time_has_the_whole_answer(void **state)
{
    static const char large[] = "GET /large HTTP/1.1\r\n" HOST;
    (void)state;
    client_start(&world, &client);
    WORLD_UNTIL(&world, client_send(&client, large, sizeof large - 1) > 0);
    for (int i = 0; i < 5; i++)
        world_pass(&world, 1000);
    client_finish(&world, &client);
    client_stop(&client);
    assert_int_equal(client_status(&client), 200);
    assert_int_equal(strlen(client_body(&client)), LARGE_BYTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_question_has_its_answer_and_the_connection_ends),
        TEST(every_answer_forbids_what_a_browser_need_not_do),
        TEST(head_has_the_headers_and_no_body),
        TEST(other_methods_are_told_which_there_are),
        TEST(arguments_are_apart_from_the_path_and_decoded),
        TEST(a_page_from_elsewhere_cannot_ask_under_its_own_name),
        TEST(listening_for_the_network_any_name_may_be_asked_for),
        TEST(both_families_are_served_on_one_port),
        TEST(a_port_that_is_taken_is_an_error_and_nothing_is_left_behind),
        TEST(it_opens_again_at_once_on_the_same_port),
        TEST(memory_never_exceeds_what_was_announced),
        TEST(slow_readers_of_all_answers_get_others_told_to_come_again),
        TEST(a_slow_reader_in_time_has_the_whole_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
