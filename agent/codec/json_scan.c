#include "agent/codec/json_scan.h"

#include "agent/codec/utf8.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

const uint8_t json_kind_of[256] = {
    ['n'] = JSON_NULL,   ['t'] = JSON_BOOLEAN, ['f'] = JSON_BOOLEAN, ['"'] = JSON_STRING,
    ['['] = JSON_ARRAY,  ['{'] = JSON_OBJECT,  ['-'] = JSON_NUMBER,  ['0'] = JSON_NUMBER,
    ['1'] = JSON_NUMBER, ['2'] = JSON_NUMBER,  ['3'] = JSON_NUMBER,  ['4'] = JSON_NUMBER,
    ['5'] = JSON_NUMBER, ['6'] = JSON_NUMBER,  ['7'] = JSON_NUMBER,  ['8'] = JSON_NUMBER,
    ['9'] = JSON_NUMBER,
};

const char *const json_kind_name[JSON_KINDS] = {
    "nothing", "null", "a boolean", "a number", "a string", "an array", "an object",
};

const uint8_t *json_scan_fail(json_reader *r, const uint8_t *at, const char *expected)
{
    r->stop = JSON_BAD;
    r->at = at;
    r->expected = expected;
    return NULL;
}

const uint8_t *json_scan_short(json_reader *r)
{
    r->stop = JSON_SHORT;
    r->at = r->end;
    return NULL;
}

const uint8_t *json_scan_space(json_reader *r, const uint8_t *p)
{
    while (p != r->end && json_is_space(*p))
        p++;
    return p == r->end ? json_scan_short(r) : p;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* From the backslash on. */
static const uint8_t *check_escape(json_reader *r, const uint8_t *p)
{
    if (++p == r->end)
        return json_scan_short(r);
    switch (*p) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 1;
    case 'u':
        for (int i = 0; i < 4; i++) {
            if (++p == r->end)
                return json_scan_short(r);
            if (hex_digit(*p) < 0)
                return json_scan_fail(r, p, "a hexadecimal digit");
        }
        return p + 1;
    default:
        return json_scan_fail(r, p, "an escape that JSON knows");
    }
}

/* The top bit of each byte that is a quote, a backslash or a control character. Bytes over 0x7F do
 * not count; a byte after a hit may be a false one, so the first hit is the one to look at. */
static uint64_t special_bytes(uint64_t word)
{
    uint64_t quote = word ^ ONES * '"', backslash = word ^ ONES * '\\';

    return ((quote - ONES) | (backslash - ONES) | (word - ONES * 0x20)) & ~word & HIGHS;
}

const uint8_t *json_scan_string(json_reader *r, const uint8_t *p, json_text *text)
{
    const uint8_t *begin = ++p;
    uint64_t high = 0;

    text->escaped = false;
    for (;;) {
        while (r->end - p >= 8) {
            uint64_t word = gv_get_le64(p), special = special_bytes(word);
            if (special != 0) {
                int skip = __builtin_ctzll(special) & ~7;
                high |= word & HIGHS & ((UINT64_C(1) << skip) - 1);
                p += skip >> 3;
                break;
            }
            high |= word & HIGHS;
            p += 8;
        }
        if (p == r->end)
            return json_scan_short(r);
        if (*p == '"')
            break;
        if (*p == '\\') {
            text->escaped = true;
            p = check_escape(r, p);
            if (!p)
                return NULL;
        } else if (*p < 0x20) {
            return json_scan_fail(r, p, "no control character within a string");
        } else {
            high |= *p++ & 0x80;
        }
    }
    text->raw = gv_span_of(begin, (size_t)(p - begin));
    text->plain = high == 0 && !text->escaped;
    return p + 1;
}

static const uint8_t *digits(json_reader *r, const uint8_t *p)
{
    if (p == r->end)
        return json_scan_short(r);
    if (*p < '0' || *p > '9')
        return json_scan_fail(r, p, "a digit");
    while (p != r->end && *p >= '0' && *p <= '9')
        p++;
    return p == r->end ? json_scan_short(r) : p;
}

/* Exact: the sum is kept below zero, whose range is the larger one. */
static bool read_integer(const uint8_t *p, const uint8_t *end, bool negative, int64_t *value)
{
    int64_t v = 0;

    for (; p != end; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *p - '0', &v))
            return false;
    if (!negative && v == INT64_MIN)
        return false;
    *value = negative ? v : -v;
    return true;
}

const uint8_t *json_scan_number(json_reader *r, const uint8_t *p, json_number *number)
{
    const uint8_t *begin = p, *first = p + (*p == '-');

    p = digits(r, first);
    if (!p)
        return NULL;
    if (*first == '0' && p - first > 1)
        return json_scan_fail(r, first + 1, "no digit after a leading zero");
    number->integer = *p != '.' && *p != 'e' && *p != 'E';
    if (number->integer)
        number->overflow = !read_integer(first, p, *begin == '-', &number->value);
    if (*p == '.') {
        p = digits(r, p + 1);
        if (!p)
            return NULL;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (p != r->end && (*p == '+' || *p == '-'))
            p++;
        p = digits(r, p);
        if (!p)
            return NULL;
    }
    number->raw = gv_span_of(begin, (size_t)(p - begin));
    return p;
}

const uint8_t *json_scan_literal(json_reader *r, const uint8_t *p)
{
    const char *word = *p == 'n' ? "null" : *p == 't' ? "true" : "false";

    for (; *word; word++, p++) {
        if (p == r->end)
            return json_scan_short(r);
        if (*p != (uint8_t)*word)
            return json_scan_fail(r, p, "null, true or false");
    }
    return p;
}

static const uint8_t *skip_name(json_reader *r, const uint8_t *p)
{
    json_text name;

    if (*p != '"')
        return json_scan_fail(r, p, "a member's name in quotes");
    p = json_scan_string(r, p, &name);
    return p ? json_scan_expect(r, p, ':', "a colon") : NULL;
}

static const uint8_t *skip_container(json_reader *r, const uint8_t *p)
{
    bool object = *p == '{';
    uint8_t close = object ? '}' : ']';

    if (r->depth_left == 0) {
        r->stop = JSON_DEEP;
        return NULL;
    }
    r->depth_left--;
    p = json_scan_next(r, p + 1);
    if (p && *p == close)
        goto closed;
    while (p) {
        if (object && !(p = skip_name(r, p)))
            break;
        if (!(p = json_scan_value(r, p)) || !(p = json_scan_next(r, p)))
            break;
        if (*p == close)
            goto closed;
        p = json_scan_expect(r, p, ',', object ? "a comma or }" : "a comma or ]");
    }
    return NULL;
closed:
    r->depth_left++;
    return p + 1;
}

const uint8_t *json_scan_value(json_reader *r, const uint8_t *p)
{
    json_text text;
    json_number number;

    switch (json_kind_of[*p]) {
    case JSON_STRING:
        return json_scan_string(r, p, &text);
    case JSON_NUMBER:
        return json_scan_number(r, p, &number);
    case JSON_NULL:
    case JSON_BOOLEAN:
        return json_scan_literal(r, p);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return skip_container(r, p);
    default:
        return json_scan_fail(r, p, "a value");
    }
}

static uint32_t four_hex_digits(const uint8_t *p)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)hex_digit(p[i]);
    return unit;
}

/* Reads the escape at p, already checked; a high surrogate takes its low one along. */
static const uint8_t *read_escape(const uint8_t *p, const uint8_t *end, uint32_t *code_point)
{
    static const uint8_t simple[256] = {
        ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
    };

    if (p[1] != 'u') {
        *code_point = simple[p[1]] ? simple[p[1]] : p[1];
        return p + 2;
    }
    uint32_t unit = four_hex_digits(p + 2);
    *code_point = unit;
    p += 6;
    if (unit >= 0xD800 && unit < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        uint32_t low = four_hex_digits(p + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            *code_point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            p += 6;
        }
    }
    return p;
}

bool json_put_text(gv_buf *out, const json_text *text, uint32_t *replaced)
{
    const uint8_t *p = text->raw.data, *end = p + text->raw.len;

    if (text->plain)
        return gv_buf_put(out, p, text->raw.len);
    while (p != end) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        const uint8_t *stop = escape ? escape : end;
        uint32_t code_point;
        uint8_t bytes[4];

        if (!utf8_put_clean(out, gv_span_of(p, (size_t)(stop - p)), replaced))
            return false;
        if (!escape)
            return true;
        p = read_escape(escape, end, &code_point);
        if (code_point >= 0xD800 && code_point < 0xE000) {
            code_point = UTF8_REPLACEMENT;
            (*replaced)++;
        }
        if (!gv_buf_put(out, bytes, utf8_write(code_point, bytes)))
            return false;
    }
    return true;
}
