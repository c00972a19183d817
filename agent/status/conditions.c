#include "agent/status/conditions.h"

#include "agent/status/status.h"

#include <stdio.h>
#include <string.h>

#define EVENT_MS UINT64_C(86400000) /* for how long something that happened is told */

/* The expressions of the table, as functions. */
#define CONDITION(name, text, severity, grace_s, expression, detail, ...)                          \
    static bool holds_##name(const status_facts *f)                                                \
    {                                                                                              \
        return expression;                                                                         \
    }                                                                                              \
    static const char *detail_##name(const status_facts *f)                                        \
    {                                                                                              \
        (void)f;                                                                                   \
        return detail;                                                                             \
    }
#define CONDITION_EVENT(name, text, expression, ...)                                               \
    static uint64_t counter_##name(const status_facts *f)                                          \
    {                                                                                              \
        return expression;                                                                         \
    }
#include "agent/status/conditions.def"

typedef struct {
    condition shown; /* its constant part */
    uint32_t grace_s;
    bool (*holds)(const status_facts *f); /* NULL: an event */
    const char *(*detail)(const status_facts *f);
    uint64_t (*counter)(const status_facts *f);
} rule;

static const rule rules[CONDITIONS] = {
#define CONDITION(id, text, level, grace, expression, extra, words_, advice_)                      \
    { .shown = { .name = text,                                                                     \
                 .words = words_,                                                                  \
                 .advice = advice_,                                                                \
                 .severity = CONDITION_##level },                                                  \
      .grace_s = grace,                                                                            \
      .holds = holds_##id,                                                                         \
      .detail = detail_##id },
#define CONDITION_EVENT(id, text, expression, words_, advice_)                                     \
    { .shown = { .name = text,                                                                     \
                 .words = words_,                                                                  \
                 .advice = advice_,                                                                \
                 .severity = CONDITION_WARNING },                                                  \
      .counter = counter_##id },
#include "agent/status/conditions.def"
};

void conditions_init(conditions *c)
{
    memset(c, 0, sizeof *c);
    c->count = CONDITIONS;
    for (size_t i = 0; i < CONDITIONS; i++)
        c->all[i] = rules[i].shown;
}

static void set(condition *x, bool holds, uint32_t grace_s, uint64_t now_ms)
{
    if (holds && !x->holds)
        x->since_ms = now_ms;
    x->holds = holds;
    x->told = holds && now_ms - x->since_ms >= (uint64_t)grace_s * 1000;
}

static void set_event(condition *x, uint64_t counter, uint64_t now_ms)
{
    if (counter > x->seen) {
        x->seen = counter;
        x->since_ms = now_ms;
        x->holds = true;
    } else if (now_ms - x->since_ms >= EVENT_MS) {
        x->holds = false;
    }
    x->told = x->holds;
}

static void update_machine(conditions *c, const status_board *b, uint64_t now_ms)
{
    size_t count =
        b->trouble_count < CONDITION_TROUBLES_MAX ? b->trouble_count : CONDITION_TROUBLES_MAX;
    c->count = CONDITIONS + count;
    for (size_t i = 0; i < count; i++) {
        condition *x = &c->all[CONDITIONS + i];
        x->name = b->troubles[i].name;
        x->words = b->troubles[i].words;
        x->advice = b->troubles[i].advice;
        x->severity = CONDITION_WARNING;
        set(x, b->troubles[i].holds, 0, now_ms);
    }
}

void conditions_update(conditions *c, const status_facts *facts)
{
    for (size_t i = 0; i < CONDITIONS; i++) {
        const rule *r = &rules[i];
        if (r->holds) {
            set(&c->all[i], r->holds(facts), r->grace_s, facts->now_mono_ms);
            snprintf(c->details[i], sizeof c->details[i], "%s", r->detail(facts));
        } else {
            set_event(&c->all[i], r->counter(facts), facts->now_mono_ms);
        }
    }
    update_machine(c, &facts->board, facts->now_mono_ms);
}

status_state conditions_state(const conditions *c)
{
    status_state state = STATUS_OK;
    for (size_t i = 0; i < c->count; i++) {
        if (c->all[i].told && c->all[i].severity == CONDITION_ERROR)
            return STATUS_OUTAGE;
        if (c->all[i].told)
            state = STATUS_ATTENTION;
    }
    return state;
}

const char *status_state_name(status_state state)
{
    static const char *const names[] = { "ok", "attention", "outage" };
    return names[state];
}

void conditions_text(const conditions *c, size_t i, char *text, size_t cap)
{
    const char *detail = i < CONDITIONS ? c->details[i] : "";
    snprintf(text, cap, "%s%s%s", c->all[i].words, detail[0] ? ": " : "", detail);
}
