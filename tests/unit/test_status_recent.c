/* The last warnings and errors of the log, as the status page shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/codec/utf8.h"
#include "agent/status/recent.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/log_double.h"

static clock_double now;
static plat_clock the_clock;
static log_double said;
static recent r;

static int setup(void **state)
{
    (void)state;
    now = (clock_double){ 0, 1000000 };
    the_clock = clock_double_table(&now);
    log_double_open(&said);
    recent_init(&r, &the_clock);
    gv_log_observe(recent_observe, &r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gv_log_observe(NULL, NULL);
    log_double_close(&said);
    return 0;
}

static void warnings_and_errors_are_kept_in_words_newest_first(void **state)
{
    (void)state;
    GV_LOG(GV_LOG_WARN, gv_kmsg("snapshot not fetched"), gv_kstr("feed", "eu/604/0"),
           gv_kstr("reason", "HTTP 503"), gv_kuint("failures", 3), gv_kint("next_try_ms", -1));
    GV_LOG(GV_LOG_INFO, gv_kmsg("started"));
    clock_double_advance(&now, 5000);
    GV_LOG(GV_LOG_ERROR, gv_kmsg("too hot"), gv_kstr("now", ""), gv_kstr("advice", "give it air"));
    assert_int_equal(r.count, 2);
    const recent_event *last = recent_look(&r, 0), *first = recent_look(&r, 1);
    assert_string_equal(last->text, "too hot");
    assert_string_equal(last->advice, "give it air");
    assert_int_equal(last->level, GV_LOG_ERROR);
    assert_int_equal(last->at_ms, 1005000);
    assert_string_equal(
        first->text, "snapshot not fetched: HTTP 503; feed eu/604/0 (failures 3, next try ms -1)");
    assert_string_equal(first->advice, "");
    assert_null(recent_look(&r, 2));
    assert_int_equal(log_double_count(&said, "msg="), 3); /* and the log is what it was */
}

static void warnings_are_kept_when_the_log_leaves_them_out(void **state)
{
    (void)state;
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, said.fd);
    GV_LOG(GV_LOG_WARN, gv_kmsg("a warning"));
    GV_LOG(GV_LOG_INFO, gv_kmsg("no warning"));
    assert_int_equal(r.count, 1);
    assert_int_equal(log_double_count(&said, "warning"), 0);
    gv_log_observe(NULL, NULL);
    GV_LOG(GV_LOG_WARN, gv_kmsg("nobody looks"));
    assert_int_equal(r.count, 1);
}

static void what_is_said_again_takes_one_place_with_its_last_time_and_numbers(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 40; i++) {
        clock_double_advance(&now, 1000);
        GV_LOG(GV_LOG_WARN, gv_kmsg("no access token"), gv_kuint("failures", i));
        if (i == 20)
            GV_LOG(GV_LOG_WARN, gv_kmsg("no access token"), gv_kstr("error", "another"));
    }
    assert_int_equal(r.count, 2);
    assert_string_equal(recent_look(&r, 0)->text, "no access token (failures 40)");
    assert_int_equal(recent_look(&r, 0)->times, 40);
    assert_int_equal(recent_look(&r, 0)->at_ms, 1040000);
    assert_int_equal(recent_look(&r, 1)->times, 1);
}

static void oldest_give_way(void **state)
{
    char text[32];
    (void)state;
    for (int i = 0; i < 3 * RECENT_MAX; i++) {
        snprintf(text, sizeof text, "event %d", i);
        GV_LOG(GV_LOG_WARN, gv_kmsg(text));
    }
    assert_int_equal(r.count, RECENT_MAX);
    for (int i = 0; i < RECENT_MAX; i++) {
        snprintf(text, sizeof text, "event %d", 3 * RECENT_MAX - 1 - i);
        assert_string_equal(recent_look(&r, (size_t)i)->text, text);
    }
}

static void long_texts_are_cut_between_characters(void **state)
{
    char text[2000];
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', sizeof text);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        text[sizeof text - 1 - (sizeof text - 1 - shift) % 3] = '\0';
        GV_LOG(GV_LOG_WARN, gv_kmsg(text), gv_kstr("advice", text), gv_kuint("n", 7));
        const recent_event *e = recent_look(&r, 0);
        size_t len = strlen(e->text);
        assert_in_range(len, RECENT_TEXT_MAX - 4, RECENT_TEXT_MAX - 1);
        assert_int_equal(utf8_valid_prefix(gv_span_str(e->text)), len);
        assert_int_equal(utf8_valid_prefix(gv_span_str(e->advice)), strlen(e->advice));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(warnings_and_errors_are_kept_in_words_newest_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(warnings_are_kept_when_the_log_leaves_them_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            what_is_said_again_takes_one_place_with_its_last_time_and_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(oldest_give_way, setup, teardown),
        cmocka_unit_test_setup_teardown(long_texts_are_cut_between_characters, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
