/* forwarder.h - takes full batches, sends their records to Kafka, gives them back when all of a
 * batch is acknowledged.
 *
 * A batch waits here, in order, while its schema id is unknown, its topic is not there or the
 * producer's queue is full; a record that was not acknowledged is sent again, and only that one.
 * Nothing is ever dropped: the one exception is a record that the broker refuses even when it is sent
 * alone (too large), which is counted as refused so that its snapshot is not called complete.
 * After a fatal error of the idempotent producer it makes a new one and goes on with what was not
 * acknowledged.
 *
 * What is held can be taken back: after forwarder_recall() nothing of it is with the broker, and
 * forwarder_withdraw() hands out what the caller wants elsewhere.
 *
 * Order:     as submitted, for each schema of a kind; a record that is sent again may come after later ones.
 * Ownership: the configuration's pointers are borrowed until forwarder_close().
 * Memory:    handed-in batches only; no copy of a record. What librdkafka holds is capped by
 *            forwarder_config.kafka.
 * Threads:   the loop's. `done` is called from forwarder_tick() and from nowhere else.
 */
#ifndef GAVEL_FORWARD_FORWARDER_H
#define GAVEL_FORWARD_FORWARDER_H

#include "agent/codec/batch.h"
#include "agent/net/kafka.h"
#include "platform/clock.h"

typedef struct forwarder forwarder;

typedef struct {
    kafka_config kafka;
    const char *topics[BATCH_KINDS]; /* by batch_kind */
    /* Checked, or created, before anything is sent and after every outage. */
    const kafka_topic *ensure;
    size_t ensure_count;
    bool create_topics;
    uint32_t retry_min_ms; /* back-off after a failure: doubled from this ... */
    uint32_t retry_max_ms; /* ... to this, which also is the pace where a person must act */
} forwarder_config;

typedef struct {
    /* Id for the schema on the topic: GV_OK, or GV_AGAIN while unknown. */
    gv_status (*schema_id)(void *ctx, const char *topic, uint64_t fingerprint, uint32_t *id);
    /* Every record of the batch is acknowledged (or refused): it is the caller's again. */
    void (*done)(void *ctx, batch *b, uint32_t refused);
    void *ctx;
} forwarder_events;

typedef struct {
    bool up;               /* a broker answers */
    kafka_failure failure; /* while it is not up */
    char text[256];        /* for a person */
    uint64_t records_acked;
    uint64_t records_refused;
    uint64_t resent;          /* records sent more than once by us */
    uint32_t batches_waiting; /* held here, sent or not */
    /* When a record was last acknowledged (or refused); or, when later, when a batch came in and
     * found none waiting. So it tells for how long those that wait have got nowhere. */
    uint64_t last_progress_ms;
} forwarder_status;

gv_status forwarder_open(const forwarder_config *config, plat_loop *loop, const plat_clock *clock,
                         const forwarder_events *events, forwarder **out, gv_error *err);

/* Takes ownership of b until `done`, or until it is withdrawn. Never fails: how much can be handed in
 * is the pool's size. Nothing is sent before the next forwarder_tick(). Entries that are marked
 * acknowledged are not sent; b->refused is counted on. */
void forwarder_submit(forwarder *f, batch *b);

/* Sends what can be sent, and gives back what is done. Call it whenever the loop has called back,
 * when a schema id became known, and at the deadline it returns (monotonic ms; UINT64_MAX: none). */
uint64_t forwarder_tick(forwarder *f);

/* Nothing is under way any more: what was sent and not acknowledged counts as never sent, though the
 * broker may have it. The next forwarder_tick() makes another producer, which looks for the broker by
 * itself, and goes on with what was not withdrawn. */
void forwarder_recall(forwarder *f);

/* Right after forwarder_recall(): the batches that is_wanted() picks are the caller's again, in order,
 * linked by `next`; NULL when there are none. One of which everything is acknowledged stays, and comes
 * through `done`. */
batch *forwarder_withdraw(forwarder *f, bool (*is_wanted)(void *ctx, const batch *b), void *ctx);

/* Publishes the newest state of something under its key, once, beside the batches: an earlier one that has
 * not been sent is replaced, one that was not acknowledged is sent again. It never keeps a batch waiting,
 * nor does its topic, which is created when create_topics says so. Up to FORWARDER_NOTE_MAX bytes and a
 * short key are copied; the topic is borrowed until forwarder_close(). */
#define FORWARDER_NOTE_MAX 2048
void forwarder_announce(forwarder *f, const kafka_topic *topic, const char *key, gv_span value);

const forwarder_status *forwarder_state(const forwarder *f);

/* Closes the producer; batches still held are reported through `done` no more. */
void forwarder_close(forwarder *f);

#endif
