/* rate.h - keeps requests under the API's limits: so many a second, so many an hour.
 *
 * Two token buckets that fill evenly; a full second's bucket may be spent at once.
 * Source: 100 requests a second and 36,000 an hour per client (develop.battle.net, "Throttling").
 */
#ifndef GAVEL_SOURCE_RATE_H
#define GAVEL_SOURCE_RATE_H

#include <stdint.h>

typedef struct {
    uint64_t per_s;
    uint64_t per_hour;
    uint64_t second_left; /* in thousandths of a request */
    uint64_t hour_left;   /* in 3,600,000ths of a request */
    uint64_t filled_ms;
    uint64_t blocked_until_ms; /* after a 429 */
} rate_limit;

void rate_init(rate_limit *r, uint64_t per_s, uint64_t per_hour, uint64_t now_ms);

/* Takes one request and returns 0, or returns how many ms to wait and takes nothing. */
uint64_t rate_take(rate_limit *r, uint64_t now_ms);

/* Nothing goes out before now + wait. */
void rate_block(rate_limit *r, uint64_t now_ms, uint64_t wait_ms);

#endif
