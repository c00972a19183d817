/* When a snapshot counts as safe, and that nothing is lost, doubled or stuck on the way. */
#include "tests/unit/pipeline_world.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* --- the order of proof ----------------------------------------------------------------------- */

static void ledger_follows_the_last_acknowledgement_and_the_cursor_the_ledgers(void **state)
{
    (void)state;
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 100, .reject_every = 9 });
    w.config.batch_count = 16;
    world_open();
    world_settle();
    assert_true(forwarder_double_held(w.forwarder) >= 2);
    while (forwarder_double_held(w.forwarder) > 0) {
        assert_int_equal(world_count(BATCH_LEDGER), 0);
        assert_false(world_has_cursor(604));
        forwarder_double_release(w.forwarder, 0, 0);
        if (forwarder_double_held(w.forwarder) > 0)
            world_settle();
    }
    world_settle();
    assert_int_equal(world_count(BATCH_LEDGER), 1);
    assert_int_equal(forwarder_double_held(w.forwarder), 1);
    assert_int_equal(forwarder_double_batch(w.forwarder, 0)->kind, BATCH_LEDGER);
    assert_int_equal(forwarder_double_batch(w.forwarder, 0)->records, 1);
    world_pass_time(600000);
    assert_false(world_has_cursor(604));
    assert_int_equal(world_counts()->snapshots, 0);
    assert_true(source_busy(w.source));
    forwarder_double_release(w.forwarder, 0, 0);
    world_settle();
    assert_true(world_has_cursor(604));
    assert_int_equal(world_counts()->snapshots, 1);
    assert_int_equal(w.disk->renames, 1);
    assert_false(source_busy(w.source));
    world_expect_proved(r);
    assert_int_equal(log_double_count(&w.said, "snapshot forwarded"), 1);
    assert_int_equal(pipeline_state(w.pipeline)->records, 89);
    assert_int_equal(pipeline_state(w.pipeline)->rejects, 11);
    assert_int_equal(pipeline_state(w.pipeline)->bytes_in, r->len);
    source_feed seen;
    source_look(w.source, 0, &seen);
    assert_int_equal(seen.records, 89);
}

static void snapshot_without_rows_is_proved_too(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 0 });
    world_open();
    world_acknowledge_all(&chance);
    world_expect_proved(r);
    assert_true(world_has_cursor(604));
}

static void restart_after_the_cursor_forwards_nothing_again(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_add((body_spec){ .realm = 604, .rows = 20 });
    world_open();
    world_acknowledge_all(&chance);
    world_close();
    world_open();
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->not_modified, 1);
    assert_int_equal(forwarder_double_count(w.forwarder), 0);
}

static void records_are_stamped_by_the_servers_time_however_the_wall_clock_jumps(void **state)
{
    static const int64_t walls[] = { 1, INT64_C(4102444800000), 1, WORLD_TIME_S * 1000, 86400000 };
    (void)state;
    w.now.wall_ms = 0; /* 1970: a board without a battery */
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 900, .reject_every = 7 });
    world_open();
    world_settle();
    for (unsigned i = 0; source_busy(w.source); i++) {
        w.now.wall_ms = walls[i % (sizeof walls / sizeof walls[0])];
        if (forwarder_double_held(w.forwarder) > 0)
            forwarder_double_release(w.forwarder, 0, 0);
        world_pass_time(100);
        assert_true(i < 10000);
    }
    world_expect_proved(r);
    assert_true(world_has_cursor(604));
    assert_int_equal(world_counts()->failures + world_counts()->broken, 0);
}

/* --- back-pressure ---------------------------------------------------------------------------- */

static void snapshot_far_larger_than_the_pool_goes_through_whole(void **state)
{
    (void)state;
    schedule_random chance = seeded(2);
    world_realm *r =
        world_add((body_spec){ .realm = 604, .rows = 1500, .reject_every = 7, .long_every = 2 });
    for (size_t chunk = 1; chunk < 100000; chunk = chunk * 4 + 3) {
        r->how = (http_answer){ .chunk_bytes = chunk, .chunk_seed = (uint32_t)chunk };
        disk_double_wipe(w.disk);
        world_open();
        world_acknowledge_all(&chance);
        world_expect_proved(r);
        assert_true(pipeline_state(w.pipeline)->pauses > 10);
        assert_int_equal(pipeline_state(w.pipeline)->bytes_in, r->len);
        assert_true(world_has_cursor(604));
        world_close();
    }
}

/* Half-full ones would waste the little room there is, just when the broker is slow. */
static void batches_are_handed_over_full(void **state)
{
    (void)state;
    world_add((body_spec){ .realm = 604, .rows = 1500, .reject_every = 12, .long_every = 2 });
    world_open();
    world_settle();
    for (size_t held; (held = forwarder_double_held(w.forwarder)) > 0; world_settle()) {
        const batch *b = forwarder_double_batch(w.forwarder, held - 1);
        if (http_double_active(w.http) > 0)
            assert_true(b->bytes.cap - b->bytes.len < BODY_ROW_MAX);
        forwarder_double_release(w.forwarder, held - 1, 0);
    }
    assert_int_equal(world_counts()->snapshots, 1);
    assert_true(pipeline_state(w.pipeline)->pauses > 10);
}

static void nothing_moves_while_the_broker_is_away(void **state)
{
    (void)state;
    schedule_random chance = seeded(3);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 1000 });
    world_open();
    world_settle();
    uint64_t bytes = pipeline_state(w.pipeline)->bytes_in;
    assert_int_equal(forwarder_double_held(w.forwarder), PIPELINE_BATCHES_MIN);
    assert_true(bytes < r->len);
    world_pass_time(3600000);
    assert_int_equal(pipeline_state(w.pipeline)->bytes_in, bytes);
    assert_int_equal(forwarder_double_held(w.forwarder), PIPELINE_BATCHES_MIN);
    assert_int_equal(world_counts()->failures + world_counts()->broken, 0);
    world_acknowledge_all(&chance);
    world_expect_proved(r);
}

/* Many snapshots, few batches, records and rejects mixed, answers by chance: it always ends. */
static void starving_lanes_never_wait_for_each_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        schedule_random chance = seeded(seed);
        w.config.batch_count = PIPELINE_BATCHES_MIN + (uint32_t)schedule_below(&chance, 3);
        w.config.max_transfers = 1 + (unsigned)schedule_below(&chance, 4);
        size_t count = 2 + (size_t)schedule_below(&chance, 7);
        for (size_t i = 0; i < count; i++) {
            world_realm *r =
                world_add((body_spec){ .realm = (uint32_t)i * 5,
                                       .where = i == 0                            ? REALM_NEVER
                                                : schedule_below(&chance, 4) == 0 ? REALM_LAST
                                                                                  : REALM_FIRST,
                                       .rows = (unsigned)schedule_below(&chance, 300),
                                       .reject_every = (unsigned)schedule_below(&chance, 5),
                                       .long_every = (unsigned)schedule_below(&chance, 4) });
            r->how.chunk_bytes = 1 + (size_t)schedule_below(&chance, 9000);
            r->how.chunk_seed = (uint32_t)seed;
        }
        disk_double_wipe(w.disk);
        world_open();
        http_double_pace(w.http, 1 + (unsigned)schedule_below(&chance, 3));
        world_acknowledge_all(&chance);
        assert_int_equal(world_counts()->snapshots, count);
        assert_int_equal(world_counts()->broken + world_counts()->failures, 0);
        for (size_t i = 0; i < count; i++) {
            world_expect_proved(&w.realms[i]);
            free(w.realms[i].text);
            w.realms[i].text = NULL;
        }
        world_close();
        w.realm_count = 0;
    }
}

/* Two transfers that stall hold all four batches between them, unfinished ones that nobody would ever
 * acknowledge; the others go on all the same. */
static void stalled_transfers_do_not_keep_the_others_waiting(void **state)
{
    (void)state;
    schedule_random chance = seeded(5);
    for (uint32_t realm = 1; realm <= 4; realm++) {
        world_realm *r = world_add((body_spec){ .realm = realm, .rows = 400, .reject_every = 3 });
        r->how.chunk_bytes = 500;
        r->how.stall_at = realm <= 2 ? 1500 : 0;
        r->how.delay_ms = realm <= 2 ? 0 : 1000;
    }
    world_open();
    world_settle();
    assert_int_equal(forwarder_double_count(w.forwarder), 0);
    clock_double_advance(&w.now, 1000);
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 2);
    world_expect_proved(&w.realms[2]);
    world_expect_proved(&w.realms[3]);
    http_double_wake(w.http, GV_OK);
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 4);
    world_expect_proved(&w.realms[0]);
    world_expect_proved(&w.realms[1]);
}

/* --- the sample ------------------------------------------------------------------------------- */

static size_t unpack(const char *path, char *out, size_t cap)
{
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    int n = gzread(file, out, (unsigned)cap);
    assert_true(n > 0 && (size_t)n < cap);
    gzclose(file);
    return (size_t)n;
}

/* cJSON is the witness of what is in the body. */
static void every_auction_of_the_sample_is_forwarded(void **state)
{
    static const struct {
        const char *file;
        uint32_t realm;
    } samples[] = { { "eu-604-20140701T003001Z", 604 }, { "eu-commodities-20140701T013001Z", 0 } };
    (void)state;
    schedule_random chance = seeded(12);
    char *text = malloc(1 << 20), path[512];
    for (size_t i = 0; i < 2; i++) {
        world_realm *r = world_add((body_spec){ .realm = samples[i].realm });
        snprintf(path, sizeof path, GAVEL_SOURCE_DIR "/tests/data/sample/%s.json.gz",
                 samples[i].file);
        r->len = unpack(path, text, 1 << 20);
        free(r->text);
        r->text = memcpy(malloc(r->len), text, r->len);
        r->how.chunk_bytes = 4096;
    }
    world_open();
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 2);
    size_t at[2] = { 0, 0 };
    for (size_t i = 0; i < 2; i++) {
        cJSON *root = cJSON_ParseWithLength(w.realms[i].text, w.realms[i].len);
        const cJSON *row = cJSON_GetObjectItemCaseSensitive(root, "auctions")->child;
        for (; row; row = row->next) {
            const forwarded *f;
            body_fields got;
            do
                f = forwarder_double_record(w.forwarder, at[i]++);
            while (f->kind != BATCH_AUCTIONS || f->snapshot.realm != samples[i].realm);
            body_decode(&w.auction, f->body, &got);
            const cJSON *buyout = cJSON_GetObjectItemCaseSensitive(row, "buyout");
            const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, "item");
            assert_true((double)got.id == cJSON_GetObjectItemCaseSensitive(row, "id")->valuedouble);
            assert_true((double)got.item_id ==
                        cJSON_GetObjectItemCaseSensitive(item, "id")->valuedouble);
            assert_true((double)got.quantity ==
                        cJSON_GetObjectItemCaseSensitive(row, "quantity")->valuedouble);
            assert_true((double)got.buyout == (buyout ? buyout->valuedouble : 0));
            assert_int_equal(got.extras, 0);
        }
        for (; at[i] < forwarder_double_count(w.forwarder); at[i]++) {
            const forwarded *f = forwarder_double_record(w.forwarder, at[i]);
            assert_true(f->kind == BATCH_LEDGER || f->snapshot.realm != samples[i].realm);
        }
        cJSON_Delete(root);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ledger_follows_the_last_acknowledgement_and_the_cursor_the_ledgers),
        TEST(snapshot_without_rows_is_proved_too),
        TEST(restart_after_the_cursor_forwards_nothing_again),
        TEST(records_are_stamped_by_the_servers_time_however_the_wall_clock_jumps),
        TEST(snapshot_far_larger_than_the_pool_goes_through_whole),
        TEST(batches_are_handed_over_full),
        TEST(nothing_moves_while_the_broker_is_away),
        TEST(starving_lanes_never_wait_for_each_other),
        TEST(stalled_transfers_do_not_keep_the_others_waiting),
        TEST(every_auction_of_the_sample_is_forwarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
