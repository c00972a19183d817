#include "agent/net/kafka_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_TIMEOUT_MS 10000

struct kafka_consumer {
    rd_kafka_t *rk;
    kafka_rebalance_fn *rebalanced;
    void *ctx;
    kafka_link link;
    char trouble[KAFKA_TEXT_MAX]; /* to be told by the next call; "" for none */
    rd_kafka_message_t *held;     /* arrived while idling */
    bool idle;                    /* assigned partitions are paused */
    bool moved;                   /* a rebalance has happened during this call */
};

/* --- callbacks, from within a poll ------------------------------------------------------------------ */
static void on_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    kafka_consumer *c = ctx;

    (void)failure;
    if (!up)
        snprintf(c->trouble, sizeof c->trouble, "%s", text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kafka_consumer *c = opaque;

    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__FATAL)
        kafka_link_error(&c->link, (rd_kafka_resp_err_t)code, reason, on_state, c);
}

static void tell_rebalance(kafka_consumer *c, bool assigned, bool lost,
                           const rd_kafka_topic_partition_list_t *list)
{
    kafka_position *positions = NULL;

    c->moved = true;
    if (!c->rebalanced || list->cnt == 0)
        return;
    positions = calloc((size_t)list->cnt, sizeof *positions);
    for (int i = 0; positions && i < list->cnt; i++)
        positions[i] = (kafka_position){ list->elems[i].topic, list->elems[i].partition,
                                         list->elems[i].offset };
    /* Without memory for the list it is told without one: all may have moved. */
    c->rebalanced(c->ctx, assigned, lost, positions, positions ? (size_t)list->cnt : 0);
    free(positions);
}

static void drop_held(kafka_consumer *c)
{
    if (c->held)
        rd_kafka_message_destroy(c->held);
    c->held = NULL;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    kafka_consumer *c = opaque;
    bool is_assign = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    bool is_cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    rd_kafka_error_t *error = NULL;

    if (is_assign) {
        error = is_cooperative ? rd_kafka_incremental_assign(rk, list) : NULL;
        if (!is_cooperative)
            rd_kafka_assign(rk, list);
        /* A partition that was taken away while it was paused would come back paused. */
        if (c->idle)
            rd_kafka_pause_partitions(rk, list);
        else
            rd_kafka_resume_partitions(rk, list);
        tell_rebalance(c, true, false, list);
    } else {
        drop_held(c);
        tell_rebalance(c, false, rd_kafka_assignment_lost(rk) != 0, list);
        error = is_cooperative ? rd_kafka_incremental_unassign(rk, list) : NULL;
        if (!is_cooperative)
            rd_kafka_assign(rk, NULL);
    }
    if (error)
        rd_kafka_error_destroy(error);
}

/* --- opening ---------------------------------------------------------------------------------------- */

/* What is fetched ahead stays within queue_bytes; a block being received and its unpacked form come
 * on top, each about a quarter of it. */
static gv_status configure(rd_kafka_conf_t *conf, const kafka_config *config, const char *group,
                           gv_error *err)
{
    static const kafka_property fixed[] = {
        { "enable.auto.commit", "false" },
        { "enable.auto.offset.store", "false" },
        { "auto.offset.reset", "earliest" },
        { "isolation.level", "read_committed" },
        /* All partitions are given up before they are dealt anew: only then does a broker still take
         * the commits that belong to them. */
        { "partition.assignment.strategy", "range" },
        { "check.crcs", "true" },
        { "session.timeout.ms", "10000" },
        { "heartbeat.interval.ms", "3000" },
        { "fetch.wait.max.ms", "100" },
        { "fetch.queue.backoff.ms", "10" }, /* its default, a second, starves a small queue */
        { "message.max.bytes", "65536" },   /* of requests; lets fetch.max.bytes be small */
    };
    const size_t least = 256 * 1024, most = (size_t)64 << 20;
    size_t queue = config->queue_bytes < least ? least : config->queue_bytes;
    gv_status status = kafka_conf_set(conf, "group.id", group, err);

    if (queue > most)
        queue = most;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed && status == GV_OK; i++)
        status = kafka_conf_set(conf, fixed[i].name, fixed[i].value, err);
    if (status == GV_OK)
        status = kafka_conf_set_int(conf, "queued.max.messages.kbytes", queue / 2 / 1024, err);
    if (status == GV_OK && config->queue_records)
        status = kafka_conf_set_int(conf, "queued.min.messages", config->queue_records, err);
    if (status == GV_OK)
        status = kafka_conf_set_int(conf, "fetch.max.bytes", queue / 4, err);
    if (status == GV_OK)
        status = kafka_conf_set_int(conf, "max.partition.fetch.bytes", queue / 8, err);
    if (status == GV_OK) /* a limit against damage; a broker sends one batch whatever its size */
        status =
            kafka_conf_set_int(conf, "receive.message.max.bytes", queue / 4 + (16u << 20), err);
    if (status == GV_OK)
        status = kafka_conf_pass_through(conf, config, err);
    return status;
}

static gv_status subscribe(kafka_consumer *c, const char *const *topics, size_t count,
                           gv_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    rd_kafka_resp_err_t code;

    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code)
        return gv_fail(err, GV_INVAL, "cannot subscribe to the topics: %s", rd_kafka_err2str(code));
    return GV_OK;
}

gv_status kafka_consumer_open(const kafka_config *config, const char *group,
                              const char *const *topics, size_t topic_count,
                              kafka_rebalance_fn *rebalanced, void *ctx, kafka_consumer **out,
                              gv_error *err)
{
    kafka_consumer *c = calloc(1, sizeof *c);
    rd_kafka_conf_t *conf = c ? kafka_conf_new(config, c, err) : NULL;
    char why[256] = "";

    *out = NULL;
    if (!c)
        return gv_fail(err, GV_IO, "Kafka consumer: out of memory");
    c->rebalanced = rebalanced;
    c->ctx = ctx;
    if (!conf || configure(conf, config, group, err) != GV_OK) {
        if (conf)
            rd_kafka_conf_destroy(conf);
        free(c);
        return GV_INVAL;
    }
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!c->rk) {
        rd_kafka_conf_destroy(conf);
        free(c);
        return kafka_conf_fail("Kafka consumer", why, err);
    }
    rd_kafka_set_log_queue(c->rk, NULL);
    rd_kafka_poll_set_consumer(c->rk); /* one queue for all, so one call serves all */
    if (subscribe(c, topics, topic_count, err) != GV_OK) {
        kafka_consumer_close(c);
        return GV_INVAL;
    }
    *out = c;
    return GV_OK;
}

/* --- reading ---------------------------------------------------------------------------------------- */
static gv_status tell_trouble(kafka_consumer *c, gv_error *err)
{
    gv_status status = GV_IO;
    char words[KAFKA_TEXT_MAX];

    if (rd_kafka_fatal_error(c->rk, words, sizeof words) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return gv_fail(err, GV_INVAL, "this Kafka consumer is finished: %s", words);
    if (c->trouble[0] == '\0')
        return GV_AGAIN;
    gv_fail(err, status, "%s", c->trouble);
    c->trouble[0] = '\0';
    return status;
}

/* An error in the place of a message. */
static void take_error(kafka_consumer *c, const rd_kafka_message_t *message)
{
    char text[KAFKA_TEXT_MAX];
    const char *topic = message->rkt ? rd_kafka_topic_name(message->rkt) : NULL;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    if (message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
        snprintf(text, sizeof text,
                 "nothing was read for so long that the group gave our partitions away");
    } else if (topic && kafka_classify(message->err) != KAFKA_RETRY) {
        kafka_describe(message->err, NULL, topic, "read", text);
    } else if (!topic && kafka_classify(message->err) == KAFKA_NO_TOPIC) {
        snprintf(text, sizeof text, "a topic is not there yet: %s",
                 rd_kafka_message_errstr(message));
    } else {
        kafka_describe(message->err, rd_kafka_message_errstr(message), NULL, "read", text);
    }
    if (strcmp(text, c->link.text) == 0)
        return;
    snprintf(c->link.text, sizeof c->link.text, "%s", text); /* once for each change */
    snprintf(c->trouble, sizeof c->trouble, "%s", text);
}

static void set_idle(kafka_consumer *c, bool idle)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    if (c->idle == idle)
        return;
    c->idle = idle;
    if (rd_kafka_assignment(c->rk, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (idle)
        rd_kafka_pause_partitions(c->rk, list);
    else
        rd_kafka_resume_partitions(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The next message, or NULL. */
static rd_kafka_message_t *poll_once(kafka_consumer *c, uint32_t timeout_ms)
{
    int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(c->rk, timeout);

    if (message && message->err) {
        take_error(c, message);
        rd_kafka_message_destroy(message);
        return NULL;
    }
    if (message && !c->link.up)
        kafka_link_up(&c->link, on_state, c);
    return message;
}

gv_status kafka_consume(kafka_consumer *c, uint32_t timeout_ms, kafka_message *out, gv_error *err)
{
    rd_kafka_message_t *message = c->held;
    rd_kafka_timestamp_type_t type;

    c->held = NULL;
    if (!message) {
        set_idle(c, false);
        message = poll_once(c, timeout_ms);
    }
    if (!message)
        return tell_trouble(c, err);
    *out = (kafka_message){ .topic = rd_kafka_topic_name(message->rkt),
                            .partition = message->partition,
                            .offset = message->offset,
                            .timestamp_ms = rd_kafka_message_timestamp(message, &type),
                            .key = gv_span_of(message->key, message->key_len),
                            .value = gv_span_of(message->payload, message->len),
                            .tombstone = message->payload == NULL,
                            .handle = message };
    return GV_OK;
}

void kafka_message_free(kafka_message *message)
{
    if (message->handle)
        rd_kafka_message_destroy(message->handle);
    message->handle = NULL;
}

gv_status kafka_consumer_idle(kafka_consumer *c, uint32_t timeout_ms, gv_error *err)
{
    int64_t end = kafka_now_ms() + timeout_ms, left = timeout_ms;

    set_idle(c, true);
    c->moved = false;
    /* With a message in hand only the group's work may be done: the queue may hold another. */
    while (!c->held && !c->moved && left >= 0) {
        c->held = poll_once(c, (uint32_t)left);
        if (c->trouble[0] != '\0')
            break;
        left = end - kafka_now_ms();
        if (left == 0)
            break;
    }
    return tell_trouble(c, err);
}

/* --- offsets ---------------------------------------------------------------------------------------- */
gv_status kafka_commit(kafka_consumer *c, const kafka_position *positions, size_t count,
                       gv_error *err)
{
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_queue_t *answer;
    rd_kafka_event_t *event;
    rd_kafka_resp_err_t code;
    char text[KAFKA_TEXT_MAX];

    if (count == 0)
        return GV_OK;
    list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, positions[i].topic, positions[i].partition)
            ->offset = positions[i].next_offset;
    answer = rd_kafka_queue_new(c->rk);
    code = rd_kafka_commit_queue(c->rk, list, answer, NULL, NULL);
    event = code ? NULL : rd_kafka_queue_poll(answer, COMMIT_TIMEOUT_MS);
    if (event)
        code = rd_kafka_event_error(event);
    else if (!code)
        code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(answer);
    rd_kafka_topic_partition_list_destroy(list);
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return GV_OK;
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
        return gv_fail(err, GV_AGAIN, "offsets not committed: partitions are moving (%s)",
                       rd_kafka_err2str(code));
    default:
        kafka_describe(code, NULL, NULL, "read", text);
        return gv_fail(err, GV_IO, "offsets not committed: %s", text);
    }
}

static gv_status count_partitions(kafka_consumer *c, const char *topic, int timeout_ms,
                                  size_t *count, gv_error *err)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(c->rk, topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rkt ? rd_kafka_metadata(c->rk, 0, rkt, &metadata, timeout_ms) : rd_kafka_last_error();
    char text[KAFKA_TEXT_MAX];

    *count = 0;
    if (!code && metadata->topic_cnt == 1) {
        code = metadata->topics[0].err;
        *count = (size_t)metadata->topics[0].partition_cnt;
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    if (!code)
        return GV_OK;
    kafka_describe(code, NULL, topic, "read", text);
    return gv_fail(err, GV_IO, "%s", text);
}

static gv_status ask_committed(kafka_consumer *c, const char *topic, int timeout_ms,
                               kafka_partition *out, size_t count, gv_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    rd_kafka_resp_err_t code;

    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, out[i].partition);
    code = rd_kafka_committed(c->rk, list, timeout_ms);
    for (size_t i = 0; i < count && !code; i++) {
        code = list->elems[i].err;
        out[i].committed = list->elems[i].offset >= 0 ? list->elems[i].offset : -1;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (code)
        return gv_fail(err, GV_IO, "no committed offsets of topic %s: %s", topic,
                       rd_kafka_err2str(code));
    return GV_OK;
}

/* Takes the answer to ask_offsets(); `high` says which of the two it was. */
static gv_status take_offsets(rd_kafka_event_t *event, const char *topic, bool high,
                              kafka_partition *out, size_t count, gv_error *err)
{
    const rd_kafka_ListOffsets_result_t *result =
        event ? rd_kafka_event_ListOffsets_result(event) : NULL;
    const rd_kafka_ListOffsetsResultInfo_t **infos;
    size_t n = 0;

    if (!result || rd_kafka_event_error(event))
        return gv_fail(err, GV_IO, "no offsets of topic %s: %s", topic,
                       event ? rd_kafka_event_error_string(event) : "no answer in time");
    infos = rd_kafka_ListOffsets_result_infos(result, &n);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *at =
            rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);

        if (at->err)
            return gv_fail(err, GV_IO, "no offsets of topic %s [%d]: %s", topic, (int)at->partition,
                           rd_kafka_err2str(at->err));
        if (at->partition >= 0 && (size_t)at->partition < count)
            *(high ? &out[at->partition].high : &out[at->partition].low) = at->offset;
    }
    return GV_OK;
}

/* All partitions in one request a broker: one each would wait behind the fetches one by one. */
static gv_status ask_offsets(kafka_consumer *c, const char *topic, bool high, int timeout_ms,
                             kafka_partition *out, size_t count, gv_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(c->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(c->rk, RD_KAFKA_ADMIN_OP_LISTOFFSETS);

    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms > 0 ? timeout_ms : 1, NULL, 0);
    rd_kafka_error_t *refused = rd_kafka_AdminOptions_set_isolation_level(
        options, RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED); /* as the consumer reads */
    if (refused)
        rd_kafka_error_destroy(refused);
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i)->offset =
            high ? RD_KAFKA_OFFSET_SPEC_LATEST : RD_KAFKA_OFFSET_SPEC_EARLIEST;
    rd_kafka_ListOffsets(c->rk, list, options, answers);

    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, timeout_ms + 100);
    gv_status status = take_offsets(event, topic, high, out, count, err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(answers);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

gv_status kafka_partitions(kafka_consumer *c, const char *topic, uint32_t timeout_ms,
                           kafka_partition *out, size_t cap, size_t *count, gv_error *err)
{
    int64_t end = kafka_now_ms() + timeout_ms;
    gv_status status = count_partitions(c, topic, (int)timeout_ms, count, err);
    size_t known = *count < cap ? *count : cap;

    for (size_t i = 0; i < known; i++)
        out[i] = (kafka_partition){ (int32_t)i, 0, 0, -1 };
    /* What is committed first: it can then not be beyond the end that is asked for later. */
    for (int step = 0; status == GV_OK && known && step < 3; step++) {
        int64_t left = end - kafka_now_ms();
        int wait = left > 0 ? (int)left : 0;

        status = step == 0 ? ask_committed(c, topic, wait, out, known, err)
                           : ask_offsets(c, topic, step == 2, wait, out, known, err);
    }
    return status;
}

void kafka_consumer_close(kafka_consumer *c)
{
    if (!c)
        return;
    drop_held(c);
    rd_kafka_consumer_close(c->rk);
    rd_kafka_destroy(c->rk);
    free(c);
}
