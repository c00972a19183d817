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

static inline bool avro_put_long(gv_buf *out, int64_t v); /* also an int, an index of an enum... */
bool avro_put_boolean(gv_buf *out, bool v);
bool avro_put_float(gv_buf *out, float v);
bool avro_put_double(gv_buf *out, double v);
bool avro_put_bytes(gv_buf *out, gv_span v); /* string too */

/* Where a count or a length goes in front of bytes that come first: avro_reserve() leaves room for
 * it, avro_prefix() puts it there, moving what follows if the number is long. */
bool avro_reserve(gv_buf *out, size_t *mark);
bool avro_prefix(gv_buf *out, size_t mark, int64_t v);

/* --- inlined: most of what an agent does ------------------------------------------------------ */

bool avro_put_long_slowly(gv_buf *out, int64_t v);

/* Numbers are of any length, so a loop would be mispredicted all the time: the bits are spread to
 * seven in a byte by a few shifts. */
static inline bool avro_put_long(gv_buf *out, int64_t v)
{
    uint64_t z = avro_zigzag(v);

    if (z >> 56 != 0 || out->cap - out->len < 8)
        return avro_put_long_slowly(out, v);
    unsigned bits = 64 - (unsigned)__builtin_clzll(z | 1), bytes = (bits * 9 + 64) / 64;
    if (bytes > 4)
        z = (z & UINT64_C(0x00FFFFFFF0000000)) << 4 | (z & UINT64_C(0x000000000FFFFFFF));
    z = (z & UINT64_C(0x0FFFC0000FFFC000)) << 2 | (z & UINT64_C(0x00003FFF00003FFF));
    z = (z & UINT64_C(0x3F803F803F803F80)) << 1 | (z & UINT64_C(0x007F007F007F007F));
    /* All bytes but the last say that more follow. */
    z |= UINT64_C(0x8080808080808080) & ((UINT64_C(1) << 8 * (bytes - 1)) - 1);
    gv_put_le64(out->data + out->len, z);
    out->len += bytes;
    return true;
}

/* The index of a branch or a symbol; most are below 64. */
static inline bool avro_put_index(gv_buf *out, uint32_t index)
{
    if (index >= 64 || out->len == out->cap)
        return avro_put_long(out, index);
    out->data[out->len++] = (uint8_t)(index << 1);
    return true;
}

#endif
