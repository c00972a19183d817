/* http_server.h - answers GET and HEAD on our loop, from memory of a fixed size.
 *
 * One connection is one question: every answer ends it. So a connection has one time to live, from its
 * first packet to the last byte of its answer, and nobody can hold a place for longer, however slowly
 * bytes come or are taken. When all places are taken, whoever comes next gets the place of the oldest,
 * if that had a moment to ask; so those who only hold places cannot shut out those who ask.
 *
 * Units:     bytes, milliseconds (monotonic).
 * Ownership: config and its texts are copied or used up by http_server_open(). What a handler is given
 *            is valid until it returns.
 * Memory:    http_server_memory_bytes() at most, whatever clients do; buffers of answers are taken at
 *            open, what belongs to a connection when there is one.
 * Calls:     the handler is called from http_server_tick() or plat_loop_wait(). Call http_server_tick()
 *            before each plat_loop_wait(); nothing here blocks.
 * Threads:   the loop's.
 * Errors:    what is wrong with a question is answered to who asked: 400, 403, 405, 413, 414, 431, 505.
 *            Too few descriptors or no memory: whoever comes waits, and is accepted when there are.
 * Guests:    bound to this machine alone, only questions that name it (localhost, 127.x.x.x, [::1]) are
 *            answered: a page from elsewhere whose name points here sees nothing.
 * Source:    RFC 9110, RFC 9112; libmicrohttpd.
 */
#ifndef GAVEL_NET_HTTP_SERVER_H
#define GAVEL_NET_HTTP_SERVER_H

#include "platform/clock.h"
#include "platform/err.h"
#include "platform/loop.h"
#include "platform/span.h"

typedef struct http_server http_server;

typedef struct {
    const char *listen;   /* "127.0.0.1:9180", "[::]:9180", "localhost:0"; port 0: any free one */
    unsigned connections; /* at once */
    uint32_t timeout_ms;  /* a connection's time to live */
    size_t request_bytes; /* room for a question's line and headers, and its answer's headers */
    size_t answer_bytes;  /* of one answer that is made for who asks */
    unsigned answers;     /* so many at once, while they are being taken away */
} http_server_config;

typedef struct {
    const char *path;       /* decoded, without arguments; not empty; odd ones lack the first '/' */
    const void *connection; /* for http_question_argument() */
} http_question;

/* The decoded value of "?name=value"; NULL: not there. */
const char *http_question_argument(const http_question *question, const char *name);

typedef struct {
    unsigned status;          /* 200 unless the handler says otherwise */
    const char *content_type; /* lives for ever, as the policy; "text/plain" unless ... */
    const char *policy;       /* Content-Security-Policy; NULL: nothing may be loaded or run */
    gv_span fixed;            /* the answer, if it lives as long as the server */
    gv_buf *buf;              /* from http_answer_buffer(): then this is the answer */
    http_server *server;      /* for http_answer_buffer() */
} http_answer;

/* Empty, with room for answer_bytes. NULL: all are being read by slow clients; return then, who asks is
 * told to come again (503). */
gv_buf *http_answer_buffer(http_answer *answer);

typedef void http_handler(void *ctx, const http_question *question, http_answer *answer);

/* Whether an address can be understood. GV_INVAL: it cannot, and how it should look. */
gv_status http_server_check_listen(const char *listen, gv_error *err);

/* What it will need. */
size_t http_server_memory_bytes(const http_server_config *config);

/* GV_INVAL: the address cannot be understood. GV_IO: it cannot be listened on, with why; a port that
 * another program has may be free later. GV_FULL: no memory, or no watch left. */
gv_status http_server_open(const http_server_config *config, plat_loop *loop,
                           const plat_clock *clock, http_handler *handler, void *ctx,
                           http_server **out, gv_error *err);
void http_server_close(http_server *server); /* ends all connections; NULL is nothing */

unsigned http_server_port(const http_server *server);
unsigned http_server_connections(const http_server *server); /* now */

/* Does what is due; returns the next deadline (monotonic ms), UINT64_MAX for none. */
uint64_t http_server_tick(http_server *server);

/* A connection that something else has accepted, such as one end of a socket pair; the server closes it.
 * GV_FULL: no place for it; it is closed. */
gv_status http_server_adopt(http_server *server, int fd);

#endif
