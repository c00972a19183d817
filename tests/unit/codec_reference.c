#include "tests/unit/codec_reference.h"

#include "tests/unit/codec_help.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    json_t *extra; /* of the record in hand: path to JSON text */
    const json_t *bound;
} context;

void reference_open(reference *r, const char *avsc, json_t *bound)
{
    json_error_t error;

    r->bound = bound;
    r->schema = json_loads(avsc, 0, &error);
    CHECK(r->schema);
    CHECK(avro_schema_from_json_length(avsc, strlen(avsc), &r->avro) == 0);
    r->iface = avro_generic_class_from_schema(r->avro);
    CHECK(r->iface);
}

void reference_close(reference *r)
{
    avro_value_iface_decref(r->iface);
    avro_schema_decref(r->avro);
    json_decref(r->schema);
    json_decref(r->bound);
}

/* "long", "record"..., whichever way the type is written. */
static const char *kind_of(const json_t *type)
{
    if (json_is_string(type))
        return json_string_value(type);
    if (json_is_array(type))
        return "union";
    const json_t *inner = json_object_get(type, "type");
    return json_is_string(inner) ? json_string_value(inner) : kind_of(inner);
}

static bool is(const json_t *type, const char *kind)
{
    return strcmp(kind_of(type), kind) == 0;
}

/* --- encoding ------------------------------------------------------------------------------- */

static void fill(context *c, avro_value_t *v, const json_t *type, const json_t *value,
                 const char *path);

static bool branch_takes(const json_t *type, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return is(type, "null");
    case JSON_TRUE:
    case JSON_FALSE:
        return is(type, "boolean");
    case JSON_INTEGER:
        return (is(type, "int") && json_integer_value(value) >= INT32_MIN &&
                json_integer_value(value) <= INT32_MAX) ||
               is(type, "long") || is(type, "double") || is(type, "float");
    case JSON_REAL:
        return is(type, "double") || is(type, "float");
    case JSON_STRING:
        return is(type, "string") || is(type, "enum") || is(type, "bytes") || is(type, "fixed");
    case JSON_ARRAY:
        return is(type, "array");
    default:
        return is(type, "record") || is(type, "map");
    }
}

static void fill_union(context *c, avro_value_t *v, const json_t *type, const json_t *value,
                       const char *path)
{
    avro_value_t branch;

    for (size_t i = 0; i < json_array_size(type); i++)
        if (branch_takes(json_array_get(type, i), value)) {
            CHECK(avro_value_set_branch(v, (int)i, &branch) == 0);
            fill(c, &branch, json_array_get(type, i), value, path);
            return;
        }
    CHECK(false && "a branch for the value");
}

static void fill_enum(context *c, avro_value_t *v, const json_t *type, const json_t *value,
                      const char *path)
{
    const json_t *symbols = json_object_get(type, "symbols"), *symbol;
    size_t i;

    json_array_foreach(symbols, i, symbol) if (json_equal(symbol, value))
    {
        CHECK(avro_value_set_enum(v, (int)i) == 0);
        return;
    }
    CHECK(json_object_get(type, "default"));
    json_object_set_new(c->extra, path, json_sprintf("\"%s\"", json_string_value(value)));
    fill_enum(c, v, type, json_object_get(type, "default"), path);
}

/* Text whose code points are bytes. */
static void fill_bytes(avro_value_t *v, const json_t *value, bool fixed)
{
    const uint8_t *text = (const uint8_t *)json_string_value(value);
    uint8_t bytes[256];
    size_t len = json_string_length(value), count = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned c = text[i];
        if (c >= 0x80)
            c = c << 6 | (text[++i] & 0x3Fu);
        bytes[count++] = (uint8_t)c;
    }
    CHECK((fixed ? avro_value_set_fixed(v, bytes, count) : avro_value_set_bytes(v, bytes, count)) ==
          0);
}

static void fill_fields(context *c, avro_value_t *v, const json_t *type, const json_t *value,
                        const char *path)
{
    const json_t *fields = json_object_get(type, "fields"), *field;
    json_t *member;
    const char *name;
    avro_value_t child;
    size_t i;
    bool top = path[0] == '\0';

    json_array_foreach(fields, i, field)
    {
        name = json_string_value(json_object_get(field, "name"));
        const json_t *wanted = json_object_get(value, name), *bound = NULL;
        json_t *null = json_null();
        if (top && c->bound)
            bound = json_object_get(c->bound, name);
        if (bound)
            wanted = bound;
        else if (top && strcmp(name, "extra") == 0)
            continue;
        else if (wanted)
            continue; /* in the order of the JSON, below */
        else
            wanted = json_object_get(field, "default");
        CHECK(avro_value_get_by_name(v, name, &child, NULL) == 0);
        fill(c, &child, json_object_get(field, "type"), wanted ? wanted : null, "default");
    }
    json_object_foreach((json_t *)value, name, member)
    {
        char full[512];
        snprintf(full, sizeof full, top ? "%s%s" : "%s.%s", path, name);
        const json_t *found = NULL;
        json_array_foreach(fields, i,
                           field) if (strcmp(json_string_value(json_object_get(field, "name")),
                                             name) == 0) found = field;
        if (top && ((c->bound && json_object_get(c->bound, name)) || strcmp(name, "extra") == 0))
            found = NULL;
        if (found) {
            CHECK(avro_value_get_by_name(v, name, &child, NULL) == 0);
            fill(c, &child, json_object_get(found, "type"), member, full);
        } else {
            char *text = json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY);
            json_object_set_new(c->extra, full, json_string(text));
            free(text);
        }
    }
    if (top && json_object_size(c->extra) != 0 &&
        avro_value_get_by_name(v, "extra", &child, NULL) == 0)
        json_object_foreach(c->extra, name, member)
        {
            avro_value_t entry;
            CHECK(avro_value_add(&child, name, &entry, NULL, NULL) == 0);
            CHECK(avro_value_set_string_len(&entry, (char *)json_string_value(member),
                                            json_string_length(member) + 1) == 0);
        }
}

static void fill(context *c, avro_value_t *v, const json_t *type, const json_t *value,
                 const char *path)
{
    json_t *item;
    const char *name;
    size_t i;
    char full[512];
    avro_value_t child;

    if (is(type, "union")) {
        fill_union(c, v, type, value, path);
    } else if (is(type, "record")) {
        fill_fields(c, v, type, value, path);
    } else if (is(type, "enum")) {
        fill_enum(c, v, type, value, path);
    } else if (is(type, "null")) {
        CHECK(json_is_null(value) && avro_value_set_null(v) == 0);
    } else if (is(type, "boolean")) {
        CHECK(avro_value_set_boolean(v, json_is_true(value)) == 0);
    } else if (is(type, "int")) {
        CHECK(avro_value_set_int(v, (int32_t)json_integer_value(value)) == 0);
    } else if (is(type, "long")) {
        CHECK(avro_value_set_long(v, json_integer_value(value)) == 0);
    } else if (is(type, "double")) {
        CHECK(avro_value_set_double(v, json_number_value(value)) == 0);
    } else if (is(type, "float")) {
        CHECK(avro_value_set_float(v, (float)json_number_value(value)) == 0);
    } else if (is(type, "string")) {
        CHECK(avro_value_set_string_len(v, (char *)json_string_value(value),
                                        json_string_length(value) + 1) == 0);
    } else if (is(type, "bytes") || is(type, "fixed")) {
        fill_bytes(v, value, is(type, "fixed"));
    } else if (is(type, "array")) {
        json_array_foreach((json_t *)value, i, item)
        {
            snprintf(full, sizeof full, "%s[%zu]", path, i);
            CHECK(avro_value_append(v, &child, NULL) == 0);
            fill(c, &child, json_object_get(type, "items"), item, full);
        }
    } else {
        CHECK(is(type, "map"));
        json_object_foreach((json_t *)value, name, item)
        {
            snprintf(full, sizeof full, "%s.%s", path, name);
            CHECK(avro_value_add(v, name, &child, NULL, NULL) == 0);
            fill(c, &child, json_object_get(type, "values"), item, full);
        }
    }
}

void reference_encode(const reference *r, const json_t *record, gv_buf *out)
{
    avro_value_t value;
    context c = { json_object(), r->bound };

    CHECK(avro_generic_value_new(r->iface, &value) == 0);
    fill(&c, &value, r->schema, record, "");
    avro_writer_t writer = avro_writer_memory((char *)out->data, (int64_t)out->cap);
    CHECK(avro_value_write(writer, &value) == 0);
    out->len = (size_t)avro_writer_tell(writer);
    avro_writer_free(writer);
    avro_value_decref(&value);
    json_decref(c.extra);
}

bool reference_reads(const reference *r, gv_span body)
{
    avro_value_t value;
    avro_reader_t reader = avro_reader_memory((const char *)body.data, (int64_t)body.len);

    CHECK(avro_generic_value_new(r->iface, &value) == 0);
    bool good = avro_value_read(reader, &value) == 0;
    char byte;
    good = good && avro_read(reader, &byte, 1) != 0;
    avro_reader_free(reader);
    avro_value_decref(&value);
    return good;
}

/* --- generating ----------------------------------------------------------------------------- */

typedef struct {
    uint32_t *random;
    gv_buf *out;
    int64_t id;
    const json_t *bound;
} generator;

static void generate(generator *g, const json_t *type, bool top);

static bool chance(generator *g, uint32_t percent)
{
    return next_random(g->random) % 100 < percent;
}

static void emit(generator *g, const char *text)
{
    CHECK(gv_buf_put(g->out, text, strlen(text)));
}

static void space(generator *g)
{
    static const char *const spaces[] = { " ", "\n", "\t\r\n  ", "          " };

    if (chance(g, 10))
        emit(g, spaces[next_random(g->random) % 4]);
}

static void generate_integer(generator *g, bool narrow)
{
    static const int64_t edges[] = { 0, 63, 64, -64, -65, 8191, 8192, INT32_MAX, INT32_MIN };
    static const int64_t wide[] = { INT64_MAX,
                                    INT64_MIN,
                                    INT64_MAX - 1,
                                    INT64_MIN + 1,
                                    INT64_C(4294967296),
                                    INT64_C(50000000000),
                                    INT64_C(999999999999999999),
                                    INT64_C(-1000000000000000000) };
    char text[32];
    int64_t value;

    if (chance(g, 10)) {
        value = edges[next_random(g->random) % 9];
    } else if (!narrow && chance(g, 20)) {
        value = wide[next_random(g->random) % 8];
    } else {
        value = (int64_t)(next_random(g->random) >> next_random(g->random) % 29);
        value = chance(g, 20) ? -value : value;
    }
    snprintf(text, sizeof text, "%" PRId64, value);
    emit(g, text);
}

static void generate_real(generator *g, bool narrow)
{
    static const char *const reals[] = { "0",      "-0.0",
                                         "1e5",    "1E+2",
                                         "2.5e-7", "0.1",
                                         "5",      "123456789.123456789",
                                         "5e-324", "1.7976931348623157e308" };
    char text[40];

    if (chance(g, 50)) {
        emit(g, reals[next_random(g->random) % (narrow ? 8 : 10)]);
        return;
    }
    snprintf(text, sizeof text, "%.17g", (double)next_random(g->random) / 977.0 - 100000.0);
    emit(g, text);
}

/* One character, in one of the ways in which JSON can write it; latin: none above U+00FF. */
static void generate_character(generator *g, bool latin)
{
    static const char *const any[] = { "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t",
                                       "\\u0041", "\\u00e9", "\xC3\xBF", "\x7F",
                                       /* above U+00FF */
                                       "\\u20AC", "\\ud83d\\udE00", "\xE2\x82\xAC",
                                       "\xF0\x9F\x98\x80", "\\uFFFD", "\xED\x9F\xBF" };
    char plain[2] = { (char)(' ' + next_random(g->random) % 94), '\0' };

    if (chance(g, 85) && plain[0] != '"' && plain[0] != '\\')
        emit(g, plain);
    else
        emit(g, any[next_random(g->random) % (latin ? 12 : 18)]);
}

static void generate_string(generator *g, bool latin)
{
    uint32_t length = next_random(g->random) % (chance(g, 10) ? 200 : 20);

    emit(g, "\"");
    while (length-- > 0)
        generate_character(g, latin);
    emit(g, "\"");
}

static void generate_fixed(generator *g, const json_t *type)
{
    json_int_t size = json_integer_value(json_object_get(type, "size"));

    emit(g, "\"");
    while (size-- > 0)
        generate_character(g, true);
    emit(g, "\"");
}

static void generate_enum(generator *g, const json_t *type)
{
    const json_t *symbols = json_object_get(type, "symbols");
    size_t pick = next_random(g->random) % json_array_size(symbols);

    emit(g, "\"");
    emit(g, chance(g, 5) && json_object_get(type, "default")
                ? "NEW_IN_THE_WORLD"
                : json_string_value(json_array_get(symbols, pick)));
    emit(g, "\"");
}

static void generate_name(generator *g, const char *name)
{
    char escape[8];

    emit(g, "\"");
    for (; *name; name++) {
        snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(uint8_t)*name);
        if ((uint8_t)*name < 0x80 && chance(g, 1))
            emit(g, escape);
        else
            gv_buf_put(g->out, name, 1);
    }
    emit(g, "\"");
    space(g);
    emit(g, ":");
    space(g);
}

/* As jansson writes it, since it goes into the record as text. */
static void generate_unknown(generator *g, uint32_t serial)
{
    static const char *const values[] = { "null",
                                          "true",
                                          "-12",
                                          "\"text, {with} [signs]\"",
                                          "[]",
                                          "{}",
                                          "[1,[2,{\"a\":\"b\"}]]",
                                          "{\"x\":{\"y\":[false]}}" };
    char name[32];

    snprintf(name, sizeof name, "new_%u", (unsigned)serial);
    generate_name(g, name);
    emit(g, values[next_random(g->random) % 8]);
}

static bool may_be_absent(const json_t *field)
{
    const json_t *type = json_object_get(field, "type");

    return json_object_get(field, "default") ||
           (is(type, "union") && branch_takes(json_array_get(type, 0), json_null()));
}

static void generate_record(generator *g, const json_t *type, bool top)
{
    const json_t *fields = json_object_get(type, "fields");
    size_t count = json_array_size(fields), order[64];
    bool first = true;
    char id[32];

    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; chance(g, 30) && i > 1; i--) {
        size_t j = next_random(g->random) % i, swap = order[j];
        order[j] = order[i - 1];
        order[i - 1] = swap;
    }
    emit(g, "{");
    for (size_t i = 0; i < count; i++) {
        const json_t *field = json_array_get(fields, order[i]);
        const char *name = json_string_value(json_object_get(field, "name"));
        if (chance(g, 3)) {
            emit(g, first ? "" : ",");
            generate_unknown(g, (uint32_t)i);
            first = false;
        }
        if ((may_be_absent(field) && chance(g, 40)) ||
            (top && (strcmp(name, "extra") == 0 || json_object_get(g->bound, name))))
            continue;
        emit(g, first ? "" : ",");
        first = false;
        space(g);
        generate_name(g, name);
        if (top && strcmp(name, "id") == 0) {
            snprintf(id, sizeof id, "%" PRId64, g->id);
            emit(g, id);
        } else {
            generate(g, json_object_get(field, "type"), false);
        }
        space(g);
    }
    emit(g, "}");
}

static void generate_items(generator *g, const json_t *type)
{
    bool map = is(type, "map");
    uint32_t count = next_random(g->random) % (chance(g, 5) ? map ? 40 : 100 : 5);
    char name[32];

    emit(g, map ? "{" : "[");
    for (uint32_t i = 0; i < count; i++) {
        emit(g, i ? "," : "");
        space(g);
        if (map) {
            snprintf(name, sizeof name, "key \xC3\xA9 %u", (unsigned)i);
            generate_name(g, name);
        }
        generate(g, json_object_get(type, map ? "values" : "items"), false);
        space(g);
    }
    emit(g, map ? "}" : "]");
}

static void generate(generator *g, const json_t *type, bool top)
{
    if (is(type, "union"))
        generate(g, json_array_get(type, next_random(g->random) % json_array_size(type)), false);
    else if (is(type, "record"))
        generate_record(g, type, top);
    else if (is(type, "enum"))
        generate_enum(g, type);
    else if (is(type, "null"))
        emit(g, "null");
    else if (is(type, "boolean"))
        emit(g, chance(g, 50) ? "true" : "false");
    else if (is(type, "int") || is(type, "long"))
        generate_integer(g, is(type, "int"));
    else if (is(type, "double") || is(type, "float"))
        generate_real(g, is(type, "float"));
    else if (is(type, "string") || is(type, "bytes"))
        generate_string(g, is(type, "bytes"));
    else if (is(type, "fixed"))
        generate_fixed(g, type);
    else
        generate_items(g, type);
}

void reference_generate(const reference *r, uint32_t *random, int64_t id, gv_buf *out)
{
    generator g = { random, out, id, r->bound };

    generate(&g, r->schema, true);
}
