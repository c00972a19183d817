/* source.h - decides what to fetch when, fetches it, and hands the bytes on.
 *
 * For each feed: a conditional GET when the next snapshot should be there. A new body goes, chunk
 * by chunk, to the events; it counts as fetched, and the feed's cursor moves on, only when the
 * receiver says so by source_settle().
 *
 * Units:     monotonic milliseconds.
 * Ownership: the config and what it points to are borrowed until source_close().
 * Memory:    allocated in source_open(); a realm list ("all") is given room for
 *            SOURCE_REALMS_PER_LIST realms. Nothing grows later.
 * Threads:   the loop's.
 * Limits:    at most `max_transfers` snapshots at a time, counted until settled; the API's rates.
 */
#ifndef GAVEL_SOURCE_SOURCE_H
#define GAVEL_SOURCE_SOURCE_H

#include "agent/source/feed.h"
#include "agent/source/schedule.h"
#include "platform/clock.h"
#include "platform/fs.h"

#define SOURCE_TRANSFERS_MAX   4   /* more would not be fair to the API */
#define SOURCE_REALMS_PER_LIST 256 /* the largest region has fewer than 100 connected realms */

/* What to fetch of one region and game. */
typedef struct {
    const char *region;
    feed_game game;
    bool all_realms; /* from the index, asked again once a day */
    const uint32_t *realms;
    size_t realm_count;
    bool commodities;
    const uint8_t *houses; /* Classic: 2, 6, 7; retail: none */
    size_t house_count;
} source_list;

typedef struct {
    const char *base_url; /* may hold {region} */
    const char *token_url;
    const char *client_id;
    const char *client_secret;
    const char *ca_file; /* NULL: the system's */
    const char *cursor_dir;
    const source_list *lists;
    size_t list_count;
    unsigned max_transfers;
    uint64_t requests_per_s;
    uint64_t requests_per_hour;
    uint64_t max_body_bytes;
    uint32_t connect_timeout_ms;
    uint32_t stall_timeout_ms;
    schedule_config schedule;
    bool single_pass; /* each feed once: until a snapshot is safe, "not modified", or it failed
                         SOURCE_SINGLE_PASS_TRIES times */
} source_config;

#define SOURCE_SINGLE_PASS_TRIES 4

typedef enum {
    SETTLE_SAFE,   /* every record is acknowledged or durable: the cursor moves on */
    SETTLE_BROKEN, /* the snapshot is not to be had like this: fetch it again later */
    SETTLE_AGAIN   /* the body has only been looked through: fetch it again now */
} source_outcome;

typedef struct {
    /* A new snapshot starts on `slot` (0..max_transfers-1). Not GV_OK: it is not wanted now. */
    gv_status (*open)(void *ctx, unsigned slot, const feed *f, const http_reply *reply,
                      gv_error *err);
    /* As http_request.on_data. After GV_AGAIN call source_resume(). */
    gv_status (*data)(void *ctx, unsigned slot, gv_span data, size_t *taken, gv_error *err);
    /* The transfer is over: GV_OK when the body arrived whole. Answer with source_settle(), now or
     * later. */
    void (*end)(void *ctx, unsigned slot, gv_status status, const gv_error *err);
    void *ctx;
} source_events;

typedef struct {
    uint64_t requests;
    uint64_t snapshots;    /* safe */
    uint64_t broken;       /* begun but not whole, or refused by a guard */
    uint64_t not_modified; /* 304, or the same Last-Modified again */
    uint64_t failures;     /* no answer, or an error status */
    uint64_t tokens;
    uint32_t feeds;
    uint32_t feeds_done;   /* of a single pass */
    uint32_t feeds_failed; /* of those done: given up */
    uint32_t feeds_stale;
    uint32_t feeds_failing; /* their last try failed */
    bool key_refused;       /* the API does not know the client id or secret */
} source_counts;

/* What is known of one feed. */
typedef struct {
    char name[FEED_NAME_MAX];
    char region[8];
    uint32_t realm, house;
    int64_t last_modified; /* of the newest snapshot that is safe, s since 1970 UTC; 0: none yet */
    bool has_age;          /* the API has answered since the start */
    uint64_t age_ms;       /* of that snapshot now, by the server's clock */
    int64_t records;       /* in it; -1: not known */
    uint64_t next_ms;      /* monotonic; when it is asked for again, if not fetching */
    bool fetching;         /* or its records are not all safe yet */
    bool stale;
    uint32_t failures;   /* in a row */
    const char *trouble; /* why the last try failed, valid until the next tick; "": it did not */
} source_feed;

typedef struct source source;

gv_status source_open(const source_config *config, http_client *http, const plat_fs *fs,
                      plat_clock *clock, const source_events *events, source **out, gv_error *err);

/* Starts what is due; returns when to be called next, UINT64_MAX: after the next event. */
uint64_t source_tick(source *s);

void source_resume(source *s, unsigned slot);
void source_settle(source *s, unsigned slot, source_outcome outcome, const char *reason);

/* How many records the snapshot on that slot has, before it is settled as safe: for source_look(). */
void source_note_records(source *s, unsigned slot, uint64_t records);

/* While on hold no snapshot is asked for; what is arriving goes on. */
void source_hold(source *s, bool hold);

/* Starts nothing new, and ends what is still arriving (`end` is called, with GV_IO). */
void source_stop(source *s);
bool source_busy(const source *s);     /* some slot is not settled yet */
bool source_finished(const source *s); /* a single pass is through */

const source_counts *source_state(const source *s);
void source_look(const source *s, uint32_t i, source_feed *out); /* i < feeds, in no order */

/* What keeps all feeds of a region from being fetched: no token, or no list of realms, and why.
 * "": nothing does. Valid until the next tick. */
const char *source_trouble(const source *s);
size_t source_memory_bytes(const source_config *config); /* what source_open() will allocate */
size_t source_feeds_max(const source_config *config);    /* whatever the list of realms says */
void source_close(source *s);

#endif
