/* feed.h - one house whose snapshots we fetch: where it is asked for, and what we have of it.
 *
 * Source: Blizzard Game Data API paths and namespaces (developer.battle.net, World of Warcraft
 *         Game Data and Classic Game Data APIs).
 */
#ifndef GAVEL_SOURCE_FEED_H
#define GAVEL_SOURCE_FEED_H

#include "agent/net/http.h"
#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>
#include <stdint.h>

#define FEED_URL_MAX     512
#define FEED_NAME_MAX    40
#define FEED_TROUBLE_MAX 128

typedef enum { GAME_RETAIL, GAME_CLASSIC, GAME_CLASSIC1X, GAME_CLASSICANN } feed_game;

typedef enum {
    FEED_IDLE,    /* waits for due_ms */
    FEED_RUNNING, /* a transfer is under way, or its records are not all safe yet */
    FEED_DONE     /* of a single pass: nothing more to do */
} feed_state;

typedef struct {
    char region[8];
    feed_game game;
    uint32_t realm; /* connected realm id; 0: the region's commodities */
    uint32_t house; /* 0 retail; Classic: 2, 6, 7 */

    /* The cursor: the newest snapshot that is safe. */
    int64_t last_modified; /* seconds since 1970 UTC; 0: none yet */
    char etag[HTTP_ETAG_MAX];
    int64_t records; /* of it; -1: fetched before this start */

    /* The schedule; monotonic milliseconds. */
    feed_state state;
    uint64_t due_ms;
    uint64_t
        late_poll_ms;     /* the present polling interval while the next one is late; 0: not late */
    uint32_t failures;    /* in a row */
    bool token_retried;   /* a 401 has already cost one new token */
    bool answered;        /* the API has answered since start: age_ms holds */
    uint64_t answered_ms; /* when */
    uint64_t age_ms;      /* of the snapshot then, by the server's clock */
    bool stale;           /* warned of */
    char trouble[FEED_TROUBLE_MAX]; /* why the last try failed; "": it did not */
    int64_t realm_verified; /* Last-Modified of a body whose realm was checked in a first pass */
} feed;

/* "eu/604/0": the text form of its snapshots without the time. */
void feed_name(const feed *f, char name[FEED_NAME_MAX]);

/* "dynamic-eu", "dynamic-classic-eu", ... */
void feed_namespace(const char *region, feed_game game, char *text, size_t cap);

/* base_url may hold "{region}". False when the URL is too long. */
bool feed_url(const feed *f, const char *base_url, char *url, size_t cap);
bool feed_index_url(const char *region, feed_game game, const char *base_url, char *url,
                    size_t cap);

/* The connected realm id in ".../connected-realm/604?namespace=...". */
bool feed_realm_of_href(gv_span href, uint32_t *realm);

/* Reads {"connected_realms":[{"href":...},...]} and calls each realm; GV_INVAL when it is not that. */
gv_status feed_parse_index(gv_span json,
                           gv_status (*each)(void *ctx, uint32_t realm, gv_error *err), void *ctx,
                           gv_error *err);

#endif
