#include "agent/net/kafka_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOSE_TIMEOUT_MS 5000

int64_t kafka_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void kafka_producer_wake(kafka_producer *p)
{
    if (p->wake[1] >= 0 && write(p->wake[1], "w", 1) < 0)
        return; /* the pipe is full of wake-ups */
}

/* --- on librdkafka's threads --------------------------------------------------------------------- */

/* Nothing else says that a broker is back while there is nothing to send. */
static rd_kafka_resp_err_t on_broker(rd_kafka_t *rk, int32_t id, const char *protocol,
                                     const char *name, int port, const char *state, void *opaque)
{
    kafka_producer *p = opaque;
    uint32_t hash = (uint32_t)port;

    (void)rk, (void)id, (void)protocol;
    for (; *name != '\0'; name++)
        hash = hash * 31 + (unsigned char)*name;
    uint64_t bit = UINT64_C(1) << hash % 64;
    if (strcmp(state, "UP") != 0 && strcmp(state, "UPDATE") != 0 && strcmp(state, "REAUTH") != 0) {
        atomic_fetch_and(&p->up_mask, ~bit);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    atomic_fetch_or(&p->up_mask, bit);
    if (!atomic_exchange(&p->came_up, true))
        kafka_producer_wake(p);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque,
                                  char *why, size_t cap)
{
    (void)conf, (void)why, (void)cap;
    return rd_kafka_interceptor_add_on_broker_state_change(rk, "gavel", on_broker, opaque);
}

/* --- callbacks, all from within rd_kafka_poll() or rd_kafka_flush() ------------------------------ */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    kafka_producer *p = opaque;
    char text[KAFKA_TEXT_MAX];

    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (!p->link.up && !p->is_fatal)
            kafka_link_up(&p->link, p->events.state, p->events.ctx);
        p->events.delivered(p->events.ctx, message->_private, true, KAFKA_RETRY, NULL);
        return;
    }
    kafka_describe(message->err, NULL, rd_kafka_topic_name(message->rkt), "write", text);
    p->events.delivered(p->events.ctx, message->_private, false, kafka_classify(message->err),
                        text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kafka_producer *p = opaque;
    char text[KAFKA_TEXT_MAX], words[KAFKA_TEXT_MAX];

    if (p->is_fatal)
        return;
    if (code != RD_KAFKA_RESP_ERR__FATAL) {
        kafka_link_error(&p->link, (rd_kafka_resp_err_t)code, reason, p->events.state,
                         p->events.ctx);
        return;
    }
    kafka_describe(rd_kafka_fatal_error(rk, words, sizeof words), words, NULL, "", text);
    snprintf(words, sizeof words, "the producer has to start anew: %.200s", text);
    p->is_fatal = true;
    if (p->events.state)
        p->events.state(p->events.ctx, false, KAFKA_FATAL, words);
}

static void on_wake(void *arg, int fd, unsigned events)
{
    char bytes[64];

    (void)events;
    while (read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
        ;
    kafka_producer_poll(arg);
}

/* --- opening ------------------------------------------------------------------------------------- */

/* Chosen by measurement (tests/bench/bench_forward.c --rtt-ms): requests of 16 KiB keep memory small,
 * and two under way double what a slow link carries. Not more than two, and not less lingering:
 * librdkafka 2.8 has one request under way for a partition, and while a record waits for that longer
 * than linger.ms and a place is free, its broker thread spins. (30-90 CPU s per million records
 * were seen, instead of 1.5, with a round trip of 20 ms.) */
static gv_status configure(rd_kafka_conf_t *conf, const kafka_config *config, gv_error *err)
{
    static const kafka_property fixed[] = {
        { "enable.idempotence", "true" },
        { "acks", "all" },
        { "compression.codec", "lz4" },
        { "partitioner", "murmur2_random" }, /* as Java clients do */
        { "linger.ms", "25" },
        { "batch.size", "16384" },
        { "max.in.flight", "2" },
        { "receive.message.max.bytes", "1000000" },
    };
    size_t kbytes = config->queue_bytes / 1024;
    gv_status status = GV_OK;

    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && status == GV_OK; i++)
        status = kafka_conf_set(conf, fixed[i].name, fixed[i].value, err);
    if (status == GV_OK)
        status = kafka_conf_set_int(conf, "queue.buffering.max.kbytes", kbytes ? kbytes : 1, err);
    if (status == GV_OK && config->queue_records)
        status =
            kafka_conf_set_int(conf, "queue.buffering.max.messages", config->queue_records, err);
    if (status == GV_OK)
        status = kafka_conf_set_int(conf, "message.timeout.ms", config->delivery_timeout_ms, err);
    if (status == GV_OK)
        status = kafka_conf_pass_through(conf, config, err);
    return status;
}

static gv_status watch(kafka_producer *p, plat_loop *loop, gv_error *err)
{
    if (pipe2(p->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        p->wake[0] = p->wake[1] = -1;
        return gv_fail_errno(err, errno, "Kafka producer: no pipe to be woken by");
    }
    gv_status status = plat_loop_watch(loop, p->wake[0], PLAT_LOOP_IN, on_wake, p, err);
    if (status == GV_OK)
        p->loop = loop;
    return status;
}

/* Has librdkafka load certificates and the like. When that fails in a client with an interceptor,
 * librdkafka 2.8 destroys half of the configuration, and neither keeping nor freeing it is right: so
 * it is tried without one, and without an address to connect to. */
static gv_status rehearse(const rd_kafka_conf_t *conf, gv_error *err)
{
    char why[256] = "";
    rd_kafka_conf_t *copy = rd_kafka_conf_dup(conf);

    rd_kafka_conf_set(copy, "bootstrap.servers", "", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, copy, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(copy);
        return kafka_conf_fail("Kafka producer", why, err);
    }
    rd_kafka_destroy(rk);
    return GV_OK;
}

static gv_status start(kafka_producer *p, const kafka_config *config, gv_error *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, p, err);
    gv_status status = conf ? configure(conf, config, err) : GV_INVAL;
    char why[256] = "";

    if (status == GV_OK && (config->security != KAFKA_PLAINTEXT || config->property_count))
        status = rehearse(conf, err);
    if (status != GV_OK) {
        if (conf)
            rd_kafka_conf_destroy(conf);
        return status;
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_interceptor_add_on_new(conf, "gavel", on_new, p);
    p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!p->rk) /* no memory, no threads; conf is lost, see above */
        return gv_fail(err, GV_IO, "Kafka producer: %s", why);
    rd_kafka_set_log_queue(p->rk, NULL);
    p->main_queue = rd_kafka_queue_get_main(p->rk);
    p->admin_queue = rd_kafka_queue_new(p->rk);
    if (p->loop) {
        rd_kafka_queue_io_event_enable(p->main_queue, p->wake[1], "m", 1);
        rd_kafka_queue_io_event_enable(p->admin_queue, p->wake[1], "a", 1);
        kafka_producer_wake(p); /* for what came before: only a queue that was empty wakes us */
    }
    return GV_OK;
}

gv_status kafka_producer_open(const kafka_config *config, plat_loop *loop,
                              const kafka_producer_events *events, kafka_producer **out,
                              gv_error *err)
{
    kafka_producer *p = calloc(1, sizeof *p);
    gv_status status = GV_OK;

    *out = NULL;
    if (!p)
        return gv_fail(err, GV_IO, "Kafka producer: out of memory");
    p->wake[0] = p->wake[1] = -1;
    p->events = *events;
    if (loop)
        status = watch(p, loop, err);
    if (status == GV_OK)
        status = start(p, config, err);
    if (status == GV_OK)
        *out = p;
    else
        kafka_producer_close(p);
    return status;
}

/* --- sending ------------------------------------------------------------------------------------- */
/* librdkafka itself looks for a new topic within a second, and minutes later once more for one that
 * was missing or denied. The answer is not waited for: it arrives on librdkafka's own threads. */
static void look_again(kafka_producer *p, rd_kafka_topic_t *rkt)
{
    const struct rd_kafka_metadata *metadata = NULL;

    if (rd_kafka_metadata(p->rk, 0, rkt, &metadata, 1) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
}

static rd_kafka_topic_t *topic_handle(kafka_producer *p, const char *name)
{
    for (kafka_topic_handle *t = p->topics; t; t = t->next)
        if (strcmp(t->name, name) == 0)
            return t->rkt;

    size_t len = strlen(name) + 1;
    kafka_topic_handle *t = malloc(sizeof *t + len);
    if (!t)
        return NULL;
    t->rkt = rd_kafka_topic_new(p->rk, name, NULL);
    if (!t->rkt) {
        free(t);
        return NULL;
    }
    memcpy(t->name, name, len);
    t->next = p->topics;
    p->topics = t;
    look_again(p, t->rkt);
    return t->rkt;
}

static gv_status refuse(rd_kafka_resp_err_t code, const char *topic, gv_error *err)
{
    char text[KAFKA_TEXT_MAX];

    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return gv_fail(err, GV_FULL, "the queue to Kafka is full");
    kafka_describe(code, NULL, topic, "write", text);
    if (kafka_classify(code) == KAFKA_BAD_RECORD || code == RD_KAFKA_RESP_ERR__INVALID_ARG)
        return gv_fail(err, GV_INVAL, "%s", text);
    return gv_fail(err, GV_AGAIN, "%s", text);
}

gv_status kafka_produce_with_headers(kafka_producer *p, const char *topic, gv_span key,
                                     gv_span value, int64_t timestamp_ms,
                                     const kafka_header *headers, size_t header_count, void *opaque,
                                     gv_error *err)
{
    rd_kafka_topic_t *rkt = topic_handle(p, topic);

    if (!rkt)
        return refuse(rd_kafka_last_error(), topic, err);
    /* Without a copy flag librdkafka borrows the value; the key it always copies. */
    rd_kafka_vu_t fields[] = {
        { .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = rkt },
        { .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)key.data, key.len } },
        { .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { (void *)(uintptr_t)value.data, value.len } },
        { .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_ms },
        { .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque },
        { .vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = NULL },
    };
    size_t count = sizeof fields / sizeof *fields;
    rd_kafka_headers_t *list = header_count ? rd_kafka_headers_new(header_count) : NULL;

    for (size_t i = 0; i < header_count; i++)
        rd_kafka_header_add(list, headers[i].name, -1, headers[i].value.data,
                            (ssize_t)headers[i].value.len);
    fields[count - 1].u.headers = list;
    rd_kafka_error_t *error = rd_kafka_produceva(p->rk, fields, list ? count : count - 1);
    if (!error)
        return GV_OK;
    if (list)
        rd_kafka_headers_destroy(list);
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (kafka_classify(code) == KAFKA_DENIED || kafka_classify(code) == KAFKA_NO_TOPIC)
        look_again(p, rkt);
    return refuse(code, topic, err);
}

gv_status kafka_produce(kafka_producer *p, const char *topic, gv_span key, gv_span value,
                        int64_t timestamp_ms, void *opaque, gv_error *err)
{
    return kafka_produce_with_headers(p, topic, key, value, timestamp_ms, NULL, 0, opaque, err);
}

void kafka_producer_poll(kafka_producer *p)
{
    rd_kafka_event_t *event;
    bool came_up = atomic_exchange(&p->came_up, false);

    while (rd_kafka_poll(p->rk, 0) > 0)
        ;
    /* After the errors, which are older. */
    if (came_up && !p->is_fatal && atomic_load(&p->up_mask) != 0)
        kafka_link_up(&p->link, p->events.state, p->events.ctx);
    kafka_topics_poll(p);
    while ((event = rd_kafka_queue_poll(p->admin_queue, 0)) != NULL)
        kafka_topics_event(p, event);
}

gv_status kafka_producer_flush(kafka_producer *p, uint32_t timeout_ms)
{
    int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;

    return rd_kafka_flush(p->rk, timeout) == RD_KAFKA_RESP_ERR_NO_ERROR ? GV_OK : GV_AGAIN;
}

/* Everything that is unreported is reported on the way. */
static void stop(kafka_producer *p)
{
    p->events.state = NULL; /* nobody wants to hear that we hang up */
    kafka_topics_cancel(p);
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(p->rk, CLOSE_TIMEOUT_MS);
    rd_kafka_queue_io_event_enable(p->main_queue, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(p->admin_queue, -1, NULL, 0);
    rd_kafka_queue_destroy(p->main_queue);
    rd_kafka_queue_destroy(p->admin_queue);
    while (p->topics) {
        kafka_topic_handle *next = p->topics->next;

        rd_kafka_topic_destroy(p->topics->rkt);
        free(p->topics);
        p->topics = next;
    }
    rd_kafka_destroy(p->rk);
}

void kafka_producer_close(kafka_producer *p)
{
    if (!p)
        return;
    if (p->rk)
        stop(p);
    if (p->loop)
        plat_loop_watch(p->loop, p->wake[0], 0, NULL, NULL, NULL);
    if (p->wake[0] >= 0)
        close(p->wake[0]);
    if (p->wake[1] >= 0)
        close(p->wake[1]);
    free(p);
}
