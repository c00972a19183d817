#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/ota/updater.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/http_double.h"
#include "tests/doubles/log_double.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_MS  60000u
#define TRIAL_MS 10000u

static disk_double *disk;
static plat_fs fs;
static clock_double now;
static plat_clock clock_table;
static http_client *http;
static log_double said;
static updater *u;
static signature_signer *signer;
static char public_key[SIGNATURE_PUBLIC_SIZE];
static const char *keys[1] = { public_key };
static const char *const groups[] = { "attic" };
static gv_status check_answer;

/* What is published at each place: the bundle of a version, a status of its own, or nothing. */
typedef struct {
    const char *path;
    uint8_t bytes[4096];
    size_t len;
    int status; /* not 0: instead of the bundle */
    int64_t retry_after_s;
} place;

static place places[] = { { .path = "devices/board" },
                          { .path = "groups/attic" },
                          { .path = "all" } };
enum { DEVICE, GROUP, ALL };

static void serve(void *ctx, const http_call *call, http_answer *answer)
{
    (void)ctx;
    *answer = (http_answer){ .reply = { .status = 404, .retry_after_s = -1 } };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        place *p = &places[i];
        char etag[HTTP_ETAG_MAX];
        const char *known = http_call_header(call, "If-None-Match");
        if (!strstr(call->url, p->path) || (p->len == 0 && p->status == 0))
            continue;
        snprintf(etag, sizeof etag, "\"%zu-%02x%02x\"", p->len, p->bytes[60], p->bytes[70]);
        answer->reply.status = p->status ? p->status : known && !strcmp(known, etag) ? 304 : 200;
        answer->reply.retry_after_s = p->retry_after_s ? p->retry_after_s : -1;
        memcpy(answer->reply.etag, etag, sizeof etag);
        answer->body = answer->reply.status == 200 ? gv_span_of(p->bytes, p->len) : (gv_span){ 0 };
        answer->chunk_bytes = 100;
    }
}

static void publish(int where, uint64_t version, const char *config)
{
    gv_error err = { 0, "" };
    gv_buf out = gv_buf_of(places[where].bytes, sizeof places[where].bytes);
    bundle_draft draft = { .version = version,
                           .agent_min = "",
                           .signed_at = "2026-11-27T01:00:00Z",
                           .note = "",
                           .is_for_all = true,
                           .config = gv_span_str(config) };
    if (bundle_seal(&draft, signer, &out, &err) != GV_OK)
        fail_msg("%s", err.text);
    places[where].len = out.len;
}

static gv_status check(void *ctx, gv_span config, gv_error *err)
{
    (void)ctx;
    return config.len > 0 && check_answer == GV_OK
               ? GV_OK
               : gv_fail(err, check_answer, "kafka.broker: there is no such option");
}

static bundle_recipient recipient(void)
{
    return (bundle_recipient){ .keys = keys,
                               .key_count = 1,
                               .device = "board",
                               .groups = groups,
                               .group_count = 1,
                               .agent_version = "0.1.0" };
}

static void start(void)
{
    const updater_config config = { .url = "http://owner.example/boards/",
                                    .recipient = recipient(),
                                    .poll_ms = POLL_MS,
                                    .trial_ms = TRIAL_MS,
                                    .check = check };
    updater_start(u, &config, http);
}

static int setup(void **state)
{
    char pem[SIGNATURE_PEM_MAX];
    (void)state;
    disk = disk_double_new(1 << 20);
    fs = disk_double_table(disk);
    now = (clock_double){ 5000, 1700000000000 };
    clock_table = clock_double_table(&now);
    http = http_open(NULL, &clock_table, 1, "test", NULL);
    http_double_serve(http, serve, NULL);
    log_double_open(&said);
    check_answer = GV_OK;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        places[i] = (place){ .path = places[i].path };
    assert_int_equal(signature_generate(pem, NULL), GV_OK);
    assert_int_equal(signature_signer_open(gv_span_str(pem), &signer, NULL), GV_OK);
    signature_public_key(signer, public_key);
    assert_int_equal(updater_open(&fs, &clock_table, "state", &u, NULL), GV_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    updater_close(u);
    http_close(http);
    signature_signer_close(signer);
    log_double_close(&said);
    disk_double_free(disk);
    return 0;
}

/* Lets so much time pass, with `signs` as what is shown. */
static void pass(uint64_t ms, const trial_signs *signs)
{
    uint64_t end = now.mono_ms + ms;
    for (;;) {
        uint64_t due_ms;
        do {
            due_ms = updater_tick(u, signs);
            http_tick(http);
        } while (updater_tick(u, signs) <= now.mono_ms);
        if (now.mono_ms >= end || updater_wants_restart(u))
            return;
        due_ms = due_ms > end ? end : due_ms > now.mono_ms ? due_ms : now.mono_ms + 1;
        clock_double_advance(&now, due_ms - now.mono_ms);
    }
}

static uint64_t pick(void)
{
    bundle_recipient r = recipient();
    gv_span config;
    bool is_update = updater_pick(u, &r, &config);
    assert_int_equal(is_update, updater_state(u)->running_version != 0);
    return updater_state(u)->running_version;
}

/* The agent stops, and starts with what is to be in force. */
static uint64_t restart(void)
{
    updater_stop(u);
    uint64_t version = pick();
    start();
    return version;
}

/* The power goes, and the agent starts with what is to be in force. */
static uint64_t crash(void)
{
    updater_close(u);
    disk_double_cut(disk, DISK_LOST, 1);
    fs = disk_double_table(disk);
    assert_int_equal(updater_open(&fs, &clock_table, "state", &u, NULL), GV_OK);
    uint64_t version = pick();
    start();
    return version;
}

static const trial_signs well = { .shown = { true, true, true, true, true } };
static const trial_signs no_broker = { .shown = { true, true, false, true, true },
                                       .trouble = { [TRIAL_SIGN_BROKER] = "refused" } };
static const trial_signs nothing = { .shown = { false } };

static void commit(uint64_t version)
{
    publish(ALL, version, "{}");
    pass(POLL_MS * 2, &well);
    assert_true(updater_wants_restart(u));
    assert_int_equal(restart(), version);
    pass(1000, &well);
    assert_int_equal(updater_state(u)->outcome, UPDATE_COMMITTED);
}

static void every_place_is_asked_conditionally_with_jitter_around_the_time(void **state)
{
    (void)state;
    pick();
    start();
    commit(3);
    size_t before = http_double_calls(http);
    pass(POLL_MS * 10, &well);
    size_t looks = (http_double_calls(http) - before) / 3;
    assert_in_range(looks, 9, 11);
    const http_call *last = http_double_call(http, http_double_calls(http) - 1);
    assert_string_equal(last->url, "http://owner.example/boards/all.gavel");
    assert_non_null(http_call_header(last, "If-None-Match"));
    assert_int_equal(last->max_body_bytes, BUNDLE_BYTES_MAX);
    uint64_t first_ms = http_double_call(http, before)->at_ms;
    bool differs = false;
    for (size_t i = 1; i < looks; i++) {
        uint64_t ms = http_double_call(http, before + 3 * i)->at_ms - first_ms;
        assert_in_range(ms, POLL_MS * 9 / 10, POLL_MS * 11 / 10 + 1000);
        differs = differs || ms != POLL_MS;
        first_ms += ms;
    }
    assert_true(differs);
}

static void highest_version_of_all_places_is_tried(void **state)
{
    (void)state;
    publish(DEVICE, 5, "{\"a\":1}");
    publish(GROUP, 9, "{}");
    publish(ALL, 7, "{}");
    pick();
    start();
    pass(POLL_MS, NULL);
    assert_int_equal(restart(), 9);
    assert_int_equal(updater_state(u)->outcome, UPDATE_TRIAL);
}

static void update_that_shows_nothing_is_undone_and_refused_by_the_control_run(void **state)
{
    (void)state;
    pick();
    start();
    commit(1);
    publish(ALL, 2, "{}");
    pass(POLL_MS * 2, &well);
    assert_int_equal(restart(), 2);
    pass(TRIAL_MS - 1000, &no_broker);
    assert_false(updater_wants_restart(u));
    pass(2000, &no_broker);
    assert_true(updater_wants_restart(u));
    assert_int_equal(restart(), 1);
    assert_string_equal(updater_state(u)->reason, "the broker did not answer (refused)");
    pass(1000, &well);
    assert_int_equal(updater_state(u)->outcome, UPDATE_REFUSED);
    assert_int_equal(updater_state(u)->trials_failed, 1);
    assert_string_equal(updater_state(u)->reason, "the broker did not answer (refused)");
    pass(POLL_MS * 3, &well);
    assert_false(updater_wants_restart(u));
    assert_int_equal(crash(), 1);
    pass(POLL_MS * 3, &well); /* it is still published */
    assert_false(updater_wants_restart(u));
}

static void lost_network_postpones_and_three_times_are_enough(void **state)
{
    (void)state;
    pick();
    start();
    commit(1);
    publish(ALL, 2, "{}");
    pass(POLL_MS * 2, &well);
    for (unsigned i = 0; i < TRIAL_POSTPONED_MAX; i++) {
        assert_int_equal(restart(), 2);
        pass(TRIAL_MS + 1000, &nothing);
        assert_int_equal(restart(), 1);
        pass(TRIAL_MS + 1000, &nothing);
        assert_int_equal(updater_state(u)->outcome, UPDATE_POSTPONED);
        assert_false(updater_wants_restart(u));
        pass(1000, &well); /* the network is back */
        assert_true(updater_wants_restart(u));
    }
    assert_int_equal(restart(), 2);
    pass(TRIAL_MS + 1000, &nothing);
    assert_int_equal(restart(), 1);
    pass(TRIAL_MS + 1000, &nothing);
    assert_int_equal(updater_state(u)->outcome, UPDATE_REFUSED);
}

static void crashes_are_counted_and_clean_stops_are_not(void **state)
{
    (void)state;
    pick();
    start();
    publish(ALL, 2, "{}");
    pass(POLL_MS, NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(restart(), 2);
    assert_int_equal(crash(), 2); /* after the first start, which is one */
    assert_int_equal(crash(), 2);
    assert_int_equal(crash(), 0);
    assert_non_null(strstr(updater_state(u)->reason, "ended 3 times"));
    pass(1000, &well);
    assert_int_equal(updater_state(u)->outcome, UPDATE_REFUSED);
}

static void configuration_that_the_board_cannot_take_is_refused_without_a_trial(void **state)
{
    (void)state;
    check_answer = GV_INVAL;
    publish(ALL, 4, "{}");
    pick();
    start();
    pass(POLL_MS * 3, NULL);
    assert_false(updater_wants_restart(u));
    assert_int_equal(updater_state(u)->outcome, UPDATE_REFUSED);
    assert_int_equal(updater_state(u)->refused[BUNDLE_BAD_CONFIG], 1);
    check_answer = GV_OK; /* it is the version that is refused */
    pass(POLL_MS * 3, NULL);
    assert_int_equal(crash(), 0);
    pass(POLL_MS * 3, NULL);
    assert_false(updater_wants_restart(u));
}

static void check_that_cannot_be_made_now_is_made_again(void **state)
{
    (void)state;
    check_answer = GV_IO;
    publish(ALL, 4, "{}");
    pick();
    start();
    pass(POLL_MS, NULL);
    assert_int_equal(updater_state(u)->attempted_version, 0);
    assert_non_null(strstr(updater_state(u)->poll_trouble, "no such option"));
    check_answer = GV_OK;
    pass(POLL_MS * 2, NULL);
    assert_int_equal(restart(), 4);
}

static void forged_bundles_write_nothing_and_are_told_once(void **state)
{
    (void)state;
    pick();
    start();
    commit(3);
    uint64_t written = disk->written_bytes;
    unsigned syncs = disk->syncs;
    publish(ALL, 9, "{}");
    for (int i = 0; i < 3; i++) {
        places[ALL].bytes[places[ALL].len - 2] ^= 1;   /* in the configuration */
        places[ALL].bytes[60] ^= (uint8_t)(1 + i % 2); /* of the signature */
        pass(POLL_MS * 2, &well);
    }
    assert_false(updater_wants_restart(u));
    assert_true(updater_state(u)->refused[BUNDLE_BAD_SIGNATURE] +
                    updater_state(u)->refused[BUNDLE_BROKEN] +
                    updater_state(u)->refused[BUNDLE_BAD_HASH] >
                0);
    unsigned lines = log_double_count(&said, "an update is not taken");
    pass(POLL_MS * 10, &well);
    assert_int_equal(log_double_count(&said, "an update is not taken"), lines);
    assert_int_equal(disk->written_bytes, written);
    assert_int_equal(disk->syncs, syncs);
}

static void failing_server_is_asked_at_growing_intervals(void **state)
{
    (void)state;
    places[DEVICE].status = 503;
    pick();
    start();
    pass(POLL_MS * 40, NULL);
    assert_in_range(http_double_calls(http), 4, 8); /* instead of 40 */
    assert_non_null(strstr(updater_state(u)->poll_trouble, "HTTP 503"));
    assert_int_equal(log_double_count(&said, "no look for updates"), 1);
    places[DEVICE].status = 0;
    pass(POLL_MS * 40, NULL);
    assert_string_equal(updater_state(u)->poll_trouble, "");
}

static void damaged_bundle_of_the_good_version_gives_way_to_the_own_file(void **state)
{
    (void)state;
    pick();
    start();
    commit(3);
    disk_double_flip(disk, "state/config/v3.gavel", 300, 4);
    assert_int_equal(crash(), 0);
    assert_int_equal(log_double_count(&said, "the board's own file is in force"), 1);
    assert_int_equal(updater_state(u)->running_version, 0);
}

static void update_that_does_not_start_goes_back_at_once(void **state)
{
    (void)state;
    pick();
    start();
    commit(1);
    publish(ALL, 2, "{}");
    pass(POLL_MS * 2, &well);
    updater_stop(u);
    assert_int_equal(pick(), 2);
    updater_unusable(u, "memory.budget_kib is 4096");
    assert_int_equal(pick(), 1);
    start();
    pass(1000, &well);
    assert_int_equal(updater_state(u)->outcome, UPDATE_REFUSED);
    assert_string_equal(updater_state(u)->reason, "memory.budget_kib is 4096");
}

static void disk_that_takes_nothing_never_starts_a_trial_that_is_not_counted(void **state)
{
    (void)state;
    pick();
    start();
    publish(ALL, 2, "{}");
    pass(POLL_MS, NULL);
    updater_stop(u);
    disk->fault = DISK_READ_ONLY;
    disk->fail_at = disk->operations + 1;
    assert_int_equal(pick(), 0);
    assert_int_equal(log_double_count(&said, "cannot be written to the disk"), 1);
    disk->fail_at = 0;
    assert_int_equal(pick(), 2);
}

static void wish_of_a_person_is_carried_out_beside_the_running_agent(void **state)
{
    (void)state;
    const store_wish wish = { 3, false };
    pick();
    start();
    commit(2);
    commit(3);
    assert_int_equal(store_wish_put(&fs, "state", &wish, NULL), GV_OK);
    pass(2000, &well);
    assert_false(store_wish_waits(&fs, "state"));
    assert_true(updater_wants_restart(u));
    assert_int_equal(restart(), 2);
    assert_int_equal(store_wish_put(&fs, "state", &wish, NULL), GV_OK); /* once more */
    pass(POLL_MS * 3, &well);
    assert_false(store_wish_waits(&fs, "state"));
    assert_false(updater_wants_restart(u));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_place_is_asked_conditionally_with_jitter_around_the_time),
        TEST(highest_version_of_all_places_is_tried),
        TEST(update_that_shows_nothing_is_undone_and_refused_by_the_control_run),
        TEST(lost_network_postpones_and_three_times_are_enough),
        TEST(crashes_are_counted_and_clean_stops_are_not),
        TEST(configuration_that_the_board_cannot_take_is_refused_without_a_trial),
        TEST(check_that_cannot_be_made_now_is_made_again),
        TEST(forged_bundles_write_nothing_and_are_told_once),
        TEST(failing_server_is_asked_at_growing_intervals),
        TEST(damaged_bundle_of_the_good_version_gives_way_to_the_own_file),
        TEST(update_that_does_not_start_goes_back_at_once),
        TEST(disk_that_takes_nothing_never_starts_a_trial_that_is_not_counted),
        TEST(wish_of_a_person_is_carried_out_beside_the_running_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
