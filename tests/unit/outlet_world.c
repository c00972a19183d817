#include "tests/unit/outlet_world.h"

#include <stdio.h>
#include <stdlib.h>

#define TIME_MS INT64_C(1404174601000)

outlet_world w;

/* --- events ----------------------------------------------------------------------------------- */

/* What is called spooled is on the disk. */
static void expect_durable(const batch *b)
{
    for (size_t i = 0; i < the_spool.count; i++) {
        const spooled *item = &the_spool.items[i];
        if (item->state != SPOOLED_PENDING && item->payload.len == b->bytes.len &&
            memcmp(item->payload.data, b->bytes.data, b->bytes.len) == 0)
            return;
    }
    fail_msg("a batch was given back as spooled, and is not");
}

static void on_done(void *ctx, batch *b, uint32_t refused, outlet_fate fate)
{
    (void)ctx;
    assert_ptr_equal(b->owner, &w);
    assert_true(w.live > 0);
    if (fate == OUTLET_SPOOLED)
        expect_durable(b);
    w.live--;
    w.forwarded += fate == OUTLET_FORWARDED;
    w.spooled += fate == OUTLET_SPOOLED;
    w.refused += refused;
    memset(b->bytes.data, 0xEE, b->bytes.cap);
    pool_give(&w.pool, b);
}

static void on_room(void *ctx)
{
    (void)ctx;
    w.rooms++;
}

static bool is_in_use(void *ctx, const snapshot_id *snapshot)
{
    (void)ctx;
    return snapshot->realm == w.in_use;
}

static uint64_t patience(void *ctx, uint64_t limit_ms)
{
    (void)ctx;
    assert_int_equal(limit_ms, w.config.backpressure_ms);
    return w.patience_ms;
}

static void on_hold(void *ctx, bool hold)
{
    (void)ctx;
    assert_true(hold != w.held_back);
    w.held_back = hold;
    w.holds += hold;
}

static void on_forwarder_done(void *ctx, batch *b, uint32_t refused)
{
    (void)ctx;
    outlet_on_batch_done(w.o, b, refused);
}

/* --- life ------------------------------------------------------------------------------------- */

int world_setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    spool_double_reset();
    w.now = (clock_double){ 100000, TIME_MS };
    w.clock = clock_double_table(&w.now);
    w.in_use = NOBODY;
    w.patience_ms = UINT64_MAX;
    log_double_open(&w.said);
    w.config = (outlet_config){
        .clock = &w.clock,
        .enabled = true,
        .dir = "spool",
        .batch_bytes = BATCH_BYTES,
        .after_ms = 5000,
        .backpressure_ms = 30000,
        .commit_ms = 200,
        .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
        .topic = "auctions.raw",
        .device = "attic",
    };
    return 0;
}

void world_open(uint32_t batches)
{
    gv_error err = { 0, "" };
    const outlet_events events = { on_done, on_room, is_in_use, patience, on_hold, NULL };
    w.memory = malloc(pool_mem_needed(batches, BATCH_BYTES));
    pool_init(&w.pool, w.memory, batches, BATCH_BYTES);
    if (!w.f)
        w.f = forwarder_double_open(on_forwarder_done, NULL);
    forwarder_double_clock(w.f, &w.clock);
    if (outlet_open(&w.config, &w.pool, w.f, &events, &w.o, &err) != GV_OK)
        fail_msg("%s", err.text);
}

void world_close(void)
{
    outlet_close(w.o);
    forwarder_double_close(w.f);
    free(w.memory);
    w.o = NULL;
    w.f = NULL;
    w.memory = NULL;
}

int world_teardown(void **state)
{
    (void)state;
    world_close();
    spool_double_reset();
    log_double_close(&w.said);
    return 0;
}

/* --- what happens ----------------------------------------------------------------------------- */

bool give(batch_kind kind, uint32_t realm, uint32_t records)
{
    const snapshot_id id = { "eu", realm, 0, TIME_MS };
    batch *b = pool_take(&w.pool);
    if (!b)
        return false;
    batch_start(b, kind, &id, kind == BATCH_LEDGER ? 0 : 77);
    b->owner = &w;
    for (uint32_t i = 0; i < records; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "record %llu", (unsigned long long)w.next_key);
        assert_true(batch_append(b, w.next_key++, gv_span_of(text, (size_t)len)));
    }
    w.live++;
    outlet_submit(w.o, b);
    return true;
}

void must_give(batch_kind kind, uint32_t realm, uint32_t records)
{
    assert_true(give(kind, realm, records));
}

uint64_t tick(void)
{
    uint64_t due_ms;
    unsigned rounds = 0;
    do {
        assert_true(rounds++ < 1000);
        due_ms = outlet_tick(w.o);
    } while (due_ms <= w.now.mono_ms);
    return due_ms;
}

void pass_time(uint64_t ms)
{
    clock_double_advance(&w.now, ms);
    tick();
}

void stall(void)
{
    tick();
    pass_time(w.config.after_ms);
    assert_true(outlet_state(w.o)->spooling);
}

void release(size_t index)
{
    forwarder_double_release(w.f, index, 0);
}

void release_all(void)
{
    for (tick(); forwarder_double_held(w.f) > 0 || w.live > 0; pass_time(w.config.commit_ms))
        if (forwarder_double_held(w.f) > 0)
            release(0);
}

void expect_all_once(void)
{
    assert_int_equal(forwarder_double_count(w.f), w.next_key);
    for (size_t i = 0; i < w.next_key; i++) {
        const forwarded *f = forwarder_double_record(w.f, i);
        char text[32];
        snprintf(text, sizeof text, "record %llu", (unsigned long long)i);
        assert_int_equal(f->key, i);
        assert_true(gv_span_equal(f->body, gv_span_str(text)));
        assert_int_equal(f->fingerprint, f->kind == BATCH_LEDGER ? 0 : 77);
    }
}
