#include "agent/codec/plan_steps.h"

#include "agent/codec/avro_out.h"

typedef struct {
    gv_arena *arena;
    gv_error *err;
    const schema_node *records[SCHEMA_NAMED_MAX]; /* records met, and what became of them */
    plan_node *steps[SCHEMA_NAMED_MAX];
    uint32_t record_count;
} builder;

static gv_status build_node(builder *b, const schema_node *type, const plan_node **out);

static gv_status no_room(builder *b)
{
    return gv_fail(b->err, GV_FULL, "the plan needs more memory than the %zu bytes it was given",
                   b->arena->size_bytes);
}

static void *allocate(builder *b, size_t count, size_t size)
{
    return count > SIZE_MAX / size ? NULL : gv_arena_alloc(b->arena, count * size);
}

static plan_name make_name(const char *text)
{
    plan_name name = { .len = (uint32_t)strlen(text), .text = text };
    uint8_t bytes[16] = { 0 }, mask[16] = { 0 };
    size_t count = name.len < sizeof bytes ? name.len + 1 : sizeof bytes;

    memcpy(bytes, text, name.len < sizeof bytes ? name.len : sizeof bytes);
    if (name.len < sizeof bytes)
        bytes[name.len] = '"';
    memset(mask, 0xFF, count);
    for (int i = 0; i < 2; i++) {
        name.word[i] = gv_get_le64(bytes + 8 * i);
        name.mask[i] = gv_get_le64(mask + 8 * i);
    }
    return name;
}

static plan_name name_that_never_matches(const char *text)
{
    return (plan_name){ .word = { 1, 1 }, .len = (uint32_t)strlen(text), .text = text };
}

static int32_t null_branch(const schema_node *type)
{
    if (type->kind == SCHEMA_UNION)
        for (uint32_t i = 0; i < type->count; i++)
            if (type->branches[i]->kind == SCHEMA_NULL)
                return (int32_t)i;
    return -1;
}

/* What stands for a field that is not there, written to `bytes`; NULL when it must be there. */
static const gv_span *absent_value(const schema_field *field, uint8_t bytes[AVRO_LONG_MAX_BYTES],
                                   gv_span *value)
{
    int32_t branch = null_branch(field->type);

    if (field->has_default) {
        *value = field->default_avro;
    } else if (branch >= 0) {
        gv_buf out = gv_buf_of(bytes, AVRO_LONG_MAX_BYTES);
        avro_put_long(&out, branch);
        *value = gv_span_of(bytes, out.len);
    } else if (field->type->kind == SCHEMA_NULL) {
        *value = gv_span_of(bytes, 0);
    } else {
        return NULL;
    }
    return value;
}

static gv_status build_absent(builder *b, const schema_node *type, plan_node *node)
{
    uint8_t bytes[AVRO_LONG_MAX_BYTES];
    uint32_t *at = allocate(b, (size_t)type->count + 1, sizeof *at);
    gv_span value;

    if (!at)
        return no_room(b);
    for (uint32_t i = 0; i < type->count; i++) {
        bool known = absent_value(&type->fields[i], bytes, &value);
        at[i + 1] = at[i] + (known ? (uint32_t)value.len : 0);
        node->required |= known ? 0 : UINT64_C(1) << i;
    }
    uint8_t *absent = allocate(b, at[type->count] + PLAN_ABSENT_SLACK, 1);
    if (!absent)
        return no_room(b);
    for (uint32_t i = 0; i < type->count; i++)
        if (absent_value(&type->fields[i], bytes, &value) && value.len != 0)
            memcpy(absent + at[i], value.data, value.len);
    node->absent = absent;
    node->absent_at = at;
    return GV_OK;
}

static gv_status build_fields(builder *b, const schema_node *type, plan_node *node)
{
    plan_name *names = allocate(b, (size_t)type->count + 1, sizeof *names);
    const plan_node **children = allocate(b, (size_t)type->count + 1, sizeof(const plan_node *));

    if (!names || !children)
        return no_room(b);
    node->names = names;
    node->children = children;
    for (uint32_t i = 0; i < type->count; i++) {
        names[i] = make_name(type->fields[i].name);
        gv_status st = build_node(b, type->fields[i].type, &children[i]);
        if (st != GV_OK)
            return st;
    }
    return build_absent(b, type, node);
}

static gv_status check_field_count(builder *b, const schema_node *type)
{
    if (type->count <= PLAN_FIELDS_MAX)
        return GV_OK;
    return gv_fail(b->err, GV_INVAL, "schema: %s has %u fields; at most %d can be filled from JSON",
                   type->full_name, (unsigned)type->count, PLAN_FIELDS_MAX);
}

/* A record may contain itself: it is entered before its fields are looked at. */
static gv_status build_record(builder *b, const schema_node *type, plan_node *node)
{
    gv_status st = check_field_count(b, type);

    if (st != GV_OK)
        return st;
    b->records[b->record_count] = type;
    b->steps[b->record_count++] = node;
    return build_fields(b, type, node);
}

static gv_status build_symbols(builder *b, const schema_node *type, plan_node *node)
{
    plan_name *names = allocate(b, type->count, sizeof *names);

    if (!names)
        return no_room(b);
    for (uint32_t i = 0; i < type->count; i++)
        names[i] = make_name(type->symbols[i]);
    node->names = names;
    return GV_OK;
}

static json_kind json_kind_for(schema_kind kind)
{
    switch (kind) {
    case SCHEMA_NULL:
        return JSON_NULL;
    case SCHEMA_BOOLEAN:
        return JSON_BOOLEAN;
    case SCHEMA_INT:
    case SCHEMA_LONG:
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return JSON_NUMBER;
    case SCHEMA_RECORD:
    case SCHEMA_MAP:
        return JSON_OBJECT;
    case SCHEMA_ARRAY:
        return JSON_ARRAY;
    default:
        return JSON_STRING;
    }
}

static gv_status build_union(builder *b, const schema_node *type, plan_node *node)
{
    const plan_node **children = allocate(b, type->count, sizeof(const plan_node *));

    if (!children)
        return no_room(b);
    if (type->count > INT8_MAX)
        return gv_fail(b->err, GV_INVAL, "schema: a union of more than %d branches", INT8_MAX);
    node->children = children;
    memset(node->branch, -1, sizeof node->branch); /* for JSON_NOTHING, too */
    for (uint32_t i = 0; i < type->count; i++) {
        json_kind kind = json_kind_for(type->branches[i]->kind);
        if (node->branch[kind] < 0)
            node->branch[kind] = (int8_t)i;
        else
            node->many_numbers |= kind == JSON_NUMBER;
        gv_status st = build_node(b, type->branches[i], &children[i]);
        if (st != GV_OK)
            return st;
    }
    return GV_OK;
}

static gv_status build_items(builder *b, const schema_node *type, plan_node *node)
{
    const plan_node **children = allocate(b, 1, sizeof(const plan_node *));

    if (!children)
        return no_room(b);
    node->children = children;
    return build_node(b, type->items, children);
}

static gv_status build_node(builder *b, const schema_node *type, const plan_node **out)
{
    for (uint32_t i = 0; i < b->record_count; i++)
        if (b->records[i] == type) {
            *out = b->steps[i];
            return GV_OK;
        }
    plan_node *node = allocate(b, 1, sizeof *node);
    if (!node)
        return no_room(b);
    node->kind = type->kind;
    node->count = type->count;
    node->enum_default = type->enum_default;
    *out = node;
    switch (type->kind) {
    case SCHEMA_RECORD:
        return build_record(b, type, node);
    case SCHEMA_ENUM:
        return build_symbols(b, type, node);
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        return build_items(b, type, node);
    case SCHEMA_UNION:
        return build_union(b, type, node);
    default:
        return GV_OK;
    }
}

/* --- the root, whose fields are partly filled by the caller --------------------------------- */

static int32_t find_field(const schema_node *type, const char *name)
{
    for (uint32_t i = 0; i < type->count; i++)
        if (strcmp(type->fields[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static bool is_integer(const schema_node *type)
{
    return type->kind == SCHEMA_INT || type->kind == SCHEMA_LONG;
}

/* Takes field i away from the JSON: its value is known elsewhere. */
static void detach(plan_node *root, uint32_t i)
{
    ((plan_name *)root->names)[i] = name_that_never_matches(root->names[i].text);
    root->required &= ~(UINT64_C(1) << i);
}

static gv_status bind(builder *b, const schema_node *type, plan *p, plan_node *root,
                      const plan_binding *bindings, size_t count)
{
    plan_bound *bound = allocate(b, count + 1, sizeof *bound);

    if (!bound)
        return no_room(b);
    p->bound = bound;
    for (size_t i = 0; i < count; i++) {
        int32_t field = find_field(type, bindings[i].field);
        if (field < 0)
            return gv_fail(b->err, GV_INVAL, "schema: %s lacks the field \"%s\"", type->full_name,
                           bindings[i].field);
        const schema_node *want = type->fields[field].type;
        if (bindings[i].kind == PLAN_VALUE_STRING ? want->kind != SCHEMA_STRING : !is_integer(want))
            return gv_fail(b->err, GV_INVAL, "schema: %s.%s must be %s", type->full_name,
                           bindings[i].field,
                           bindings[i].kind == PLAN_VALUE_STRING ? "a string" : "an int or a long");
        if (root->names[field].mask[0] == 0)
            return gv_fail(b->err, GV_INVAL, "%s.%s is bound twice", type->full_name,
                           bindings[i].field);
        detach(root, (uint32_t)field);
        bound[p->bound_count++] = (plan_bound){ (uint32_t)field, bindings[i].kind };
        if (bindings[i].kind == PLAN_VALUE_POSITION) {
            root->late |= UINT64_C(1) << field;
            p->position = field;
        }
    }
    return GV_OK;
}

static gv_status find_key(builder *b, const schema_node *type, plan *p, plan_node *root,
                          const char *name)
{
    int32_t field = find_field(type, name);

    if (field < 0 || !is_integer(type->fields[field].type) || root->names[field].mask[0] == 0)
        return gv_fail(b->err, GV_INVAL,
                       "schema: %s needs an int or long field \"%s\", which comes from the JSON",
                       type->full_name, name);
    p->key = (uint32_t)field;
    root->required |= UINT64_C(1) << field; /* a default would be no identity */
    return GV_OK;
}

static gv_status find_extra(builder *b, const schema_node *type, plan *p, plan_node *root,
                            const char *name)
{
    int32_t field = name ? find_field(type, name) : -1;

    p->extra = field;
    if (!name)
        return GV_OK;
    if (field < 0 || type->fields[field].type->kind != SCHEMA_MAP ||
        type->fields[field].type->items->kind != SCHEMA_STRING)
        return gv_fail(b->err, GV_INVAL, "schema: %s needs a map of strings named \"%s\"",
                       type->full_name, name);
    detach(root, (uint32_t)field);
    root->late |= UINT64_C(1) << field;
    return GV_OK;
}

gv_status plan_build(const schema *s, const plan_binding *bindings, size_t binding_count,
                     const char *key_field, const char *extra_field, gv_arena *arena,
                     const plan **out, gv_error *err)
{
    builder b = { .arena = arena, .err = err };
    const schema_node *type = s->root;

    if (type->kind != SCHEMA_RECORD)
        return gv_fail(err, GV_INVAL, "schema: the outermost type is \"%s\" and not a record",
                       schema_kind_name(type->kind));
    gv_status st = check_field_count(&b, type);
    if (st != GV_OK)
        return st;

    plan *p = allocate(&b, 1, sizeof *p);
    /* Not entered among the records: where the type recurs, nothing is bound. */
    plan_node *root = allocate(&b, 1, sizeof *root);
    if (!p || !root)
        return no_room(&b);
    root->kind = SCHEMA_RECORD;
    root->count = type->count;
    p->root = root;
    p->position = p->extra = -1;
    st = build_fields(&b, type, root);
    if (st == GV_OK)
        st = bind(&b, type, p, root, bindings, binding_count);
    if (st == GV_OK)
        st = find_key(&b, type, p, root, key_field);
    if (st == GV_OK)
        st = find_extra(&b, type, p, root, extra_field);
    *out = p;
    return st;
}
