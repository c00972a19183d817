#include "tests/unit/codec_reencode.h"

#include "agent/codec/avro_out.h"

typedef struct {
    const schema_node *type;
    uint32_t count; /* of values inside, so far */
    size_t mark;
} level;

typedef struct {
    const schema_node *root;
    gv_buf *out;
    level levels[AVRO_IN_DEPTH_MAX];
    uint32_t depth;
} encoder;

static gv_status put(bool fitted)
{
    return fitted ? GV_OK : GV_FULL;
}

/* The branch that was taken: by the type itself where it was told, else by its kind. */
static bool put_branch(encoder *e, const schema_node *type, const schema_node *told,
                       schema_kind kind, schema_kind or_kind)
{
    for (uint32_t i = 0; i < type->count; i++) {
        const schema_node *branch = type->branches[i];
        if (told ? branch == told : branch->kind == kind || branch->kind == or_kind)
            return avro_put_long(e->out, i);
    }
    return false;
}

/* Writes what comes before a value: a map's key, a union's branch. *type is the value's own. */
static gv_status before_value(encoder *e, gv_span name, const schema_node *told, schema_kind kind,
                              schema_kind or_kind, const schema_node **type)
{
    const schema_node *here = e->root;

    if (e->depth != 0) {
        level *l = &e->levels[e->depth - 1];
        here = l->type->kind == SCHEMA_RECORD ? l->type->fields[l->count].type : l->type->items;
        l->count++;
        if (l->type->kind == SCHEMA_MAP && !avro_put_bytes(e->out, name))
            return GV_FULL;
    }
    if (here->kind == SCHEMA_UNION) {
        uint32_t i = 0;
        if (!put_branch(e, here, told, kind, or_kind))
            return GV_FULL;
        while (told ? here->branches[i] != told
                    : here->branches[i]->kind != kind && here->branches[i]->kind != or_kind)
            i++;
        here = here->branches[i];
    }
    *type = here;
    return GV_OK;
}

static gv_status on_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    const schema_node *type;

    (void)index;
    (void)err;
    return before_value(ctx, name, NULL, SCHEMA_NULL, SCHEMA_NULL, &type);
}

static gv_status on_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    encoder *e = ctx;
    const schema_node *type;
    gv_status st = before_value(e, name, NULL, SCHEMA_BOOLEAN, SCHEMA_BOOLEAN, &type);

    (void)index;
    (void)err;
    return st == GV_OK ? put(avro_put_boolean(e->out, v)) : st;
}

static gv_status on_integer(void *ctx, gv_span name, uint32_t index, const schema_node *told,
                            int64_t v, gv_error *err)
{
    encoder *e = ctx;
    const schema_node *type;
    gv_status st = before_value(e, name, told, told->kind, told->kind, &type);

    (void)index;
    (void)err;
    return st == GV_OK ? put(avro_put_long(e->out, v)) : st;
}

static gv_status on_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    encoder *e = ctx;
    const schema_node *type;
    gv_status st = before_value(e, name, NULL, SCHEMA_FLOAT, SCHEMA_DOUBLE, &type);

    (void)index;
    (void)err;
    if (st != GV_OK)
        return st;
    return put(type->kind == SCHEMA_FLOAT ? avro_put_float(e->out, (float)v)
                                          : avro_put_double(e->out, v));
}

static gv_status on_text(void *ctx, gv_span name, uint32_t index, const schema_node *told,
                         gv_span v, gv_error *err)
{
    encoder *e = ctx;
    const schema_node *type;
    gv_status st = before_value(e, name, told, told->kind, told->kind, &type);

    (void)index;
    (void)err;
    if (st != GV_OK)
        return st;
    if (told->kind == SCHEMA_ENUM)
        return put(avro_put_long(e->out, schema_symbol_index(told, v)));
    return put(told->kind == SCHEMA_FIXED ? gv_buf_put(e->out, v.data, v.len)
                                          : avro_put_bytes(e->out, v));
}

static gv_status on_begin(void *ctx, gv_span name, uint32_t index, const schema_node *told,
                          gv_error *err)
{
    encoder *e = ctx;
    const schema_node *type;
    gv_status st = before_value(e, name, told, told->kind, told->kind, &type);
    level *l = &e->levels[e->depth];

    (void)index;
    (void)err;
    if (st != GV_OK)
        return st;
    e->depth++;
    *l = (level){ .type = told };
    return told->kind == SCHEMA_RECORD ? GV_OK : put(avro_reserve(e->out, &l->mark));
}

static gv_status on_end(void *ctx, const schema_node *told, gv_error *err)
{
    encoder *e = ctx;
    const level *l = &e->levels[--e->depth];

    (void)err;
    if (told->kind == SCHEMA_RECORD || l->count == 0)
        return GV_OK;
    return put(avro_prefix(e->out, l->mark, l->count) && avro_put_long(e->out, 0));
}

gv_status codec_reencode(const schema_node *root, gv_span body, gv_buf *out, gv_error *err)
{
    encoder e = { .root = root, .out = out };
    const avro_visitor visitor = { on_null, on_boolean, on_integer, on_floating,
                                   on_text, on_begin,   on_end,     &e };

    return avro_in_walk(root, body, &visitor, err);
}
