#include "tests/doubles/kafka_mock.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "kafka_mock: %s\n", what);
    abort();
}

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

kafka_mock kafka_mock_open(int broker_count)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    kafka_mock mock = { .broker_count = broker_count };

    rd_kafka_conf_set_log_cb(conf, quiet);
    mock.owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    must(mock.owner != NULL, why);
    mock.cluster = rd_kafka_mock_cluster_new(mock.owner, broker_count);
    must(mock.cluster != NULL, "no cluster");
    mock.brokers = rd_kafka_mock_cluster_bootstraps(mock.cluster);
    return mock;
}

void kafka_mock_close(kafka_mock *mock)
{
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->owner);
}

void kafka_mock_topic(kafka_mock *mock, const char *name, int partitions)
{
    must(!rd_kafka_mock_topic_create(mock->cluster, name, partitions, 1), "topic not created");
}

void kafka_mock_down(kafka_mock *mock)
{
    for (int id = 1; id <= mock->broker_count; id++)
        must(!rd_kafka_mock_broker_set_down(mock->cluster, id), "broker not stopped");
}

void kafka_mock_up(kafka_mock *mock)
{
    for (int id = 1; id <= mock->broker_count; id++)
        must(!rd_kafka_mock_broker_set_up(mock->cluster, id), "broker not started");
}

void kafka_mock_errors(kafka_mock *mock, int api, const rd_kafka_resp_err_t *codes, size_t count)
{
    rd_kafka_mock_push_request_errors_array(mock->cluster, (int16_t)api, count, codes);
}

static rd_kafka_t *open_reader(const kafka_mock *mock)
{
    static const char *const settings[][2] = {
        { "group.id", "witness" },        { "enable.auto.commit", "false" },
        { "fetch.wait.max.ms", "10" },    { "auto.offset.reset", "earliest" },
        { "reconnect.backoff.ms", "10" }, { "reconnect.backoff.max.ms", "100" },
    };
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, quiet);
    must(!rd_kafka_conf_set(conf, "bootstrap.servers", mock->brokers, why, sizeof why), why);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        must(!rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why), why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    must(rk != NULL, why);
    return rk;
}

static int partition_count(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);

    must(!rd_kafka_metadata(rk, 0, rkt, &metadata, 10000), "no metadata");
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(rkt);
    return count;
}

size_t kafka_mock_read(kafka_mock *mock, const char *topic,
                       void (*each)(void *ctx, const rd_kafka_message_t *message), void *ctx)
{
    rd_kafka_t *rk = open_reader(mock);
    int partitions = partition_count(rk, topic);
    size_t total = 0;

    for (int p = 0; p < partitions; p++) {
        int64_t low, high;
        rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);

        must(!rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, 10000), "no watermarks");
        rd_kafka_topic_partition_list_add(one, topic, p)->offset = low;
        must(!rd_kafka_assign(rk, one), "not assigned");
        while (low < high) {
            rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 10000);

            must(message != NULL, "the messages do not arrive");
            if (!message->err) {
                if (each)
                    each(ctx, message);
                low = message->offset + 1;
                total++;
            }
            rd_kafka_message_destroy(message);
        }
        rd_kafka_topic_partition_list_destroy(one);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return total;
}
