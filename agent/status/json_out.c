#include "agent/status/json_out.h"

#include "agent/codec/avro_json.h"
#include "agent/codec/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define YEAR_10000_MS INT64_C(253402300800000) /* behind what four digits of a year can tell */

static void put(json_out *j, const char *text, size_t len)
{
    if (!j->failed && !gv_buf_put(j->buf, text, len))
        j->failed = true;
}

/* A text on its way out, of which only so much is to come. */
typedef struct {
    json_out *j;
    size_t left;
} cut_text;

/* Pieces are quotes, whole escapes, or characters that need none. */
static gv_status put_piece(void *ctx, const char *piece, size_t len, gv_error *err)
{
    cut_text *t = ctx;
    (void)err;
    if (piece[0] == '"') {
        put(t->j, piece, len);
        return GV_OK;
    }
    size_t fits = len;
    if (len > t->left) /* never half a character, or half an escape */
        fits = piece[0] == '\\' ? 0 : utf8_valid_prefix(gv_span_of(piece, t->left));
    put(t->j, piece, fits);
    t->left = fits < len ? 0 : t->left - len;
    return GV_OK;
}

static void before(json_out *j, const char *name)
{
    if (j->comma)
        put(j, ",", 1);
    j->comma = true;
    if (!name)
        return;
    put(j, "\"", 1);
    put(j, name, strlen(name));
    put(j, "\":", 2);
}

void json_raw(json_out *j, const char *name, const char *value)
{
    before(j, name);
    put(j, value, strlen(value));
}

void json_begin(json_out *j, const char *name, char bracket)
{
    before(j, name);
    put(j, &bracket, 1);
    j->comma = false;
}

void json_end(json_out *j, char bracket)
{
    put(j, &bracket, 1);
    j->comma = true;
}

void json_text(json_out *j, const char *name, const char *text)
{
    uint8_t room[JSON_OUT_TEXT_MAX];
    gv_buf clean = gv_buf_of(room, sizeof room);
    uint32_t replaced = 0;
    cut_text t = { j, JSON_OUT_TEXT_MAX };
    (void)utf8_put_clean(&clean, gv_span_str(text), &replaced); /* what does not fit is cut */
    before(j, name);
    (void)avro_json_string(gv_span_of(room, utf8_valid_prefix(gv_span_of(room, clean.len))),
                           put_piece, &t, NULL);
}

void json_text_or_null(json_out *j, const char *name, const char *text)
{
    if (text[0])
        json_text(j, name, text);
    else
        json_null(j, name);
}

void json_uint(json_out *j, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    json_raw(j, name, text);
}

void json_int_or_null(json_out *j, const char *name, int64_t value)
{
    char text[24] = "null";
    if (value != INT64_MIN)
        snprintf(text, sizeof text, "%" PRId64, value);
    json_raw(j, name, text);
}

void json_bool(json_out *j, const char *name, bool value)
{
    json_raw(j, name, value ? "true" : "false");
}

void json_null(json_out *j, const char *name)
{
    json_raw(j, name, "null");
}

void json_time(json_out *j, const char *name, int64_t ms)
{
    char text[32];
    struct tm utc;
    time_t seconds = (time_t)(ms / 1000);
    if (ms < 0 || ms >= YEAR_10000_MS || !gmtime_r(&seconds, &utc) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        json_null(j, name);
    else
        json_text(j, name, text);
}

json_mark_at json_mark(const json_out *j)
{
    return (json_mark_at){ j->buf->len, j->comma };
}

void json_back(json_out *j, json_mark_at mark)
{
    j->buf->len = mark.len;
    j->comma = mark.comma;
    j->failed = false;
}
