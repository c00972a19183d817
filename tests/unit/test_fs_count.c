/* Everything passes through, and what a card has to write is counted. */
#include "platform/fs_count.h"
#include "tests/doubles/disk_double.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static disk_double *disk;
static plat_fs below, fs;
static fs_count count;

static int setup(void **state)
{
    (void)state;
    disk = disk_double_new(1 << 20);
    below = disk_double_table(disk);
    fs = fs_count_table(&count, &below);
    return below.make_dir(below.ctx, "d", NULL) == GV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    disk_double_free(disk);
    return 0;
}

#define OK(call) assert_int_equal(call, GV_OK)

static void what_is_written_synced_and_removed_is_counted(void **state)
{
    int file;
    (void)state;
    OK(fs.open(fs.ctx, "d/a", PLAT_CREATE_NEW, &file, NULL));
    OK(fs.write_at(fs.ctx, file, 0, "12345", 5, NULL));
    OK(fs.write_at(fs.ctx, file, 2, "678", 3, NULL));
    OK(fs.sync(fs.ctx, file, NULL));
    fs.close(fs.ctx, file);
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    OK(fs.remove(fs.ctx, "d/a", NULL));
    assert_int_equal(count.written_bytes, 8);
    assert_int_equal(count.writes, 2);
    assert_int_equal(count.file_syncs, 1);
    assert_int_equal(count.dir_syncs, 2);
    assert_int_equal(count.removes, 1);
}

/* Every function, so that none is passed on to the wrong one below. */
static void all_that_is_asked_reaches_the_file_system_below(void **state)
{
    char back[8];
    size_t got;
    uint64_t size, room;
    int file, locked, other;
    gv_span content;
    (void)state;
    OK(fs.make_dir(fs.ctx, "d/e", NULL));
    OK(fs.open(fs.ctx, "d/e/a", PLAT_CREATE, &file, NULL));
    OK(fs.reserve(fs.ctx, file, 4096, NULL));
    OK(fs.free_bytes(fs.ctx, "d", &room, NULL));
    assert_int_equal(room, (1 << 20) - 4096);
    OK(fs.write_at(fs.ctx, file, 1, "xyz", 3, NULL));
    OK(fs.truncate(fs.ctx, file, 3, NULL));
    OK(fs.size(fs.ctx, file, &size, NULL));
    assert_int_equal(size, 3);
    OK(fs.read_at(fs.ctx, file, 0, back, sizeof back, &got, NULL));
    assert_int_equal(got, 3);
    assert_memory_equal(back, "\0xy", 3);
    OK(fs.sync(fs.ctx, file, NULL));
    fs.close(fs.ctx, file);
    OK(fs.rename(fs.ctx, "d/e/a", "d/e/b", NULL));
    OK(fs.sync_dir(fs.ctx, "d/e", NULL));
    OK(fs.lock(fs.ctx, "d/lock", &locked, NULL));
    assert_int_equal(below.lock(below.ctx, "d/lock", &other, NULL), GV_AGAIN);
    fs.close(fs.ctx, locked);
    assert_int_equal(disk_double_open_files(disk), 0);
    disk_double_cut(disk, DISK_LOST, 0);
    assert_true(disk_double_look(disk, "d/e/b", &content));
    assert_true(gv_span_equal(content, gv_span_of("\0xy", 3)));
}

static bool one_more(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return true;
}

static void looking_counts_nothing(void **state)
{
    fs_count before = count;
    int entries = 0;
    uint64_t bytes;
    (void)state;
    OK(fs.list_dir(fs.ctx, ".", one_more, &entries, NULL));
    assert_int_equal(entries, 1);
    OK(fs.free_bytes(fs.ctx, "d", &bytes, NULL));
    assert_memory_equal(&before, &count, sizeof count);
}

static void what_failed_is_not_counted_and_its_error_comes_through(void **state)
{
    int file;
    (void)state;
    OK(fs.open(fs.ctx, "d/a", PLAT_CREATE, &file, NULL));
    for (int i = 0; i < 4; i++) {
        gv_error err = { 0 };
        disk->fail_at = disk->operations + 1;
        gv_status st = i == 0   ? fs.write_at(fs.ctx, file, 0, "x", 1, &err)
                       : i == 1 ? fs.sync(fs.ctx, file, &err)
                       : i == 2 ? fs.sync_dir(fs.ctx, "d", &err)
                                : fs.remove(fs.ctx, "d/a", &err);
        assert_int_equal(st, GV_IO);
        assert_true(err.os_errno != 0);
    }
    fs.close(fs.ctx, file);
    assert_int_equal(count.written_bytes + count.writes + count.removes, 0);
    assert_int_equal(count.file_syncs + count.dir_syncs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_synced_and_removed_is_counted),
        TEST(all_that_is_asked_reaches_the_file_system_below),
        TEST(looking_counts_nothing),
        TEST(what_failed_is_not_counted_and_its_error_comes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
