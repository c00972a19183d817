#include "agent/tools/replay.h"

#include "agent/cli/cli.h"
#include "agent/forward/forwarder.h"
#include "agent/registry/registry.h"
#include "gavel_version.h"
#include "platform/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS             200u                 /* for the progress line */
#define KAFKA_QUEUE_BYTES   ((size_t)256 * 1024) /* as measured for the agent: no more is gained */
#define KAFKA_QUEUE_RECORDS 1000u

typedef struct {
    const gv_config *config;
    const filter *filter;
    scan scan;
    bar bar;
    cli_topics topics;
    kafka_property *properties;
    registry_schema schemas[SCAN_SCHEMAS];
    plat_loop *loop;
    http_client *http;
    registry *registry;
    forwarder *forwarder;
    batch batches[REPLAY_BATCHES];
    void *memory; /* of the batches */
    batch *free;
    uint32_t spooled[REPLAY_BATCHES]; /* of how many in the spool each was made */
    batch found;                      /* the next one to be taken, in the scan's memory */
    bool has_found;
    batch *held;  /* filled, and to be submitted next */
    uint32_t out; /* with the forwarder */
    bool at_end;
    bool stop;
    replay_counts *counts;
} replay;

bool replay_can_send(const scan *s, const batch *b, replay_counts *counts)
{
    if (b->kind == BATCH_LEDGER || scan_schema(s, b->fingerprint))
        return true;
    counts->other_schema += b->records;
    return false;
}

/* --- what the parts tell -------------------------------------------------------------------------- */

static void on_signal(void *arg, int signal_number)
{
    (void)signal_number;
    ((replay *)arg)->stop = true;
}

static void on_id(void *ctx)
{
    (void)ctx; /* the loop asks the forwarder again anyway */
}

static gv_status schema_id(void *ctx, const char *topic, uint64_t fingerprint, uint32_t *id)
{
    return registry_id(((replay *)ctx)->registry, topic, fingerprint, id);
}

static void give_back(replay *r, batch *b)
{
    b->next = r->free;
    r->free = b;
}

static void on_done(void *ctx, batch *b, uint32_t refused)
{
    replay *r = ctx;

    r->out--;
    r->counts->batches += r->spooled[b - r->batches];
    r->counts->records[b->kind] += b->records - refused;
    r->counts->refused += refused;
    give_back(r, b);
}

/* --- parts ---------------------------------------------------------------------------------------- */

static gv_status open_batches(replay *r, gv_error *err)
{
    r->memory = malloc(REPLAY_BATCHES * SCAN_PAYLOAD_BYTES);
    r->properties = calloc(r->config->kafka_properties.count + 1, sizeof *r->properties);
    if (!r->memory || !r->properties)
        return gv_fail(err, GV_FULL, "no memory for %u batches", REPLAY_BATCHES);
    for (size_t i = 0; i < REPLAY_BATCHES; i++) {
        r->batches[i].bytes =
            gv_buf_of((uint8_t *)r->memory + i * SCAN_PAYLOAD_BYTES, SCAN_PAYLOAD_BYTES);
        give_back(r, &r->batches[i]);
    }
    return GV_OK;
}

/* Ids are asked for anew each time: nothing is written on this machine. */
static gv_status open_registry(replay *r, gv_error *err)
{
    registry_config config = cli_registry_config(r->config);

    r->http = http_open(r->loop, &r->scan.clock, 1, "gavel-replay/" GAVEL_VERSION, err);
    if (!r->http)
        return GV_FULL;
    for (int i = 0; i < SCAN_SCHEMAS; i++)
        r->schemas[i] = (registry_schema){
            r->scan.schemas[i].fingerprint, r->scan.texts[i], r->scan.schemas[i].root->full_name,
            r->topics.names[i == SCAN_AUCTION ? BATCH_AUCTIONS : BATCH_REJECTS], NULL
        };
    return registry_open(&config, r->http, &r->scan.fs, &r->scan.clock, r->schemas, SCAN_SCHEMAS,
                         on_id, r, &r->registry, err);
}

static gv_status open_forwarder(replay *r, gv_error *err)
{
    const forwarder_events events = { schema_id, on_done, r };
    forwarder_config config = {
        .kafka = cli_kafka_config(r->config, "gavel-replay", r->properties),
        .ensure = r->topics.shapes,
        .ensure_count = BATCH_KINDS,
        .create_topics = r->config->kafka_create_topics,
        .retry_min_ms = 250,
        .retry_max_ms = 30000,
    };

    for (int kind = 0; kind < BATCH_KINDS; kind++)
        config.topics[kind] = r->topics.names[kind];
    config.kafka.queue_bytes = KAFKA_QUEUE_BYTES;
    config.kafka.queue_records = KAFKA_QUEUE_RECORDS;
    return forwarder_open(&config, r->loop, &r->scan.clock, &events, &r->forwarder, err);
}

static gv_status open_all(replay *r, const char *dir, gv_error *err)
{
    static const int signals[] = { SIGTERM, SIGINT };
    gv_status status = cli_name_topics(r->config, &r->topics, err);

    if (status == GV_OK)
        status = scan_open(&r->scan, dir, SCAN_SEGMENTS, err);
    r->bar = r->scan.bar; /* one for reading and sending */
    r->scan.bar.shown = false;
    if (status == GV_OK && !(r->loop = plat_loop_open(err)))
        status = GV_IO;
    if (status == GV_OK)
        status = plat_loop_signals(r->loop, signals, 2, on_signal, r, err);
    if (status == GV_OK)
        status = open_batches(r, err);
    if (status == GV_OK)
        status = open_registry(r, err);
    return status == GV_OK ? open_forwarder(r, err) : status;
}

static void close_all(replay *r)
{
    if (r->forwarder)
        forwarder_close(r->forwarder);
    if (r->registry)
        registry_close(r->registry);
    if (r->http)
        http_close(r->http);
    if (r->loop)
        plat_loop_close(r->loop);
    scan_close(&r->scan);
    free(r->properties);
    free(r->memory);
}

/* --- sending -------------------------------------------------------------------------------------- */

/* The next batch that can be sent, to be looked at; GV_AGAIN at the end. It stays the next one until it is
 * taken. */
static gv_status find_next(replay *r, gv_error *err)
{
    spool_item item;

    while (!r->has_found && !r->at_end) {
        gv_status status = scan_next_batch(&r->scan, r->filter, &item, &r->found, err);
        r->at_end = status == GV_AGAIN;
        if (status != GV_OK)
            return status;
        r->has_found = replay_can_send(&r->scan, &r->found, r->counts);
    }
    return r->has_found ? GV_OK : GV_AGAIN;
}

static void take_found(replay *r, batch *b)
{
    gv_buf_put(&b->bytes, r->found.bytes.data, r->found.bytes.len);
    b->records += r->found.records;
    r->spooled[b - r->batches]++;
    r->has_found = false;
}

/* Whether the found batch may travel in b: a few large ones keep the broker busier than many small. */
static bool goes_along(const replay *r, const batch *b)
{
    const batch *f = &r->found;

    return f->kind == b->kind && f->kind != BATCH_LEDGER && f->fingerprint == b->fingerprint &&
           snapshot_equal(&f->snapshot, &b->snapshot) &&
           f->bytes.len <= b->bytes.cap - b->bytes.len;
}

/* Fills a free batch as `held`; GV_AGAIN when there is nothing left for it. */
static gv_status fill_one(replay *r, gv_error *err)
{
    gv_status status = find_next(r, err);

    if (status != GV_OK)
        return status;
    batch *b = r->free;
    r->free = b->next;
    batch_start(b, r->found.kind, &r->found.snapshot, r->found.fingerprint);
    r->spooled[b - r->batches] = 0;
    do {
        take_found(r, b);
        status = find_next(r, err);
    } while (status == GV_OK && goes_along(r, b));
    r->held = b;
    return status == GV_AGAIN ? GV_OK : status;
}

/* A ledger entry proves what must be there before it. */
static bool may_go(const replay *r)
{
    return r->held->kind != BATCH_LEDGER || r->out == 0;
}

/* Hands on what there is room for. */
static gv_status feed(replay *r, gv_error *err)
{
    while (r->held || r->free) {
        gv_status status = r->held ? GV_OK : fill_one(r, err);
        if (status != GV_OK)
            return status == GV_AGAIN ? GV_OK : status;
        if (!may_go(r))
            return GV_OK;
        batch *b = r->held;
        r->held = NULL;
        r->out++;
        forwarder_submit(r->forwarder, b);
    }
    return GV_OK;
}

static void show_progress(replay *r, uint64_t now_ms)
{
    const forwarder_status *f = forwarder_state(r->forwarder);
    char text[256];

    if (!bar_due(&r->bar, now_ms))
        return;
    snprintf(text, sizeof text, "%" PRIu64 " records acknowledged  %.80s  %.80s", f->records_acked,
             f->up ? "" : f->text, registry_state(r->registry));
    bar_draw(&r->bar, r->scan.done_bytes, spool_reader_bytes(r->scan.reader), now_ms, text);
}

static bool has_more(const replay *r)
{
    return !r->at_end || r->has_found || r->held;
}

static gv_status work(replay *r, gv_error *err)
{
    gv_status status = GV_OK;

    while (!r->stop && status == GV_OK) {
        status = feed(r, err);
        if (status != GV_OK || (!has_more(r) && r->out == 0))
            return status;
        uint64_t due_ms = registry_tick(r->registry);
        uint64_t forwarder_ms = forwarder_tick(r->forwarder);
        uint64_t http_ms = http_tick(r->http);
        uint64_t now_ms = plat_mono_ms(&r->scan.clock);
        due_ms = forwarder_ms < due_ms ? forwarder_ms : due_ms;
        due_ms = http_ms < due_ms ? http_ms : due_ms;
        show_progress(r, now_ms);
        if (r->held ? may_go(r) : r->free && has_more(r))
            due_ms = now_ms; /* batches came back */
        uint64_t wait_ms = due_ms <= now_ms ? 0 : due_ms - now_ms;
        status = plat_loop_wait(r->loop, (int64_t)(wait_ms < WAIT_MS ? wait_ms : WAIT_MS), err);
    }
    return status;
}

gv_status replay_run(const gv_config *config, const char *dir, const filter *f,
                     replay_counts *counts, bool *is_all, gv_error *err)
{
    replay *r = calloc(1, sizeof *r);

    *is_all = false;
    if (!r)
        return gv_fail(err, GV_FULL, "no memory for a replay");
    r->config = config;
    r->filter = f;
    r->counts = counts;
    gv_log_configure(GV_LOG_WARN, (gv_log_format)config->log_format, 2);
    gv_status status = open_all(r, dir, err);
    if (status == GV_OK)
        status = work(r, err);
    bar_clear(&r->bar);
    if (status == GV_OK) {
        *is_all = !has_more(r) && r->out == 0;
        if (!*is_all)
            fprintf(stderr, "gavel: stopped before the end; what is not acknowledged may have "
                            "arrived or not\n");
        *is_all = !scan_tell_losses(&r->scan) && *is_all;
    }
    close_all(r);
    free(r);
    return status;
}
