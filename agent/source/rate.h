/* rate.h - keeps requests under the API's limits: so many a second, so many an hour.
 *
 * No window of that length, wherever it begins, sees more than its limit. Each is counted in slices,
 * so that little memory is enough: a request is forgotten up to one slice (2 %) later than it could.
 * Units:  monotonic milliseconds that do not go back.
 * Source: 100 requests a second and 36,000 an hour per client (develop.battle.net, "Throttling").
 */
#ifndef GAVEL_SOURCE_RATE_H
#define GAVEL_SOURCE_RATE_H

#include <stdint.h>

#define RATE_SLICES 50u

typedef struct {
    uint64_t limit;
    uint64_t slice_ms;
    uint64_t newest; /* number of the slice that is counted now */
    uint64_t total;
    uint32_t taken[RATE_SLICES + 1]; /* by number of the slice; the oldest may be a part only */
} rate_window;

typedef struct {
    rate_window second;
    rate_window hour;
    uint64_t blocked_until_ms; /* after a 429 */
} rate_limit;

void rate_init(rate_limit *r, uint64_t per_s, uint64_t per_hour, uint64_t now_ms);

/* Takes one request and returns 0, or returns how many ms to wait and takes nothing. */
uint64_t rate_take(rate_limit *r, uint64_t now_ms);

/* Nothing goes out before now + wait. */
void rate_block(rate_limit *r, uint64_t now_ms, uint64_t wait_ms);

#endif
