/* record_parts.h - what the files of the record encoder share; nobody else includes it.
 *
 * A put_ function writes the value at p to e->body. It answers the position after the value, or NULL
 * for e->in.stop.
 */
#ifndef GAVEL_CODEC_RECORD_PARTS_H
#define GAVEL_CODEC_RECORD_PARTS_H

#include "agent/codec/avro_out.h"
#include "agent/codec/record.h"

/* The way from the root to a value, a link on the stack for each level: a field of the schema, a
 * name that only the JSON knows, or (both NULL) an index. */
typedef struct where {
    const struct where *up;
    const plan_name *field;
    const json_text *name;
    uint32_t index;
} where;

/* --- record_note.c: what is wrong with a record, or unknown ----------------------------------- */

/* All of these set e->reason, e->path and e->in.stop, and answer NULL. */
const uint8_t *record_refuse(record_encoder *e, const where *at, const char *format, ...)
    GV_PRINTF(3, 4);
const uint8_t *record_refuse_size(record_encoder *e);
const uint8_t *record_refuse_kind(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at);

/* Refuses a name that `map` (0: the extra map) has already, or one name too many. */
bool record_add_name(record_encoder *e, uint32_t map, gv_span name, const where *at);

/* Keeps the JSON text of the unknown value at `at`. */
bool record_put_extra(record_encoder *e, const where *at, gv_span json);

/* --- record_scalar.c ---------------------------------------------------------------------------- */

/* Every scalar but what put_value() does itself. */
const uint8_t *record_put_scalar(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *at);

/* The branch of a union that takes the number at p; -1 for e->in.stop. */
int32_t record_number_branch(record_encoder *e, const uint8_t *p, const plan_node *n,
                             const where *at);

/* The name that a text with escapes stands for; -1 when it is none of n's. */
int32_t record_find_escaped(const plan_node *n, const json_text *text);

#endif
