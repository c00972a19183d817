/* What every port of platform/fs.h promises of files and names, and what is built on it (platform/fs.c). */
#include "tests/conformance/fs_ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int count;
    int stop_after;
    char names[8][32];
} listing;

static bool list_one(void *arg, const char *name)
{
    listing *l = arg;

    if (l->count < 8)
        snprintf(l->names[l->count], sizeof l->names[0], "%s", name);
    return ++l->count != l->stop_after;
}

static listing list(const char *path)
{
    listing l = { .stop_after = 100 };

    OK(fs.list_dir(fs.ctx, path, list_one, &l, NULL));
    return l;
}

/* --- files ------------------------------------------------------------------------------------ */
static void a_created_file_reads_back_what_was_written(void **state)
{
    int file = opened(in(dir, "a"), PLAT_CREATE);
    char buf[16] = "";
    size_t got = 99;

    (void)state;
    assert_int_equal(size_of(file), 0);
    OK(fs.read_at(fs.ctx, file, 0, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 0);
    OK(fs.write_at(fs.ctx, file, 0, "hello", 5, NULL));
    OK(fs.write_at(fs.ctx, file, 2, "LL", 2, NULL));
    OK(fs.read_at(fs.ctx, file, 1, buf, 3, &got, NULL));
    assert_int_equal(got, 3);
    assert_memory_equal(buf, "eLL", 3);
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "heLLo");
}

static void a_read_is_short_only_at_the_end(void **state)
{
    int file;
    char buf[16];
    size_t got = 99;

    (void)state;
    put_file(in(dir, "a"), "0123456789");
    file = opened(in(dir, "a"), PLAT_READ);
    OK(fs.read_at(fs.ctx, file, 6, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 4);
    assert_memory_equal(buf, "6789", 4);
    OK(fs.read_at(fs.ctx, file, 10, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 0);
    OK(fs.read_at(fs.ctx, file, 1000000, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 0);
    OK(fs.read_at(fs.ctx, file, 0, buf, 0, &got, NULL));
    assert_int_equal(got, 0);
    fs.close(fs.ctx, file);
}

static void a_large_transfer_is_whole(void **state)
{
    const size_t len = 1 << 20;
    uint8_t *data = malloc(len), *back = malloc(len);
    int file = opened(in(dir, "large"), PLAT_CREATE);
    size_t got = 0;

    (void)state;
    assert_true(data && back);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    OK(fs.write_at(fs.ctx, file, 3, data, len, NULL));
    OK(fs.read_at(fs.ctx, file, 3, back, len, &got, NULL));
    assert_int_equal(got, len);
    assert_memory_equal(data, back, len);
    assert_int_equal(size_of(file), len + 3);
    fs.close(fs.ctx, file);
    free(data);
    free(back);
}

static void a_gap_reads_as_zeros(void **state)
{
    int file = opened(in(dir, "a"), PLAT_CREATE);
    char buf[8];
    size_t got = 0;

    (void)state;
    OK(fs.write_at(fs.ctx, file, 4, "end", 3, NULL));
    OK(fs.read_at(fs.ctx, file, 0, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 7);
    assert_memory_equal(buf, "\0\0\0\0end", 7);
    fs.close(fs.ctx, file);
}

static void truncate_cuts_and_grows_with_zeros(void **state)
{
    int file;
    char buf[8];
    size_t got = 0;

    (void)state;
    put_file(in(dir, "a"), "abcdef");
    file = opened(in(dir, "a"), PLAT_WRITE);
    OK(fs.truncate(fs.ctx, file, 2, NULL));
    assert_int_equal(size_of(file), 2);
    OK(fs.truncate(fs.ctx, file, 5, NULL));
    assert_int_equal(size_of(file), 5);
    OK(fs.read_at(fs.ctx, file, 0, buf, sizeof buf, &got, NULL));
    assert_int_equal(got, 5);
    assert_memory_equal(buf, "ab\0\0\0", 5);
    fs.close(fs.ctx, file);
}

static void create_empties_a_file_and_write_keeps_it(void **state)
{
    int file;

    (void)state;
    put_file(in(dir, "a"), "old");
    file = opened(in(dir, "a"), PLAT_WRITE);
    assert_int_equal(size_of(file), 3);
    OK(fs.write_at(fs.ctx, file, 3, "er", 2, NULL));
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "older");
    fs.close(fs.ctx, opened(in(dir, "a"), PLAT_CREATE));
    expect_contents(in(dir, "a"), "");
}

static void only_create_makes_a_file(void **state)
{
    gv_error err = { 0 };
    int file;

    (void)state;
    expect_missing(in(dir, "a"));
    assert_int_equal(fs.open(fs.ctx, in(dir, "a"), PLAT_WRITE, &file, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    expect_missing(in(dir, "a"));
    err = (gv_error){ 0 };
    assert_int_equal(fs.open(fs.ctx, in(dir, "no/such/a"), PLAT_CREATE, &file, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
}

static void a_file_open_for_reading_refuses_writes(void **state)
{
    gv_error err = { 0 };
    int file;

    (void)state;
    put_file(in(dir, "a"), "kept");
    file = opened(in(dir, "a"), PLAT_READ);
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "x", 1, &err), GV_IO);
    assert_true(err.os_errno != 0 && err.text[0] != '\0');
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "kept");
}

static void synced_files_and_directories_are_no_different_to_read(void **state)
{
    int file = opened(in(dir, "a"), PLAT_CREATE);

    (void)state;
    OK(fs.write_at(fs.ctx, file, 0, "synced", 6, NULL));
    OK(fs.sync(fs.ctx, file, NULL));
    OK(fs.sync(fs.ctx, file, NULL));
    fs.close(fs.ctx, file);
    OK(fs.sync_dir(fs.ctx, dir, NULL));
    expect_contents(in(dir, "a"), "synced");
}

static void two_files_are_open_at_once(void **state)
{
    int a = opened(in(dir, "a"), PLAT_CREATE), b = opened(in(dir, "b"), PLAT_CREATE);

    (void)state;
    assert_int_not_equal(a, b);
    OK(fs.write_at(fs.ctx, a, 0, "one", 3, NULL));
    OK(fs.write_at(fs.ctx, b, 0, "two", 3, NULL));
    fs.close(fs.ctx, a);
    OK(fs.write_at(fs.ctx, b, 3, "!", 1, NULL));
    fs.close(fs.ctx, b);
    expect_contents(in(dir, "a"), "one");
    expect_contents(in(dir, "b"), "two!");
}

static void a_full_disk_is_told_apart(void **state)
{
    gv_error err = { 0 };
    int file;

    (void)state;
    file = opened(port->full(true), PLAT_WRITE);
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "x", 1, &err), GV_FULL);
    assert_int_equal(err.os_errno, ENOSPC);
    fs.close(fs.ctx, file);
    port->full(false);
}

/* --- names ------------------------------------------------------------------------------------ */
static void rename_replaces_what_was_there(void **state)
{
    gv_error err = { 0 };

    (void)state;
    put_file(in(dir, "new"), "new");
    put_file(in(dir, "old"), "old");
    OK(fs.rename(fs.ctx, in(dir, "new"), in(dir, "old"), NULL));
    expect_contents(in(dir, "old"), "new");
    expect_missing(in(dir, "new"));
    assert_int_equal(fs.rename(fs.ctx, in(dir, "new"), in(dir, "old"), &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    expect_contents(in(dir, "old"), "new");
}

static void an_open_file_keeps_its_bytes_under_a_new_name(void **state)
{
    int file = opened(in(dir, "a"), PLAT_CREATE);

    (void)state;
    OK(fs.write_at(fs.ctx, file, 0, "one", 3, NULL));
    OK(fs.rename(fs.ctx, in(dir, "a"), in(dir, "b"), NULL));
    OK(fs.write_at(fs.ctx, file, 3, " two", 4, NULL));
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "b"), "one two");
}

static void remove_is_content_when_there_is_nothing(void **state)
{
    (void)state;
    put_file(in(dir, "a"), "x");
    OK(fs.remove(fs.ctx, in(dir, "a"), NULL));
    expect_missing(in(dir, "a"));
    OK(fs.remove(fs.ctx, in(dir, "a"), NULL));
    assert_int_equal(list(dir).count, 0);
}

static void make_dir_makes_parents_and_is_content_when_it_exists(void **state)
{
    gv_error err = { 0 };
    char deep[PLAT_PATH_MAX];

    (void)state;
    snprintf(deep, sizeof deep, "%s", in(dir, "one/two/three"));
    OK(fs.make_dir(fs.ctx, deep, NULL));
    OK(fs.make_dir(fs.ctx, deep, NULL));
    put_file(in(deep, "a"), "x");
    expect_contents(in(deep, "a"), "x");
    OK(fs.remove(fs.ctx, in(deep, "a"), NULL));
    put_file(in(dir, "file"), "x");
    assert_int_equal(fs.make_dir(fs.ctx, in(dir, "file"), &err), GV_IO);
    assert_int_equal(err.os_errno, ENOTDIR);
    err = (gv_error){ 0 };
    assert_int_equal(fs.make_dir(fs.ctx, in(dir, "file/under"), &err), GV_IO);
    assert_int_equal(err.os_errno, ENOTDIR);
}

static void a_path_that_is_too_long_is_refused_by_make_dir(void **state)
{
    char path[PLAT_PATH_MAX + 1];
    gv_error err = { 0 };

    (void)state;
    memset(path, 'x', sizeof path);
    path[PLAT_PATH_MAX] = '\0';
    assert_int_equal(fs.make_dir(fs.ctx, path, &err), GV_INVAL);
    assert_true(err.text[0] != '\0');
    assert_int_equal(fs.make_dir(fs.ctx, "", NULL), GV_INVAL);
}

static void a_listing_has_every_entry_once_and_stops_when_told(void **state)
{
    listing l = list(dir);
    int seen = 0;

    (void)state;
    assert_int_equal(l.count, 0);
    put_file(in(dir, "a"), "");
    put_file(in(dir, ".b"), "");
    OK(fs.make_dir(fs.ctx, in(dir, "c"), NULL));
    l = list(dir);
    assert_int_equal(l.count, 3);
    for (int i = 0; i < l.count; i++)
        seen |= strcmp(l.names[i], "a") == 0 ? 1 : strcmp(l.names[i], ".b") == 0 ? 2 : 4;
    assert_int_equal(seen, 7);
    l = (listing){ .stop_after = 2 };
    OK(fs.list_dir(fs.ctx, dir, list_one, &l, NULL));
    assert_int_equal(l.count, 2);
}

static void what_is_no_directory_can_neither_be_listed_nor_synced(void **state)
{
    gv_error err = { 0 };
    listing l = { 0 };

    (void)state;
    assert_int_equal(fs.list_dir(fs.ctx, in(dir, "no"), list_one, &l, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    err = (gv_error){ 0 };
    assert_int_equal(fs.sync_dir(fs.ctx, in(dir, "no"), &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    put_file(in(dir, "file"), "");
    err = (gv_error){ 0 };
    assert_int_equal(fs.list_dir(fs.ctx, in(dir, "file"), list_one, &l, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOTDIR);
    assert_int_equal(l.count, 0);
}

/* --- whole files ------------------------------------------------------------------------------ */
static void load_takes_a_file_up_to_the_cap(void **state)
{
    char buf[8];
    size_t len = 99;
    gv_error err = { 0 };

    (void)state;
    put_file(in(dir, "a"), "12345678");
    OK(plat_fs_load(&fs, in(dir, "a"), buf, 8, &len, NULL));
    assert_int_equal(len, 8);
    assert_int_equal(plat_fs_load(&fs, in(dir, "a"), buf, 7, &len, &err), GV_FULL);
    assert_non_null(strstr(err.text, in(dir, "a")));
    put_file(in(dir, "empty"), "");
    OK(plat_fs_load(&fs, in(dir, "empty"), buf, 8, &len, NULL));
    assert_int_equal(len, 0);
    err = (gv_error){ 0 };
    assert_int_equal(plat_fs_load(&fs, in(dir, "no"), buf, 8, &len, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
}

static void replace_puts_a_whole_file_and_leaves_nothing_beside_it(void **state)
{
    (void)state;
    OK(plat_fs_replace(&fs, in(dir, "a"), "first", 5, NULL));
    expect_contents(in(dir, "a"), "first");
    OK(plat_fs_replace(&fs, in(dir, "a"), "2nd", 3, NULL));
    expect_contents(in(dir, "a"), "2nd");
    OK(plat_fs_replace(&fs, in(dir, "a"), "", 0, NULL));
    expect_contents(in(dir, "a"), "");
    assert_int_equal(list(dir).count, 1);
}

static void replace_in_no_directory_says_so(void **state)
{
    char path[PLAT_PATH_MAX];
    gv_error err = { 0 };

    (void)state;
    assert_int_equal(plat_fs_replace(&fs, in(dir, "no/a"), "x", 1, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(plat_fs_replace(&fs, path, "x", 1, NULL), GV_INVAL);
}

/* --- a disk that fails -------------------------------------------------------------------------- */
/* Passes on to the port, and fails the operation that fails_in counts down to. */
static int fails_in;

static bool fails(gv_error *err)
{
    if (fails_in == 0 || --fails_in != 0)
        return false;
    gv_fail_errno(err, EIO, "injected");
    return true;
}

static gv_status failing_open(void *ctx, const char *path, plat_open_mode mode, int *file,
                              gv_error *err)
{
    (void)ctx;
    return fails(err) ? GV_IO : fs.open(fs.ctx, path, mode, file, err);
}

static gv_status failing_write_at(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                                  gv_error *err)
{
    (void)ctx;
    if (!fails(err))
        return fs.write_at(fs.ctx, file, offset, buf, len, err);
    (void)fs.write_at(fs.ctx, file, offset, buf, len / 2, NULL); /* torn */
    return GV_IO;
}

static gv_status failing_sync(void *ctx, int file, gv_error *err)
{
    (void)ctx;
    return fails(err) ? GV_IO : fs.sync(fs.ctx, file, err);
}

static gv_status failing_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    (void)ctx;
    return fails(err) ? GV_IO : fs.rename(fs.ctx, from, to, err);
}

static gv_status failing_sync_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    return fails(err) ? GV_IO : fs.sync_dir(fs.ctx, path, err);
}

static plat_fs failing(void)
{
    plat_fs f = fs;

    f.open = failing_open;
    f.write_at = failing_write_at;
    f.sync = failing_sync;
    f.rename = failing_rename;
    f.sync_dir = failing_sync_dir;
    return f;
}

static void replace_leaves_the_old_or_the_new_file_whatever_fails(void **state)
{
    plat_fs bad = failing();
    int rounds = 0;

    (void)state;
    for (;; rounds++) {
        char buf[64] = "";
        size_t len = 0;
        gv_error err = { 0 };
        gv_status status;
        OK(plat_fs_replace(&fs, in(dir, "a"), "the old one", 11, NULL));
        fails_in = rounds + 1;
        status = plat_fs_replace(&bad, in(dir, "a"), "the new one", 11, &err);
        if (fails_in > 0) { /* nothing was left to fail */
            assert_int_equal(status, GV_OK);
            break;
        }
        assert_int_equal(status, GV_IO);
        assert_int_equal(err.os_errno, EIO);
        OK(plat_fs_load(&fs, in(dir, "a"), buf, sizeof buf, &len, NULL));
        assert_true(strcmp(buf, "the old one") == 0 || strcmp(buf, "the new one") == 0);
        /* Up to the rename the old one; a caller that was told of a failure may try again. */
        if (rounds < 4)
            assert_string_equal(buf, "the old one");
    }
    fails_in = 0;
    assert_int_equal(rounds, 5); /* open, write, sync, rename, directory sync: none is left out */
    expect_contents(in(dir, "a"), "the new one");
}

#define TEST(function) cmocka_unit_test_setup(function, fs_fresh_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_created_file_reads_back_what_was_written),
        TEST(a_read_is_short_only_at_the_end),
        TEST(a_large_transfer_is_whole),
        TEST(a_gap_reads_as_zeros),
        TEST(truncate_cuts_and_grows_with_zeros),
        TEST(create_empties_a_file_and_write_keeps_it),
        TEST(only_create_makes_a_file),
        TEST(a_file_open_for_reading_refuses_writes),
        TEST(synced_files_and_directories_are_no_different_to_read),
        TEST(two_files_are_open_at_once),
        TEST(a_full_disk_is_told_apart),
        TEST(rename_replaces_what_was_there),
        TEST(an_open_file_keeps_its_bytes_under_a_new_name),
        TEST(remove_is_content_when_there_is_nothing),
        TEST(make_dir_makes_parents_and_is_content_when_it_exists),
        TEST(a_path_that_is_too_long_is_refused_by_make_dir),
        TEST(a_listing_has_every_entry_once_and_stops_when_told),
        TEST(what_is_no_directory_can_neither_be_listed_nor_synced),
        TEST(load_takes_a_file_up_to_the_cap),
        TEST(replace_puts_a_whole_file_and_leaves_nothing_beside_it),
        TEST(replace_in_no_directory_says_so),
        TEST(replace_leaves_the_old_or_the_new_file_whatever_fails),
    };

    return fs_ports_run(tests, sizeof tests / sizeof tests[0]);
}
