#include "agent/sink/schema_cache.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_EMPTY, SLOT_GOOD, SLOT_BROKEN, SLOT_UNKNOWN } slot_state;

typedef struct {
    slot_state state;
    uint32_t id;
    uint64_t used;     /* a counter, for the least recently used */
    uint64_t asked_ms; /* SLOT_UNKNOWN: when */
    cached_schema schema;
    void *block;
    gv_error why; /* not SLOT_GOOD */
} slot;

struct schema_cache {
    const plat_clock *clock;
    schema_fetch_fn *fetch;
    void *ctx;
    uint64_t uses;
    slot *last;
    slot slots[SCHEMA_CACHE_SLOTS];
};

schema_cache *schema_cache_open(const plat_clock *clock, schema_fetch_fn *fetch, void *ctx)
{
    schema_cache *c = calloc(1, sizeof *c);

    if (c) {
        c->clock = clock;
        c->fetch = fetch;
        c->ctx = ctx;
        c->last = &c->slots[0];
    }
    return c;
}

void schema_cache_close(schema_cache *c)
{
    for (size_t i = 0; c && i < SCHEMA_CACHE_SLOTS; i++) {
        free(c->slots[i].block);
    }
    free(c);
}

static slot *find(schema_cache *c, uint32_t id)
{
    if (c->last->state != SLOT_EMPTY && c->last->id == id) {
        return c->last;
    }
    for (size_t i = 0; i < SCHEMA_CACHE_SLOTS; i++) {
        if (c->slots[i].state != SLOT_EMPTY && c->slots[i].id == id) {
            return &c->slots[i];
        }
    }
    return NULL;
}

static slot *oldest(schema_cache *c)
{
    slot *best = &c->slots[0];

    for (size_t i = 0; i < SCHEMA_CACHE_SLOTS; i++) {
        if (c->slots[i].used < best->used) {
            best = &c->slots[i];
        }
    }
    return best;
}

/* The size of a parsed schema is not known before: try with more until it fits. */
static void parse(void *arg, const char *text)
{
    slot *s = arg;
    size_t bytes = 4096;
    gv_status status = GV_FULL;

    while (status == GV_FULL && bytes <= SCHEMA_MAX_BYTES) {
        gv_arena arena;
        free(s->block);
        s->block = malloc(bytes);
        memset(&s->why, 0, sizeof s->why);
        if (!s->block) {
            break;
        }
        gv_arena_init(&arena, s->block, bytes);
        status = schema_parse(gv_span_str(text), &arena, &s->schema.writer, &s->why);
        bytes *= 2;
    }
    s->state = status == GV_OK ? SLOT_GOOD : SLOT_BROKEN;
    if (status == GV_OK) {
        s->schema.shape = record_shape_of(&s->schema.writer);
    }
}

static gv_status ask(schema_cache *c, uint32_t id, slot **out, gv_error *err)
{
    slot *s = oldest(c);
    slot fresh = { .id = id };

    gv_status status = c->fetch(c->ctx, id, parse, &fresh, err);
    if (status == GV_INVAL) {
        fresh.state = SLOT_UNKNOWN;
        fresh.asked_ms = plat_mono_ms(c->clock);
        if (err) {
            fresh.why = *err;
            err->text[0] = '\0';
        }
    } else if (status != GV_OK) {
        free(fresh.block);
        return status;
    }
    free(s->block);
    *s = fresh;
    *out = s;
    return GV_OK;
}

gv_status schema_cache_get(schema_cache *c, uint32_t id, const cached_schema **out, gv_error *err)
{
    slot *s = find(c, id);

    if (s && s->state == SLOT_UNKNOWN &&
        plat_mono_ms(c->clock) - s->asked_ms >= SCHEMA_UNKNOWN_MS) {
        s->state = SLOT_EMPTY;
        s->used = 0;
        s = NULL;
    }
    if (!s) {
        gv_status status = ask(c, id, &s, err);
        if (status != GV_OK) {
            return status;
        }
    }
    s->used = ++c->uses;
    c->last = s;
    if (s->state != SLOT_GOOD) {
        return gv_fail(err, GV_INVAL, "schema %" PRIu32 ": %s", id,
                       s->why.text[0] ? s->why.text : "it is too large");
    }
    *out = &s->schema;
    return GV_OK;
}
