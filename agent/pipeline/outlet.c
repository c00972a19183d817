#include "agent/pipeline/outlet_internal.h"

#include "platform/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define REOPEN_MS 30000u /* how often a spool that cannot be opened is tried again */
#define CURSOR_MS 5000u  /* after a power cut, so much of what was drained is sent again */

/* --- queues ----------------------------------------------------------------------------------- */

static void queue_init(batch_queue *q)
{
    *q = (batch_queue){ .last_next = &q->first };
}

void outlet_push(batch_queue *q, batch *b)
{
    b->next = NULL;
    *q->last_next = b;
    q->last_next = &b->next;
    q->count++;
}

batch *outlet_pop(batch_queue *q)
{
    batch *b = q->first;
    if (!b)
        return NULL;
    q->first = b->next;
    if (!q->first)
        q->last_next = &q->first;
    q->count--;
    b->next = NULL;
    return b;
}

uint64_t outlet_backoff(uint32_t failures)
{
    if (failures < 2)
        return 0;
    uint32_t doublings = failures - 2 < 16 ? failures - 2 : 16;
    uint64_t ms = (uint64_t)OUTLET_RETRY_MIN_MS << doublings;
    return ms < OUTLET_RETRY_MAX_MS ? ms : OUTLET_RETRY_MAX_MS;
}

bool outlet_has_unread(const outlet *o)
{
    return o->spool && spool_look(o->spool)->unread > 0;
}

/* --- where a batch goes ----------------------------------------------------------------------- */

void outlet_forward(outlet *o, batch *b)
{
    if (b->kind == BATCH_LEDGER && outlet_must_hold(o, b)) {
        outlet_push(&o->held, b);
        return;
    }
    o->with_forwarder += b->spool_seq == 0;
    o->worked = true;
    forwarder_submit(o->forwarder, b);
}

static void to_spool(outlet *o, batch *b)
{
    outlet_push(&o->to_spool, b);
    if (!o->to_append)
        o->to_append = b;
}

void outlet_submit(outlet *o, batch *b)
{
    assert(b->spool_seq == 0 && b->records > 0);
    o->counts.batches_waiting++;
    if (o->counts.spooling)
        to_spool(o, b);
    else
        outlet_forward(o, b);
}

void outlet_on_batch_done(void *ctx, batch *b, uint32_t refused)
{
    outlet *o = ctx;
    if (b->spool_seq != 0) {
        outlet_drained(o, b, refused);
        return;
    }
    o->with_forwarder--;
    o->counts.batches_waiting--;
    o->events.done(o->events.ctx, b, refused, OUTLET_FORWARDED);
}

/* --- direct and spooling ---------------------------------------------------------------------- */

static uint64_t progress_of(const outlet *o)
{
    const forwarder_status *f = forwarder_state(o->forwarder);
    return f->records_acked + f->records_refused;
}

static uint64_t stall_due(const outlet *o)
{
    const forwarder_status *f = forwarder_state(o->forwarder);
    if (f->batches_waiting == 0)
        return UINT64_MAX;
    if (o->leaving && !f->up)
        return 0;
    return f->last_progress_ms + o->config.after_ms;
}

static bool has_live(const outlet *o)
{
    return o->with_forwarder + o->held.count > 0;
}

/* When batches are to be taken away from the forwarder. */
static uint64_t switch_due(const outlet *o)
{
    if (o->counts.spooling || !o->spool || !has_live(o))
        return UINT64_MAX;
    uint64_t due_ms = stall_due(o);
    uint64_t patience_ms = o->with_forwarder > 0
                               ? o->events.patience(o->events.ctx, o->config.backpressure_ms)
                               : UINT64_MAX;
    if (patience_ms < due_ms)
        due_ms = patience_ms;
    return due_ms > o->store_at_ms ? due_ms : o->store_at_ms;
}

static bool is_live(void *ctx, const batch *b)
{
    (void)ctx;
    return b->spool_seq == 0;
}

static void start_spooling(outlet *o)
{
    o->counts.spooling = true;
    o->progress_mark = progress_of(o);
}

static void go_spooling(outlet *o, uint64_t now_ms)
{
    outlet_say_spooling(o, stall_due(o) <= now_ms);
    o->counts.switches++;
    forwarder_recall(o->forwarder);
    for (batch *b = forwarder_withdraw(o->forwarder, is_live, NULL), *next; b; b = next) {
        next = b->next;
        batch_drop_acked(b);
        o->with_forwarder--;
        to_spool(o, b);
    }
    for (uint32_t n = o->held.count; n > 0; n--) {
        batch *b = outlet_pop(&o->held);
        if (is_live(NULL, b))
            to_spool(o, b);
        else
            outlet_push(&o->held, b);
    }
    start_spooling(o);
}

static void go_direct(outlet *o, uint64_t now_ms)
{
    o->counts.spooling = false;
    o->counts.direct_since_ms = now_ms;
    outlet_say_direct(o);
}

/* All is read, and the forwarder has shown that it gets somewhere: what comes now may go behind. */
static bool is_through(const outlet *o)
{
    const spool_state *s = spool_look(o->spool);
    return s->unread == 0 && s->pending == 0 && o->to_spool.count == 0 &&
           (o->window_count == 0 || progress_of(o) != o->progress_mark);
}

/* The spool takes nothing, so it cannot be waited for: as soon as there is a broker, and nothing older
 * is in the spool, what was meant for it goes to the forwarder after all. */
static bool can_bypass(const outlet *o)
{
    const spool_state *s = spool_look(o->spool);
    return o->to_spool.count > 0 && o->appended == 0 && (o->counts.full || o->failures > 1) &&
           s->unread == 0 && s->pending == 0 && forwarder_state(o->forwarder)->up;
}

static void bypass(outlet *o, uint64_t now_ms)
{
    o->to_append = NULL;
    for (batch *b; (b = outlet_pop(&o->to_spool));)
        outlet_forward(o, b);
    outlet_set_full(o, NULL);
    go_direct(o, now_ms);
}

/* While spooling, arriving records may not take the batches that reading the spool needs. */
void outlet_keep_reserve(outlet *o)
{
    uint32_t want = o->window_max > 1 ? o->window_max / 2 : 1, before = o->pool->reserved;
    o->pool->reserved = 0;
    if (o->counts.spooling && o->window_count < want)
        o->pool->reserved = want - o->window_count;
    if (o->pool->reserved < before)
        o->events.room(o->events.ctx);
}

/* --- the spool itself ------------------------------------------------------------------------- */

static void open_when_due(outlet *o, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    if (!o->config.enabled || o->spool || now_ms < o->open_at_ms)
        return;
    if (spool_open(&o->spool_config, &o->spool, &err) != GV_OK) {
        o->spool = NULL;
        o->open_at_ms = now_ms + REOPEN_MS;
        if (strcmp(o->open_trouble, err.text) != 0)
            GV_LOG(GV_LOG_ERROR, gv_kmsg("no spool: without a broker, fetching will wait"),
                   gv_kstr("dir", o->config.dir), gv_kstr("error", err.text),
                   gv_kuint("next_try_ms", REOPEN_MS));
        snprintf(o->open_trouble, sizeof o->open_trouble, "%s", err.text);
        return;
    }
    const spool_state *s = spool_look(o->spool);
    GV_LOG(GV_LOG_INFO, gv_kmsg("spool opened"), gv_kstr("dir", o->config.dir),
           gv_kuint("batches", s->batches), gv_kuint("records", s->records),
           gv_kuint("bytes", s->bytes));
    if (s->unread > 0)
        start_spooling(o);
}

/* --- contract --------------------------------------------------------------------------------- */

static uint32_t window_for(uint32_t pool_batches)
{
    uint32_t window = pool_batches / 2;
    return window < 1 ? 1 : window > SPOOL_WINDOW_MAX ? SPOOL_WINDOW_MAX : window;
}

static spool_config make_spool_config(const outlet_config *c, uint32_t pool_batches)
{
    return (spool_config){
        .fs = c->fs,
        .clock = c->clock,
        .dir = c->dir,
        .payload_bytes = c->batch_bytes,
        .segment_bytes = c->segment_bytes,
        .quota_bytes = c->quota_bytes,
        .reserve_bytes = c->reserve_bytes,
        .quarantine_bytes = c->quarantine_bytes,
        .window = window_for(pool_batches),
        .cursor_ms = CURSOR_MS,
        .event = outlet_say_event,
    };
}

size_t outlet_memory_bytes(const outlet_config *config, uint32_t pool_batches)
{
    spool_config c = make_spool_config(config, pool_batches);
    size_t bytes = config->enabled ? spool_mem_needed(&c) : 0;
    return bytes > SIZE_MAX - sizeof(outlet) ? SIZE_MAX : bytes + sizeof(outlet);
}

gv_status outlet_open(const outlet_config *config, batch_pool *pool, forwarder *f,
                      const outlet_events *events, outlet **out, gv_error *err)
{
    size_t bytes = outlet_memory_bytes(config, pool->count);
    if (bytes == SIZE_MAX)
        return gv_fail(err, GV_INVAL,
                       "no spool can be like this: spool.segment_kib, "
                       "memory.batch_kib and spool.quota_mib do not fit together");
    outlet *o = calloc(1, bytes);
    if (!o)
        return gv_fail(err, GV_FULL, "no memory for the spool");
    *o = (outlet){ .config = *config, .pool = pool, .forwarder = f, .events = *events };
    o->spool_config = make_spool_config(config, pool->count);
    o->spool_config.mem = o + 1;
    o->spool_config.mem_bytes = bytes - sizeof *o;
    o->window_max = o->spool_config.window;
    queue_init(&o->held);
    queue_init(&o->to_spool);
    open_when_due(o, plat_mono_ms(config->clock));
    outlet_keep_reserve(o);
    *out = o;
    return GV_OK;
}

void outlet_hurry(outlet *o)
{
    o->hurry = true;
}

void outlet_hasten(outlet *o, uint32_t after_ms)
{
    o->leaving = true;
    if (after_ms < o->config.after_ms)
        o->config.after_ms = after_ms;
}

static uint64_t earliest(outlet *o, uint64_t now_ms)
{
    const uint64_t due_ms[] = {
        o->worked ? now_ms : UINT64_MAX,
        o->spool            ? spool_tick(o->spool)
        : o->config.enabled ? o->open_at_ms
                            : UINT64_MAX,
        switch_due(o),
        outlet_store_due(o),
        outlet_drain_due(o),
    };
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < sizeof due_ms / sizeof due_ms[0]; i++)
        if (due_ms[i] < first)
            first = due_ms[i];
    return first;
}

uint64_t outlet_tick(outlet *o)
{
    uint64_t now_ms = plat_mono_ms(o->config.clock);
    o->worked = false;
    open_when_due(o, now_ms);
    if (switch_due(o) <= now_ms)
        go_spooling(o, now_ms);
    if (o->counts.spooling)
        outlet_store(o, now_ms);
    outlet_drain(o, now_ms);
    if (o->counts.spooling && can_bypass(o))
        bypass(o, now_ms);
    else if (o->counts.spooling && is_through(o))
        go_direct(o, now_ms);
    outlet_keep_reserve(o);
    o->counts.stalled = stall_due(o) <= now_ms;
    return earliest(o, now_ms);
}

const outlet_counts *outlet_state(const outlet *o)
{
    return &o->counts;
}

const spool_state *outlet_spool(const outlet *o)
{
    return o->spool ? spool_look(o->spool) : NULL;
}

void outlet_close(outlet *o)
{
    if (!o)
        return;
    if (o->spool)
        spool_close(o->spool);
    free(o);
}
