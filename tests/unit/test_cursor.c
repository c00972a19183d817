#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/cursor.h"
#include "tests/doubles/fs_double.h"
#include "tests/doubles/log_double.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH "state/eu-604-0.cursor"
#define OLD  1404174601
#define NEW  1404178201

static fs_double *disk;
static plat_fs fs;
static log_double said;

static int setup(void **state)
{
    (void)state;
    disk = calloc(1, sizeof *disk);
    fs = fs_double_table(disk);
    log_double_open(&said);
    return disk ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    log_double_close(&said);
    free(disk);
    return 0;
}

static feed thrall(int64_t last_modified, const char *etag)
{
    feed f = { .region = "eu", .realm = 604, .last_modified = last_modified };
    snprintf(f.etag, sizeof f.etag, "%s", etag);
    return f;
}

static feed loaded(void)
{
    feed f = thrall(0, "");
    cursor_load(&fs, "state", &f);
    return f;
}

static void save(int64_t last_modified, const char *etag)
{
    gv_error err = { 0, "" };
    feed f = thrall(last_modified, etag);
    assert_int_equal(cursor_save(&fs, "state", &f, &err), GV_OK);
}

static void saved_cursor_is_loaded_again(void **state)
{
    static const char *const etags[] = { "", "\"abc\"", "W/\"a\\b/ \"", "#!%&~" };
    (void)state;
    for (size_t i = 0; i < sizeof etags / sizeof etags[0]; i++) {
        save(OLD + (int64_t)i, etags[i]);
        feed f = loaded();
        assert_int_equal(f.last_modified, OLD + (int64_t)i);
        assert_string_equal(f.etag, etags[i]);
    }
    char longest[HTTP_ETAG_MAX];
    memset(longest, '"', sizeof longest); /* each is two bytes in JSON */
    longest[sizeof longest - 1] = '\0';
    save(OLD, longest);
    assert_string_equal(loaded().etag, longest);
}

static void no_cursor_is_no_cursor_and_not_worth_a_word(void **state)
{
    (void)state;
    feed f = loaded();
    assert_int_equal(f.last_modified, 0);
    assert_string_equal(f.etag, "");
    assert_int_equal(log_double_count(&said, "cursor"), 0);
}

static void cursor_that_was_saved_survives_a_power_cut(void **state)
{
    (void)state;
    save(OLD, "\"old\"");
    fs_double_power_cut(disk);
    assert_int_equal(loaded().last_modified, OLD);
    save(NEW, "\"new\"");
    fs_double_power_cut(disk);
    assert_int_equal(loaded().last_modified, NEW);
}

static void expect_old_or_new(void)
{
    feed f = loaded();
    if (f.last_modified == NEW)
        assert_string_equal(f.etag, "\"new\"");
    else
        assert_int_equal(f.last_modified, OLD);
    if (f.last_modified == OLD)
        assert_string_equal(f.etag, "\"old\"");
    assert_int_equal(log_double_count(&said, "damaged"), 0);
}

/* Fails operation after operation until a run has nothing left to fail. */
static void any_failing_operation_leaves_the_old_cursor_or_the_new_one(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (unsigned n = 1;; n++) {
        gv_error err = { 0, "" };
        feed f = thrall(NEW, "\"new\"");
        save(OLD, "\"old\"");
        disk->fail_at = n;
        gv_status st = cursor_save(&fs, "state", &f, &err);
        bool injected = disk->fail_at == 0;
        disk->fail_at = 0;
        if (injected) {
            failed++;
            assert_int_equal(st, GV_IO);
            assert_true(err.text[0] != '\0');
        }
        expect_old_or_new();
        fs_double_power_cut(disk);
        expect_old_or_new();
        if (!injected)
            break;
    }
    assert_true(failed >= 5); /* open, write, sync, rename, sync_dir */
}

static void power_cut_at_any_operation_leaves_the_old_cursor_or_the_new_one(void **state)
{
    (void)state;
    unsigned operations;
    save(OLD, "\"old\"");
    operations = disk->operations;
    save(OLD, "\"old\"");
    operations = disk->operations - operations;
    for (unsigned n = 1; n <= operations; n++) {
        gv_error err = { 0, "" };
        feed f = thrall(NEW, "\"new\"");
        save(OLD, "\"old\"");
        disk->dead_from = n;
        assert_int_not_equal(cursor_save(&fs, "state", &f, &err), GV_OK);
        fs_double_power_cut(disk);
        expect_old_or_new();
    }
}

static void damaged_cursor_is_set_aside_with_a_warning_and_never_deleted(void **state)
{
    static const char *const damaged[] = {
        "",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_mod",
        "{\"version\":2,\"feed\":\"eu/604/0\",\"last_modified\":5,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/605/0\",\"last_modified\":5,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":0,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":-5,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":253402300800,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":\"5\",\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":5}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":5,\"etag\":\"a\\r\\nX-Evil: 1\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":0.5,\"etag\":\"\"}",
        "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":1e300,\"etag\":\"\"}",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        fs_content kept, gone;
        fs_double_write(disk, PATH, damaged[i]);
        feed f = loaded();
        assert_int_equal(f.last_modified, 0);
        assert_string_equal(f.etag, "");
        assert_int_equal(log_double_count(&said, "damaged cursor set aside"), i + 1);
        assert_false(fs_double_read(disk, PATH, &gone));
        assert_true(fs_double_read(disk, PATH ".damaged", &kept));
        assert_true(gv_span_equal(gv_span_of(kept.data, kept.len), gv_span_str(damaged[i])));
        assert_int_equal(loaded().last_modified, 0);
    }
    save(OLD, "");
    assert_int_equal(loaded().last_modified, OLD);
}

static void etag_that_is_too_long_is_damaged(void **state)
{
    (void)state;
    char text[512], etag[HTTP_ETAG_MAX + 1];
    memset(etag, 'e', sizeof etag);
    for (size_t len = HTTP_ETAG_MAX - 1; len <= HTTP_ETAG_MAX; len++) {
        snprintf(text, sizeof text,
                 "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":5,\"etag\":\"%.*s\"}",
                 (int)len, etag);
        fs_double_write(disk, PATH, text);
        assert_int_equal(loaded().last_modified, len < HTTP_ETAG_MAX ? 5 : 0);
    }
}

static void cursor_larger_than_any_of_ours_is_damaged(void **state)
{
    (void)state;
    fs_content kept;
    char large[FS_DOUBLE_BYTES];
    memset(large, ' ', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    fs_double_write(disk, PATH, large);
    assert_int_equal(loaded().last_modified, 0);
    assert_true(fs_double_read(disk, PATH ".damaged", &kept));
}

/* A card that cannot be read now may be read the next time: nothing is moved. */
static void unreadable_cursor_stays_where_it_is(void **state)
{
    (void)state;
    fs_content kept;
    save(OLD, "\"old\"");
    for (unsigned n = 1; n <= 3; n++) { /* open, size, read */
        disk->fail_at = n;
        assert_int_equal(loaded().last_modified, 0);
        assert_int_equal(log_double_count(&said, "cursor cannot be read"), n);
    }
    assert_true(fs_double_read(disk, PATH, &kept));
    assert_int_equal(loaded().last_modified, OLD);
}

static void feeds_do_not_share_a_cursor(void **state)
{
    (void)state;
    gv_error err = { 0, "" };
    feed feeds[] = { thrall(1, ""), thrall(2, ""), thrall(3, ""), thrall(4, "") };
    feeds[1].realm = 60;
    feeds[1].house = 4; /* 60-4 is not 604 */
    feeds[2].house = 2;
    memcpy(feeds[3].region, "us", 3);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(cursor_save(&fs, "state", &feeds[i], &err), GV_OK);
    for (size_t i = 0; i < 4; i++) {
        feed f = feeds[i];
        f.last_modified = 0;
        cursor_load(&fs, "state", &f);
        assert_int_equal(f.last_modified, i + 1);
    }
}

static void path_that_is_too_long_is_an_error_with_words(void **state)
{
    (void)state;
    gv_error err = { 0, "" };
    char dir[PLAT_PATH_MAX];
    feed f = thrall(OLD, "");
    memset(dir, 'd', sizeof dir - 1);
    dir[sizeof dir - 1] = '\0';
    assert_int_equal(cursor_save(&fs, dir, &f, &err), GV_FULL);
    assert_non_null(strstr(err.text, "eu/604/0"));
    assert_int_equal(disk->operations, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(saved_cursor_is_loaded_again),
        TEST(no_cursor_is_no_cursor_and_not_worth_a_word),
        TEST(cursor_that_was_saved_survives_a_power_cut),
        TEST(any_failing_operation_leaves_the_old_cursor_or_the_new_one),
        TEST(power_cut_at_any_operation_leaves_the_old_cursor_or_the_new_one),
        TEST(damaged_cursor_is_set_aside_with_a_warning_and_never_deleted),
        TEST(etag_that_is_too_long_is_damaged),
        TEST(cursor_larger_than_any_of_ours_is_damaged),
        TEST(unreadable_cursor_stays_where_it_is),
        TEST(feeds_do_not_share_a_cursor),
        TEST(path_that_is_too_long_is_an_error_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
