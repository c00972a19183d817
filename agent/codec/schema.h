/* schema.h - an Avro schema as a tree, and its fingerprint.
 *
 * Reads .avsc text of Avro 1.12: primitives, records, enums (with default), arrays, maps, unions,
 * fixed, named references, logical types (kept by name), field defaults.
 * Ownership: the tree lives in the arena it was parsed into; names point into it too.
 * Memory:    the arena; during the call also the heap, where cJSON keeps the text's tree.
 * Errors:    GV_INVAL names the place in the schema; GV_FULL when the arena is too small.
 * Source:    Apache Avro 1.12 specification: Parsing Canonical Form, CRC-64-AVRO.
 */
#ifndef GAVEL_CODEC_SCHEMA_H
#define GAVEL_CODEC_SCHEMA_H

#include "platform/err.h"
#include "platform/mem.h"
#include "platform/span.h"

#include <stdbool.h>

typedef enum {
    SCHEMA_NULL,
    SCHEMA_BOOLEAN,
    SCHEMA_INT,
    SCHEMA_LONG,
    SCHEMA_FLOAT,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,
    SCHEMA_STRING,
    SCHEMA_RECORD,
    SCHEMA_ENUM,
    SCHEMA_ARRAY,
    SCHEMA_MAP,
    SCHEMA_UNION,
    SCHEMA_FIXED
} schema_kind;

typedef enum {
    SCHEMA_LOGICAL_NONE, /* none, or one that changes nothing for us */
    SCHEMA_TIMESTAMP_MILLIS,
    SCHEMA_TIMESTAMP_MICROS,
    SCHEMA_DATE
} schema_logical;

#define SCHEMA_NAMED_MAX 128 /* most records, enums and fixed types of one schema */

typedef struct schema_node schema_node;

typedef struct {
    const char *name;
    const schema_node *type;
    bool has_default;
    gv_span default_avro; /* the default, Avro-encoded; meaningful with has_default */
} schema_field;

struct schema_node {
    schema_kind kind;
    schema_logical logical;
    const char *full_name; /* records, enums, fixed: with namespace; else NULL */
    uint32_t count;        /* fields, symbols, branches, or the size of a fixed in bytes */
    int32_t enum_default;  /* index of the symbol, -1 for none */
    const schema_field *fields;
    const char *const *symbols;
    const schema_node *const *branches;
    const schema_node *items; /* of an array or a map */
};

typedef struct {
    const schema_node *root;
    uint64_t fingerprint; /* CRC-64-AVRO of the Parsing Canonical Form */
} schema;

/* `text` need not outlive the call. */
gv_status schema_parse(gv_span text, gv_arena *arena, schema *out, gv_error *err);

/* Index of the symbol in an enum, -1 when it has none such. */
int32_t schema_symbol_index(const schema_node *type, gv_span symbol);

/* "null", "long", "record"... as a schema writes it. */
const char *schema_kind_name(schema_kind kind);

#endif
