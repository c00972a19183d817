#include "agent/codec/record_parts.h"

#include <math.h>
#include <stdlib.h>

static const uint8_t *put_integer(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    json_number number;

    if (json_kind_of[*p] != JSON_NUMBER)
        return record_refuse_kind(e, p, n, at);
    p = json_scan_number(&e->in, p, &number);
    if (!p)
        return NULL;
    if (!number.integer)
        return record_refuse(e, at, "a fraction or an exponent, where an integer belongs");
    if (number.overflow)
        return record_refuse(e, at, "an integer outside of 64 bits");
    if (n->kind == SCHEMA_INT && (number.value > INT32_MAX || number.value < INT32_MIN))
        return record_refuse(e, at, "an integer outside of 32 bits");
    e->integer = number.value;
    return avro_put_long(&e->body, number.value) ? p : record_refuse_size(e);
}

/* The programs stay in the C locale, so strtod() reads what JSON writes. */
static const uint8_t *put_floating(record_encoder *e, const uint8_t *p, const plan_node *n,
                                   const where *at)
{
    json_number number;
    bool fits;

    if (json_kind_of[*p] != JSON_NUMBER)
        return record_refuse_kind(e, p, n, at);
    p = json_scan_number(&e->in, p, &number);
    if (!p)
        return NULL;
    /* strtod() wants an end; the body's free room serves for the copy. */
    char *copy = (char *)e->body.data + e->body.len;
    if (number.raw.len >= e->body.cap - e->body.len)
        return record_refuse_size(e);
    memcpy(copy, number.raw.data, number.raw.len);
    copy[number.raw.len] = '\0';
    double wide = n->kind == SCHEMA_DOUBLE ? strtod(copy, NULL) : (double)strtof(copy, NULL);
    if (isinf(wide))
        return record_refuse(e, at, "a number that is too large");
    fits = n->kind == SCHEMA_DOUBLE ? avro_put_double(&e->body, wide)
                                    : avro_put_float(&e->body, (float)wide);
    return fits ? p : record_refuse_size(e);
}

static const uint8_t *put_boolean(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    bool value = *p == 't';

    if (json_kind_of[*p] != JSON_BOOLEAN)
        return record_refuse_kind(e, p, n, at);
    p = json_scan_literal(&e->in, p);
    if (p && !avro_put_boolean(&e->body, value))
        return record_refuse_size(e);
    return p;
}

static const uint8_t *put_null(record_encoder *e, const uint8_t *p, const plan_node *n,
                               const where *at)
{
    return *p == 'n' ? json_scan_literal(&e->in, p) : record_refuse_kind(e, p, n, at);
}

static const uint8_t *put_string(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *at)
{
    json_text text;
    size_t mark;

    if (*p != '"')
        return record_refuse_kind(e, p, n, at);
    p = json_scan_string(&e->in, p, &text);
    if (!p)
        return NULL;
    if (text.plain)
        return avro_put_bytes(&e->body, text.raw) ? p : record_refuse_size(e);
    if (!avro_reserve(&e->body, &mark) || !json_put_text(&e->body, &text, &e->replaced) ||
        !avro_prefix(&e->body, mark, (int64_t)(e->body.len - mark - 1)))
        return record_refuse_size(e);
    return p;
}

/* Turns UTF-8 at the body's end into bytes, one for each code point; false when one is over 255. */
static bool narrow(gv_buf *body, size_t from)
{
    size_t to = from;

    for (size_t i = from; i < body->len; i++) {
        unsigned c = body->data[i];
        if (c > 0xC3)
            return false;
        if (c >= 0x80)
            c = c << 6 | (body->data[++i] & 0x3Fu);
        body->data[to++] = (uint8_t)c;
    }
    body->len = to;
    return true;
}

/* bytes and fixed: text whose code points, 0 to 255, are the bytes, as in a schema's defaults. */
static const uint8_t *put_bytes(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at)
{
    json_text text;
    gv_buf *body = &e->body;
    size_t mark = body->len;
    bool fixed = n->kind == SCHEMA_FIXED;

    if (*p != '"')
        return record_refuse_kind(e, p, n, at);
    p = json_scan_string(&e->in, p, &text);
    if (!p)
        return NULL;
    if (!fixed && !avro_reserve(body, &mark))
        return record_refuse_size(e);
    size_t begin = body->len;
    if (!json_put_text(body, &text, &e->replaced))
        return record_refuse_size(e);
    if (!narrow(body, begin))
        return record_refuse(e, at, "a character over U+00FF, where bytes belong");
    if (fixed && body->len - begin != n->count)
        return record_refuse(e, at, "a text of the wrong length, where a fixed belongs");
    if (!fixed && !avro_prefix(body, mark, (int64_t)(body->len - begin)))
        return record_refuse_size(e);
    return p;
}

int32_t record_find_escaped(const plan_node *n, const json_text *text)
{
    uint8_t bytes[256];
    gv_buf name = gv_buf_of(bytes, sizeof bytes - 1);
    uint32_t replaced = 0;

    if (!json_put_text(&name, text, &replaced))
        return -1;
    bytes[name.len] = '"';
    return plan_find_name(n, 0, bytes, bytes + name.len + 1);
}

static const uint8_t *put_enum(record_encoder *e, const uint8_t *p, const plan_node *n,
                               const where *at)
{
    json_text text;
    const uint8_t *begin = p;

    if (*p != '"')
        return record_refuse_kind(e, p, n, at);
    int32_t symbol = plan_find_name(n, 0, p + 1, e->in.end);
    if (symbol >= 0) {
        p += 2 + n->names[symbol].len;
    } else {
        p = json_scan_string(&e->in, p, &text);
        if (!p)
            return NULL;
        if (text.escaped)
            symbol = record_find_escaped(n, &text);
    }
    if (symbol < 0) {
        symbol = n->enum_default;
        if (symbol < 0)
            return record_refuse(e, at, "a text that is no symbol of the enum");
        if (!record_put_extra(e, at, gv_span_of(begin, (size_t)(p - begin))))
            return NULL;
    }
    return avro_put_index(&e->body, (uint32_t)symbol) ? p : record_refuse_size(e);
}

/* With several number types: the first that holds the number exactly. A fraction is exact enough in
 * a double; an integer beyond 2^53 is not. */
static bool branch_takes(const plan_node *branch, const json_number *number)
{
    bool exact = number->integer && !number->overflow;

    switch (branch->kind) {
    case SCHEMA_INT:
        return exact && number->value >= INT32_MIN && number->value <= INT32_MAX;
    case SCHEMA_LONG:
        return exact;
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return !number->integer ||
               (exact && number->value >= -(INT64_C(1) << 53) && number->value <= INT64_C(1) << 53);
    default:
        return false;
    }
}

int32_t record_number_branch(record_encoder *e, const uint8_t *p, const plan_node *n,
                             const where *at)
{
    static const schema_kind order[] = { SCHEMA_INT, SCHEMA_LONG, SCHEMA_DOUBLE, SCHEMA_FLOAT };
    json_number number;

    if (!json_scan_number(&e->in, p, &number))
        return -1;
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        for (uint32_t i = 0; i < n->count; i++)
            if (n->children[i]->kind == order[k] && branch_takes(n->children[i], &number))
                return (int32_t)i;
    record_refuse(e, at, "a number that no branch of the union holds exactly");
    return -1;
}

const uint8_t *record_put_scalar(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *at)
{
    switch (n->kind) {
    case SCHEMA_NULL:
        return put_null(e, p, n, at);
    case SCHEMA_BOOLEAN:
        return put_boolean(e, p, n, at);
    case SCHEMA_FLOAT:
    case SCHEMA_DOUBLE:
        return put_floating(e, p, n, at);
    case SCHEMA_STRING:
        return put_string(e, p, n, at);
    case SCHEMA_BYTES:
    case SCHEMA_FIXED:
        return put_bytes(e, p, n, at);
    case SCHEMA_ENUM:
        return put_enum(e, p, n, at);
    default:
        return put_integer(e, p, n, at);
    }
}
