/* What breaks a snapshot, stopping, and sizes: every batch comes back, and nothing half is proved. */
#include "tests/unit/pipeline_world.h"

#include <stdio.h>
#include <stdlib.h>

/* --- what breaks a snapshot ------------------------------------------------------------------- */

/* Nothing proves it, no cursor moves, all batches are back; later, whole, it goes through. */
static void expect_broken_then_whole(world_realm *r, body_spec whole, const char *words)
{
    schedule_random chance = seeded(6);
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->broken, 1);
    assert_int_equal(world_counts()->snapshots, 0);
    assert_int_equal(world_count(BATCH_LEDGER), 0);
    assert_false(world_has_cursor(604));
    assert_false(source_busy(w.source));
    if (log_double_count(&w.said, words) == 0)
        fail_msg("not said: %s", words);
    forwarder_double_forget(w.forwarder);
    world_serve(r, whole);
    world_pass_time(1000);
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 1);
    world_expect_proved(r);
    assert_true(world_has_cursor(604));
}

static void body_that_breaks_half_way_is_never_proved(void **state)
{
    static const gv_status ends[] = { GV_OK, GV_CORRUPT, GV_IO, GV_FULL };
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 700, .reject_every = 4 };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        world_realm *r = world_add(spec);
        r->how.end = ends[i];
        r->cut_at = r->len * 2 / 3;
        r->spoiled = 1;
        disk_double_wipe(w.disk);
        world_open();
        expect_broken_then_whole(r, spec, ends[i] == GV_OK ? "ends too early" : "cut off");
        world_close();
        free(r->text);
        memset(r, 0, sizeof *r);
        w.realm_count = 0;
    }
}

static void malformed_body_is_never_proved(void **state)
{
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 300 };
    world_realm *r = world_add(spec);
    r->text[r->len / 2] = '\1';
    world_open();
    expect_broken_then_whole(r, spec, "not JSON at byte");
}

static void empty_body_is_broken(void **state)
{
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 30 };
    world_realm *r = world_add(spec);
    r->len = 0;
    world_open();
    expect_broken_then_whole(r, spec, "the document is empty");
    assert_int_equal(world_counts()->broken, 1);
}

static void body_without_auctions_is_broken(void **state)
{
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 30 };
    world_realm *r = world_add(spec);
    memcpy(strstr(r->text, "\"auctions\""), "\"actions_\"", 10);
    world_open();
    expect_broken_then_whole(r, spec, "no array");
}

static void body_of_another_realm_forwards_nothing(void **state)
{
    static const body_realm wheres[] = { REALM_FIRST, REALM_LAST, REALM_NEVER, REALM_NO_LINK };
    (void)state;
    const body_spec right = { .realm = 604, .rows = 300 };
    for (size_t i = 0; i < sizeof wheres / sizeof wheres[0]; i++) {
        schedule_random chance = seeded(7);
        body_spec wrong = right;
        wrong.realm = 605;
        wrong.where = wheres[i];
        world_realm *r = world_add(right);
        world_serve(r, wrong);
        disk_double_wipe(w.disk);
        world_open();
        world_acknowledge_all(&chance);
        assert_int_equal(forwarder_double_count(w.forwarder), 0);
        expect_broken_then_whole(r, right, "connected realm");
        world_close();
        free(r->text);
        memset(r, 0, sizeof *r);
        w.realm_count = 0;
    }
}

static void realm_after_the_auctions_is_looked_at_then_forwarded(void **state)
{
    (void)state;
    schedule_random chance = seeded(8);
    world_realm *r =
        world_add((body_spec){ .realm = 604, .where = REALM_LAST, .rows = 500, .reject_every = 5 });
    world_open();
    world_acknowledge_all(&chance);
    assert_int_equal(r->asked, 2);
    world_expect_proved(r);
    assert_int_equal(world_counts()->snapshots, 1);
    assert_int_equal(world_counts()->broken, 0);
    assert_int_equal(pipeline_state(w.pipeline)->records, 400); /* not twice */
    assert_int_equal(pipeline_state(w.pipeline)->rejects, 100);
}

static void refused_record_breaks_its_snapshot(void **state)
{
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 50 };
    world_realm *r = world_add(spec);
    world_open();
    world_settle();
    assert_int_equal(forwarder_double_held(w.forwarder), 1);
    forwarder_double_release(w.forwarder, 0, 1);
    expect_broken_then_whole(r, spec, "the broker refused 1 record");
}

static void refused_ledger_entry_breaks_its_snapshot(void **state)
{
    (void)state;
    schedule_random chance = seeded(9);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 50 });
    world_open();
    world_settle();
    forwarder_double_release(w.forwarder, 0, 0);
    world_settle();
    forwarder_double_release(w.forwarder, 0, 1);
    world_settle();
    assert_int_equal(world_counts()->broken, 1);
    assert_false(world_has_cursor(604));
    assert_int_equal(log_double_count(&w.said, "refused the ledger entry"), 1);
    forwarder_double_forget(w.forwarder);
    world_pass_time(1000);
    world_acknowledge_all(&chance);
    world_expect_proved(r);
}

static void one_broken_snapshot_does_not_touch_the_others(void **state)
{
    (void)state;
    schedule_random chance = seeded(10);
    for (uint32_t realm = 1; realm <= 8; realm++)
        world_add((body_spec){ .realm = realm, .rows = 200, .reject_every = 6 });
    w.realms[2].cut_at = w.realms[2].len / 2;
    w.realms[2].spoiled = 1000;
    w.realms[5].text[w.realms[5].len - 1] = ']';
    world_open();
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 6);
    assert_int_equal(world_counts()->broken, 2);
    assert_int_equal(world_count(BATCH_LEDGER), 6);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(world_has_cursor((uint32_t)i + 1), i != 2 && i != 5);
        if (i != 2 && i != 5)
            world_expect_proved(&w.realms[i]);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* After any number of steps: every batch comes back, no lane stays, and what is proved is whole. */
static void stopping_at_any_moment_returns_every_batch(void **state)
{
    (void)state;
    for (unsigned moment = 0; moment < 120; moment++) {
        schedule_random chance = seeded(100 + moment);
        for (uint32_t realm = 1; realm <= 5; realm++) {
            world_realm *r = world_add((body_spec){
                .realm = realm, .rows = 60 + 20 * realm, .reject_every = 4, .long_every = 3 });
            r->how.chunk_bytes = 700;
            r->how.chunk_seed = moment + 1;
        }
        disk_double_wipe(w.disk);
        world_open();
        http_double_pace(w.http, 1);
        for (unsigned i = 0; i < moment; i++) {
            size_t held = forwarder_double_held(w.forwarder);
            http_tick(w.http);
            source_tick(w.source);
            pipeline_tick(w.pipeline);
            if (held > 0 && schedule_below(&chance, 3) == 0)
                forwarder_double_release(w.forwarder, (size_t)schedule_below(&chance, held), 0);
        }
        source_stop(w.source);
        world_acknowledge_all(&chance);
        assert_false(source_busy(w.source));
        assert_int_equal(http_double_active(w.http), 0);
        assert_int_equal(world_count(BATCH_LEDGER), world_counts()->snapshots);
        for (uint32_t realm = 1; realm <= 5; realm++)
            if (world_has_cursor(realm))
                world_expect_proved(&w.realms[realm - 1]);
        world_close();
        for (size_t i = 0; i < 5; i++)
            free(w.realms[i].text);
        memset(w.realms, 0, sizeof w.realms);
        w.realm_count = 0;
    }
}

/* --- sizes ------------------------------------------------------------------------------------ */

static gv_status try_open(gv_error *err)
{
    *err = (gv_error){ 0, "" };
    gv_status st = pipeline_open(&w.config, &w.clock, &w.pipeline, err);
    if (st != GV_OK)
        assert_null(w.pipeline);
    return st;
}

static void memory_stays_within_its_part_of_the_budget(void **state)
{
    (void)state;
    gv_error err;
    unsigned opened = 0, refused = 0;
    w.config.batch_count = 0;
    for (size_t kib = 128; kib <= 8192; kib += 128)
        for (size_t batch_kib = 16; batch_kib <= 1024; batch_kib *= 2) {
            w.config.memory_bytes = kib * 1024;
            w.config.batch_bytes = batch_kib * 1024;
            if (try_open(&err) != GV_OK) {
                refused++;
                assert_non_null(strstr(err.text, "raise memory.budget_kib"));
                continue;
            }
            opened++;
            assert_true(pipeline_memory_bytes(w.pipeline) <= w.config.memory_bytes);
            pipeline_close(w.pipeline);
            w.pipeline = NULL;
        }
    assert_true(opened > 100 && refused > 50);
}

static void budget_of_the_pipeline_that_is_too_small_is_refused_with_words(void **state)
{
    (void)state;
    gv_error err;
    w.config.batch_count = 0;
    w.config.memory_bytes = 100 * 1024;
    assert_int_equal(try_open(&err), GV_FULL);
    assert_non_null(strstr(err.text, "do not fit"));
    w.config.memory_bytes = 4u << 20;
    w.config.batch_count = 64;
    w.config.batch_bytes = 128 * 1024;
    assert_int_equal(try_open(&err), GV_FULL);
    assert_non_null(strstr(err.text, "64 batches of 128 KiB do not fit"));
}

static void fewer_batches_than_needed_are_refused_as_such(void **state)
{
    (void)state;
    gv_error err;
    w.config.batch_count = PIPELINE_BATCHES_MIN - 1;
    assert_int_equal(try_open(&err), GV_INVAL);
    assert_non_null(strstr(err.text, "memory.batches is 3"));
    assert_non_null(strstr(err.text, "at least 4"));
}

static void schema_that_does_not_suit_is_refused_with_words(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "\"long\"",
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}",
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"}]}",
    };
    (void)state;
    gv_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        w.config.auction_schema = gv_span_str(bad[i]);
        assert_int_equal(try_open(&err), GV_INVAL);
        assert_true(err.text[0] != '\0');
    }
}

/* Such as a row of invalid bytes, each of which becomes three. */
static void row_that_grows_beyond_a_batch_is_a_reject_not_a_broken_snapshot(void **state)
{
    (void)state;
    schedule_random chance = seeded(11);
    static char text[160 * 1024];
    world_realm *r = world_add((body_spec){ .realm = 0, .where = REALM_NEVER });
    size_t n = (size_t)sprintf(text, "{\"auctions\":[{\"id\":1,\"item\":{\"id\":2},\"quantity\":1,"
                                     "\"note\":\"");
    memset(text + n, 0xff, 14000); /* three times as many in Avro */
    n += 14000;
    n += (size_t)sprintf(text + n, "\"},{\"id\":3,\"item\":{\"id\":2},\"quantity\":1,\"note\":\"");
    memset(text + n, 0xff, 2000);
    n += 2000;
    n += (size_t)sprintf(text + n, "\"},{\"id\":4,\"note\":\"");
    memset(text + n, 'x', 70000); /* longer than is kept of it */
    n += 70000;
    n += (size_t)sprintf(text + n, "\"}]}");
    free(r->text);
    r->text = memcpy(malloc(n), text, n);
    r->len = n;
    for (size_t kib = PIPELINE_BATCH_BYTES_MIN / 1024; kib <= 128; kib *= 2) {
        w.config.batch_bytes = kib * 1024;
        disk_double_wipe(w.disk);
        world_open();
        world_acknowledge_all(&chance);
        assert_int_equal(world_counts()->snapshots, 1);
        assert_int_equal(pipeline_state(w.pipeline)->records, 1);
        assert_int_equal(pipeline_state(w.pipeline)->rejects, 2);
        assert_int_equal(pipeline_state(w.pipeline)->replaced_utf8, 2000);
        assert_int_equal(pipeline_state(w.pipeline)->unknown_members, 1);
        world_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(body_that_breaks_half_way_is_never_proved),
        TEST(malformed_body_is_never_proved),
        TEST(empty_body_is_broken),
        TEST(body_without_auctions_is_broken),
        TEST(body_of_another_realm_forwards_nothing),
        TEST(realm_after_the_auctions_is_looked_at_then_forwarded),
        TEST(refused_record_breaks_its_snapshot),
        TEST(refused_ledger_entry_breaks_its_snapshot),
        TEST(one_broken_snapshot_does_not_touch_the_others),
        TEST(stopping_at_any_moment_returns_every_batch),
        TEST(memory_stays_within_its_part_of_the_budget),
        TEST(budget_of_the_pipeline_that_is_too_small_is_refused_with_words),
        TEST(fewer_batches_than_needed_are_refused_as_such),
        TEST(schema_that_does_not_suit_is_refused_with_words),
        TEST(row_that_grows_beyond_a_batch_is_a_reject_not_a_broken_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
