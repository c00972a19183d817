#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/cursor.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH "state/eu-604-0.cursor"
#define OLD  1404174601
#define NEW  1404178201

static disk_double *disk;
static plat_fs fs;
static log_double said;

static int setup(void **state)
{
    (void)state;
    disk = disk_double_new(1 << 20);
    fs = disk_double_table(disk);
    log_double_open(&said);
    return fs.make_dir(fs.ctx, "state", NULL) == GV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    log_double_close(&said);
    disk_double_free(disk);
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

/* From 2038 on 31 bits are too few for a time, from 2106 on 32. */
static void times_beyond_2038_and_2106_are_kept(void **state)
{
    static const int64_t times[] = { INT64_C(2147483648), INT64_C(2211854706), INT64_C(4294967296),
                                     INT64_C(4342327872), INT64_C(253402300799) };
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        save(times[i], "");
        assert_true(loaded().last_modified == times[i]);
        assert_true(cursor_newest(&fs, "state") == times[i]);
    }
}

static void no_cursor_is_no_cursor_and_not_worth_a_word(void **state)
{
    (void)state;
    feed f = loaded();
    assert_int_equal(f.last_modified, 0);
    assert_string_equal(f.etag, "");
    assert_int_equal(log_double_count(&said, "cursor"), 0);
}

/* As many as show every block of a small file and every name both lost and kept. */
#define SEEDS 32

/* Does check() with each state that a power cut may leave. */
static void after_any_cut(void (*check)(void))
{
    disk_double *before = disk;
    for (int cut = 0; cut < DISK_CUTS; cut++) {
        for (unsigned seed = 0; seed < SEEDS; seed++) {
            disk = disk_double_copy(before);
            fs = disk_double_table(disk);
            disk_double_cut(disk, (disk_cut)cut, seed);
            check();
            disk_double_free(disk);
        }
    }
    disk = before;
    fs = disk_double_table(disk);
}

static void expect_old(void)
{
    assert_int_equal(loaded().last_modified, OLD);
}

static void expect_new(void)
{
    assert_int_equal(loaded().last_modified, NEW);
}

static void cursor_that_was_saved_survives_any_power_cut(void **state)
{
    (void)state;
    save(OLD, "\"old\"");
    after_any_cut(expect_old);
    save(NEW, "\"new\"");
    after_any_cut(expect_new);
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
static unsigned fail_each_operation(disk_fault fault)
{
    for (unsigned failed = 0;; failed++) {
        gv_error err = { 0, "" };
        feed f = thrall(NEW, "\"new\"");
        save(OLD, "\"old\"");
        disk->fault = fault;
        disk->fail_at = disk->operations + 1 + failed;
        gv_status st = cursor_save(&fs, "state", &f, &err);
        bool injected = disk->fail_at == 0;
        disk->fail_at = 0;
        if (injected) {
            assert_int_equal(st, fault == DISK_FULL ? GV_FULL : GV_IO);
            assert_true(err.text[0] != '\0');
        }
        expect_old_or_new();
        after_any_cut(expect_old_or_new);
        if (!injected)
            return failed;
    }
}

static void any_failing_operation_leaves_the_old_cursor_or_the_new_one(void **state)
{
    (void)state;
    assert_true(fail_each_operation(DISK_EIO) >= 5); /* open, write, sync, rename, sync_dir */
    assert_true(fail_each_operation(DISK_FULL) >= 2);
    assert_true(fail_each_operation(DISK_SHORT_WRITE) >= 2);
    assert_true(fail_each_operation(DISK_SYNC_LOSES) >= 3);
}

static void power_cut_at_any_operation_leaves_the_old_cursor_or_the_new_one(void **state)
{
    (void)state;
    unsigned operations;
    save(OLD, "\"old\"");
    operations = disk->operations;
    save(OLD, "\"old\"");
    operations = disk->operations - operations;
    for (unsigned n = 1; n <= 2 * operations; n++) {
        gv_error err = { 0, "" };
        feed f = thrall(NEW, "\"new\"");
        save(OLD, "\"old\"");
        disk->dead_at = disk->operations + (n + 1) / 2;
        disk->dead_half = n % 2;
        assert_int_not_equal(cursor_save(&fs, "state", &f, &err), GV_OK);
        after_any_cut(expect_old_or_new);
        disk_double_cut(disk, DISK_KEPT, 0);
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
        gv_span kept, gone;
        disk_double_put(disk, PATH, damaged[i], strlen(damaged[i]));
        feed f = loaded();
        assert_int_equal(f.last_modified, 0);
        assert_string_equal(f.etag, "");
        assert_int_equal(log_double_count(&said, "damaged cursor set aside"), i + 1);
        assert_false(disk_double_look(disk, PATH, &gone));
        assert_true(disk_double_look(disk, PATH ".damaged", &kept));
        assert_true(gv_span_equal(kept, gv_span_str(damaged[i])));
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
        disk_double_put(disk, PATH, text, strlen(text));
        assert_int_equal(loaded().last_modified, len < HTTP_ETAG_MAX ? 5 : 0);
    }
}

static void cursor_larger_than_any_of_ours_is_damaged(void **state)
{
    (void)state;
    gv_span kept;
    char large[2048];
    memset(large, ' ', sizeof large);
    disk_double_put(disk, PATH, large, sizeof large);
    assert_int_equal(loaded().last_modified, 0);
    assert_true(disk_double_look(disk, PATH ".damaged", &kept));
}

/* A card that cannot be read now may be read the next time: nothing is moved. */
static void unreadable_cursor_stays_where_it_is(void **state)
{
    (void)state;
    gv_span kept;
    save(OLD, "\"old\"");
    for (unsigned n = 1; n <= 3; n++) { /* open, size, read */
        disk->fail_at = disk->operations + n;
        assert_int_equal(loaded().last_modified, 0);
        assert_int_equal(log_double_count(&said, "cursor cannot be read"), n);
    }
    assert_true(disk_double_look(disk, PATH, &kept));
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
    unsigned before = disk->operations;
    assert_int_equal(cursor_save(&fs, dir, &f, &err), GV_FULL);
    assert_non_null(strstr(err.text, "eu/604/0"));
    assert_int_equal(disk->operations, before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(saved_cursor_is_loaded_again),
        TEST(times_beyond_2038_and_2106_are_kept),
        TEST(no_cursor_is_no_cursor_and_not_worth_a_word),
        TEST(cursor_that_was_saved_survives_any_power_cut),
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
