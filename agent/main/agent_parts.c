#include "agent/cli/cli_update.h"
#include "agent/main/agent_internal.h"
#include "gavel_version.h"
#include "schema_auction.h"
#include "schema_reject.h"

#include <stdio.h>
#include <stdlib.h>

/* --- configuration to contracts --------------------------------------------------------------- */

static gv_status name_things(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    cli_device(c, a->device);
    gv_status status = cli_name_topics(c, &a->topics, err);
    if (status == GV_OK)
        status = cli_status_topic(c, a->status_topic, &a->status_shape, err);
    if (status != GV_OK)
        return status;
    if (snprintf(a->cursor_dir, PLAT_PATH_MAX, "%s/cursors", c->state_dir) >= PLAT_PATH_MAX ||
        snprintf(a->cache_path, PLAT_PATH_MAX, "%s/registry.json", c->state_dir) >= PLAT_PATH_MAX ||
        snprintf(a->shelf_dir, PLAT_PATH_MAX, "%s/schemas", c->state_dir) >= PLAT_PATH_MAX ||
        snprintf(a->history_path, PLAT_PATH_MAX, "%s/history", c->state_dir) >= PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "state_dir is too long");
    status = cli_spool_dir(c, a->spool_dir, err);
    if (status != GV_OK)
        return status;
    return a->fs.make_dir(a->fs.ctx, c->state_dir, err);
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

static outlet_config make_outlet_config(const agent *a)
{
    const gv_config *c = a->config;
    return (outlet_config){
        .fs = &a->fs,
        .clock = a->setup.clock,
        .enabled = c->spool_enabled,
        .dir = a->spool_dir,
        .batch_bytes = (size_t)c->memory_batch_kib * 1024,
        .after_ms = (uint32_t)c->spool_after_ms,
        .backpressure_ms = (uint32_t)c->spool_backpressure_ms,
        .commit_ms = (uint32_t)c->spool_commit_ms,
        .segment_bytes = (uint32_t)c->spool_segment_kib * 1024,
        .quota_bytes = (uint64_t)c->spool_quota_mib << 20,
        .reserve_bytes = (uint64_t)c->spool_reserve_mib << 20,
        .quarantine_bytes = (uint64_t)c->spool_quarantine_mib << 20,
        .policy = (outlet_policy)c->spool_policy,
        .topic = a->topics.names[BATCH_AUCTIONS],
        .device = a->device,
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
    outlet_on_batch_done(a->outlet, b, refused);
}

static gv_status open_pipeline(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    pipeline_config config = {
        .auction_schema = gv_span_of(schema_auction, schema_auction_bytes),
        .reject_schema = gv_span_of(schema_reject, schema_reject_bytes),
        .topics = { a->topics.names[BATCH_AUCTIONS], a->topics.names[BATCH_REJECTS],
                    a->topics.names[BATCH_LEDGER] },
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
    /* Two more than snapshots: the token or the realm index, and the registry; and the updates. */
    unsigned slots =
        (unsigned)a->config->api_max_transfers + 2 + (agent_update_memory_bytes(a->config) ? 1 : 0);
    a->http = http_open(a->setup.loop, a->setup.clock, slots, "gavel/" GAVEL_VERSION, err);
    return a->http ? GV_OK : GV_FULL;
}

/* A spool that cannot be opened may hold batches in older schemas, too. */
static gv_status open_shelf(agent *a, gv_error *err)
{
    static const char *const names[SHELF_CURRENT_MAX] = { "auctions", "rejects" };
    const spool_state *held = outlet_spool(a->outlet);
    const schema_shelf_config config = { .fs = &a->fs,
                                         .clock = a->setup.clock,
                                         .dir = a->shelf_dir,
                                         .names = names,
                                         .current = a->schemas,
                                         .count = SHELF_CURRENT_MAX,
                                         .waiting = !held || held->batches > 0 };
    return schema_shelf_open(&config, &a->shelf, err);
}

/* After the outlet, which knows whether anything waits in the spool. */
static gv_status open_registry(agent *a, gv_error *err)
{
    const char *const texts[] = { schema_auction, schema_reject };
    size_t count;
    for (int kind = BATCH_AUCTIONS; kind <= BATCH_REJECTS; kind++)
        a->schemas[kind] =
            (registry_schema){ pipeline_fingerprint(a->pipeline, (batch_kind)kind), texts[kind],
                               pipeline_record_name(a->pipeline, (batch_kind)kind),
                               a->topics.names[kind], NULL };
    gv_status st = open_shelf(a, err);
    if (st != GV_OK)
        return st;
    const registry_schema *schemas = schema_shelf_list(a->shelf, &count);
    registry_config config = cli_registry_config(a->config);
    config.cache_path = a->cache_path;
    return registry_open(&config, a->http, &a->fs, a->setup.clock, schemas, count, ignore_id, a,
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
        .topics = { a->topics.names[BATCH_AUCTIONS], a->topics.names[BATCH_REJECTS],
                    a->topics.names[BATCH_LEDGER] },
        .ensure = a->topics.shapes,
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

/* The sum of what all parts may take, before there is any. */
static gv_status divide_memory(agent *a, const source_config *source_settings, gv_error *err)
{
    const gv_config *c = a->config;
    outlet_config spooling = make_outlet_config(a);
    uint32_t batches = c->memory_batches ? (uint32_t)c->memory_batches : PIPELINE_BATCHES_ENOUGH;
    size_t spool_bytes = outlet_memory_bytes(&spooling, batches);
    if (spool_bytes == SIZE_MAX)
        return gv_fail(err, GV_INVAL, "spool.segment_kib and memory.batch_kib do not fit together");
    spool_bytes += schema_shelf_memory_bytes();
    a->feeds_max = source_feeds_max(source_settings);
    return budget_divide((size_t)c->memory_budget_kib * 1024, (unsigned)c->api_max_transfers,
                         source_memory_bytes(source_settings), spool_bytes,
                         sizeof(status_past) + agent_web_memory_bytes(c, a->feeds_max),
                         agent_update_memory_bytes(c), &a->budget, err);
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

static gv_status open_outlet(agent *a, gv_error *err)
{
    outlet_config config = make_outlet_config(a);
    const outlet_events events = pipeline_outlet_events(a->pipeline);
    return outlet_open(&config, pipeline_pool(a->pipeline), a->forwarder, &events, &a->outlet, err);
}

gv_status agent_open_parts(agent *a, gv_error *err)
{
    a->fs = fs_count_table(&a->written, a->setup.fs);
    gv_status st = name_things(a, err);
    source_config source_settings = make_source_config(a);
    if (st == GV_OK)
        st = divide_memory(a, &source_settings, err);
    if (st == GV_OK)
        st = open_pipeline(a, err);
    if (st == GV_OK)
        st = open_http(a, err);
    if (st == GV_OK)
        st = open_forwarder(a, err);
    if (st == GV_OK)
        st = open_outlet(a, err);
    if (st == GV_OK)
        st = open_registry(a, err);
    if (st == GV_OK) {
        const source_events events = pipeline_source_events(a->pipeline);
        st = source_open(&source_settings, a->http, &a->fs, a->setup.clock, &events, &a->source,
                         err);
    }
    if (st == GV_OK)
        pipeline_attach(a->pipeline, a->source, a->outlet);
    return st == GV_OK ? agent_update_start(a, err) : st;
}

void agent_close_parts(agent *a)
{
    agent_web_close(a); /* first: it looks at all others */
    agent_update_stop(a);
    if (a->source)
        source_stop(a->source);
    if (a->forwarder)
        forwarder_close(a->forwarder);
    outlet_close(a->outlet);
    source_close(a->source);
    registry_close(a->registry);
    schema_shelf_close(a->shelf);
    http_close(a->http);
    pipeline_close(a->pipeline);
    free(a->properties);
}
