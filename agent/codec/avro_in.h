/* avro_in.h - walks an Avro body by its writer schema and tells a visitor what it finds.
 *
 * Safe on any bytes: lengths and block counts are checked against what is left, nesting is bounded
 * by AVRO_IN_DEPTH_MAX. All bytes must be used up.
 * Errors: GV_CORRUPT with the path and the reason. Any status from a visitor stops the walk.
 * Source: Apache Avro 1.12 specification, binary encoding.
 */
#ifndef GAVEL_CODEC_AVRO_IN_H
#define GAVEL_CODEC_AVRO_IN_H

#include "agent/codec/schema.h"

#define AVRO_IN_DEPTH_MAX 64

/* Every value is announced with the name it has in its record or map, NULL at the root, and in an
 * array its index as `index`. A union announces the value of its branch. */
typedef struct {
    gv_status (*null_value)(void *ctx, gv_span name, uint32_t index, gv_error *err);
    gv_status (*boolean)(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err);
    gv_status (*integer)(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                         int64_t v, gv_error *err);
    gv_status (*floating)(void *ctx, gv_span name, uint32_t index, double v, gv_error *err);
    /* string, bytes, fixed (type->kind tells), and enum as its symbol */
    gv_status (*text)(void *ctx, gv_span name, uint32_t index, const schema_node *type, gv_span v,
                      gv_error *err);
    /* record, map, array; `end` closes the innermost open one */
    gv_status (*begin)(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                       gv_error *err);
    gv_status (*end)(void *ctx, const schema_node *type, gv_error *err);
    void *ctx;
} avro_visitor;

gv_status avro_in_walk(const schema_node *root, gv_span body, const avro_visitor *visitor,
                       gv_error *err);

/* The same without a visitor: is it a body of that schema? */
gv_status avro_in_check(const schema_node *root, gv_span body, gv_error *err);

#endif
