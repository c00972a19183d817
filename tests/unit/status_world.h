/* status_world.h - boards as they may be found, as facts: for the renderers' tests and the samples that
 * the page is tested with.
 */
#ifndef GAVEL_TESTS_STATUS_WORLD_H
#define GAVEL_TESTS_STATUS_WORLD_H

#include "agent/status/status.h"
#include "tests/doubles/clock_double.h"

#define WORLD_NOW_MS    INT64_C(1795741200000) /* 2026-11-27T01:00:00Z */
#define WORLD_FEEDS_MAX 2048

typedef struct {
    status_facts facts;
    conditions conditions;
    history history;
    recent recent;
    clock_double time;
    plat_clock clock;
    status_trouble troubles[2];
    status_feed feeds[WORLD_FEEDS_MAX];
} status_world;

/* Everything goes well since three days, with six feeds, two of them Classic. */
void status_world_healthy(status_world *w);

/* The broker is away for five hours, the spool fills, the board has too little voltage, one feed fails. */
void status_world_outage(status_world *w);

/* Healthy, but for an update that was signed by nobody we know. */
void status_world_update_failed(status_world *w);

/* As healthy, with so many feeds. */
void status_world_feeds(status_world *w, size_t count);

/* Takes the facts as those of one second later: what holds is told from now on. */
void status_world_tick(status_world *w, uint64_t ms);

/* Every text is replaced by this one, as far as it fits. */
void status_world_hostile(status_world *w, const char *text);

#endif
