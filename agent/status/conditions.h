/* conditions.h - what a person should know or do, in plain words, and since when: conditions.def.
 *
 * conditions_update() is called now and then (each second, say) with fresh facts: what is shown is
 * what held at the last call. A condition is told only when it has held for its grace time, so that a
 * start or a change of network is no alarm; its time counts from when it began to hold.
 *
 * Units:   monotonic milliseconds.
 * Memory:  none but the structure; it may outlive the facts and what they point to, but for the words
 *          of a machine's troubles, which are constants.
 * Threads: the loop's.
 */
#ifndef GAVEL_STATUS_CONDITIONS_H
#define GAVEL_STATUS_CONDITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct status_facts;

typedef enum { CONDITION_WARNING, CONDITION_ERROR } condition_severity;

typedef enum {
    STATUS_OK,
    STATUS_ATTENTION, /* a warning holds: nothing is lost, somebody should look at it in time */
    STATUS_OUTAGE     /* an error holds: nothing goes out, or nothing comes in */
} status_state;

typedef enum {
#define CONDITION(name, ...)       CONDITION_##name,
#define CONDITION_EVENT(name, ...) CONDITION_##name,
#include "agent/status/conditions.def"
    CONDITIONS
} condition_id;

/* Something wrong with the machine. */
typedef struct {
    const char *name;
    const char *words;
    const char *advice;
    bool holds;
} status_trouble;

#define CONDITION_TROUBLES_MAX 16
#define CONDITIONS_MAX         (CONDITIONS + CONDITION_TROUBLES_MAX)
#define CONDITION_DETAIL_MAX   320

typedef struct {
    const char *name;
    const char *words;
    const char *advice;
    condition_severity severity;
    bool told; /* it holds, and has for its grace time */
    bool holds;
    uint64_t since_ms; /* while it holds; of an event: when it happened last */
    uint64_t seen;     /* of an event: its counter */
} condition;

typedef struct conditions {
    condition all[CONDITIONS_MAX];
    char details[CONDITIONS][CONDITION_DETAIL_MAX]; /* behind the words; "": nothing to add */
    size_t count; /* of all: those of the table, then the machine's */
} conditions;

void conditions_init(conditions *c);
void conditions_update(conditions *c, const struct status_facts *facts);

/* The worst of what is told. */
status_state conditions_state(const conditions *c);
const char *status_state_name(status_state state); /* "ok", "attention", "outage" */

/* What is told of the i-th, words and detail: "nothing gets to Kafka: no broker answers at ...". */
void conditions_text(const conditions *c, size_t i, char *text, size_t cap);

#endif
