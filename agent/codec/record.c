#include "agent/codec/record_parts.h"

#include <assert.h>

static const uint8_t *put_other_value(record_encoder *e, const uint8_t *p, const plan_node *n,
                                      const where *at);

/* --- any value ------------------------------------------------------------------------------ */

/* Writes the branch that takes the value at p; NULL for e->in.stop. */
static inline const plan_node *put_branch(record_encoder *e, const uint8_t *p, const plan_node *n,
                                          const where *at)
{
    json_kind kind = json_kind_of[*p];
    int32_t branch = n->branch[kind];

    if (branch < 0) {
        record_refuse_kind(e, p, n, at);
        return NULL;
    }
    if (kind == JSON_NUMBER && n->many_numbers) {
        branch = record_number_branch(e, p, n, at);
        if (branch < 0)
            return NULL;
    }
    if (!avro_put_index(&e->body, (uint32_t)branch)) {
        record_refuse_size(e);
        return NULL;
    }
    return n->children[branch];
}

/* Unions of numbers and numbers are most of what there is, hence inlined. */
static inline const uint8_t *put_value(record_encoder *e, const uint8_t *p, const plan_node *n,
                                       const where *at)
{
    if (n->kind == SCHEMA_UNION) {
        n = put_branch(e, p, n, at);
        if (!n)
            return NULL;
    }
    if (n->kind == SCHEMA_LONG) {
        const uint8_t *after = json_scan_integer(&e->in, p, &e->integer);
        if (after && avro_put_long(&e->body, e->integer))
            return after;
    }
    return put_other_value(e, p, n, at);
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

static const uint8_t *put_array(record_encoder *e, const uint8_t *p, const plan_node *n,
                                const where *at)
{
    where here = { .up = at };
    size_t mark;
    bool closed = false;

    if (*p != '[')
        return record_refuse_kind(e, p, n, at);
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (!avro_reserve(&e->body, &mark))
        return record_refuse_size(e);
    if (*p == ']') {
        closed = true;
        p++;
    }
    for (; !closed; here.index++) {
        if (here.index == e->limits.array_items)
            return record_refuse(e, at, "more than %u items", (unsigned)e->limits.array_items);
        p = put_value(e, p, n->children[0], &here);
        if (!p || !(p = next_item(e, p, ']', "a comma or ]", &closed)))
            return NULL;
    }
    return end_block(e, mark, here.index) ? p : record_refuse_size(e);
}

static const uint8_t *put_map_key(record_encoder *e, const uint8_t *p, uint32_t map,
                                  const where *here, json_text *name)
{
    gv_buf *body = &e->body;
    size_t mark;

    if (*p != '"')
        return json_scan_fail(&e->in, p, "a member's name in quotes");
    p = json_scan_string(&e->in, p, name);
    if (!p)
        return NULL;
    if (!avro_reserve(body, &mark) || !json_put_text(body, name, &e->replaced))
        return record_refuse_size(e);
    gv_span key = gv_span_of(body->data + mark + 1, body->len - mark - 1);
    if (!record_add_name(e, map, key, here))
        return NULL;
    if (!avro_prefix(body, mark, (int64_t)key.len))
        return record_refuse_size(e);
    return json_scan_expect(&e->in, p, ':', "a colon");
}

static const uint8_t *put_map(record_encoder *e, const uint8_t *p, const plan_node *n,
                              const where *at)
{
    json_text name;
    where here = { .up = at, .name = &name };
    uint32_t count = 0, map = ++e->map_count;
    size_t mark;
    bool closed = false;

    if (*p != '{')
        return record_refuse_kind(e, p, n, at);
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (!avro_reserve(&e->body, &mark))
        return record_refuse_size(e);
    if (*p == '}') {
        closed = true;
        p++;
    }
    for (; !closed; count++) {
        if (count == e->limits.array_items)
            return record_refuse(e, at, "more than %u items", (unsigned)e->limits.array_items);
        p = put_map_key(e, p, map, &here, &name);
        if (!p || !(p = put_value(e, p, n->children[0], &here)) ||
            !(p = next_item(e, p, '}', "a comma or }", &closed)))
            return NULL;
    }
    return end_block(e, mark, count) ? p : record_refuse_size(e);
}

/* --- records -------------------------------------------------------------------------------- */

typedef struct {
    uint32_t begin, end; /* of the field's bytes in the body */
} slot;

/* A record under way. Members mostly come in the schema's order and are written as they come, the
 * absent ones between them; if one comes late, `ordered` is lost and the record is written again at
 * its end, out of the slots. */
typedef struct {
    const plan_node *node;
    const where *up;
    size_t start;
    uint64_t seen; /* bit i: field i was there */
    uint32_t next; /* fields below have been written */
    bool ordered;
    slot slots[PLAN_FIELDS_MAX];
} fields;

static inline uint64_t bits_below(uint32_t i)
{
    return i == 64 ? UINT64_MAX : (UINT64_C(1) << i) - 1;
}

/* The absent values of fields from..to-1, none of them late. */
static inline bool put_known(record_encoder *e, const plan_node *n, uint32_t from, uint32_t to)
{
    const uint8_t *bytes = n->absent + n->absent_at[from];
    size_t len = n->absent_at[to] - n->absent_at[from];
    gv_buf *body = &e->body;

    if (len > PLAN_ABSENT_SLACK || body->cap - body->len < PLAN_ABSENT_SLACK)
        return gv_buf_put(body, bytes, len);
    memcpy(body->data + body->len, bytes, PLAN_ABSENT_SLACK); /* always: it is one instruction */
    body->len += len;
    return true;
}

static bool put_extra_map(record_encoder *e)
{
    if (e->extra_count != 0 && (!avro_put_long(&e->body, e->extra_count) ||
                                !gv_buf_put(&e->body, e->extra.data, e->extra.len)))
        return false;
    return avro_put_long(&e->body, 0);
}

/* The same, where some of them are late. */
static bool put_late(record_encoder *e, const plan_node *n, uint32_t from, uint32_t to)
{
    uint64_t late = n->late & bits_below(to) & ~bits_below(from);

    for (; late != 0; late &= late - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(late);
        if (!put_known(e, n, from, i) ||
            !((int32_t)i == e->plan->position ? avro_put_long(&e->body, e->position)
                                              : put_extra_map(e)))
            return false;
        from = i + 1;
    }
    return put_known(e, n, from, to);
}

/* Writes what fields from..to-1 are when they are absent. */
static inline bool put_absent(record_encoder *e, const plan_node *n, uint32_t from, uint32_t to)
{
    return n->late == 0 ? put_known(e, n, from, to) : put_late(e, n, from, to);
}

/* The members did not come in schema order: writes the record's fields again, in order. */
static bool reorder(record_encoder *e, const fields *f)
{
    const plan_node *n = f->node;

    memcpy(e->spare, e->body.data + f->start, e->body.len - f->start);
    e->body.len = f->start;
    for (uint32_t i = 0; i < n->count; i++) {
        const slot *s = &f->slots[i];
        bool fits = f->seen >> i & 1
                        ? gv_buf_put(&e->body, e->spare + (s->begin - f->start), s->end - s->begin)
                        : put_absent(e, n, i, i + 1);
        if (!fits)
            return false;
    }
    return true;
}

/* The value of field i is at p. */
static inline const uint8_t *put_field(record_encoder *e, fields *f, uint32_t i, const uint8_t *p)
{
    const plan_node *n = f->node;
    where here = { .up = f->up, .field = &n->names[i] };

    if (f->seen >> i & 1)
        return record_refuse(e, &here, "it is there twice");
    f->seen |= UINT64_C(1) << i;
    if (i < f->next) {
        f->ordered = false;
    } else {
        if (i > f->next && !put_absent(e, n, f->next, i))
            return record_refuse_size(e);
        f->next = i + 1;
    }
    f->slots[i].begin = (uint32_t)e->body.len;
    p = put_value(e, p, n->children[i], &here);
    f->slots[i].end = (uint32_t)e->body.len;
    if (!f->up && i == e->plan->key)
        e->key = e->integer;
    return p;
}

/* The name at p is none that can be compared as it stands. Where it is a field's after all, written
 * with escapes, *i is that and the answer the position of its value; else the member is kept, and the
 * answer is the position after it. */
static const uint8_t *put_other_member(record_encoder *e, const fields *f, const uint8_t *p,
                                       int32_t *i)
{
    json_text name;
    where here = { .up = f->up, .name = &name };

    if (*p != '"')
        return json_scan_fail(&e->in, p, "a member's name in quotes");
    p = json_scan_string(&e->in, p, &name);
    if (!p)
        return NULL;
    if (name.escaped)
        *i = record_find_escaped(f->node, &name);
    p = json_scan_expect(&e->in, p, ':', "a colon");
    if (!p || *i >= 0)
        return p;
    const uint8_t *value = p;
    p = json_scan_value(&e->in, p);
    if (p && !record_put_extra(e, &here, gv_span_of(value, (size_t)(p - value))))
        return NULL;
    return p;
}

static inline const uint8_t *put_member(record_encoder *e, fields *f, const uint8_t *p)
{
    const plan_node *n = f->node;
    int32_t i = *p == '"' ? plan_find_name(n, f->next, p + 1, e->in.end) : -1;

    if (i >= 0) {
        p = json_scan_expect(&e->in, p + 2 + n->names[i].len, ':', "a colon");
    } else {
        p = put_other_member(e, f, p, &i);
        if (i < 0)
            return p;
    }
    return p ? put_field(e, f, (uint32_t)i, p) : NULL;
}

/* Writes what is still to be written after the last member. */
static const uint8_t *end_record(record_encoder *e, const fields *f, const uint8_t *p)
{
    const plan_node *n = f->node;
    uint64_t missing = n->required & ~f->seen;
    bool ordered = f->ordered;

    if (missing != 0) {
        where here = { .up = f->up, .field = &n->names[__builtin_ctzll(missing)] };
        return record_refuse(e, &here, "it is missing");
    }
    /* Unknown members are all known only now. */
    if (e->extra_count != 0 && (n->late & bits_below(f->next)) >> e->plan->extra & 1)
        ordered = false;
    if (ordered ? !put_absent(e, n, f->next, n->count) : !reorder(e, f))
        return record_refuse_size(e);
    e->in.depth_left++;
    return p;
}

static const uint8_t *put_record(record_encoder *e, const uint8_t *p, const plan_node *n,
                                 const where *up)
{
    fields f; /* the slots need no zeros */
    bool closed = false;

    if (*p != '{')
        return record_refuse_kind(e, p, n, up);
    f.node = n;
    f.up = up;
    f.start = e->body.len;
    f.seen = 0;
    f.next = 0;
    f.ordered = true;
    p = open_container(e, p);
    if (!p)
        return NULL;
    if (*p == '}') {
        closed = true;
        p++;
    }
    while (!closed) {
        p = put_member(e, &f, p);
        if (!p || !(p = next_item(e, p, '}', "a comma or }", &closed)))
            return NULL;
    }
    return end_record(e, &f, p);
}

static const uint8_t *put_other_value(record_encoder *e, const uint8_t *p, const plan_node *n,
                                      const where *at)
{
    switch (n->kind) {
    case SCHEMA_ARRAY:
        return put_array(e, p, n, at);
    case SCHEMA_MAP:
        return put_map(e, p, n, at);
    case SCHEMA_RECORD:
        return put_record(e, p, n, at);
    default:
        return record_put_scalar(e, p, n, at);
    }
}

/* --- what transcode.c calls ----------------------------------------------------------------- */

static size_t absent_bytes(const plan *p)
{
    return p->root->absent_at[p->root->count] + p->bound_count * (PLAN_TEXT_MAX + 10u) +
           PLAN_ABSENT_SLACK;
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
