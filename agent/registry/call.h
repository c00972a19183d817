/* call.h - one request to whichever of the registry's addresses answers it.
 *
 * The address that answered last is asked first, then the others in turn. An answer is what a
 * registry says for itself: a 2xx, a refusal of the credentials, or an error with its error_code
 * below 500. Everything else (network, TLS, 5xx, 429, a page that is no registry's) moves on.
 *
 * Ownership: config is borrowed; the reply is valid during `done`.
 * Memory:    the reply grows up to max_reply and is freed after `done`.
 */
#ifndef GAVEL_REGISTRY_CALL_H
#define GAVEL_REGISTRY_CALL_H

#include "agent/net/http.h"
#include "agent/registry/registry.h"

#define CALL_PATH_MAX 1800
#define CALL_URL_MAX  512 /* of a configured address */
#define CALL_RETRY_MS 100 /* until there is a free HTTP slot */

typedef struct {
    int http_status;
    gv_span body;
} call_answer;

/* GV_OK: the answer; else nobody gave one: the words, and how long they asked to wait (-1: not). */
typedef void call_done(void *ctx, gv_status status, const call_answer *answer,
                       int64_t retry_after_s, const gv_error *err);

typedef struct {
    http_client *http;
    const plat_clock *clock;
    const registry_config *config;
    size_t *best; /* the address that answered last; shared by the calls of one registry */
    size_t max_reply;
    void *ctx;

    bool busy;
    const char *method;
    char path[CALL_PATH_MAX];
    char url[CALL_URL_MAX + CALL_PATH_MAX];
    char *body; /* owned */
    call_done *done;
    size_t tried; /* addresses so far */
    size_t index; /* the one being asked */
    http_transfer *transfer;
    uint64_t retry_ms; /* when to ask for a slot again; UINT64_MAX: under way */
    uint8_t *reply;
    size_t reply_len, reply_cap;
    int64_t retry_after_s;
    gv_error first; /* why the first address did not answer */
} registry_call;

/* Starts; `body` (NULL: none) is freed in the end. `done` is never called from here, and may start
 * the call anew. */
void call_start(registry_call *call, const char *method, const char *path, char *body,
                call_done *done);
void call_cancel(registry_call *call); /* without done */
uint64_t call_tick(registry_call *call);

#endif
