/* agent_internal.h - what the files of the agent share; nobody else includes it. */
#ifndef GAVEL_MAIN_AGENT_INTERNAL_H
#define GAVEL_MAIN_AGENT_INTERNAL_H

#include "agent/cli/cli_update.h"
#include "agent/forward/forwarder.h"
#include "agent/main/agent.h"
#include "agent/ota/topic_look.h"
#include "agent/pipeline/budget.h"
#include "agent/pipeline/pipeline.h"
#include "agent/registry/schema_shelf.h"
#include "agent/source/source.h"
#include "agent/status/routes.h"
#include "board/board.h"
#include "board/health.h"
#include "board/led.h"
#include "platform/fs_count.h"

typedef struct {
    agent_setup setup;
    const gv_config *config;
    memory_budget budget;
    char device[CLI_DEVICE_MAX];
    cli_topics topics;
    char status_topic[CLI_TOPIC_MAX];
    kafka_topic status_shape;
    char config_topic[CLI_TOPIC_MAX];
    bundle_recipient recipient;
    topic_look *topic_look; /* NULL: none */
    uint64_t announced;     /* of update_state.changes; 0: nothing yet */
    kafka_property *properties;
    source_list lists[CONFIG_SOURCES_MAX];
    registry_schema schemas[SHELF_CURRENT_MAX];
    char cursor_dir[PLAT_PATH_MAX];
    char cache_path[PLAT_PATH_MAX];
    char shelf_dir[PLAT_PATH_MAX];
    char spool_dir[PLAT_PATH_MAX];
    fs_count written; /* by all that is kept on disk, which goes through fs */
    plat_fs fs;
    http_client *http;
    schema_shelf *shelf;
    registry *registry;
    pipeline *pipeline;
    forwarder *forwarder;
    outlet *outlet;
    source *source;
    health health;
    led led;
    char board_model[BOARD_MODEL_MAX];
    char history_path[PLAT_PATH_MAX];
    status_trouble troubles[HEALTH_TROUBLES]; /* as the facts have them */
    uint64_t facts_ms;                        /* the instant of the facts */
    routes routes;
    http_server *server; /* of the status page; NULL: none, or it has no port yet */
    size_t feeds_max;
    uint64_t server_due_ms; /* when a port is tried again */
    gv_error server_error;  /* why it has none; told once */
    uint64_t look_due_ms;
    uint64_t started_ms;
    uint64_t watchdog_ms; /* 0: none */
    uint64_t watchdog_due_ms;
    uint64_t status_due_ms;
    uint64_t wear_due_ms;
} agent;

/* --- agent_parts.c: the parts, made of the configuration --- */
gv_status agent_open_parts(agent *a, gv_error *err);
void agent_close_parts(agent *a);

/* --- agent_update.c: updates over the air --- */
size_t agent_update_memory_bytes(const gv_config *config);
gv_status agent_update_start(agent *a, gv_error *err);
uint64_t agent_update_tick(agent *a);                       /* may wish for a reload */
void agent_update_facts(const agent *a, status_facts *out); /* its counters, too */
void agent_update_stop(agent *a);

/* --- agent_report.c: what it tells about itself --- */
void agent_report_start(agent *a);
void agent_report(agent *a, uint64_t now_ms); /* to systemd and the log, as due */
void agent_report_stop(agent *a);

/* --- agent_web.c: the status page --- */
/* What it may need. `feeds`: at most. */
size_t agent_web_memory_bytes(const gv_config *config, size_t feeds);
/* Opens it when it is wanted, and tries again later when that fails: the agent goes on without. Returns
 * when it is to be called next. */
uint64_t agent_web_tick(agent *a);
void agent_web_close(agent *a);

/* --- agent_status.c: what it shows of itself --- */
void agent_status_start(agent *a);
/* All parts at this instant; conditions are told as of it. The facts borrow from the agent. */
void agent_status_facts(agent *a, status_facts *out);
void agent_status_tick(agent *a, uint64_t now_ms); /* conditions and history, as due */
void agent_status_stop(agent *a);                  /* what outlives this agent is kept */

#endif
