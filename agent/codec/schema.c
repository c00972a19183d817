/* Two passes over each type: schema.c builds the node; defaults are encoded as their fields come,
 * by schema_default.c, since a field's type is complete by then. */
#include "agent/codec/schema.h"

#include "agent/codec/schema_json.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

#define DEPTH_MAX 64

typedef struct {
    gv_arena *arena;
    gv_error *err;
    schema_node *named[SCHEMA_NAMED_MAX];
    uint32_t named_count;
    uint32_t depth;
} parser;

static const char *const primitive_names[] = {
    [SCHEMA_NULL] = "null",   [SCHEMA_BOOLEAN] = "boolean", [SCHEMA_INT] = "int",
    [SCHEMA_LONG] = "long",   [SCHEMA_FLOAT] = "float",     [SCHEMA_DOUBLE] = "double",
    [SCHEMA_BYTES] = "bytes", [SCHEMA_STRING] = "string",   [SCHEMA_RECORD] = "record",
    [SCHEMA_ENUM] = "enum",   [SCHEMA_ARRAY] = "array",     [SCHEMA_MAP] = "map",
    [SCHEMA_UNION] = "union", [SCHEMA_FIXED] = "fixed",
};

static gv_status parse_type(parser *ps, const cJSON *json, const char *space,
                            const schema_node **out);

const char *schema_kind_name(schema_kind kind)
{
    return primitive_names[kind];
}

static gv_status no_room(parser *ps)
{
    return gv_fail(ps->err, GV_FULL, "the schema needs more memory than the %zu bytes it was given",
                   ps->arena->size_bytes);
}

static void *allocate(parser *ps, size_t count, size_t size)
{
    return count > SIZE_MAX / size ? NULL : gv_arena_alloc(ps->arena, count * size);
}

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '_' && !isalpha((unsigned char)text[i]) &&
            (i == 0 || !isdigit((unsigned char)text[i])))
            return false;
    return len != 0;
}

/* Names joined by dots. */
static bool is_full_name(const char *text)
{
    for (;;) {
        size_t len = strcspn(text, ".");
        if (!is_name(text, len))
            return false;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

static const char *string_member(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

/* `name` as a full name in `space`; NULL when the arena is full. */
static const char *full_name(parser *ps, const char *name, const char *space)
{
    size_t name_len = strlen(name), space_len = strlen(space);

    if (space_len == 0 || strchr(name, '.'))
        return gv_arena_strndup(ps->arena, name, name_len);
    char *full = gv_arena_alloc(ps->arena, space_len + 1 + name_len + 1);
    if (full)
        snprintf(full, space_len + 1 + name_len + 1, "%s.%s", space, name);
    return full;
}

/* Whether `full` is `name` as it is understood within `space`. */
static bool names_type(const char *full, const char *name, const char *space)
{
    size_t space_len = strlen(space);

    if (space_len == 0 || strchr(name, '.'))
        return strcmp(full, name) == 0;
    return strncmp(full, space, space_len) == 0 && full[space_len] == '.' &&
           strcmp(full + space_len + 1, name) == 0;
}

static const schema_node *find_named(const parser *ps, const char *name, const char *space)
{
    for (uint32_t i = 0; i < ps->named_count; i++)
        if (names_type(ps->named[i]->full_name, name, space))
            return ps->named[i];
    return NULL;
}

static schema_node *new_node(parser *ps, schema_kind kind)
{
    schema_node *node = allocate(ps, 1, sizeof *node);

    if (node) {
        node->kind = kind;
        node->enum_default = -1;
    }
    return node;
}

/* A type given by its name alone. */
static gv_status parse_reference(parser *ps, const char *name, const char *space,
                                 const schema_node **out)
{
    for (schema_kind kind = SCHEMA_NULL; kind <= SCHEMA_STRING; kind++)
        if (strcmp(name, primitive_names[kind]) == 0) {
            *out = new_node(ps, kind);
            return *out ? GV_OK : no_room(ps);
        }
    *out = find_named(ps, name, space);
    if (*out)
        return GV_OK;
    return gv_fail(ps->err, GV_INVAL, "schema: \"%.80s\" is no type, and none was defined before",
                   name);
}

/* Gives a record, an enum or a fixed its full name and makes it known from here on. *space becomes
 * the namespace inside of it. */
static gv_status register_name(parser *ps, const cJSON *json, schema_node *node, const char **space)
{
    const char *name = string_member(json, "name"), *given = string_member(json, "namespace");

    if (!name || !is_full_name(name) || (given && *given && !is_full_name(given)))
        return gv_fail(ps->err, GV_INVAL, "schema: a %s needs a valid name (here \"%.80s\")",
                       primitive_names[node->kind], name ? name : "");
    const char *full = full_name(ps, name, given ? given : *space);
    if (!full)
        return no_room(ps);
    if (find_named(ps, full, ""))
        return gv_fail(ps->err, GV_INVAL, "schema: \"%.80s\" is defined twice", full);
    if (ps->named_count == SCHEMA_NAMED_MAX)
        return gv_fail(ps->err, GV_INVAL, "schema: more than %d named types", SCHEMA_NAMED_MAX);

    const char *dot = strrchr(full, '.');
    *space = gv_arena_strndup(ps->arena, full, dot ? (size_t)(dot - full) : 0);
    if (!*space)
        return no_room(ps);
    node->full_name = full;
    ps->named[ps->named_count++] = node;
    return GV_OK;
}

/* `record` names the record; `fields` are those before this one. */
static gv_status parse_field(parser *ps, const cJSON *json, const char *space, const char *record,
                             const schema_field *fields, schema_field *field)
{
    const char *name = string_member(json, "name");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type");

    if (!name || !is_name(name, strlen(name)) || !type)
        return gv_fail(ps->err, GV_INVAL,
                       "schema: a field of %s lacks a valid name or a type (here \"%.80s\")",
                       record, name ? name : "");
    for (const schema_field *other = fields; other != field; other++)
        if (strcmp(other->name, name) == 0)
            return gv_fail(ps->err, GV_INVAL, "schema: %s has two fields named \"%s\"", record,
                           name);
    field->name = gv_arena_strndup(ps->arena, name, strlen(name));
    if (!field->name)
        return no_room(ps);

    gv_status st = parse_type(ps, type, space, &field->type);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, "default");
    if (st != GV_OK || !value)
        return st;
    field->has_default = true;
    return schema_encode_default(field, value, record, ps->arena, ps->err);
}

static gv_status parse_record(parser *ps, const cJSON *json, const char *space,
                              const schema_node **out)
{
    schema_node *node = new_node(ps, SCHEMA_RECORD);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "fields"), *item;
    gv_status st = node ? register_name(ps, json, node, &space) : no_room(ps);

    if (st != GV_OK)
        return st;
    if (!cJSON_IsArray(list))
        return gv_fail(ps->err, GV_INVAL, "schema: record %s has no list \"fields\"",
                       node->full_name);
    schema_field *fields = allocate(ps, (size_t)cJSON_GetArraySize(list) + 1, sizeof *fields);
    if (!fields)
        return no_room(ps);
    uint32_t count = 0;
    cJSON_ArrayForEach(item, list)
    {
        st = parse_field(ps, item, space, node->full_name, fields, &fields[count]);
        if (st != GV_OK)
            return st;
        count++;
    }
    node->count = count;
    node->fields = fields; /* until here NULL: a default cannot hold an unfinished record */
    *out = node;
    return GV_OK;
}

static gv_status parse_symbols(parser *ps, const cJSON *list, schema_node *node)
{
    const char **symbols = allocate(ps, (size_t)cJSON_GetArraySize(list) + 1, sizeof *symbols);
    const cJSON *item;

    if (!symbols)
        return no_room(ps);
    node->symbols = symbols;
    cJSON_ArrayForEach(item, list)
    {
        const char *symbol = cJSON_GetStringValue(item);
        if (!symbol || !is_name(symbol, strlen(symbol)))
            return gv_fail(ps->err, GV_INVAL, "schema: enum %s has an invalid symbol \"%.80s\"",
                           node->full_name, symbol ? symbol : "");
        if (schema_symbol_index(node, gv_span_str(symbol)) >= 0)
            return gv_fail(ps->err, GV_INVAL, "schema: enum %s has the symbol \"%s\" twice",
                           node->full_name, symbol);
        symbols[node->count] = gv_arena_strndup(ps->arena, symbol, strlen(symbol));
        if (!symbols[node->count])
            return no_room(ps);
        node->count++;
    }
    return GV_OK;
}

static gv_status parse_enum(parser *ps, const cJSON *json, const char *space,
                            const schema_node **out)
{
    schema_node *node = new_node(ps, SCHEMA_ENUM);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "symbols");
    const cJSON *fallback = cJSON_GetObjectItemCaseSensitive(json, "default");
    gv_status st = node ? register_name(ps, json, node, &space) : no_room(ps);

    if (st != GV_OK)
        return st;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        return gv_fail(ps->err, GV_INVAL, "schema: enum %s has no list \"symbols\"",
                       node->full_name);
    st = parse_symbols(ps, list, node);
    if (st != GV_OK)
        return st;
    if (fallback) {
        const char *symbol = cJSON_GetStringValue(fallback);
        node->enum_default = symbol ? schema_symbol_index(node, gv_span_str(symbol)) : -1;
        if (node->enum_default < 0)
            return gv_fail(ps->err, GV_INVAL,
                           "schema: the default of enum %s is none of its symbols",
                           node->full_name);
    }
    *out = node;
    return GV_OK;
}

static gv_status parse_fixed(parser *ps, const cJSON *json, const char *space,
                             const schema_node **out)
{
    schema_node *node = new_node(ps, SCHEMA_FIXED);
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size");
    gv_status st = node ? register_name(ps, json, node, &space) : no_room(ps);

    if (st != GV_OK)
        return st;
    if (!cJSON_IsNumber(size) || size->valuedouble < 0 || size->valuedouble != size->valueint)
        return gv_fail(ps->err, GV_INVAL, "schema: fixed %s has no valid \"size\"",
                       node->full_name);
    node->count = (uint32_t)size->valueint;
    *out = node;
    return GV_OK;
}

static gv_status parse_container(parser *ps, const cJSON *json, const char *space, schema_kind kind,
                                 const schema_node **out)
{
    schema_node *node = new_node(ps, kind);
    const char *member = kind == SCHEMA_ARRAY ? "items" : "values";
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(json, member);

    if (!items)
        return gv_fail(ps->err, GV_INVAL, "schema: type \"%s\" has no \"%s\"",
                       primitive_names[kind], member);
    if (!node)
        return no_room(ps);
    *out = node;
    return parse_type(ps, items, space, &node->items);
}

/* Branches of one union must be told apart: by kind, the named ones by name. */
static bool same_branch(const schema_node *a, const schema_node *b)
{
    return a->kind == b->kind && (!a->full_name || strcmp(a->full_name, b->full_name) == 0);
}

static gv_status parse_union(parser *ps, const cJSON *json, const char *space,
                             const schema_node **out)
{
    schema_node *node = new_node(ps, SCHEMA_UNION);
    const cJSON *item;
    size_t capacity = (size_t)cJSON_GetArraySize(json);
    const schema_node **branches = allocate(ps, capacity + 1, sizeof(const schema_node *));

    if (!branches || !node)
        return no_room(ps);
    if (capacity == 0)
        return gv_fail(ps->err, GV_INVAL, "schema: a union has no branch");
    node->branches = branches;
    cJSON_ArrayForEach(item, json)
    {
        const schema_node *branch = NULL;
        gv_status st = parse_type(ps, item, space, &branch);
        if (st != GV_OK)
            return st;
        if (branch->kind == SCHEMA_UNION)
            return gv_fail(ps->err, GV_INVAL, "schema: a union stands directly in a union");
        for (uint32_t i = 0; i < node->count; i++)
            if (same_branch(branches[i], branch))
                return gv_fail(ps->err, GV_INVAL, "schema: a union has two branches of type \"%s\"",
                               branch->full_name ? branch->full_name
                                                 : primitive_names[branch->kind]);
        branches[node->count++] = branch;
    }
    *out = node;
    return GV_OK;
}

/* A logical type that does not fit its base type is ignored, as the specification asks. */
static schema_logical logical_type(const cJSON *json, schema_kind kind)
{
    const char *name = string_member(json, "logicalType");

    if (name && kind == SCHEMA_LONG && strcmp(name, "timestamp-millis") == 0)
        return SCHEMA_TIMESTAMP_MILLIS;
    if (name && kind == SCHEMA_LONG && strcmp(name, "timestamp-micros") == 0)
        return SCHEMA_TIMESTAMP_MICROS;
    if (name && kind == SCHEMA_INT && strcmp(name, "date") == 0)
        return SCHEMA_DATE;
    return SCHEMA_LOGICAL_NONE;
}

static gv_status parse_object(parser *ps, const cJSON *json, const char *space,
                              const schema_node **out)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "type");
    const char *name = cJSON_GetStringValue(type);

    if (!type)
        return gv_fail(ps->err, GV_INVAL, "schema: an object has no \"type\"");
    if (!name)
        return parse_type(ps, type, space, out);
    if (strcmp(name, "record") == 0)
        return parse_record(ps, json, space, out);
    if (strcmp(name, "enum") == 0)
        return parse_enum(ps, json, space, out);
    if (strcmp(name, "fixed") == 0)
        return parse_fixed(ps, json, space, out);
    if (strcmp(name, "array") == 0)
        return parse_container(ps, json, space, SCHEMA_ARRAY, out);
    if (strcmp(name, "map") == 0)
        return parse_container(ps, json, space, SCHEMA_MAP, out);

    gv_status st = parse_reference(ps, name, space, out);
    schema_logical logical = st == GV_OK ? logical_type(json, (*out)->kind) : SCHEMA_LOGICAL_NONE;
    if (st != GV_OK || logical == SCHEMA_LOGICAL_NONE)
        return st;
    schema_node *node = new_node(ps, (*out)->kind);
    if (!node)
        return no_room(ps);
    node->logical = logical;
    *out = node;
    return GV_OK;
}

static gv_status parse_type(parser *ps, const cJSON *json, const char *space,
                            const schema_node **out)
{
    gv_status st;

    if (ps->depth == DEPTH_MAX)
        return gv_fail(ps->err, GV_INVAL, "schema: nested deeper than %d levels", DEPTH_MAX);
    ps->depth++;
    if (cJSON_IsString(json))
        st = parse_reference(ps, json->valuestring, space, out);
    else if (cJSON_IsArray(json))
        st = parse_union(ps, json, space, out);
    else if (cJSON_IsObject(json))
        st = parse_object(ps, json, space, out);
    else
        st = gv_fail(ps->err, GV_INVAL, "schema: a type is a string, an object or a list");
    ps->depth--;
    return st;
}

int32_t schema_symbol_index(const schema_node *node, gv_span symbol)
{
    for (uint32_t i = 0; i < node->count; i++)
        if (gv_span_equal(gv_span_str(node->symbols[i]), symbol))
            return (int32_t)i;
    return -1;
}

/* The text up to its end, white space allowed after the value. */
static cJSON *parse_json(gv_span text, gv_error *err)
{
    const char *end = NULL, *begin = (const char *)text.data;
    cJSON *json = text.len ? cJSON_ParseWithLengthOpts(begin, text.len, &end, false) : NULL;
    size_t used = end ? (size_t)(end - begin) : 0;

    for (size_t i = used; json && i < text.len; i++)
        if (!strchr(" \t\r\n", begin[i]) || begin[i] == '\0') {
            cJSON_Delete(json);
            json = NULL;
            used = i;
        }
    if (!json)
        gv_fail(err, GV_INVAL, "schema: not JSON at byte %zu", used);
    return json;
}

gv_status schema_parse(gv_span text, gv_arena *arena, schema *out, gv_error *err)
{
    parser ps = { .arena = arena, .err = err };
    cJSON *json = parse_json(text, err);

    if (!json)
        return GV_INVAL;
    gv_status st = parse_type(&ps, json, "", &out->root);
    cJSON_Delete(json);
    if (st == GV_OK)
        out->fingerprint = schema_fingerprint(out->root);
    return st;
}
