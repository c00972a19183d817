/* Between a profile and the configuration: who wins, who is named, and that every profile fits. */
#include "agent/cli/cli.h"
#include "agent/config/internal.h"
#include "agent/ota/updater.h"
#include "agent/pipeline/budget.h"
#include "agent/pipeline/pipeline.h"
#include "agent/status/routes.h"
#include "board/board.h"
#include "tests/doubles/disk_double.h"
#include "tests/unit/auction_bodies.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The agent's configuration with `more` on a machine of that model. */
static config_case *on_board(const char *model, const char *more)
{
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    config_case *c = config_read(CONFIG_AGENT, agent_text(more));
    assert_int_equal(c->status, GV_OK);
    if (model)
        disk_double_put(disk, BOARD_MODEL_PATH, model, strlen(model) + 1);
    cli_apply_profile(&c->config, &fs);
    disk_double_free(disk);
    return c;
}

static void expect_number(const config_case *c, const char *path, int64_t wanted,
                          config_origin from)
{
    int64_t value;
    config_origin origin;
    assert_true(config_number(&c->config, path, &value, &origin));
    if (value != wanted || origin != from)
        fail_msg("%s is %lld (%s), not %lld (%s)", path, (long long)value,
                 config_origin_name(origin), (long long)wanted, config_origin_name(from));
}

static void profile_goes_before_the_default(void **state)
{
    config_case *c = on_board("Raspberry Pi 5 Model B Rev 1.0", "");
    const board_profile *p = board_find("rpi5");
    (void)state;
    assert_string_equal(c->config.profile, "rpi5");
    for (size_t i = 0; i < BOARD_SETTINGS; i++)
        expect_number(c, board_setting_paths[i], p->settings[i], CONFIG_FROM_PROFILE);
    config_done(c);
    c = on_board(NULL, "");
    assert_string_equal(c->config.profile, "generic");
    for (size_t i = 0; i < BOARD_SETTINGS; i++)
        expect_number(c, board_setting_paths[i], config_find(board_setting_paths[i])->def_number,
                      CONFIG_FROM_DEFAULT);
    config_done(c);
}

static void file_goes_before_the_profile(void **state)
{
    config_case *c = on_board("Raspberry Pi Zero W Rev 1.1", ", \"board\": {\"profile\": \"rpi4\"},"
                                                             " \"spool\": {\"quota_mib\": 333}");
    (void)state;
    assert_string_equal(c->config.profile, "rpi4");
    expect_number(c, "memory.batches", board_find("rpi4")->settings[BOARD_memory_batches],
                  CONFIG_FROM_PROFILE);
    expect_number(c, "spool.quota_mib", 333, CONFIG_FROM_FILE);
    config_done(c);
    c = on_board("Raspberry Pi 4 Model B Rev 1.4", ", \"board\": {\"profile\": \"generic\"}");
    expect_number(c, "memory.batches", 0, CONFIG_FROM_DEFAULT);
    config_done(c);
    /* A value that happens to be the default is still the file's. */
    c = on_board("Raspberry Pi 4 Model B Rev 1.4", ", \"memory\": {\"budget_kib\": 12288}");
    expect_number(c, "memory.budget_kib", 12288, CONFIG_FROM_FILE);
    config_done(c);
}

/* Else the batches of a large board would meet the budget of a small one. */
static void values_that_were_chosen_together_are_taken_together(void **state)
{
    config_case *c =
        on_board("Raspberry Pi 5 Model B Rev 1.0", ", \"memory\": {\"budget_kib\": 12000}");
    (void)state;
    expect_number(c, "memory.budget_kib", 12000, CONFIG_FROM_FILE);
    expect_number(c, "memory.batches", 0, CONFIG_FROM_DEFAULT);
    expect_number(c, "memory.batch_kib", 128, CONFIG_FROM_DEFAULT);
    expect_number(c, "api.max_transfers", 4, CONFIG_FROM_PROFILE); /* another group */
    config_done(c);
}

static void show_says_where_each_value_comes_from(void **state)
{
    config_case *c =
        on_board("Raspberry Pi 5 Model B Rev 1.0", ", \"kafka\": {\"brokers\": \"a:1\"}");
    char *text = printed(&c->config, CONFIG_AGENT, CONFIG_PRINT_ORIGINS);
    (void)state;
    assert_non_null(strstr(text, "\n    \"brokers\": \"a:1\", // file\n"));
    assert_non_null(strstr(text, "\n    \"budget_kib\": 20480, // profile rpi5\n"));
    assert_non_null(strstr(text, "\n    \"topic_prefix\": \"auctions\", // default\n"));
    free(text);
    config_done(c);
}

static void every_profile_can_be_chosen_and_every_choice_is_one(void **state)
{
    const config_info *info = config_find("board.profile");
    const char *choice;
    size_t len, count = 0;
    (void)state;
    for (int i = 0; (len = config_choice(info->def_text, i, &choice)) != 0; i++, count++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)len, choice);
        assert_true(strcmp(name, BOARD_AUTO) == 0 || board_find(name));
    }
    assert_int_equal(count, board_profile_count + 1);
    for (size_t i = 0; i < board_profile_count; i++)
        assert_true(config_choice_find(info->def_text, board_profiles[i].name) > 0);
}

static void every_setting_is_an_option_and_within_its_bounds(void **state)
{
    (void)state;
    for (size_t s = 0; s < BOARD_SETTINGS; s++) {
        const config_info *info = config_find(board_setting_paths[s]);
        assert_non_null(info);
        assert_int_equal(info->kind, CONFIG_KIND_INT);
        for (size_t i = 0; i < board_profile_count; i++) {
            int64_t value = board_profiles[i].settings[s];
            assert_true(value == BOARD_KEEP || (value >= info->min && value <= info->max));
        }
    }
}

static void small_boards_keep_the_promise_of_12_mib(void **state)
{
    static const char *const small[] = { "rpi1", "rpi-zero", "rpi-zero2", "rpi2", "generic" };
    (void)state;
    assert_int_equal(config_find("memory.budget_kib")->def_number, 12288);
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        int64_t kib = board_find(small[i])->settings[BOARD_memory_budget_kib];
        assert_true(kib == 12288 || kib == BOARD_KEEP);
    }
    for (size_t i = 0; i < board_profile_count; i++) /* nobody takes a 20th of the smallest board */
        if (board_profiles[i].ram_mib)
            assert_true(board_profiles[i].settings[BOARD_memory_budget_kib] <=
                        board_profiles[i].ram_mib * 1024 / 20);
}

static int64_t number(const config_case *c, int setting)
{
    int64_t value;
    config_origin origin;
    assert_true(config_number(&c->config, board_setting_paths[setting], &value, &origin));
    return value;
}

/* As the agent sums it up, with more feeds than most have. */
static memory_budget divided(const config_case *c)
{
    const source_list all = { .region = "eu", .all_realms = true, .commodities = true };
    const source_config sources = { .lists = &all, .list_count = 1 };
    const outlet_config spooling = {
        .enabled = true,
        .batch_bytes = (size_t)number(c, BOARD_memory_batch_kib) * 1024,
        .segment_bytes = (uint32_t)number(c, BOARD_spool_segment_kib) * 1024,
        .quota_bytes = (uint64_t)number(c, BOARD_spool_quota_mib) << 20,
        .quarantine_bytes = 64u << 20,
    };
    int64_t batches = number(c, BOARD_memory_batches);
    size_t spool_bytes =
        outlet_memory_bytes(&spooling, batches ? (uint32_t)batches : PIPELINE_BATCHES_ENOUGH);
    gv_error err = { 0, "" };
    memory_budget b;
    const http_server_config server = routes_server_config("", source_feeds_max(&sources));
    size_t status_bytes = sizeof(status_past) + http_server_memory_bytes(&server);
    assert_true(spool_bytes > 0 && spool_bytes < SIZE_MAX);
    if (budget_divide((size_t)number(c, BOARD_memory_budget_kib) * 1024,
                      (unsigned)number(c, BOARD_api_max_transfers), source_memory_bytes(&sources),
                      spool_bytes, status_bytes, updater_memory_bytes(), &b, &err) != GV_OK)
        fail_msg("%s: %s", c->config.profile, err.text);
    return b;
}

static void expect_lines_that_add_up(const memory_budget *b)
{
    budget_line lines[BUDGET_LINES];
    size_t sum = 0;
    budget_lines(b, lines);
    for (size_t i = 0; i < BUDGET_LINES; i++) {
        assert_true(lines[i].bytes > 0 && strlen(lines[i].name) > 3);
        sum += lines[i].bytes;
    }
    assert_int_equal(sum, b->total);
}

/* Opens the real pipeline within what the budget leaves; the batches that it has got. */
static void expect_pipeline(const config_case *c, const memory_budget *b, gv_span auction,
                            gv_span reject)
{
    const pipeline_config config = {
        .auction_schema = auction,
        .reject_schema = reject,
        .topics = { "a.raw", "a.rejects", "a.snapshots" },
        .device = "attic",
        .memory_bytes = b->pipeline,
        .batch_count = (uint32_t)number(c, BOARD_memory_batches),
        .batch_bytes = (size_t)number(c, BOARD_memory_batch_kib) * 1024,
        .max_transfers = (unsigned)number(c, BOARD_api_max_transfers),
    };
    const plat_clock clock = plat_clock_system(0);
    gv_error err = { 0, "" };
    pipeline *p = NULL;
    if (pipeline_open(&config, &clock, &p, &err) != GV_OK)
        fail_msg("%s: %s", c->config.profile, err.text);
    assert_true(pipeline_memory_bytes(p) <= b->pipeline);
    if (config.batch_count)
        assert_int_equal(pipeline_pool(p)->count, config.batch_count);
    else /* the fewest with which it still was measured at full speed */
        assert_true(pipeline_pool(p)->count >= 8);
    pipeline_close(p);
}

static void every_profile_fits_into_its_budget(void **state)
{
    size_t auction_len, reject_len;
    char *auction = body_load(GAVEL_SOURCE_DIR "/schemas/auction.avsc", &auction_len);
    char *reject = body_load(GAVEL_SOURCE_DIR "/schemas/reject.avsc", &reject_len);
    (void)state;
    for (size_t i = 0; i < board_profile_count; i++) {
        char more[80];
        snprintf(more, sizeof more, ", \"board\": {\"profile\": \"%s\"}", board_profiles[i].name);
        config_case *c = on_board(NULL, more);
        memory_budget b = divided(c);
        assert_string_equal(c->config.profile, board_profiles[i].name);
        expect_lines_that_add_up(&b);
        expect_pipeline(c, &b, gv_span_of(auction, auction_len), gv_span_of(reject, reject_len));
        config_done(c);
    }
    free(auction);
    free(reject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profile_goes_before_the_default),
        cmocka_unit_test(file_goes_before_the_profile),
        cmocka_unit_test(values_that_were_chosen_together_are_taken_together),
        cmocka_unit_test(show_says_where_each_value_comes_from),
        cmocka_unit_test(every_profile_can_be_chosen_and_every_choice_is_one),
        cmocka_unit_test(every_setting_is_an_option_and_within_its_bounds),
        cmocka_unit_test(small_boards_keep_the_promise_of_12_mib),
        cmocka_unit_test(every_profile_fits_into_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
