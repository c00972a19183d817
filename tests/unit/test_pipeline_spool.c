/* Snapshots through the spool: safe without a broker, whole when it is back, and nobody waits for ever. */
#include "tests/unit/pipeline_world.h"

#include <stdlib.h>

static void broker(bool up)
{
    forwarder_double_status(w.forwarder)->up = up;
}

/* Until nothing more is to be had without a broker. */
static void wait_for_the_spool(void)
{
    world_settle();
    world_pass_time(w.outlet_config.after_ms);
}

static void snapshot_is_safe_without_a_broker_and_whole_when_it_is_back(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r =
        world_add((body_spec){ .realm = 604, .rows = 1500, .reject_every = 7, .long_every = 2 });
    w.outlet_config.enabled = true; /* and the smallest pool: much smaller than the body */
    world_open();
    broker(false);
    wait_for_the_spool();
    assert_int_equal(world_counts()->snapshots, 1);
    assert_true(world_has_cursor(604));
    assert_int_equal(log_double_count(&w.said, "snapshot spooled"), 1);
    assert_int_equal(log_double_count(&w.said, "snapshot forwarded"), 0);
    assert_int_equal(forwarder_double_status(w.forwarder)->records_acked, 0);
    assert_int_equal(pipeline_state(w.pipeline)->bytes_in, r->len);
    broker(true);
    world_acknowledge_all(&chance);
    world_expect_proved(r);
    assert_int_equal(spool_double_live(), 0);
    assert_false(outlet_state(w.outlet)->spooling);
}

static void restart_goes_on_with_what_was_spooled_and_fetches_nothing_again(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 400, .reject_every = 5 });
    w.outlet_config.enabled = true;
    world_open();
    broker(false);
    wait_for_the_spool();
    world_close();
    world_open();
    world_acknowledge_all(&chance);
    assert_int_equal(world_counts()->snapshots, 0);
    assert_int_equal(world_counts()->not_modified, 1);
    world_expect_proved(r);
    assert_int_equal(spool_double_live(), 0);
}

static void transfer_that_waits_too_long_for_a_slow_broker_goes_to_the_spool(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 1500, .long_every = 2 });
    uint64_t waited_ms = 0;
    w.outlet_config.enabled = true;
    world_open();
    for (world_settle(); !outlet_state(w.outlet)->spooling; waited_ms += 4000) {
        forwarder_double_release(w.forwarder, 0, 0); /* just so that it is not called away */
        world_settle();
        world_pass_time(4000);
    }
    assert_in_range(waited_ms, w.outlet_config.backpressure_ms - 4000,
                    w.outlet_config.backpressure_ms + 4000);
    world_settle();
    assert_int_equal(world_counts()->snapshots, 1);
    world_acknowledge_all(&chance);
    world_expect_proved(r);
}

static void waiting_for_a_full_disk_is_not_called_a_slow_broker(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 1500, .long_every = 2 });
    w.outlet_config.enabled = true;
    the_spool.no_room = true;
    world_open();
    broker(false);
    wait_for_the_spool();
    world_pass_time(3600000);
    broker(true);
    world_settle(); /* nothing could be spooled: the broker gets it */
    for (int i = 0; i < 7; i++) {
        assert_int_equal(outlet_state(w.outlet)->switches, 1);
        forwarder_double_release(w.forwarder, 0, 0);
        world_settle();
        world_pass_time(4000);
    }
    assert_false(outlet_state(w.outlet)->spooling);
    assert_true(source_busy(w.source)); /* it has waited all the time */
    world_acknowledge_all(&chance);
    world_expect_proved(r);
}

static void full_spool_lets_nothing_new_begin_and_what_runs_goes_on(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_add((body_spec){ .realm = 1, .rows = 5 });
    world_realm *large = world_add((body_spec){ .realm = 2, .rows = 900, .long_every = 2 });
    large->how.delay_ms = 10; /* the small one is safe before it fills the spool */
    w.outlet_config.enabled = true;
    the_spool.capacity = 12;
    world_open();
    broker(false);
    wait_for_the_spool();
    world_pass_time(10);
    wait_for_the_spool();
    assert_true(outlet_state(w.outlet)->full);
    assert_int_equal(world_counts()->snapshots, 1);
    uint64_t requests = world_counts()->requests;
    for (int hour = 0; hour < 3; hour++)
        world_pass_time(3600000); /* the small one would be due */
    assert_int_equal(world_counts()->requests, requests);
    assert_int_equal(world_counts()->broken + world_counts()->failures, 0);
    broker(true);
    while (world_counts()->snapshots < 2 || spool_double_live() > 0) {
        world_acknowledge_all(&chance);
        world_pass_time(3000);
    }
    assert_true(world_counts()->requests > requests);
    world_expect_proved(&w.realms[0]);
    world_expect_proved(large);
}

static void snapshot_that_is_arriving_never_gives_way(void **state)
{
    (void)state;
    schedule_random chance = seeded(1);
    world_realm *r = world_add((body_spec){ .realm = 604, .rows = 600, .long_every = 2 });
    w.outlet_config.enabled = true;
    w.outlet_config.policy = OUTLET_DROP_OLDEST;
    the_spool.capacity = 8;
    world_open();
    broker(false);
    wait_for_the_spool();
    assert_true(outlet_state(w.outlet)->full);
    assert_int_equal(outlet_state(w.outlet)->given_up_snapshots, 0);
    broker(true);
    while (world_counts()->snapshots < 1) {
        world_acknowledge_all(&chance);
        world_pass_time(3000);
    }
    world_acknowledge_all(&chance);
    world_expect_proved(r);
}

/* What reading the spool may need is no batch for anybody else: three that stall have all the others. */
static void stalled_transfers_keep_nobody_waiting_while_batches_are_reserved(void **state)
{
    (void)state;
    for (uint32_t realm = 1; realm <= 4; realm++) {
        world_realm *r = world_add((body_spec){
            .realm = realm, .rows = 400, .reject_every = 3, .long_every = realm == 1 ? 2 : 0 });
        r->how.chunk_bytes = 500;
        r->how.delay_ms = realm == 1 ? 0 : 6000;
        r->how.stall_at = realm == 1 ? 35000 : realm < 4 ? 1500 : 0;
    }
    w.config.batch_count = 8;
    w.outlet_config.enabled = true;
    world_open();
    broker(false);
    wait_for_the_spool();
    world_pass_time(900);
    assert_int_equal(outlet_spool(w.outlet)->window, 1);
    assert_int_equal(pipeline_pool(w.pipeline)->reserved, 1);
    world_pass_time(100);
    world_pass_time(1000);
    assert_int_equal(world_counts()->snapshots, 1);
    assert_true(world_has_cursor(4));
}

/* --- any order of events ---------------------------------------------------------------------- */

static void add_realms(schedule_random *chance, uint64_t seed)
{
    size_t count = 2 + (size_t)schedule_below(chance, 7);
    for (size_t i = 0; i < count; i++) {
        world_realm *r =
            world_add((body_spec){ .realm = (uint32_t)i * 5,
                                   .where = i == 0                           ? REALM_NEVER
                                            : schedule_below(chance, 4) == 0 ? REALM_LAST
                                                                             : REALM_FIRST,
                                   .rows = (unsigned)schedule_below(chance, 300),
                                   .reject_every = (unsigned)schedule_below(chance, 5),
                                   .long_every = (unsigned)schedule_below(chance, 4) });
        r->how.chunk_bytes = 1 + (size_t)schedule_below(chance, 9000);
        r->how.chunk_seed = (uint32_t)seed;
    }
}

static void anything(schedule_random *chance, bool *away)
{
    size_t held = forwarder_double_held(w.forwarder);
    switch (schedule_below(chance, 8)) {
    case 0:
        *away = !*away;
        broker(!*away);
        break;
    case 1:
    case 2:
        world_pass_time(schedule_below(chance, 9000));
        break;
    case 3:
        the_spool.capacity = schedule_below(chance, 3) == 0 ? 3 + schedule_below(chance, 20) : 0;
        the_spool.bad_commits = schedule_below(chance, 4) == 0;
        break;
    default:
        if (!*away && held > 0)
            forwarder_double_release(w.forwarder, 0,
                                     0); /* in order, so that order can be asked for */
        break;
    }
    world_settle();
}

/* Four transfers with two open batches each, four batches or a few more, a window that is stuck. */
static void small_pool_never_blocks(void **state)
{
    unsigned switches = 0, holds = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        schedule_random chance = seeded(seed);
        bool away = false;
        w.config.batch_count = PIPELINE_BATCHES_MIN + (uint32_t)schedule_below(&chance, 9);
        w.config.max_transfers = 1 + (unsigned)schedule_below(&chance, 4);
        w.outlet_config.enabled = true;
        add_realms(&chance, seed);
        disk_double_wipe(w.disk);
        world_open();
        http_double_pace(w.http, 1 + (unsigned)schedule_below(&chance, 3));
        for (int i = 0; i < 120; i++) {
            anything(&chance, &away);
            holds += outlet_state(w.outlet)->full;
        }
        broker(true);
        the_spool.capacity = the_spool.bad_commits = 0;
        for (int i = 0; i < 40; i++) { /* past every back-off */
            world_acknowledge_all(&chance);
            world_pass_time(1000);
        }
        switches += (unsigned)outlet_state(w.outlet)->switches;
        assert_int_equal(world_counts()->snapshots, w.realm_count);
        assert_int_equal(world_counts()->broken + world_counts()->failures, 0);
        assert_int_equal(spool_double_live(), 0);
        for (size_t i = 0; i < w.realm_count; i++) {
            world_expect_proved(&w.realms[i]);
            free(w.realms[i].text);
            w.realms[i].text = NULL;
        }
        world_close();
        spool_double_reset();
        w.realm_count = 0;
    }
    assert_true(switches > 100 && holds > 100); /* it was about something */
}

/* The broker never comes back: all that is fetched gets safe all the same. */
static void without_a_broker_every_snapshot_gets_safe_in_the_smallest_pool(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        schedule_random chance = seeded(seed);
        w.config.batch_count = PIPELINE_BATCHES_MIN;
        w.config.max_transfers = 4;
        w.outlet_config.enabled = true;
        add_realms(&chance, seed);
        disk_double_wipe(w.disk);
        world_open();
        broker(false);
        for (int i = 0; i < 4; i++)
            wait_for_the_spool();
        assert_int_equal(world_counts()->snapshots, w.realm_count);
        for (size_t i = 0; i < w.realm_count; i++) {
            free(w.realms[i].text);
            w.realms[i].text = NULL;
        }
        world_close();
        spool_double_reset();
        w.realm_count = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(snapshot_is_safe_without_a_broker_and_whole_when_it_is_back),
        TEST(restart_goes_on_with_what_was_spooled_and_fetches_nothing_again),
        TEST(transfer_that_waits_too_long_for_a_slow_broker_goes_to_the_spool),
        TEST(waiting_for_a_full_disk_is_not_called_a_slow_broker),
        TEST(full_spool_lets_nothing_new_begin_and_what_runs_goes_on),
        TEST(snapshot_that_is_arriving_never_gives_way),
        TEST(stalled_transfers_keep_nobody_waiting_while_batches_are_reserved),
        TEST(small_pool_never_blocks),
        TEST(without_a_broker_every_snapshot_gets_safe_in_the_smallest_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
