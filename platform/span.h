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

static inline void gv_put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static inline uint32_t gv_get_be32(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | p[i];
    return v;
}

static inline void gv_put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t gv_get_le32(const uint8_t *p)
{
    uint32_t v = 0;
    for (int i = 3; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static inline void gv_put_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t gv_get_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

#endif
