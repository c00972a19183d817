/* intake.h - one snapshot on its way in: bytes to records, records to batches, guards.
 *
 * Guards, each of which makes the snapshot broken (never committed, no ledger entry): the body ends
 * early, is not JSON, has no auctions list, or names another connected realm than the asked one, or
 * none. Records of a realm are handed on only once the body has named that realm; a body that names
 * it after the auctions is looked through first and fetched again (INTAKE_LOOK_AGAIN).
 *
 * Memory:  intake_mem_needed() bytes each, handed in; batches from the pool.
 * Threads: the loop's.
 */
#ifndef GAVEL_PIPELINE_INTAKE_H
#define GAVEL_PIPELINE_INTAKE_H

#include "agent/codec/batch.h"
#include "agent/codec/transcode.h"
#include "agent/pipeline/pool.h"

/* What all intakes share; borrowed. */
typedef struct {
    const plan *auction_plan; /* bindings: INTAKE_BINDINGS, in that order */
    uint64_t auction_fingerprint;
    uint64_t reject_fingerprint;
    transcode_limits limits;
    batch_pool *pool;
    gv_buf scratch;                      /* a reject is encoded here; intake_scratch_bytes() */
    void (*submit)(void *ctx, batch *b); /* takes ownership */
    void *ctx;
} intake_shared;

#define INTAKE_BINDINGS                                                                            \
    {                                                                                              \
        { "region", PLAN_VALUE_STRING }, { "realm", PLAN_VALUE_LONG },                             \
            { "house", PLAN_VALUE_LONG }, { "snapshot_at", PLAN_VALUE_LONG },                      \
            { "position", PLAN_VALUE_POSITION },                                                   \
    }

/* A reject's raw bytes are at most limits.record_bytes; its other fields fit in this. So a record and
 * a reject fit in a batch that has room for limits.record_bytes and this. */
#define INTAKE_REJECT_FRAME_BYTES 1024u

typedef enum {
    INTAKE_WAIT,       /* a batch is needed: ask again when one is free */
    INTAKE_WHOLE,      /* all records are submitted */
    INTAKE_LOOK_AGAIN, /* whole and the asked realm's, but nothing was handed on: fetch it again */
    INTAKE_BROKEN
} intake_verdict;

typedef struct {
    const intake_shared *shared;
    transcoder *transcoder;
    snapshot_id snapshot;
    bool realm_known; /* the body's realm has been checked, or there is none to check */
    bool dry;         /* look through only: the records came before the realm */
    batch *open[2];   /* by batch_kind: BATCH_AUCTIONS, BATCH_REJECTS */
    uint32_t pending; /* batches submitted and not given back */
    uint32_t refused; /* records the broker will never take */
    uint64_t digest;
} intake;

size_t intake_mem_needed(const intake_shared *shared);
size_t intake_scratch_bytes(const transcode_limits *limits); /* of shared.scratch */
void intake_init(intake *in, const intake_shared *shared, void *mem, size_t mem_bytes);

/* A new snapshot. `realm_known`: a first pass has seen that this very body is the asked realm's. */
void intake_begin(intake *in, const snapshot_id *snapshot, bool realm_known);

/* As transcoder_feed; GV_AGAIN when no batch is free: feed the rest when one is. When none can come
 * back by itself, because all are being filled, call intake_hand_over() for those that fill them. */
gv_status intake_feed(intake *in, gv_span bytes, size_t *taken, gv_error *err);

/* Submits what the open batches hold so far. */
void intake_hand_over(intake *in);

/* All bytes have been fed: judges the body and submits what is left. */
intake_verdict intake_end(intake *in, gv_error *err);

/* The transfer broke: what is not yet submitted is given up. */
void intake_abort(intake *in);

/* A batch of this intake came back from the forwarder. */
void intake_returned(intake *in, batch *b, uint32_t refused);

const transcode_counts *intake_counts(const intake *in);

#endif
