/* What may be said on a command line about snapshots and times. */
#include "agent/tools/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1404174601000) /* 2014-07-01T00:30:01Z */

static const spool_meta thrall = { .snapshot = { "eu", 604, 0, NOW_MS }, .kind = SPOOL_AUCTIONS };

static gv_status from(const char *text, int64_t *ms)
{
    filter f;
    gv_error err = { 0, "" };
    gv_status status = filter_parse(NULL, text, NULL, NOW_MS, &f, &err);

    assert_int_equal(status == GV_OK, err.text[0] == '\0');
    *ms = f.from_ms;
    return status;
}

static void times_are_dates_in_utc_or_how_long_ago(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        { "2014-07-01T00:30:01Z", NOW_MS },
        { "2014-07-01T00:30:01", NOW_MS },
        { "2014-07-01T00:30Z", NOW_MS - 1000 },
        { "2014-07-01", NOW_MS - 1801000 },
        { "1970-01-01", 0 },
        { "2016-02-29", INT64_C(1456704000000) },
        { "2040-02-03T04:05:06Z", INT64_C(2211854706000) },
        { "2107-08-09T10:11:12Z", INT64_C(4342327872000) },
        { "90m", NOW_MS - 5400000 },
        { "24h", NOW_MS - 86400000 },
        { "7d", NOW_MS - 7 * INT64_C(86400000) },
        { "0h", NOW_MS },
    };
    static const char *const bad[] = {
        "",
        "yesterday",
        "24",
        "h",
        "24H",
        "-1h",
        "1234567h",
        "2014-7-1",
        "2014-13-01",
        "2015-02-29",
        "2014-07-01T",
        "2014-07-01T24:00",
        "2014-07-01T00:60",
        "2014-07-01T00:30:61Z",
        "2014-07-01T00:30:01+02:00",
        "1969-12-31",
        "2014-07-01Z",
        "24h ",
    };
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (from(good[i].text, &ms) != GV_OK || ms != good[i].ms)
            fail_msg("%s is %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (from(bad[i], &ms) != GV_INVAL)
            fail_msg("'%s' is taken for a time", bad[i]);
}

static void a_day_as_the_end_is_included_whole(void **state)
{
    filter f;

    (void)state;
    assert_int_equal(filter_parse(NULL, "2014-07-01", "2014-07-01", NOW_MS, &f, NULL), GV_OK);
    assert_true(filter_takes(&f, &thrall));
    assert_int_equal(f.to_ms - f.from_ms, 86399999);
    assert_int_equal(filter_parse(NULL, NULL, "2014-07-01T00:30:01Z", NOW_MS, &f, NULL), GV_OK);
    assert_true(filter_takes(&f, &thrall));
    assert_int_equal(filter_parse(NULL, NULL, "2014-07-01T00:30:00Z", NOW_MS, &f, NULL), GV_OK);
    assert_false(filter_takes(&f, &thrall));
    assert_int_equal(filter_parse(NULL, "2014-07-02", "2014-07-01", NOW_MS, &f, NULL), GV_INVAL);
}

static void a_snapshot_is_named_whole_or_by_its_beginning(void **state)
{
    static const char *const takes[] = { "eu", "eu/604", "eu/604/0", "eu/604/0/1404174601" };
    static const char *const others[] = { "us", "eu/60", "eu/6040", "eu/604/2",
                                          "eu/604/0/140417460" };
    static const char *const bad[] = { "",        "/604",    "eu/",      "eu//604", "eu/604/0/1/2",
                                       "eu/6x04", "eu/604/", "europeans" };
    filter f;

    (void)state;
    for (size_t i = 0; i < sizeof takes / sizeof takes[0]; i++) {
        assert_int_equal(filter_parse(takes[i], NULL, NULL, NOW_MS, &f, NULL), GV_OK);
        assert_true(filter_takes(&f, &thrall));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(filter_parse(others[i], NULL, NULL, NOW_MS, &f, NULL), GV_OK);
        assert_false(filter_takes(&f, &thrall));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gv_error err = { 0, "" };
        assert_int_equal(filter_parse(bad[i], NULL, NULL, NOW_MS, &f, &err), GV_INVAL);
        assert_non_null(strstr(err.text, "region/realm/house/seconds"));
    }
}

static void kinds_can_be_left_out(void **state)
{
    filter f = filter_all();

    (void)state;
    assert_true(filter_takes(&f, &thrall));
    f.kinds[SPOOL_AUCTIONS] = false;
    assert_false(filter_takes(&f, &thrall));
}

static void times_are_printed_as_they_are_read(void **state)
{
    char text[FILTER_TIME_MAX];
    int64_t ms;

    (void)state;
    filter_format_time(NOW_MS, text);
    assert_string_equal(text, "2014-07-01T00:30:01Z");
    assert_int_equal(from(text, &ms), GV_OK);
    assert_int_equal(ms, NOW_MS);
    filter_format_time(INT64_C(2211854706000), text);
    assert_string_equal(text, "2040-02-03T04:05:06Z");
    filter_format_time(INT64_C(4342327872000), text);
    assert_string_equal(text, "2107-08-09T10:11:12Z");
    filter_format_time(0, text);
    assert_string_equal(text, "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_dates_in_utc_or_how_long_ago),
        cmocka_unit_test(a_day_as_the_end_is_included_whole),
        cmocka_unit_test(a_snapshot_is_named_whole_or_by_its_beginning),
        cmocka_unit_test(kinds_can_be_left_out),
        cmocka_unit_test(times_are_printed_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
