/* fuzz_http_server.c - bytes of any kind as what clients send.
 *
 * Input: pieces, each after one byte that says what to do first: with which of three connections, how much
 * time passes, whether the client then stops sending or goes away. A piece ends at a byte 0xFF.
 * Invariants: never more connections than places; the handler sees only a path without NUL that is not
 * empty, and only for questions that name this machine; what comes back begins with "HTTP/1." (or is
 * empty), answers one question at most, and with a handler's words only after the handler was called;
 * every buffer comes back: once all connections are over their time, none is left, and a proper question is
 * answered; close leaves nothing behind (ASan).
 */
#include "agent/net/http_server.h"
#include "tests/doubles/clock_double.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define CLIENTS 3
#define PLACES  2u
#define TIMEOUT 1000u
#define WORDS   "words of the handler"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    int fd; /* -1: none */
    size_t len;
    char text[4096];
} far_end;

typedef struct {
    clock_double time;
    plat_clock clock;
    plat_loop *loop;
    http_server *server;
    unsigned asked;
    far_end clients[CLIENTS];
} fuzz_world;

static void answer_anything(void *ctx, const http_question *question, http_answer *answer)
{
    fuzz_world *w = ctx;
    w->asked++;
    CHECK(question->path && question->path[0]);
    const char *value = http_question_argument(question, "q");
    CHECK(!value || strlen(value) < 2048);
    gv_buf *buf = http_answer_buffer(answer);
    if (!buf)
        return;
    CHECK(buf->len == 0);
    gv_buf_put(buf, WORDS, sizeof WORDS - 1);
}

static void turn(fuzz_world *w, uint64_t ms)
{
    clock_double_advance(&w->time, ms);
    for (int i = 0; i < 6; i++) {
        http_server_tick(w->server);
        CHECK(plat_loop_wait(w->loop, 0, NULL) == GV_OK);
        CHECK(http_server_connections(w->server) <= PLACES);
    }
}

static void check_answer(const fuzz_world *w, const far_end *c)
{
    CHECK(c->len == 0 || (c->len > 12 && memcmp(c->text, "HTTP/1.", 7) == 0));
    const char *words = strstr(c->text, WORDS);
    CHECK(!words || (w->asked > 0 && !strstr(words + 1, WORDS)));
    CHECK(c->len == 0 || !strstr(c->text + 1, "HTTP/1.1 "));
}

static void take(fuzz_world *w, far_end *c)
{
    ssize_t n;
    while ((n = recv(c->fd, c->text + c->len, sizeof c->text - 1 - c->len, MSG_DONTWAIT)) > 0)
        c->len += (size_t)n;
    c->text[c->len] = '\0';
    check_answer(w, c);
}

static void connect_client(fuzz_world *w, far_end *c)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    *c = (far_end){ .fd = ends[0] };
    http_server_adopt(w->server, ends[1]); /* without a place it is closed */
}

static void leave(fuzz_world *w, far_end *c)
{
    if (c->fd < 0)
        return;
    take(w, c);
    close(c->fd);
    c->fd = -1;
}

static void do_piece(fuzz_world *w, uint8_t what, const uint8_t *bytes, size_t len)
{
    far_end *c = &w->clients[what % CLIENTS];
    if (c->fd < 0)
        connect_client(w, c);
    send(c->fd, bytes, len, MSG_NOSIGNAL);
    turn(w, what & 0x10 ? 150 : 0);
    take(w, c);
    if (what & 0x20)
        shutdown(c->fd, SHUT_WR);
    if (what & 0x40)
        leave(w, c);
}

/* Whatever was before. */
static void check_proper_question(fuzz_world *w)
{
    static const char question[] = "GET /proper HTTP/1.1\r\nHost: localhost\r\n\r\n";
    far_end *c = &w->clients[0];
    for (size_t i = 0; i < CLIENTS; i++)
        leave(w, &w->clients[i]);
    turn(w, TIMEOUT);
    CHECK(http_server_connections(w->server) == 0);
    connect_client(w, c);
    CHECK(send(c->fd, question, sizeof question - 1, MSG_NOSIGNAL) == sizeof question - 1);
    turn(w, 0);
    take(w, c);
    CHECK(memcmp(c->text, "HTTP/1.1 200 ", 13) == 0 && strstr(c->text, WORDS));
    leave(w, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_world w;
    const http_server_config config = { .listen = "127.0.0.1:0",
                                        .connections = PLACES,
                                        .timeout_ms = TIMEOUT,
                                        .request_bytes = 2048,
                                        .answer_bytes = 256,
                                        .answers = 1 };
    w = (fuzz_world){ .time = { 5000, 0 } };
    w.clock = clock_double_table(&w.time);
    for (size_t i = 0; i < CLIENTS; i++)
        w.clients[i].fd = -1;
    CHECK((w.loop = plat_loop_open(NULL)) != NULL);
    CHECK(http_server_open(&config, w.loop, &w.clock, answer_anything, &w, &w.server, NULL) ==
          GV_OK);
    while (size > 0) {
        const uint8_t *end = memchr(data + 1, 0xFF, size - 1);
        size_t len = end ? (size_t)(end - data) : size;
        do_piece(&w, data[0], data + 1, len - 1);
        data += end ? len + 1 : len;
        size -= end ? len + 1 : len;
    }
    check_proper_question(&w);
    http_server_close(w.server);
    plat_loop_close(w.loop);
    return 0;
}
