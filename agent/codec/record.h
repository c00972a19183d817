/* record.h - one JSON object, contiguous in memory, becomes one Avro record by the steps of a plan.
 *
 * Members may come in any order; what the plan does not know goes into its `extra` map, a nested
 * one under its dotted path. A member that is there twice is a breach: to keep one silently would
 * be to lose the other.
 * Ownership: the body is valid until the next call.
 * Memory:    record_mem_needed() bytes, handed in.
 */
#ifndef GAVEL_CODEC_RECORD_H
#define GAVEL_CODEC_RECORD_H

#include "agent/codec/plan_steps.h"
#include "agent/codec/transcode.h"

#define RECORD_PATH_MAX   192
#define RECORD_REASON_MAX 128
#define RECORD_NAME_SLOTS 1024 /* of the set of names; half of them may be used */

typedef struct {
    json_reader in;
    const plan *plan;
    plan_node root; /* the plan's, with the absent values of this document */
    uint32_t *absent_at;
    uint8_t *absent;
    transcode_limits limits;
    gv_buf body;
    uint8_t *spare;  /* as large as body: fields on their way into schema order */
    gv_buf extra;    /* entries of the map, encoded */
    uint64_t *names; /* hashes of unknown members and map keys, to find one that is there twice */

    /* of the record in hand */
    int64_t position;
    int64_t integer; /* the last one read */
    int64_t key;
    uint32_t name_count;
    uint32_t map_count;
    uint32_t extra_count;
    uint32_t unknown;
    uint32_t replaced;
    char reason[RECORD_REASON_MAX];
    char path[RECORD_PATH_MAX];
} record_encoder;

size_t record_mem_needed(const plan *p, const transcode_limits *limits);

void record_init(record_encoder *e, gv_arena *arena, const plan *p, const transcode_limits *limits);

/* Sets the bound fields for the records to come. */
void record_bind(record_encoder *e, const plan_value *values);

/* Encodes the object that begins at json.data[0], an opening brace; `depth` levels are open around
 * it. Answers the position after it, or NULL for e->in.stop: JSON_REFUSED means that it breaks the
 * schema, and e->reason and e->path say why; what follows that place was not looked at. */
const uint8_t *record_encode(record_encoder *e, gv_span json, uint32_t depth, int64_t position);

#endif
