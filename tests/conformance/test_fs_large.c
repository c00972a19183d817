/* Files and file systems that 32 bits cannot count, which a port promises on every processor. The files
 * are sparse: they take hardly any room. */
#include "tests/conformance/fs_ports.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define GIB (UINT64_C(1) << 30)

/* A port whose files are in memory has no room for these. */
static void need_system(void)
{
    if (!port->system)
        skip();
}

static void expect_at(int file, uint64_t offset, const char *text, size_t len)
{
    char back[8] = "";
    size_t got = 0;

    assert_true(len < sizeof back);
    OK(fs.read_at(fs.ctx, file, offset, back, len, &got, NULL));
    assert_int_equal(got, len);
    assert_memory_equal(back, text, len);
}

static void bytes_beyond_4_gib_are_where_they_were_written(void **state)
{
    static const uint64_t places[] = { 2 * GIB - 2, 4 * GIB - 2, 4 * GIB + 1, 9 * GIB + 3 };
    int file;

    (void)state;
    need_system();
    file = opened(in(dir, "large"), PLAT_CREATE);
    OK(fs.write_at(fs.ctx, file, 0, "first", 5, NULL));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        OK(fs.write_at(fs.ctx, file, places[i], &"abcd"[i], 1, NULL));
        assert_true(size_of(file) == places[i] + 1);
    }
    fs.close(fs.ctx, file);
    file = opened(in(dir, "large"), PLAT_READ);
    expect_at(file, 0, "first", 5);
    expect_at(file, 4 * GIB - 2, "b\0\0c\0", 5);
    expect_at(file, 9 * GIB + 2, "\0d", 2);
    assert_true(size_of(file) == 9 * GIB + 4);
    fs.close(fs.ctx, file);
}

static void a_file_beyond_4_gib_is_cut_and_grown_where_it_should(void **state)
{
    int file;

    (void)state;
    need_system();
    file = opened(in(dir, "large"), PLAT_CREATE);
    OK(fs.truncate(fs.ctx, file, 6 * GIB, NULL));
    assert_true(size_of(file) == 6 * GIB);
    OK(fs.write_at(fs.ctx, file, 5 * GIB, "kept", 4, NULL));
    OK(fs.truncate(fs.ctx, file, 5 * GIB + 2, NULL));
    assert_true(size_of(file) == 5 * GIB + 2);
    OK(fs.truncate(fs.ctx, file, 5 * GIB + 4, NULL));
    expect_at(file, 5 * GIB, "ke\0\0", 4);
    fs.close(fs.ctx, file);
}

static uint64_t free_now(void)
{
    uint64_t bytes = 0;

    OK(fs.free_bytes(fs.ctx, dir, &bytes, NULL));
    return bytes;
}

static void room_beyond_4_gib_can_be_kept(void **state)
{
    const uint64_t bytes = 4 * GIB + 1;
    int file;

    (void)state;
    need_system();
    if (free_now() < 4 * bytes) /* others use the disk, too */
        skip();
    file = opened(in(dir, "large"), PLAT_CREATE);
    OK(fs.reserve(fs.ctx, file, bytes, NULL));
    assert_true(size_of(file) == bytes);
    OK(fs.reserve(fs.ctx, file, 1, NULL));
    assert_true(size_of(file) == bytes);
    expect_at(file, bytes - 1, "\0", 1);
    fs.close(fs.ctx, file);
    OK(fs.remove(fs.ctx, in(dir, "large"), NULL));
}

/* What another program says of the same disk. */
static uint64_t free_by_stat(void)
{
    char command[PLAT_PATH_MAX + 32];
    uint64_t blocks = 0, block_bytes = 0;

    snprintf(command, sizeof command, "stat -f -c '%%a %%S' '%s'", dir);
    FILE *said = popen(command, "r");
    assert_non_null(said);
    assert_int_equal(fscanf(said, "%" SCNu64 " %" SCNu64, &blocks, &block_bytes), 2);
    assert_int_equal(pclose(said), 0);
    return blocks * block_bytes;
}

static void the_free_space_of_a_large_disk_is_told_whole(void **state)
{
    uint64_t told, stat;

    (void)state;
    need_system();
    stat = free_by_stat();
    if (stat < 6 * GIB)
        skip();
    told = free_now();
    assert_in_range(told, stat - GIB, stat + GIB); /* others use the disk, too */
}

#define TEST(function) cmocka_unit_test_setup(function, fs_fresh_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_beyond_4_gib_are_where_they_were_written),
        TEST(a_file_beyond_4_gib_is_cut_and_grown_where_it_should),
        TEST(room_beyond_4_gib_can_be_kept),
        TEST(the_free_space_of_a_large_disk_is_told_whole),
    };

    return fs_ports_run(tests, sizeof tests / sizeof tests[0]);
}
