/* /status.json is one whole JSON document, whatever it has to tell and however little room there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/codec/utf8.h"
#include "tests/unit/status_world.h"

static status_world world;
static uint8_t text[STATUS_TEXT_BYTES(WORLD_FEEDS_MAX)];

/* Rendered into `cap` bytes and read again; the result is cJSON_Delete()d by the caller. */
static cJSON *rendered(size_t cap, size_t *len)
{
    gv_buf buf = gv_buf_of(text, cap);
    assert_int_equal(status_json(&world.facts, &buf), GV_OK);
    assert_int_equal(utf8_valid_prefix(gv_span_of(text, buf.len)), buf.len);
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)text, buf.len, &end, 0);
    assert_non_null(json);
    assert_ptr_equal(end, text + buf.len);
    if (len)
        *len = buf.len;
    return json;
}

static const cJSON *at(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!item)
        fail_msg("no member %s", name);
    return item;
}

static void numbers_and_names_are_those_of_the_facts(void **state)
{
    (void)state;
    status_world_outage(&world);
    cJSON *json = rendered(sizeof text, NULL);
    assert_string_equal(at(json, "now")->valuestring, "2026-11-27T01:00:00Z");
    assert_string_equal(at(json, "state")->valuestring, "outage");
    assert_int_equal(at(at(json, "spool"), "records")->valueint, 1709211);
    assert_true(at(at(json, "board"), "temperature_c")->valuedouble == 48.3);
    assert_true(cJSON_IsTrue(at(at(json, "board"), "under_voltage")));
    assert_true(cJSON_IsNull(at(at(json, "board"), "wear_percent")));
    const cJSON *feed = cJSON_GetArrayItem(at(json, "feeds"), 2);
    assert_string_equal(at(feed, "name")->valuestring, "eu/1084/0");
    assert_string_equal(at(feed, "trouble")->valuestring, "HTTP 503: the API is in trouble");
    assert_true(cJSON_IsTrue(at(feed, "stale")));
    const cJSON *first = cJSON_GetArrayItem(at(json, "conditions"), 0);
    assert_string_equal(at(first, "name")->valuestring, "broker_away");
    assert_int_equal(at(first, "since_s")->valueint, 5 * 3600);
    assert_int_equal(at(json, "feeds_left_out")->valueint, 0);
    cJSON_Delete(json);
}

static void unknown_figures_are_null(void **state)
{
    (void)state;
    status_world_healthy(&world);
    world.feeds[0].snapshot_ms = world.feeds[0].snapshot_age_s = STATUS_UNKNOWN;
    world.feeds[0].records = STATUS_UNKNOWN;
    world.facts.board.temperature_mc = STATUS_UNKNOWN;
    world.facts.board.throttled = STATUS_NOT_KNOWN;
    world.facts.now_ms = INT64_MAX; /* no year of four digits */
    cJSON *json = rendered(sizeof text, NULL);
    const cJSON *feed = cJSON_GetArrayItem(at(json, "feeds"), 0);
    assert_true(cJSON_IsNull(at(feed, "snapshot_at")) && cJSON_IsNull(at(feed, "records")));
    assert_true(cJSON_IsNull(at(at(json, "board"), "temperature_c")));
    assert_true(cJSON_IsNull(at(at(json, "board"), "throttled")));
    assert_true(cJSON_IsNull(at(at(json, "update"), "attempted")));
    assert_true(cJSON_IsNull(at(json, "now")));
    cJSON_Delete(json);
}

static void every_member_is_there_in_each_state(void **state)
{
    static const char *const names[] = { "gavel",  "device",     "now",    "uptime_s",
                                         "state",  "conditions", "feeds",  "feeds_left_out",
                                         "broker", "registry",   "spool",  "memory",
                                         "disk",   "board",      "update", "history",
                                         "recent" };
    void (*const worlds[])(status_world *) = { status_world_healthy, status_world_outage,
                                               status_world_update_failed };
    (void)state;
    for (size_t w = 0; w < 3; w++) {
        worlds[w](&world);
        cJSON *json = rendered(sizeof text, NULL);
        assert_int_equal(cJSON_GetArraySize(json), sizeof names / sizeof names[0]);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            at(json, names[i]);
        cJSON_Delete(json);
    }
}

static void hostile_texts_break_nothing_and_fit(void **state)
{
    static char longest[4096];
    const char *const texts[] = {
        "\"},{\"a\":\"\\",   "\x01\x02\x1f\x7f\r\n\t", "\xff\xfe\xc0\xaf\xed\xa0\x80",
        "</script><script>", "\xf0\x9f\x98",           longest
    };
    (void)state;
    memset(longest, 1, sizeof longest - 1); /* each byte becomes six */
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        status_world_feeds(&world, 3);
        status_world_hostile(&world, texts[i]);
        size_t len;
        cJSON *json = rendered(STATUS_TEXT_BYTES_MIN, &len);
        assert_int_equal(cJSON_GetArraySize(at(json, "recent")), RECENT_MAX);
        assert_true(cJSON_GetArraySize(at(json, "conditions")) >= 10);
        cJSON_Delete(json);
    }
}

static void feeds_that_have_no_room_are_counted_and_the_rest_is_whole(void **state)
{
    (void)state;
    size_t len;
    status_world_feeds(&world, 300);
    cJSON_Delete(rendered(sizeof text, &len));
    for (size_t cap = len; cap > 20000; cap -= 997) {
        cJSON *json = rendered(cap, NULL);
        int shown = cJSON_GetArraySize(at(json, "feeds"));
        assert_int_equal(shown + at(json, "feeds_left_out")->valueint, 300);
        assert_true(cap >= len - 997 || shown < 300);
        assert_non_null(cJSON_GetObjectItem(json, "recent"));
        cJSON_Delete(json);
    }
}

static void promised_room_is_enough_for_all_feeds(void **state)
{
    (void)state;
    status_world_feeds(&world, 256);
    for (size_t i = 0; i < 256; i++)
        snprintf(world.feeds[i].trouble, sizeof world.feeds[i].trouble, "%0159d", 0);
    cJSON *json = rendered(STATUS_TEXT_BYTES(256), NULL);
    assert_int_equal(cJSON_GetArraySize(at(json, "feeds")), 256);
    cJSON_Delete(json);
}

static void too_small_a_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    status_world_outage(&world);
    for (size_t cap = 0; cap < 6000; cap += 37) {
        gv_buf buf = { text, 3, cap + 3 };
        assert_int_equal(status_json(&world.facts, &buf), GV_FULL);
        assert_int_equal(buf.len, 3);
        assert_int_equal(buf.cap, cap + 3);
    }
}

/* --- the samples that the page is tested with --------------------------------------------------- */

static const struct {
    const char *name;
    void (*make)(status_world *);
} samples[] = { { "healthy", status_world_healthy },
                { "outage", status_world_outage },
                { "update-failed", status_world_update_failed } };

#define SAMPLES (sizeof samples / sizeof samples[0])

static gv_span sample(size_t i, char path[256])
{
    gv_buf buf = gv_buf_of(text, sizeof text);
    snprintf(path, 256, GAVEL_SOURCE_DIR "/tests/status/samples/%s.json", samples[i].name);
    samples[i].make(&world);
    assert_int_equal(status_json(&world.facts, &buf), GV_OK);
    assert_true(gv_buf_put(&buf, "\n", 1));
    return gv_span_of(text, buf.len);
}

static void samples_are_what_the_renderer_makes(void **state)
{
    static uint8_t kept[sizeof text];
    char path[256];
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        gv_span fresh = sample(i, path);
        FILE *file = fopen(path, "rb");
        size_t len = file ? fread(kept, 1, sizeof kept, file) : 0;
        if (file)
            fclose(file);
        if (!gv_span_equal(fresh, gv_span_of(kept, len)))
            fail_msg("%s is out of date: test_status_json renew", path);
    }
}

static int renew(void)
{
    char path[256];
    for (size_t i = 0; i < SAMPLES; i++) {
        gv_span fresh = sample(i, path);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(fresh.data, 1, fresh.len, file) != fresh.len || fclose(file) != 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_names_are_those_of_the_facts),
        cmocka_unit_test(unknown_figures_are_null),
        cmocka_unit_test(every_member_is_there_in_each_state),
        cmocka_unit_test(hostile_texts_break_nothing_and_fit),
        cmocka_unit_test(feeds_that_have_no_room_are_counted_and_the_rest_is_whole),
        cmocka_unit_test(promised_room_is_enough_for_all_feeds),
        cmocka_unit_test(too_small_a_buffer_is_left_as_it_was),
        cmocka_unit_test(samples_are_what_the_renderer_makes),
    };
    if (argc == 2 && strcmp(argv[1], "renew") == 0)
        return renew();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
