#include "agent/status/status.h"

void status_past_init(status_past *past, const plat_clock *clock)
{
    *past = (status_past){ .started_ms = plat_mono_ms(clock) };
    conditions_init(&past->conditions);
    history_init(&past->history, past->started_ms);
    recent_init(&past->recent, clock);
    gv_log_observe(recent_observe, &past->recent);
}

void status_counters_add(status_counters *sum, const status_counters *more)
{
#define STATUS_COUNTER(name) sum->name += more->name;
    STATUS_COUNTERS(STATUS_COUNTER)
#undef STATUS_COUNTER
    for (size_t i = 0; i < STATUS_REASONS_MAX; i++)
        sum->updates_refused[i] += more->updates_refused[i];
}
