/* kafka.h - producer, consumer and topic administration over librdkafka.
 *
 * Units:     milliseconds, bytes.
 * Memory:    queues are capped by kafka_config; librdkafka allocates within them.
 * Ownership: everything in a kafka_config, the topics and the events is copied at open.
 * Threads:   librdkafka has its own; every callback here runs on the caller's, from within a
 *            call of this header or from the caller's loop. One owner; no locks.
 * Errors:    told apart by kafka_failure, and worded for a person.
 * Source:    librdkafka 2.8 CONFIGURATION.md and rdkafka.h; Kafka's error codes.
 */
#ifndef GAVEL_NET_KAFKA_H
#define GAVEL_NET_KAFKA_H

#include "platform/err.h"
#include "platform/loop.h"
#include "platform/span.h"

#include <stdbool.h>

typedef enum {
    KAFKA_RETRY,      /* will pass: broker away, leader moving, time-out */
    KAFKA_DENIED,     /* authentication or authorization: a person must act; retried slowly */
    KAFKA_NO_TOPIC,   /* the topic is not there (any more): see kafka_topics_ensure() */
    KAFKA_BAD_RECORD, /* the broker refuses what it was sent (too large, invalid). It judges records
                         in groups: only one that was under way alone is known to be the cause. */
    KAFKA_FATAL       /* the producer must be made anew; nothing acknowledged is lost */
} kafka_failure;

const char *kafka_failure_name(kafka_failure failure);

typedef struct {
    const char *name;
    const char *value;
} kafka_property;

typedef enum { KAFKA_PLAINTEXT, KAFKA_SSL, KAFKA_SASL_PLAINTEXT, KAFKA_SASL_SSL } kafka_security;

typedef struct {
    const char *brokers; /* host:port,... */
    const char *client_id;
    kafka_security security;
    const char *sasl_mechanism; /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 */
    const char *username;
    const char *password;             /* never logged */
    const char *ca_file;              /* NULL: the system's */
    const kafka_property *properties; /* passed through to librdkafka, last and winning */
    size_t property_count;
    size_t queue_bytes; /* cap of what librdkafka may hold: to be sent, or fetched ahead */
    uint32_t queue_records;
    /* Producer: how long a record may be under way before it is reported (KAFKA_RETRY, outcome
     * unknown: send it again); 0: for ever, the broker's answer is waited for. */
    uint32_t delivery_timeout_ms;
} kafka_config;

/* GV_INVAL says what is wrong with the settings, or what they ask of this build that it was built
 * without. Connects to nothing. */
gv_status kafka_config_check(const kafka_config *config, gv_error *err);

/* --- producer --------------------------------------------------------------------------------- */
typedef struct kafka_producer kafka_producer;

typedef struct {
    /* `opaque` of one record: acknowledged (reason NULL) or not (failure says what to do next). */
    void (*delivered)(void *ctx, void *opaque, bool acked, kafka_failure failure,
                      const char *reason);
    /* The connection's state changed; text for a person. */
    void (*state)(void *ctx, bool up, kafka_failure failure, const char *text); /* may be NULL */
    void *ctx;
} kafka_producer_events;

/* Does not connect: a broker that is away is no error. GV_INVAL names a property that librdkafka
 * refused, or that would break what this header promises. `loop` NULL: call kafka_producer_poll(). */
gv_status kafka_producer_open(const kafka_config *config, plat_loop *loop,
                              const kafka_producer_events *events, kafka_producer **out,
                              gv_error *err);

/* The value (and its key's bytes until return) are borrowed until `delivered` is called.
 * GV_FULL: the queue is full, try again after a delivery. GV_INVAL: this record cannot be sent. */
gv_status kafka_produce(kafka_producer *p, const char *topic, gv_span key, gv_span value,
                        int64_t timestamp_ms, void *opaque, gv_error *err);

typedef struct {
    const char *name;
    gv_span value;
} kafka_header;

/* The same with headers, which are copied. */
gv_status kafka_produce_with_headers(kafka_producer *p, const char *topic, gv_span key,
                                     gv_span value, int64_t timestamp_ms,
                                     const kafka_header *headers, size_t header_count, void *opaque,
                                     gv_error *err);

/* Runs the callbacks that are due; also called from the loop by itself. */
void kafka_producer_poll(kafka_producer *p);
/* Waits up to timeout_ms for what was produced, running callbacks; GV_AGAIN when some is still
 * unreported. Not for waiting in a loop of one's own: with nothing produced it returns at once, having
 * woken librdkafka's threads, and enough of that keeps them from sending. */
gv_status kafka_producer_flush(kafka_producer *p, uint32_t timeout_ms);
/* Reports all that is unreported as not acknowledged (KAFKA_RETRY), then closes. */
void kafka_producer_close(kafka_producer *p);

/* --- topics ----------------------------------------------------------------------------------- */
typedef struct {
    const char *name;
    int partitions;  /* 0: the broker's default */
    int replication; /* 0: the broker's default */
    /* -1: without limit, 0: the broker's default. Age is counted from a record's own timestamp. */
    int64_t retention_ms;
    int64_t retention_mib; /* of a partition */
    bool compacted;
} kafka_topic;

/* Starts to check the topics, and to create the missing ones when `create`, as soon as a broker is
 * connected; the outcome comes to `done`, from kafka_producer_poll():
 *   GV_OK     all are there. err->text is "" or a warning (such as: not compacted).
 *   GV_INVAL  a person must act: missing and not to be created, or not allowed.
 *   GV_IO     no answer within timeout_ms, or (as far as polled) no broker: ask again.
 * GV_AGAIN: one check is still under way. */
gv_status kafka_topics_ensure(kafka_producer *p, const kafka_topic *topics, size_t count,
                              bool create, uint32_t timeout_ms,
                              void (*done)(void *ctx, gv_status status, const gv_error *err),
                              void *ctx, gv_error *err);

/* --- consumer --------------------------------------------------------------------------------- */
typedef struct kafka_consumer kafka_consumer;

typedef struct {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    gv_span key;
    gv_span value;
    bool tombstone; /* null value */
    void *handle;   /* for kafka_message_free() */
} kafka_message;

typedef struct {
    const char *topic;
    int32_t partition;
    int64_t next_offset; /* the one to read next */
} kafka_position;

/* A rebalance, told from within kafka_consume(), kafka_consumer_idle() or kafka_consumer_close().
 * `assigned` false: these partitions are being taken away. This is the last moment to
 * kafka_commit() what is stored of them; drop the rest, their next owner reads it again. After
 * `lost` even that commit would fail. */
typedef void kafka_rebalance_fn(void *ctx, bool assigned, bool lost,
                                const kafka_position *partitions, size_t count);

/* Manual commits; starts at the earliest record where the group has no offset. Does not connect. */
gv_status kafka_consumer_open(const kafka_config *config, const char *group,
                              const char *const *topics, size_t topic_count,
                              kafka_rebalance_fn *rebalanced /* or NULL */, void *ctx,
                              kafka_consumer **out, gv_error *err);

/* GV_OK and a message, which pins the fetched block it came with: free it soon.
 * GV_AGAIN when there was none within timeout_ms. GV_IO with words, once for each change: a trouble
 * that will pass (broker away, topic not there yet, not allowed); go on calling.
 * GV_INVAL: this consumer is finished (fenced by another of the same identity): open a new one. */
gv_status kafka_consume(kafka_consumer *c, uint32_t timeout_ms, kafka_message *out, gv_error *err);
void kafka_message_free(kafka_message *message);

/* Stays a member of the group without taking messages (for a store that is away), for up to
 * timeout_ms; returns early after a rebalance. The next kafka_consume() goes on where the last one
 * stopped. Same results as kafka_consume(), never GV_OK. */
gv_status kafka_consumer_idle(kafka_consumer *c, uint32_t timeout_ms, gv_error *err);

/* Commits and waits for the broker's answer, some seconds at most. GV_AGAIN: a partition has moved
 * to another member, its records will be read again there. GV_IO: not known to be committed. */
gv_status kafka_commit(kafka_consumer *c, const kafka_position *positions, size_t count,
                       gv_error *err);

/* How far a topic has been written and read. */
typedef struct {
    int32_t partition;
    int64_t low;       /* first offset there is */
    int64_t high;      /* offset the next record will get */
    int64_t committed; /* by the group; -1: never */
} kafka_partition;

/* Asks the brokers, blocking for up to timeout_ms, about every partition of the topic, assigned or
 * not. *count: partitions of the topic; at most cap of them are stored. */
gv_status kafka_partitions(kafka_consumer *c, const char *topic, uint32_t timeout_ms,
                           kafka_partition *out, size_t cap, size_t *count, gv_error *err);

/* Leaves the group (telling `rebalanced` first). */
void kafka_consumer_close(kafka_consumer *c);

void kafka_versions(char *text, size_t cap);

#endif
