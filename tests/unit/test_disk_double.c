/* What the disk double makes of a fault and of a power cut: other tests lean on it. */
#include "tests/doubles/disk_double.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK    DISK_BLOCK_BYTES
#define CAPACITY (64u * BLOCK)
#define SEEDS    200

static disk_double *disk;
static plat_fs fs;

#define OK(call) assert_int_equal(call, GV_OK)

static int setup(void **state)
{
    (void)state;
    disk = disk_double_new(CAPACITY);
    fs = disk_double_table(disk);
    if (fs.make_dir(fs.ctx, "d", NULL) != GV_OK)
        return -1;
    return fs.make_dir(fs.ctx, "e", NULL) == GV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    disk_double_free(disk);
    return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */
static int opened(const char *path, plat_open_mode mode)
{
    int file;
    OK(fs.open(fs.ctx, path, mode, &file, NULL));
    return file;
}

static void write_text(int file, uint64_t offset, const char *text)
{
    OK(fs.write_at(fs.ctx, file, offset, text, strlen(text), NULL));
}

static bool holds(const disk_double *d, const char *path, const char *text)
{
    gv_span content;
    return disk_double_look(d, path, &content) && gv_span_equal(content, gv_span_str(text));
}

static bool exists(const disk_double *d, const char *path)
{
    gv_span content;
    return disk_double_look(d, path, &content);
}

static void put(const char *path, const char *text)
{
    disk_double_put(disk, path, text, strlen(text));
}

/* The disk as it would be after a cut now. */
static disk_double *after(disk_cut cut, uint64_t seed)
{
    disk_double *copy = disk_double_copy(disk);
    disk_double_cut(copy, cut, seed);
    return copy;
}

static bool holds_after(disk_cut cut, const char *path, const char *text)
{
    disk_double *copy = after(cut, 1);
    bool it_does = holds(copy, path, text);
    disk_double_free(copy);
    return it_does;
}

static bool exists_after(disk_cut cut, const char *path)
{
    disk_double *copy = after(cut, 1);
    bool it_does = exists(copy, path);
    disk_double_free(copy);
    return it_does;
}

/* --- power cuts ------------------------------------------------------------------------------- */
static void bytes_are_durable_with_the_sync_of_their_file(void **state)
{
    (void)state;
    put("d/a", "old");
    int file = opened("d/a", PLAT_WRITE);
    write_text(file, 0, "newer");
    assert_true(holds(disk, "d/a", "newer"));
    assert_true(holds_after(DISK_LOST, "d/a", "old"));
    assert_true(holds_after(DISK_KEPT, "d/a", "newer"));
    OK(fs.sync(fs.ctx, file, NULL));
    OK(fs.truncate(fs.ctx, file, 2, NULL));
    assert_true(holds_after(DISK_LOST, "d/a", "newer"));
    assert_true(holds_after(DISK_KEPT, "d/a", "ne"));
}

static void names_are_durable_with_the_sync_of_their_directory(void **state)
{
    (void)state;
    put("d/gone", "g");
    int file = opened("d/a", PLAT_CREATE_NEW);
    write_text(file, 0, "a");
    OK(fs.sync(fs.ctx, file, NULL));
    OK(fs.remove(fs.ctx, "d/gone", NULL));
    OK(fs.sync_dir(fs.ctx, "e", NULL)); /* another one */
    assert_false(exists_after(DISK_LOST, "d/a"));
    assert_true(holds_after(DISK_LOST, "d/gone", "g"));
    assert_true(holds_after(DISK_KEPT, "d/a", "a"));
    assert_false(exists_after(DISK_KEPT, "d/gone"));
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    assert_true(holds_after(DISK_LOST, "d/a", "a"));
    assert_false(exists_after(DISK_LOST, "d/gone"));
}

/* Whatever else is going on with these names, the file has one of them, once. */
static void a_rename_is_whole_in_any_cut(void **state)
{
    unsigned old = 0, new = 0;
    (void)state;
    put("d/a", "A");
    put("d/b", "B");
    OK(fs.rename(fs.ctx, "d/a", "d/b", NULL));
    fs.close(fs.ctx, opened("d/a", PLAT_CREATE)); /* must not take the name while A has no other */
    for (int cut = 0; cut < DISK_CUTS; cut++) {
        for (unsigned seed = 0; seed < SEEDS; seed++) {
            disk_double *copy = after((disk_cut)cut, seed);
            bool is_old = holds(copy, "d/a", "A") && holds(copy, "d/b", "B");
            bool is_new = !holds(copy, "d/a", "A") && holds(copy, "d/b", "A");
            assert_true(is_old != is_new);
            old += is_old;
            new += is_new;
            disk_double_free(copy);
        }
    }
    assert_true(old > SEEDS && new > SEEDS);
}

static void a_rename_to_another_directory_is_durable_with_that_one(void **state)
{
    (void)state;
    int file = opened("d/a", PLAT_CREATE);
    write_text(file, 0, "A");
    OK(fs.sync(fs.ctx, file, NULL));
    OK(fs.rename(fs.ctx, "d/a", "e/b", NULL));
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    assert_true(holds_after(DISK_LOST, "d/a", "A"));
    OK(fs.sync_dir(fs.ctx, "e", NULL));
    assert_true(holds_after(DISK_LOST, "e/b", "A"));
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    assert_false(exists_after(DISK_LOST, "d/a"));
    assert_true(holds_after(DISK_LOST, "e/b", "A"));
}

static void a_torn_cut_keeps_writes_up_to_any_byte(void **state)
{
    bool seen[10] = { false };
    (void)state;
    put("d/a", "");
    int file = opened("d/a", PLAT_WRITE);
    write_text(file, 0, "123");
    write_text(file, 3, "456");
    write_text(file, 6, "789");
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        disk_double *copy = after(DISK_TORN, seed);
        gv_span content;
        assert_true(disk_double_look(copy, "d/a", &content));
        assert_true(content.len <= 9);
        if (content.len)
            assert_memory_equal(content.data, "123456789", content.len);
        seen[content.len] = true;
        disk_double_free(copy);
    }
    for (size_t len = 0; len <= 9; len++)
        assert_true(seen[len]);
}

/* Three blocks, all 'o' and durable; then 'n' from the middle of the second to the end. */
static void three_blocks(void)
{
    char bytes[3 * BLOCK];
    memset(bytes, 'o', sizeof bytes);
    disk_double_put(disk, "d/a", bytes, sizeof bytes);
    memset(bytes, 'n', sizeof bytes);
    int file = opened("d/a", PLAT_WRITE);
    OK(fs.write_at(fs.ctx, file, BLOCK + BLOCK / 2, bytes, BLOCK + BLOCK / 2, NULL));
}

static bool all(const uint8_t *p, size_t len, char c)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != (uint8_t)c)
            return false;
    return true;
}

static void reordered_blocks_survive_each_for_itself(void **state)
{
    unsigned seen[4] = { 0 };
    (void)state;
    three_blocks();
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        disk_double *copy = after(DISK_REORDERED, seed);
        gv_span c;
        assert_true(disk_double_look(copy, "d/a", &c));
        assert_int_equal(c.len, 3 * BLOCK);
        assert_true(all(c.data, BLOCK + BLOCK / 2, 'o'));
        bool first = all(c.data + BLOCK + BLOCK / 2, BLOCK / 2, 'n');
        bool second = all(c.data + 2 * BLOCK, BLOCK, 'n');
        assert_true(first || all(c.data + BLOCK, BLOCK, 'o'));
        assert_true(second || all(c.data + 2 * BLOCK, BLOCK, 'o'));
        seen[first + 2 * second]++;
        disk_double_free(copy);
    }
    for (int i = 0; i < 4; i++)
        assert_true(seen[i] > SEEDS / 10);
}

static void trash_is_only_in_blocks_that_were_being_written(void **state)
{
    unsigned trashed = 0;
    (void)state;
    three_blocks();
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        disk_double *copy = after(DISK_TRASHED, seed);
        gv_span c;
        assert_true(disk_double_look(copy, "d/a", &c));
        assert_int_equal(c.len, 3 * BLOCK);
        assert_true(all(c.data, BLOCK, 'o'));
        trashed += !all(c.data + BLOCK, BLOCK / 2, 'o'); /* synced, in the same block */
        disk_double_free(copy);
    }
    assert_true(trashed > SEEDS / 20 && trashed < SEEDS / 2);
}

/* A size without its bytes reads as zeros, bytes without their size are cut off. */
static void size_and_bytes_survive_each_for_itself(void **state)
{
    unsigned zeros = 0, empty = 0, whole = 0;
    (void)state;
    put("d/a", "");
    write_text(opened("d/a", PLAT_WRITE), 0, "xyz");
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        disk_double *copy = after(DISK_REORDERED, seed);
        gv_span c;
        assert_true(disk_double_look(copy, "d/a", &c));
        zeros += gv_span_equal(c, gv_span_of("\0\0\0", 3));
        empty += c.len == 0;
        whole += gv_span_equal(c, gv_span_of("xyz", 3));
        disk_double_free(copy);
    }
    assert_int_equal(zeros + empty + whole, SEEDS);
    assert_true(zeros > SEEDS / 10 && empty > SEEDS / 10 && whole > SEEDS / 10);
}

static void the_same_seed_leaves_the_same_disk(void **state)
{
    unsigned different = 0;
    (void)state;
    three_blocks();
    for (int cut = 0; cut < DISK_CUTS; cut++) {
        disk_double *one = after((disk_cut)cut, 7), *two = after((disk_cut)cut, 7);
        disk_double *other = after((disk_cut)cut, 8);
        gv_span a, b, c;
        assert_true(disk_double_look(one, "d/a", &a));
        assert_true(disk_double_look(two, "d/a", &b));
        assert_true(disk_double_look(other, "d/a", &c));
        assert_true(gv_span_equal(a, b));
        different += !gv_span_equal(a, c);
        disk_double_free(one);
        disk_double_free(two);
        disk_double_free(other);
    }
    assert_true(different > 0);
}

static void reserved_room_survives_as_zeros_or_not_at_all(void **state)
{
    (void)state;
    put("d/a", "abc");
    int file = opened("d/a", PLAT_WRITE);
    OK(fs.reserve(fs.ctx, file, 5, NULL));
    assert_true(holds_after(DISK_LOST, "d/a", "abc"));
    disk_double_cut(disk, DISK_KEPT, 0);
    gv_span content;
    assert_true(disk_double_look(disk, "d/a", &content));
    assert_true(gv_span_equal(content, gv_span_of("abc\0\0", 5)));
}

static void open_files_and_locks_end_with_the_power(void **state)
{
    uint64_t bytes;
    gv_error err = { 0 };
    int lock;
    (void)state;
    put("d/lock", "");
    put("d/a", "a");
    int file = opened("d/a", PLAT_WRITE);
    OK(fs.lock(fs.ctx, "d/lock", &lock, NULL));
    disk_double_cut(disk, DISK_LOST, 0);
    assert_int_equal(fs.size(fs.ctx, file, &bytes, &err), GV_IO);
    assert_int_equal(err.os_errno, EBADF);
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "x", 1, NULL), GV_IO);
    fs.close(fs.ctx, file); /* harmless */
    assert_int_equal(fs.lock(fs.ctx, "d/lock", &lock, NULL), GV_OK);
    assert_int_equal(disk_double_open_files(disk), 1);
    assert_true(holds(disk, "d/a", "a"));
}

static void a_copy_goes_its_own_way(void **state)
{
    (void)state;
    put("d/a", "a");
    int file = opened("d/a", PLAT_WRITE);
    write_text(file, 1, "b");
    disk_double *copy = disk_double_copy(disk);
    plat_fs other = disk_double_table(copy);
    OK(other.write_at(other.ctx, file, 2, "c", 1, NULL));
    OK(other.sync(other.ctx, file, NULL));
    disk_double_cut(copy, DISK_LOST, 0);
    assert_true(holds(copy, "d/a", "abc"));
    disk_double_free(copy);
    assert_true(holds(disk, "d/a", "ab"));
    assert_true(holds_after(DISK_LOST, "d/a", "a"));
}

/* --- faults ----------------------------------------------------------------------------------- */
static void fault_next(disk_fault fault)
{
    disk->fault = fault;
    disk->fail_at = disk->operations + 1;
}

static void a_sync_that_fails_as_on_linux_loses_what_it_should_have_saved(void **state)
{
    (void)state;
    put("d/a", "old");
    int file = opened("d/a", PLAT_WRITE);
    write_text(file, 0, "new");
    fault_next(DISK_SYNC_LOSES);
    assert_int_equal(fs.sync(fs.ctx, file, NULL), GV_IO);
    assert_true(holds(disk, "d/a", "new"));
    OK(fs.sync(fs.ctx, file, NULL)); /* proves nothing */
    assert_true(holds_after(DISK_KEPT, "d/a", "old"));
    write_text(file, 1, "x");
    OK(fs.sync(fs.ctx, file, NULL));
    assert_true(holds_after(DISK_LOST, "d/a", "oxd"));
}

static void a_fault_strikes_once_and_what_it_is_for(void **state)
{
    gv_error err = { 0 };
    (void)state;
    put("d/a", "");
    int file = opened("d/a", PLAT_WRITE);
    fault_next(DISK_EIO);
    disk->fail_at++;
    write_text(file, 0, "12");
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "34", 2, &err), GV_IO);
    assert_int_equal(err.os_errno, EIO);
    assert_true(holds(disk, "d/a", "12"));
    fault_next(DISK_SHORT_WRITE);
    OK(fs.sync(fs.ctx, file, NULL));
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "5678", 4, NULL), GV_IO);
    assert_true(holds(disk, "d/a", "56"));
    fault_next(DISK_FULL);
    OK(fs.truncate(fs.ctx, file, 1, NULL));
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "9", 1, NULL), GV_FULL);
    write_text(file, 0, "0");
    assert_true(holds(disk, "d/a", "0"));
}

static void a_disk_that_became_read_only_stays_so(void **state)
{
    gv_error err = { 0 };
    char back[4];
    size_t got;
    (void)state;
    put("d/a", "abc");
    int file = opened("d/a", PLAT_WRITE);
    fault_next(DISK_READ_ONLY);
    assert_int_equal(fs.write_at(fs.ctx, file, 0, "x", 1, &err), GV_IO);
    assert_int_equal(err.os_errno, EROFS);
    assert_int_equal(fs.rename(fs.ctx, "d/a", "d/b", NULL), GV_IO);
    assert_int_equal(fs.remove(fs.ctx, "d/a", NULL), GV_IO);
    OK(fs.read_at(fs.ctx, file, 0, back, sizeof back, &got, NULL));
    assert_true(holds(disk, "d/a", "abc"));
}

static void after_its_death_a_disk_does_nothing_more(void **state)
{
    int file, other;
    (void)state;
    put("d/a", "");
    for (int half = 0; half < 2; half++) {
        file = opened("d/a", PLAT_CREATE);
        disk->dead_at = disk->operations + 1;
        disk->dead_half = half;
        assert_int_equal(fs.write_at(fs.ctx, file, 0, "1234", 4, NULL), GV_IO);
        assert_int_equal(fs.write_at(fs.ctx, file, 0, "5678", 4, NULL), GV_IO);
        assert_int_equal(fs.open(fs.ctx, "d/a", PLAT_READ, &other, NULL), GV_IO);
        assert_int_equal(fs.sync(fs.ctx, file, NULL), GV_IO);
        assert_true(holds(disk, "d/a", half ? "12" : ""));
        disk_double_cut(disk, DISK_LOST, 0);
        fs.close(fs.ctx, opened("d/a", PLAT_READ));
    }
}

static void a_write_gets_as_far_as_there_is_room(void **state)
{
    static const char bytes[CAPACITY];
    uint64_t room;
    gv_span content;
    (void)state;
    int kept = opened("d/kept", PLAT_CREATE), file = opened("d/a", PLAT_CREATE);
    OK(fs.reserve(fs.ctx, kept, 2 * BLOCK, NULL));
    assert_int_equal(fs.write_at(fs.ctx, file, 10, bytes, sizeof bytes, NULL), GV_FULL);
    assert_true(disk_double_look(disk, "d/a", &content));
    assert_int_equal(content.len, CAPACITY - 2 * BLOCK);
    OK(fs.write_at(fs.ctx, kept, 0, bytes, 2 * BLOCK, NULL));
    assert_int_equal(fs.write_at(fs.ctx, kept, 2 * BLOCK, "x", 1, NULL), GV_FULL);
    OK(fs.remove(fs.ctx, "d/a", NULL));
    OK(fs.free_bytes(fs.ctx, "d", &room, NULL));
    assert_int_equal(room, 0); /* it is still open */
    fs.close(fs.ctx, file);
    OK(fs.free_bytes(fs.ctx, "d", &room, NULL));
    assert_int_equal(room, CAPACITY - 2 * BLOCK);
}

static void damage_is_where_it_was_put(void **state)
{
    gv_error err = { 0 };
    char back[8];
    size_t got;
    (void)state;
    put("d/a", "abcdef");
    disk_double_unreadable(disk, "d/a", 2, 2);
    disk_double_flip(disk, "d/a", 0, 0x20);
    int file = opened("d/a", PLAT_READ);
    OK(fs.read_at(fs.ctx, file, 0, back, 2, &got, NULL));
    assert_memory_equal(back, "Ab", 2);
    OK(fs.read_at(fs.ctx, file, 4, back, 2, &got, NULL));
    assert_int_equal(fs.read_at(fs.ctx, file, 1, back, 2, &got, &err), GV_IO);
    assert_int_equal(err.os_errno, EIO);
    assert_int_equal(fs.read_at(fs.ctx, file, 3, back, 1, &got, NULL), GV_IO);
    disk_double_cut(disk, DISK_LOST, 0);
    file = opened("d/a", PLAT_READ);
    assert_int_equal(fs.read_at(fs.ctx, file, 0, back, 6, &got, NULL), GV_IO);
    disk_double_unreadable(disk, "d/a", 0, 0);
    OK(fs.read_at(fs.ctx, file, 0, back, 6, &got, NULL));
    assert_memory_equal(back, "Abcdef", 6);
}

static void what_was_done_is_counted(void **state)
{
    (void)state;
    unsigned before = disk->operations;
    int file = opened("d/a", PLAT_CREATE);
    write_text(file, 0, "12345");
    OK(fs.sync(fs.ctx, file, NULL));
    fs.close(fs.ctx, file);
    OK(fs.rename(fs.ctx, "d/a", "d/b", NULL));
    OK(fs.sync_dir(fs.ctx, "d", NULL));
    assert_int_equal(disk->operations - before, 5);
    assert_int_equal(disk->written_bytes, 5);
    assert_int_equal(disk->syncs, 1);
    assert_int_equal(disk->dir_syncs, 1);
    assert_int_equal(disk->renames, 1);
    assert_string_equal(disk_double_name(disk, 0), "d/b");
    assert_null(disk_double_name(disk, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_are_durable_with_the_sync_of_their_file),
        TEST(names_are_durable_with_the_sync_of_their_directory),
        TEST(a_rename_is_whole_in_any_cut),
        TEST(a_rename_to_another_directory_is_durable_with_that_one),
        TEST(a_torn_cut_keeps_writes_up_to_any_byte),
        TEST(reordered_blocks_survive_each_for_itself),
        TEST(trash_is_only_in_blocks_that_were_being_written),
        TEST(size_and_bytes_survive_each_for_itself),
        TEST(the_same_seed_leaves_the_same_disk),
        TEST(reserved_room_survives_as_zeros_or_not_at_all),
        TEST(open_files_and_locks_end_with_the_power),
        TEST(a_copy_goes_its_own_way),
        TEST(a_sync_that_fails_as_on_linux_loses_what_it_should_have_saved),
        TEST(a_fault_strikes_once_and_what_it_is_for),
        TEST(a_disk_that_became_read_only_stays_so),
        TEST(after_its_death_a_disk_does_nothing_more),
        TEST(a_write_gets_as_far_as_there_is_room),
        TEST(damage_is_where_it_was_put),
        TEST(what_was_done_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
