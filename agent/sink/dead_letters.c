#include "agent/sink/dead_letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELIVERY_MS 10000 /* until librdkafka reports a letter that found no broker */
#define WAIT_MS     15000 /* until we close the producer to have everything reported */
#define QUEUE_BYTES ((size_t)4 * 1024 * 1024)

struct dead_letters {
    kafka_config config;
    const char *topic;
    kafka_producer *producer;
    size_t under_way;
    bool lost;     /* one was not acknowledged */
    bool fatal;    /* the producer must be made anew */
    char why[160]; /* of the first that was not */
};

/* What a letter's opaque points to: one more than the letter, to remember what was tried. */
typedef struct {
    dead_letters *owner;
    sink_dead_letter *letter;
    bool without_value;
    bool refused;
} attempt;

static void delivered(void *ctx, void *opaque, bool acked, kafka_failure failure,
                      const char *reason)
{
    dead_letters *d = ctx;
    attempt *a = opaque;

    d->under_way--;
    if (acked) {
        a->letter->acked = true;
        return;
    }
    if (failure == KAFKA_BAD_RECORD && !a->without_value) {
        a->refused = true;
        return;
    }
    d->fatal = d->fatal || failure == KAFKA_FATAL;
    if (!d->lost) {
        snprintf(d->why, sizeof d->why, "%s", reason ? reason : kafka_failure_name(failure));
    }
    d->lost = true;
}

static gv_status open_producer(dead_letters *d, gv_error *err)
{
    const kafka_producer_events events = { delivered, NULL, d };

    if (d->producer) {
        return GV_OK;
    }
    return kafka_producer_open(&d->config, NULL, &events, &d->producer, err);
}

gv_status dead_letters_open(const kafka_config *config, const char *topic, dead_letters **out,
                            gv_error *err)
{
    dead_letters *d = calloc(1, sizeof *d);

    if (!d) {
        return gv_fail(err, GV_FULL, "not enough memory");
    }
    d->config = *config;
    d->config.delivery_timeout_ms = DELIVERY_MS;
    d->config.queue_bytes = QUEUE_BYTES;
    d->topic = topic;
    gv_status status = open_producer(d, err);
    if (status != GV_OK) {
        free(d);
        return status;
    }
    *out = d;
    return GV_OK;
}

void dead_letters_close(dead_letters *d)
{
    if (d) {
        if (d->producer) {
            kafka_producer_close(d->producer);
        }
        free(d);
    }
}

kafka_producer *dead_letters_producer(dead_letters *d)
{
    return d->producer;
}

static gv_status produce(dead_letters *d, attempt *a, gv_error *err)
{
    const sink_dead_letter *l = a->letter;
    char partition[16], offset[24], schema_id[16];
    kafka_header headers[8];
    size_t n = 0;

    snprintf(partition, sizeof partition, "%" PRId32, l->partition);
    snprintf(offset, sizeof offset, "%" PRId64, l->offset);
    snprintf(schema_id, sizeof schema_id, "%" PRIu32, l->schema_id);
    headers[n++] = (kafka_header){ "reason", gv_span_str(l->reason) };
    headers[n++] = (kafka_header){ "error", gv_span_str(l->error) };
    headers[n++] = (kafka_header){ "topic", gv_span_str(l->topic) };
    headers[n++] = (kafka_header){ "partition", gv_span_str(partition) };
    headers[n++] = (kafka_header){ "offset", gv_span_str(offset) };
    if (l->has_schema) {
        headers[n++] = (kafka_header){ "schema_id", gv_span_str(schema_id) };
    }
    if (a->without_value) {
        headers[n++] = (kafka_header){ "value_omitted", gv_span_str("true") };
    }
    gv_span value = a->without_value ? gv_span_of(NULL, 0) : l->value;
    return kafka_produce_with_headers(d->producer, d->topic, l->key, value, l->timestamp_ms,
                                      headers, n, a, err);
}

/* Waits until everything is reported, by closing the producer if nothing else helps. */
static void settle(dead_letters *d)
{
    for (uint32_t waited = 0; d->under_way != 0 && waited < WAIT_MS; waited += 500) {
        if (kafka_producer_flush(d->producer, 500) == GV_OK) {
            break;
        }
    }
    if (d->under_way != 0 || d->fatal) {
        kafka_producer_close(d->producer);
        d->producer = NULL;
    }
}

static gv_status submit(dead_letters *d, attempt *a, gv_error *err)
{
    gv_status status = produce(d, a, err);

    if (status == GV_FULL) { /* the queue: make room */
        settle(d);
        status = d->producer ? produce(d, a, err) : GV_IO;
    }
    if (status == GV_INVAL && !a->without_value) {
        a->without_value = true;
        status = produce(d, a, err);
    }
    d->under_way += status == GV_OK;
    return status;
}

static gv_status send_all(dead_letters *d, attempt *attempts, size_t count, bool refused_only,
                          gv_error *err)
{
    gv_status status = GV_OK;

    for (size_t i = 0; status == GV_OK && i < count; i++) {
        attempt *a = &attempts[i];
        gv_error why = { 0 };
        if (a->letter->acked || (refused_only && !a->refused)) {
            continue;
        }
        a->without_value = refused_only;
        status = submit(d, a, &why);
        if (status != GV_OK) {
            gv_fail(err, GV_IO, "dead letters to %s: %s", d->topic, why.text);
        }
    }
    settle(d);
    return status;
}

gv_status dead_letters_send(dead_letters *d, sink_dead_letter *letters, size_t count, gv_error *err)
{
    attempt *attempts = calloc(count, sizeof *attempts);
    gv_status status = open_producer(d, err);

    if (!attempts || status != GV_OK) {
        free(attempts);
        return gv_fail(err, GV_IO, "not enough memory");
    }
    d->lost = d->fatal = false;
    bool refused = false;
    for (size_t i = 0; i < count; i++) {
        attempts[i] = (attempt){ d, &letters[i], false, false };
    }
    status = send_all(d, attempts, count, false, err);
    for (size_t i = 0; i < count; i++) {
        refused = refused || attempts[i].refused;
    }
    if (status == GV_OK && refused && d->producer) {
        status = send_all(d, attempts, count, true, err);
    }
    for (size_t i = 0; status == GV_OK && i < count; i++) {
        if (!letters[i].acked) {
            status = gv_fail(err, GV_IO, "dead letters to %s: %s", d->topic,
                             d->why[0] ? d->why : "not acknowledged");
        }
    }
    free(attempts);
    return status == GV_OK ? GV_OK : GV_IO;
}
