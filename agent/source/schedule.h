/* schedule.h - when to ask again: pure sums, no clock of their own.
 *
 * Units:  monotonic milliseconds; server times in seconds since 1970 UTC.
 * Reason: how old a snapshot is comes from the server's own Date and Last-Modified, so that a wrong
 *         clock on the board changes nothing.
 */
#ifndef GAVEL_SOURCE_SCHEDULE_H
#define GAVEL_SOURCE_SCHEDULE_H

#include "agent/source/feed.h"

#include <stdint.h>

typedef struct {
    uint64_t interval_ms;      /* from one snapshot's Last-Modified to the next one's */
    uint64_t late_poll_min_ms; /* first wait while the next one is late; doubles */
    uint64_t late_poll_max_ms;
    uint64_t retry_min_ms; /* first wait after a failure; doubles */
    uint64_t retry_max_ms;
    uint64_t stale_after_ms; /* age from which data is called stale */
} schedule_config;

/* A small random source, for jitter only. Source: xorshift64* (Vigna 2016). */
typedef struct {
    uint64_t state;
} schedule_random;

void schedule_seed(schedule_random *r, uint64_t seed);
uint64_t schedule_below(schedule_random *r, uint64_t bound); /* 0..bound-1; 0 for bound 0 */

/* Age of the feed's snapshot by the server's clock, ms; 0 when there is none or no Date. */
uint64_t schedule_age_ms(const feed *f, int64_t server_date);

/* After an answer (a new snapshot or "not modified"): sets due_ms to the time when the next one
 * should be there, or polls at growing intervals when it is late. */
void schedule_next(feed *f, const schedule_config *c, schedule_random *r, uint64_t now_ms,
                   int64_t server_date);

/* How long to wait after one more failure in a row, which it counts: between half and all of
 * retry_min * 2^failures, capped; never shorter than `at_least_ms` (Retry-After). */
uint64_t schedule_backoff(const schedule_config *c, schedule_random *r, uint32_t *failures,
                          uint64_t at_least_ms);

/* What the server asks for by Retry-After; a day at most, so that no answer silences us for ever. */
uint64_t schedule_asked_ms(const http_reply *reply);

/* The same for a feed: sets due_ms. */
void schedule_retry(feed *f, const schedule_config *c, schedule_random *r, uint64_t now_ms,
                    uint64_t at_least_ms);

#endif
