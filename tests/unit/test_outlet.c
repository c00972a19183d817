/* Direct or through the spool: nothing is lost, doubled or out of order on either way or between. */
#include "tests/unit/outlet_world.h"

#include "agent/source/schedule.h"

/* --- direct ----------------------------------------------------------------------------------- */

static void healthy_day_touches_no_disk(void **state)
{
    (void)state;
    world_open(4);
    for (int i = 0; i < 20; i++) {
        must_give(BATCH_AUCTIONS, 1, 3);
        must_give(BATCH_REJECTS, 1, 2);
        pass_time(4000); /* slow, but it goes on */
        release(0);
        pass_time(4000);
        release(0);
    }
    expect_all_once();
    assert_int_equal(w.forwarded, 40);
    assert_int_equal(the_spool.appends + the_spool.commits, 0);
    assert_int_equal(forwarder_double_recalls(w.f), 0);
    assert_int_equal(outlet_state(w.o)->batches_waiting, 0);
}

static void nothing_waits_nothing_is_late(void **state)
{
    (void)state;
    world_open(4);
    must_give(BATCH_AUCTIONS, 1, 3);
    tick();
    release(0);
    assert_true(tick() == UINT64_MAX);
    pass_time(3600000);
    must_give(BATCH_AUCTIONS, 1, 3); /* its time starts now */
    assert_int_equal(tick(), w.now.mono_ms + w.config.after_ms);
    assert_false(outlet_state(w.o)->spooling);
    assert_false(outlet_state(w.o)->stalled);
}

static void without_a_spool_batches_wait_as_before(void **state)
{
    (void)state;
    w.config.enabled = false;
    world_open(4);
    must_give(BATCH_AUCTIONS, 1, 3);
    pass_time(3600000);
    assert_true(outlet_state(w.o)->stalled);
    assert_false(outlet_state(w.o)->spooling);
    assert_null(outlet_spool(w.o));
    assert_int_equal(the_spool.opens, 0);
    release(0);
    expect_all_once();
}

/* --- to the spool ----------------------------------------------------------------------------- */

static void broker_that_acknowledges_nothing_for_so_long_makes_batches_durable(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 3);
    pass_time(2000);
    must_give(BATCH_AUCTIONS, 2, 3);
    pass_time(2999);
    assert_int_equal(forwarder_double_held(w.f), 2);
    assert_int_equal(forwarder_double_recalls(w.f), 0);
    pass_time(1);
    assert_int_equal(forwarder_double_recalls(w.f), 1);
    assert_true(outlet_state(w.o)->spooling);
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 2);
    assert_int_equal(w.live, 0);
    assert_int_equal(outlet_state(w.o)->switches, 1);
    assert_int_equal(outlet_state(w.o)->spooled_records, 6);
    assert_int_equal(log_double_count(&w.said, "batches go to the spool"), 1);
    release_all();
    expect_all_once();
    assert_int_equal(spool_double_live(), 0);
    assert_int_equal(outlet_state(w.o)->drained_records, 6);
}

static void partly_acknowledged_batch_is_spooled_without_its_acknowledged_records(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 10);
    must_give(BATCH_AUCTIONS, 1, 5);
    must_give(BATCH_AUCTIONS, 1, 5);
    tick();
    forwarder_double_acknowledge(w.f, 0, 10); /* all, but not yet given back */
    forwarder_double_acknowledge(w.f, 1, 2);
    stall();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 2);
    assert_int_equal(the_spool.items[0].meta.records, 3);
    assert_int_equal(the_spool.items[1].meta.records, 5);
    release(0);
    assert_int_equal(w.forwarded, 1);
    release_all();
    expect_all_once();
}

static void one_commit_serves_many_batches_and_nobody_waits_long_for_it(void **state)
{
    (void)state;
    world_open(16);
    must_give(BATCH_AUCTIONS, 1, 1);
    stall();
    for (int i = 0; i < 4; i++)
        must_give(BATCH_AUCTIONS, 1, 1);
    assert_int_equal(tick(), w.now.mono_ms + w.config.commit_ms);
    assert_int_equal(w.spooled, 0);
    pass_time(w.config.commit_ms);
    assert_int_equal(the_spool.commits, 1);
    assert_int_equal(w.spooled, 5);
    /* Somebody waits for his snapshot. */
    must_give(BATCH_AUCTIONS, 1, 1);
    outlet_hurry(w.o);
    tick();
    assert_int_equal(the_spool.commits, 2);
    must_give(BATCH_AUCTIONS, 1, 1);
    tick();
    assert_int_equal(the_spool.commits, 2); /* that was for one commit */
    /* A transfer may be waiting for a batch. */
    while (give(BATCH_AUCTIONS, 1, 1))
        ;
    tick();
    assert_int_equal(the_spool.commits, 3);
    assert_int_equal(w.live, 0);
}

static void slow_broker_is_relieved_when_a_transfer_has_waited_too_long(void **state)
{
    (void)state;
    world_open(4);
    must_give(BATCH_AUCTIONS, 1, 1);
    must_give(BATCH_AUCTIONS, 1, 1);
    w.patience_ms = w.now.mono_ms + 1000;
    assert_int_equal(tick(), w.patience_ms);
    release(0); /* it does get on */
    pass_time(999);
    assert_false(outlet_state(w.o)->spooling);
    pass_time(1);
    w.patience_ms = UINT64_MAX;
    assert_int_equal(forwarder_double_recalls(w.f), 1);
    assert_int_equal(log_double_count(&w.said, "waited too long for a slow broker"), 1);
    release_all();
    expect_all_once();
}

static void records_that_were_refused_are_not_forgotten_on_the_way_to_the_spool(void **state)
{
    (void)state;
    world_open(4);
    must_give(BATCH_AUCTIONS, 1, 4);
    tick();
    forwarder_double_acknowledge(w.f, 0, 2);
    ((batch *)(uintptr_t)forwarder_double_batch(w.f, 0))->refused = 1; /* of the two */
    stall();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 1);
    assert_int_equal(w.refused, 1);
}

static void ending_program_spools_at_once_when_no_broker_answers(void **state)
{
    (void)state;
    for (int up = 0; up < 2; up++) {
        world_open(4);
        forwarder_double_status(w.f)->up = up;
        must_give(BATCH_AUCTIONS, 1, 4);
        outlet_hasten(w.o, 1000);
        tick();
        assert_int_equal(w.spooled, !up);
        pass_time(1000);
        assert_int_equal(w.spooled, 1);
        world_close();
        assert_int_equal(the_spool.closes, 1);
        spool_double_reset();
        w.spooled = 0;
    }
}

/* --- and back --------------------------------------------------------------------------------- */

static void window_bounds_what_is_read_and_leaves_arriving_records_their_half(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 1);
    stall();
    for (int i = 0; i < 30; i++) {
        while (give(BATCH_AUCTIONS, 1, 1))
            ;
        pass_time(w.config.commit_ms);
        assert_true(forwarder_double_held(w.f) <= 4);
        assert_true(pool_available(&w.pool) >= 4);
    }
    assert_int_equal(forwarder_double_held(w.f), 4);
    release_all();
    expect_all_once();
}

static void batches_go_direct_behind_the_drained_ones_without_a_pause(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 1);
    stall();
    for (int i = 0; i < 3; i++)
        must_give(BATCH_AUCTIONS, 1, 1);
    pass_time(w.config.commit_ms);
    assert_int_equal(forwarder_double_held(w.f), 4);
    must_give(BATCH_AUCTIONS, 1, 1); /* all is read, but the broker has shown nothing yet */
    tick();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 5);
    assert_true(outlet_state(w.o)->spooling);
    release(0);
    tick();
    assert_false(outlet_state(w.o)->spooling);
    assert_int_equal(forwarder_double_held(w.f), 4); /* they are still on their way */
    must_give(BATCH_AUCTIONS, 1, 1);
    assert_int_equal(forwarder_double_held(w.f), 5);
    assert_int_equal(the_spool.appends, 5);
    release_all();
    expect_all_once();
    assert_int_equal(w.forwarded, 1);
    assert_int_equal(w.pool.free_count, 8);
    assert_int_equal(w.pool.reserved, 0);
    assert_int_equal(log_double_count(&w.said, "straight to the broker again"), 1);
}

/* Their acknowledged entries are known in memory only: to withdraw them would send those twice. */
static void drained_batches_stay_with_the_forwarder_through_another_outage(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 6);
    must_give(BATCH_AUCTIONS, 1, 6);
    stall();
    pass_time(w.config.commit_ms);
    release(0);
    tick();
    assert_false(outlet_state(w.o)->spooling);
    forwarder_double_acknowledge(w.f, 0, 3);
    must_give(BATCH_AUCTIONS, 1, 6);
    stall();
    assert_int_equal(forwarder_double_recalls(w.f), 2);
    assert_int_equal(forwarder_double_batch(w.f, 0)->acked, 3);
    assert_true(forwarder_double_batch(w.f, 0)->spool_seq != 0);
    release_all();
    expect_all_once();
}

static void what_was_left_in_the_spool_goes_before_what_is_new(void **state)
{
    (void)state;
    world_open(8);
    must_give(BATCH_AUCTIONS, 1, 3);
    must_give(BATCH_AUCTIONS, 1, 3);
    stall();
    pass_time(w.config.commit_ms);
    world_close(); /* read, not acknowledged */
    world_open(8);
    assert_true(outlet_state(w.o)->spooling);
    must_give(BATCH_AUCTIONS, 2, 3);
    release_all();
    expect_all_once();
    assert_false(outlet_state(w.o)->spooling);
    assert_int_equal(outlet_state(w.o)->switches, 0);
}

/* --- what proves follows what it proves ------------------------------------------------------- */

static void
ledger_entry_read_from_the_spool_follows_the_acknowledgement_of_its_records(void **state)
{
    (void)state;
    world_open(16);
    must_give(BATCH_AUCTIONS, 1, 3);
    stall();
    must_give(BATCH_REJECTS, 1, 1);
    must_give(BATCH_LEDGER, 1, 1);
    must_give(BATCH_AUCTIONS, 2, 3);
    must_give(BATCH_LEDGER, 2, 1);
    pass_time(w.config.commit_ms);
    /* Both entries wait; the other snapshot's records do not wait for them. */
    assert_int_equal(forwarder_double_held(w.f), 3);
    assert_int_equal(outlet_spool(w.o)->window, 5);
    release(2);
    tick();
    assert_int_equal(forwarder_double_held(w.f), 3);
    assert_int_equal(forwarder_double_batch(w.f, 2)->snapshot.realm, 2);
    assert_int_equal(forwarder_double_batch(w.f, 2)->kind, BATCH_LEDGER);
    release(0);
    tick();
    assert_int_equal(forwarder_double_held(w.f), 2); /* the reject is still missing */
    release(0);
    tick();
    assert_int_equal(forwarder_double_batch(w.f, 1)->kind, BATCH_LEDGER);
    assert_int_equal(forwarder_double_batch(w.f, 1)->snapshot.realm, 1);
    release_all();
    assert_int_equal(spool_double_live(), 0);
}

static void ledger_entry_sent_direct_waits_for_its_drained_records(void **state)
{
    (void)state;
    world_open(16);
    must_give(BATCH_AUCTIONS, 1, 3);
    must_give(BATCH_AUCTIONS, 1, 3);
    stall();
    pass_time(w.config.commit_ms);
    release(0);
    tick();
    assert_false(outlet_state(w.o)->spooling);
    must_give(BATCH_LEDGER, 1, 1); /* its records are all safe, one batch is on its way */
    tick();
    assert_int_equal(forwarder_double_held(w.f), 1);
    assert_int_equal(outlet_state(w.o)->batches_waiting, 1);
    release(0);
    tick();
    assert_int_equal(forwarder_double_held(w.f), 1);
    assert_int_equal(forwarder_double_batch(w.f, 0)->kind, BATCH_LEDGER);
    release_all();
    expect_all_once();
}

static void ledger_entry_that_waits_is_spooled_with_the_others(void **state)
{
    (void)state;
    world_open(16);
    must_give(BATCH_AUCTIONS, 1, 3);
    must_give(BATCH_AUCTIONS, 1, 3);
    stall();
    pass_time(w.config.commit_ms);
    release(0);
    tick();
    must_give(BATCH_LEDGER, 1, 1);
    stall();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 3);
    assert_int_equal(the_spool.items[2].meta.kind, SPOOL_LEDGER);
    release_all();
    expect_all_once();
}

/* --- any order of events ---------------------------------------------------------------------- */

typedef struct {
    schedule_random random;
    bool away;
} weather;

static uint64_t below(weather *c, uint64_t bound)
{
    return schedule_below(&c->random, bound);
}

static void anything(weather *c)
{
    size_t held = forwarder_double_held(w.f);
    switch (below(c, 12)) {
    case 0:
        c->away = !c->away;
        forwarder_double_status(w.f)->up = !c->away;
        break;
    case 1:
        pass_time(below(c, 7000));
        break;
    case 2:
        the_spool.bad_appends = below(c, 8) == 0 ? 1 + (unsigned)below(c, 3) : 0;
        the_spool.bad_commits = below(c, 8) == 0 ? 1 + (unsigned)below(c, 3) : 0;
        the_spool.bad_reads = below(c, 8) == 0 ? 1 : 0;
        the_spool.capacity = below(c, 4) == 0 ? 1 + below(c, 10) : 0;
        break;
    case 3:
        outlet_hurry(w.o);
        break;
    case 4:
    case 5:
    case 6:
        if (!c->away && held > 0) {
            size_t i = (size_t)below(c, held < 2 ? held : 2);
            const batch *b = forwarder_double_batch(w.f, i);
            uint32_t missing = b->records - b->acked;
            if (missing > 1 && below(c, 2)) /* all of them would be the same as a release */
                forwarder_double_acknowledge(w.f, i, 1 + (uint32_t)below(c, missing - 1));
            else
                release(i);
        }
        break;
    default:
        give(BATCH_AUCTIONS, (uint32_t)below(c, 3), 1 + (uint32_t)below(c, 9));
        break;
    }
    outlet_tick(w.o);
}

static void no_schedule_loses_doubles_or_blocks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        weather c = { .away = false };
        schedule_seed(&c.random, seed);
        uint32_t batches = 4 + (uint32_t)below(&c, 5);
        world_open(batches);
        for (int i = 0; i < 400; i++)
            anything(&c);
        forwarder_double_status(w.f)->up = true;
        the_spool.bad_appends = the_spool.bad_commits = the_spool.bad_reads = 0;
        the_spool.capacity = 0;
        for (int i = 0; i < 40; i++) /* past every back-off */
            pass_time(1000);
        release_all();
        assert_int_equal(forwarder_double_count(w.f), w.next_key);
        static uint8_t seen[8192];
        memset(seen, 0, sizeof seen);
        for (size_t i = 0; i < w.next_key; i++)
            assert_int_equal(seen[forwarder_double_record(w.f, i)->key]++, 0);
        assert_int_equal(w.live, 0);
        assert_int_equal(spool_double_live(), 0);
        assert_int_equal(w.pool.free_count, batches);
        assert_false(w.held_back);
        world_close();
        spool_double_reset();
        w.next_key = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(healthy_day_touches_no_disk),
        TEST(nothing_waits_nothing_is_late),
        TEST(without_a_spool_batches_wait_as_before),
        TEST(broker_that_acknowledges_nothing_for_so_long_makes_batches_durable),
        TEST(partly_acknowledged_batch_is_spooled_without_its_acknowledged_records),
        TEST(one_commit_serves_many_batches_and_nobody_waits_long_for_it),
        TEST(slow_broker_is_relieved_when_a_transfer_has_waited_too_long),
        TEST(records_that_were_refused_are_not_forgotten_on_the_way_to_the_spool),
        TEST(ending_program_spools_at_once_when_no_broker_answers),
        TEST(window_bounds_what_is_read_and_leaves_arriving_records_their_half),
        TEST(batches_go_direct_behind_the_drained_ones_without_a_pause),
        TEST(drained_batches_stay_with_the_forwarder_through_another_outage),
        TEST(what_was_left_in_the_spool_goes_before_what_is_new),
        TEST(ledger_entry_read_from_the_spool_follows_the_acknowledgement_of_its_records),
        TEST(ledger_entry_sent_direct_waits_for_its_drained_records),
        TEST(ledger_entry_that_waits_is_spooled_with_the_others),
        TEST(no_schedule_loses_doubles_or_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
