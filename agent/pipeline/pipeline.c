#include "agent/pipeline/pipeline.h"

#include "agent/pipeline/intake.h"
#include "agent/pipeline/ledger.h"
#include "platform/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODEC_ARENA_BYTES (96u * 1024u) /* two schemas and a plan; checked when they are read */
#define RECORD_BYTES_MAX  (32u * 1024u) /* real ones are below 1 KiB; a longer one is a reject */

typedef enum {
    LANE_FREE,
    LANE_RECEIVING,
    LANE_ENDING,
    LANE_DRAINING,
    LANE_PROVING,
    LANE_PROVED
} lane_state;

typedef struct {
    intake in; /* first: a batch's owner is its intake, and so its lane */
    unsigned number;
    lane_state state;
    bool starved;        /* the transfer is paused for want of a batch ... */
    uint64_t starved_ms; /* ... since then; before that it had waited for waited_ms */
    uint64_t waited_ms;
    bool ledger_sent;
    outlet_fate fate; /* of the ledger entry, and so of the snapshot */
    source_outcome outcome;
    uint64_t started_ms;
    gv_error why; /* of a broken one */
} lane;

struct pipeline {
    pipeline_config config;
    const plat_clock *clock;
    source *source;
    outlet *outlet;
    schema auction, reject;
    const plan *plan;
    intake_shared shared;
    batch_pool pool;
    pipeline_counts counts;
    bool noted;           /* some lane may be able to go on */
    uint32_t with_outlet; /* batches */
    lane lanes[SOURCE_TRANSFERS_MAX];
    void *codec_memory;
    uint8_t *memory; /* batches, scratch, transcoders */
};

/* --- memory ----------------------------------------------------------------------------------- */

static transcode_limits limits_for(size_t batch_bytes)
{
    transcode_limits limits = transcode_default_limits();
    limits.record_bytes = RECORD_BYTES_MAX;
    size_t room = batch_bytes - BATCH_ENTRY_OVERHEAD - INTAKE_REJECT_FRAME_BYTES;
    if (limits.record_bytes > room)
        limits.record_bytes = room;
    return limits;
}

static size_t align_up(size_t n)
{
    return (n + 63u) & ~(size_t)63u;
}

/* All but the batches. */
static size_t fixed_bytes(const pipeline *p)
{
    return sizeof *p + CODEC_ARENA_BYTES + align_up(intake_scratch_bytes(&p->shared.limits)) +
           p->config.max_transfers * align_up(intake_mem_needed(&p->shared));
}

/* As many batches as the budget has room for, when the configuration leaves it open. */
static gv_status choose_batches(pipeline *p, gv_error *err)
{
    pipeline_config *c = &p->config;
    size_t fixed = fixed_bytes(p);
    size_t room = c->memory_bytes > fixed ? (c->memory_bytes - fixed) / c->batch_bytes : 0;
    if (c->batch_count > 0 && c->batch_count < PIPELINE_BATCHES_MIN)
        return gv_fail(err, GV_INVAL,
                       "memory.batches is %u, but at least %u are needed (0: as many as fit)",
                       c->batch_count, PIPELINE_BATCHES_MIN);
    if (c->batch_count == 0)
        c->batch_count = room > PIPELINE_BATCHES_ENOUGH ? PIPELINE_BATCHES_ENOUGH : (uint32_t)room;
    if (c->batch_count < PIPELINE_BATCHES_MIN || c->batch_count > room)
        return gv_fail(err, GV_FULL,
                       "%u batches of %zu KiB do not fit: the budget leaves %zu KiB, of which %zu "
                       "are taken; raise memory.budget_kib or lower memory.batch_kib",
                       c->batch_count ? c->batch_count : PIPELINE_BATCHES_MIN,
                       c->batch_bytes / 1024, c->memory_bytes / 1024, fixed / 1024);
    return GV_OK;
}

static gv_status build_codec(pipeline *p, gv_arena *arena, gv_error *err)
{
    static const plan_binding bindings[] = INTAKE_BINDINGS;
    gv_status st = schema_parse(p->config.auction_schema, arena, &p->auction, err);
    if (st == GV_OK)
        st = schema_parse(p->config.reject_schema, arena, &p->reject, err);
    if (st == GV_OK)
        st = plan_build(&p->auction, bindings, sizeof bindings / sizeof bindings[0], "id", "extra",
                        arena, &p->plan, err);
    return st;
}

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
    source_settle(p->source, l->number, outcome, l->why.text);
}

static void submit(void *ctx, batch *b)
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
    submit(p, b);
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

/* What a transfer waits while batches go to the spool is not the broker's fault. */
static void feed_again(pipeline *p, lane *l)
{
    l->starved = false;
    l->waited_ms += plat_mono_ms(p->clock) - l->starved_ms;
    if (outlet_state(p->outlet)->spooling)
        l->waited_ms = 0;
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
    uint64_t first_ms = UINT64_MAX;
    for (unsigned i = 0; i < p->config.max_transfers; i++) {
        const lane *l = &p->lanes[i];
        if (l->state != LANE_RECEIVING || !l->starved)
            continue;
        uint64_t left_ms = limit_ms > l->waited_ms ? limit_ms - l->waited_ms : 0;
        if (l->starved_ms + left_ms < first_ms)
            first_ms = l->starved_ms + left_ms;
    }
    return first_ms;
}

static void on_hold(void *ctx, bool hold)
{
    pipeline *p = ctx;
    source_hold(p->source, hold);
}

/* --- life ------------------------------------------------------------------------------------- */

static gv_status give_memory(pipeline *p, gv_error *err)
{
    const pipeline_config *c = &p->config;
    size_t batches = align_up(pool_mem_needed(c->batch_count, c->batch_bytes));
    size_t scratch = align_up(intake_scratch_bytes(&p->shared.limits));
    size_t intake_bytes = align_up(intake_mem_needed(&p->shared));
    p->memory = malloc(batches + scratch + c->max_transfers * intake_bytes);
    if (!p->memory)
        return gv_fail(err, GV_FULL, "no memory for %u batches", c->batch_count);
    pool_init(&p->pool, p->memory, c->batch_count, c->batch_bytes);
    p->shared.scratch = gv_buf_of(p->memory + batches, scratch);
    for (unsigned i = 0; i < c->max_transfers; i++) {
        lane *l = &p->lanes[i];
        l->number = i;
        intake_init(&l->in, &p->shared, p->memory + batches + scratch + i * intake_bytes,
                    intake_bytes);
    }
    return GV_OK;
}

gv_status pipeline_open(const pipeline_config *config, const plat_clock *clock, pipeline **out,
                        gv_error *err)
{
    assert(config->max_transfers >= 1 && config->max_transfers <= SOURCE_TRANSFERS_MAX);
    assert(config->batch_bytes >= PIPELINE_BATCH_BYTES_MIN);
    pipeline *p = calloc(1, sizeof *p);
    void *codec_memory = malloc(CODEC_ARENA_BYTES);
    if (!p || !codec_memory) {
        free(p);
        free(codec_memory);
        return gv_fail(err, GV_FULL, "no memory for the pipeline");
    }
    *p = (pipeline){ .config = *config, .clock = clock, .codec_memory = codec_memory };
    gv_arena arena;
    gv_arena_init(&arena, codec_memory, CODEC_ARENA_BYTES);
    gv_status st = build_codec(p, &arena, err);
    if (st == GV_OK) {
        p->shared = (intake_shared){ .auction_plan = p->plan,
                                     .auction_fingerprint = p->auction.fingerprint,
                                     .reject_fingerprint = p->reject.fingerprint,
                                     .limits = limits_for(config->batch_bytes),
                                     .pool = &p->pool,
                                     .submit = submit,
                                     .ctx = p };
        st = choose_batches(p, err);
    }
    if (st == GV_OK)
        st = give_memory(p, err);
    if (st == GV_OK)
        *out = p;
    else
        pipeline_close(p);
    return st;
}

source_events pipeline_source_events(pipeline *p)
{
    return (source_events){ on_open, on_data, on_end, p };
}

outlet_events pipeline_outlet_events(pipeline *p)
{
    return (outlet_events){ on_done, on_room, is_in_use, patience_ends, on_hold, p };
}

batch_pool *pipeline_pool(pipeline *p)
{
    return &p->pool;
}

void pipeline_attach(pipeline *p, source *s, outlet *o)
{
    p->source = s;
    p->outlet = o;
}

uint64_t pipeline_fingerprint(const pipeline *p, batch_kind kind)
{
    return kind == BATCH_AUCTIONS  ? p->auction.fingerprint
           : kind == BATCH_REJECTS ? p->reject.fingerprint
                                   : 0;
}

const char *pipeline_record_name(const pipeline *p, batch_kind kind)
{
    return (kind == BATCH_REJECTS ? &p->reject : &p->auction)->root->full_name;
}

size_t pipeline_memory_bytes(const pipeline *p)
{
    return fixed_bytes(p) + pool_mem_needed(p->config.batch_count, p->config.batch_bytes);
}

const pipeline_counts *pipeline_state(const pipeline *p)
{
    return &p->counts;
}

void pipeline_close(pipeline *p)
{
    if (!p)
        return;
    free(p->memory);
    free(p->codec_memory);
    free(p);
}
