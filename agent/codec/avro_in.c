#include "agent/codec/avro_in.h"

#include "agent/codec/utf8.h"

#include <stdio.h>

/* Items without bytes (nulls, empty records) cost a writer nothing: their number is bounded. */
#define EMPTY_ITEMS_MAX 65536u

typedef struct where {
    const struct where *up;
    gv_span name;
    uint32_t index;
    bool indexed;
} where;

typedef struct {
    const avro_visitor *visitor;
    const uint8_t *p;
    const uint8_t *end;
    uint32_t depth;
    uint32_t empty_items;
    gv_error *err;
} reader;

static gv_status walk(reader *r, const schema_node *type, const where *at);

/* --- damage --------------------------------------------------------------------------------- */

static void put_path(gv_buf *out, const where *at)
{
    char index[16];

    if (!at)
        return;
    put_path(out, at->up);
    if (at->indexed) {
        gv_buf_put(out, index, (size_t)snprintf(index, sizeof index, "[%u]", (unsigned)at->index));
        return;
    }
    if (at->up)
        gv_buf_put(out, ".", 1);
    gv_buf_put(out, at->name.data, at->name.len);
}

static gv_status corrupt(const reader *r, const where *at, const char *reason)
{
    char path[160];
    gv_buf out = gv_buf_of(path, sizeof path - 1);

    put_path(&out, at); /* cut where it is longer */
    path[out.len] = '\0';
    return gv_fail(r->err, GV_CORRUPT, "Avro body: %s%s%s", path, out.len ? ": " : "", reason);
}

/* --- pieces --------------------------------------------------------------------------------- */

static gv_status take_long(reader *r, const where *at, int64_t *value)
{
    uint64_t z = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (r->p == r->end)
            return corrupt(r, at, "it ends within a number");
        uint8_t byte = *r->p++;
        if (shift == 63 && byte > 1)
            break;
        z |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = (int64_t)(z >> 1 ^ (0 - (z & 1)));
            return GV_OK;
        }
    }
    return corrupt(r, at, "a number of more than 64 bits");
}

static gv_status take_bytes(reader *r, const where *at, uint64_t count, gv_span *bytes)
{
    *bytes = gv_span_of(r->p, 0);
    if (count > (uint64_t)(r->end - r->p))
        return corrupt(r, at, "it ends within a value");
    *bytes = gv_span_of(r->p, (size_t)count);
    r->p += count;
    return GV_OK;
}

static gv_status take_sized_bytes(reader *r, const where *at, gv_span *bytes)
{
    int64_t length;
    gv_status st = take_long(r, at, &length);

    if (st != GV_OK)
        return st;
    return length < 0 ? corrupt(r, at, "a length below zero")
                      : take_bytes(r, at, (uint64_t)length, bytes);
}

static gv_status take_string(reader *r, const where *at, gv_span *text)
{
    gv_status st = take_sized_bytes(r, at, text);

    if (st == GV_OK && utf8_valid_prefix(*text) != text->len)
        return corrupt(r, at, "a string that is not UTF-8");
    return st;
}

/* --- values --------------------------------------------------------------------------------- */

static gv_span name_of(const where *at)
{
    return at && !at->indexed ? at->name : gv_span_of(NULL, 0);
}

static uint32_t index_of(const where *at)
{
    return at && at->indexed ? at->index : 0;
}

static gv_status walk_integer(reader *r, const schema_node *type, const where *at)
{
    int64_t value;
    gv_status st = take_long(r, at, &value);

    if (st != GV_OK)
        return st;
    if (type->kind == SCHEMA_INT && (value > INT32_MAX || value < INT32_MIN))
        return corrupt(r, at, "an int of more than 32 bits");
    return r->visitor->integer(r->visitor->ctx, name_of(at), index_of(at), type, value, r->err);
}

static gv_status walk_boolean(reader *r, const where *at)
{
    gv_span byte;
    gv_status st = take_bytes(r, at, 1, &byte);

    if (st != GV_OK)
        return st;
    if (byte.data[0] > 1)
        return corrupt(r, at, "a boolean that is neither 0 nor 1");
    return r->visitor->boolean(r->visitor->ctx, name_of(at), index_of(at), byte.data[0] == 1,
                               r->err);
}

static gv_status walk_floating(reader *r, const schema_node *type, const where *at)
{
    gv_span bytes;
    float narrow;
    double value;
    gv_status st = take_bytes(r, at, type->kind == SCHEMA_FLOAT ? 4 : 8, &bytes);

    if (st != GV_OK)
        return st;
    if (type->kind == SCHEMA_FLOAT) {
        uint32_t bits = gv_get_le32(bytes.data);
        memcpy(&narrow, &bits, sizeof narrow);
        value = (double)narrow;
    } else {
        uint64_t bits = gv_get_le64(bytes.data);
        memcpy(&value, &bits, sizeof value);
    }
    return r->visitor->floating(r->visitor->ctx, name_of(at), index_of(at), value, r->err);
}

static gv_status walk_text(reader *r, const schema_node *type, const where *at)
{
    gv_span text;
    int64_t symbol;
    gv_status st;

    if (type->kind == SCHEMA_ENUM) {
        st = take_long(r, at, &symbol);
        if (st == GV_OK && (symbol < 0 || symbol >= type->count))
            return corrupt(r, at, "an enum index without a symbol");
        if (st == GV_OK)
            text = gv_span_str(type->symbols[symbol]);
    } else if (type->kind == SCHEMA_STRING) {
        st = take_string(r, at, &text);
    } else if (type->kind == SCHEMA_BYTES) {
        st = take_sized_bytes(r, at, &text);
    } else {
        st = take_bytes(r, at, type->count, &text);
    }
    if (st != GV_OK)
        return st;
    return r->visitor->text(r->visitor->ctx, name_of(at), index_of(at), type, text, r->err);
}

static gv_status walk_union(reader *r, const schema_node *type, const where *at)
{
    int64_t branch;
    gv_status st = take_long(r, at, &branch);

    if (st != GV_OK)
        return st;
    if (branch < 0 || branch >= type->count)
        return corrupt(r, at, "a union branch that does not exist");
    return walk(r, type->branches[branch], at);
}

static gv_status walk_fields(reader *r, const schema_node *type, const where *at)
{
    where here = { .up = at };
    gv_status st = GV_OK;

    for (uint32_t i = 0; i < type->count && st == GV_OK; i++) {
        here.name = gv_span_str(type->fields[i].name);
        st = walk(r, type->fields[i].type, &here);
    }
    return st;
}

/* Reads the head of a block: how many items, and where they end (NULL when it does not say). */
static gv_status take_block(reader *r, const where *at, uint64_t *count, const uint8_t **block_end)
{
    int64_t items, size;
    gv_status st = take_long(r, at, &items);

    *block_end = NULL;
    *count = items < 0 ? 0 - (uint64_t)items : (uint64_t)items;
    if (st != GV_OK || items >= 0)
        return st;
    st = take_long(r, at, &size);
    if (st != GV_OK)
        return st;
    if (size < 0 || size > r->end - r->p)
        return corrupt(r, at, "a block longer than the body");
    *block_end = r->p + size;
    return GV_OK;
}

static gv_status walk_item(reader *r, const schema_node *type, where *here)
{
    const uint8_t *before = r->p;

    if (type->kind == SCHEMA_MAP) {
        gv_status st = take_string(r, here->up, &here->name);
        if (st != GV_OK)
            return st;
    }
    gv_status st = walk(r, type->items, here);
    if (st == GV_OK && r->p == before && ++r->empty_items > EMPTY_ITEMS_MAX)
        return corrupt(r, here->up, "too many items without content");
    return st;
}

static gv_status walk_items(reader *r, const schema_node *type, const where *at)
{
    where here = { .up = at, .indexed = type->kind == SCHEMA_ARRAY };

    for (;;) {
        uint64_t count;
        const uint8_t *block_end;
        gv_status st = take_block(r, at, &count, &block_end);
        if (st != GV_OK || count == 0)
            return st;
        for (uint64_t i = 0; i < count; i++, here.index++) {
            st = walk_item(r, type, &here);
            if (st != GV_OK)
                return st;
        }
        if (block_end && r->p != block_end)
            return corrupt(r, at, "a block that is not as long as it says");
    }
}

static gv_status walk_container(reader *r, const schema_node *type, const where *at)
{
    const avro_visitor *v = r->visitor;
    gv_status st;

    if (r->depth == AVRO_IN_DEPTH_MAX)
        return corrupt(r, at, "nested too deep");
    r->depth++;
    st = v->begin(v->ctx, name_of(at), index_of(at), type, r->err);
    if (st == GV_OK)
        st = type->kind == SCHEMA_RECORD ? walk_fields(r, type, at) : walk_items(r, type, at);
    if (st == GV_OK)
        st = v->end(v->ctx, type, r->err);
    r->depth--;
    return st;
}

static gv_status walk(reader *r, const schema_node *type, const where *at)
{
    switch (type->kind) {
    case SCHEMA_NULL:
        return r->visitor->null_value(r->visitor->ctx, name_of(at), index_of(at), r->err);
    case SCHEMA_BOOLEAN:
        return walk_boolean(r, at);
    case SCHEMA_INT:
    case SCHEMA_LONG:
        return walk_integer(r, type, at);
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return walk_floating(r, type, at);
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
    case SCHEMA_FIXED:
        return walk_text(r, type, at);
    case SCHEMA_UNION:
        return walk_union(r, type, at);
    case SCHEMA_RECORD:
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        return walk_container(r, type, at);
    }
    return corrupt(r, at, "a type that no schema has");
}

gv_status avro_in_walk(const schema_node *root, gv_span body, const avro_visitor *visitor,
                       gv_error *err)
{
    reader r = { .visitor = visitor, .p = body.data, .end = body.data + body.len, .err = err };
    gv_status st = walk(&r, root, NULL);

    if (st == GV_OK && r.p != r.end)
        return corrupt(&r, NULL, "bytes are left over");
    return st;
}

/* --- without a visitor ------------------------------------------------------------------------ */

static gv_status pass_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    (void)ctx, (void)name, (void)index, (void)err;
    return GV_OK;
}

static gv_status pass_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    (void)v;
    return pass_null(ctx, name, index, err);
}

static gv_status pass_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                              int64_t v, gv_error *err)
{
    (void)type, (void)v;
    return pass_null(ctx, name, index, err);
}

static gv_status pass_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    (void)v;
    return pass_null(ctx, name, index, err);
}

static gv_status pass_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                           gv_span v, gv_error *err)
{
    (void)type, (void)v;
    return pass_null(ctx, name, index, err);
}

static gv_status pass_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                            gv_error *err)
{
    (void)type;
    return pass_null(ctx, name, index, err);
}

static gv_status pass_end(void *ctx, const schema_node *type, gv_error *err)
{
    (void)ctx, (void)type, (void)err;
    return GV_OK;
}

gv_status avro_in_check(const schema_node *root, gv_span body, gv_error *err)
{
    const avro_visitor visitor = { pass_null, pass_boolean, pass_integer, pass_floating,
                                   pass_text, pass_begin,   pass_end,     NULL };

    return avro_in_walk(root, body, &visitor, err);
}
