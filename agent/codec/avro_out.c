#include "agent/codec/avro_out.h"

size_t avro_long_bytes(int64_t v)
{
    size_t bytes = 1;

    for (uint64_t z = avro_zigzag(v); z >= 0x80; z >>= 7)
        bytes++;
    return bytes;
}

/* Writes avro_long_bytes(v) bytes. */
static void write_long(uint8_t *p, int64_t v)
{
    uint64_t z = avro_zigzag(v);

    for (; z >= 0x80; z >>= 7)
        *p++ = (uint8_t)(z | 0x80);
    *p = (uint8_t)z;
}

bool avro_put_long_slowly(gv_buf *out, int64_t v)
{
    size_t bytes = avro_long_bytes(v);

    if (bytes > out->cap - out->len)
        return false;
    write_long(out->data + out->len, v);
    out->len += bytes;
    return true;
}

bool avro_put_boolean(gv_buf *out, bool v)
{
    return gv_buf_put(out, &(uint8_t){ v }, 1);
}

bool avro_put_float(gv_buf *out, float v)
{
    uint32_t bits;
    uint8_t bytes[4];

    memcpy(&bits, &v, sizeof bits);
    gv_put_le32(bytes, bits);
    return gv_buf_put(out, bytes, sizeof bytes);
}

bool avro_put_double(gv_buf *out, double v)
{
    uint64_t bits;
    uint8_t bytes[8];

    memcpy(&bits, &v, sizeof bits);
    gv_put_le64(bytes, bits);
    return gv_buf_put(out, bytes, sizeof bytes);
}

bool avro_put_bytes(gv_buf *out, gv_span v)
{
    size_t before = out->len;

    if (avro_put_long(out, (int64_t)v.len) && gv_buf_put(out, v.data, v.len))
        return true;
    out->len = before;
    return false;
}

bool avro_reserve(gv_buf *out, size_t *mark)
{
    *mark = out->len;
    return gv_buf_put(out, "", 1);
}

bool avro_prefix(gv_buf *out, size_t mark, int64_t v)
{
    size_t bytes = avro_long_bytes(v);

    if (bytes - 1 > out->cap - out->len)
        return false;
    if (bytes > 1)
        memmove(out->data + mark + bytes, out->data + mark + 1, out->len - mark - 1);
    write_long(out->data + mark, v);
    out->len += bytes - 1;
    return true;
}
