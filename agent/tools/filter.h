/* filter.h - which snapshots a tool is asked about, as words on a command line; no input or output.
 *
 * Units: milliseconds since 1970-01-01 UTC.
 */
#ifndef GAVEL_TOOLS_FILTER_H
#define GAVEL_TOOLS_FILTER_H

#include "agent/codec/snapshot.h"
#include "platform/err.h"
#include "spool/spool.h"

typedef struct {
    const char *snapshot;      /* region[/realm[/house[/seconds]]]; NULL: all */
    int64_t from_ms, to_ms;    /* both included */
    bool kinds[SPOOL_GAP + 1]; /* false: leave these out */
} filter;

/* Everything. */
filter filter_all(void);

/* Each text may be NULL. Times: "2014-07-01T00:30:01Z", the same without seconds or without a time of
 * day (always UTC), or how long ago: "90m", "24h", "7d". A day alone as `to` includes all of it. */
gv_status filter_parse(const char *snapshot, const char *from, const char *to, int64_t now_ms,
                       filter *out, gv_error *err);

bool filter_takes(const filter *f, const spool_meta *meta);

#define FILTER_TIME_MAX 24
/* "2014-07-01T00:30:01Z"; "-" for 0. */
void filter_format_time(int64_t ms, char text[FILTER_TIME_MAX]);

/* The same snapshot to the codec, and its one text form. */
snapshot_id filter_snapshot_id(const spool_snapshot *s);
void filter_format_snapshot(const spool_snapshot *s, char text[SNAPSHOT_TEXT_MAX]);

const char *filter_kind_name(spool_kind kind); /* "auctions", "rejects", "ledger", "gap" */

#endif
