/* kafka.h - producer, consumer and topic administration over librdkafka.
 *
 * Units:     milliseconds, bytes.
 * Memory:    queues are capped by kafka_limits; librdkafka allocates within them.
 * Threads:   librdkafka has its own; every callback here runs in kafka_*_poll() on the caller's.
 * Errors:    told apart by kafka_failure, and worded for a person.
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
    KAFKA_BAD_RECORD, /* this record will never be taken (too large, invalid) */
    KAFKA_FATAL       /* the producer must be made anew; nothing acknowledged is lost */
} kafka_failure;

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
    const char *password; /* never logged */
    const char *ca_file;  /* NULL: the system's */
    const kafka_property *properties; /* passed through to librdkafka, last and winning */
    size_t property_count;
    size_t queue_bytes;     /* cap of what librdkafka may hold */
    uint32_t queue_records;
} kafka_config;

/* --- producer --------------------------------------------------------------------------------- */
typedef struct kafka_producer kafka_producer;

typedef struct {
    /* `opaque` of one record: acknowledged (err NULL) or not (failure says what to do next). */
    void (*delivered)(void *ctx, void *opaque, bool acked, kafka_failure failure,
                      const char *reason);
    /* The connection's state changed; text for a person. */
    void (*state)(void *ctx, bool up, kafka_failure failure, const char *text);
    void *ctx;
} kafka_producer_events;

/* Does not connect: a broker that is away is no error. GV_INVAL names a property librdkafka refused. */
gv_status kafka_producer_open(const kafka_config *config, plat_loop *loop,
                              const kafka_producer_events *events, kafka_producer **out,
                              gv_error *err);

/* The value (and its key's bytes until return) are borrowed until `delivered` is called.
 * GV_FULL: the queue is full, try again after a delivery. GV_INVAL: this record cannot be sent. */
gv_status kafka_produce(kafka_producer *p, const char *topic, gv_span key, gv_span value,
                        int64_t timestamp_ms, void *opaque, gv_error *err);

/* Runs the callbacks that are due; also called from the loop by itself. */
void kafka_producer_poll(kafka_producer *p);
/* Waits up to timeout_ms for what was produced; GV_AGAIN when some is still unreported. */
gv_status kafka_producer_flush(kafka_producer *p, uint32_t timeout_ms);
/* Reports all that is unreported as not acknowledged (KAFKA_RETRY), then closes. */
void kafka_producer_close(kafka_producer *p);

/* --- topics ----------------------------------------------------------------------------------- */
typedef struct {
    const char *name;
    int partitions;  /* 0: the broker's default */
    int replication; /* 0: the broker's default */
    int64_t retention_ms; /* -1: for ever, 0: the broker's default */
    bool compacted;
} kafka_topic;

/* Starts to check the topics, and to create the missing ones when `create`; the outcome comes to
 * `done` from kafka_producer_poll(): GV_OK, or GV_INVAL/GV_IO with the sentence to show. */
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

/* Manual commits, read from the earliest when the group has no offset. */
gv_status kafka_consumer_open(const kafka_config *config, const char *group,
                              const char *const *topics, size_t topic_count,
                              kafka_consumer **out, gv_error *err);
/* GV_OK and a message; GV_AGAIN when there was none within timeout_ms; GV_IO with words for a
 * broker trouble that will pass. */
gv_status kafka_consume(kafka_consumer *c, uint32_t timeout_ms, kafka_message *out, gv_error *err);
void kafka_message_free(kafka_message *message);
/* Commits, synchronously, `next_offset` (the one to read next) of each. */
typedef struct {
    const char *topic;
    int32_t partition;
    int64_t next_offset;
} kafka_position;
gv_status kafka_commit(kafka_consumer *c, const kafka_position *positions, size_t count,
                       gv_error *err);
void kafka_consumer_close(kafka_consumer *c);

void kafka_versions(char *text, size_t cap);

#endif
