#include "agent/codec/utf8.h"

/* The second byte's range depends on the first one: it excludes overlong forms, surrogates and
 * what lies beyond U+10FFFF. */
size_t utf8_sequence(const uint8_t *p, const uint8_t *end, size_t *bad)
{
    uint8_t first = p[0], low = 0x80, high = 0xBF;
    size_t length;

    *bad = 1;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (p + i == end || p[i] < low || p[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

size_t utf8_write(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(0xF00 >> length | c);
    return length;
}

size_t utf8_valid_prefix(gv_span text)
{
    const uint8_t *p = text.data, *end = text.data + text.len;
    size_t bad;

    while (p != end) {
        if (end - p >= 8 && (gv_get_le64(p) & UINT64_C(0x8080808080808080)) == 0) {
            p += 8;
            continue;
        }
        size_t length = utf8_sequence(p, end, &bad);
        if (length == 0)
            break;
        p += length;
    }
    return (size_t)(p - text.data);
}

bool utf8_put_clean(gv_buf *out, gv_span text, uint32_t *replaced)
{
    static const uint8_t replacement[] = { 0xEF, 0xBF, 0xBD };

    for (;;) {
        size_t good = utf8_valid_prefix(text), bad;
        if (!gv_buf_put(out, text.data, good))
            return false;
        text = gv_span_of(text.data + good, text.len - good);
        if (text.len == 0)
            return true;
        utf8_sequence(text.data, text.data + text.len, &bad);
        if (!gv_buf_put(out, replacement, sizeof replacement))
            return false;
        (*replaced)++;
        text = gv_span_of(text.data + bad, text.len - bad);
    }
}
