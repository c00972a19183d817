/* Disks that fail, are full, or are not there: the outlet loses nothing and comes back by itself. */
#include "tests/unit/outlet_world.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

/* Spooling, with all that is handed in now to be appended. */
static void open_spooling(uint32_t batches)
{
    world_open(batches);
    forwarder_double_status(w.f)->up = false;
    must_give(BATCH_AUCTIONS, 1, 1);
    stall();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 1);
}

/* --- a disk that fails ------------------------------------------------------------------------ */

static void after_a_failed_commit_all_is_appended_again_at_once(void **state)
{
    (void)state;
    open_spooling(16);
    for (int i = 0; i < 3; i++)
        must_give(BATCH_AUCTIONS, 1, 2);
    the_spool.bad_commits = 2;
    tick();
    pass_time(w.config.commit_ms);
    assert_int_equal(the_spool.appends, 1 + 3 + 3); /* once at once, in order */
    assert_int_equal(the_spool.commits, 3);
    assert_int_equal(w.spooled, 1); /* nothing was promised */
    pass_time(1000);
    assert_int_equal(w.spooled, 4);
    assert_int_equal(log_double_count(&w.said, "could not be written"), 2);
    release_all();
    expect_all_once();
}

static void failed_append_takes_those_before_it_along(void **state)
{
    (void)state;
    open_spooling(16);
    must_give(BATCH_AUCTIONS, 1, 2);
    must_give(BATCH_AUCTIONS, 1, 2);
    tick();
    assert_int_equal(the_spool.state.pending, 2);
    the_spool.bad_appends = 1;
    must_give(BATCH_AUCTIONS, 1, 2);
    tick();
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 4);
    release_all();
    expect_all_once();
}

static void disk_that_goes_on_failing_is_asked_ever_more_seldom(void **state)
{
    static const uint64_t waits_ms[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
    (void)state;
    open_spooling(16);
    the_spool.bad_appends = 2 + sizeof waits_ms / sizeof waits_ms[0] - 1;
    must_give(BATCH_AUCTIONS, 1, 2);
    assert_int_equal(tick(), w.now.mono_ms + waits_ms[0]);
    unsigned appends = the_spool.appends;
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        pass_time(waits_ms[i] - 1);
        assert_int_equal(the_spool.appends, appends);
        pass_time(1);
        assert_int_equal(the_spool.appends, ++appends);
    }
    pass_time(w.config.commit_ms);
    assert_int_equal(w.spooled, 2);
    assert_int_equal(log_double_count(&w.said, "can be written again"), 1);
    release_all();
    expect_all_once();
}

static void broker_that_comes_back_helps_a_disk_that_does_not(void **state)
{
    (void)state;
    world_open(8);
    forwarder_double_status(w.f)->up = false;
    the_spool.bad_commits = 1000;
    must_give(BATCH_AUCTIONS, 1, 2);
    must_give(BATCH_AUCTIONS, 1, 2);
    stall();
    pass_time(600000);
    assert_int_equal(w.live, 2);
    assert_int_equal(forwarder_double_held(w.f), 0);
    forwarder_double_status(w.f)->up = true;
    tick();
    assert_int_equal(forwarder_double_held(w.f), 2);
    assert_false(outlet_state(w.o)->spooling);
    release_all();
    expect_all_once();
    assert_int_equal(w.forwarded, 2);
}

static void spool_that_cannot_be_read_for_a_moment_is_read_later(void **state)
{
    (void)state;
    open_spooling(8);
    world_close();
    the_spool.bad_reads = 2;
    world_open(8);
    assert_int_equal(tick(), w.now.mono_ms + 1000);
    pass_time(1000);
    assert_int_equal(forwarder_double_held(w.f), 0);
    pass_time(1999);
    assert_int_equal(forwarder_double_held(w.f), 0);
    pass_time(1);
    assert_int_equal(forwarder_double_held(w.f), 1);
    assert_int_equal(log_double_count(&w.said, "could not be read"), 2);
    release_all();
    expect_all_once();
}

/* --- a full one ------------------------------------------------------------------------------- */

static void full_spool_holds_fetching_back_and_goes_on_by_itself(void **state)
{
    (void)state;
    w.config.policy = OUTLET_PAUSE;
    the_spool.capacity = 3;
    open_spooling(8);
    for (int i = 0; i < 4; i++)
        must_give(BATCH_AUCTIONS, 1, 2);
    tick();
    assert_int_equal(w.spooled, 3); /* what found room is safe */
    assert_true(w.held_back && outlet_state(w.o)->full);
    assert_int_equal(log_double_count(&w.said, "the spool is full"), 1);
    unsigned appends = the_spool.appends;
    pass_time(2999);
    assert_int_equal(the_spool.appends, appends);
    pass_time(1);
    assert_int_equal(the_spool.appends, appends + 1);
    the_spool.capacity = 0; /* somebody made room */
    pass_time(3000);
    pass_time(w.config.commit_ms);
    assert_false(w.held_back || outlet_state(w.o)->full);
    assert_int_equal(w.spooled, 5);
    assert_int_equal(w.holds, 1);
    release_all();
    expect_all_once();
}

static void every_batch_the_broker_takes_makes_room_in_a_full_spool(void **state)
{
    (void)state;
    the_spool.capacity = 3;
    open_spooling(8);
    for (int i = 0; i < 4; i++)
        must_give(BATCH_AUCTIONS, 1, 2);
    tick();
    assert_int_equal(w.live, 2);
    for (uint32_t i = 0; i < 2; i++) {
        release(0);
        outlet_hurry(w.o);
        tick();
        assert_int_equal(w.live, 1 - i);
        assert_int_equal(w.held_back, i == 0);
    }
    release_all();
    expect_all_once();
}

/* Whatever comes free is wanted by arriving records, too, which a full spool would then keep for ever. */
static void arriving_records_cannot_starve_the_reading_of_a_full_spool(void **state)
{
    (void)state;
    for (uint32_t batches = 4; batches <= 12; batches++) {
        open_spooling(batches);
        for (int i = 0; i < 20; i++) {
            must_give(BATCH_AUCTIONS, 1, 1);
            outlet_hurry(w.o);
            tick();
        }
        the_spool.no_room = true;
        while (outlet_spool(w.o)->unread > 0) {
            release(0);
            while (give(BATCH_AUCTIONS, 1, 1)) /* before the outlet can look */
                ;
            tick();
            assert_true(forwarder_double_held(w.f) >= 1);
        }
        forwarder_double_status(w.f)->up = true;
        the_spool.no_room = false;
        release_all();
        expect_all_once();
        world_close();
        spool_double_reset();
        w.next_key = w.spooled = 0;
    }
}

static void disk_without_any_room_leaves_everything_to_the_broker(void **state)
{
    (void)state;
    world_open(8);
    forwarder_double_status(w.f)->up = false;
    must_give(BATCH_AUCTIONS, 1, 1);
    must_give(BATCH_AUCTIONS, 1, 1);
    the_spool.no_room = true;
    stall();
    assert_true(w.held_back);
    pass_time(600000);
    assert_int_equal(w.live, 2);
    forwarder_double_status(w.f)->up = true;
    tick();
    assert_int_equal(forwarder_double_held(w.f), 2);
    assert_false(w.held_back);
    release_all();
    expect_all_once();
    assert_int_equal(w.forwarded, 2);
}

/* The gap entry's one record. */
static cJSON *gap_of(const spooled *item)
{
    assert_int_equal(item->meta.kind, SPOOL_GAP);
    assert_int_equal(item->meta.records, 1);
    cJSON *root = cJSON_ParseWithLength((const char *)item->payload.data + BATCH_ENTRY_OVERHEAD,
                                        item->payload.len - BATCH_ENTRY_OVERHEAD);
    assert_non_null(root);
    return root;
}

static void expect_gap(const spooled *item, const char *snapshot, double records, double rejects)
{
    cJSON *root = gap_of(item);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "snapshot")->valuestring, snapshot);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "state")->valuestring, "gap");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "reason")->valuestring, "quota");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "topic")->valuestring,
                        "auctions.raw");
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "device")->valuestring, "attic");
    assert_true(cJSON_GetObjectItemCaseSensitive(root, "records")->valuedouble == records);
    assert_true(cJSON_GetObjectItemCaseSensitive(root, "rejects")->valuedouble == rejects);
    assert_null(cJSON_GetObjectItemCaseSensitive(root, "digest"));
    cJSON_Delete(root);
}

/* Fills the spool with snapshots of realms 1 (in the window), 2, 3, 4 and leaves realm 5's last batch
 * without room. */
static void overfill(outlet_policy policy)
{
    w.config.policy = policy;
    the_spool.capacity = 9;
    open_spooling(12);
    for (int i = 0; i < 5; i++) /* the rest of the window */
        must_give(BATCH_AUCTIONS, 1, 1);
    outlet_hurry(w.o);
    tick();
    w.in_use = 5;
    must_give(BATCH_AUCTIONS, 2, 7);
    must_give(BATCH_REJECTS, 2, 2);
    must_give(BATCH_AUCTIONS, 3, 5);
    outlet_hurry(w.o);
    tick();
    assert_int_equal(w.live, 0);
    must_give(BATCH_AUCTIONS, 5, 3);
    outlet_hurry(w.o);
    tick();
}

static void oldest_snapshot_gives_way_and_a_gap_entry_tells_of_it(void **state)
{
    (void)state;
    overfill(OUTLET_DROP_OLDEST);
    assert_int_equal(the_spool.asked, SPOOL_DROP_OLDEST);
    assert_int_equal(w.live, 0);
    assert_false(w.held_back);
    assert_true(the_spool.items[6].dropped && the_spool.items[7].dropped);
    assert_false(the_spool.items[8].dropped);
    expect_gap(&the_spool.items[9], "eu/2/0/1404174601", 7, 2);
    assert_int_equal(outlet_state(w.o)->given_up_snapshots, 1);
    assert_int_equal(outlet_state(w.o)->given_up_records, 9);
    assert_int_equal(log_double_count(&w.said, "given up for room"), 1);
    w.in_use = NOBODY;
    release_all();
    /* The entry goes to the ledger's topic; nothing but what was given up is missing. */
    size_t gaps = 0;
    for (size_t i = 0; i < forwarder_double_count(w.f); i++)
        gaps += forwarder_double_record(w.f, i)->kind == BATCH_LEDGER;
    assert_int_equal(gaps, 1);
    assert_int_equal(forwarder_double_count(w.f), w.next_key - 9 + 1);
}

static void thinning_is_the_spools_choice(void **state)
{
    (void)state;
    overfill(OUTLET_THIN);
    assert_int_equal(the_spool.asked, SPOOL_THIN);
    expect_gap(&the_spool.items[9], "eu/3/0/1404174601", 5, 0);
}

static void when_nothing_may_give_way_fetching_waits(void **state)
{
    (void)state;
    w.config.policy = OUTLET_DROP_OLDEST;
    the_spool.capacity = 7;
    open_spooling(12);
    for (int i = 0; i < 5; i++)
        must_give(BATCH_AUCTIONS, 1, 1);
    outlet_hurry(w.o);
    tick();
    w.in_use = 5;
    must_give(BATCH_AUCTIONS, 5, 3);
    must_give(BATCH_AUCTIONS, 5, 3);
    outlet_hurry(w.o);
    tick();
    assert_int_equal(outlet_state(w.o)->given_up_snapshots, 0);
    assert_int_equal(w.live, 1);
    assert_true(w.held_back);
    release_all();
    expect_all_once();
}

static void gap_entry_that_cannot_be_written_drops_nothing(void **state)
{
    (void)state;
    w.config.policy = OUTLET_DROP_OLDEST;
    the_spool.capacity = 7;
    open_spooling(12);
    for (int i = 0; i < 5; i++)
        must_give(BATCH_AUCTIONS, 1, 1);
    must_give(BATCH_AUCTIONS, 2, 4);
    outlet_hurry(w.o);
    tick();
    must_give(BATCH_AUCTIONS, 3, 3);
    the_spool.bad_commits = 2;
    tick();
    assert_int_equal(outlet_state(w.o)->given_up_snapshots, 0);
    assert_int_equal(the_spool.state.dropped_snapshots, 0);
    pass_time(1000);
    assert_int_equal(outlet_state(w.o)->given_up_snapshots, 1);
}

/* --- one that is not there -------------------------------------------------------------------- */

static void spool_that_cannot_be_opened_keeps_nothing_from_going(void **state)
{
    static const gv_status why[] = { GV_IO, GV_AGAIN, GV_FULL };
    (void)state;
    for (size_t i = 0; i < sizeof why / sizeof why[0]; i++) {
        the_spool.opens_with = why[i];
        world_open(4);
        must_give(BATCH_AUCTIONS, 1, 2);
        assert_int_equal(tick(), w.now.mono_ms + 30000);
        release(0);
        must_give(BATCH_AUCTIONS, 1, 2);
        pass_time(29999);
        assert_int_equal(the_spool.opens, 1);
        assert_false(outlet_state(w.o)->spooling);
        pass_time(30001);
        assert_int_equal(the_spool.opens, 2);
        assert_int_equal(log_double_count(&w.said, "no spool"), i + 1); /* said once */
        the_spool.opens_with = GV_OK;
        pass_time(30000);
        pass_time(w.config.commit_ms);
        assert_int_equal(w.spooled, 1); /* it has waited long enough */
        release_all();
        expect_all_once();
        world_close();
        spool_double_reset();
        w.next_key = w.spooled = 0;
    }
}

static void configuration_that_no_spool_can_have_is_refused_with_words(void **state)
{
    (void)state;
    gv_error err = { 0, "" };
    const outlet_events none = { 0 };
    outlet *o = NULL;
    w.config.segment_bytes = 1;
    assert_int_equal(outlet_open(&w.config, &w.pool, NULL, &none, &o, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "spool.segment_kib"));
    assert_null(o);
}

/* --- what comes out of it --------------------------------------------------------------------- */

static void refused_records_of_a_spooled_batch_are_told(void **state)
{
    (void)state;
    open_spooling(8);
    must_give(BATCH_AUCTIONS, 1, 5);
    outlet_hurry(w.o);
    tick();
    forwarder_double_release(w.f, 1, 2);
    tick();
    assert_int_equal(outlet_state(w.o)->refused, 2);
    assert_int_equal(log_double_count(&w.said, "refused and will be missing\" sequence=2"), 1);
    assert_int_equal(outlet_state(w.o)->drained_records, 3);
}

static void payload_that_makes_no_sense_counts_as_refused_and_holds_nobody_up(void **state)
{
    static const size_t lengths[] = { 0, 3, BATCH_ENTRY_OVERHEAD };
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        open_spooling(8);
        must_give(BATCH_AUCTIONS, 1, 5);
        outlet_hurry(w.o);
        tick();
        world_close();
        the_spool.items[0].payload.len = lengths[i];
        world_open(8);
        tick();
        assert_int_equal(forwarder_double_held(w.f), 1);
        assert_int_equal(outlet_state(w.o)->refused, 1);
        assert_int_equal(log_double_count(&w.said, "makes no sense and will be missing"), i + 1);
        release_all();
        assert_int_equal(forwarder_double_count(w.f), 5);
        assert_int_equal(spool_double_live(), 0);
        world_close();
        spool_double_reset();
        w.spooled = 0;
    }
}

static void more_or_fewer_records_than_promised_are_not_believed(void **state)
{
    (void)state;
    open_spooling(8);
    world_close();
    the_spool.items[0].meta.records = 2;
    world_open(8);
    tick();
    assert_int_equal(forwarder_double_held(w.f), 0);
    assert_int_equal(outlet_state(w.o)->refused, 2);
}

static void events_of_the_spool_are_told_in_words(void **state)
{
    (void)state;
    world_open(4);
    for (int kind = SPOOL_TORN; kind <= SPOOL_SHED; kind++) {
        const spool_event event = { (spool_event_kind)kind, 7, 9, 12, "a-file", "a reason" };
        the_spool.config.event(the_spool.config.ctx, &event);
    }
    assert_int_equal(log_double_count(&w.said, "file=a-file first=7 last=9 records=12"), 5);
    assert_int_equal(log_double_count(&w.said, "level=info msg=\"spool: what a power cut left"), 1);
    assert_int_equal(log_double_count(&w.said, "level=error msg=\"spool: batches cannot be read"),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_a_failed_commit_all_is_appended_again_at_once),
        TEST(failed_append_takes_those_before_it_along),
        TEST(disk_that_goes_on_failing_is_asked_ever_more_seldom),
        TEST(broker_that_comes_back_helps_a_disk_that_does_not),
        TEST(spool_that_cannot_be_read_for_a_moment_is_read_later),
        TEST(full_spool_holds_fetching_back_and_goes_on_by_itself),
        TEST(every_batch_the_broker_takes_makes_room_in_a_full_spool),
        TEST(arriving_records_cannot_starve_the_reading_of_a_full_spool),
        TEST(disk_without_any_room_leaves_everything_to_the_broker),
        TEST(oldest_snapshot_gives_way_and_a_gap_entry_tells_of_it),
        TEST(thinning_is_the_spools_choice),
        TEST(when_nothing_may_give_way_fetching_waits),
        TEST(gap_entry_that_cannot_be_written_drops_nothing),
        TEST(spool_that_cannot_be_opened_keeps_nothing_from_going),
        TEST(configuration_that_no_spool_can_have_is_refused_with_words),
        TEST(refused_records_of_a_spooled_batch_are_told),
        TEST(payload_that_makes_no_sense_counts_as_refused_and_holds_nobody_up),
        TEST(more_or_fewer_records_than_promised_are_not_believed),
        TEST(events_of_the_spool_are_told_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
