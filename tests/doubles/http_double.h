/* http_double.h - agent/net/http.h without a network: the test is the server.
 *
 * A second implementation of the contract, linked instead of the one over libcurl: callbacks come
 * from http_tick() alone, a paused body goes on where `taken` left off, headers come before data and
 * done comes last. Time is the clock's that http_open() was given.
 *
 * Each new transfer asks the server function once for its answer. Every request is kept, with its
 * headers, until http_close().
 */
#ifndef GAVEL_TESTS_HTTP_DOUBLE_H
#define GAVEL_TESTS_HTTP_DOUBLE_H

#include "agent/net/http.h"

#define HTTP_DOUBLE_HEADERS 6

typedef struct {
    char method[8];
    char url[600];
    char headers[HTTP_DOUBLE_HEADERS][200]; /* cut when longer */
    size_t header_count;
    char body[64];
    char username[64], password[64];
    bool accept_gzip;
    uint64_t max_body_bytes;
    uint64_t at_ms;
    bool cancelled;
    uint64_t body_sent; /* bytes the caller has taken */
} http_call;

typedef struct {
    http_reply reply;    /* status 0: there is no answer, only `end` */
    gv_span body;        /* borrowed until the transfer is over */
    size_t chunk_bytes;  /* 0: the whole body in one piece */
    uint32_t chunk_seed; /* not 0: pieces of 1 to chunk_bytes, by chance */
    uint64_t delay_ms;   /* before the headers */
    bool silent;         /* no answer ever: until it is cancelled */
    size_t stall_at;     /* not 0: silent once so many bytes of the body were taken */
    gv_status end;       /* GV_OK, or how the transfer fails after the body */
    const char *error;
} http_answer;

typedef void http_double_server(void *ctx, const http_call *call, http_answer *answer);

void http_double_serve(http_client *client, http_double_server *server, void *ctx);

/* Pieces that each transfer gets in one http_tick(); 0: as many as it takes (the default). */
void http_double_pace(http_client *client, unsigned pieces_a_tick);

/* http_start() answers with this once, from the next call on. */
void http_double_refuse(http_client *client, gv_status status);

/* Silent transfers go on; or, with a status that is not GV_OK, end with it. */
void http_double_wake(http_client *client, gv_status end);

size_t http_double_calls(const http_client *client);
const http_call *http_double_call(const http_client *client, size_t index);
unsigned http_double_active(const http_client *client);
unsigned
http_double_most_active(const http_client *client); /* of transfers to URLs with `auctions` */

/* The value of the header, without its name; NULL when there is none such. */
const char *http_call_header(const http_call *call, const char *name);

#endif
