#include "agent/source/rate.h"

/* One request costs SECOND units of the first bucket and HOUR units of the second; each bucket gains
 * its rate in units every millisecond. */
#define SECOND 1000u
#define HOUR   3600000u

void rate_init(rate_limit *r, uint64_t per_s, uint64_t per_hour, uint64_t now_ms)
{
    *r = (rate_limit){ per_s, per_hour, per_s * SECOND, per_hour * HOUR, now_ms, 0 };
}

static void fill(uint64_t *left, uint64_t rate, uint64_t cost, uint64_t elapsed_ms)
{
    uint64_t room = rate * cost - *left;
    *left += elapsed_ms >= room / rate + 1 ? room : elapsed_ms * rate;
}

static uint64_t wait_for(uint64_t left, uint64_t rate, uint64_t cost)
{
    return left >= cost ? 0 : (cost - left + rate - 1) / rate;
}

uint64_t rate_take(rate_limit *r, uint64_t now_ms)
{
    if (now_ms < r->blocked_until_ms)
        return r->blocked_until_ms - now_ms;
    uint64_t elapsed_ms = now_ms - r->filled_ms;
    fill(&r->second_left, r->per_s, SECOND, elapsed_ms);
    fill(&r->hour_left, r->per_hour, HOUR, elapsed_ms);
    r->filled_ms = now_ms;
    uint64_t a = wait_for(r->second_left, r->per_s, SECOND);
    uint64_t b = wait_for(r->hour_left, r->per_hour, HOUR);
    if (a || b)
        return a > b ? a : b;
    r->second_left -= SECOND;
    r->hour_left -= HOUR;
    return 0;
}

void rate_block(rate_limit *r, uint64_t now_ms, uint64_t wait_ms)
{
    if (now_ms + wait_ms > r->blocked_until_ms)
        r->blocked_until_ms = now_ms + wait_ms;
}
