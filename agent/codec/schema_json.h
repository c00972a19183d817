/* schema_json.h - what the files of the schema reader share; nobody else includes it. */
#ifndef GAVEL_CODEC_SCHEMA_JSON_H
#define GAVEL_CODEC_SCHEMA_JSON_H

#include "agent/codec/schema.h"

#include <cjson/cJSON.h>

/* Encodes `value` as the default of `field`, whose type is known, into the arena. */
gv_status schema_encode_default(schema_field *field, const cJSON *value, const char *record,
                                gv_arena *arena, gv_error *err);

/* CRC-64-AVRO of the Parsing Canonical Form. */
uint64_t schema_fingerprint(const schema_node *root);

#endif
