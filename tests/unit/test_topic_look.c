#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/ota/topic_look.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/http_double.h"
#include "tests/doubles/kafka_mock.h"
#include "tests/doubles/log_double.h"

#include <time.h>

#define TOPIC "gavel.config"

static kafka_mock mock;
static plat_clock wall;
static disk_double *disk;
static plat_fs fs;
static http_client *http;
static updater *u;
static topic_look *look;
static log_double said;
static const char *const groups[] = { "attic" };
static const bundle_recipient board = { .device = "board", .groups = groups, .group_count = 1 };

static void delivered(void *ctx, void *opaque, bool acked, kafka_failure failure,
                      const char *reason)
{
    (void)ctx, (void)opaque, (void)acked, (void)failure, (void)reason;
}

static void produce(const char *key, const char *value)
{
    const kafka_config config = { .brokers = mock.brokers, .client_id = "owner" };
    const kafka_producer_events events = { .delivered = delivered };
    kafka_producer *p;
    gv_error err = { 0, "" };
    assert_int_equal(kafka_producer_open(&config, NULL, &events, &p, &err), GV_OK);
    assert_int_equal(kafka_produce(p, TOPIC, gv_span_str(key), gv_span_str(value), 0, NULL, &err),
                     GV_OK);
    assert_int_equal(kafka_producer_flush(p, 30000), GV_OK);
    kafka_producer_close(p);
}

static int setup(void **state)
{
    const updater_config updates = { .recipient = board, .poll_ms = 60000, .trial_ms = 60000 };
    (void)state;
    log_double_open(&said);
    mock = kafka_mock_open(1);
    kafka_mock_topic(&mock, TOPIC, 1);
    wall = plat_clock_system(0);
    disk = disk_double_new(1 << 20);
    fs = disk_double_table(disk);
    http = http_open(NULL, &wall, 1, "test", NULL);
    assert_int_equal(updater_open(&fs, &wall, "state", &u, NULL), GV_OK);
    updater_start(u, &updates, http);
    const topic_look_config config = { .kafka = { .brokers = mock.brokers, .client_id = "board" },
                                       .topic = TOPIC,
                                       .recipient = &board,
                                       .poll_ms = 500 };
    assert_int_equal(topic_look_open(&config, &wall, &look, NULL), GV_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    topic_look_close(look);
    updater_close(u);
    http_close(http);
    disk_double_free(disk);
    kafka_mock_close(&mock);
    log_double_close(&said);
    return 0;
}

static uint64_t refused(void)
{
    return updater_state(u)->refused[BUNDLE_BROKEN];
}

/* Until so many bundles were refused, as the loop would. */
static void look_until(uint64_t count)
{
    const struct timespec moment = { 0, 5 * 1000 * 1000 };
    uint64_t end_ms = plat_mono_ms(&wall) + 60000;
    while (refused() < count && plat_mono_ms(&wall) < end_ms) {
        topic_look_tick(look, u);
        nanosleep(&moment, NULL);
    }
    assert_int_equal(refused(), count);
}

static void only_records_for_this_board_are_handed_on_at_every_look(void **state)
{
    (void)state;
    produce("device/cellar", "not ours");
    produce("group/kitchen", "not ours either");
    produce("device/board", "ours");
    produce("group/attic", "our group's");
    look_until(2);
    produce("all", "everybody's");
    look_until(3); /* by another look, which finds the others again */
    assert_int_equal(log_double_count(&said, "an update is not taken"), 3);
}

static void look_that_ends_while_the_broker_is_away_blocks_for_no_longer_than_seconds(void **state)
{
    (void)state;
    produce("all", "everybody's");
    look_until(1);
    kafka_mock_down(&mock);
    uint64_t before_ms = plat_mono_ms(&wall);
    topic_look_close(look);
    look = NULL;
    assert_true(plat_mono_ms(&wall) - before_ms < 5000);
    print_message("closed after %llu ms\n", (unsigned long long)(plat_mono_ms(&wall) - before_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_records_for_this_board_are_handed_on_at_every_look,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            look_that_ends_while_the_broker_is_away_blocks_for_no_longer_than_seconds, setup,
            teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
