/* Batches to the spool: append, commit many at once, and what to do when the disk refuses. */
#include "agent/pipeline/ledger.h"
#include "agent/pipeline/outlet_internal.h"
#include "platform/log.h"

#include <assert.h>
#include <inttypes.h>

static spool_meta meta_of(const batch *b)
{
    static const spool_kind kinds[BATCH_KINDS] = { SPOOL_AUCTIONS, SPOOL_REJECTS, SPOOL_LEDGER };
    spool_meta meta = { .fingerprint = b->fingerprint,
                        .records = b->records,
                        .kind = kinds[b->kind] };
    memcpy(meta.snapshot.region, b->snapshot.region, sizeof meta.snapshot.region);
    meta.snapshot.realm = b->snapshot.realm;
    meta.snapshot.house = b->snapshot.house;
    meta.snapshot.time_ms = b->snapshot.time_ms;
    return meta;
}

static snapshot_id snapshot_of(const spool_snapshot *s)
{
    snapshot_id id = { .realm = s->realm, .house = s->house, .time_ms = s->time_ms };
    memcpy(id.region, s->region, sizeof id.region);
    return id;
}

static gv_status append_all(outlet *o, uint64_t now_ms, gv_error *err)
{
    for (; o->to_append; o->to_append = o->to_append->next) {
        const batch *b = o->to_append;
        spool_meta meta = meta_of(b);
        gv_span payload = gv_span_of(b->bytes.data, b->bytes.len);
        gv_status st = spool_append(o->spool, &meta, payload, err);
        if (st != GV_OK)
            return st;
        if (o->appended++ == 0)
            o->appended_ms = now_ms;
    }
    return GV_OK;
}

/* They are durable: whoever filled them has them back. */
static void give_back_appended(outlet *o)
{
    for (; o->appended > 0; o->appended--) {
        batch *b = outlet_pop(&o->to_spool);
        o->counts.spooled_batches++;
        o->counts.spooled_records += b->records;
        o->counts.batches_waiting--;
        o->worked = true;
        o->events.done(o->events.ctx, b, b->refused, OUTLET_SPOOLED);
    }
}

static gv_status commit(outlet *o, gv_error *err)
{
    if (o->appended == 0)
        return GV_OK;
    gv_status st = spool_commit(o->spool, err);
    if (st == GV_OK) {
        o->hurry = false;
        give_back_appended(o);
    }
    return st;
}

/* Nobody is served by waiting for more to commit together. */
static bool commit_is_due(const outlet *o, uint64_t now_ms)
{
    return o->hurry || o->leaving || o->failures > 0 || pool_available(o->pool) == 0 ||
           now_ms >= o->appended_ms + o->config.commit_ms;
}

/* --- when it is full -------------------------------------------------------------------------- */

static bool in_use(void *ctx, const spool_snapshot *snapshot)
{
    const outlet *o = ctx;
    snapshot_id id = snapshot_of(snapshot);
    return o->events.in_use(o->events.ctx, &id);
}

/* The record of what will be missing, packed as a batch of one. */
static gv_status pack_gap(const outlet *o, const spool_victim *v, batch *b, gv_error *err)
{
    char text[LEDGER_BYTES_MAX];
    size_t len;
    const ledger_entry entry = { .snapshot = snapshot_of(&v->snapshot),
                                 .state = LEDGER_GAP,
                                 .records = v->records,
                                 .rejects = v->rejects,
                                 .topic = o->config.topic,
                                 .device = o->config.device };
    gv_status st = ledger_write(&entry, text, &len, err);
    if (st != GV_OK)
        return st;
    batch_start(b, BATCH_LEDGER, &entry.snapshot, 0);
    bool fits = batch_append(b, 0, gv_span_of(text, len));
    assert(fits);
    (void)fits;
    return GV_OK;
}

/* GV_OK: a snapshot has given way. GV_AGAIN: none may. GV_IO: the disk. */
static gv_status give_way(outlet *o, gv_error *err)
{
    uint8_t bytes[BATCH_ENTRY_OVERHEAD + LEDGER_BYTES_MAX];
    batch gap = { .bytes = gv_buf_of(bytes, sizeof bytes) };
    spool_victim v;
    char name[SNAPSHOT_TEXT_MAX];
    if (o->config.policy == OUTLET_PAUSE)
        return GV_AGAIN;
    spool_policy policy = o->config.policy == OUTLET_THIN ? SPOOL_THIN : SPOOL_DROP_OLDEST;
    if (spool_choose(o->spool, policy, in_use, o, &v, NULL) != GV_OK ||
        pack_gap(o, &v, &gap, err) != GV_OK)
        return GV_AGAIN;
    gv_status st = spool_drop(o->spool, &v, gv_span_of(gap.bytes.data, gap.bytes.len), err);
    if (st != GV_OK)
        return st == GV_IO ? GV_IO : GV_AGAIN;
    o->counts.given_up_snapshots++;
    o->counts.given_up_records += v.records + v.rejects;
    snapshot_format(&gap.snapshot, name);
    GV_LOG(GV_LOG_WARN, gv_kmsg("spooled snapshot given up for room; a gap entry tells of it"),
           gv_kstr("snapshot", name), gv_kuint("records", v.records),
           gv_kuint("rejects", v.rejects));
    return GV_OK;
}

void outlet_set_full(outlet *o, const char *reason)
{
    bool full = reason != NULL;
    if (o->counts.full == full)
        return;
    o->counts.full = full;
    outlet_say_full(o, reason);
    o->events.hold(o->events.ctx, full);
}

/* --- one round -------------------------------------------------------------------------------- */

/* GV_FULL: what was appended before is durable all the same. */
static gv_status store_some(outlet *o, uint64_t now_ms, gv_error *err)
{
    gv_status st = append_all(o, now_ms, err);
    if (st == GV_FULL) {
        gv_error of_commit = { 0, "" };
        gv_status committed = commit(o, &of_commit);
        if (committed == GV_OK)
            return GV_FULL;
        *err = of_commit;
        return committed;
    }
    return st == GV_OK && commit_is_due(o, now_ms) ? commit(o, err) : st;
}

/* None of those appended is promised: all of them again. */
static void rewind_all(outlet *o, uint64_t now_ms, const gv_error *err)
{
    o->to_append = o->to_spool.first;
    o->appended = 0;
    o->failures++;
    o->store_at_ms = now_ms + outlet_backoff(o->failures);
    GV_LOG(o->failures > 1 ? GV_LOG_ERROR : GV_LOG_WARN,
           gv_kmsg("the spool could not be written; what is not safe is written again"),
           gv_kstr("error", err->text), gv_kuint("batches", o->to_spool.count),
           gv_kuint("failures", o->failures), gv_kuint("next_try_ms", o->store_at_ms - now_ms));
}

static void stored(outlet *o)
{
    if (o->failures > 1)
        GV_LOG(GV_LOG_INFO, gv_kmsg("the spool can be written again"));
    o->failures = 0;
    o->store_at_ms = 0;
    outlet_set_full(o, NULL);
}

void outlet_store(outlet *o, uint64_t now_ms)
{
    while (o->to_spool.count > 0 && now_ms >= o->store_at_ms) {
        gv_error err = { 0, "" };
        gv_status st = store_some(o, now_ms, &err);
        if (st == GV_FULL) {
            st = give_way(o, &err);
            if (st == GV_AGAIN) {
                o->store_at_ms = now_ms + OUTLET_FULL_MS;
                outlet_set_full(o, err.text);
                return;
            }
            if (st == GV_OK) {
                o->worked = true;
                return; /* one at a time: the loop has other work, too */
            }
        }
        if (st == GV_OK) {
            if (o->appended == 0)
                stored(o);
            return;
        }
        rewind_all(o, now_ms, &err);
    }
}

uint64_t outlet_store_due(const outlet *o)
{
    if (!o->counts.spooling || o->to_spool.count == 0)
        return UINT64_MAX;
    uint64_t due_ms = o->appended > 0 ? o->appended_ms + o->config.commit_ms : 0;
    return due_ms > o->store_at_ms ? due_ms : o->store_at_ms;
}
