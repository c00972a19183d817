#include "agent/sink/run.h"

#include "agent/sink/dead_letters.h"
#include "platform/log.h"
#include "platform/notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINGER_MS      200u /* a batch is stored at the latest so long after its first message */
#define SLICE_MS       200u /* longest wait in which no signal is looked at */
#define LOOK_EACH      256u /* messages between two looks at signals */
#define WAIT_MIN_MS    250u
#define WAIT_MAX_MS    30000u
#define VERIFY_MS      2000u  /* for verdicts, before records have their turn again */
#define BROKER_MS      10000u /* for an answer of the broker about offsets or topics */
#define STATUS_EACH_MS 10000u
#define FETCH_BYTES    ((size_t)8 * 1024 * 1024)
#define FETCH_RECORDS  20000u

typedef struct {
    const sink_run_config *config;
    sink *sink;
    dead_letters *letters;
    kafka_consumer *consumer;
    kafka_message held; /* one that the sink could not take yet */
    bool has_held;
    bool started;     /* sink_start() has succeeded */
    bool caught_up;   /* the last kafka_consume() had nothing */
    bool waiting;     /* something is away, and said so */
    uint32_t wait_ms; /* the present back-off */
    uint64_t since_ms;
    uint64_t idle_due_ms;
    uint64_t status_due_ms;
    uint64_t watchdog_ms; /* 0: none */
    uint64_t watchdog_due_ms;
    bool topics_answered;
    gv_status topics_status;
    gv_error topics_error;
} runner;

static uint64_t now_ms(const runner *r)
{
    return plat_mono_ms(r->config->clock);
}

static bool stopping(const runner *r)
{
    return *r->config->stop;
}

/* --- what a person and systemd see --- */

static void tell(runner *r)
{
    const sink_counts *c = sink_counted(r->sink);
    uint64_t now = now_ms(r);
    char text[240];

    if (r->watchdog_ms != 0 && now >= r->watchdog_due_ms) {
        plat_notify("WATCHDOG=1");
        r->watchdog_due_ms = now + r->watchdog_ms;
    }
    if (now < r->status_due_ms) {
        return;
    }
    snprintf(text, sizeof text,
             "STATUS=%s: %" PRIu64 " documents stored, %" PRIu64 " snapshots complete, %" PRIu64
             " incomplete, %" PRIu64 " with a gap, %" PRIu64 " dead letters",
             r->waiting ? "waiting" : "running", c->added, c->complete, c->incomplete, c->gaps,
             c->dead_letters);
    plat_notify(text);
    r->status_due_ms = now + STATUS_EACH_MS;
}

static void look_at_signals(runner *r)
{
    plat_loop_wait(r->config->loop, 0, NULL);
    kafka_producer *p = dead_letters_producer(r->letters);
    if (p) {
        kafka_producer_poll(p);
    }
    tell(r);
}

static void went_well(runner *r)
{
    if (r->waiting) {
        GV_LOG(GV_LOG_INFO, gv_kmsg("going on"), gv_kuint("after_ms", now_ms(r) - r->since_ms));
    }
    r->waiting = false;
    r->wait_ms = 0;
}

/* Says once what is in the way, then waits a while as a quiet member of the group. */
static void wait_for_it(runner *r, const gv_error *err)
{
    GV_LOG(r->waiting ? GV_LOG_DEBUG : GV_LOG_WARN, gv_kmsg("waiting"), gv_kstr("for", err->text));
    if (!r->waiting) {
        r->since_ms = now_ms(r);
        r->status_due_ms = 0;
    }
    r->waiting = true;
    r->wait_ms = r->wait_ms == 0 ? WAIT_MIN_MS : r->wait_ms * 2;
    if (r->wait_ms > WAIT_MAX_MS) {
        r->wait_ms = WAIT_MAX_MS;
    }
    uint64_t until = now_ms(r) + r->wait_ms;
    while (!stopping(r) && now_ms(r) < until) {
        uint64_t left = until - now_ms(r);
        uint32_t slice = left < SLICE_MS ? (uint32_t)left : SLICE_MS;
        if (r->consumer) {
            kafka_consumer_idle(r->consumer, slice, NULL);
        } else {
            plat_loop_wait(r->config->loop, slice, NULL);
        }
        look_at_signals(r);
    }
}

/* --- what the sink asks of the outside --- */

static gv_status send_letters(void *ctx, sink_dead_letter *letters, size_t count, gv_error *err)
{
    runner *r = ctx;

    return dead_letters_send(r->letters, letters, count, err);
}

static gv_status commit(void *ctx, const kafka_position *positions, size_t count, gv_error *err)
{
    runner *r = ctx;

    return kafka_commit(r->consumer, positions, count, err);
}

static gv_status progress(void *ctx, const char *topic, kafka_partition *out, size_t cap,
                          size_t *count, gv_error *err)
{
    runner *r = ctx;

    return kafka_partitions(r->consumer, topic, BROKER_MS, out, cap, count, err);
}

static gv_status fetch_schema(void *ctx, uint32_t id, void (*take)(void *arg, const char *text),
                              void *arg, gv_error *err)
{
    runner *r = ctx;

    return r->config->schema(r->config->schema_ctx, id, take, arg, err);
}

/* --- partitions come and go --- */

static void drop_held(runner *r)
{
    if (r->has_held) {
        kafka_message_free(&r->held);
        r->has_held = false;
    }
}

static void rebalanced(void *ctx, bool assigned, bool lost, const kafka_position *partitions,
                       size_t count)
{
    runner *r = ctx;
    gv_error err = { 0 };

    GV_LOG(GV_LOG_INFO, gv_kmsg(assigned ? "partitions assigned" : "partitions taken away"),
           gv_kuint("partitions", count));
    if (assigned) {
        return;
    }
    if (!lost && !r->waiting && sink_flush(r->sink, &err) != GV_OK) {
        GV_LOG(GV_LOG_WARN, gv_kmsg("left to the next owner"), gv_kstr("error", err.text));
    }
    sink_forget(r->sink, partitions, count);
    for (size_t i = 0; r->has_held && i < count; i++) {
        if (r->held.partition == partitions[i].partition &&
            strcmp(r->held.topic, partitions[i].topic) == 0) {
            drop_held(r);
        }
    }
}

/* --- the work --- */

/* Offers the message at hand to the sink. GV_OK: taken. */
static gv_status offer(runner *r, gv_error *err)
{
    gv_status status = sink_add(r->sink, &r->held, err);

    if (status == GV_OK) {
        drop_held(r);
    }
    return status;
}

/* Fills the batch. GV_OK: time to store it; GV_IO: something is away; GV_INVAL: it is over. */
static gv_status collect(runner *r, gv_error *err)
{
    uint64_t deadline = now_ms(r) + LINGER_MS;

    for (unsigned n = 1; !stopping(r); n++) {
        if (r->has_held) {
            gv_status status = offer(r, err);
            if (status == GV_FULL) {
                return GV_OK;
            }
            if (status != GV_OK) {
                return status;
            }
        }
        if (n % LOOK_EACH == 0) {
            look_at_signals(r);
        }
        uint64_t now = now_ms(r);
        if (now >= deadline) {
            return GV_OK;
        }
        uint32_t left = (uint32_t)(deadline - now);
        gv_status status = kafka_consume(r->consumer, left, &r->held, err);
        r->has_held = status == GV_OK;
        r->caught_up = status == GV_AGAIN;
        if (status == GV_IO) { /* the broker; librdkafka goes on trying */
            GV_LOG(GV_LOG_WARN, gv_kmsg("Kafka"), gv_kstr("state", err->text));
            *err = (gv_error){ 0 };
        } else if (status == GV_INVAL) {
            return status;
        }
    }
    return GV_OK;
}

/* Everything there is to be done? Asks the broker, so not too often. */
static gv_status check_idle(runner *r, gv_error *err)
{
    if (now_ms(r) < r->idle_due_ms) {
        return GV_AGAIN;
    }
    r->idle_due_ms = now_ms(r) + SLICE_MS;
    return sink_idle(r->sink, err);
}

/* One turn: collect, store, commit, verify. GV_OK: idle, when that was asked for. */
static gv_status turn(runner *r, gv_error *err)
{
    gv_status status = GV_OK;

    if (!r->started) {
        status = sink_start(r->sink, err);
        r->started = status == GV_OK;
    }
    /* After a failure the batch may be half stored: it takes nothing more until it is safe. */
    if (status == GV_OK && !(r->waiting && sink_held(r->sink) != 0)) {
        status = collect(r, err);
    }
    if (status == GV_INVAL) {
        return status;
    }
    if (stopping(r) && r->waiting) {
        return GV_AGAIN;
    }
    size_t held = sink_held(r->sink);
    uint64_t start = now_ms(r);
    gv_status flushed = sink_flush(r->sink, status == GV_OK ? err : NULL);
    if (held != 0 && flushed == GV_OK) {
        GV_LOG(GV_LOG_DEBUG, gv_kmsg("batch stored"), gv_kuint("messages", held),
               gv_kuint("ms", now_ms(r) - start));
    }
    if (status == GV_OK) {
        status = flushed;
    }
    if (status != GV_OK || stopping(r)) {
        return status == GV_OK ? GV_AGAIN : status;
    }
    uint64_t until = now_ms(r) + VERIFY_MS;
    do {
        status = sink_verify(r->sink, r->caught_up && !r->has_held, err);
        look_at_signals(r);
    } while (status == GV_AGAIN && sink_busy(r->sink) && !stopping(r) && now_ms(r) < until);
    if (status == GV_OK && r->config->until_idle && r->caught_up && !r->has_held) {
        return check_idle(r, err);
    }
    return status == GV_OK ? GV_AGAIN : status;
}

static gv_status work(runner *r, gv_error *err)
{
    while (!stopping(r)) {
        gv_error why = { 0 };
        gv_status status = turn(r, &why);
        look_at_signals(r);
        if (status == GV_OK) {
            return GV_OK;
        }
        if (status == GV_INVAL) {
            return gv_fail(err, GV_INVAL, "%s", why.text);
        }
        if (status == GV_AGAIN) {
            went_well(r);
        } else {
            wait_for_it(r, &why);
        }
    }
    if (!r->waiting) {
        sink_flush(r->sink, NULL); /* best effort: what stays is read again */
    }
    return GV_OK;
}

/* --- starting --- */

static void topics_answered(void *ctx, gv_status status, const gv_error *err)
{
    runner *r = ctx;

    r->topics_answered = true;
    r->topics_status = status;
    r->topics_error = *err;
}

static gv_status ask_about_topics(runner *r, gv_error *err)
{
    const sink_run_config *c = r->config;
    kafka_producer *p = dead_letters_producer(r->letters);

    r->topics_answered = false;
    gv_status status = kafka_topics_ensure(p, c->ensure, c->ensure_count, c->create_topics,
                                           BROKER_MS, topics_answered, r, err);
    while (status == GV_OK && !r->topics_answered && !stopping(r)) {
        plat_loop_wait(c->loop, 50, NULL);
        look_at_signals(r);
    }
    return status != GV_OK ? status : stopping(r) ? GV_OK : r->topics_status;
}

/* Waits for the broker; a consumer of topics that are not there would look for them only rarely. */
static void ensure_topics(runner *r)
{
    while (!stopping(r)) {
        gv_error err = { 0 };
        gv_status status = ask_about_topics(r, &err);
        const char *text = err.text[0] ? err.text : r->topics_error.text;
        if (status == GV_OK) {
            if (text[0]) {
                GV_LOG(GV_LOG_WARN, gv_kmsg("topics"), gv_kstr("warning", text));
            }
            went_well(r);
            return;
        }
        if (status == GV_INVAL) {
            GV_LOG(GV_LOG_ERROR, gv_kmsg("topics are not as they should be"),
                   gv_kstr("error", text));
            return;
        }
        gv_error why = { 0 };
        gv_fail(&why, status, "%s", text);
        wait_for_it(r, &why);
    }
}

static gv_status open_all(runner *r, gv_error *err)
{
    const sink_run_config *c = r->config;
    const sink_config config = { c->store,         c->clock,       c->topics, c->topic_count,
                                 c->batch_records, c->batch_bytes, 0 };
    const sink_outside outside = { fetch_schema, send_letters, commit, progress, r };
    const char *names[SINK_TOPICS_MAX];
    kafka_config kafka = c->kafka;

    gv_status status = sink_open(&config, &outside, &r->sink, err);
    if (status == GV_OK) {
        status = dead_letters_open(&c->kafka, c->dead_letter_topic, &r->letters, err);
    }
    if (status != GV_OK) {
        return status;
    }
    ensure_topics(r);
    if (stopping(r)) {
        return GV_OK;
    }
    for (size_t i = 0; i < c->topic_count; i++) {
        names[i] = c->topics[i].name;
    }
    kafka.queue_bytes = FETCH_BYTES;
    kafka.queue_records = FETCH_RECORDS;
    return kafka_consumer_open(&kafka, c->group, names, c->topic_count, rebalanced, r, &r->consumer,
                               err);
}

gv_status sink_run(const sink_run_config *config, sink_counts *counts, gv_error *err)
{
    runner r = { .config = config, .watchdog_ms = plat_notify_watchdog_ms() };

    plat_notify("READY=1");
    gv_status status = open_all(&r, err);
    if (status == GV_OK && r.consumer) {
        status = work(&r, err);
    }
    plat_notify("STOPPING=1");
    drop_held(&r);
    if (r.consumer) {
        r.waiting = true; /* nothing more is stored while the consumer says good-bye */
        kafka_consumer_close(r.consumer);
    }
    if (r.sink) {
        *counts = *sink_counted(r.sink);
    }
    dead_letters_close(r.letters);
    sink_close(r.sink);
    return status;
}
