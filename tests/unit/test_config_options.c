/* Every option of the table: its default, its bounds, its type; and what is made from the table. */
#include "agent/config/internal.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "gavel.json: kafka.partitions: expected" was said, about this option. */
static bool complained(const config_case *c, const config_info *info)
{
    char start[256];

    snprintf(start, sizeof start, "gavel.json: %s: expected ", info->path);
    return strstr(c->said, start) != NULL;
}

static bool refuses(const config_info *info, const char *value)
{
    char *text = malloc(strlen(value) + 256);
    config_case *c;
    bool refused;

    assert_non_null(text);
    config_wrap(text, strlen(value) + 256, info->path, value);
    c = config_read(CONFIG_SINK, text);
    refused = complained(c, info);
    config_done(c);
    free(text);
    return refused;
}

static bool refuses_number(const config_info *info, int64_t number)
{
    char value[32];

    snprintf(value, sizeof value, "%lld", (long long)number);
    return refuses(info, value);
}

/* A JSON text of `len` letters. */
static char *letters(int64_t len)
{
    char *text = malloc((size_t)len + 3);

    assert_non_null(text);
    memset(text, 'x', (size_t)len + 2);
    text[0] = text[len + 1] = '"';
    text[len + 2] = '\0';
    return text;
}

static bool refuses_length(const config_info *info, int64_t len)
{
    char *text = letters(len);
    bool refused = refuses(info, text);

    free(text);
    return refused;
}

/* A list or an object of `count` members. */
static bool refuses_count(const config_info *info, int64_t count)
{
    char text[16384];
    bool list = info->kind == CONFIG_KIND_LIST;
    size_t used = (size_t)snprintf(text, sizeof text, list ? "[" : "{");

    for (int64_t i = 0; i < count; i++) {
        const char *format = list ? "%s\"http://h%d\"" : "%s\"k%d\": \"v\"";
        assert_true(used + 64 < sizeof text);
        used += (size_t)snprintf(text + used, sizeof text - used, format, i ? "," : "", (int)i);
    }
    snprintf(text + used, sizeof text - used, list ? "]" : "}");
    return refuses(info, text);
}

static void every_option_has_its_default(void **state)
{
    config_case *c = config_read(CONFIG_SINK, "{}");

    (void)state;
    assert_int_equal(c->status, GV_OK);
#define BOOL_IS(value, def)   assert_int_equal(value, def)
#define INT_IS(value, def)    assert_true(value == INT64_C(def))
#define STRING_IS(value, def) assert_string_equal(value, def)
#define SECRET_IS(value, def) assert_string_equal(value, def)
#define URI_IS(value, def)    assert_string_equal(value, def)
#define LIST_IS(value, def)                                                                        \
    assert_true((def)[0] ? (value).count == 1 && strcmp((value).items[0], def) == 0                \
                         : (value).count == 0)
#define MAP_IS(value, def)  assert_true((value).count == 0 && def[0] == '\0')
#define ENUM_IS(value, def) assert_int_equal(value, config_choice_default(def))
    /* The one default that is made from another option. */
    assert_string_equal(c->config.sink_dead_letter_topic, "auctions.dead-letters");
    c->config.sink_dead_letter_topic = "";
#define OPTION(field, path, type, def, ...) type##_IS(c->config.field, def);
#include "agent/config/options.def"
    config_done(c);
}

static void every_number_is_held_to_its_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if (info->kind != CONFIG_KIND_INT)
            continue;
        print_message("%s\n", info->path);
        assert_true(info->def_number >= info->min && info->def_number <= info->max);
        assert_false(refuses_number(info, info->min));
        assert_false(refuses_number(info, info->max));
        assert_true(refuses_number(info, info->min - 1));
        assert_true(refuses_number(info, info->max + 1));
        assert_true(refuses(info, "4.5"));
        assert_true(refuses(info, "1e300"));
        assert_true(refuses(info, "9007199254740993"));
        assert_true(refuses(info, "-99999999999999999999"));
    }
}

static void every_text_is_held_to_its_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if (info->kind != CONFIG_KIND_STRING)
            continue;
        print_message("%s\n", info->path);
        assert_true(strlen(info->def_text) <= (size_t)info->max);
        assert_int_equal(refuses_length(info, 0), info->min > 0);
        assert_false(refuses_length(info, info->max));
        assert_true(refuses_length(info, info->max + 1));
    }
}

static void every_list_and_map_is_held_to_its_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if (info->kind != CONFIG_KIND_LIST && info->kind != CONFIG_KIND_MAP)
            continue;
        print_message("%s\n", info->path);
        assert_false(refuses_count(info, info->max));
        assert_true(refuses_count(info, info->max + 1));
        assert_int_equal(refuses_count(info, 0), info->min > 0);
    }
}

static void every_option_refuses_values_of_other_types(void **state)
{
    static const char *const values[] = { "true", "7", "\"no such thing\"", "[]", "{}", "null" };
    static const config_kind takes[] = { CONFIG_KIND_BOOL, CONFIG_KIND_INT, CONFIG_KIND_STRING,
                                         CONFIG_KIND_LIST, CONFIG_KIND_MAP, CONFIG_KIND_SECRET };
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        print_message("%s\n", info->path);
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            bool fits = info->kind == takes[v] && takes[v] != CONFIG_KIND_SECRET;
            /* Bounds and forms have tests of their own. */
            if (!fits && !(info->kind == CONFIG_KIND_URI && values[v][0] == '"'))
                assert_true(refuses(info, values[v]));
        }
    }
}

static void every_choice_can_be_chosen_whatever_its_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        const char *choice;
        size_t len;
        for (int n = 0;
             info->kind == CONFIG_KIND_ENUM && (len = config_choice(info->def_text, n, &choice));
             n++) {
            char value[64], text[256];
            config_case *c;
            snprintf(value, sizeof value, "\"%.*s\"", (int)len, choice);
            value[1] = (char)(value[1] - 'a' + 'A');
            config_wrap(text, sizeof text, info->path, value);
            c = config_read(CONFIG_SINK, text);
            assert_false(complained(c, info));
            assert_int_equal(*CONFIG_FIELD(int, &c->config, info), n);
            config_done(c);
        }
    }
}

static void assert_choices(const char *choices, const char *expected)
{
    char text[128];

    config_choices_list(choices, text, sizeof text);
    assert_string_equal(text, expected);
}

/* config.h and its users count on this order. */
static void choices_are_in_the_order_of_their_constants(void **state)
{
    (void)state;
    assert_choices(config_infos[CONFIG_OPTION_kafka_security].def_text,
                   "plaintext, ssl, sasl_plaintext or sasl_ssl");
    assert_choices(config_infos[CONFIG_OPTION_kafka_sasl_mechanism].def_text,
                   "plain, scram-sha-256 or scram-sha-512");
    assert_choices(config_infos[CONFIG_OPTION_registry_subject_strategy].def_text,
                   "topic, record or topic_record");
    assert_choices(config_infos[CONFIG_OPTION_sink_store].def_text, "mongodb or sqlite");
    assert_choices(config_infos[CONFIG_OPTION_log_level].def_text, "error, warn, info or debug");
    assert_choices(config_infos[CONFIG_OPTION_log_format].def_text, "logfmt or json");
    assert_choices(config_source_infos[0].def_text, "us, eu, kr or tw");
    assert_choices(config_source_infos[1].def_text, "retail, classic, classic1x or classicann");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(config_choice_find(config_source_infos[0].def_text, config_region_name(i)),
                         i);
        assert_int_equal(config_choice_find(config_source_infos[1].def_text, config_game_name(i)),
                         i);
    }
}

static void table_is_written_for_people(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        size_t len = config_group_len(info->path);
        bool seen_elsewhere = false;
        print_message("%s\n", info->path);
        assert_non_null(config_group_find(info->path, len));
        assert_true(strlen(info->help) > 30);
        assert_int_equal(info->help[strlen(info->help) - 1], '.');
        assert_ptr_equal(config_find(info->path), info); /* no path twice */
        /* Options of a group stand together: config_print() opens each group once. */
        for (size_t j = 0; j + 1 < i; j++) {
            const char *path = config_infos[j].path, *before = config_infos[i - 1].path;
            seen_elsewhere |=
                config_group_len(path) == len && memcmp(path, info->path, len) == 0 &&
                (config_group_len(before) != len || memcmp(before, info->path, len) != 0);
        }
        assert_false(seen_elsewhere);
    }
}

static char *written(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);

    assert_non_null(file);
    print(file);
    fclose(file);
    return text;
}

static void agent_options(FILE *file)
{
    config_print_options(file, CONFIG_AGENT);
}

static void sink_options(FILE *file)
{
    config_print_options(file, CONFIG_SINK);
}

static void help_names_every_option_of_the_program_and_no_other(void **state)
{
    char *agent = written(agent_options), *sink = written(sink_options);

    (void)state;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        char line[80];
        snprintf(line, sizeof line, "\n  %s\n", config_infos[i].path);
        assert_int_equal(strstr(agent, line) != NULL,
                         (config_infos[i].programs & CONFIG_AGENT) != 0);
        assert_int_equal(strstr(sink, line) != NULL, (config_infos[i].programs & CONFIG_SINK) != 0);
    }
    assert_non_null(strstr(agent, "\n  sources[].realms\n"));
    assert_null(strstr(sink, "sources[]"));
    for (const char *p = agent, *end; (end = strchr(p, '\n')); p = end + 1)
        assert_true(end - p <= 80); /* a terminal's width */
    free(agent);
    free(sink);
}

static void reference_page_is_up_to_date(void **state)
{
    char *now = written(config_print_reference), *page = calloc(1, 256 * 1024);
    FILE *file = fopen(GAVEL_SOURCE_DIR "/agent/config/REFERENCE.md", "rb");

    (void)state;
    assert_non_null(file);
    assert_true(fread(page, 1, 256 * 1024 - 1, file) > 1000);
    fclose(file);
    if (strcmp(now, page) != 0)
        fail_msg("%s", "agent/config/REFERENCE.md is out of date: build gavel_config_reference");
    free(now);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_its_default),
        cmocka_unit_test(every_number_is_held_to_its_bounds),
        cmocka_unit_test(every_text_is_held_to_its_length),
        cmocka_unit_test(every_list_and_map_is_held_to_its_count),
        cmocka_unit_test(every_option_refuses_values_of_other_types),
        cmocka_unit_test(every_choice_can_be_chosen_whatever_its_case),
        cmocka_unit_test(choices_are_in_the_order_of_their_constants),
        cmocka_unit_test(table_is_written_for_people),
        cmocka_unit_test(help_names_every_option_of_the_program_and_no_other),
        cmocka_unit_test(reference_page_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
