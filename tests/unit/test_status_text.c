/* `gavel status` tells on a terminal what /status.json says, and lets nothing of it harm the terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "agent/codec/utf8.h"
#include "agent/status/status_text.h"
#include "tests/unit/status_world.h"

static status_world world;
static uint8_t json[STATUS_TEXT_BYTES(WORLD_FEEDS_MAX)];
static char shown[1024 * 1024];
static status_state state_shown;

static const char *text_of(gv_span of, bool colours, size_t cap)
{
    gv_buf out = gv_buf_of(shown, cap);
    gv_error err = { 0, "" };
    assert_int_equal(status_text(of, colours, &out, &state_shown, &err), GV_OK);
    shown[out.len] = '\0';
    return shown;
}

static const char *show(bool colours)
{
    gv_buf out = gv_buf_of(json, sizeof json);
    assert_int_equal(status_json(&world.facts, &out), GV_OK);
    return text_of(gv_span_of(json, out.len), colours, sizeof shown - 1);
}

static void has(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void outage_says_what_is_wrong_since_when_and_what_to_do(void **state)
{
    (void)state;
    status_world_outage(&world);
    const char *text = show(false);
    assert_int_equal(state_shown, STATUS_OUTAGE);
    has(text, "gavel 0.1.0 on attic: outage\n");
    has(text, "ERROR    nothing gets to Kafka: no broker answers at 192.168.1.10:9092: connection "
              "refused (for 5 h 0 min)\n");
    has(text, "see whether the broker runs");
    has(text, "WARNING  the spool is more than 80 % full");
    has(text, "1709211 records, 447.0 of 512 MiB, the oldest of 5 h 15 min ago\n");
    has(text, "2 h 32 min      58110         61 s  stale: HTTP 503: the API is in trouble\n");
    has(text, "(5 times)\n");
    assert_null(strchr(text, '\x1b'));
}

static void healthy_board_is_ok_and_its_lines_end_where_they_end(void **state)
{
    (void)state;
    status_world_healthy(&world);
    const char *text = show(false);
    assert_int_equal(state_shown, STATUS_OK);
    has(text, ": ok\n");
    has(text, "board      Raspberry Pi 3 Model B Plus Rev 1.3, 48.3 C; clock: synchronised\n");
    has(text, "config     the board's own file\n");
    assert_null(strstr(text, " \n"));
    assert_null(strstr(text, "WARNING"));
}

static void refused_update_is_told_with_its_reason(void **state)
{
    (void)state;
    status_world_update_failed(&world);
    const char *text = show(false);
    assert_int_equal(state_shown, STATUS_ATTENTION);
    has(text, "config     version 7, by an update; version 8: refused, version 8 is signed by");
}

static void colours_are_there_only_when_asked_for(void **state)
{
    (void)state;
    status_world_outage(&world);
    has(show(true), "\x1b[1;31moutage\x1b[0m");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    status_world_feeds(&world, 2);
    status_world_hostile(&world, "x\x1b]0;owned\x07\x1b[2J\xc2\x9b"
                                 "31m\r\n\xff\x80z");
    const char *text = show(false);
    for (const char *p = text; *p; p++) {
        assert_true((unsigned char)*p >= 0x20 || *p == '\n');
        assert_false((unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0);
    }
    has(text, "on x?]0;owned??[2J?31m??");
}

static void other_versions_members_are_passed_over(void **state)
{
    static const char odd[] = "{\"state\":\"attention\",\"uptime_s\":\"long\",\"feeds\":[null,{}],"
                              "\"spool\":[],\"conditions\":[7,{\"severity\":1}],\"fresh\":{}}";
    (void)state;
    has(text_of(gv_span_str(odd), false, 4096), "attention\n");
    assert_int_equal(state_shown, STATUS_ATTENTION);
}

static void columns_are_cut_between_characters(void **state)
{
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        char of[512], euros[3 * 30 + 1] = "";
        for (int i = 0; i < 30; i++)
            strcat(euros, "\xe2\x82\xac");
        snprintf(of, sizeof of,
                 "{\"state\":\"ok\",\"feeds\":[{\"name\":\"%.*s%s\",\"snapshot_at\":\"%.*s%s\"}]}",
                 shift, "xx", euros, shift, "xx", euros);
        const char *text = text_of(gv_span_str(of), false, 4096);
        assert_int_equal(utf8_valid_prefix(gv_span_str(text)), strlen(text));
        has(text, "\xe2\x82\xac ");
    }
}

static void figures_that_cannot_be_are_shown_somehow(void **state)
{
    (void)state;
    static const char odd[] =
        "{\"state\":\"ok\",\"uptime_s\":1e999,\"feeds\":["
        "{\"snapshot_age_s\":-1e999,\"next_fetch_s\":1e300,\"records\":1e300}]}";
    has(text_of(gv_span_str(odd), false, 8192), "up for 11574074 d 1 h\n");
}

static void what_is_no_status_is_refused_with_words(void **state)
{
    static const char *const texts[] = {
        "", "<html>", "[]", "{}", "{\"state\":\"fine\"}", "{\"state\":\"ok\""
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        gv_buf out = gv_buf_of(shown, sizeof shown);
        gv_error err = { 0, "" };
        assert_int_equal(status_text(gv_span_str(texts[i]), false, &out, &state_shown, &err),
                         GV_INVAL);
        assert_string_equal(err.text, "the answer is no status of gavel");
    }
}

static void text_without_room_ends_at_a_whole_line(void **state)
{
    (void)state;
    status_world_outage(&world);
    size_t len = strlen(show(false));
    gv_buf out = gv_buf_of(json, sizeof json);
    assert_int_equal(status_json(&world.facts, &out), GV_OK);
    for (size_t cap = 0; cap < len; cap += 7) {
        const char *text = text_of(gv_span_of(json, out.len), false, cap);
        assert_true(text[0] == '\0' || text[strlen(text) - 1] == '\n');
    }
}

static void address_to_ask_follows_the_one_listened_on(void **state)
{
    static const char *const pairs[][2] = {
        { "127.0.0.1:9180", "http://127.0.0.1:9180/status.json" },
        { "[::]:80", "http://[::1]:80/status.json" },
        { "0.0.0.0:9180", "http://127.0.0.1:9180/status.json" },
        { "[fe80::1]:9180", "http://[fe80::1]:9180/status.json" },
        { "attic.local:9180", "http://attic.local:9180/status.json" },
    };
    static const char *const none[] = {
        "", ":9180", "127.0.0.1", "127.0.0.1:0", "a:99999", "a:9x"
    };
    char url[STATUS_URL_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_true(status_url(pairs[i][0], url));
        assert_string_equal(url, pairs[i][1]);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(status_url(none[i], url));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outage_says_what_is_wrong_since_when_and_what_to_do),
        cmocka_unit_test(healthy_board_is_ok_and_its_lines_end_where_they_end),
        cmocka_unit_test(refused_update_is_told_with_its_reason),
        cmocka_unit_test(colours_are_there_only_when_asked_for),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(other_versions_members_are_passed_over),
        cmocka_unit_test(columns_are_cut_between_characters),
        cmocka_unit_test(figures_that_cannot_be_are_shown_somehow),
        cmocka_unit_test(what_is_no_status_is_refused_with_words),
        cmocka_unit_test(text_without_room_ends_at_a_whole_line),
        cmocka_unit_test(address_to_ask_follows_the_one_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
