/* Log lines: what they look like, and that no value can break one. */
#include "platform/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

/* The wall clock, instead of the C library's. */
static struct timespec now = { .tv_sec = 1404174601, .tv_nsec = 987654321 };

int clock_gettime(clockid_t id, struct timespec *t)
{
    (void)id;
    *t = now;
    return 0;
}

static char line[8192];
static int pipe_ends[2];

static int open_pipe(void **state)
{
    (void)state;
    unsetenv("JOURNAL_STREAM");
    if (pipe(pipe_ends) != 0)
        return -1;
    return fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
}

static int close_pipe(void **state)
{
    (void)state;
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, 2);
    return 0;
}

/* What was written since the last call, "" for nothing. */
static const char *written(void)
{
    ssize_t len = read(pipe_ends[0], line, sizeof line - 1);

    line[len > 0 ? len : 0] = '\0';
    return line;
}

/* The same without its time stamp, which is checked here. */
static const char *after_time(void)
{
    static const char stamp[] = "ts=2014-07-01T00:30:01.987Z ";

    written();
    assert_memory_equal(line, stamp, sizeof stamp - 1);
    return line + sizeof stamp - 1;
}

static cJSON *json_line(void)
{
    cJSON *json;

    written();
    assert_true(line[0] != '\0' && line[strlen(line) - 1] == '\n');
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    json = cJSON_ParseWithOpts(line, NULL, 1);
    if (!json)
        fail_msg("no JSON: %s", line);
    return json;
}

static const char *member(const cJSON *json, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text ? text : "(none)";
}

static bool is_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int more = *p < 0x80   ? 0
                   : *p < 0xC2 ? -1
                   : *p < 0xE0 ? 1
                   : *p < 0xF0 ? 2
                   : *p < 0xF5 ? 3
                               : -1;
        if (more < 0)
            return false;
        for (p++; more > 0; more--, p++) {
            if ((*p & 0xC0) != 0x80)
                return false;
        }
    }
    return true;
}

static void a_line_is_logfmt(void **state)
{
    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
    GV_LOG(GV_LOG_WARN, gv_kmsg("it is late"), gv_kstr("realm", "eu/604"), gv_kint("n", INT64_MIN),
           gv_kuint("u", UINT64_MAX), gv_kstr("empty", ""), gv_kstr("null", NULL));
    assert_string_equal(after_time(),
                        "level=warn msg=\"it is late\" realm=eu/604 n=-9223372036854775808 "
                        "u=18446744073709551615 empty=\"\" null=\"\"\n");
}

/* From 2038 on 31 bits are too few for a time, from 2106 on 32. */
static void a_line_of_the_next_century_has_its_time(void **state)
{
    const time_t before = now.tv_sec;

    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
    now.tv_sec = (time_t)INT64_C(2211854706);
    GV_LOG(GV_LOG_INFO, gv_kmsg("later"));
    assert_string_equal(written(), "ts=2040-02-03T04:05:06.987Z level=info msg=later\n");
    now.tv_sec = (time_t)INT64_C(4342327872);
    GV_LOG(GV_LOG_INFO, gv_kmsg("later"));
    assert_string_equal(written(), "ts=2107-08-09T10:11:12.987Z level=info msg=later\n");
    now.tv_sec = before;
}

static void a_line_is_json_on_request(void **state)
{
    cJSON *json;

    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_JSON, pipe_ends[1]);
    GV_LOG(GV_LOG_ERROR, gv_kmsg("a \"b\" \\ c\n\td\x01\x7f"), gv_kuint("u", UINT64_MAX),
           gv_kint("n", -5));
    json = json_line();
    assert_string_equal(member(json, "level"), "error");
    assert_string_equal(member(json, "msg"), "a \"b\" \\ c\n\td\x01\x7f");
    assert_string_equal(member(json, "ts"), "2014-07-01T00:30:01.987Z");
    assert_non_null(strstr(line, "\"u\":18446744073709551615,\"n\":-5}"));
    cJSON_Delete(json);
}

static void no_value_breaks_a_logfmt_line(void **state)
{
    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
    GV_LOG(GV_LOG_INFO, gv_kstr("a", "x\ny level=error"), gv_kstr("b", "say \"hi\""),
           gv_kstr("c", "back\\slash"), gv_kstr("d", "k=v"), gv_kstr("e", "\x1b[2J"));
    assert_string_equal(after_time(), "level=info a=\"x\\ny level=error\" b=\"say \\\"hi\\\"\" "
                                      "c=\"back\\\\slash\" d=\"k=v\" e=\"\\u001b[2J\"\n");
}

static void levels_above_the_chosen_one_are_dropped(void **state)
{
    gv_log_level level = GV_LOG_ERROR;

    (void)state;
    for (gv_log_level chosen = GV_LOG_ERROR; chosen <= GV_LOG_DEBUG; chosen++) {
        gv_log_configure(chosen, GV_LOG_LOGFMT, pipe_ends[1]);
        for (gv_log_level l = GV_LOG_ERROR; l <= GV_LOG_DEBUG; l++) {
            GV_LOG(l, gv_kmsg("x"));
            assert_int_equal(written()[0] != '\0', l <= chosen);
            assert_int_equal(gv_log_enabled(l), l <= chosen);
        }
    }
    assert_true(gv_log_level_parse("debug", &level) && level == GV_LOG_DEBUG);
    assert_true(gv_log_level_parse("warn", &level) && level == GV_LOG_WARN);
    assert_false(gv_log_level_parse("loud", &level));
    assert_int_equal(level, GV_LOG_WARN);
}

static void under_systemd_a_priority_replaces_the_time(void **state)
{
    static const char *const starts[] = { "<3>level=error", "<4>level=warn", "<6>level=info",
                                          "<7>level=debug" };
    (void)state;
    setenv("JOURNAL_STREAM", "8:1", 1);
    gv_log_configure(GV_LOG_DEBUG, GV_LOG_LOGFMT, pipe_ends[1]);
    for (gv_log_level l = GV_LOG_ERROR; l <= GV_LOG_DEBUG; l++) {
        GV_LOG(l, gv_kmsg("x"));
        assert_memory_equal(written(), starts[l], strlen(starts[l]));
    }
    unsetenv("JOURNAL_STREAM");
}

/* A line with a long value of `unit`s, then more pairs. Returns its length. */
static size_t log_long(const char *unit, size_t times, gv_log_format format)
{
    char value[4096];
    size_t len = strlen(unit), used = 0;

    while (times-- > 0 && used + len < sizeof value) {
        memcpy(value + used, unit, len);
        used += len;
    }
    value[used] = '\0';
    gv_log_configure(GV_LOG_INFO, format, pipe_ends[1]);
    GV_LOG(GV_LOG_INFO, gv_kmsg("x"), gv_kstr("value", value), gv_kstr("after", value),
           gv_kint("number", 123456789), gv_kstr("last", "z"));
    written();
    assert_true(line[0] != '\0' && line[strlen(line) - 1] == '\n');
    return strlen(line);
}

static void a_line_is_cut_at_its_limit_and_stays_whole(void **state)
{
    static const char *const units[] = {
        "x", "\"", "\n", "\x01", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a b"
    };
    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
        /* Every length around the limit: the cut falls on each place once. */
        for (size_t times = 100; times <= 1100; times++) {
            cJSON *json;
            assert_true(log_long(units[u], times, GV_LOG_LOGFMT) <= 1024);
            assert_true(is_utf8(line));
            assert_true(log_long(units[u], times, GV_LOG_JSON) <= 1024);
            assert_true(is_utf8(line));
            json = cJSON_ParseWithOpts(line, NULL, 1);
            if (!json)
                fail_msg("no JSON: %s", line);
            cJSON_Delete(json);
        }
    }
}

static void a_number_is_whole_or_left_out(void **state)
{
    char value[1024];
    int whole = 0, left_out = 0;

    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
    for (size_t len = 900; len < sizeof value; len++) {
        memset(value, 'x', len);
        value[len] = '\0';
        GV_LOG(GV_LOG_INFO, gv_kstr("value", value), gv_kint("n", -1234567890));
        written();
        if (strstr(line, " n=-1234567890\n"))
            whole++;
        else if (!strstr(line, " n"))
            left_out++;
        else
            fail_msg("torn: %s", line + 900);
    }
    assert_true(whole > 0 && left_out > 0);
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    static const char *const values[] = { "a\xff!",        "a\xc3",
                                          "a\xed\xa0\x80", "a\xf5\x80\x80\x80",
                                          "a\xc0\x80",     "a\x80",
                                          "a\xe2\x82",     "a\xf0\x80\x80\x80" };
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cJSON *json;
        gv_log_configure(GV_LOG_INFO, GV_LOG_JSON, pipe_ends[1]);
        GV_LOG(GV_LOG_INFO, gv_kstr("v", values[i]));
        json = json_line();
        assert_true(is_utf8(line));
        assert_memory_equal(member(json, "v"), "a\xef\xbf\xbd", 4);
        cJSON_Delete(json);
        gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
        GV_LOG(GV_LOG_INFO, gv_kstr("v", values[i]));
        assert_true(is_utf8(written()));
    }
}

static void a_log_that_cannot_be_written_stops_nobody(void **state)
{
    (void)state;
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, -1);
    GV_LOG(GV_LOG_INFO, gv_kmsg("lost"));
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, pipe_ends[1]);
    GV_LOG(GV_LOG_INFO, gv_kmsg("kept"));
    assert_string_equal(after_time(), "level=info msg=kept\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_logfmt),
        TEST(a_line_of_the_next_century_has_its_time),
        TEST(a_line_is_json_on_request),
        TEST(no_value_breaks_a_logfmt_line),
        TEST(levels_above_the_chosen_one_are_dropped),
        TEST(under_systemd_a_priority_replaces_the_time),
        TEST(a_line_is_cut_at_its_limit_and_stays_whole),
        TEST(a_number_is_whole_or_left_out),
        TEST(bytes_that_are_not_utf8_are_replaced),
        TEST(a_log_that_cannot_be_written_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
