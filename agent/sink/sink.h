/* sink.h - takes messages in, stores them, says when their offsets may be committed, and gives the
 * verdict on each snapshot. A state machine: it knows neither Kafka nor the registry, only `outside`.
 *
 *     sink_add() ... until GV_FULL or enough; sink_flush() until GV_OK; sink_verify().
 *
 * Order:     documents are durable in the store, then dead letters in Kafka, then offsets. A crash
 *            anywhere costs a redelivery, which changes nothing.
 * Memory:    the batch (sink_config), a table of snapshots, the schema cache, one
 *            document, and while a snapshot is compared a bit for each of its records.
 * Ownership: everything in the configuration is borrowed until sink_close().
 * Threads:   one owner.
 * Errors:    GV_IO from any call: something is away; nothing is lost, call again later.
 */
#ifndef GAVEL_SINK_SINK_H
#define GAVEL_SINK_SINK_H

#include "agent/net/kafka.h"
#include "agent/sink/schema_cache.h"
#include "agent/sink/store.h"
#include "platform/clock.h"

#define SINK_TOPICS_MAX     16
#define SINK_PARTITIONS_MAX 1024 /* of one topic */
#define SINK_SNAPSHOTS      8192

typedef enum { SINK_RECORDS, SINK_REJECTS, SINK_LEDGER } sink_topic_kind;

typedef struct {
    const char *name;
    sink_topic_kind kind;
    const char *collection; /* unused for SINK_LEDGER */
} sink_topic;

typedef struct {
    const store *store;
    const plat_clock *clock;
    const sink_topic *topics; /* one of each kind at least; the first of a kind is its default */
    size_t topic_count;
    size_t batch_records;
    size_t batch_bytes;
    size_t snapshots; /* how many to have at hand; 0: SINK_SNAPSHOTS */
} sink_config;

typedef struct {
    const char *reason; /* a word: "framing", "schema", "avro", "ledger", "store", ... */
    const char *error;  /* a sentence */
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    bool has_schema;
    uint32_t schema_id;
    gv_span key;
    gv_span value;
    bool tombstone;
    bool acked; /* set by the callee */
} sink_dead_letter;

typedef struct {
    schema_fetch_fn *schema;
    /* Sends those that are not acked yet and waits; GV_OK when all are. Keeps no pointer to them. */
    gv_status (*dead_letters)(void *ctx, sink_dead_letter *letters, size_t count, gv_error *err);
    /* As kafka_commit() and kafka_partitions(). */
    gv_status (*commit)(void *ctx, const kafka_position *positions, size_t count, gv_error *err);
    gv_status (*progress)(void *ctx, const char *topic, kafka_partition *out, size_t cap,
                          size_t *count, gv_error *err);
    void *ctx;
} sink_outside;

typedef struct {
    uint64_t messages;     /* taken in */
    uint64_t added;        /* documents stored that were not there before */
    uint64_t copies;       /* further rows of an id */
    uint64_t dead_letters; /* acknowledged by Kafka */
    uint64_t ledgers;
    uint64_t complete; /* verdicts, in this process */
    uint64_t incomplete;
    uint64_t gaps;
} sink_counts;

typedef struct sink sink;

gv_status sink_open(const sink_config *config, const sink_outside *outside, sink **out,
                    gv_error *err);
void sink_close(sink *s); /* what is not flushed is forgotten: it was not committed either */

/* Makes collections and indexes, and finds the snapshots that still need a verdict. */
gv_status sink_start(sink *s, gv_error *err);

/* Takes a copy of the message. GV_FULL: flush first. GV_IO: its schema cannot be had now. In both
 * cases the message was not taken: offer it again. */
gv_status sink_add(sink *s, const kafka_message *message, gv_error *err);

/* Stores, sends and commits what was taken. GV_OK: all of it is safe, and the batch empty. After
 * GV_IO the batch takes nothing in until a flush succeeds. */
gv_status sink_flush(sink *s, gv_error *err);
size_t sink_held(const sink *s); /* messages taken and not yet committed */

/* Drops what was taken of these partitions: they belong to another sink now. */
void sink_forget(sink *s, const kafka_position *partitions, size_t count);

/* Looks after verdicts, STORE_SCAN_MAX snapshots a call at most. GV_OK: there is nothing to do. GV_AGAIN: there
 * is, now or when more has been committed. `caught_up`: there is nothing else to do just now. Call
 * between flushes. */
gv_status sink_verify(sink *s, bool caught_up, gv_error *err);

/* Is the next verdict a matter of sink_verify() alone? False while it waits for the group. */
bool sink_busy(const sink *s);

/* Has everything there is been read and committed by the group? GV_OK or GV_AGAIN. */
gv_status sink_idle(sink *s, gv_error *err);

const sink_counts *sink_counted(const sink *s);

#endif
