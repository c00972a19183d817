/* outlet.h - decides where a full batch goes: straight to the broker, or first into the spool.
 *
 * Direct:   nothing is waiting in the spool; batches go to the forwarder as they come.
 * Spooling: batches join the spool's tail, and the spool is read in order into the forwarder, through
 *           a window of pool batches. When all is read, batches go direct again, behind those.
 * The change to spooling comes when batches wait in the forwarder and not one record of them was
 * acknowledged for after_ms, whatever the reason; or when a transfer has waited backpressure_ms for
 * batches during one snapshot. Nothing is in flight at that moment (forwarder_recall()), and what the
 * broker has acknowledged of a batch is not spooled.
 * A ledger entry, spooled or not, reaches the forwarder only after every batch of its snapshot that
 * was read from the spool is acknowledged: it is what proves them.
 * Without a usable spool everything goes direct, and waiting is all there is; it is looked for again.
 *
 * Units:     bytes, milliseconds (monotonic).
 * Ownership: config, its pointers, the forwarder and the pool are borrowed until outlet_close().
 * Memory:    outlet_memory_bytes(), allocated in outlet_open().
 * Threads:   the loop's. Calls wait for the disk. Events are called from outlet_tick() and
 *            outlet_on_batch_done() only, and must not call the outlet.
 */
#ifndef GAVEL_PIPELINE_OUTLET_H
#define GAVEL_PIPELINE_OUTLET_H

#include "agent/forward/forwarder.h"
#include "agent/pipeline/pool.h"
#include "spool/spool.h"

typedef enum {
    OUTLET_FORWARDED, /* the broker has acknowledged every record */
    OUTLET_SPOOLED    /* it survives a power cut */
} outlet_fate;

typedef struct {
    /* The batch is the caller's again. */
    void (*done)(void *ctx, batch *b, uint32_t refused, outlet_fate fate);
    /* Somebody may take a batch from the pool who could not before. */
    void (*room)(void *ctx);
    /* The snapshot is still arriving, so that nothing of it may be dropped. */
    bool (*in_use)(void *ctx, const snapshot_id *snapshot);
    /* When some transfer will have waited for batches for limit_ms; UINT64_MAX: none is waiting. */
    uint64_t (*patience)(void *ctx, uint64_t limit_ms);
    /* The spool takes no more: nothing new should be fetched, until it is told otherwise. */
    void (*hold)(void *ctx, bool hold);
    void *ctx;
} outlet_events;

typedef enum { /* when the spool is full */
               OUTLET_PAUSE,
               OUTLET_DROP_OLDEST,
               OUTLET_THIN
} outlet_policy;

typedef struct {
    const plat_fs *fs;
    const plat_clock *clock;
    bool enabled; /* false: there is no spool */
    const char *dir;
    size_t batch_bytes; /* of the pool's batches */
    uint32_t after_ms;
    uint32_t backpressure_ms;
    uint32_t commit_ms; /* how long a batch may wait for others to be made durable with */
    uint32_t segment_bytes;
    uint64_t quota_bytes;
    uint64_t reserve_bytes;
    uint64_t quarantine_bytes;
    outlet_policy policy;
    const char *topic; /* for gap entries */
    const char *device;
} outlet_config;

typedef struct {
    bool spooling;
    uint64_t direct_since_ms; /* while not spooling; 0: from the beginning */
    bool stalled; /* batches wait in the forwarder, and after_ms have passed without progress */
    bool full;    /* the spool takes no more, and nothing may give way */
    uint32_t batches_waiting;                  /* live ones, neither acknowledged nor durable */
    uint64_t switches;                         /* from direct to spooling */
    uint64_t spooled_batches, spooled_records; /* made durable */
    uint64_t drained_batches, drained_records; /* read from the spool, and acknowledged */
    uint64_t refused; /* of those read: records that the broker refused, or that made no sense */
    uint64_t given_up_snapshots, given_up_records; /* dropped to make room; a gap entry tells */
} outlet_counts;

typedef struct outlet outlet;

size_t outlet_memory_bytes(const outlet_config *config, uint32_t pool_batches);

/* A spool that cannot be opened is no failure. GV_INVAL: a configuration that no spool can have. */
gv_status outlet_open(const outlet_config *config, batch_pool *pool, forwarder *f,
                      const outlet_events *events, outlet **out, gv_error *err);

/* Takes ownership of b until `done`. Never fails. */
void outlet_submit(outlet *o, batch *b);

/* Somebody waits for what was submitted: the next tick makes it durable, if it is to be spooled. */
void outlet_hurry(outlet *o);

/* The program is about to end: what the broker does not take now is spooled after after_ms at most, or
 * at once while it does not answer. */
void outlet_hasten(outlet *o, uint32_t after_ms);

/* What the forwarder is to call (forwarder_events.done), with the outlet as ctx. */
void outlet_on_batch_done(void *ctx, batch *b, uint32_t refused);

/* Does what is due; returns when to be called next (UINT64_MAX: after the next event). */
uint64_t outlet_tick(outlet *o);

const outlet_counts *outlet_state(const outlet *o);
const spool_state *outlet_spool(const outlet *o); /* NULL while there is none */

/* Saves how far the spool was read; batches still held are reported no more. */
void outlet_close(outlet *o);

#endif
