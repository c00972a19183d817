/* pipeline.h - joins source, codec, batches and outlet; decides when a snapshot is safe.
 *
 * A lane carries one snapshot:
 *     receiving -> ending -> draining -> proving -> settled
 * receiving: bytes become batches, which go to the outlet. No free batch: the transfer pauses.
 * ending:    the body is whole; its last record may still wait for a batch.
 * draining:  all batches are with the outlet; each comes back when it is acknowledged by the broker or
 *            durable in the spool.
 * proving:   the ledger entry, handed on only after that, is on its way.
 * settled:   the source moves its cursor on. A snapshot that broke anywhere drains and is settled as
 *            broken: no ledger entry, no cursor.
 *
 * Memory:    pipeline_open() allocates all of it within config.memory_bytes; nothing grows later.
 * Ownership: config, outlet and source are borrowed.
 * Threads:   the loop's. Callbacks only take note; what follows is done in pipeline_tick().
 */
#ifndef GAVEL_PIPELINE_PIPELINE_H
#define GAVEL_PIPELINE_PIPELINE_H

#include "agent/pipeline/outlet.h"
#include "agent/source/source.h"

typedef struct {
    gv_span auction_schema; /* .avsc text */
    gv_span reject_schema;
    const char *topics[BATCH_KINDS];
    const char *device;
    size_t memory_bytes;  /* all that the pipeline may use */
    uint32_t batch_count; /* 0: as many as memory_bytes has room for */
    size_t batch_bytes;   /* at least PIPELINE_BATCH_BYTES_MIN */
    unsigned max_transfers;
} pipeline_config;

#define PIPELINE_BATCH_BYTES_MIN (16u * 1024u)
#define PIPELINE_BATCHES_MIN     4u  /* fewer would stop the network while one is acknowledged */
#define PIPELINE_BATCHES_ENOUGH  12u /* more do not make it faster: tests/bench */

typedef struct {
    uint64_t bytes_in; /* JSON, after gzip */
    /* Of snapshots that are settled, safe or broken; not of those only looked through. */
    uint64_t records;
    uint64_t rejects;
    uint64_t unknown_members;
    uint64_t replaced_utf8;
    uint64_t pauses; /* times a transfer had to wait for a batch */
} pipeline_counts;

typedef struct pipeline pipeline;

/* GV_INVAL: a schema does not fit the codec, or too few batches; GV_FULL: memory_bytes is too small. */
gv_status pipeline_open(const pipeline_config *config, const plat_clock *clock, pipeline **out,
                        gv_error *err);

/* What source and outlet are to call, and the pool that the outlet shares. */
source_events pipeline_source_events(pipeline *p);
outlet_events pipeline_outlet_events(pipeline *p);
batch_pool *pipeline_pool(pipeline *p);
void pipeline_attach(pipeline *p, source *s, outlet *o);

uint64_t pipeline_fingerprint(const pipeline *p, batch_kind kind);
const char *pipeline_record_name(const pipeline *p, batch_kind kind);
size_t pipeline_memory_bytes(const pipeline *p);

/* Does what callbacks have noted; call after each wait. True when it did something. */
bool pipeline_tick(pipeline *p);

const pipeline_counts *pipeline_state(const pipeline *p);

/* After source and outlet are closed. */
void pipeline_close(pipeline *p);

#endif
