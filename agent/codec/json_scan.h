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

/* Passes white space, `byte`, white space. */
const uint8_t *json_scan_expect(json_reader *r, const uint8_t *p, uint8_t byte,
                                const char *expected);

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

#endif
