/* pipeline_internal.h - what the files of the pipeline share; nobody else includes it. */
#ifndef GAVEL_PIPELINE_PIPELINE_INTERNAL_H
#define GAVEL_PIPELINE_PIPELINE_INTERNAL_H

#include "agent/pipeline/intake.h"
#include "agent/pipeline/pipeline.h"

typedef enum {
    LANE_FREE,
    LANE_RECEIVING,
    LANE_ENDING,
    LANE_DRAINING,
    LANE_PROVING,
    LANE_PROVED
} lane_state;

typedef struct {
    intake in; /* first: a batch's owner is its intake, and so its lane */
    unsigned number;
    lane_state state;
    bool starved;        /* the transfer is paused for want of a batch ... */
    uint64_t starved_ms; /* ... since then; before that it had waited for waited_ms */
    uint64_t waited_ms;
    bool ledger_sent;
    outlet_fate fate; /* of the ledger entry, and so of the snapshot */
    source_outcome outcome;
    uint64_t started_ms;
    gv_error why; /* of a broken one */
} lane;

struct pipeline {
    pipeline_config config;
    const plat_clock *clock;
    source *source;
    outlet *outlet;
    schema auction, reject;
    const plan *plan;
    intake_shared shared;
    batch_pool pool;
    pipeline_counts counts;
    bool noted;           /* some lane may be able to go on */
    uint32_t with_outlet; /* batches */
    lane lanes[SOURCE_TRANSFERS_MAX];
    void *codec_memory;
    uint8_t *memory; /* batches, scratch, transcoders */
};

/* To the outlet; ctx is the pipeline. */
void pipeline_submit(void *ctx, batch *b);

#endif
