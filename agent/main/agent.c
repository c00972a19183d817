#include "agent/main/agent.h"

#include "agent/forward/forwarder.h"
#include "agent/main/cli.h"
#include "agent/main/progress.h"
#include "agent/pipeline/budget.h"
#include "agent/pipeline/pipeline.h"
#include "agent/registry/registry.h"
#include "agent/source/source.h"
#include "board/board.h"
#include "board/health.h"
#include "board/led.h"
#include "gavel_version.h"
#include "platform/log.h"
#include "platform/notify.h"
#include "platform/process.h"
#include "schema_auction.h"
#include "schema_reject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOPIC_MAX      256
#define WAKE_MS        1000u /* for the watchdog, the progress line and stale warnings */
#define STATUS_EACH_MS 10000u

typedef struct {
    agent_setup setup;
    const gv_config *config;
    memory_budget budget;
    char device[128];
    char topics[BATCH_KINDS][TOPIC_MAX];
    kafka_topic ensure[BATCH_KINDS];
    kafka_property *properties;
    source_list lists[CONFIG_SOURCES_MAX];
    registry_schema schemas[2];
    char cursor_dir[PLAT_PATH_MAX];
    char cache_path[PLAT_PATH_MAX];
    http_client *http;
    registry *registry;
    pipeline *pipeline;
    forwarder *forwarder;
    source *source;
    health health;
    led led;
    uint64_t watchdog_ms; /* 0: none */
    uint64_t watchdog_due_ms;
    uint64_t status_due_ms;
} agent;

/* --- configuration to contracts --------------------------------------------------------------- */

static gv_status name_things(agent *a, gv_error *err)
{
    static const char *const suffixes[BATCH_KINDS] = { "raw", "rejects", "snapshots" };
    const gv_config *c = a->config;
    if (c->device_id[0])
        snprintf(a->device, sizeof a->device, "%s", c->device_id);
    else if (gethostname(a->device, sizeof a->device - 1) != 0)
        snprintf(a->device, sizeof a->device, "gavel");
    for (int kind = 0; kind < BATCH_KINDS; kind++) {
        int len =
            snprintf(a->topics[kind], TOPIC_MAX, "%s.%s", c->kafka_topic_prefix, suffixes[kind]);
        if (len >= TOPIC_MAX)
            return gv_fail(err, GV_INVAL, "kafka.topic_prefix is too long");
        a->ensure[kind] = (kafka_topic){ .name = a->topics[kind],
                                         .partitions = (int)c->kafka_partitions,
                                         .replication = (int)c->kafka_replication,
                                         .retention_ms = c->kafka_retention_ms,
                                         .retention_mib = c->kafka_retention_mib,
                                         .compacted = kind == BATCH_LEDGER };
    }
    a->ensure[BATCH_LEDGER].partitions = 1; /* one entry a snapshot */
    a->ensure[BATCH_LEDGER].retention_ms = a->ensure[BATCH_LEDGER].retention_mib = -1;
    if (snprintf(a->cursor_dir, PLAT_PATH_MAX, "%s/cursors", c->state_dir) >= PLAT_PATH_MAX ||
        snprintf(a->cache_path, PLAT_PATH_MAX, "%s/registry.json", c->state_dir) >= PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "state_dir is too long");
    return a->setup.fs->make_dir(a->setup.fs->ctx, c->state_dir, err);
}

static source_config make_source_config(agent *a)
{
    const gv_config *c = a->config;
    for (size_t i = 0; i < c->source_count; i++) {
        const config_source *s = &c->sources[i];
        a->lists[i] = (source_list){ config_region_name(s->region),
                                     (feed_game)s->game,
                                     s->all_realms,
                                     s->realms,
                                     s->realm_count,
                                     s->commodities,
                                     s->houses,
                                     s->house_count };
    }
    return (source_config){
        .base_url = c->api_base_url,
        .token_url = c->api_token_url,
        .client_id = c->api_client_id,
        .client_secret = c->api_client_secret,
        .ca_file = cli_or_null(c->api_ca_file),
        .cursor_dir = a->cursor_dir,
        .lists = a->lists,
        .list_count = c->source_count,
        .max_transfers = (unsigned)c->api_max_transfers,
        .requests_per_s = (uint64_t)c->api_requests_per_s,
        .requests_per_hour = (uint64_t)c->api_requests_per_hour,
        .max_body_bytes = (uint64_t)c->api_max_body_mib << 20,
        .connect_timeout_ms = (uint32_t)c->api_connect_timeout_ms,
        .stall_timeout_ms = (uint32_t)c->api_stall_timeout_ms,
        .schedule = { .interval_ms = (uint64_t)c->api_snapshot_interval_ms,
                      .late_poll_min_ms = (uint64_t)c->api_late_poll_min_ms,
                      .late_poll_max_ms = (uint64_t)c->api_late_poll_max_ms,
                      .retry_min_ms = (uint64_t)c->api_retry_min_ms,
                      .retry_max_ms = (uint64_t)c->api_retry_max_ms,
                      .stale_after_ms =
                          c->api_stale_after_ms ? (uint64_t)c->api_stale_after_ms : UINT64_MAX },
        .single_pass = a->setup.single_pass,
    };
}

/* --- parts ------------------------------------------------------------------------------------ */

static void ignore_id(void *ctx)
{
    (void)ctx; /* the loop asks the forwarder again anyway */
}

static gv_status schema_id(void *ctx, const char *topic, uint64_t fingerprint, uint32_t *id)
{
    agent *a = ctx;
    return registry_id(a->registry, topic, fingerprint, id);
}

static void batch_done(void *ctx, batch *b, uint32_t refused)
{
    agent *a = ctx;
    pipeline_on_batch_done(a->pipeline, b, refused);
}

static gv_status open_pipeline(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    pipeline_config config = {
        .auction_schema = gv_span_of(schema_auction, schema_auction_bytes),
        .reject_schema = gv_span_of(schema_reject, schema_reject_bytes),
        .topics = { a->topics[BATCH_AUCTIONS], a->topics[BATCH_REJECTS], a->topics[BATCH_LEDGER] },
        .device = a->device,
        .memory_bytes = a->budget.pipeline,
        .batch_count = (uint32_t)c->memory_batches,
        .batch_bytes = (size_t)c->memory_batch_kib * 1024,
        .max_transfers = (unsigned)c->api_max_transfers,
    };
    return pipeline_open(&config, a->setup.clock, &a->pipeline, err);
}

static gv_status open_http(agent *a, gv_error *err)
{
    /* Two more than snapshots: the token or the realm index, and the registry. */
    unsigned slots = (unsigned)a->config->api_max_transfers + 2;
    a->http = http_open(a->setup.loop, a->setup.clock, slots, "gavel/" GAVEL_VERSION, err);
    return a->http ? GV_OK : GV_FULL;
}

static gv_status open_registry(agent *a, gv_error *err)
{
    const char *const texts[] = { schema_auction, schema_reject };
    for (int kind = BATCH_AUCTIONS; kind <= BATCH_REJECTS; kind++)
        a->schemas[kind] =
            (registry_schema){ pipeline_fingerprint(a->pipeline, (batch_kind)kind), texts[kind],
                               pipeline_record_name(a->pipeline, (batch_kind)kind),
                               a->topics[kind] };
    registry_config config = cli_registry_config(a->config);
    config.cache_path = a->cache_path;
    return registry_open(&config, a->http, a->setup.fs, a->setup.clock, a->schemas, 2, ignore_id, a,
                         &a->registry, err);
}

static gv_status open_forwarder(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    size_t properties = c->kafka_properties.count;
    a->properties = calloc(properties ? properties : 1, sizeof *a->properties);
    if (!a->properties)
        return gv_fail(err, GV_FULL, "no memory for kafka.properties");
    forwarder_config config = {
        .kafka = cli_kafka_config(c, a->device, a->properties),
        .topics = { a->topics[BATCH_AUCTIONS], a->topics[BATCH_REJECTS], a->topics[BATCH_LEDGER] },
        .ensure = a->ensure,
        .ensure_count = BATCH_KINDS,
        .create_topics = c->kafka_create_topics,
        .retry_min_ms = 250,
        .retry_max_ms = 30000,
    };
    config.kafka.queue_bytes = a->budget.kafka_queue_bytes;
    config.kafka.queue_records = a->budget.kafka_queue_records;
    const forwarder_events events = { schema_id, batch_done, a };
    return forwarder_open(&config, a->setup.loop, a->setup.clock, &events, &a->forwarder, err);
}

static gv_status divide_memory(agent *a, const source_config *source_settings, gv_error *err)
{
    return budget_divide((size_t)a->config->memory_budget_kib * 1024,
                         (unsigned)a->config->api_max_transfers,
                         source_memory_bytes(source_settings), &a->budget, err);
}

static gv_status open_all(agent *a, gv_error *err)
{
    gv_status st = name_things(a, err);
    source_config source_settings = make_source_config(a);
    if (st == GV_OK)
        st = divide_memory(a, &source_settings, err);
    if (st == GV_OK)
        st = open_pipeline(a, err);
    if (st == GV_OK)
        st = open_http(a, err);
    if (st == GV_OK)
        st = open_registry(a, err);
    if (st == GV_OK)
        st = open_forwarder(a, err);
    if (st == GV_OK) {
        const source_events events = pipeline_source_events(a->pipeline);
        st = source_open(&source_settings, a->http, a->setup.fs, a->setup.clock, &events,
                         &a->source, err);
    }
    if (st == GV_OK)
        pipeline_attach(a->pipeline, a->source, a->forwarder);
    return st;
}

static void close_all(agent *a)
{
    if (a->source)
        source_stop(a->source);
    if (a->forwarder)
        forwarder_close(a->forwarder);
    source_close(a->source);
    registry_close(a->registry);
    http_close(a->http);
    pipeline_close(a->pipeline);
    free(a->properties);
}

/* --- running ---------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

static void open_board(agent *a)
{
    health_config config =
        health_config_for(a->config->profile, a->setup.fs, a->setup.clock, a->config->state_dir);
    health_open(&a->health, &config);
    led_open(&a->led, a->setup.fs, a->config->board_led);
}

/* Somebody should come and look: nothing goes out, or nothing comes in. */
static bool is_outage(const agent *a)
{
    return !forwarder_state(a->forwarder)->up || source_state(a->source)->feeds_stale > 0;
}

static void report_status(agent *a, uint64_t now_ms)
{
    const forwarder_status *f = forwarder_state(a->forwarder);
    const source_counts *s = source_state(a->source);
    char text[512];
    health_tick(&a->health);
    led_alarm(&a->led, is_outage(a));
    if (a->watchdog_ms && now_ms >= a->watchdog_due_ms) {
        plat_notify("WATCHDOG=1");
        a->watchdog_due_ms = now_ms + a->watchdog_ms;
    }
    if (now_ms < a->status_due_ms)
        return;
    a->status_due_ms = now_ms + STATUS_EACH_MS;
    snprintf(text, sizeof text,
             "STATUS=%llu snapshots and %llu records forwarded from %u feeds; broker: %s; "
             "registry: %s",
             (unsigned long long)s->snapshots, (unsigned long long)f->records_acked, s->feeds,
             f->text, registry_state(a->registry));
    plat_notify(text);
}

/* Everything that is due; returns for how long nothing will be. */
static uint64_t tick_all(agent *a)
{
    uint64_t due_ms;
    do {
        due_ms = http_tick(a->http);
        due_ms = earlier(due_ms, registry_tick(a->registry));
        due_ms = earlier(due_ms, forwarder_tick(a->forwarder));
        due_ms = earlier(due_ms, source_tick(a->source));
        due_ms = earlier(due_ms, http_tick(a->http)); /* of what the others have started */
    } while (pipeline_tick(a->pipeline));
    uint64_t now_ms = plat_mono_ms(a->setup.clock);
    report_status(a, now_ms);
    return due_ms <= now_ms ? 0 : earlier(due_ms - now_ms, WAKE_MS);
}

/* Does what is due, then waits, unless done() says that there is nothing to wait for. */
static bool work_once(agent *a, bool (*done)(const source *s), gv_error *err)
{
    uint64_t wait_ms = tick_all(a);
    if (a->setup.progress)
        progress_draw(source_state(a->source), pipeline_state(a->pipeline),
                      forwarder_state(a->forwarder), plat_mono_ms(a->setup.clock));
    return done(a->source) || plat_loop_wait(a->setup.loop, (int64_t)wait_ms, err) == GV_OK;
}

static bool is_settled(const source *s)
{
    return !source_busy(s);
}

/* Ends what arrives, waits for acknowledgements of what is complete, within the limit. */
static void wind_down(agent *a, gv_error *err)
{
    uint64_t limit_ms = (uint64_t)a->config->shutdown_timeout_ms;
    uint64_t deadline_ms = plat_mono_ms(a->setup.clock) + limit_ms;
    plat_notify(a->setup.wishes->reload ? "RELOADING=1" : "STOPPING=1");
    source_stop(a->source);
    while (!is_settled(a->source) && plat_mono_ms(a->setup.clock) < deadline_ms)
        if (!work_once(a, is_settled, err))
            break;
    if (source_busy(a->source))
        GV_LOG(GV_LOG_WARN, gv_kmsg("not everything was acknowledged in time; it is fetched again"),
               gv_kuint("limit_ms", limit_ms));
}

static bool never(const source *s)
{
    (void)s;
    return false;
}

static agent_end work(agent *a, gv_error *err)
{
    const agent_wishes *wishes = a->setup.wishes;
    a->watchdog_ms = plat_notify_watchdog_ms();
    GV_LOG(GV_LOG_INFO, gv_kmsg("started"), gv_kstr("version", GAVEL_VERSION),
           gv_kstr("device", a->device), gv_kuint("feeds", source_state(a->source)->feeds),
           gv_kuint("memory_budget_kib", a->budget.total / 1024),
           gv_kuint("pipeline_kib", pipeline_memory_bytes(a->pipeline) / 1024));
    plat_notify("READY=1");
    while (!wishes->stop && !wishes->reload) {
        if (!work_once(a, a->setup.single_pass ? source_finished : never, err))
            return AGENT_FAILED;
        if (a->setup.single_pass && source_finished(a->source))
            return source_state(a->source)->feeds_failed ? AGENT_PARTLY : AGENT_FINISHED;
    }
    wind_down(a, err);
    return wishes->stop ? AGENT_STOPPED : AGENT_RELOAD;
}

static void log_summary(const agent *a)
{
    const source_counts *s = source_state(a->source);
    const pipeline_counts *p = pipeline_state(a->pipeline);
    const forwarder_status *f = forwarder_state(a->forwarder);
    GV_LOG(GV_LOG_INFO, gv_kmsg("stopped"), gv_kuint("requests", s->requests),
           gv_kuint("snapshots", s->snapshots), gv_kuint("not_modified", s->not_modified),
           gv_kuint("broken", s->broken), gv_kuint("failures", s->failures),
           gv_kuint("bytes_in", p->bytes_in), gv_kuint("records_acked", f->records_acked),
           gv_kuint("rejects", p->rejects), gv_kuint("refused", f->records_refused),
           gv_kuint("resent", f->resent), gv_kuint("pauses", p->pauses),
           gv_kuint("peak_memory_kib", plat_peak_memory_kib()));
}

gv_status agent_memory(const gv_config *config, memory_budget *out, gv_error *err)
{
    agent *a = calloc(1, sizeof *a);
    if (!a)
        return gv_fail(err, GV_FULL, "no memory for the agent");
    a->config = config;
    source_config source_settings = make_source_config(a);
    gv_status st = divide_memory(a, &source_settings, err);
    *out = a->budget;
    free(a);
    return st;
}

agent_end agent_run(const agent_setup *setup, gv_error *err)
{
    agent *a = calloc(1, sizeof *a);
    agent_end end = AGENT_FAILED;
    if (!a) {
        gv_fail(err, GV_FULL, "no memory for the agent");
        return end;
    }
    a->setup = *setup;
    a->config = setup->config;
    if (open_all(a, err) == GV_OK) {
        open_board(a);
        end = work(a, err);
        led_close(&a->led);
        if (setup->progress)
            progress_end(source_state(a->source), pipeline_state(a->pipeline),
                         forwarder_state(a->forwarder));
        log_summary(a);
    }
    close_all(a);
    free(a);
    return end;
}
