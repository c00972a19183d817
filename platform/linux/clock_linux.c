#include "platform/clock.h"

#include <stddef.h>
#include <time.h>

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

plat_clock plat_clock_system(int64_t floor_ms)
{
    return (plat_clock){ mono_ms, wall_ms, NULL, floor_ms };
}
