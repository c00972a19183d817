/* avro_json.h - an Avro body as one line of JSON, or of text for a person.
 *
 * AVRO_JSON: plain JSON. Integers have all their digits, whatever their size; a union is its value
 * alone; bytes and fixed are strings with one character (U+0000 to U+00FF) a byte; reals are as
 * short as they can be read back exactly, and "NaN", "Infinity", "-Infinity".
 * AVRO_TEXT: the same with names as they are, name=value, and without members that are null.
 *
 * Errors: those of avro_in_walk() and of `put`; what was put before stays. avro_in_check() tells
 *         beforehand.
 * Memory: none; pieces are put as they come.
 * Source: RFC 8259; Apache Avro 1.12 specification, JSON encoding.
 */
#ifndef GAVEL_CODEC_AVRO_JSON_H
#define GAVEL_CODEC_AVRO_JSON_H

#include "agent/codec/avro_in.h"

typedef enum { AVRO_JSON, AVRO_TEXT } avro_json_style;

typedef gv_status avro_json_put(void *ctx, const char *text, size_t len, gv_error *err);

gv_status avro_json_write(const schema_node *root, gv_span body, avro_json_style style,
                          avro_json_put *put, void *ctx, gv_error *err);

/* A string with its quotes, from UTF-8. */
gv_status avro_json_string(gv_span text, avro_json_put *put, void *ctx, gv_error *err);

#endif
