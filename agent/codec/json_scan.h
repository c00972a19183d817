/* json_scan.h - reads JSON values out of contiguous bytes.
 *
 * Each function takes the position of its value's first byte and answers the position after it, or
 * NULL; json_reader.stop then says why. Nothing is copied: a text refers to the bytes read.
 * Strict (RFC 8259), but for one thing: ill-formed UTF-8 in a string is let through, since the one
 * who copies a text replaces it.
 * Depth: bounded by depth_left, so that recursion is bounded too.
 */
#ifndef GAVEL_CODEC_JSON_SCAN_H
#define GAVEL_CODEC_JSON_SCAN_H

#include "platform/span.h"

typedef enum {
    JSON_SHORT,  /* the bytes end within the value; more of them might complete it */
    JSON_BAD,    /* not JSON: `at` is the offending byte, `expected` what should be there */
    JSON_DEEP,   /* nested deeper than allowed */
    JSON_REFUSED /* well-formed so far, but not what the reader's user wants; nobody here says so */
} json_stop;

typedef struct {
    const uint8_t *end;
    uint32_t depth_left;
    json_stop stop;
    const uint8_t *at;
    const char *expected;
} json_reader;

typedef struct {
    gv_span raw;  /* between the quotes */
    bool escaped; /* a backslash is in it */
    bool plain;   /* neither a backslash nor a byte over 0x7F: raw is the text */
} json_text;

typedef struct {
    gv_span raw;
    int64_t value; /* with `integer` and not `overflow` */
    bool integer;  /* neither a fraction nor an exponent */
    bool overflow; /* an integer outside of 64 bits */
} json_number;

typedef enum {
    JSON_NOTHING,
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
    JSON_KINDS
} json_kind;

/* What a value is, by its first byte. */
extern const uint8_t json_kind_of[256];
extern const char *const json_kind_name[JSON_KINDS];

const uint8_t *json_scan_string(json_reader *r, const uint8_t *p, json_text *text);
const uint8_t *json_scan_number(json_reader *r, const uint8_t *p, json_number *number);
const uint8_t *json_scan_literal(json_reader *r, const uint8_t *p); /* null, true, false */
const uint8_t *json_scan_value(json_reader *r, const uint8_t *p);   /* any value */

/* Passes white space; NULL where the bytes end. */
const uint8_t *json_scan_space(json_reader *r, const uint8_t *p);

const uint8_t *json_scan_fail(json_reader *r, const uint8_t *at, const char *expected);
const uint8_t *json_scan_short(json_reader *r);

/* Appends the text as UTF-8: escapes resolved; lone surrogates and ill-formed bytes become U+FFFD
 * and are added to *replaced. False when it does not fit; a part may then have been appended. */
bool json_put_text(gv_buf *out, const json_text *text, uint32_t *replaced);

/* --- the fast paths, which must be inlined ------------------------------------------------- */

static inline bool json_is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next byte that is no white space; NULL where the bytes end. */
static inline const uint8_t *json_scan_next(json_reader *r, const uint8_t *p)
{
    if (p != r->end && *p > ' ')
        return p;
    return json_scan_space(r, p);
}

/* Passes white space, `byte`, white space. */
static inline const uint8_t *json_scan_expect(json_reader *r, const uint8_t *p, uint8_t byte,
                                              const char *expected)
{
    p = json_scan_next(r, p);
    if (!p)
        return NULL;
    if (*p != byte)
        return json_scan_fail(r, p, expected);
    return json_scan_next(r, p + 1);
}

/* Eight decimal digits as values 0 to 9, the first one in the lowest byte: neighbours are joined to
 * pairs, pairs to fours, fours to the number. */
static inline uint64_t json_eight_digits(uint64_t digits)
{
    digits = (digits * (1 + (10u << 8)) >> 8) & UINT64_C(0x00FF00FF00FF00FF);
    digits = (digits * (1 + (100u << 16)) >> 16) & UINT64_C(0x0000FFFF0000FFFF);
    return digits * (1 + (UINT64_C(10000) << 32)) >> 32;
}

/* The top bit of each byte that is not a value from 0 to 9. */
static inline uint64_t json_no_digits(uint64_t word)
{
    const uint64_t highs = UINT64_C(0x8080808080808080);

    return (((word & ~highs) + (highs - UINT64_C(0x0A0A0A0A0A0A0A0A))) | word) & highs;
}

/* Reads an integer of up to 15 digits without a branch for each of them. NULL: it is something
 * else, or something is wrong with it; json_scan_number() knows. */
static inline const uint8_t *json_scan_integer(const json_reader *r, const uint8_t *p,
                                               int64_t *value)
{
    static const uint32_t power[8] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000 };
    const uint64_t zeros = UINT64_C(0x3030303030303030);
    bool negative = *p == '-';
    const uint8_t *first = p + negative;

    if (r->end - first <= 16)
        return NULL;
    uint64_t word = gv_get_le64(first) ^ zeros, stop = json_no_digits(word), sum;
    if (stop != 0) {
        unsigned bits = (unsigned)__builtin_ctzll(stop) & ~7u;
        if (bits == 0)
            return NULL;
        sum = json_eight_digits(word << (64 - bits));
        p = first + bits / 8;
    } else {
        sum = json_eight_digits(word);
        word = gv_get_le64(first + 8) ^ zeros;
        stop = json_no_digits(word);
        if (stop == 0)
            return NULL;
        unsigned bits = (unsigned)__builtin_ctzll(stop) & ~7u;
        if (bits != 0)
            sum = sum * power[bits / 8] + json_eight_digits(word << (64 - bits));
        p = first + 8 + bits / 8;
    }
    if (*p == '.' || (*p | 0x20) == 'e' || (*first == '0' && p - first > 1))
        return NULL;
    *value = negative ? -(int64_t)sum : (int64_t)sum;
    return p;
}

#endif
