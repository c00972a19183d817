/* plan_steps.h - what a plan consists of; between plan.c and record.c only. */
#ifndef GAVEL_CODEC_PLAN_STEPS_H
#define GAVEL_CODEC_PLAN_STEPS_H

#include "agent/codec/json_scan.h"
#include "agent/codec/plan.h"

#define PLAN_ABSENT_SLACK 16 /* bytes that may be read after the absent values */

/* A field's or a symbol's name, ready to be compared with 16 bytes of JSON at once: its bytes and
 * the closing quote as two little-endian words, and which of their bits count. */
typedef struct {
    uint64_t word[2];
    uint64_t mask[2]; /* all 0 for a name that must never match */
    uint32_t len;
    const char *text;
} plan_name;

typedef struct plan_node plan_node;

struct plan_node {
    schema_kind kind;
    uint32_t count;                   /* as in schema_node */
    int32_t enum_default;             /* as in schema_node */
    bool many_numbers;                /* a union with more than one number type */
    int8_t branch[JSON_KINDS];        /* of a union: which one takes such a value, -1 for none */
    const plan_name *names;           /* fields or symbols */
    const plan_node *const *children; /* fields or branches; of an array or a map: the items */

    /* Records. What an absent field i becomes is the bytes absent_at[i] to absent_at[i + 1] of
     * `absent`: absent neighbours are written by one copy. */
    uint64_t required; /* bit i: field i must be there */
    uint64_t late;     /* bit i: field i's absent value is known only when a record is read */
    const uint8_t *absent;
    const uint32_t *absent_at;
};

typedef struct {
    uint32_t field;
    plan_value_kind kind;
} plan_bound;

struct plan {
    const plan_node *root;
    const plan_bound *bound;
    uint32_t bound_count;
    uint32_t key; /* field indices; -1 for none */
    int32_t extra;
    int32_t position;
};

/* Up to 8 bytes from p on as a little-endian word, zeros where the input ends. */
static inline uint64_t plan_load_word(const uint8_t *p, const uint8_t *end)
{
    uint8_t bytes[8] = { 0 };

    if (end - p >= 8)
        return gv_get_le64(p);
    if (p < end)
        memcpy(bytes, p, (size_t)(end - p));
    return gv_get_le64(bytes);
}

/* Where the first 8 bytes match, none of them is a zero: p + 8 is not beyond the input. */
static inline bool plan_name_matches(const plan_name *name, uint64_t first, const uint8_t *p,
                                     const uint8_t *end)
{
    if ((first & name->mask[0]) != name->word[0])
        return false;
    if (name->len < 8)
        return true;
    if ((plan_load_word(p + 8, end) & name->mask[1]) != name->word[1])
        return false;
    if (name->len < 16)
        return true;
    return (size_t)(end - p) > name->len && p[name->len] == '"' &&
           memcmp(p + 16, name->text + 16, name->len - 16) == 0;
}

/* Finds the name that stands at p, before a closing quote and without escapes; -1 when it is none
 * of them. `guess` is where to look first: members mostly come in the schema's order. */
static inline int32_t plan_find_name(const plan_node *n, uint32_t guess, const uint8_t *p,
                                     const uint8_t *end)
{
    uint64_t first = plan_load_word(p, end);

    for (uint32_t i = guess; i < n->count; i++)
        if (plan_name_matches(&n->names[i], first, p, end))
            return (int32_t)i;
    for (uint32_t i = 0; i < guess; i++)
        if (plan_name_matches(&n->names[i], first, p, end))
            return (int32_t)i;
    return -1;
}

#endif
