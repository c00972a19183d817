#include "platform/clock.h"

#include <stddef.h>
#include <sys/timex.h>
#include <time.h>

_Static_assert(sizeof(time_t) >= sizeof(int64_t), "with fewer bits a time ends in 2038");

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t mono_ms(void *ctx)
{
    (void)ctx;
    return (uint64_t)read_ms(CLOCK_MONOTONIC);
}

static int64_t wall_ms(void *ctx)
{
    (void)ctx;
    return read_ms(CLOCK_REALTIME);
}

/* Only asks. A sandbox may forbid even that. */
static plat_sync sync_state(void *ctx)
{
    struct timex t = { .modes = 0 };
    int state = adjtimex(&t);
    (void)ctx;
    if (state < 0)
        return PLAT_SYNC_UNKNOWN;
    return state == TIME_ERROR || (t.status & STA_UNSYNC) ? PLAT_SYNC_NO : PLAT_SYNC_YES;
}

plat_clock plat_clock_system(int64_t floor_ms)
{
    return (plat_clock){ mono_ms, wall_ms, NULL, floor_ms, sync_state };
}
