#include "tests/unit/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEP_MS 2

void world_open(http_world *w, const http_server_config *config, http_handler *handler, void *ctx)
{
    gv_error err = { 0, "" };
    *w = (http_world){ .time = { 1000000, 0 } };
    w->clock = clock_double_table(&w->time);
    w->loop = plat_loop_open(NULL);
    assert_non_null(w->loop);
    if (http_server_open(config, w->loop, &w->clock, handler, ctx, &w->server, &err) != GV_OK)
        fail_msg("%s", err.text);
}

void world_close(http_world *w)
{
    http_server_close(w->server);
    plat_loop_close(w->loop);
}

void world_step(http_world *w)
{
    uint64_t due_ms = http_server_tick(w->server);
    assert_int_equal(plat_loop_wait(w->loop, due_ms <= w->time.mono_ms ? 0 : STEP_MS, NULL), GV_OK);
}

void world_pass(http_world *w, uint64_t ms)
{
    clock_double_advance(&w->time, ms);
    world_step(w);
}

int client_connect(http_world *w)
{
    const struct sockaddr_in at = { .sin_family = AF_INET,
                                    .sin_port = htons((in_port_t)http_server_port(w->server)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int bytes = 2048; /* what it does not take soon waits at the server */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

void client_start(http_world *w, http_client_end *c)
{
    c->fd = client_connect(w);
    c->ended = false;
    c->len = 0;
    c->text[0] = '\0';
    assert_true(c->fd >= 0);
}

size_t client_send(http_client_end *c, const char *bytes, size_t len)
{
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
}

void client_take(http_client_end *c)
{
    ssize_t n;
    while ((n = recv(c->fd, c->text + c->len, CLIENT_BYTES - 1 - c->len, 0)) > 0)
        c->len += (size_t)n;
    c->text[c->len] = '\0';
    c->ended = n == 0 || (errno != EAGAIN && errno != EINTR);
}

static bool has_ended(http_client_end *c)
{
    client_take(c);
    return c->ended;
}

void client_finish(http_world *w, http_client_end *c)
{
    WORLD_UNTIL(w, has_ended(c));
}

void client_stop(http_client_end *c)
{
    close(c->fd);
}

const char *client_ask(http_world *w, http_client_end *c, const char *question)
{
    size_t sent = 0, len = strlen(question);
    client_start(w, c);
    WORLD_UNTIL(w, (sent += client_send(c, question + sent, len - sent)) == len);
    client_finish(w, c);
    client_stop(c);
    return c->text;
}

int client_status(const http_client_end *c)
{
    return strncmp(c->text, "HTTP/1.", 7) == 0 ? atoi(c->text + 9) : 0;
}

const char *client_body(const http_client_end *c)
{
    const char *end = strstr(c->text, "\r\n\r\n");
    return end ? end + 4 : "";
}
