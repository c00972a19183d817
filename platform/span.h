/* span.h - bounded views of bytes, and explicit byte order.
 *
 * Units:     bytes.
 * Ownership: a span borrows; a buffer borrows its storage and never grows it.
 */
#ifndef GAVEL_PLATFORM_SPAN_H
#define GAVEL_PLATFORM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *data;
    size_t len;
} gv_span;

typedef struct {
    uint8_t *data;
    size_t len; /* bytes in use */
    size_t cap;
} gv_buf;

static inline gv_span gv_span_of(const void *data, size_t len)
{
    return (gv_span){ (const uint8_t *)data, len };
}

static inline gv_span gv_span_str(const char *text)
{
    return gv_span_of(text, strlen(text));
}

static inline bool gv_span_equal(gv_span a, gv_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline gv_buf gv_buf_of(void *data, size_t cap)
{
    return (gv_buf){ (uint8_t *)data, 0, cap };
}

/* Appends all of `len` bytes or nothing; false when they do not fit. */
static inline bool gv_buf_put(gv_buf *buf, const void *data, size_t len)
{
    if (len > buf->cap - buf->len)
        return false;
    if (len != 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return true;
}

/* Written out, not as loops: compilers make one load or store of each. */
static inline void gv_put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline uint32_t gv_get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void gv_put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline uint32_t gv_get_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline void gv_put_le64(uint8_t *p, uint64_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    p[4] = (uint8_t)(v >> 32);
    p[5] = (uint8_t)(v >> 40);
    p[6] = (uint8_t)(v >> 48);
    p[7] = (uint8_t)(v >> 56);
}

static inline uint64_t gv_get_le64(const uint8_t *p)
{
    return (uint64_t)p[7] << 56 | (uint64_t)p[6] << 48 | (uint64_t)p[5] << 40 |
           (uint64_t)p[4] << 32 | (uint64_t)p[3] << 24 | (uint64_t)p[2] << 16 |
           (uint64_t)p[1] << 8 | p[0];
}

#endif
