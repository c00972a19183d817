#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/feed.h"

#include <stdio.h>

static const char base[] = "https://{region}.api.example";

static void expect_url(feed f, const char *base_url, const char *url)
{
    char text[FEED_URL_MAX];
    assert_true(feed_url(&f, base_url, text, sizeof text));
    assert_string_equal(text, url);
}

static void every_kind_of_house_has_its_path(void **state)
{
    (void)state;
    expect_url((feed){ .region = "eu", .realm = 604 }, base,
               "https://eu.api.example/data/wow/connected-realm/604/auctions?namespace=dynamic-eu");
    expect_url((feed){ .region = "us" }, base,
               "https://us.api.example/data/wow/auctions/commodities?namespace=dynamic-us");
    expect_url((feed){ .region = "kr", .game = GAME_CLASSIC, .realm = 4419, .house = 2 }, base,
               "https://kr.api.example/data/wow/connected-realm/4419/auctions/2"
               "?namespace=dynamic-classic-kr");
    expect_url((feed){ .region = "tw", .game = GAME_CLASSIC1X, .realm = 5740, .house = 6 }, base,
               "https://tw.api.example/data/wow/connected-realm/5740/auctions/6"
               "?namespace=dynamic-classic1x-tw");
    expect_url((feed){ .region = "eu", .game = GAME_CLASSICANN, .realm = UINT32_MAX, .house = 7 },
               base,
               "https://eu.api.example/data/wow/connected-realm/4294967295/auctions/7"
               "?namespace=dynamic-classicann-eu");
}

static void each_game_and_region_has_its_namespace_and_index(void **state)
{
    static const char *const regions[] = { "us", "eu", "kr", "tw" };
    static const char *const games[] = { "dynamic-", "dynamic-classic-", "dynamic-classic1x-",
                                         "dynamic-classicann-" };
    (void)state;
    for (int r = 0; r < 4; r++)
        for (int g = GAME_RETAIL; g <= GAME_CLASSICANN; g++) {
            char name[32], url[FEED_URL_MAX], expected[FEED_URL_MAX];
            feed_namespace(regions[r], (feed_game)g, name, sizeof name);
            snprintf(expected, sizeof expected, "%s%s", games[g], regions[r]);
            assert_string_equal(name, expected);
            assert_true(feed_index_url(regions[r], (feed_game)g, base, url, sizeof url));
            snprintf(expected, sizeof expected,
                     "https://%s.api.example/data/wow/connected-realm/index?namespace=%s%s",
                     regions[r], games[g], regions[r]);
            assert_string_equal(url, expected);
        }
}

static void region_is_filled_in_wherever_the_base_url_has_it(void **state)
{
    (void)state;
    feed f = { .region = "eu" };
    expect_url(f, "http://127.0.0.1:8443/",
               "http://127.0.0.1:8443/data/wow/auctions/commodities?namespace=dynamic-eu");
    expect_url(f, "http://proxy/{region}/{region}",
               "http://proxy/eu/eu/data/wow/auctions/commodities?namespace=dynamic-eu");
    expect_url(f, "http://{region}/",
               "http://eu/data/wow/auctions/commodities?namespace=dynamic-eu");
    expect_url(f, "http://{regio}",
               "http://{regio}/data/wow/auctions/commodities?namespace=dynamic-eu");
}

static void url_that_does_not_fit_is_refused_at_every_length(void **state)
{
    (void)state;
    feed f = { .region = "eu", .game = GAME_CLASSICANN, .realm = 12345, .house = 2 };
    char whole[FEED_URL_MAX], url[FEED_URL_MAX + 1];
    assert_true(feed_url(&f, base, whole, sizeof whole));
    for (size_t cap = 1; cap < sizeof whole; cap++) {
        memset(url, '#', sizeof url);
        assert_int_equal(feed_url(&f, base, url, cap), cap > strlen(whole));
        assert_int_equal(url[cap], '#');
    }
}

static void feed_is_named_like_its_snapshots(void **state)
{
    (void)state;
    char name[FEED_NAME_MAX];
    feed_name(&(feed){ .region = "eu", .realm = 604 }, name);
    assert_string_equal(name, "eu/604/0");
    feed_name(&(feed){ .region = "regions", .realm = UINT32_MAX, .house = UINT32_MAX }, name);
    assert_string_equal(name, "regions/4294967295/4294967295");
}

static void realm_is_read_from_a_link_or_not_at_all(void **state)
{
    static const struct {
        const char *href;
        uint32_t realm;
    } cases[] = {
        { "https://eu.api.example/data/wow/connected-realm/604?namespace=dynamic-eu", 604 },
        { "/connected-realm/1", 1 },
        { "/connected-realm/4294967295", UINT32_MAX },
        { "/connected-realm/4294967296", 0 },
        { "/connected-realm/99999999999999999999999", 0 },
        { "/connected-realm/0", 0 },
        { "/connected-realm/", 0 },
        { "/connected-realm/-3", 0 },
        { "/connected-realm/x", 0 },
        { "/connected-realm", 0 },
        { "/realm/604", 0 },
        { "", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t realm = 0;
        bool found = feed_realm_of_href(gv_span_str(cases[i].href), &realm);
        assert_int_equal(found, cases[i].realm != 0);
        if (found)
            assert_int_equal(realm, cases[i].realm);
    }
}

typedef struct {
    uint32_t realms[8];
    size_t count;
    size_t stop_at;
} seen_realms;

static gv_status note_realm(void *ctx, uint32_t realm, gv_error *err)
{
    seen_realms *seen = ctx;
    if (seen->count + 1 == seen->stop_at)
        return gv_fail(err, GV_FULL, "enough");
    seen->realms[seen->count++] = realm;
    return GV_OK;
}

static gv_status parse(const char *json, seen_realms *seen, gv_error *err)
{
    *err = (gv_error){ 0, "" };
    return feed_parse_index(gv_span_str(json), note_realm, seen, err);
}

static void index_gives_all_realms_in_its_order(void **state)
{
    (void)state;
    gv_error err;
    seen_realms seen = { .stop_at = 0 };
    assert_int_equal(
        parse("{\"_links\":{\"self\":{\"href\":\"x\"}},\"connected_realms\":["
              "{\"href\":\"https://eu.api.example/data/wow/connected-realm/604?namespace=d\"},"
              "{\"href\":\"https://eu.api.example/data/wow/connected-realm/1080\",\"more\":1}]}",
              &seen, &err),
        GV_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.realms[0], 604);
    assert_int_equal(seen.realms[1], 1080);
    seen = (seen_realms){ .stop_at = 0 };
    assert_int_equal(parse("{\"connected_realms\":[]}", &seen, &err), GV_OK);
    assert_int_equal(seen.count, 0);
}

static void index_that_is_something_else_is_refused_with_words(void **state)
{
    static const char *const bad[] = {
        "",
        "<html>",
        "{",
        "[]",
        "null",
        "{}",
        "{\"connected_realms\":{}}",
        "{\"connected_realms\":[1]}",
        "{\"connected_realms\":[{\"href\":5}]}",
        "{\"connected_realms\":[{\"href\":\"https://eu/data/wow/realm/5\"}]}",
        "{\"connected_realms\":[null]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gv_error err;
        seen_realms seen = { .stop_at = 0 };
        assert_int_equal(parse(bad[i], &seen, &err), GV_INVAL);
        assert_int_equal(seen.count, 0);
        assert_true(err.text[0] != '\0');
    }
}

static void index_reading_stops_where_the_caller_says(void **state)
{
    (void)state;
    gv_error err;
    seen_realms seen = { .stop_at = 2 };
    assert_int_equal(parse("{\"connected_realms\":[{\"href\":\"/connected-realm/1\"},"
                           "{\"href\":\"/connected-realm/2\"},{\"href\":\"/connected-realm/3\"}]}",
                           &seen, &err),
                     GV_FULL);
    assert_int_equal(seen.count, 1);
    assert_string_equal(err.text, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_house_has_its_path),
        cmocka_unit_test(each_game_and_region_has_its_namespace_and_index),
        cmocka_unit_test(region_is_filled_in_wherever_the_base_url_has_it),
        cmocka_unit_test(url_that_does_not_fit_is_refused_at_every_length),
        cmocka_unit_test(feed_is_named_like_its_snapshots),
        cmocka_unit_test(realm_is_read_from_a_link_or_not_at_all),
        cmocka_unit_test(index_gives_all_realms_in_its_order),
        cmocka_unit_test(index_that_is_something_else_is_refused_with_words),
        cmocka_unit_test(index_reading_stops_where_the_caller_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
