/* Checks topics once a broker is there, in up to three requests: which are there (DescribeTopics), create the
 * missing ones (CreateTopics), how the others are cleaned up (DescribeConfigs). */
#include "agent/net/kafka_internal.h"

#include "platform/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER_ID_TIMEOUT_MS 1000

struct kafka_check {
    kafka_topic *topics; /* names are copies */
    bool *missing;
    size_t count;
    bool create;
    bool asked;       /* a request is under way */
    int timeout_ms;   /* of each request */
    int64_t until_ms; /* for the first broker to connect */
    int32_t broker;   /* to ask, where there is no controller; else -1 */
    void (*done)(void *ctx, gv_status status, const gv_error *err);
    void *ctx;
    gv_error warning;
};

static void check_free(kafka_check *check)
{
    for (size_t i = 0; check->topics && i < check->count; i++)
        free((void *)(uintptr_t)check->topics[i].name);
    free(check->topics);
    free(check->missing);
    free(check);
}

static void finish(kafka_producer *p, gv_status status, const gv_error *err)
{
    kafka_check *check = p->check;

    p->check = NULL; /* `done` may start the next one */
    check->done(check->ctx, status, err);
    check_free(check);
}

static void fail(kafka_producer *p, rd_kafka_resp_err_t code, const char *topic, const char *right)
{
    char text[KAFKA_TEXT_MAX];
    gv_error err = { 0, "" };
    gv_status status = GV_IO;

    if (kafka_classify(code) == KAFKA_DENIED && topic) {
        status =
            gv_fail(&err, GV_INVAL,
                    "not allowed to %s topic %s: grant %s on it to the user of kafka.username",
                    right, topic, strcmp(right, "create") == 0 ? "CREATE" : "WRITE and DESCRIBE");
    } else if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT) {
        gv_fail(&err, GV_IO, "no broker has answered a question about the topics yet");
    } else {
        kafka_describe(code, NULL, topic, right, text);
        status = gv_fail(&err, kafka_classify(code) == KAFKA_RETRY ? GV_IO : GV_INVAL,
                         "cannot %s topic %s: %s", right, topic ? topic : "(any)", text);
    }
    finish(p, status, &err);
}

static rd_kafka_AdminOptions_t *options(kafka_producer *p, rd_kafka_admin_op_t op)
{
    rd_kafka_AdminOptions_t *opts = rd_kafka_AdminOptions_new(p->rk, op);
    char why[128];

    rd_kafka_AdminOptions_set_request_timeout(opts, p->check->timeout_ms, why, sizeof why);
    rd_kafka_AdminOptions_set_opaque(opts, p->check);
    if (p->check->broker >= 0)
        rd_kafka_AdminOptions_set_broker(opts, p->check->broker, why, sizeof why);
    return opts;
}

static size_t index_of(const kafka_check *check, const char *name)
{
    for (size_t i = 0; i < check->count; i++)
        if (strcmp(check->topics[i].name, name) == 0)
            return i;
    return check->count;
}

/* --- step 3: how the topics are cleaned up --------------------------------------------------------- */
static void ask_configs(kafka_producer *p)
{
    kafka_check *check = p->check;
    rd_kafka_ConfigResource_t **wanted = calloc(check->count, sizeof *wanted);
    size_t count = 0;

    if (!wanted) {
        fail(p, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, NULL, "check");
        return;
    }
    for (size_t i = 0; i < check->count; i++)
        if (!check->missing[i])
            wanted[count++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, check->topics[i].name);
    if (count == 0) {
        free(wanted);
        finish(p, GV_OK, &check->warning);
        return;
    }
    rd_kafka_AdminOptions_t *opts = options(p, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_DescribeConfigs(p->rk, wanted, count, opts, p->admin_queue);
    rd_kafka_AdminOptions_destroy(opts);
    rd_kafka_ConfigResource_destroy_array(wanted, count);
    free(wanted);
}

static void judge_cleanup(kafka_check *check, const kafka_topic *topic, const char *policy)
{
    bool is_compacted = strstr(policy, "compact") != NULL;

    if (topic->compacted && !is_compacted)
        gv_fail(&check->warning, GV_OK,
                "topic %s has cleanup.policy=%s: set it to compact, or its entries will be deleted "
                "when its retention has passed",
                topic->name, policy);
    else if (!topic->compacted && is_compacted)
        gv_fail(&check->warning, GV_OK,
                "topic %s has cleanup.policy=%s: set it to delete, or an auction will only be kept "
                "as it was seen last",
                topic->name, policy);
}

static void take_configs(kafka_producer *p, rd_kafka_event_t *event)
{
    kafka_check *check = p->check;
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t count = 0;
    const rd_kafka_ConfigResource_t **found = NULL;

    /* Not being allowed to look, or a broker that does not know the question, is no reason to stop. */
    if (!rd_kafka_event_error(event))
        found = rd_kafka_DescribeConfigs_result_resources(result, &count);
    for (size_t i = 0; i < count; i++) {
        size_t entries = 0;
        size_t at = index_of(check, rd_kafka_ConfigResource_name(found[i]));
        const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(found[i], &entries);

        for (size_t k = 0; k < entries && at < check->count; k++)
            if (strcmp(rd_kafka_ConfigEntry_name(entry[k]), "cleanup.policy") == 0 &&
                rd_kafka_ConfigEntry_value(entry[k]))
                judge_cleanup(check, &check->topics[at], rd_kafka_ConfigEntry_value(entry[k]));
    }
    finish(p, GV_OK, &check->warning);
}

/* --- step 2: create the missing ones --------------------------------------------------------------- */
static rd_kafka_NewTopic_t *new_topic(const kafka_topic *topic)
{
    char why[128], text[24];
    rd_kafka_NewTopic_t *new =
        rd_kafka_NewTopic_new(topic->name, topic->partitions ? topic->partitions : -1,
                              topic->replication ? topic->replication : -1, why, sizeof why);

    if (new && topic->retention_ms != 0) {
        snprintf(text, sizeof text, "%" PRId64, topic->retention_ms);
        rd_kafka_NewTopic_set_config(new, "retention.ms", text);
    }
    if (new && topic->retention_mib != 0) {
        int64_t scale = topic->retention_mib > 0 ? INT64_C(1) << 20 : 1;
        snprintf(text, sizeof text, "%" PRId64, topic->retention_mib * scale);
        rd_kafka_NewTopic_set_config(new, "retention.bytes", text);
    }
    if (new)
        rd_kafka_NewTopic_set_config(new, "cleanup.policy",
                                     topic->compacted ? "compact" : "delete");
    return new;
}

static void ask_create(kafka_producer *p)
{
    kafka_check *check = p->check;
    rd_kafka_NewTopic_t **wanted = calloc(check->count, sizeof *wanted);
    size_t count = 0;

    for (size_t i = 0; wanted && i < check->count; i++)
        if (check->missing[i] && (wanted[count] = new_topic(&check->topics[i])) != NULL)
            count++;
    if (count == 0) {
        free(wanted);
        fail(p, RD_KAFKA_RESP_ERR__INVALID_ARG, NULL, "create");
        return;
    }
    rd_kafka_AdminOptions_t *opts = options(p, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_CreateTopics(p->rk, wanted, count, opts, p->admin_queue);
    rd_kafka_AdminOptions_destroy(opts);
    rd_kafka_NewTopic_destroy_array(wanted, count);
    free(wanted);
}

static void take_create(kafka_producer *p, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    size_t count = 0;

    if (code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE) {
        gv_fail(&p->check->warning, GV_OK,
                "this broker creates no topics on request: they will be as it makes them by itself "
                "when they are first written");
        ask_configs(p);
        return;
    }
    if (code) {
        fail(p, code, NULL, "create");
        return;
    }
    const rd_kafka_topic_result_t **made =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_topic_result_name(made[i]);
        const char *words = rd_kafka_topic_result_error_string(made[i]);

        code = rd_kafka_topic_result_error(made[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            GV_LOG(GV_LOG_INFO, gv_kmsg("topic created"), gv_kstr("topic", name));
        } else if (code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR ||
                   code == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS ||
                   code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION ||
                   code == RD_KAFKA_RESP_ERR_INVALID_CONFIG) {
            gv_error err = { 0, "" };

            gv_fail(&err, GV_INVAL,
                    "cannot create topic %s: %s: check kafka.partitions, kafka.replication, "
                    "kafka.retention_ms and kafka.retention_mib",
                    name, words ? words : rd_kafka_err2str(code));
            finish(p, GV_INVAL, &err);
            return;
        } else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            fail(p, code, name, "create");
            return;
        }
    }
    ask_configs(p);
}

/* --- step 1: which are there ------------------------------------------------------------------------ */
static void ask_which(kafka_producer *p)
{
    kafka_check *check = p->check;
    const char **names = calloc(check->count, sizeof *names);

    assert(names);
    for (size_t i = 0; i < check->count; i++)
        names[i] = check->topics[i].name;
    rd_kafka_TopicCollection_t *all = rd_kafka_TopicCollection_of_topic_names(names, check->count);
    rd_kafka_AdminOptions_t *opts = options(p, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    rd_kafka_DescribeTopics(p->rk, all, opts, p->admin_queue);
    rd_kafka_AdminOptions_destroy(opts);
    rd_kafka_TopicCollection_destroy(all);
    free(names);
}

static void take_which(kafka_producer *p, rd_kafka_event_t *event)
{
    kafka_check *check = p->check;
    size_t count = 0, missing = 0;

    if (rd_kafka_event_error(event)) {
        fail(p, rd_kafka_event_error(event), NULL, "see");
        return;
    }
    kafka_link_up(&p->link, p->events.state, p->events.ctx);
    const rd_kafka_TopicDescription_t **found =
        rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_TopicDescription_name(found[i]);
        const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(found[i]);
        rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
        size_t at = index_of(check, name);
        gv_error err = { 0, "" };

        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || at == check->count)
            continue;
        if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            fail(p, code, name, "see");
            return;
        }
        check->missing[at] = true;
        missing++;
        if (!check->create) {
            gv_fail(&err, GV_INVAL,
                    "topic %s does not exist and kafka.create_topics is off: create it, or turn "
                    "that on",
                    name);
            finish(p, GV_INVAL, &err);
            return;
        }
    }
    if (missing)
        ask_create(p);
    else
        ask_configs(p);
}

/* librdkafka asks the controller, and waits for one where there is none: its own mock brokers. Those
 * can be told by their cluster's name, which a connected broker has just given. */
static gv_status find_broker(kafka_producer *p)
{
    char *cluster = rd_kafka_clusterid(p->rk, CLUSTER_ID_TIMEOUT_MS);

    if (!cluster)
        return GV_AGAIN;
    p->check->broker = strncmp(cluster, "mockCluster", 11) == 0 ? 1 : -1;
    rd_kafka_mem_free(p->rk, cluster);
    return GV_OK;
}

void kafka_topics_poll(kafka_producer *p)
{
    if (!p->check || p->check->asked)
        return;
    bool is_up = atomic_load(&p->up_mask) != 0;
    if (is_up && find_broker(p) == GV_OK) {
        p->check->asked = true;
        ask_which(p);
    } else if (is_up || kafka_now_ms() >= p->check->until_ms) {
        fail(p, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, "see");
    }
}

void kafka_topics_event(kafka_producer *p, rd_kafka_event_t *event)
{
    rd_kafka_event_type_t type = rd_kafka_event_type(event);

    if (p->check && rd_kafka_event_opaque(event) == p->check) {
        if (type == RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT)
            take_which(p, event);
        else if (type == RD_KAFKA_EVENT_CREATETOPICS_RESULT)
            take_create(p, event);
        else if (type == RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT)
            take_configs(p, event);
    }
    rd_kafka_event_destroy(event);
}

void kafka_topics_cancel(kafka_producer *p)
{
    if (p->check)
        check_free(p->check);
    p->check = NULL;
}

gv_status kafka_topics_ensure(kafka_producer *p, const kafka_topic *topics, size_t count,
                              bool create, uint32_t timeout_ms,
                              void (*done)(void *ctx, gv_status status, const gv_error *err),
                              void *ctx, gv_error *err)
{
    if (p->check)
        return gv_fail(err, GV_AGAIN, "the topics are being checked already");
    if (count == 0)
        return gv_fail(err, GV_INVAL, "no topics to check");

    kafka_check *check = calloc(1, sizeof *check);
    bool is_whole = check != NULL;
    if (check) {
        *check = (kafka_check){ .topics = calloc(count, sizeof *topics),
                                .missing = calloc(count, sizeof(bool)),
                                .count = count,
                                .create = create,
                                .done = done,
                                .ctx = ctx,
                                .timeout_ms = timeout_ms > 3600000 ? 3600000 : (int)timeout_ms,
                                .until_ms = kafka_now_ms() + timeout_ms,
                                .broker = -1 };
        is_whole = check->topics && check->missing;
    }
    for (size_t i = 0; is_whole && i < count; i++) {
        check->topics[i] = topics[i];
        check->topics[i].name = strdup(topics[i].name);
        is_whole = check->topics[i].name != NULL;
    }
    if (!is_whole) {
        if (check)
            check_free(check);
        return gv_fail(err, GV_IO, "out of memory");
    }
    p->check = check;
    kafka_producer_wake(p); /* the answer never comes from within this call */
    return GV_OK;
}
