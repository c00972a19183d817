/* When is asked, with which conditions, and when a snapshot counts as fetched. */
#include "tests/unit/source_world.h"

/* --- conditional requests and cursors --------------------------------------------------------- */

static void first_start_asks_without_conditions(void **state)
{
    (void)state;
    open_source();
    run_for(SECOND);
    const http_call *call = call_of("/auctions", 0);
    assert_string_equal(call->url, "https://eu.api.example/data/wow/connected-realm/604/auctions"
                                   "?namespace=dynamic-eu");
    assert_string_equal(call->method, "GET");
    assert_string_equal(http_call_header(call, "Authorization"), "Bearer T1");
    assert_null(http_call_header(call, "If-Modified-Since"));
    assert_null(http_call_header(call, "If-None-Match"));
    assert_true(call->accept_gzip);
    assert_int_equal(call->max_body_bytes, w.config.max_body_bytes);
    assert_int_equal(counts()->snapshots, 1);
}

static void restart_asks_with_both_conditions_and_takes_no_for_an_answer(void **state)
{
    (void)state;
    save_cursor(1404174601, "\\\"abc\\\"");
    w.published = 1404174601;
    open_source();
    run_for(SECOND);
    const http_call *call = call_of("/auctions", 0);
    assert_string_equal(http_call_header(call, "If-Modified-Since"),
                        "Tue, 01 Jul 2014 00:30:01 GMT");
    assert_string_equal(http_call_header(call, "If-None-Match"), "\"abc\"");
    assert_int_equal(counts()->not_modified, 1);
    assert_int_equal(w.opened, 0);
    assert_int_equal(w.disk->renames, 0);
}

static void dates_are_written_as_http_wants_them(void **state)
{
    static const int64_t times[] = { 1,          86399,      951782400,  1078012800, 1230767999,
                                     1456704000, 1704067199, 2147483648, 4102444800, 32503679999 };
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char text[64];
        save_cursor(times[i], "");
        date_text(times[i], text, sizeof text);
        open_source();
        run_for(SECOND);
        const http_call *call = call_of("/auctions", calls_of("/auctions") - 1);
        assert_string_equal(http_call_header(call, "If-Modified-Since"), text);
        assert_null(http_call_header(call, "If-None-Match"));
        close_source();
    }
}

static void cursor_is_written_once_a_snapshot_and_only_when_it_is_safe(void **state)
{
    (void)state;
    w.hourly = true;
    w.config.schedule.late_poll_min_ms = 30 * SECOND;
    open_source();
    run_for(24 * HOUR);
    assert_in_range(counts()->snapshots, 24, 25);
    assert_int_equal(w.disk->renames, counts()->snapshots);
    size_t before = http_double_calls(w.http);
    close_source();
    open_source(); /* a restart continues where it was */
    run_for(SECOND);
    assert_int_equal(counts()->not_modified, 1);
    assert_int_equal(http_double_calls(w.http) - before, 2); /* token and one question */
    char text[64];
    date_text(w.published, text, sizeof text);
    assert_string_equal(http_call_header(http_double_call(w.http, before + 1), "If-Modified-Since"),
                        text);
    assert_string_equal(http_call_header(http_double_call(w.http, before + 1), "If-None-Match"),
                        "\"e1\"");
}

static void broken_snapshot_moves_no_cursor(void **state)
{
    (void)state;
    w.outcome = SETTLE_BROKEN;
    open_source();
    run_for(20 * SECOND);
    assert_true(counts()->broken >= 3);
    assert_int_equal(counts()->snapshots, 0);
    assert_int_equal(w.disk->renames, 0);
    w.outcome = SETTLE_SAFE;
    run_for(HOUR);
    assert_int_equal(w.disk->renames, 1);
}

static void damaged_cursor_costs_a_fetch_and_is_set_aside(void **state)
{
    (void)state;
    static const char cut_off[] = "{\"version\":1,";
    gv_span kept;
    disk_double_put(w.disk, CURSOR_604, cut_off, strlen(cut_off));
    open_source();
    run_for(SECOND);
    assert_null(http_call_header(call_of("/auctions", 0), "If-Modified-Since"));
    assert_int_equal(counts()->snapshots, 1);
    assert_true(disk_double_look(w.disk, CURSOR_604 ".damaged", &kept));
}

static void cursor_that_cannot_be_saved_is_named_and_fetching_goes_on(void **state)
{
    (void)state;
    w.hourly = true;
    w.hold = true;
    open_source();
    run_for(SECOND);
    w.disk->fail_at = w.disk->operations + 1;
    settle(0, SETTLE_SAFE);
    assert_int_equal(log_double_count(&w.said, "cursor not saved"), 1);
    w.hold = false;
    run_for(HOUR);
    assert_int_equal(counts()->snapshots, 2);
    assert_int_equal(w.disk->renames, 1);
}

static void unchanged_body_is_not_read(void **state)
{
    (void)state;
    save_cursor(EPOCH, "");
    once(&w.auctions, snapshot_of(EPOCH));     /* the same, from a server that ignores conditions */
    once(&w.auctions, snapshot_of(EPOCH - 1)); /* an older one, from a cache */
    open_source();
    run_for(2 * HOUR);
    assert_int_equal(call_of("/auctions", 0)->body_sent, 0);
    assert_int_equal(call_of("/auctions", 1)->body_sent, 0);
    assert_int_equal(w.opened, 0);
    uint64_t not_modified = counts()->not_modified;
    assert_true(not_modified >= 2);
    assert_int_equal(counts()->failures, 0);
    always(&w.auctions, status_only(500)); /* which is no "not modified" */
    run_for(HOUR);
    assert_int_equal(counts()->not_modified, not_modified);
    assert_true(counts()->failures > 0);
}

static void answer_without_last_modified_is_not_taken(void **state)
{
    (void)state;
    once(&w.auctions, snapshot_of(-1));
    open_source();
    run_for(100);
    assert_int_equal(w.opened, 0);
    assert_int_equal(counts()->failures, 1);
    assert_int_equal(log_double_count(&w.said, "no Last-Modified"), 1);
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 1);
}

/* Else no later snapshot would ever be newer. RFC 9110 8.8.2.1 forbids servers to send such. */
static void last_modified_from_the_future_is_not_taken(void **state)
{
    (void)state;
    once(&w.auctions, snapshot_of(EPOCH + 10 * 365 * 86400));
    open_source();
    run_for(100);
    assert_int_equal(w.opened, 0);
    assert_int_equal(counts()->failures, 1);
    assert_int_equal(log_double_count(&w.said, "future"), 1);
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, 1);
}

/* --- the schedule ----------------------------------------------------------------------------- */

static void schedule_follows_the_server_whatever_the_wall_clock_says(void **state)
{
    static const int64_t walls[] = { 0, INT64_C(4102444800000), INT64_C(1404174601000) };
    (void)state;
    for (size_t i = 0; i < sizeof walls / sizeof walls[0]; i++) {
        size_t before = calls_of("/auctions");
        w.now = (clock_double){ START_MS, walls[i] };
        w.clock = clock_double_table(&w.now);
        w.hourly = true;
        disk_double_wipe(w.disk);
        open_source();
        run_for(3 * DAY);
        assert_int_equal(counts()->snapshots, 73); /* the one that was there, and 72 new ones */
        assert_int_equal(calls_of("/auctions") - before, 73);
        for (size_t k = 1; k < 73; k++)
            assert_in_range(call_of("/auctions", before + k)->at_ms, k * HOUR,
                            k * HOUR + 16 * SECOND); /* jitter, and a Date in whole seconds */
        close_source();
    }
}

/* A broker that was away for 40 minutes does not move the next question by 40 minutes. */
static void schedule_is_aligned_however_long_a_snapshot_took(void **state)
{
    (void)state;
    w.hourly = true;
    w.hold = true;
    open_source();
    run_for(40 * MINUTE);
    settle(0, SETTLE_SAFE);
    w.hold = false;
    run_for(HOUR);
    assert_int_equal(calls_of("/auctions"), 2);
    assert_in_range(call_of("/auctions", 1)->at_ms, HOUR, HOUR + 16 * SECOND);
}

static void late_snapshot_is_polled_for_at_growing_intervals(void **state)
{
    static const uint64_t waits[] = { 30, 60, 120, 240, 480, 600, 600, 600 };
    (void)state;
    w.published = EPOCH;
    open_source();
    run_for(3 * HOUR - START_MS);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        assert_int_equal(call_of("/auctions", i + 2)->at_ms - call_of("/auctions", i + 1)->at_ms,
                         waits[i] * SECOND);
    w.published = server_time();
    uint64_t published_ms = w.now.mono_ms;
    run_for(10 * MINUTE);
    assert_int_equal(counts()->snapshots, 2);
    size_t n = calls_of("/auctions");
    run_for(HOUR);
    assert_in_range(call_of("/auctions", n)->at_ms, published_ms + HOUR,
                    published_ms + HOUR + 15 * SECOND);
}

static void stale_data_is_warned_of_once_and_taken_back(void **state)
{
    (void)state;
    open_source();
    run_for(3 * HOUR - START_MS);
    assert_int_equal(log_double_count(&w.said, "data is stale"), 0);
    run_for(2 * SECOND);
    assert_int_equal(log_double_count(&w.said, "data is stale"), 1);
    assert_int_equal(counts()->feeds_stale, 1);
    run_for(24 * HOUR);
    assert_int_equal(log_double_count(&w.said, "data is stale"), 1);
    assert_int_equal(counts()->feeds_stale, 1);
    w.published = server_time();
    run_for(10 * MINUTE);
    assert_int_equal(counts()->feeds_stale, 0);
    always(&w.auctions, status_only(500)); /* no answer at all makes it stale, too */
    run_for(4 * HOUR);
    assert_int_equal(log_double_count(&w.said, "data is stale"), 2);
    assert_int_equal(counts()->feeds_stale, 1);
}

static void time_floor_follows_cursor_snapshot_and_server(void **state)
{
    (void)state;
    w.now.wall_ms = 0; /* 1970: a board without a battery */
    save_cursor(EPOCH - 7200, "");
    open_source();
    assert_int_equal(plat_wall_ms(&w.clock), INT64_C(1000) * (EPOCH - 7200));
    once(&w.auctions, snapshot_of(EPOCH));
    w.auctions.answers[0].reply.date = -1;
    run_for(0);
    assert_int_equal(counts()->snapshots, 1);
    assert_int_equal(plat_wall_ms(&w.clock), INT64_C(1000) * EPOCH);
    once(&w.auctions, status_only(304));
    run_for(HOUR + 15 * SECOND);
    assert_in_range(plat_wall_ms(&w.clock), INT64_C(1000) * (EPOCH + 3500), INT64_MAX);
}

/* Which realms "all" are is not known before the API has answered, and TLS needs the time for that. */
static void time_floor_is_there_before_the_first_answer_whatever_is_watched(void **state)
{
    static const char other[] =
        "{\"version\":1,\"feed\":\"us/4/2\",\"last_modified\":1404174000,\"etag\":\"\"}";
    static const char damaged[] = "{\"version\":1,\"last_modified\":1504174000";
    (void)state;
    w.now.wall_ms = 0;
    save_cursor(EPOCH - 7200, "");
    disk_double_put(w.disk, "cursors/us-4-2.cursor", other, sizeof other - 1);
    disk_double_put(w.disk, "cursors/us-5-0.cursor", damaged, sizeof damaged - 1);
    disk_double_put(w.disk, "cursors/us-6-0.cursor.damaged", other, sizeof other - 1);
    watch_all();
    open_source();
    assert_int_equal(plat_wall_ms(&w.clock), INT64_C(1404174000000));
    assert_int_equal(calls_of("connected-realm/index"), 0);
}

static void clock_that_is_ahead_is_not_put_back(void **state)
{
    (void)state;
    w.now.wall_ms = INT64_C(4102444800000);
    open_source();
    run_for(SECOND);
    assert_true(plat_wall_ms(&w.clock) >= INT64_C(4102444800000));
}

/* --- holding back ----------------------------------------------------------------------------- */

static void hold_asks_for_nothing_new_and_lets_what_arrives_go_on(void **state)
{
    (void)state;
    w.hourly = true;
    watch_realms(twelve_realms, 12);
    w.hold = true; /* so that the first ones are on their way */
    open_source();
    run_for(SECOND);
    unsigned opened = w.opened;
    assert_true(opened > 0 && opened < 12);
    source_hold(w.source, true);
    w.hold = false;
    for (unsigned i = 0; i < opened; i++)
        settle(i, SETTLE_SAFE);
    run_for(6 * HOUR);
    assert_int_equal(counts()->snapshots, opened);
    assert_int_equal(calls_of("/auctions"), opened);
    source_hold(w.source, false);
    run_for(SECOND);
    assert_int_equal(counts()->snapshots, opened + 12);
}

/* --- looking through first -------------------------------------------------------------------- */

static void body_that_was_only_looked_through_is_fetched_again_at_once(void **state)
{
    (void)state;
    w.look_first = true;
    open_source();
    run_for(0);
    assert_int_equal(calls_of("/auctions"), 2);
    assert_int_equal(w.slots[0].of.realm_verified, EPOCH);
    assert_int_equal(counts()->snapshots, 1);
    assert_int_equal(counts()->broken, 0);
    w.published = EPOCH + 3600; /* the next one is looked through anew */
    run_for(HOUR);
    assert_int_equal(calls_of("/auctions"), 4);
    assert_int_equal(counts()->snapshots, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(first_start_asks_without_conditions),
        TEST(restart_asks_with_both_conditions_and_takes_no_for_an_answer),
        TEST(dates_are_written_as_http_wants_them),
        TEST(cursor_is_written_once_a_snapshot_and_only_when_it_is_safe),
        TEST(broken_snapshot_moves_no_cursor),
        TEST(damaged_cursor_costs_a_fetch_and_is_set_aside),
        TEST(cursor_that_cannot_be_saved_is_named_and_fetching_goes_on),
        TEST(unchanged_body_is_not_read),
        TEST(answer_without_last_modified_is_not_taken),
        TEST(last_modified_from_the_future_is_not_taken),
        TEST(schedule_follows_the_server_whatever_the_wall_clock_says),
        TEST(schedule_is_aligned_however_long_a_snapshot_took),
        TEST(late_snapshot_is_polled_for_at_growing_intervals),
        TEST(stale_data_is_warned_of_once_and_taken_back),
        TEST(time_floor_follows_cursor_snapshot_and_server),
        TEST(time_floor_is_there_before_the_first_answer_whatever_is_watched),
        TEST(clock_that_is_ahead_is_not_put_back),
        TEST(hold_asks_for_nothing_new_and_lets_what_arrives_go_on),
        TEST(body_that_was_only_looked_through_is_fetched_again_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
