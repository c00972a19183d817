#include "agent/net/http_server.h"

#include "agent/net/http_listen.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG         512  /* who cannot be served yet waits here */
#define ACCEPTS_AT_ONCE 16u  /* then it is others' turn on the loop */
#define GRACE_MS        100u /* for a question to arrive, before a connection can lose its place */
#define BREATH_MS       1000u /* until accepting is tried again when the system has no more to give */
#define SEND_BYTES      (16 * 1024) /* the kernel's share of an answer that nobody takes */

/* What libmicrohttpd allocates besides request_bytes: its daemon, a connection and its pool, an answer
 * with its headers. Measured by tests/unit/test_http_server.c. */
#define DAEMON_BYTES     2048u
#define CONNECTION_BYTES 1024u
#define ANSWER_BYTES     1536u

#define NOTHING_ALLOWED "default-src 'none'; frame-ancestors 'none'"

/* One that is connected. */
typedef struct {
    int fd; /* -1: free */
    uint64_t since_ms;
    bool has_answer; /* one of the answers is its own, while it takes it */
    bool is_cut;     /* libmicrohttpd has yet to notice */
} place;

typedef struct {
    gv_buf buf;
    bool is_taken;
} answer_room;

struct http_server {
    http_server_config config;
    plat_loop *loop;
    const plat_clock *clock;
    http_handler *handler;
    void *ctx;
    struct MHD_Daemon *daemon;
    int epoll_fd; /* libmicrohttpd's */
    int listen_fd;
    bool local_only;
    bool is_listening; /* the loop watches listen_fd */
    uint64_t listen_ms;
    unsigned connections;
    place *next; /* whoever is being added */
    place *places;
    answer_room *answers;
    uint8_t *answer_memory;
};

static uint64_t now_ms(const http_server *s)
{
    return plat_mono_ms(s->clock);
}

/* --- places ------------------------------------------------------------------------------------- */

/* The oldest one that can still be cut; with an answer, or any. */
static place *find_oldest(http_server *s, bool with_answer)
{
    place *oldest = NULL;
    for (unsigned i = 0; i < s->config.connections; i++) {
        place *p = &s->places[i];
        if (p->fd >= 0 && !p->is_cut && (p->has_answer || !with_answer) &&
            (!oldest || p->since_ms < oldest->since_ms))
            oldest = p;
    }
    return oldest;
}

static place *find_free(http_server *s)
{
    for (unsigned i = 0; i < s->config.connections; i++)
        if (s->places[i].fd < 0)
            return &s->places[i];
    return NULL;
}

/* libmicrohttpd closes it when it is run next: a connection can be ended from outside only so. */
static void cut(place *p)
{
    shutdown(p->fd, SHUT_RDWR);
    p->is_cut = true;
}

static bool had_a_moment(const http_server *s, const place *p)
{
    return now_ms(s) - p->since_ms >= GRACE_MS;
}

static void note_connection(void *ctx, struct MHD_Connection *connection, void **socket_ctx,
                            enum MHD_ConnectionNotificationCode what)
{
    http_server *s = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        place *p = s->next;
        p->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        p->since_ms = now_ms(s);
        *socket_ctx = p;
        s->connections++;
        return;
    }
    place *p = *socket_ctx;
    *p = (place){ .fd = -1 };
    s->connections--;
}

/* --- questions ---------------------------------------------------------------------------------- */

/* "%00" stays as it is: what is decoded must be a whole string. */
static size_t decode(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx, (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

const char *http_question_argument(const http_question *question, const char *name)
{
    void *connection = (void *)(uintptr_t)question->connection;
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static void refuse(http_answer *answer, unsigned status, const char *words)
{
    answer->status = status;
    answer->fixed = gv_span_str(words);
}

/* Whether it may be asked at all. */
static bool is_admissible(const http_server *s, struct MHD_Connection *connection,
                          const char *method, const char *path, http_answer *answer)
{
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        refuse(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
    else if (!path[0])
        refuse(answer, MHD_HTTP_BAD_REQUEST, "A question needs a path, if only /.\n");
    else if (s->local_only && host && !http_host_is_local(host))
        refuse(answer, MHD_HTTP_FORBIDDEN,
               "This page is for this machine alone, under the names localhost, 127.0.0.1 and "
               "[::1]. A proxy in front of it has to send one of them as the Host header.\n");
    else
        return true;
    return false;
}

/* --- answers ------------------------------------------------------------------------------------ */

gv_buf *http_answer_buffer(http_answer *answer)
{
    http_server *s = answer->server;
    for (unsigned i = 0; i < s->config.answers && !answer->buf; i++) {
        answer_room *room = &s->answers[i];
        if (room->is_taken)
            continue;
        room->is_taken = true;
        room->buf.len = 0;
        answer->buf = &room->buf;
    }
    return answer->buf;
}

/* `ctx`: the room's memory; found by it, as that is all libmicrohttpd knows of it. */
static void give_back(void *ctx)
{
    answer_room *room = ctx;
    room->is_taken = false;
}

static answer_room *room_of(gv_buf *buf)
{
    return (answer_room *)((uint8_t *)buf - offsetof(answer_room, buf));
}

static struct MHD_Response *make_response(const http_answer *answer)
{
    if (answer->buf)
        return MHD_create_response_from_buffer_with_free_callback_cls(
            answer->buf->len, answer->buf->data, give_back, room_of(answer->buf));
    return MHD_create_response_from_buffer_static(answer->fixed.len, answer->fixed.data);
}

static bool add_headers(struct MHD_Response *response, const http_answer *answer)
{
    const char *const headers[][2] = {
        { MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type },
        { "Content-Security-Policy", answer->policy ? answer->policy : NOTHING_ALLOWED },
        { "X-Content-Type-Options", "nosniff" },
        { "Referrer-Policy", "no-referrer" },
        { MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
        { MHD_HTTP_HEADER_CONNECTION, "close" },
    };
    bool good = true;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        good &= MHD_add_response_header(response, headers[i][0], headers[i][1]) == MHD_YES;
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        good &= MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES;
    if (answer->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        good &= MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1") == MHD_YES;
    return good;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const http_answer *answer)
{
    struct MHD_Response *response = make_response(answer);
    if (!response) {
        if (answer->buf)
            give_back(room_of(answer->buf));
        return MHD_NO; /* no memory: the connection ends */
    }
    enum MHD_Result done = MHD_NO;
    if (add_headers(response, answer))
        done = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response); /* when it has been taken */
    return done;
}

/* All answers are being taken away. Who has been at it longest makes room for who asks again. */
static void answer_busy(http_server *s, http_answer *answer)
{
    place *oldest = find_oldest(s, true);
    if (oldest && had_a_moment(s, oldest))
        cut(oldest);
    refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE,
           "Too many are reading slowly just now; come again in a second.\n");
}

static enum MHD_Result on_question(void *ctx, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_bytes, void **state)
{
    http_server *s = ctx;
    http_question question = { url, connection };
    http_answer answer = { .status = MHD_HTTP_OK,
                           .content_type = "text/plain; charset=utf-8",
                           .server = s };
    (void)version, (void)upload, (void)upload_bytes, (void)state;
    if (is_admissible(s, connection, method, url, &answer)) {
        s->handler(s->ctx, &question, &answer);
        if (!answer.buf && !answer.fixed.data)
            answer_busy(s, &answer);
    }
    place *p =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    p->has_answer = answer.buf != NULL;
    return send_answer(connection, &answer);
}

/* --- connections -------------------------------------------------------------------------------- */

static void on_connections(void *ctx, int fd, unsigned events)
{
    http_server *s = ctx;
    (void)fd, (void)events;
    MHD_run(s->daemon);
}

/* A free place, if need be that of the oldest. NULL: all are too new. */
static place *make_place(http_server *s)
{
    place *free_one = find_free(s);
    if (free_one)
        return free_one;
    MHD_run(s->daemon); /* somebody may be through, or has asked only now */
    place *oldest = find_oldest(s, false);
    if (!find_free(s) && oldest && had_a_moment(s, oldest)) {
        cut(oldest);
        MHD_run(s->daemon);
    }
    return find_free(s);
}

gv_status http_server_adopt(http_server *server, int fd)
{
    const int bytes = SEND_BYTES;
    server->next = make_place(server);
    if (!server->next) {
        close(fd);
        return GV_FULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes); /* else more waits in the kernel */
    return MHD_add_connection(server->daemon, fd, NULL, 0) == MHD_YES ? GV_OK : GV_FULL;
}

static void stop_listening(http_server *s, uint64_t for_ms)
{
    plat_loop_watch(s->loop, s->listen_fd, 0, NULL, NULL, NULL);
    s->is_listening = false;
    s->listen_ms = now_ms(s) + for_ms;
}

static bool is_exhausted(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Who cannot be served yet waits in the kernel's queue; nobody is turned away. */
static void on_caller(void *ctx, int listen_fd, unsigned events)
{
    http_server *s = ctx;
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (!make_place(s)) {
            stop_listening(s, GRACE_MS);
            return;
        }
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            http_server_adopt(s, fd);
        else if (is_exhausted(errno))
            stop_listening(s, BREATH_MS);
        if (fd < 0)
            return; /* of one that is gone already there is another event if more wait */
    }
}

static gv_status start_listening(http_server *s, gv_error *err)
{
    gv_status st = plat_loop_watch(s->loop, s->listen_fd, PLAT_LOOP_IN, on_caller, s, err);
    s->is_listening = st == GV_OK;
    return st;
}

uint64_t http_server_tick(http_server *s)
{
    uint64_t now = now_ms(s), due_ms = UINT64_MAX, pending_ms;
    bool must_run = false;
    for (unsigned i = 0; i < s->config.connections; i++) {
        place *p = &s->places[i];
        uint64_t end_ms = p->since_ms + s->config.timeout_ms;
        if (p->fd < 0 || p->is_cut)
            continue;
        if (end_ms <= now) {
            cut(p);
            must_run = true;
        } else if (end_ms < due_ms) {
            due_ms = end_ms;
        }
    }
    if (must_run || (MHD_get_timeout64(s->daemon, &pending_ms) == MHD_YES && pending_ms == 0))
        MHD_run(s->daemon);
    if (!s->is_listening && s->listen_ms <= now && start_listening(s, NULL) != GV_OK)
        s->listen_ms = now + BREATH_MS;
    if (!s->is_listening && s->listen_ms < due_ms)
        due_ms = s->listen_ms;
    return MHD_get_timeout64(s->daemon, &pending_ms) == MHD_YES && pending_ms == 0 ? now : due_ms;
}

/* --- from open to close ------------------------------------------------------------------------- */

gv_status http_server_check_listen(const char *listen, gv_error *err)
{
    http_address address;
    return http_address_parse(listen, &address, err);
}

size_t http_server_memory_bytes(const http_server_config *config)
{
    return sizeof(http_server) + DAEMON_BYTES +
           config->connections *
               (sizeof(place) + CONNECTION_BYTES + config->request_bytes + ANSWER_BYTES) +
           config->answers * (sizeof(answer_room) + config->answer_bytes);
}

static gv_status allocate(http_server *s, gv_error *err)
{
    const http_server_config *c = &s->config;
    s->places = calloc(c->connections, sizeof *s->places);
    s->answers = calloc(c->answers, sizeof *s->answers);
    s->answer_memory = malloc(c->answers * c->answer_bytes);
    if (!s->places || !s->answers || !s->answer_memory)
        return gv_fail(err, GV_FULL, "no memory for the HTTP server");
    for (unsigned i = 0; i < c->connections; i++)
        s->places[i].fd = -1;
    for (unsigned i = 0; i < c->answers; i++)
        s->answers[i].buf = gv_buf_of(s->answer_memory + i * c->answer_bytes, c->answer_bytes);
    return GV_OK;
}

static gv_status start_daemon(http_server *s, gv_error *err)
{
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_NO_THREAD_SAFETY, 0, NULL, NULL,
        on_question, s, MHD_OPTION_CONNECTION_LIMIT, s->config.connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, s->config.request_bytes, MHD_OPTION_UNESCAPE_CALLBACK,
        decode, s, MHD_OPTION_NOTIFY_CONNECTION, note_connection, s, MHD_OPTION_END);
    if (!s->daemon)
        return gv_fail_errno(err, errno, "cannot start the HTTP server");
    s->epoll_fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return plat_loop_watch(s->loop, s->epoll_fd, PLAT_LOOP_IN, on_connections, s, err);
}

static gv_status open_all(http_server *s, gv_error *err)
{
    http_address address;
    gv_status st = http_address_parse(s->config.listen, &address, err);
    if (st != GV_OK)
        return st;
    s->local_only = address.local;
    s->listen_fd = http_listen(s->config.listen, &address, BACKLOG, err);
    if (s->listen_fd < 0)
        return GV_IO;
    st = allocate(s, err);
    if (st == GV_OK)
        st = start_daemon(s, err);
    if (st == GV_OK)
        st = start_listening(s, err);
    s->config.listen = NULL; /* was borrowed */
    return st;
}

gv_status http_server_open(const http_server_config *config, plat_loop *loop,
                           const plat_clock *clock, http_handler *handler, void *ctx,
                           http_server **out, gv_error *err)
{
    http_server *s = calloc(1, sizeof *s);
    if (!s)
        return gv_fail(err, GV_FULL, "no memory for the HTTP server");
    s->config = *config;
    s->loop = loop;
    s->clock = clock;
    s->handler = handler;
    s->ctx = ctx;
    s->listen_fd = s->epoll_fd = -1;
    gv_status st = open_all(s, err);
    if (st != GV_OK) {
        http_server_close(s);
        return st;
    }
    *out = s;
    return GV_OK;
}

void http_server_close(http_server *server)
{
    if (!server)
        return;
    if (server->listen_fd >= 0) {
        plat_loop_watch(server->loop, server->listen_fd, 0, NULL, NULL, NULL);
        close(server->listen_fd);
    }
    if (server->epoll_fd >= 0)
        plat_loop_watch(server->loop, server->epoll_fd, 0, NULL, NULL, NULL);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    free(server->answer_memory);
    free(server->answers);
    free(server->places);
    free(server);
}

unsigned http_server_port(const http_server *server)
{
    return http_listen_port(server->listen_fd);
}

unsigned http_server_connections(const http_server *server)
{
    return server->connections;
}
