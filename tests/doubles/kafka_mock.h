/* kafka_mock.h - librdkafka's mock brokers in this process, and a witness that reads a topic back.
 *
 * The brokers speak the real protocol on loopback sockets, on threads of their own. They keep about
 * 5 MB of each partition, and know nothing of CreateTopics, ACLs or TLS.
 */
#ifndef GAVEL_TESTS_KAFKA_MOCK_H
#define GAVEL_TESTS_KAFKA_MOCK_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *cluster;
    const char *brokers; /* host:port,... */
    int broker_count;
} kafka_mock;

enum { KAFKA_MOCK_PRODUCE = 0, KAFKA_MOCK_INIT_PRODUCER_ID = 22 }; /* API keys of the protocol */

kafka_mock kafka_mock_open(int broker_count);
void kafka_mock_close(kafka_mock *mock);

void kafka_mock_topic(kafka_mock *mock, const char *name, int partitions);
void kafka_mock_down(kafka_mock *mock); /* all brokers */
void kafka_mock_up(kafka_mock *mock);
/* The next requests of that kind are answered with these errors, count of them. */
void kafka_mock_errors(kafka_mock *mock, int api, const rd_kafka_resp_err_t *codes, size_t count);

/* Calls each() for every message of the topic, by partition, in order; returns their number. */
size_t kafka_mock_read(kafka_mock *mock, const char *topic,
                       void (*each)(void *ctx, const rd_kafka_message_t *message), void *ctx);

#endif
