/* Updates in Kafka: a record for each target in the compacted topic <prefix>.config. */
#include "agent/commands/owner_internal.h"

#include "platform/clock.h"
#include "platform/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 30000u
#define POLL_MS     100u

typedef struct {
    plat_loop *loop;
    kafka_producer *producer;
    plat_clock clock;
    char topic[CLI_TOPIC_MAX];
    bool is_asked; /* about the topic */
    gv_status topic_status;
    gv_error topic_why;
    gv_error broker_why; /* of the connection, while there is none */
    uint32_t under_way;
    gv_error refused;
    gv_span bytes; /* of the bundle that is sent */
    uint64_t version;
    gv_status status;
    gv_error *err;
} sending;

static void on_delivered(void *ctx, void *opaque, bool acked, kafka_failure failure,
                         const char *reason)
{
    sending *s = ctx;

    (void)opaque;
    (void)failure;
    s->under_way--;
    if (!acked)
        gv_fail(&s->refused, GV_IO, "not acknowledged: %s", reason);
}

static void on_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    sending *s = ctx;

    (void)failure;
    s->broker_why = (gv_error){ 0, "" };
    if (!up)
        gv_fail(&s->broker_why, GV_IO, "%s", text);
}

static void on_topic(void *ctx, gv_status status, const gv_error *err)
{
    sending *s = ctx;

    s->is_asked = true;
    s->topic_status = status;
    s->topic_why = *err;
}

/* Until is_done() or for PATIENCE_MS. */
static bool wait_until(sending *s, bool (*is_done)(const sending *s))
{
    uint64_t until_ms = plat_mono_ms(&s->clock) + PATIENCE_MS;

    while (!is_done(s) && plat_mono_ms(&s->clock) < until_ms) {
        kafka_producer_poll(s->producer);
        if (!is_done(s) && plat_loop_wait(s->loop, POLL_MS, s->err) != GV_OK)
            break;
    }
    return is_done(s);
}

static bool topic_is_told(const sending *s)
{
    return s->is_asked;
}

static bool all_is_told(const sending *s)
{
    return s->under_way == 0;
}

/* Every board reads all of it, and only the newest of each target matters: one compacted partition. */
static gv_status ensure_topic(sending *s, const gv_config *config, gv_error *err)
{
    const kafka_topic topic = { .name = s->topic,
                                .partitions = 1,
                                .replication = (int)config->kafka_replication,
                                .retention_ms = -1,
                                .retention_mib = -1,
                                .compacted = true };
    gv_status status = kafka_topics_ensure(s->producer, &topic, 1, config->kafka_create_topics,
                                           PATIENCE_MS, on_topic, s, err);

    if (status != GV_OK)
        return status;
    if (!wait_until(s, topic_is_told) || s->topic_status != GV_OK)
        return gv_fail(err, s->topic_status == GV_OK ? GV_IO : s->topic_status, "%s: %s",
                       config->kafka_brokers,
                       s->topic_why.text[0]    ? s->topic_why.text
                       : s->broker_why.text[0] ? s->broker_why.text
                                               : "no answer");
    if (s->topic_why.text[0])
        fprintf(stderr, "warning: %s\n", s->topic_why.text);
    return GV_OK;
}

/* --- what is there already ---------------------------------------------------------------------- */
#define PARTITIONS_MAX 16 /* ours has one */

typedef struct {
    const gv_span *files;
    size_t count;
    gv_span key; /* of the record that is looked at */
    gv_span value;
    uint64_t version; /* of its bundle */
    const bundle *fresh;
    gv_span fresh_bytes;
    gv_status status;
    gv_error *err;
} comparing;

static bool compare_target(void *ctx, bundle_target target, const char *name)
{
    comparing *c = ctx;
    char key[BUNDLE_PATH_MAX];

    bundle_record_key(target, name, key);
    if (gv_span_equal(c->key, gv_span_str(key)) && c->version >= c->fresh->version &&
        !gv_span_equal(c->value, c->fresh_bytes))
        c->status =
            gv_fail(c->err, GV_INVAL,
                    "the topic has version %" PRIu64 " for %s already, and boards take only "
                    "higher ones than they have seen: sign version %" PRIu64
                    " again with --version %" PRIu64 " or higher",
                    c->version, key, c->fresh->version, c->version + 1);
    return c->status == GV_OK;
}

/* What is no bundle was not put there by us, and no board takes it. */
static gv_status compare_record(comparing *c, const kafka_message *m)
{
    bundle old, fresh;

    if (bundle_inspect(m->value, &old, NULL) != BUNDLE_GOOD)
        return GV_OK;
    c->key = m->key;
    c->value = m->value;
    c->version = old.version;
    for (size_t i = 0; i < c->count && c->status == GV_OK; i++) {
        c->fresh = &fresh;
        c->fresh_bytes = c->files[i];
        if (bundle_inspect(c->files[i], &fresh, c->err) != BUNDLE_GOOD)
            return GV_CORRUPT;
        bundle_targets(&fresh, compare_target, c);
    }
    return c->status;
}

static bool is_behind(const kafka_partition *partitions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (partitions[i].low < partitions[i].high)
            return true;
    return false;
}

/* Reads the topic to its present end; `low` is moved along to what is to be read next. */
static gv_status compare_all(comparing *c, kafka_consumer *consumer, const char *topic,
                             const plat_clock *clock)
{
    uint64_t until_ms = plat_mono_ms(clock) + PATIENCE_MS;
    kafka_partition partitions[PARTITIONS_MAX];
    gv_error why = { 0, "" };
    size_t count = 0;
    gv_status status =
        kafka_partitions(consumer, topic, PATIENCE_MS, partitions, PARTITIONS_MAX, &count, c->err);

    if (status == GV_OK && count > PARTITIONS_MAX)
        return gv_fail(c->err, GV_INVAL, "%s has %zu partitions: one is enough", topic, count);
    while (status == GV_OK && is_behind(partitions, count)) {
        kafka_message m;
        gv_status got = kafka_consume(consumer, POLL_MS, &m, &why);
        if (plat_mono_ms(clock) >= until_ms || got == GV_INVAL)
            return gv_fail(c->err, GV_IO, "%s cannot be read to its end within %u s: %s", topic,
                           PATIENCE_MS / 1000, why.text[0] ? why.text : "no answer");
        if (got != GV_OK)
            continue;
        for (size_t i = 0; i < count; i++)
            if (partitions[i].partition == m.partition)
                partitions[i].low = m.offset + 1;
        status = compare_record(c, &m);
        kafka_message_free(&m);
    }
    return status;
}

/* GV_INVAL: a target has this version or a higher one. */
static gv_status check_versions(sending *s, const kafka_config *kafka, const gv_span *files,
                                size_t count)
{
    comparing c = { .files = files, .count = count, .status = GV_OK, .err = s->err };
    const char *topic = s->topic;
    kafka_consumer *consumer = NULL;
    char group[64];

    /* A group of its own, which nothing is ever committed for: it is gone when it is left. */
    snprintf(group, sizeof group, "gavel-publish-%ld", (long)getpid());
    gv_status status = kafka_consumer_open(kafka, group, &topic, 1, NULL, NULL, &consumer, s->err);
    if (status != GV_OK)
        return status;
    status = compare_all(&c, consumer, topic, &s->clock);
    kafka_consumer_close(consumer);
    return status;
}

/* --- sending ------------------------------------------------------------------------------------ */
static bool send_target(void *ctx, bundle_target target, const char *name)
{
    sending *s = ctx;
    char key[BUNDLE_PATH_MAX];

    bundle_record_key(target, name, key);
    s->status = kafka_produce(s->producer, s->topic, gv_span_str(key), s->bytes,
                              plat_wall_ms(&s->clock), NULL, s->err);
    if (s->status != GV_OK)
        return false;
    s->under_way++;
    printf("%s, key %s: version %" PRIu64 "\n", s->topic, key, s->version);
    return true;
}

static gv_status send_all(sending *s, const gv_span *files, size_t count)
{
    for (size_t i = 0; i < count && s->status == GV_OK; i++) {
        bundle b;
        if (bundle_inspect(files[i], &b, s->err) != BUNDLE_GOOD)
            return GV_CORRUPT;
        s->bytes = files[i];
        s->version = b.version;
        bundle_targets(&b, send_target, s);
    }
    if (s->status == GV_OK && !wait_until(s, all_is_told))
        return gv_fail(s->err, GV_IO, "the broker has not acknowledged them within %u s: %s",
                       PATIENCE_MS / 1000, s->broker_why.text);
    if (s->status == GV_OK && s->refused.text[0])
        return gv_fail(s->err, GV_IO, "%s", s->refused.text);
    return s->status;
}

static gv_status open_producer(sending *s, const gv_config *config, const kafka_config *kafka)
{
    const kafka_producer_events events = { on_delivered, on_state, s };

    if (snprintf(s->topic, sizeof s->topic, "%s.config", config->kafka_topic_prefix) >=
        (int)sizeof s->topic)
        return gv_fail(s->err, GV_INVAL, "kafka.topic_prefix is too long");
    s->loop = plat_loop_open(s->err);
    return s->loop ? kafka_producer_open(kafka, s->loop, &events, &s->producer, s->err) : GV_IO;
}

gv_status owner_kafka_publish(const gv_config *config, const gv_span *files, size_t count,
                              gv_error *err)
{
    sending s = { .clock = plat_clock_system(0), .err = err };
    kafka_property *properties = calloc(config->kafka_properties.count + 1, sizeof *properties);

    if (!properties)
        return gv_fail(err, GV_FULL, "no memory for the connection to Kafka");
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, 2); /* the outcome is told in our own words */
    kafka_config kafka = cli_kafka_config(config, "gavel-publish", properties);
    kafka.queue_bytes = 2 * OWNER_FILES_MAX * BUNDLE_BYTES_MAX;
    kafka.queue_records = OWNER_FILES_MAX * BUNDLE_TARGETS_MAX;
    gv_status status = open_producer(&s, config, &kafka);
    if (status == GV_OK)
        status = ensure_topic(&s, config, err);
    if (status == GV_OK)
        status = check_versions(&s, &kafka, files, count);
    if (status == GV_OK)
        status = send_all(&s, files, count);
    if (s.producer)
        kafka_producer_close(s.producer);
    if (s.loop)
        plat_loop_close(s.loop);
    free(properties);
    return status;
}
