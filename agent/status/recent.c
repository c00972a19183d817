#include "agent/status/recent.h"

#include "agent/codec/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    char *text;
    size_t cap, len;
} words;

static void put(words *w, const char *text)
{
    size_t len = strlen(text), room = w->cap - 1 - w->len;
    if (len > room)
        len = utf8_valid_prefix(gv_span_of(text, room)); /* never half a character */
    memcpy(w->text + w->len, text, len);
    w->len += len;
    w->text[w->len] = '\0';
}

/* "next_try_ms" is "next try ms". */
static void put_key(words *w, const char *key)
{
    for (; *key; key++) {
        char letter[2] = { *key == '_' ? ' ' : *key, '\0' };
        put(w, letter);
    }
    put(w, " ");
}

static bool is_key(const gv_kv *kv, const char *name)
{
    return strcmp(kv->key, name) == 0;
}

/* What a reader wants to know first: the reason. */
static bool is_reason(const gv_kv *kv)
{
    return is_key(kv, "reason") || is_key(kv, "error");
}

static bool is_text(const gv_kv *kv)
{
    return kv->kind == GV_KV_STR && kv->str[0] != '\0';
}

/* The message, its reason, and what else is said in words. */
static void put_texts(words *w, const gv_kv *pairs)
{
    for (const gv_kv *kv = pairs; kv->kind != GV_KV_END; kv++)
        if (is_text(kv) && is_key(kv, "msg"))
            put(w, kv->str);
    for (const gv_kv *kv = pairs; kv->kind != GV_KV_END; kv++) {
        if (!is_text(kv) || !is_reason(kv))
            continue;
        put(w, ": ");
        put(w, kv->str);
    }
    for (const gv_kv *kv = pairs; kv->kind != GV_KV_END; kv++) {
        if (!is_text(kv) || is_reason(kv) || is_key(kv, "msg") || is_key(kv, "advice"))
            continue;
        put(w, "; ");
        put_key(w, kv->key);
        put(w, kv->str);
    }
}

static void put_numbers(words *w, const gv_kv *pairs)
{
    const char *between = " (";
    char number[24];
    for (const gv_kv *kv = pairs; kv->kind != GV_KV_END; kv++) {
        if (kv->kind == GV_KV_STR)
            continue;
        if (kv->kind == GV_KV_INT)
            snprintf(number, sizeof number, "%" PRId64, kv->i);
        else
            snprintf(number, sizeof number, "%" PRIu64, kv->u);
        put(w, between);
        put_key(w, kv->key);
        put(w, number);
        between = ", ";
    }
    if (between[0] == ',')
        put(w, ")");
}

static bool is_same(const recent_event *a, const recent_event *b)
{
    return a->words_len == b->words_len && memcmp(a->text, b->text, a->words_len) == 0;
}

/* As the newest; in the place of the same, said before, or of the oldest when there is no room. */
static void add(recent *r, recent_event *fresh)
{
    size_t i = 0;
    while (i < r->count && !is_same(&r->events[i], fresh))
        i++;
    if (i < r->count)
        fresh->times += r->events[i].times;
    else if (r->count < RECENT_MAX)
        r->count++;
    else
        i = 0;
    memmove(&r->events[i], &r->events[i + 1], (r->count - 1 - i) * sizeof r->events[0]);
    r->events[r->count - 1] = *fresh;
}

void recent_init(recent *r, const plat_clock *clock)
{
    memset(r, 0, sizeof *r);
    r->clock = clock;
}

void recent_observe(void *ctx, gv_log_level level, const gv_kv *pairs)
{
    recent *r = ctx;
    recent_event e = { .at_ms = plat_wall_ms(r->clock), .level = level, .times = 1 };
    words text = { e.text, sizeof e.text, 0 }, advice = { e.advice, sizeof e.advice, 0 };
    put_texts(&text, pairs);
    e.words_len = text.len;
    put_numbers(&text, pairs);
    for (const gv_kv *kv = pairs; kv->kind != GV_KV_END; kv++)
        if (is_text(kv) && is_key(kv, "advice"))
            put(&advice, kv->str);
    add(r, &e);
}

const recent_event *recent_look(const recent *r, size_t i)
{
    return i < r->count ? &r->events[r->count - 1 - i] : NULL;
}
