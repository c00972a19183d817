/* codec_reencode.h - decodes an Avro body with avro_in.h and encodes what it hears again. */
#ifndef GAVEL_TESTS_CODEC_REENCODE_H
#define GAVEL_TESTS_CODEC_REENCODE_H

#include "agent/codec/avro_in.h"

/* GV_OK: `out` holds the same values, each array and map in one block. The status of the walk
 * otherwise; GV_FULL when out is too small. Unions must not have both float and double. */
gv_status codec_reencode(const schema_node *root, gv_span body, gv_buf *out, gv_error *err);

#endif
