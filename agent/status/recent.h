/* recent.h - the last warnings and errors of the log, in words.
 *
 * It watches the log (gv_log_observe), so it has what the log has: states and counts, no secrets. What
 * is said again and again takes one place, with the time when it was said last.
 *
 * Units:   wall-clock milliseconds since 1970 UTC.
 * Memory:  the structure; texts are cut, between characters.
 * Threads: the one that logs, which is the loop's.
 */
#ifndef GAVEL_STATUS_RECENT_H
#define GAVEL_STATUS_RECENT_H

#include "platform/clock.h"
#include "platform/log.h"

#include <stddef.h>

#define RECENT_MAX        16
#define RECENT_TEXT_MAX   320
#define RECENT_ADVICE_MAX 200

typedef struct {
    int64_t at_ms;
    gv_log_level level; /* GV_LOG_WARN or GV_LOG_ERROR */
    uint32_t times;
    size_t words_len; /* of the text: what makes two events the same; numbers follow */
    char text[RECENT_TEXT_MAX];
    char advice[RECENT_ADVICE_MAX]; /* "": none */
} recent_event;

typedef struct recent {
    const plat_clock *clock;
    recent_event events[RECENT_MAX]; /* oldest first */
    size_t count;
} recent;

/* Empty; the clock is borrowed. */
void recent_init(recent *r, const plat_clock *clock);

/* As gv_log_observer, ctx is the recent. */
void recent_observe(void *ctx, gv_log_level level, const gv_kv *pairs);

/* The i-th, 0 is the newest; NULL behind the last. */
const recent_event *recent_look(const recent *r, size_t i);

#endif
