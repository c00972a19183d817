/* http.h - HTTP requests whose bodies flow through callbacks; many at once on one loop.
 *
 * Units:     milliseconds (monotonic), bytes. Times from headers are seconds since 1970 UTC.
 * Ownership: everything in a request is borrowed until its `done` has returned.
 * Memory:    bounded: `slots` transfers, each with a fixed receive window and, for gzip, a fixed
 *            inflate window; a body is never held.
 * Pausing:   on_data may take a part and answer GV_AGAIN: the socket is then left alone (TCP pushes
 *            back) until http_resume(); then the rest comes. No time-out runs while paused.
 * Calls:     every callback comes from http_tick() or from plat_loop_wait(), never from another
 *            function here. All functions but http_tick() and http_close() may be called in any
 *            callback. http_start() and http_resume() only take note: call http_tick() after them
 *            and before the next plat_loop_wait().
 * Slots:     a paused transfer keeps its slot. What must go on meanwhile (tokens, registry) needs
 *            slots of its own: open with as many as can be wanted at once.
 * Redirects: none is followed: GV_INVAL, with the place it points to.
 * Threads:   the loop's; the resolver of libcurl has short-lived ones of its own.
 * Errors:    a transfer that fails says why in words: what, which URL (without its secrets), what to
 *            do. TLS failures that a wrong clock explains say so.
 */
#ifndef GAVEL_NET_HTTP_H
#define GAVEL_NET_HTTP_H

#include "platform/clock.h"
#include "platform/err.h"
#include "platform/loop.h"
#include "platform/span.h"

#include <stdbool.h>

#define HTTP_ETAG_MAX 128

typedef struct http_client http_client;
typedef struct http_transfer http_transfer;

typedef struct {
    int status;               /* 200, 304, ...; 0 before there was one */
    int64_t last_modified;    /* seconds since 1970 UTC; -1 absent or unreadable */
    int64_t date;             /* the server's Date; -1 absent */
    int64_t retry_after_s;    /* Retry-After in seconds from now; -1 absent */
    char etag[HTTP_ETAG_MAX]; /* "" absent or too long */
} http_reply;

typedef struct {
    const char *method;         /* "GET", "POST", "PUT" */
    const char *url;            /* http or https */
    const char *const *headers; /* "name: value" */
    size_t header_count;
    gv_span body;         /* of a POST or PUT; give it a "Content-Type: ..." header */
    const char *username; /* Basic auth; NULL for none */
    const char *password;
    const char *ca_file;     /* NULL: the system's */
    bool accept_gzip;        /* the body arrives inflated */
    uint64_t max_body_bytes; /* inflated; beyond it the transfer fails with GV_FULL */
    uint32_t connect_timeout_ms;
    uint32_t stall_timeout_ms; /* no byte for so long: fails; not counted while paused */

    /* Once, when status and headers are there and before any data. Not GV_OK: the transfer ends. */
    gv_status (*on_headers)(void *ctx, const http_reply *reply, gv_error *err); /* may be NULL */
    /* GV_OK: all taken. GV_AGAIN: *taken bytes were, pause. Else: the transfer ends with that. */
    gv_status (*on_data)(void *ctx, gv_span data, size_t *taken, gv_error *err);
    /* Once, last, never from within http_start(). GV_OK: an answer arrived whole, whatever its
     * status. GV_IO: network or TLS; GV_CORRUPT: cut short or bad gzip; GV_FULL: body or headers too
     * large; GV_INVAL: a redirect, or an encoding that was not asked for; else what a callback
     * answered. The transfer is over and its slot free when this is called. */
    void (*on_done)(void *ctx, gv_status status, const http_reply *reply, const gv_error *err);
    void *ctx;
} http_request;

http_client *http_open(plat_loop *loop, const plat_clock *clock, unsigned slots,
                       const char *user_agent, gv_error *err);
void http_close(http_client *client); /* cancels what runs, without on_done */

/* GV_AGAIN when all slots are in use; GV_INVAL: URL, header or CA file cannot be used. */
gv_status http_start(http_client *client, const http_request *request, http_transfer **out,
                     gv_error *err);
void http_resume(http_transfer *transfer); /* one that is not paused is left as it is */
void http_cancel(http_transfer *transfer); /* without on_done */

/* Does what is due; returns the next deadline (monotonic ms), UINT64_MAX for none. */
uint64_t http_tick(http_client *client);

/* The libraries' versions, for --version. */
void http_versions(char *text, size_t cap);

#endif
