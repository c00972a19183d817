/* clock_double.h - time that only the test moves, and a place where log lines are caught.
 *
 * Both clocks go on together; the wall clock may start anywhere, as on a board without a battery.
 */
#ifndef GAVEL_TESTS_CLOCK_DOUBLE_H
#define GAVEL_TESTS_CLOCK_DOUBLE_H

#include "platform/clock.h"

typedef struct {
    uint64_t mono_ms;
    int64_t wall_ms;
} clock_double;

static inline uint64_t clock_double_mono(void *ctx)
{
    return ((const clock_double *)ctx)->mono_ms;
}

static inline int64_t clock_double_wall(void *ctx)
{
    return ((const clock_double *)ctx)->wall_ms;
}

static inline plat_clock clock_double_table(clock_double *c)
{
    return (plat_clock){ .mono_ms = clock_double_mono, .wall_ms = clock_double_wall, .ctx = c };
}

static inline void clock_double_advance(clock_double *c, uint64_t ms)
{
    c->mono_ms += ms;
    c->wall_ms += (int64_t)ms;
}

#endif
