/* codec_reference.h - a second opinion on what a JSON record is in Avro: jansson reads it, this
 * file applies the rules of transcode.h to a tree, avro-c writes it.
 */
#ifndef GAVEL_TESTS_CODEC_REFERENCE_H
#define GAVEL_TESTS_CODEC_REFERENCE_H

#include "platform/span.h"

#include <avro.h>
#include <jansson.h>

typedef struct {
    json_t *schema;
    avro_schema_t avro;
    avro_value_iface_t *iface;
    json_t *bound; /* the fields that do not come from the JSON; NULL for none */
} reference;

/* Takes `bound` over. */
void reference_open(reference *r, const char *avsc, json_t *bound);
void reference_close(reference *r);

/* Encodes `record`, an object. */
void reference_encode(const reference *r, const json_t *record, gv_buf *out);

/* Reads a body with avro-c; false when it refuses, or leaves bytes over. */
bool reference_reads(const reference *r, gv_span body);

/* Appends a random record of the schema as JSON text: any order, absent members, unknown members,
 * escapes, white space, numbers at their limits. Nothing in it breaks the schema. */
void reference_generate(const reference *r, uint32_t *random, int64_t id, gv_buf *out);

#endif
