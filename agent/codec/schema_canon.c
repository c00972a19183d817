/* The Parsing Canonical Form, never stored: its bytes go straight into the fingerprint. */
#include "agent/codec/schema_json.h"

#include <inttypes.h>
#include <stdio.h>

#define CRC64_EMPTY UINT64_C(0xc15d213aa4d7a795)

typedef struct {
    uint64_t crc;
    const schema_node *printed[SCHEMA_NAMED_MAX]; /* named types: in full once, then by name */
    uint32_t printed_count;
} canon;

static void emit_type(canon *c, const schema_node *type);

static void emit(canon *c, const char *text)
{
    for (; *text; text++) {
        c->crc ^= (uint8_t)*text;
        for (int bit = 0; bit < 8; bit++)
            c->crc = c->crc >> 1 ^ (CRC64_EMPTY & (0 - (c->crc & 1)));
    }
}

static void emit_quoted(canon *c, const char *text)
{
    emit(c, "\"");
    emit(c, text);
    emit(c, "\"");
}

static void emit_record(canon *c, const schema_node *type)
{
    emit(c, ",\"fields\":[");
    for (uint32_t i = 0; i < type->count; i++) {
        emit(c, i ? ",{\"name\":" : "{\"name\":");
        emit_quoted(c, type->fields[i].name);
        emit(c, ",\"type\":");
        emit_type(c, type->fields[i].type);
        emit(c, "}");
    }
    emit(c, "]");
}

static void emit_enum(canon *c, const schema_node *type)
{
    emit(c, ",\"symbols\":[");
    for (uint32_t i = 0; i < type->count; i++) {
        emit(c, i ? "," : "");
        emit_quoted(c, type->symbols[i]);
    }
    emit(c, "]");
}

static void emit_fixed(canon *c, const schema_node *type)
{
    char text[32];

    snprintf(text, sizeof text, ",\"size\":%" PRIu32, type->count);
    emit(c, text);
}

static void emit_named(canon *c, const schema_node *type)
{
    for (uint32_t i = 0; i < c->printed_count; i++)
        if (c->printed[i] == type) {
            emit_quoted(c, type->full_name);
            return;
        }
    c->printed[c->printed_count++] = type;
    emit(c, "{\"name\":");
    emit_quoted(c, type->full_name);
    emit(c, ",\"type\":");
    emit_quoted(c, schema_kind_name(type->kind));
    if (type->kind == SCHEMA_RECORD)
        emit_record(c, type);
    else if (type->kind == SCHEMA_ENUM)
        emit_enum(c, type);
    else
        emit_fixed(c, type);
    emit(c, "}");
}

static void emit_type(canon *c, const schema_node *type)
{
    switch (type->kind) {
    case SCHEMA_RECORD:
    case SCHEMA_ENUM:
    case SCHEMA_FIXED:
        emit_named(c, type);
        break;
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        emit(c, type->kind == SCHEMA_ARRAY ? "{\"type\":\"array\",\"items\":"
                                           : "{\"type\":\"map\",\"values\":");
        emit_type(c, type->items);
        emit(c, "}");
        break;
    case SCHEMA_UNION:
        emit(c, "[");
        for (uint32_t i = 0; i < type->count; i++) {
            emit(c, i ? "," : "");
            emit_type(c, type->branches[i]);
        }
        emit(c, "]");
        break;
    default:
        emit_quoted(c, schema_kind_name(type->kind));
    }
}

uint64_t schema_fingerprint(const schema_node *root)
{
    canon c = { .crc = CRC64_EMPTY };

    emit_type(&c, root);
    return c.crc;
}
