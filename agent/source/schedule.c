#include "agent/source/schedule.h"

#define DAY_S 86400

void schedule_seed(schedule_random *r, uint64_t seed)
{
    r->state = seed ? seed : 0x9e3779b97f4a7c15u; /* zero would stay zero */
}

uint64_t schedule_below(schedule_random *r, uint64_t bound)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return bound ? (r->state * 0x2545f4914f6cdd1du) % bound : 0;
}

uint64_t schedule_age_ms(const feed *f, int64_t server_date)
{
    if (f->last_modified <= 0 || server_date <= f->last_modified)
        return 0;
    return (uint64_t)(server_date - f->last_modified) * 1000;
}

static uint64_t doubled(uint64_t base_ms, uint32_t times, uint64_t cap_ms)
{
    while (times-- > 0 && base_ms < cap_ms)
        base_ms *= 2;
    return base_ms < cap_ms ? base_ms : cap_ms;
}

void schedule_next(feed *f, const schedule_config *c, schedule_random *r, uint64_t now_ms,
                   int64_t server_date)
{
    uint64_t age_ms = schedule_age_ms(f, server_date);
    f->failures = 0;
    if (age_ms < c->interval_ms) {
        /* Boards that all ask in the same second help nobody. */
        uint64_t jitter_ms = schedule_below(r, c->interval_ms / 240 + 1);
        f->late_poll_ms = 0;
        f->due_ms = now_ms + (c->interval_ms - age_ms) + jitter_ms;
        return;
    }
    f->late_poll_ms =
        f->late_poll_ms ? doubled(f->late_poll_ms, 1, c->late_poll_max_ms) : c->late_poll_min_ms;
    f->due_ms = now_ms + f->late_poll_ms;
}

uint64_t schedule_backoff(const schedule_config *c, schedule_random *r, uint32_t *failures,
                          uint64_t at_least_ms)
{
    uint64_t wait_ms = doubled(c->retry_min_ms, *failures, c->retry_max_ms);
    wait_ms -= schedule_below(r, wait_ms / 2 + 1);
    if (*failures < UINT32_MAX)
        ++*failures;
    return wait_ms > at_least_ms ? wait_ms : at_least_ms;
}

uint64_t schedule_asked_ms(const http_reply *reply)
{
    if (reply->retry_after_s <= 0)
        return 0;
    return (uint64_t)(reply->retry_after_s < DAY_S ? reply->retry_after_s : DAY_S) * 1000;
}

void schedule_retry(feed *f, const schedule_config *c, schedule_random *r, uint64_t now_ms,
                    uint64_t at_least_ms)
{
    f->due_ms = now_ms + schedule_backoff(c, r, &f->failures, at_least_ms);
}
