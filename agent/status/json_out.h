/* json_out.h - writes JSON into a buffer, piece by piece; what comes out is always UTF-8.
 *
 * Commas are put where they belong. In an array `name` is NULL. Once something did not fit, `failed` is
 * set and nothing more is written: cut the buffer back to a length noted before, and the text goes on
 * from there (json_mark, json_back).
 *
 * Memory: none. Texts that would take more than JSON_OUT_TEXT_MAX bytes are cut, between characters.
 * Source: RFC 8259.
 */
#ifndef GAVEL_STATUS_JSON_OUT_H
#define GAVEL_STATUS_JSON_OUT_H

#include "platform/span.h"

#define JSON_OUT_TEXT_MAX 512

typedef struct {
    gv_buf *buf;
    bool comma; /* before what comes next */
    bool failed;
} json_out;

typedef struct {
    size_t len;
    bool comma;
} json_mark_at;

void json_begin(json_out *j, const char *name, char bracket); /* '{' or '[' */
void json_end(json_out *j, char bracket);                     /* '}' or ']' */
void json_text(json_out *j, const char *name, const char *text);
void json_text_or_null(json_out *j, const char *name, const char *text); /* "" is null */
void json_uint(json_out *j, const char *name, uint64_t value);
void json_int_or_null(json_out *j, const char *name, int64_t value); /* INT64_MIN is null */
void json_bool(json_out *j, const char *name, bool value);
void json_null(json_out *j, const char *name);
void json_raw(json_out *j, const char *name, const char *value); /* a number, as text */

/* "2026-11-27T01:00:00Z"; INT64_MIN is null. */
void json_time(json_out *j, const char *name, int64_t ms);

json_mark_at json_mark(const json_out *j);
void json_back(json_out *j, json_mark_at mark);

#endif
