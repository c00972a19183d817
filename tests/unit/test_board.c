/* Which machine this is, and that what its profile says is possible, explained and can be overruled. */
#include "board/board.h"
#include "tests/doubles/disk_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *profile_of(const char *model)
{
    return board_of_model(model)->name;
}

/* Models as the firmware writes them into the device tree. */
static void every_board_is_known_by_its_model(void **state)
{
    static const char *const cases[][2] = {
        { "Raspberry Pi Model B Rev 2", "rpi1" },
        { "Raspberry Pi Model B Plus Rev 1.2", "rpi1" },
        { "Raspberry Pi Model A Plus Rev 1.1", "rpi1" },
        { "Raspberry Pi Compute Module Rev 1.0", "rpi1" },
        { "Raspberry Pi Zero Rev 1.3", "rpi-zero" },
        { "Raspberry Pi Zero W Rev 1.1", "rpi-zero" },
        { "Raspberry Pi Zero 2 W Rev 1.0", "rpi-zero2" },
        { "Raspberry Pi 3 Model A Plus Rev 1.0", "rpi-zero2" },
        { "Raspberry Pi 2 Model B Rev 1.1", "rpi2" },
        { "Raspberry Pi 3 Model B Rev 1.2", "rpi3" },
        { "Raspberry Pi 3 Model B Plus Rev 1.3", "rpi3" },
        { "Raspberry Pi Compute Module 3 Plus Rev 1.0", "rpi3" },
        { "Raspberry Pi 4 Model B Rev 1.5", "rpi4" },
        { "Raspberry Pi 400 Rev 1.0", "rpi4" },
        { "Raspberry Pi Compute Module 4 Rev 1.1", "rpi4" },
        { "Raspberry Pi Compute Module 4S Rev 1.0", "rpi4" },
        { "Raspberry Pi 5 Model B Rev 1.0", "rpi5" },
        { "Raspberry Pi 500 Rev 1.0", "rpi5" },
        { "Raspberry Pi Compute Module 5 Rev 1.0", "rpi5" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(profile_of(cases[i][0]), cases[i][1]);
}

static void what_nobody_knows_is_generic(void **state)
{
    static const char *const models[] = {
        "",
        "Raspberry Pi",
        "Raspberry Pi 6 Model B Rev 1.0",
        "Raspberry Pi 50", /* not "Raspberry Pi 5", whose name only begins like it */
        "Raspberry Pi Compute Module 45",
        "raspberry pi 4 model b",
        "Pine64 RockPro64 v2.1",
        "|",
    };
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        assert_string_equal(profile_of(models[i]), "generic");
}

static void every_name_of_a_model_finds_its_own_profile(void **state)
{
    (void)state;
    for (size_t i = 0; i < board_profile_count; i++) {
        const board_profile *p = &board_profiles[i];
        assert_ptr_equal(board_find(p->name), p); /* no name twice */
        for (const char *m = p->models; *m;) {
            char model[BOARD_MODEL_MAX];
            size_t len = strcspn(m, "|");
            snprintf(model, sizeof model, "%.*s", (int)len, m);
            assert_true(len > 0);
            assert_string_equal(profile_of(model), p->name);
            m += len + (m[len] == '|');
        }
    }
    assert_null(board_find("rpi"));
    assert_null(board_find(""));
}

static void model_is_read_from_the_device_tree_whatever_is_there(void **state)
{
    static const char zero2[] = "Raspberry Pi Zero 2 W Rev 1.0"; /* the NUL is part of the file */
    char model[BOARD_MODEL_MAX], junk[4096];
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    (void)state;
    board_model(&fs, model);
    assert_string_equal(model, "");
    disk_double_put(disk, BOARD_MODEL_PATH, zero2, sizeof zero2);
    board_model(&fs, model);
    assert_string_equal(model, "Raspberry Pi Zero 2 W Rev 1.0");
    disk_double_put(disk, BOARD_MODEL_PATH, zero2, sizeof zero2 - 1);
    board_model(&fs, model);
    assert_string_equal(model, "Raspberry Pi Zero 2 W Rev 1.0");
    memset(junk, 'x', sizeof junk);
    disk_double_put(disk, BOARD_MODEL_PATH, junk, sizeof junk);
    board_model(&fs, model);
    assert_int_equal(strlen(model), BOARD_MODEL_MAX - 1);
    disk_double_unreadable(disk, BOARD_MODEL_PATH, 0, sizeof junk);
    board_model(&fs, model);
    assert_string_equal(model, "");
    assert_int_equal(disk_double_open_files(disk), 0);
    disk_double_free(disk);
}

/* --- the page --------------------------------------------------------------------------------- */
static void cell(char *out, size_t cap, int64_t value)
{
    if (value == BOARD_KEEP)
        snprintf(out, cap, "-");
    else
        snprintf(out, cap, "%lld", (long long)value);
}

static void row(const board_profile *p, char *out, size_t cap)
{
    size_t used = (size_t)snprintf(out, cap, "| `%s` | %s |", p->name, p->about);
    for (size_t i = 0; i < BOARD_SETTINGS; i++) {
        char value[32];
        cell(value, sizeof value, p->settings[i]);
        used += (size_t)snprintf(out + used, cap - used, " %s |", value);
    }
    assert_true(used < cap);
}

static void readme_has_every_profile_as_it_is(void **state)
{
    static char page[64 * 1024];
    FILE *file = fopen(GAVEL_SOURCE_DIR "/board/README.md", "rb");
    (void)state;
    assert_non_null(file);
    assert_true(fread(page, 1, sizeof page - 1, file) > 500);
    fclose(file);
    for (size_t i = 0; i < BOARD_SETTINGS; i++) {
        char name[64];
        snprintf(name, sizeof name, "`%s`", board_setting_paths[i]);
        assert_non_null(strstr(page, name));
    }
    for (size_t i = 0; i < board_profile_count; i++) {
        char line[512];
        row(&board_profiles[i], line, sizeof line);
        if (!strstr(page, line))
            fail_msg("board/README.md lacks the line: %s", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_board_is_known_by_its_model),
        cmocka_unit_test(what_nobody_knows_is_generic),
        cmocka_unit_test(every_name_of_a_model_finds_its_own_profile),
        cmocka_unit_test(model_is_read_from_the_device_tree_whatever_is_there),
        cmocka_unit_test(readme_has_every_profile_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
