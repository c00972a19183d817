/* http_body.h - a response's body on its way from libcurl to the caller: inflated, counted, bounded,
 * and paused exactly where the caller stops.
 *
 * Pausing: when the caller pauses, libcurl keeps the whole piece and delivers it again later, possibly
 * with more at its end. What was already taken of it is remembered here and passed over.
 * Memory:  the gunzip given to it; otherwise none.
 */
#ifndef GAVEL_NET_HTTP_BODY_H
#define GAVEL_NET_HTTP_BODY_H

#include "agent/net/inflate.h"

typedef struct {
    gunzip *gunzip;
    bool gzip;      /* the body comes compressed */
    gv_span plain;  /* inflated, not yet taken */
    size_t skip;    /* taken of the bytes that will be delivered again */
    uint64_t bytes; /* taken by the caller */
    uint64_t max_bytes;
} http_body;

/* GV_OK: all taken. GV_AGAIN: *taken bytes were, pause. Anything else ends the body. */
typedef gv_status http_body_give(void *ctx, gv_span data, size_t *taken);

/* For a new response; keeps the gunzip. */
void http_body_start(http_body *body, uint64_t max_bytes);

/* Gives what a delivered piece holds. GV_OK: it is done with. GV_AGAIN: paused, and it is to be
 * delivered again. GV_FULL (larger than max_bytes) and GV_CORRUPT (bad gzip) come with words in *err;
 * what `give` answered comes without. */
gv_status http_body_take(http_body *body, gv_span piece, http_body_give *give, void *ctx,
                         gv_error *err);

/* The body may end here. */
bool http_body_whole(const http_body *body);

#endif
