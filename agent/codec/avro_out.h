/* avro_out.h - Avro's binary encoding, appended to a buffer.
 *
 * Every function appends all of its value or nothing; false when it does not fit.
 * Source: Apache Avro 1.12 specification, binary encoding.
 */
#ifndef GAVEL_CODEC_AVRO_OUT_H
#define GAVEL_CODEC_AVRO_OUT_H

#include "platform/span.h"

#define AVRO_LONG_MAX_BYTES 10u

static inline uint64_t avro_zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t avro_unzigzag(uint64_t z)
{
    return (int64_t)(z >> 1 ^ (0 - (z & 1)));
}

/* Bytes that avro_put_long() takes. */
size_t avro_long_bytes(int64_t v);

bool avro_put_long(gv_buf *out, int64_t v); /* int too, and the index of an enum or a union */
bool avro_put_boolean(gv_buf *out, bool v);
bool avro_put_float(gv_buf *out, float v);
bool avro_put_double(gv_buf *out, double v);
bool avro_put_bytes(gv_buf *out, gv_span v); /* string too */

/* Where a count or a length goes in front of bytes that come first: avro_reserve() leaves room for
 * it, avro_prefix() puts it there, moving what follows if the number is long. */
bool avro_reserve(gv_buf *out, size_t *mark);
bool avro_prefix(gv_buf *out, size_t mark, int64_t v);

#endif
