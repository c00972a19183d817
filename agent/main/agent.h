/* agent.h - the whole agent under one configuration, from start to stop.
 *
 * Ownership: everything in agent_setup is borrowed until agent_run() returns.
 * Threads:   the caller's; librdkafka and the name resolver have their own below their adapters.
 */
#ifndef GAVEL_MAIN_AGENT_H
#define GAVEL_MAIN_AGENT_H

#include "agent/config/config.h"
#include "agent/pipeline/budget.h"
#include "agent/status/status.h"
#include "platform/clock.h"
#include "platform/loop.h"

#include <stdbool.h>

/* Set by signals. */
typedef struct {
    bool stop;
    bool reload;
} agent_wishes;

struct agent_updates;

typedef struct {
    const gv_config *config;
    plat_loop *loop;
    plat_clock *clock;
    const plat_fs *fs;
    agent_wishes *wishes;
    status_past *past;
    struct agent_updates *updates; /* NULL: none are taken */
    bool single_pass;              /* `gavel once` */
    bool progress;                 /* draw a progress line on stderr */
} agent_setup;

typedef enum {
    AGENT_STOPPED,  /* as wished; what was under way is safe or will be fetched again */
    AGENT_RELOAD,   /* stopped the same way, to start again with another configuration */
    AGENT_FINISHED, /* a single pass is through, the broker has everything */
    AGENT_PARTLY,   /* a single pass is through, but something was not to be had, or waits in the
                       spool */
    AGENT_FAILED    /* did not start; err says why */
} agent_end;

/* How memory.budget_kib would be divided. GV_FULL: it is too small. */
gv_status agent_memory(const gv_config *config, memory_budget *out, gv_error *err);

agent_end agent_run(const agent_setup *setup, gv_error *err);

#endif
