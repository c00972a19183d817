#include "agent/source/rate.h"

#include <assert.h>

#define SLOTS (RATE_SLICES + 1)

static rate_window window(uint64_t limit, uint64_t span_ms, uint64_t now_ms)
{
    rate_window w = { .limit = limit, .slice_ms = span_ms / RATE_SLICES };
    w.newest = now_ms / w.slice_ms;
    return w;
}

void rate_init(rate_limit *r, uint64_t per_s, uint64_t per_hour, uint64_t now_ms)
{
    assert(per_s > 0 && per_hour > 0);
    *r = (rate_limit){ window(per_s, 1000, now_ms), window(per_hour, 3600000, now_ms), 0 };
}

/* Forgets the slices that no longer touch the window. */
static void move_on(rate_window *w, uint64_t now_ms)
{
    uint64_t slice = now_ms / w->slice_ms;
    for (unsigned i = 0; i < SLOTS && w->newest < slice; i++) {
        uint32_t *oldest = &w->taken[++w->newest % SLOTS];
        w->total -= *oldest;
        *oldest = 0;
    }
    w->newest = slice;
}

/* Until there is room for one request; 0: there is. */
static uint64_t wait_for(rate_window *w, uint64_t now_ms)
{
    move_on(w, now_ms);
    if (w->total < w->limit)
        return 0;
    uint64_t forgotten = w->newest + 1;
    while (w->taken[forgotten % SLOTS] == 0)
        forgotten++;
    return forgotten * w->slice_ms - now_ms;
}

static void count(rate_window *w)
{
    w->taken[w->newest % SLOTS]++;
    w->total++;
}

uint64_t rate_take(rate_limit *r, uint64_t now_ms)
{
    if (now_ms < r->blocked_until_ms)
        return r->blocked_until_ms - now_ms;
    uint64_t second_ms = wait_for(&r->second, now_ms), hour_ms = wait_for(&r->hour, now_ms);
    if (second_ms || hour_ms)
        return second_ms > hour_ms ? second_ms : hour_ms;
    count(&r->second);
    count(&r->hour);
    return 0;
}

void rate_block(rate_limit *r, uint64_t now_ms, uint64_t wait_ms)
{
    if (now_ms + wait_ms > r->blocked_until_ms)
        r->blocked_until_ms = now_ms + wait_ms;
}
