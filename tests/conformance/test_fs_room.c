/* What every port of platform/fs.h promises of room on the disk, of locks, and of who may read what. */
#include "tests/conformance/fs_ports.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void create_new_makes_a_file_and_leaves_one_that_is_there_alone(void **state)
{
    gv_error err = { 0 };
    int file;

    (void)state;
    file = opened(in(dir, "a"), PLAT_CREATE_NEW);
    OK(fs.write_at(fs.ctx, file, 0, "mine", 4, NULL));
    assert_int_equal(fs.open(fs.ctx, in(dir, "a"), PLAT_CREATE_NEW, &file, &err), GV_IO);
    assert_int_equal(err.os_errno, EEXIST);
    assert_non_null(strstr(err.text, in(dir, "a")));
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "mine");
}

static void files_and_directories_are_for_their_owner_alone(void **state)
{
    struct stat st;
    int file;

    (void)state;
    if (!port->system)
        skip();
    fs.close(fs.ctx, opened(in(dir, "a"), PLAT_CREATE));
    fs.close(fs.ctx, opened(in(dir, "b"), PLAT_CREATE_NEW));
    OK(fs.lock(fs.ctx, in(dir, "c"), &file, NULL));
    fs.close(fs.ctx, file);
    for (const char *name = "abc"; *name; name++) {
        assert_int_equal(stat(in(dir, (char[]){ *name, '\0' }), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

/* --- room ------------------------------------------------------------------------------------- */
static void reserved_room_reads_as_zeros_behind_what_was_there(void **state)
{
    static const char nothing[10000 - 3];
    char back[10000];
    size_t got = 0;
    int file = opened(in(dir, "a"), PLAT_CREATE);

    (void)state;
    OK(fs.write_at(fs.ctx, file, 0, "abc", 3, NULL));
    OK(fs.reserve(fs.ctx, file, sizeof back, NULL));
    assert_int_equal(size_of(file), sizeof back);
    OK(fs.read_at(fs.ctx, file, 0, back, sizeof back, &got, NULL));
    assert_int_equal(got, sizeof back);
    assert_memory_equal(back, "abc", 3);
    assert_memory_equal(back + 3, nothing, sizeof nothing);
    OK(fs.write_at(fs.ctx, file, 9999, "z", 1, NULL));
    assert_int_equal(size_of(file), sizeof back);
    fs.close(fs.ctx, file);
}

static void reserve_never_makes_a_file_shorter(void **state)
{
    int file;

    (void)state;
    put_file(in(dir, "a"), "abcdef");
    file = opened(in(dir, "a"), PLAT_WRITE);
    OK(fs.reserve(fs.ctx, file, 2, NULL));
    OK(fs.reserve(fs.ctx, file, 0, NULL));
    OK(fs.reserve(fs.ctx, file, 6, NULL));
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "abcdef");
}

static void a_file_open_for_reading_cannot_be_changed_in_size(void **state)
{
    int file;

    (void)state;
    put_file(in(dir, "a"), "kept");
    file = opened(in(dir, "a"), PLAT_READ);
    assert_int_equal(fs.reserve(fs.ctx, file, 100, NULL), GV_IO);
    assert_int_equal(fs.truncate(fs.ctx, file, 0, NULL), GV_IO);
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "kept");
}

static void a_size_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
    int file;

    (void)state;
    put_file(in(dir, "a"), "kept");
    file = opened(in(dir, "a"), PLAT_WRITE);
    assert_int_not_equal(fs.reserve(fs.ctx, file, UINT64_MAX, NULL), GV_OK);
    assert_int_not_equal(fs.truncate(fs.ctx, file, UINT64_MAX, NULL), GV_OK);
    fs.close(fs.ctx, file);
    expect_contents(in(dir, "a"), "kept");
}

static uint64_t free_now(void)
{
    uint64_t bytes = UINT64_MAX;

    OK(fs.free_bytes(fs.ctx, dir, &bytes, NULL));
    return bytes;
}

static void more_than_is_free_cannot_be_reserved_and_the_size_stays(void **state)
{
    gv_error err = { 0 };
    int file = opened(in(dir, "a"), PLAT_CREATE);
    uint64_t all;

    (void)state;
    if (port->system) { /* it would fill a disk that others use, if it has less than it says */
        fs.close(fs.ctx, file);
        skip();
    }
    all = free_now();
    OK(fs.write_at(fs.ctx, file, 0, "abc", 3, NULL));
    assert_int_equal(fs.reserve(fs.ctx, file, all + 1, &err), GV_FULL);
    assert_int_equal(err.os_errno, ENOSPC);
    assert_int_equal(size_of(file), 3);
    OK(fs.reserve(fs.ctx, file, all, NULL));
    assert_int_equal(free_now(), 0);
    OK(fs.write_at(fs.ctx, file, all - 1, "x", 1, NULL)); /* its room was kept */
    fs.close(fs.ctx, file);
    OK(fs.remove(fs.ctx, in(dir, "a"), NULL));
    assert_int_equal(free_now(), all);
}

static void free_space_is_told(void **state)
{
    gv_error err = { 0 };
    uint64_t before = free_now(), unused;
    char page[4096] = "x";
    int file;

    (void)state;
    assert_true(before > 0 && before < UINT64_C(1) << 60);
    file = opened(in(dir, "a"), PLAT_CREATE);
    OK(fs.write_at(fs.ctx, file, 0, page, sizeof page, NULL));
    if (!port->system)
        assert_int_equal(free_now(), before - sizeof page);
    fs.close(fs.ctx, file);
    assert_int_equal(fs.free_bytes(fs.ctx, in(dir, "no"), &unused, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
}

/* --- lock ------------------------------------------------------------------------------------- */
static void a_lock_keeps_others_out_until_it_is_closed(void **state)
{
    gv_error err = { 0 };
    int one, two, elsewhere;

    (void)state;
    OK(fs.lock(fs.ctx, in(dir, "lock"), &one, NULL));
    assert_int_equal(fs.lock(fs.ctx, in(dir, "lock"), &two, &err), GV_AGAIN);
    assert_non_null(strstr(err.text, in(dir, "lock")));
    OK(fs.lock(fs.ctx, in(dir, "another"), &elsewhere, NULL));
    fs.close(fs.ctx, opened(in(dir, "lock"), PLAT_READ)); /* does not open the lock */
    assert_int_equal(fs.lock(fs.ctx, in(dir, "lock"), &two, NULL), GV_AGAIN);
    fs.close(fs.ctx, one);
    OK(fs.lock(fs.ctx, in(dir, "lock"), &two, NULL));
    fs.close(fs.ctx, two);
    fs.close(fs.ctx, elsewhere);
}

static void a_lock_in_no_directory_says_so(void **state)
{
    gv_error err = { 0 };
    int file;

    (void)state;
    assert_int_equal(fs.lock(fs.ctx, in(dir, "no/lock"), &file, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
}

/* Ends with the status that it got, without a close. */
static int lock_in_another_process(void)
{
    int status = -1, file;
    pid_t child = fork();

    if (child == 0)
        _exit((int)fs.lock(fs.ctx, in(dir, "lock"), &file, NULL));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_lock_keeps_other_processes_out_and_ends_with_its_own(void **state)
{
    int file;

    (void)state;
    if (!port->system)
        skip();
    OK(lock_in_another_process());
    OK(fs.lock(fs.ctx, in(dir, "lock"), &file, NULL)); /* although it was never closed there */
    assert_int_equal(lock_in_another_process(), GV_AGAIN);
    fs.close(fs.ctx, file);
    OK(lock_in_another_process());
}

#define TEST(function) cmocka_unit_test_setup(function, fs_fresh_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(create_new_makes_a_file_and_leaves_one_that_is_there_alone),
        TEST(files_and_directories_are_for_their_owner_alone),
        TEST(reserved_room_reads_as_zeros_behind_what_was_there),
        TEST(reserve_never_makes_a_file_shorter),
        TEST(a_file_open_for_reading_cannot_be_changed_in_size),
        TEST(a_size_that_cannot_be_is_refused_and_changes_nothing),
        TEST(more_than_is_free_cannot_be_reserved_and_the_size_stays),
        TEST(free_space_is_told),
        TEST(a_lock_keeps_others_out_until_it_is_closed),
        TEST(a_lock_in_no_directory_says_so),
        TEST(a_lock_keeps_other_processes_out_and_ends_with_its_own),
    };

    return fs_ports_run(tests, sizeof tests / sizeof tests[0]);
}
