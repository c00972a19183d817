/* /metrics is what Prometheus reads, whole whatever happens, and the pages made of its table are up to
 * date. `test_status_metrics print` prints the metrics of an outage, for promtool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/status/metrics.h"
#include "tests/unit/status_world.h"

static status_world world;
static char text[STATUS_TEXT_BYTES(WORLD_FEEDS_MAX)];

static const char *rendered(size_t cap)
{
    gv_buf buf = gv_buf_of(text, cap - 1);
    assert_int_equal(status_metrics(&world.facts, &buf), GV_OK);
    text[buf.len] = '\0';
    return text;
}

static bool has_line(const char *all, const char *line)
{
    char whole[256];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    return strstr(all, whole) != NULL;
}

/* --- the format -------------------------------------------------------------------------------- */

static const char *skip_name(const char *p)
{
    assert_true(isalpha((unsigned char)*p) || *p == '_');
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return p;
}

static const char *skip_labels(const char *p)
{
    assert_int_equal(*p, '{');
    do {
        p = skip_name(p + 1);
        assert_true(p[0] == '=' && p[1] == '"');
        for (p += 2; *p != '"'; p++) {
            assert_true(*p != '\n' && *p != '\0');
            if (*p == '\\') {
                p++;
                assert_true(*p == '\\' || *p == '"' || *p == 'n');
            }
        }
        p++;
    } while (*p == ',');
    assert_int_equal(*p, '}');
    return p + 1;
}

/* Every line is a comment or NAME{LABELS} NUMBER of the family announced last; the number of samples. */
static unsigned check_format(const char *p)
{
    char family[METRIC_NAME_MAX] = "";
    unsigned samples = 0;
    while (*p) {
        const char *end = strchr(p, '\n');
        assert_non_null(end);
        if (*p == '#') {
            assert_true(strncmp(p, "# HELP gavel_", 13) == 0 ||
                        strncmp(p, "# TYPE gavel_", 13) == 0);
            sscanf(p, "# %*s %63s", family);
        } else {
            const char *after = skip_name(p);
            assert_int_equal((size_t)(after - p), strlen(family));
            assert_memory_equal(p, family, strlen(family));
            if (*after == '{')
                after = skip_labels(after);
            char *number_end;
            assert_int_equal(*after, ' ');
            strtod(after + 1, &number_end);
            assert_ptr_equal(number_end, end);
            samples++;
        }
        p = end + 1;
    }
    return samples;
}

static void text_is_what_the_format_asks_for(void **state)
{
    (void)state;
    status_world_outage(&world);
    const char *all = rendered(sizeof text);
    assert_true(check_format(all) > 100);
    assert_true(has_line(all, "# TYPE gavel_records_acknowledged_total counter"));
    assert_true(has_line(all, "gavel_records_acknowledged_total 24117738"));
    assert_true(has_line(all, "gavel_api_body_bytes_total 41523345678"));
    assert_true(has_line(all, "gavel_build_info{version=\"0.1.0\",device=\"attic\"} 1"));
    assert_true(has_line(all, "gavel_condition{condition=\"broker_away\",severity=\"error\"} 1"));
    assert_true(has_line(all, "gavel_condition{condition=\"hot\",severity=\"warning\"} 0"));
    assert_true(has_line(all, "gavel_feed_stale{feed=\"eu/1084/0\"} 1"));
    assert_true(has_line(all, "gavel_board_temperature_celsius 48.312"));
    assert_true(has_line(all, "gavel_updates_refused_total{reason=\"unknown_key\"} 0"));
    assert_true(has_line(all, "gavel_outage 1"));
}

static void what_is_not_known_is_left_out(void **state)
{
    (void)state;
    status_world_healthy(&world);
    world.facts.board.temperature_mc = STATUS_UNKNOWN;
    world.facts.board.throttled = STATUS_NOT_KNOWN;
    const char *all = rendered(sizeof text);
    check_format(all);
    assert_null(strstr(all, "\ngavel_board_temperature_celsius"));
    assert_null(strstr(all, "\ngavel_board_throttled"));
    assert_null(strstr(all, "\ngavel_spool_oldest_age_seconds"));
    assert_null(strstr(all, "nan"));
    assert_true(has_line(all, "gavel_outage 0"));
}

static void hostile_labels_break_no_line(void **state)
{
    (void)state;
    status_world_feeds(&world, 3);
    status_world_hostile(&world, "a\"} 1\nx{b=\"\\\xff\x80\r\x01");
    check_format(rendered(sizeof text));
}

static void feeds_that_have_no_room_are_counted_in_whole_families(void **state)
{
    (void)state;
    status_world_feeds(&world, 300);
    size_t len = strlen(rendered(sizeof text));
    for (size_t cap = len + 300; cap > 20000; cap -= 1501) {
        char line[64];
        const char *all = rendered(cap), *p = all;
        unsigned stale = 0, records = 0;
        check_format(all);
        for (; (p = strstr(p, "\ngavel_feed_stale{")); p++)
            stale++;
        for (p = all; (p = strstr(p, "\ngavel_feed_snapshot_records{")); p++)
            records++;
        assert_int_equal(stale, records);
        snprintf(line, sizeof line, "gavel_feeds_left_out %u", 300 - stale);
        assert_true(has_line(all, line));
    }
    gv_buf buf = gv_buf_of(text, 4000);
    assert_int_equal(status_metrics(&world.facts, &buf), GV_FULL);
    assert_int_equal(buf.len, 0);
}

static void promised_room_is_enough_for_all_feeds(void **state)
{
    (void)state;
    status_world_feeds(&world, 256);
    for (size_t i = 0; i < 256; i++)
        snprintf(world.feeds[i].name, sizeof world.feeds[i].name, "%039zu", i);
    assert_true(has_line(rendered(STATUS_TEXT_BYTES(256)), "gavel_feeds_left_out 0"));
}

/* --- the table --------------------------------------------------------------------------------- */

static void names_follow_the_conventions_and_are_there_once(void **state)
{
    char name[METRIC_NAME_MAX], other[METRIC_NAME_MAX];
    (void)state;
    for (size_t i = 0; i < metric_count; i++) {
        if (!metrics[i].name)
            continue;
        metric_name(&metrics[i], name);
        size_t len = strlen(name);
        bool is_total = len > 6 && strcmp(name + len - 6, "_total") == 0;
        assert_int_equal(is_total, metrics[i].type == METRIC_COUNTER);
        assert_true(len < METRIC_NAME_MAX - 1 &&
                    metrics[i].help[strlen(metrics[i].help) - 1] == '.');
        for (size_t k = 0; k < i; k++) {
            if (!metrics[k].name)
                continue;
            metric_name(&metrics[k], other);
            assert_string_not_equal(name, other);
        }
    }
}

static void check_page(const char *path, void (*print)(FILE *))
{
    static char kept[256 * 1024];
    char *fresh = NULL;
    size_t fresh_len = 0;
    FILE *memory = open_memstream(&fresh, &fresh_len);
    assert_non_null(memory);
    print(memory);
    fclose(memory);
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(kept, 1, sizeof kept, file) : 0;
    if (file)
        fclose(file);
    if (!gv_span_equal(gv_span_of(fresh, fresh_len), gv_span_of(kept, len)))
        fail_msg("%s is out of date: cmake --build build/host --target gavel_status_renew", path);
    free(fresh);
}

static void page_is_up_to_date(void **state)
{
    (void)state;
    check_page(GAVEL_SOURCE_DIR "/agent/status/METRICS.md", metrics_print_page);
}

#define DASHBOARD GAVEL_SOURCE_DIR "/board/mainhost/grafana-dashboard.json"

static void dashboard_is_up_to_date_and_draws_each_panel_of_the_table(void **state)
{
    static char kept[256 * 1024];
    (void)state;
    check_page(DASHBOARD, metrics_print_dashboard);
    FILE *file = fopen(DASHBOARD, "rb");
    assert_non_null(file);
    size_t len = fread(kept, 1, sizeof kept, file);
    fclose(file);
    cJSON *json = cJSON_ParseWithLength(kept, len);
    const cJSON *panels = cJSON_GetObjectItem(json, "panels"), *panel;
    int targets = 0, wanted = 0;
    cJSON_ArrayForEach(panel, panels)
    {
        targets += cJSON_GetArraySize(cJSON_GetObjectItem(panel, "targets"));
    }
    for (size_t i = 0; i < metric_count; i++)
        wanted += metrics[i].name && metrics[i].panel[0];
    assert_int_equal(targets, wanted);
    assert_true(wanted > 20);
    cJSON_Delete(json);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_the_format_asks_for),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(hostile_labels_break_no_line),
        cmocka_unit_test(feeds_that_have_no_room_are_counted_in_whole_families),
        cmocka_unit_test(promised_room_is_enough_for_all_feeds),
        cmocka_unit_test(names_follow_the_conventions_and_are_there_once),
        cmocka_unit_test(page_is_up_to_date),
        cmocka_unit_test(dashboard_is_up_to_date_and_draws_each_panel_of_the_table),
    };
    if (argc == 2 && strcmp(argv[1], "print") == 0) {
        status_world_outage(&world);
        return fputs(rendered(sizeof text), stdout) < 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
