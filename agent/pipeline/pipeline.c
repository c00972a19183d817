#include "agent/pipeline/ledger.h"
#include "agent/pipeline/pipeline_internal.h"
#include "platform/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- lanes ------------------------------------------------------------------------------------ */

static void settle(pipeline *p, lane *l, source_outcome outcome)
{
    const transcode_counts *c = intake_counts(&l->in);
    char name[SNAPSHOT_TEXT_MAX], digest[17];
    snapshot_format(&l->in.snapshot, name);
    snprintf(digest, sizeof digest, "%016" PRIx64, l->in.digest);
    if (!l->in.dry) {
        p->counts.records += c->records;
        p->counts.rejects += c->rejects;
        p->counts.unknown_members += c->unknown_members;
        p->counts.replaced_utf8 += c->replaced_utf8;
    }
    if (outcome == SETTLE_SAFE)
        GV_LOG(GV_LOG_INFO,
               gv_kmsg(l->fate == OUTLET_SPOOLED ? "snapshot spooled" : "snapshot forwarded"),
               gv_kstr("snapshot", name), gv_kuint("records", c->records),
               gv_kuint("rejects", c->rejects), gv_kuint("unknown_members", c->unknown_members),
               gv_kuint("replaced_utf8", c->replaced_utf8), gv_kuint("bytes", c->bytes_in),
               gv_kstr("digest", digest), gv_kuint("ms", plat_mono_ms(p->clock) - l->started_ms));
    l->state = LANE_FREE;
    source_note_records(p->source, l->number, c->records);
    source_settle(p->source, l->number, outcome, l->why.text);
}

void pipeline_submit(void *ctx, batch *b)
{
    pipeline *p = ctx;
    p->with_outlet++;
    outlet_submit(p->outlet, b);
}

static void break_lane(lane *l)
{
    l->outcome = SETTLE_BROKEN;
    l->state = LANE_DRAINING;
}

static bool try_end(lane *l)
{
    switch (intake_end(&l->in, &l->why)) {
    case INTAKE_WAIT:
        return false;
    case INTAKE_WHOLE:
        l->outcome = SETTLE_SAFE;
        break;
    case INTAKE_LOOK_AGAIN:
        l->outcome = SETTLE_AGAIN;
        break;
    case INTAKE_BROKEN:
        l->outcome = SETTLE_BROKEN;
        break;
    }
    l->state = LANE_DRAINING;
    return true;
}

/* False, as a step that has to wait. `for_me`: the outlet has something of this lane. */
static bool wait_for_outlet(pipeline *p, bool for_me)
{
    if (for_me)
        outlet_hurry(p->outlet);
    return false;
}

static bool try_prove(pipeline *p, lane *l)
{
    const transcode_counts *c = intake_counts(&l->in);
    char text[LEDGER_BYTES_MAX];
    size_t len;
    batch *b = l->ledger_sent ? NULL : pool_take(&p->pool);
    if (!b)
        return wait_for_outlet(p, l->ledger_sent);
    ledger_entry entry = { .snapshot = l->in.snapshot,
                           .state = LEDGER_COMPLETE,
                           .records = c->records,
                           .rejects = c->rejects,
                           .digest = l->in.digest,
                           .fingerprint = p->auction.fingerprint,
                           .topic = p->config.topics[BATCH_AUCTIONS],
                           .device = p->config.device };
    gv_status st = ledger_write(&entry, text, &len, &l->why);
    batch_start(b, BATCH_LEDGER, &l->in.snapshot, 0);
    if (st != GV_OK || !batch_append(b, 0, gv_span_of(text, len))) {
        pool_give(&p->pool, b);
        break_lane(l);
        return true;
    }
    b->owner = l;
    l->ledger_sent = true;
    pipeline_submit(p, b);
    return true;
}

static bool try_drain(pipeline *p, lane *l)
{
    if (l->in.pending > 0)
        return wait_for_outlet(p, true);
    if (l->in.refused > 0 && l->outcome == SETTLE_SAFE) {
        l->outcome = SETTLE_BROKEN;
        gv_fail(&l->why, GV_INVAL, "the broker refused %u records", l->in.refused);
    }
    if (l->outcome == SETTLE_SAFE) {
        l->ledger_sent = false;
        l->state = LANE_PROVING;
    } else {
        settle(p, l, l->outcome);
    }
    return true;
}

/* For how long the lane has waited for a slow broker. What it waits while batches go to the spool is
 * not the broker's fault. */
static uint64_t waited_ms(const pipeline *p, const lane *l, uint64_t now_ms)
{
    const outlet_counts *o = outlet_state(p->outlet);
    if (o->spooling)
        return 0;
    if (l->starved_ms < o->direct_since_ms)
        return now_ms - o->direct_since_ms;
    return l->waited_ms + (now_ms - l->starved_ms);
}

static void feed_again(pipeline *p, lane *l)
{
    l->waited_ms = waited_ms(p, l, plat_mono_ms(p->clock));
    l->starved = false;
    source_resume(p->source, l->number);
}

/* One step of one lane; false when it has to wait. */
static bool step(pipeline *p, lane *l)
{
    switch (l->state) {
    case LANE_RECEIVING:
        if (!l->starved || pool_available(&p->pool) == 0)
            return false;
        feed_again(p, l);
        return true;
    case LANE_ENDING:
        return try_end(l);
    case LANE_DRAINING:
        return try_drain(p, l);
    case LANE_PROVING:
        return try_prove(p, l);
    case LANE_PROVED:
        settle(p, l, SETTLE_SAFE);
        return true;
    case LANE_FREE:
        break;
    }
    return false;
}

/* Somebody waits for a batch, and all that he may have are being filled, perhaps by transfers that
 * stall: what they hold is handed over unfinished, or none would come back. */
static void hand_over(pipeline *p)
{
    for (unsigned i = 0; i < p->config.max_transfers; i++)
        intake_hand_over(&p->lanes[i].in);
}

bool pipeline_tick(pipeline *p)
{
    bool worked = false;
    while (p->noted) {
        p->noted = false;
        for (unsigned i = 0; i < p->config.max_transfers; i++)
            while (step(p, &p->lanes[i]))
                worked = true;
        if (pool_available(&p->pool) == 0 && p->with_outlet == 0) {
            hand_over(p);
            worked = true;
        }
    }
    return worked;
}

/* --- what the source calls -------------------------------------------------------------------- */

static gv_status on_open(void *ctx, unsigned slot, const feed *f, const http_reply *reply,
                         gv_error *err)
{
    pipeline *p = ctx;
    lane *l = &p->lanes[slot];
    (void)err;
    assert(l->state == LANE_FREE);
    snapshot_id id = { .realm = f->realm,
                       .house = f->house,
                       .time_ms = reply->last_modified * 1000 };
    memcpy(id.region, f->region, sizeof id.region);
    l->state = LANE_RECEIVING;
    l->starved = false;
    l->waited_ms = 0;
    l->why = (gv_error){ 0, "" };
    l->started_ms = plat_mono_ms(p->clock);
    intake_begin(&l->in, &id, f->realm_verified == reply->last_modified);
    return GV_OK;
}

static gv_status on_data(void *ctx, unsigned slot, gv_span data, size_t *taken, gv_error *err)
{
    pipeline *p = ctx;
    lane *l = &p->lanes[slot];
    gv_status st = intake_feed(&l->in, data, taken, err);
    p->counts.bytes_in += *taken;
    if (st == GV_AGAIN) {
        l->starved = true;
        l->starved_ms = plat_mono_ms(p->clock);
        p->counts.pauses++;
        p->noted = true; /* perhaps no batch can come back by itself */
    }
    return st;
}

static void on_end(void *ctx, unsigned slot, gv_status status, const gv_error *err)
{
    pipeline *p = ctx;
    lane *l = &p->lanes[slot];
    if (status == GV_OK) {
        l->state = LANE_ENDING;
    } else {
        intake_abort(&l->in);
        l->why = *err;
        break_lane(l);
    }
    p->noted = true;
}

/* --- what the outlet calls -------------------------------------------------------------------- */

static void on_done(void *ctx, batch *b, uint32_t refused, outlet_fate fate)
{
    pipeline *p = ctx;
    lane *l = b->owner;
    p->noted = true;
    p->with_outlet--;
    if (b->kind != BATCH_LEDGER) {
        intake_returned(&l->in, b, refused);
        return;
    }
    pool_give(&p->pool, b);
    if (refused > 0) {
        gv_fail(&l->why, GV_INVAL, "the broker refused the ledger entry");
        break_lane(l);
        return;
    }
    l->fate = fate;
    l->state = LANE_PROVED;
}

static void on_room(void *ctx)
{
    pipeline *p = ctx;
    p->noted = true;
}

static bool is_in_use(void *ctx, const snapshot_id *snapshot)
{
    const pipeline *p = ctx;
    for (unsigned i = 0; i < p->config.max_transfers; i++)
        if (p->lanes[i].state != LANE_FREE && snapshot_equal(&p->lanes[i].in.snapshot, snapshot))
            return true;
    return false;
}

static uint64_t patience_ends(void *ctx, uint64_t limit_ms)
{
    const pipeline *p = ctx;
    uint64_t now_ms = plat_mono_ms(p->clock), first_ms = UINT64_MAX;
    for (unsigned i = 0; i < p->config.max_transfers; i++) {
        const lane *l = &p->lanes[i];
        if (l->state != LANE_RECEIVING || !l->starved)
            continue;
        uint64_t waited = waited_ms(p, l, now_ms);
        uint64_t left_ms = limit_ms > waited ? limit_ms - waited : 0;
        if (now_ms + left_ms < first_ms)
            first_ms = now_ms + left_ms;
    }
    return first_ms;
}

static void on_hold(void *ctx, bool hold)
{
    pipeline *p = ctx;
    source_hold(p->source, hold);
}

/* --- joining --------------------------------------------------------------------------------- */

source_events pipeline_source_events(pipeline *p)
{
    return (source_events){ on_open, on_data, on_end, p };
}

outlet_events pipeline_outlet_events(pipeline *p)
{
    return (outlet_events){ on_done, on_room, is_in_use, patience_ends, on_hold, p };
}

void pipeline_attach(pipeline *p, source *s, outlet *o)
{
    p->source = s;
    p->outlet = o;
}
