#include "agent/codec/record.h"

#include "agent/codec/avro_out.h"
#include "agent/codec/digest.h"
#include "agent/codec/utf8.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The way from the root to a value, a link on the stack for each level. */
typedef struct where {
    const struct where *up;
    json_text name;
    uint32_t index;
    bool indexed;
} where;

typedef struct {
    uint32_t at; /* from the record's start */
    uint32_t len;
} slot;

static const uint8_t *put_value(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at);

/* --- breaches ------------------------------------------------------------------------------- */

static bool put_path(gv_buf *out, const where *at, uint32_t *replaced)
{
    char index[16];

    if (!at)
        return true;
    if (!put_path(out, at->up, replaced))
        return false;
    if (at->indexed)
        return gv_buf_put(out, index,
                          (size_t)snprintf(index, sizeof index, "[%u]", (unsigned)at->index));
    if (at->up && !gv_buf_put(out, ".", 1))
        return false;
    return json_put_text(out, &at->name, replaced);
}

/* The reason is set already. */
static const uint8_t *refuse_at(record_encoder *e, const where *at)
{
    gv_buf out = gv_buf_of(e->path, sizeof e->path - 1);
    uint32_t replaced = 0;

    put_path(&out, at, &replaced); /* cut where it is longer */
    e->path[out.len] = '\0';
    e->in.stop = JSON_REFUSED;
    return NULL;
}

static const uint8_t *refuse(record_encoder *e, const where *at, const char *reason)
{
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    return refuse_at(e, at);
}

static const uint8_t *refuse_size(record_encoder *e)
{
    snprintf(e->reason, sizeof e->reason, "its Avro form is longer than %zu bytes",
             e->limits.record_bytes);
    return refuse_at(e, NULL);
}

/* The value at p is of another kind than n wants. */
static const uint8_t *refuse_kind(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    json_kind kind = json_kind_of[*p];

    if (kind == JSON_NOTHING)
        return json_scan_fail(&e->in, p, "a value");
    snprintf(e->reason, sizeof e->reason, "expected %s%s, found %s",
             n->kind == SCHEMA_UNION ? "another branch of the " : "", schema_kind_name(n->kind),
             json_kind_name[kind]);
    return refuse_at(e, at);
}

/* --- names that must not come twice --------------------------------------------------------- */

typedef enum { NAME_NEW, NAME_TWICE, NAME_TOO_MANY } name_result;

static name_result add_name(record_encoder *e, uint32_t map, gv_span name)
{
    uint64_t hash = (codec_digest(name) ^ map * UINT64_C(0x9E3779B97F4A7C15)) | 1; /* 0 is free */
    size_t at = hash >> 32;

    if (e->name_count == RECORD_NAME_SLOTS / 2)
        return NAME_TOO_MANY;
    for (;; at++) {
        uint64_t *entry = &e->names[at % RECORD_NAME_SLOTS];
        if (*entry == hash)
            return NAME_TWICE;
        if (*entry == 0) {
            *entry = hash;
            e->name_count++;
            return NAME_NEW;
        }
    }
}

static const uint8_t *refuse_name(record_encoder *e, const where *at, name_result result)
{
    if (result == NAME_TWICE)
        return refuse(e, at, "it is there twice");
    snprintf(e->reason, sizeof e->reason, "more than %d unknown members and map keys",
             RECORD_NAME_SLOTS / 2);
    return refuse_at(e, NULL);
}

/* --- unknown members ------------------------------------------------------------------------ */

/* Keeps the JSON text of the member at `at`, whose value is `json`. */
static bool put_extra(record_encoder *e, const where *at, gv_span json)
{
    size_t key, value, end;
    gv_buf *out = &e->extra;

    e->unknown++;
    if (e->plan->extra < 0)
        return true;
    if (!avro_reserve(out, &key) || !put_path(out, at, &e->replaced)) {
        refuse_size(e);
        return false;
    }
    end = out->len;
    name_result name = add_name(e, 0, gv_span_of(out->data + key + 1, end - key - 1));
    if (name != NAME_NEW) {
        refuse_name(e, at, name);
        return false;
    }
    if (!avro_prefix(out, key, (int64_t)(end - key - 1)) || !avro_reserve(out, &value) ||
        !utf8_put_clean(out, json, &e->replaced) ||
        !avro_prefix(out, value, (int64_t)(out->len - value - 1))) {
        refuse_size(e);
        return false;
    }
    e->extra_count++;
    return true;
}

/* --- scalars -------------------------------------------------------------------------------- */

static const uint8_t *put_integer(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    json_number number;

    if (json_kind_of[*p] != JSON_NUMBER)
        return refuse_kind(e, p, n, at);
    p = json_scan_number(&e->in, p, &number);
    if (!p)
        return NULL;
    if (!number.integer)
        return refuse(e, at, "a fraction or an exponent, where an integer belongs");
    if (number.overflow)
        return refuse(e, at, "an integer outside of 64 bits");
    if (n->kind == SCHEMA_INT && (number.value > INT32_MAX || number.value < INT32_MIN))
        return refuse(e, at, "an integer outside of 32 bits");
    e->integer = number.value;
    return avro_put_long(&e->body, number.value) ? p : refuse_size(e);
}

/* The programs stay in the C locale, so strtod() reads what JSON writes. */
static const uint8_t *put_floating(record_encoder *e, const uint8_t *p, const plan_node *n,
                                   const where *at)
{
    json_number number;
    bool fits;

    if (json_kind_of[*p] != JSON_NUMBER)
        return refuse_kind(e, p, n, at);
    p = json_scan_number(&e->in, p, &number);
    if (!p)
        return NULL;
    /* strtod() wants an end; the body's free room serves for the copy. */
    char *copy = (char *)e->body.data + e->body.len;
    if (number.raw.len >= e->body.cap - e->body.len)
        return refuse_size(e);
    memcpy(copy, number.raw.data, number.raw.len);
    copy[number.raw.len] = '\0';
    double wide = n->kind == SCHEMA_DOUBLE ? strtod(copy, NULL) : (double)strtof(copy, NULL);
    if (isinf(wide))
        return refuse(e, at, "a number that is too large");
    fits = n->kind == SCHEMA_DOUBLE ? avro_put_double(&e->body, wide)
                                    : avro_put_float(&e->body, (float)wide);
    return fits ? p : refuse_size(e);
}

static const uint8_t *put_boolean(record_encoder *e, const uint8_t *p, const plan_node *n,
                                  const where *at)
{
    bool value = *p == 't';

    if (json_kind_of[*p] != JSON_BOOLEAN)
        return refuse_kind(e, p, n, at);
    p = json_scan_literal(&e->in, p);
    if (p && !avro_put_boolean(&e->body, value))
        return refuse_size(e);
    return p;
}

static const uint8_t *put_null(record_encoder *e, const uint8_t *p, const plan_node *n,
                               const where *at)
{
    return *p == 'n' ? json_scan_literal(&e->in, p) : refuse_kind(e, p, n, at);
}

static const uint8_t *put_string(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *at)
{
    json_text text;
    size_t mark;

    if (*p != '"')
        return refuse_kind(e, p, n, at);
    p = json_scan_string(&e->in, p, &text);
    if (!p)
        return NULL;
    if (text.plain)
        return avro_put_bytes(&e->body, text.raw) ? p : refuse_size(e);
    if (!avro_reserve(&e->body, &mark) || !json_put_text(&e->body, &text, &e->replaced) ||
        !avro_prefix(&e->body, mark, (int64_t)(e->body.len - mark - 1)))
        return refuse_size(e);
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
        return refuse_kind(e, p, n, at);
    p = json_scan_string(&e->in, p, &text);
    if (!p)
        return NULL;
    if (!fixed && !avro_reserve(body, &mark))
        return refuse_size(e);
    size_t begin = body->len;
    if (!json_put_text(body, &text, &e->replaced))
        return refuse_size(e);
    if (!narrow(body, begin))
        return refuse(e, at, "a character over U+00FF, where bytes belong");
    if (fixed && body->len - begin != n->count)
        return refuse(e, at, "a text of the wrong length, where a fixed belongs");
    if (!fixed && !avro_prefix(body, mark, (int64_t)(body->len - begin)))
        return refuse_size(e);
    return p;
}

/* --- names: members and enum symbols -------------------------------------------------------- */

/* Up to 8 bytes from p on as a little-endian word, zeros where the input ends. */
static inline uint64_t load_word(const uint8_t *p, const uint8_t *end)
{
    if (end - p >= 8)
        return gv_get_le64(p);
    uint8_t bytes[8] = { 0 };
    if (p < end)
        memcpy(bytes, p, (size_t)(end - p));
    return gv_get_le64(bytes);
}

static inline bool name_matches(const plan_name *name, uint64_t first, const uint8_t *p,
                                const uint8_t *end)
{
    if ((first & name->mask[0]) != name->word[0])
        return false;
    if (name->len < 8)
        return true;
    if ((load_word(p + 8, end) & name->mask[1]) != name->word[1])
        return false;
    if (name->len < 16)
        return true;
    return (size_t)(end - p) > name->len && p[name->len] == '"' &&
           memcmp(p + 16, name->text + 16, name->len - 16) == 0;
}

/* Finds the name that stands at p, before a closing quote and without escapes; -1 when it is none
 * of them. `guess` is where to look first: members mostly come in the schema's order. */
static inline int32_t find_name(const plan_node *n, uint32_t guess, const uint8_t *p,
                                const uint8_t *end)
{
    uint64_t first = load_word(p, end);

    for (uint32_t i = guess; i < n->count; i++)
        if (name_matches(&n->names[i], first, p, end))
            return (int32_t)i;
    for (uint32_t i = 0; i < guess; i++)
        if (name_matches(&n->names[i], first, p, end))
            return (int32_t)i;
    return -1;
}

/* The same for a text with escapes. */
static int32_t find_escaped_name(const plan_node *n, const json_text *text)
{
    uint8_t bytes[256];
    gv_buf name = gv_buf_of(bytes, sizeof bytes - 1);
    uint32_t replaced = 0;

    if (!json_put_text(&name, text, &replaced))
        return -1;
    bytes[name.len] = '"';
    return find_name(n, 0, bytes, bytes + name.len + 1);
}

static const uint8_t *put_enum(record_encoder *e, const uint8_t *p, const plan_node *n,
                               const where *at)
{
    json_text text;
    const uint8_t *begin = p;

    if (*p != '"')
        return refuse_kind(e, p, n, at);
    int32_t symbol = find_name(n, 0, p + 1, e->in.end);
    if (symbol >= 0) {
        p += 2 + n->names[symbol].len;
    } else {
        p = json_scan_string(&e->in, p, &text);
        if (!p)
            return NULL;
        if (text.escaped)
            symbol = find_escaped_name(n, &text);
    }
    if (symbol < 0) {
        symbol = n->enum_default;
        if (symbol < 0)
            return refuse(e, at, "a text that is no symbol of the enum");
        if (!put_extra(e, at, gv_span_of(begin, (size_t)(p - begin))))
            return NULL;
    }
    return avro_put_long(&e->body, symbol) ? p : refuse_size(e);
}

/* --- unions --------------------------------------------------------------------------------- */

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

static int32_t number_branch(record_encoder *e, const uint8_t *p, const plan_node *n,
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
    refuse(e, at, "a number that no branch of the union holds exactly");
    return -1;
}

static const uint8_t *put_union(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at)
{
    json_kind kind = json_kind_of[*p];
    int32_t branch = kind == JSON_NOTHING ? -1 : n->branch[kind];

    if (branch < 0)
        return refuse_kind(e, p, n, at);
    if (kind == JSON_NUMBER && n->many_numbers) {
        branch = number_branch(e, p, n, at);
        if (branch < 0)
            return NULL;
    }
    if (!avro_put_long(&e->body, branch))
        return refuse_size(e);
    return put_value(e, p, n->children[branch], at);
}

/* --- containers ----------------------------------------------------------------------------- */

static const uint8_t *open_container(record_encoder *e, const uint8_t *p)
{
    if (e->in.depth_left == 0) {
        e->in.stop = JSON_DEEP;
        return NULL;
    }
    e->in.depth_left--;
    return json_scan_next(&e->in, p + 1);
}

/* Ends the block of `count` items that begins at `mark`. */
static bool end_block(record_encoder *e, size_t mark, uint32_t count)
{
    e->in.depth_left++;
    return count == 0 || (avro_prefix(&e->body, mark, count) && avro_put_long(&e->body, 0));
}

/* After an item: the next one, or NULL; *closed tells the end of the container from a failure. */
static inline const uint8_t *next_item(record_encoder *e, const uint8_t *p, uint8_t close,
                                       const char *expected, bool *closed)
{
    p = json_scan_next(&e->in, p);
    if (!p)
        return NULL;
    if (*p == ',')
        return json_scan_next(&e->in, p + 1);
    if (*p != close)
        return json_scan_fail(&e->in, p, expected);
    *closed = true;
    return p + 1;
}

static const uint8_t *too_many_items(record_encoder *e, const where *at)
{
    snprintf(e->reason, sizeof e->reason, "more than %u items", (unsigned)e->limits.array_items);
    return refuse_at(e, at);
}

static const uint8_t *put_array(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at)
{
    where here = { .up = at, .indexed = true };
    size_t mark;
    bool closed = false;

    if (*p != '[')
        return refuse_kind(e, p, n, at);
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (!avro_reserve(&e->body, &mark))
        return refuse_size(e);
    if (*p == ']') {
        closed = true;
        p++;
    }
    for (; !closed; here.index++) {
        if (here.index == e->limits.array_items)
            return too_many_items(e, at);
        p = put_value(e, p, n->children[0], &here);
        if (!p || !(p = next_item(e, p, ']', "a comma or ]", &closed)))
            return NULL;
    }
    return end_block(e, mark, here.index) ? p : refuse_size(e);
}

static const uint8_t *put_map_key(record_encoder *e, const uint8_t *p, uint32_t map, where *here)
{
    size_t mark;
    gv_buf *body = &e->body;

    if (*p != '"')
        return json_scan_fail(&e->in, p, "a member's name in quotes");
    p = json_scan_string(&e->in, p, &here->name);
    if (!p)
        return NULL;
    if (!avro_reserve(body, &mark) || !json_put_text(body, &here->name, &e->replaced))
        return refuse_size(e);
    gv_span key = gv_span_of(body->data + mark + 1, body->len - mark - 1);
    name_result name = add_name(e, map, key);
    if (name != NAME_NEW)
        return refuse_name(e, here, name);
    if (!avro_prefix(body, mark, (int64_t)key.len))
        return refuse_size(e);
    return json_scan_expect(&e->in, p, ':', "a colon");
}

static const uint8_t *put_map(record_encoder *e, const uint8_t *p, const plan_node *n,
                              const where *at)
{
    where here = { .up = at };
    uint32_t count = 0, map = ++e->map_count;
    size_t mark;
    bool closed = false;

    if (*p != '{')
        return refuse_kind(e, p, n, at);
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (!avro_reserve(&e->body, &mark))
        return refuse_size(e);
    if (*p == '}') {
        closed = true;
        p++;
    }
    for (; !closed; count++) {
        if (count == e->limits.array_items)
            return too_many_items(e, at);
        p = put_map_key(e, p, map, &here);
        if (!p || !(p = put_value(e, p, n->children[0], &here)) ||
            !(p = next_item(e, p, '}', "a comma or }", &closed)))
            return NULL;
    }
    return end_block(e, mark, count) ? p : refuse_size(e);
}

/* --- records -------------------------------------------------------------------------------- */

/* Writes what fields from..to-1 are when they are absent, one or more of them late. */
static bool put_late(record_encoder *e, const plan_node *n, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        bool fits;
        if ((int32_t)i == e->plan->position && (n->late >> i & 1))
            fits = avro_put_long(&e->body, e->position);
        else if ((int32_t)i == e->plan->extra && (n->late >> i & 1))
            fits = (e->extra_count == 0 || (avro_put_long(&e->body, e->extra_count) &&
                                            gv_buf_put(&e->body, e->extra.data, e->extra.len))) &&
                   avro_put_long(&e->body, 0);
        else
            fits = gv_buf_put(&e->body, n->absent + n->absent_at[i],
                              n->absent_at[i + 1] - n->absent_at[i]);
        if (!fits)
            return false;
    }
    return true;
}

static inline uint64_t bits_below(uint32_t i)
{
    return i == 64 ? UINT64_MAX : (UINT64_C(1) << i) - 1;
}

/* Writes what fields from..to-1 are when they are absent. */
static inline bool put_absent(record_encoder *e, const plan_node *n, uint32_t from, uint32_t to)
{
    if (n->late & bits_below(to) & ~bits_below(from))
        return put_late(e, n, from, to);
    return gv_buf_put(&e->body, n->absent + n->absent_at[from],
                      n->absent_at[to] - n->absent_at[from]);
}

/* The members did not come in schema order: writes the record's fields again, in order. */
static bool reorder(record_encoder *e, const plan_node *n, size_t start, const slot *slots,
                    uint64_t seen)
{
    memcpy(e->spare, e->body.data + start, e->body.len - start);
    e->body.len = start;
    for (uint32_t i = 0; i < n->count; i++) {
        bool fits = seen >> i & 1 ? gv_buf_put(&e->body, e->spare + slots[i].at, slots[i].len)
                                  : put_absent(e, n, i, i + 1);
        if (!fits)
            return false;
    }
    return true;
}

/* The member whose name begins at p is not simply a field: finds a field whose name is written with
 * escapes (*field), or keeps an unknown member. Answers the position of the value of the field, or
 * the one after the unknown value. */
static const uint8_t *unknown_member(record_encoder *e, const uint8_t *p, const plan_node *n,
                                     const where *up, int32_t *field)
{
    where here = { .up = up };

    if (*p != '"')
        return json_scan_fail(&e->in, p, "a member's name in quotes");
    p = json_scan_string(&e->in, p, &here.name);
    if (!p)
        return NULL;
    if (here.name.escaped)
        *field = find_escaped_name(n, &here.name);
    p = json_scan_expect(&e->in, p, ':', "a colon");
    if (!p || *field >= 0)
        return p;
    const uint8_t *value = p;
    p = json_scan_value(&e->in, p);
    if (p && !put_extra(e, &here, gv_span_of(value, (size_t)(p - value))))
        return NULL;
    return p;
}

/* Fields that are still to be written after the last member; `next` is the first of them. */
static const uint8_t *end_record(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *up, size_t start, const slot *slots, uint64_t seen,
                                 uint32_t next, bool ordered)
{
    uint64_t missing = n->required & ~seen;

    if (missing != 0) {
        const char *name = n->names[__builtin_ctzll(missing)].text;
        where here = { .up = up, .name = { .raw = gv_span_str(name), .plain = true } };
        return refuse(e, &here, "it is missing");
    }
    /* Unknown members are all known only now. */
    if (e->extra_count != 0 && (n->late & bits_below(next)) >> e->plan->extra & 1)
        ordered = false;
    if (ordered ? !put_absent(e, n, next, n->count) : !reorder(e, n, start, slots, seen))
        return refuse_size(e);
    e->in.depth_left++;
    return p;
}

static const uint8_t *put_record(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *up)
{
    slot slots[PLAN_FIELDS_MAX];
    uint64_t seen = 0;
    uint32_t next = 0;
    size_t start = e->body.len;
    bool ordered = true, closed = false;

    if (*p != '{')
        return refuse_kind(e, p, n, up);
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (*p == '}') {
        closed = true;
        p++;
    }
    while (!closed) {
        int32_t found = *p == '"' ? find_name(n, next, p + 1, e->in.end) : -1;
        if (found >= 0)
            p = json_scan_expect(&e->in, p + 2 + n->names[found].len, ':', "a colon");
        else
            p = unknown_member(e, p, n, up, &found);
        if (!p)
            return NULL;
        if (found >= 0) {
            uint32_t i = (uint32_t)found;
            where here = { .up = up,
                           .name = { .raw = { (const uint8_t *)n->names[i].text, n->names[i].len },
                                     .plain = true } };
            if (seen >> i & 1)
                return refuse(e, &here, "it is there twice");
            if (i < next)
                ordered = false;
            else if (!put_absent(e, n, next, i))
                return refuse_size(e);
            next = i < next ? next : i + 1;
            seen |= UINT64_C(1) << i;
            slots[i].at = (uint32_t)(e->body.len - start);
            p = put_value(e, p, n->children[i], &here);
            if (!p)
                return NULL;
            slots[i].len = (uint32_t)(e->body.len - start) - slots[i].at;
            if (!up && i == e->plan->key)
                e->key = e->integer;
        }
        p = next_item(e, p, '}', "a comma or }", &closed);
        if (!p)
            return NULL;
    }
    return end_record(e, p, n, up, start, slots, seen, next, ordered);
}

static const uint8_t *put_value(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at)
{
    switch (n->kind) {
    case SCHEMA_NULL:
        return put_null(e, p, n, at);
    case SCHEMA_BOOLEAN:
        return put_boolean(e, p, n, at);
    case SCHEMA_INT:
    case SCHEMA_LONG:
        return put_integer(e, p, n, at);
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
    case SCHEMA_UNION:
        return put_union(e, p, n, at);
    case SCHEMA_ARRAY:
        return put_array(e, p, n, at);
    case SCHEMA_MAP:
        return put_map(e, p, n, at);
    case SCHEMA_RECORD:
        return put_record(e, p, n, at);
    }
    assert(false && "a kind that no schema has");
    return NULL;
}

/* --- what transcode.c calls ----------------------------------------------------------------- */

static size_t absent_bytes(const plan *p)
{
    return p->root->absent_at[p->root->count] + p->bound_count * (PLAN_TEXT_MAX + 10u) + 1;
}

size_t record_mem_needed(const plan *p, const transcode_limits *limits)
{
    size_t alignment = 6 * 16;

    return 3 * limits->record_bytes + RECORD_NAME_SLOTS * sizeof(uint64_t) + absent_bytes(p) +
           ((size_t)p->root->count + 1) * sizeof(uint32_t) + alignment;
}

void record_init(record_encoder *e, gv_arena *arena, const plan *p, const transcode_limits *limits)
{
    size_t bytes = limits->record_bytes;

    *e = (record_encoder){ .plan = p, .root = *p->root, .limits = *limits };
    e->absent_at = gv_arena_alloc(arena, ((size_t)p->root->count + 1) * sizeof *e->absent_at);
    e->absent = gv_arena_alloc(arena, absent_bytes(p));
    e->names = gv_arena_alloc(arena, RECORD_NAME_SLOTS * sizeof *e->names);
    e->body = gv_buf_of(gv_arena_alloc(arena, bytes), bytes);
    e->extra = gv_buf_of(gv_arena_alloc(arena, bytes), bytes);
    e->spare = gv_arena_alloc(arena, bytes);
    assert(e->absent_at && e->absent && e->names && e->body.data && e->extra.data && e->spare);
    e->root.absent = e->absent;
    e->root.absent_at = e->absent_at;
}

static void put_bound(gv_buf *out, plan_value_kind kind, const plan_value *value)
{
    bool fits = true;

    if (kind == PLAN_VALUE_LONG) {
        fits = avro_put_long(out, value->number);
    } else if (kind == PLAN_VALUE_STRING) {
        assert(strlen(value->text) <= PLAN_TEXT_MAX);
        fits = avro_put_bytes(out, gv_span_str(value->text));
    }
    assert(fits);
    (void)fits;
}

void record_bind(record_encoder *e, const plan_value *values)
{
    const plan *p = e->plan;
    const plan_node *root = p->root;
    gv_buf out = gv_buf_of(e->absent, absent_bytes(p));

    for (uint32_t i = 0; i < root->count; i++) {
        uint32_t b = 0;
        while (b < p->bound_count && p->bound[b].field != i)
            b++;
        e->absent_at[i] = (uint32_t)out.len;
        if (b < p->bound_count)
            put_bound(&out, p->bound[b].kind, &values[b]);
        else
            gv_buf_put(&out, root->absent + root->absent_at[i],
                       root->absent_at[i + 1] - root->absent_at[i]);
    }
    e->absent_at[root->count] = (uint32_t)out.len;
}

const uint8_t *record_encode(record_encoder *e, gv_span json, uint32_t depth, int64_t position)
{
    if (e->name_count != 0)
        memset(e->names, 0, RECORD_NAME_SLOTS * sizeof *e->names);
    e->in.end = json.data + json.len;
    e->in.depth_left = e->limits.depth - depth;
    e->body.len = e->extra.len = 0;
    e->name_count = e->map_count = e->extra_count = e->unknown = e->replaced = 0;
    e->position = position;
    return put_record(e, json.data, &e->root, NULL);
}
