#include "agent/pipeline/pipeline_internal.h"

#include <assert.h>
#include <stdlib.h>

#define CODEC_ARENA_BYTES (96u * 1024u) /* two schemas and a plan; checked when they are read */
#define RECORD_BYTES_MAX  (32u * 1024u) /* real ones are below 1 KiB; a longer one is a reject */

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
                                     .submit = pipeline_submit,
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

batch_pool *pipeline_pool(pipeline *p)
{
    return &p->pool;
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
