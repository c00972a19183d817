/* clock.h - the two clocks, as a table so that a test can own time.
 *
 * Units:  milliseconds. The monotonic clock never steps; every schedule and back-off uses it.
 * Trust:  the wall clock may be wrong (few boards have a battery). Use plat_wall_ms(), which never
 *         answers less than the floor, and stamp data by the server's Last-Modified only.
 */
#ifndef GAVEL_PLATFORM_CLOCK_H
#define GAVEL_PLATFORM_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a time server (or a GPS receiver ...) keeps the wall clock right. */
typedef enum { PLAT_SYNC_UNKNOWN, PLAT_SYNC_NO, PLAT_SYNC_YES } plat_sync;

typedef struct plat_clock {
    uint64_t (*mono_ms)(void *ctx);
    int64_t (*wall_ms)(void *ctx); /* since 1970-01-01 UTC, as the system has it */
    void *ctx;
    int64_t floor_ms;             /* max(build time, last persisted time); 0 when unknown */
    plat_sync (*sync)(void *ctx); /* NULL: unknown */
} plat_clock;

/* The system's clocks; floor_ms starts at `floor_ms`. */
plat_clock plat_clock_system(int64_t floor_ms);

static inline uint64_t plat_mono_ms(const plat_clock *clock)
{
    return clock->mono_ms(clock->ctx);
}

static inline int64_t plat_wall_ms(const plat_clock *clock)
{
    int64_t now = clock->wall_ms(clock->ctx);
    return now > clock->floor_ms ? now : clock->floor_ms;
}

/* The wall clock is behind the floor: it was never set, or set wrongly. */
static inline bool plat_clock_is_behind(const plat_clock *clock)
{
    return clock->wall_ms(clock->ctx) < clock->floor_ms;
}

static inline plat_sync plat_clock_sync(const plat_clock *clock)
{
    return clock->sync ? clock->sync(clock->ctx) : PLAT_SYNC_UNKNOWN;
}

/* Raises the floor; a lower value changes nothing. */
static inline void plat_clock_raise_floor(plat_clock *clock, int64_t wall_ms)
{
    if (wall_ms > clock->floor_ms)
        clock->floor_ms = wall_ms;
}

#endif
