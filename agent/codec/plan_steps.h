/* plan_steps.h - what a plan consists of; between plan.c and record.c only. */
#ifndef GAVEL_CODEC_PLAN_STEPS_H
#define GAVEL_CODEC_PLAN_STEPS_H

#include "agent/codec/json_scan.h"
#include "agent/codec/plan.h"

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

#endif
