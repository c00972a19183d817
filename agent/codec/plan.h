/* plan.h - an Avro record schema turned into the steps that fill it from JSON.
 *
 * The schema is data: a field of the schema is looked for under its own name in the JSON object;
 * an absent one takes its default (or null, where the union allows it), else the record is a
 * reject. Some top-level fields are bound: their value comes from the caller, not from the JSON.
 * How a JSON value becomes a union, an enum or bytes: DESIGN.md, "Choices".
 * Errors:    GV_INVAL names the field that cannot be filled; GV_FULL when the arena is too small.
 * Ownership: the plan lives in the arena and borrows the schema, which must live as long.
 */
#ifndef GAVEL_CODEC_PLAN_H
#define GAVEL_CODEC_PLAN_H

#include "agent/codec/schema.h"

#define PLAN_FIELDS_MAX 64 /* most fields of one record type */
#define PLAN_TEXT_MAX   64 /* longest bound text, bytes */

typedef enum {
    PLAN_VALUE_LONG,    /* int or long field */
    PLAN_VALUE_STRING,  /* string field */
    PLAN_VALUE_POSITION /* int or long field: rank of the record among the accepted ones, from 0 */
} plan_value_kind;

typedef struct {
    const char *field;
    plan_value_kind kind;
} plan_binding;

typedef struct {
    int64_t number;
    const char *text;
} plan_value; /* for PLAN_VALUE_POSITION: nothing is read */

typedef struct plan plan;

/* key_field: top-level int or long field whose value identifies a record ("id"); always required.
 * extra_field: top-level map-of-string field for unknown members, or NULL to drop them (counted). */
gv_status plan_build(const schema *s, const plan_binding *bindings, size_t binding_count,
                     const char *key_field, const char *extra_field, gv_arena *arena,
                     const plan **out, gv_error *err);

#endif
