#include "tests/doubles/spool_double.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct spool {
    int nothing; /* all is in the_spool */
};

spool_double the_spool;
static struct spool handle;

bool spool_snapshot_equal(const spool_snapshot *a, const spool_snapshot *b)
{
    return a->realm == b->realm && a->house == b->house && a->time_ms == b->time_ms &&
           strcmp(a->region, b->region) == 0;
}

void spool_double_reset(void)
{
    for (size_t i = 0; i < the_spool.count; i++)
        free(the_spool.items[i].payload.data);
    free(the_spool.items);
    memset(&the_spool, 0, sizeof the_spool);
}

static size_t count_of(spooled_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < the_spool.count; i++)
        n += the_spool.items[i].state == state;
    return n;
}

size_t spool_double_live(void)
{
    return the_spool.count - count_of(SPOOLED_GONE);
}

size_t spool_mem_needed(const spool_config *config)
{
    return config->segment_bytes < SPOOL_SEGMENT_BYTES_MIN ? SIZE_MAX
                                                           : 1000 + 8 * (size_t)config->window;
}

static void drop_pending(void)
{
    while (the_spool.count > 0 && the_spool.items[the_spool.count - 1].state == SPOOLED_PENDING)
        free(the_spool.items[--the_spool.count].payload.data);
}

gv_status spool_open(const spool_config *config, spool **out, gv_error *err)
{
    the_spool.opens++;
    assert(!the_spool.is_open && config->mem && config->mem_bytes >= spool_mem_needed(config));
    assert(config->window >= 1 && config->window <= SPOOL_WINDOW_MAX);
    if (the_spool.opens_with != GV_OK)
        return gv_fail(err, the_spool.opens_with, "spool is not to be had");
    drop_pending();
    for (size_t i = 0; i < the_spool.count; i++)
        if (the_spool.items[i].state == SPOOLED_READ)
            the_spool.items[i].state = SPOOLED_UNREAD;
    the_spool.config = *config;
    the_spool.is_open = true;
    *out = &handle;
    return GV_OK;
}

void spool_close(spool *s)
{
    assert(s == &handle && the_spool.is_open);
    the_spool.is_open = false;
    the_spool.closes++;
}

static void add(const spool_meta *meta, gv_span payload, spooled_state state)
{
    spooled *items = realloc(the_spool.items, (the_spool.count + 1) * sizeof *items);
    uint8_t *copy = malloc(payload.len ? payload.len : 1);
    assert(items && copy);
    memcpy(copy, payload.data, payload.len);
    the_spool.items = items;
    items[the_spool.count] = (spooled){ .seq = the_spool.count + 1,
                                        .meta = *meta,
                                        .payload = { copy, payload.len, 0 },
                                        .state = state };
    the_spool.count++;
}

static bool strikes(unsigned *bad)
{
    return *bad > 0 && (*bad)-- > 0;
}

gv_status spool_append(spool *s, const spool_meta *meta, gv_span payload, gv_error *err)
{
    assert(s == &handle && payload.len <= the_spool.config.payload_bytes);
    the_spool.appends++;
    if (strikes(&the_spool.bad_appends)) {
        drop_pending();
        return gv_fail(err, GV_IO, "append fails");
    }
    if (the_spool.no_room || (the_spool.capacity > 0 && spool_double_live() >= the_spool.capacity))
        return gv_fail(err, GV_FULL, "no room");
    add(meta, payload, SPOOLED_PENDING);
    return GV_OK;
}

static void commit_all(void)
{
    for (size_t i = 0; i < the_spool.count; i++)
        if (the_spool.items[i].state == SPOOLED_PENDING)
            the_spool.items[i].state = SPOOLED_UNREAD;
}

gv_status spool_commit(spool *s, gv_error *err)
{
    assert(s == &handle && count_of(SPOOLED_PENDING) > 0); /* it costs a sync: not without need */
    the_spool.commits++;
    if (strikes(&the_spool.bad_commits)) {
        drop_pending();
        return gv_fail(err, GV_IO, "commit fails");
    }
    commit_all();
    return GV_OK;
}

gv_status spool_next(spool *s, spool_meta *meta, gv_buf *payload, uint64_t *seq, gv_error *err)
{
    assert(s == &handle && payload->len == 0 && payload->cap >= the_spool.config.payload_bytes);
    if (strikes(&the_spool.bad_reads))
        return gv_fail(err, GV_IO, "read fails");
    if (count_of(SPOOLED_READ) >= the_spool.config.window)
        return GV_AGAIN;
    for (size_t i = 0; i < the_spool.count; i++) {
        spooled *item = &the_spool.items[i];
        if (item->state != SPOOLED_UNREAD)
            continue;
        item->state = SPOOLED_READ;
        *meta = item->meta;
        *seq = item->seq;
        bool fits = gv_buf_put(payload, item->payload.data, item->payload.len);
        assert(fits);
        return GV_OK;
    }
    return GV_AGAIN;
}

void spool_ack(spool *s, uint64_t seq)
{
    assert(s == &handle && seq >= 1 && seq <= the_spool.count);
    assert(the_spool.items[seq - 1].state == SPOOLED_READ);
    the_spool.items[seq - 1].state = SPOOLED_GONE;
    the_spool.state.acked_batches++;
}

uint64_t spool_tick(spool *s)
{
    assert(s == &handle);
    the_spool.ticks++;
    return UINT64_MAX;
}

const spool_state *spool_look(const spool *s)
{
    spool_state *state = &the_spool.state;
    assert(s == &handle);
    state->batches = spool_double_live();
    state->unread = count_of(SPOOLED_UNREAD);
    state->pending = count_of(SPOOLED_PENDING);
    state->window = count_of(SPOOLED_READ);
    state->records = 0;
    for (size_t i = 0; i < the_spool.count; i++)
        if (the_spool.items[i].state != SPOOLED_GONE)
            state->records += the_spool.items[i].meta.records;
    return state;
}

/* The oldest that may go; to thin out, the one after it. */
gv_status spool_choose(spool *s, spool_policy policy,
                       bool (*in_use)(void *ctx, const spool_snapshot *snapshot), void *ctx,
                       spool_victim *out, gv_error *err)
{
    unsigned found = 0, wanted = policy == SPOOL_THIN ? 2 : 1;
    assert(s == &handle);
    the_spool.asked = policy;
    *out = (spool_victim){ 0 };
    for (size_t i = 0; i < the_spool.count; i++) {
        const spooled *item = &the_spool.items[i];
        if (item->state != SPOOLED_UNREAD || item->meta.kind == SPOOL_GAP ||
            in_use(ctx, &item->meta.snapshot))
            continue;
        if (!out->batches || !spool_snapshot_equal(&out->snapshot, &item->meta.snapshot)) {
            if (found == wanted)
                break;
            found++;
            *out = (spool_victim){ .snapshot = item->meta.snapshot, .first_seq = item->seq };
        }
        out->batches++;
        out->last_seq = item->seq;
        out->records += item->meta.kind == SPOOL_AUCTIONS ? item->meta.records : 0;
        out->rejects += item->meta.kind == SPOOL_REJECTS ? item->meta.records : 0;
    }
    return found > 0 ? GV_OK : gv_fail(err, GV_AGAIN, "nothing may go");
}

gv_status spool_drop(spool *s, const spool_victim *victim, gv_span payload, gv_error *err)
{
    const spool_meta gap = { .snapshot = victim->snapshot, .records = 1, .kind = SPOOL_GAP };
    assert(s == &handle);
    if (strikes(&the_spool.bad_commits)) {
        drop_pending();
        return gv_fail(err, GV_IO, "commit fails");
    }
    commit_all();
    add(&gap, payload, SPOOLED_UNREAD);
    for (size_t i = 0; i < the_spool.count; i++) {
        spooled *item = &the_spool.items[i];
        if (item->state == SPOOLED_UNREAD && item->meta.kind != SPOOL_GAP &&
            item->seq <= victim->last_seq &&
            spool_snapshot_equal(&item->meta.snapshot, &victim->snapshot)) {
            item->state = SPOOLED_GONE;
            item->dropped = true;
            the_spool.state.dropped_records += item->meta.records;
        }
    }
    the_spool.state.dropped_snapshots++;
    return GV_OK;
}
