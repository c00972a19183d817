#include "agent/status/status.h"

void status_counters_add(status_counters *sum, const status_counters *more)
{
#define STATUS_COUNTER(name) sum->name += more->name;
    STATUS_COUNTERS(STATUS_COUNTER)
#undef STATUS_COUNTER
    for (size_t i = 0; i < STATUS_REASONS_MAX; i++)
        sum->updates_refused[i] += more->updates_refused[i];
}
