/* Batches from the spool to the forwarder, through a window of pool batches. */
#include "agent/pipeline/outlet_internal.h"
#include "platform/log.h"

#include <assert.h>
#include <string.h>

/* --- what waits for what ---------------------------------------------------------------------- */

bool outlet_must_hold(const outlet *o, const batch *b)
{
    for (uint32_t i = 0; i < o->window_count; i++) {
        const batch *w = o->window[i];
        if (w != b && snapshot_equal(&w->snapshot, &b->snapshot) &&
            (b->spool_seq == 0 || w->spool_seq < b->spool_seq))
            return true;
    }
    return false;
}

static void look_at_held(outlet *o)
{
    for (uint32_t n = o->held.count; n > 0; n--)
        outlet_forward(o, outlet_pop(&o->held)); /* those that must wait are held again */
}

/* --- the window ------------------------------------------------------------------------------- */

static void free_batch(outlet *o, batch *b)
{
    pool_give(o->pool, b);
    o->worked = true;
    o->events.room(o->events.ctx);
}

static void acknowledge(outlet *o, uint64_t seq)
{
    spool_ack(o->spool, seq);
    if (o->counts.full)
        o->store_at_ms = 0; /* there may be room now */
}

void outlet_drained(outlet *o, batch *b, uint32_t refused)
{
    uint32_t i = 0;
    while (i < o->window_count && o->window[i] != b)
        i++;
    assert(i < o->window_count);
    o->window[i] = o->window[--o->window_count];
    o->counts.drained_batches++;
    o->counts.drained_records += b->records - refused;
    o->counts.refused += refused;
    if (refused > 0)
        outlet_say_batch(b, "records of a spooled batch were refused and will be missing", refused);
    acknowledge(o, b->spool_seq);
    outlet_keep_reserve(o); /* before others can take this one */
    free_batch(o, b);
}

/* Gives the bytes that were read their identity. False: they are no batch, whatever their checksum
 * says. */
static bool adopt(batch *b, const spool_meta *meta, uint64_t seq)
{
    static const batch_kind kinds[] = {
        [SPOOL_AUCTIONS] = BATCH_AUCTIONS,
        [SPOOL_REJECTS] = BATCH_REJECTS,
        [SPOOL_LEDGER] = BATCH_LEDGER,
        [SPOOL_GAP] = BATCH_LEDGER,
    };
    snapshot_id id = { .realm = meta->snapshot.realm,
                       .house = meta->snapshot.house,
                       .time_ms = meta->snapshot.time_ms };
    size_t len = b->bytes.len;
    memcpy(id.region, meta->snapshot.region, sizeof id.region - 1);
    batch_start(b, kinds[meta->kind], &id, meta->fingerprint);
    b->bytes.len = len;
    b->spool_seq = seq;
    return batch_check(gv_span_of(b->bytes.data, len), &b->records, NULL) == GV_OK &&
           b->records > 0 && b->records == meta->records;
}

/* It cannot be sent, and to keep it would hold up all the others: it counts as refused. */
static void give_up(outlet *o, batch *b, const spool_meta *meta)
{
    o->counts.refused += meta->records;
    outlet_say_batch(b, "a spooled batch makes no sense and will be missing", meta->records);
    acknowledge(o, b->spool_seq);
    free_batch(o, b);
}

static gv_status read_one(outlet *o, batch *b, gv_error *err)
{
    spool_meta meta;
    uint64_t seq;
    b->bytes.len = 0;
    gv_status st = spool_next(o->spool, &meta, &b->bytes, &seq, err);
    if (st != GV_OK)
        return st;
    if (!adopt(b, &meta, seq)) {
        give_up(o, b, &meta);
        return GV_OK;
    }
    o->window[o->window_count++] = b;
    outlet_forward(o, b);
    return GV_OK;
}

static void read_failed(outlet *o, uint64_t now_ms, const gv_error *err)
{
    o->drain_failures++;
    o->drain_at_ms = now_ms + outlet_backoff(o->drain_failures + 1);
    GV_LOG(GV_LOG_ERROR, gv_kmsg("the spool could not be read; it is tried again"),
           gv_kstr("error", err->text), gv_kuint("next_try_ms", o->drain_at_ms - now_ms));
}

void outlet_drain(outlet *o, uint64_t now_ms)
{
    look_at_held(o);
    while (outlet_has_unread(o) && o->window_count < o->window_max && now_ms >= o->drain_at_ms) {
        gv_error err = { 0, "" };
        batch *b = pool_take_reserved(o->pool);
        if (!b)
            return;
        gv_status st = read_one(o, b, &err);
        if (st == GV_OK) {
            o->drain_failures = 0;
            continue;
        }
        pool_give(o->pool, b);
        if (st != GV_AGAIN)
            read_failed(o, now_ms, &err);
        return;
    }
}

uint64_t outlet_drain_due(const outlet *o)
{
    bool can_read =
        outlet_has_unread(o) && o->window_count < o->window_max && o->pool->free_count > 0;
    return can_read ? o->drain_at_ms : UINT64_MAX;
}
