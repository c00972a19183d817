/* status.h - how the agent is, as facts; and the texts that are made of them.
 *
 * The program fills a status_facts from its parts, all at one instant; the renderers turn it into
 * /status.json and /metrics. They ask nobody, know no part of the agent, and cannot change anything.
 *
 * Units:     bytes, seconds, wall-clock milliseconds since 1970 UTC; as the names say.
 * Unknown:   STATUS_UNKNOWN in any int64_t that is not said to be always known; JSON has null there,
 *            /metrics nothing.
 * Ownership: facts borrow everything they point to; texts are never NULL ("" for none).
 * Memory:    none but the caller's buffer. Each renderer appends to it.
 * Threads:   the loop's.
 * Errors:    GV_FULL: the buffer has not even room for all but the feeds (STATUS_TEXT_BYTES_MIN is
 *            enough for that, whatever the texts); nothing was appended then. Feeds that find no
 *            room are left out and counted, so that the text is whole in any case.
 */
#ifndef GAVEL_STATUS_STATUS_H
#define GAVEL_STATUS_STATUS_H

#include "agent/status/conditions.h"
#include "agent/status/history.h"
#include "agent/status/recent.h"
#include "platform/clock.h"
#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_UNKNOWN        INT64_MIN
#define STATUS_TEXT_BYTES_MIN ((size_t)64 * 1024)
#define STATUS_REASONS_MAX    16

/* Room for everything about so many feeds, in either text. */
#define STATUS_TEXT_BYTES(feeds) (STATUS_TEXT_BYTES_MIN + (size_t)(feeds)*512)

typedef enum { STATUS_NO, STATUS_YES, STATUS_NOT_KNOWN } status_answer;

/* What only ever grows, since the program was started: a reload does not set it back. */
#define STATUS_COUNTERS(X)                                                                         \
    X(requests)                                                                                    \
    X(snapshots)                                                                                   \
    X(snapshots_broken)                                                                            \
    X(not_modified)                                                                                \
    X(fetch_failures)                                                                              \
    X(tokens)                                                                                      \
    X(body_bytes)                                                                                  \
    X(records)                                                                                     \
    X(rejects)                                                                                     \
    X(unknown_members)                                                                             \
    X(replaced_utf8)                                                                               \
    X(pauses)                                                                                      \
    X(records_acked)                                                                               \
    X(records_refused)                                                                             \
    X(records_resent)                                                                              \
    X(spool_switches)                                                                              \
    X(spooled_records)                                                                             \
    X(drained_records)                                                                             \
    X(drained_refused)                                                                             \
    X(damaged_batches)                                                                             \
    X(damaged_records)                                                                             \
    X(missing_batches)                                                                             \
    X(given_up_snapshots)                                                                          \
    X(given_up_records)                                                                            \
    X(written_bytes)                                                                               \
    X(syncs)                                                                                       \
    X(trials_failed)

typedef struct {
#define STATUS_COUNTER(name) uint64_t name;
    STATUS_COUNTERS(STATUS_COUNTER)
#undef STATUS_COUNTER
    uint64_t updates_refused[STATUS_REASONS_MAX]; /* in the order of status_update.reasons */
} status_counters;

void status_counters_add(status_counters *sum, const status_counters *more);

typedef struct {
    char name[40]; /* "eu/1305/0" */
    char region[8];
    uint32_t realm, house;
    int64_t snapshot_ms;    /* of the newest one that is safe, by the server */
    int64_t snapshot_age_s; /* by the server's clock */
    int64_t records;        /* of it */
    int64_t next_fetch_s;
    uint32_t failures; /* in a row */
    bool fetching, stale;
    char trouble[160]; /* "": none; why the last try failed */
} status_feed;

typedef struct {
    bool up;
    char text[256]; /* for a person */
} status_link;

typedef struct {
    bool enabled, usable, spooling, full;
    uint64_t batches, records, bytes, quota_bytes, quarantine_bytes;
    int64_t oldest_age_s;
} status_spool;

typedef struct {
    uint64_t budget_bytes;
    int64_t resident_bytes, peak_bytes;
} status_process;

typedef struct {
    int64_t card_bytes_per_day, card_lasts_years, free_bytes;
} status_disk;

typedef struct {
    char model[128]; /* "": the machine does not say */
    const char *profile;
    int64_t temperature_mc;
    status_answer under_voltage, throttled;
    int64_t wear_percent;
    plat_sync clock;
    /* What is wrong with the machine: names, words and advice of its own. */
    const status_trouble *troubles;
    size_t trouble_count;
} status_board;

typedef struct {
    uint64_t version;           /* in force; 0: the board's own file */
    const char *sha256;         /* of it; "": not known */
    uint64_t attempted_version; /* 0: none yet */
    const char *outcome;        /* of the attempted one: "refused", ... */
    const char *reason;
    int64_t attempted_at_ms;
    const char *const *reasons; /* names of what an update can be refused for */
    size_t reason_count;        /* STATUS_REASONS_MAX at most */
    int64_t next_poll_s;
    const char *trouble; /* "": none; why the last look for an update failed */
} status_update;

typedef struct status_facts {
    const char *version; /* of the program */
    const char *device;
    int64_t now_ms;
    uint64_t now_mono_ms;
    uint64_t uptime_s;
    status_counters counters;
    /* The i-th feed, i < feed_count. */
    size_t feed_count;
    void (*feed)(void *ctx, size_t i, status_feed *out);
    void *feed_ctx;
    uint32_t feeds_stale, feeds_failing;
    bool api_key_refused;
    status_link broker, registry;
    bool registry_matters;   /* some id is not known: records of that schema wait */
    const char *api_trouble; /* "": none; why nothing can be asked of the API */
    status_spool spool;
    status_process memory;
    status_disk disk;
    status_board board;
    status_update update;
    const conditions *conditions; /* of the same instant */
    const history *history;       /* NULL: none */
    const recent *recent;         /* NULL: none */
} status_facts;

/* What outlives a reload of the configuration: the same for all agents of one process. */
typedef struct {
    status_counters counters; /* of those before the present one */
    conditions conditions;
    history history;
    recent recent;
    uint64_t started_ms; /* monotonic */
} status_past;

/* Empty; starts to watch the log. The clock is borrowed. */
void status_past_init(status_past *past, const plat_clock *clock);

/* One JSON object; always UTF-8 and always whole. */
gv_status status_json(const status_facts *facts, gv_buf *out);

/* Prometheus text exposition format, version 0.0.4; metrics.def has what is in it. */
gv_status status_metrics(const status_facts *facts, gv_buf *out);

#endif
