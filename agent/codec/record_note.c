#include "agent/codec/record_parts.h"

#include "agent/codec/digest.h"
#include "agent/codec/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static bool put_path(gv_buf *out, const where *at, uint32_t *replaced)
{
    char index[16];

    if (!at)
        return true;
    if (!put_path(out, at->up, replaced))
        return false;
    if (!at->field && !at->name)
        return gv_buf_put(out, index,
                          (size_t)snprintf(index, sizeof index, "[%u]", (unsigned)at->index));
    if (at->up && !gv_buf_put(out, ".", 1))
        return false;
    return at->field ? gv_buf_put(out, at->field->text, at->field->len)
                     : json_put_text(out, at->name, replaced);
}

const uint8_t *record_refuse(record_encoder *e, const where *at, const char *format, ...)
{
    gv_buf out = gv_buf_of(e->path, sizeof e->path - 1);
    uint32_t replaced = 0;
    va_list args;

    va_start(args, format);
    vsnprintf(e->reason, sizeof e->reason, format, args);
    va_end(args);
    put_path(&out, at, &replaced); /* cut where it is longer */
    e->path[out.len] = '\0';
    e->in.stop = JSON_REFUSED;
    return NULL;
}

const uint8_t *record_refuse_size(record_encoder *e)
{
    return record_refuse(e, NULL, "its Avro form is longer than %zu bytes", e->limits.record_bytes);
}

/* The value at p is of another kind than n wants. */
const uint8_t *record_refuse_kind(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    json_kind kind = json_kind_of[*p];

    if (kind == JSON_NOTHING)
        return json_scan_fail(&e->in, p, "a value");
    return record_refuse(e, at, "expected %s%s, found %s",
                         n->kind == SCHEMA_UNION ? "another branch of the " : "",
                         schema_kind_name(n->kind), json_kind_name[kind]);
}

bool record_add_name(record_encoder *e, uint32_t map, gv_span name, const where *at)
{
    uint64_t hash = (codec_digest(name) ^ map * UINT64_C(0x9E3779B97F4A7C15)) | 1; /* 0 is free */
    size_t slot = (size_t)(hash >> 32);

    if (e->name_count == RECORD_NAME_SLOTS / 2) {
        record_refuse(e, NULL, "more than %d unknown members and map keys", RECORD_NAME_SLOTS / 2);
        return false;
    }
    while (e->names[slot % RECORD_NAME_SLOTS] != 0) {
        if (e->names[slot % RECORD_NAME_SLOTS] == hash) {
            record_refuse(e, at, "it is there twice");
            return false;
        }
        slot++;
    }
    e->names[slot % RECORD_NAME_SLOTS] = hash;
    e->name_count++;
    return true;
}

/* An entry of the extra map: the path as its key, the text as its value. */
static bool put_entry(record_encoder *e, const where *at, gv_span json)
{
    gv_buf *out = &e->extra;
    size_t key, value, end;

    if (!avro_reserve(out, &key) || !put_path(out, at, &e->replaced)) {
        record_refuse_size(e);
        return false;
    }
    end = out->len;
    if (!record_add_name(e, 0, gv_span_of(out->data + key + 1, end - key - 1), at))
        return false;
    if (avro_prefix(out, key, (int64_t)(end - key - 1)) && avro_reserve(out, &value) &&
        utf8_put_clean(out, json, &e->replaced) &&
        avro_prefix(out, value, (int64_t)(out->len - value - 1)))
        return true;
    record_refuse_size(e);
    return false;
}

bool record_put_extra(record_encoder *e, const where *at, gv_span json)
{
    e->unknown++;
    if (e->plan->extra < 0)
        return true;
    e->extra_count++;
    return put_entry(e, at, json);
}
