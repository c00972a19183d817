/* internal.h - what the files of the source share; nobody else includes it. */
#ifndef GAVEL_SOURCE_INTERNAL_H
#define GAVEL_SOURCE_INTERNAL_H

#include "agent/source/rate.h"
#include "agent/source/source.h"
#include "agent/source/token.h"

#define INDEX_BYTES_MAX (64u * 1024u) /* about 90 bytes a realm, at most 256 realms */

typedef enum { SLOT_FREE, SLOT_ASKING, SLOT_RECEIVING, SLOT_SETTLING } slot_state;

typedef struct {
    source *owner;
    unsigned number;
    slot_state state;
    feed *feed;
    http_transfer *transfer;
    uint64_t token_sent;   /* token.fetched when it was sent */
    int64_t last_modified; /* of the body that is arriving */
    int64_t date;          /* of its answer, by the server; -1: not told */
    uint64_t date_ms;      /* when that was, by our monotonic clock */
    int64_t records;       /* as it was told; -1: not */
    bool unchanged;        /* the body that was offered is the one we have */
    char etag[HTTP_ETAG_MAX];
    char url[FEED_URL_MAX];
    char if_modified_since[64];
    char if_none_match[HTTP_ETAG_MAX + 24];
    const char *headers[3];
} slot;

/* The connected realms of a region and game, asked from the index. */
typedef struct {
    const source_list *list;
    uint64_t due_ms;
    uint32_t failures;
    uint64_t token_sent;
    bool token_retried;
    bool done; /* of a single pass */
    char trouble[FEED_TROUBLE_MAX];
} realm_index;

struct source {
    source_config config;
    source_events events;
    http_client *http;
    plat_fs fs;
    plat_clock *clock;
    schedule_random random;
    rate_limit rate;
    token_config token_config;
    token token;
    source_counts counts;
    feed *feeds;
    size_t feed_cap;
    realm_index *indexes;
    size_t index_count;
    realm_index *asking; /* the index that is being fetched */
    http_transfer *index_transfer;
    const char *index_headers[1];
    char index_url[FEED_URL_MAX];
    char *index_text;
    size_t index_len;
    bool stopping;
    bool held; /* nothing is asked for */
    slot slots[SOURCE_TRANSFERS_MAX];
};

/* --- source.c: feeds and what became of them --- */

gv_status source_add_realm(source *s, const source_list *l, uint32_t realm, gv_error *err);

/* The API has answered: with a snapshot that is safe now, or that there is none. */
void source_answered(source *s, feed *f, int64_t server_date);
void source_failed(source *s, feed *f, uint64_t at_least_ms, const char *reason);

/* --- request.c: what all requests to the API have in common --- */

/* A GET with the token's header as headers[0]. */
http_request request_of(const source *s, const char *url, const char **headers);

/* True when a 401 is answered by another token, once, so that the request is to be made again. */
bool request_retry_token(source *s, uint64_t token_sent, bool *retried);

/* What an error status means, in words; a 429 also holds back all requests. */
void request_refused(source *s, const http_reply *reply, char *text, size_t cap);

/* --- fetch.c, realm_index.c --- */

/* Asks for the feed's next snapshot on that slot. GV_AGAIN: no room for a request now. */
gv_status fetch_start(slot *k, feed *f, gv_error *err);

gv_status realm_index_ask(source *s, realm_index *x, gv_error *err);
void realm_index_failed(source *s, realm_index *x, uint64_t at_least_ms, const char *reason);

#endif
