/* Defaults of fields: JSON of the schema, encoded once so that nobody interprets it later. */
#include "agent/codec/schema_json.h"

#include "agent/codec/avro_out.h"
#include "agent/codec/utf8.h"

#include <float.h>
#include <math.h>

#define DEFAULT_MAX_BYTES 4096
#define EXACT_MAX         9007199254740992.0 /* cJSON's numbers are doubles: 2^53 */

typedef enum { ENCODED, MISMATCH, TOO_LONG } outcome;

static outcome encode(const schema_node *type, const cJSON *value, gv_buf *out);

static outcome put(bool fitted)
{
    return fitted ? ENCODED : TOO_LONG;
}

static outcome encode_integer(const schema_node *type, const cJSON *value, gv_buf *out)
{
    double number = value->valuedouble;
    double limit = type->kind == SCHEMA_INT ? (double)INT32_MAX : EXACT_MAX;

    if (!cJSON_IsNumber(value) || number != floor(number) || number > limit ||
        number < (type->kind == SCHEMA_INT ? -limit - 1 : -limit))
        return MISMATCH;
    return put(avro_put_long(out, (int64_t)number));
}

static outcome encode_floating(const schema_node *type, const cJSON *value, gv_buf *out)
{
    double number = value->valuedouble;

    if (!cJSON_IsNumber(value) || fabs(number) > (type->kind == SCHEMA_FLOAT ? FLT_MAX : DBL_MAX))
        return MISMATCH;
    return put(type->kind == SCHEMA_FLOAT ? avro_put_float(out, (float)number)
                                          : avro_put_double(out, number));
}

/* Bytes are written as text whose code points, 0 to 255, are their values. */
static outcome encode_bytes(const schema_node *type, const char *text, gv_buf *out)
{
    uint8_t bytes[DEFAULT_MAX_BYTES];
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    size_t count = 0, bad;

    while (p != end) {
        size_t length = utf8_sequence(p, end, &bad);
        if (length == 0 || length > 2 || p[0] > 0xC3)
            return MISMATCH;
        if (count == sizeof bytes)
            return TOO_LONG;
        bytes[count++] = (uint8_t)(length == 1 ? p[0] : p[0] << 6 | (p[1] & 0x3F));
        p += length;
    }
    if (type->kind == SCHEMA_BYTES)
        return put(avro_put_bytes(out, gv_span_of(bytes, count)));
    return count == type->count ? put(gv_buf_put(out, bytes, count)) : MISMATCH;
}

/* cJSON does not check the UTF-8 that it reads. */
static outcome put_string(gv_buf *out, const char *text)
{
    if (utf8_valid_prefix(gv_span_str(text)) != strlen(text))
        return MISMATCH;
    return put(avro_put_bytes(out, gv_span_str(text)));
}

static outcome encode_text(const schema_node *type, const cJSON *value, gv_buf *out)
{
    const char *text = cJSON_GetStringValue(value);

    if (!text)
        return MISMATCH;
    if (type->kind == SCHEMA_BYTES || type->kind == SCHEMA_FIXED)
        return encode_bytes(type, text, out);
    if (type->kind == SCHEMA_ENUM) {
        int32_t index = schema_symbol_index(type, gv_span_str(text));
        return index < 0 ? MISMATCH : put(avro_put_long(out, index));
    }
    return put_string(out, text);
}

/* Arrays and maps: one block, then the empty one. */
static outcome encode_items(const schema_node *type, const cJSON *value, gv_buf *out)
{
    const cJSON *item;

    if (type->kind == SCHEMA_ARRAY ? !cJSON_IsArray(value) : !cJSON_IsObject(value))
        return MISMATCH;
    if (value->child && !avro_put_long(out, cJSON_GetArraySize(value)))
        return TOO_LONG;
    cJSON_ArrayForEach(item, value)
    {
        outcome got = type->kind == SCHEMA_MAP ? put_string(out, item->string) : ENCODED;
        if (got == ENCODED)
            got = encode(type->items, item, out);
        if (got != ENCODED)
            return got;
    }
    return put(avro_put_long(out, 0));
}

static outcome encode_record(const schema_node *type, const cJSON *value, gv_buf *out)
{
    if (!type->fields || !cJSON_IsObject(value))
        return MISMATCH;
    for (uint32_t i = 0; i < type->count; i++) {
        const schema_field *field = &type->fields[i];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(value, field->name);
        outcome got;
        if (item)
            got = encode(field->type, item, out);
        else if (field->has_default)
            got = put(gv_buf_put(out, field->default_avro.data, field->default_avro.len));
        else
            got = MISMATCH;
        if (got != ENCODED)
            return got;
    }
    return ENCODED;
}

/* The first branch that takes the value. */
static outcome encode_union(const schema_node *type, const cJSON *value, gv_buf *out)
{
    size_t before = out->len;

    for (uint32_t i = 0; i < type->count; i++) {
        outcome got = put(avro_put_long(out, (int64_t)i));
        if (got == ENCODED)
            got = encode(type->branches[i], value, out);
        if (got != MISMATCH)
            return got;
        out->len = before;
    }
    return MISMATCH;
}

static outcome encode(const schema_node *type, const cJSON *value, gv_buf *out)
{
    switch (type->kind) {
    case SCHEMA_NULL:
        return cJSON_IsNull(value) ? ENCODED : MISMATCH;
    case SCHEMA_BOOLEAN:
        return cJSON_IsBool(value) ? put(avro_put_boolean(out, cJSON_IsTrue(value))) : MISMATCH;
    case SCHEMA_INT:
    case SCHEMA_LONG:
        return encode_integer(type, value, out);
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return encode_floating(type, value, out);
    case SCHEMA_BYTES:
    case SCHEMA_STRING:
    case SCHEMA_ENUM:
    case SCHEMA_FIXED:
        return encode_text(type, value, out);
    case SCHEMA_RECORD:
        return encode_record(type, value, out);
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        return encode_items(type, value, out);
    case SCHEMA_UNION:
        return encode_union(type, value, out);
    }
    return MISMATCH;
}

gv_status schema_encode_default(schema_field *field, const cJSON *value, const char *record,
                                gv_arena *arena, gv_error *err)
{
    uint8_t bytes[DEFAULT_MAX_BYTES];
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    outcome got = encode(field->type, value, &out);

    if (got == MISMATCH)
        return gv_fail(err, GV_INVAL, "schema: the default of %s.%s does not fit its type", record,
                       field->name);
    if (got == TOO_LONG)
        return gv_fail(err, GV_INVAL, "schema: the default of %s.%s is longer than %d bytes",
                       record, field->name, DEFAULT_MAX_BYTES);
    uint8_t *copy = gv_arena_alloc(arena, out.len + 1);
    if (!copy)
        return gv_fail(err, GV_FULL, "the schema needs more memory than the %zu bytes it was given",
                       arena->size_bytes);
    memcpy(copy, bytes, out.len);
    field->default_avro = gv_span_of(copy, out.len);
    return GV_OK;
}
