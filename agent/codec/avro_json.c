#include "agent/codec/avro_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    avro_json_style style;
    avro_json_put *put;
    void *ctx;
    bool has_before; /* a value in the same array or object */
} writer;

static gv_status put(writer *w, const char *text, gv_error *err)
{
    return w->put(w->ctx, text, strlen(text), err);
}

/* --- strings -------------------------------------------------------------------------------- */

/* How the byte is written within quotes; NULL: as it is. */
static const char *escape(uint8_t byte, bool is_text, char room[8])
{
    switch (byte) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (byte >= 0x20 && byte != 0x7F && (is_text || byte < 0x7F))
            return NULL;
        snprintf(room, 8, "\\u%04x", (unsigned)byte);
        return room;
    }
}

static gv_status put_string(gv_span text, bool is_text, avro_json_put *out, void *ctx,
                            gv_error *err)
{
    char room[8];
    size_t done = 0;
    gv_status st = out(ctx, "\"", 1, err);

    for (size_t i = 0; i < text.len && st == GV_OK; i++) {
        const char *instead = escape(text.data[i], is_text, room);
        if (!instead)
            continue;
        if (i > done)
            st = out(ctx, (const char *)text.data + done, i - done, err);
        if (st == GV_OK)
            st = out(ctx, instead, strlen(instead), err);
        done = i + 1;
    }
    if (st == GV_OK && done < text.len)
        st = out(ctx, (const char *)text.data + done, text.len - done, err);
    return st == GV_OK ? out(ctx, "\"", 1, err) : st;
}

gv_status avro_json_string(gv_span text, avro_json_put *out, void *ctx, gv_error *err)
{
    return put_string(text, true, out, ctx, err);
}

/* --- values --------------------------------------------------------------------------------- */

/* What stands before a value: a comma, its name. Items of arrays and the root have no name. */
static gv_status before(writer *w, gv_span name, gv_error *err)
{
    gv_status st = GV_OK;

    if (w->has_before)
        st = put(w, w->style == AVRO_TEXT ? " " : ",", err);
    w->has_before = true;
    if (st != GV_OK || !name.data)
        return st;
    if (w->style == AVRO_TEXT)
        st = w->put(w->ctx, (const char *)name.data, name.len, err);
    else
        st = avro_json_string(name, w->put, w->ctx, err);
    return st == GV_OK ? put(w, w->style == AVRO_TEXT ? "=" : ":", err) : st;
}

static gv_status put_value(writer *w, gv_span name, const char *text, gv_error *err)
{
    gv_status st = before(w, name, err);

    return st == GV_OK ? put(w, text, err) : st;
}

static gv_status on_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    writer *w = ctx;

    (void)index;
    return w->style == AVRO_TEXT && name.data ? GV_OK : put_value(w, name, "null", err);
}

static gv_status on_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    (void)index;
    return put_value(ctx, name, v ? "true" : "false", err);
}

static gv_status on_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                            int64_t v, gv_error *err)
{
    char text[24];

    (void)index, (void)type;
    snprintf(text, sizeof text, "%" PRId64, v);
    return put_value(ctx, name, text, err);
}

static gv_status on_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    char text[40];

    (void)index;
    if (isnan(v))
        return put_value(ctx, name, "\"NaN\"", err);
    if (isinf(v))
        return put_value(ctx, name, v > 0 ? "\"Infinity\"" : "\"-Infinity\"", err);
    for (int digits = 15; digits <= 17; digits++) {
        double back;
        snprintf(text, sizeof text, "%.*g", digits, v);
        back = strtod(text, NULL);
        if (memcmp(&back, &v, sizeof v) == 0)
            break;
    }
    return put_value(ctx, name, text, err);
}

static gv_status on_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                         gv_span v, gv_error *err)
{
    writer *w = ctx;
    bool is_text = type->kind == SCHEMA_STRING || type->kind == SCHEMA_ENUM;
    gv_status st = before(w, name, err);

    (void)index;
    return st == GV_OK ? put_string(v, is_text, w->put, w->ctx, err) : st;
}

static gv_status on_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                          gv_error *err)
{
    writer *w = ctx;
    gv_status st = put_value(w, name, type->kind == SCHEMA_ARRAY ? "[" : "{", err);

    (void)index;
    w->has_before = false;
    return st;
}

static gv_status on_end(void *ctx, const schema_node *type, gv_error *err)
{
    writer *w = ctx;

    w->has_before = true;
    return put(w, type->kind == SCHEMA_ARRAY ? "]" : "}", err);
}

gv_status avro_json_write(const schema_node *root, gv_span body, avro_json_style style,
                          avro_json_put *out, void *ctx, gv_error *err)
{
    writer w = { style, out, ctx, false };
    const avro_visitor visitor = { on_null, on_boolean, on_integer, on_floating,
                                   on_text, on_begin,   on_end,     &w };

    return avro_in_walk(root, body, &visitor, err);
}
