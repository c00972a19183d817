#include "tests/conformance/fs_ports.h"
#include "platform/fs_count.h"
#include "tests/doubles/disk_double.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* These stand before the C library's own: a system that can do less than most. */
static bool poor;

int fallocate(int file, int mode, off_t offset, off_t len)
{
    assert_int_equal(mode, 0);
    errno = poor ? EOPNOTSUPP : posix_fallocate(file, offset, len);
    return errno ? -1 : 0;
}

int fdatasync(int file)
{
    static int calls;

    if (poor && ++calls % 2) {
        errno = EINTR;
        return -1;
    }
    return fsync(file);
}

static char system_root[16];

static plat_fs make_system(void)
{
    snprintf(system_root, sizeof system_root, "fs-XXXXXX");
    assert_non_null(mkdtemp(system_root));
    return plat_fs_system();
}

static plat_fs make_poor_system(void)
{
    poor = true;
    return make_system();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static void unmake_system(void)
{
    nftw(system_root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    poor = false;
}

static const char *full_system(bool full)
{
    (void)full;
    return "/dev/full";
}

static disk_double *disk;
static fs_count counted;

static plat_fs make_double(void)
{
    disk = disk_double_new(16 << 20);
    return disk_double_table(disk);
}

static plat_fs make_counted(void)
{
    plat_fs below = make_double();
    return fs_count_table(&counted, &below);
}

static void unmake_double(void)
{
    assert_int_equal(disk_double_open_files(disk), 0);
    disk_double_free(disk);
}

static const char *full_double(bool full)
{
    if (full)
        disk_double_put(disk, "full", "", 0);
    disk->capacity_bytes = full ? 0 : 16 << 20;
    return "full";
}

static const fs_port ports[] = {
    { "system", make_system, unmake_system, system_root, full_system, true },
    { "poor system", make_poor_system, unmake_system, system_root, full_system, true },
    { "disk_double", make_double, unmake_double, "root", full_double, false },
    { "fs_count", make_counted, unmake_double, "root", full_double, false },
};

const fs_port *port;
plat_fs fs;
char dir[PLAT_PATH_MAX];

/* --- helpers ---------------------------------------------------------------------------------- */
const char *in(const char *parent, const char *name)
{
    static char paths[4][PLAT_PATH_MAX];
    static int next;

    next = (next + 1) % 4;
    assert_true(snprintf(paths[next], PLAT_PATH_MAX, "%s/%s", parent, name) < PLAT_PATH_MAX);
    return paths[next];
}

int fs_fresh_directory(void **state)
{
    static int count;
    char name[32];

    (void)state;
    snprintf(name, sizeof name, "%d", count++);
    snprintf(dir, sizeof dir, "%s", in(port->root, name));
    return fs.make_dir(fs.ctx, dir, NULL) == GV_OK ? 0 : -1;
}

int opened(const char *path, plat_open_mode mode)
{
    gv_error err = { 0 };
    int file = -1;
    gv_status status = fs.open(fs.ctx, path, mode, &file, &err);

    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    return file;
}

void put_file(const char *path, const char *text)
{
    int file = opened(path, PLAT_CREATE);

    OK(fs.write_at(fs.ctx, file, 0, text, strlen(text), NULL));
    fs.close(fs.ctx, file);
}

void expect_contents(const char *path, const char *text)
{
    char buf[256] = "";
    size_t len = 0;

    OK(plat_fs_load(&fs, path, buf, sizeof buf - 1, &len, NULL));
    assert_int_equal(len, strlen(text));
    assert_string_equal(buf, text);
}

void expect_missing(const char *path)
{
    gv_error err = { 0 };
    int file;

    assert_int_equal(fs.open(fs.ctx, path, PLAT_READ, &file, &err), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    assert_non_null(strstr(err.text, path)); /* an error says which file */
}

uint64_t size_of(int file)
{
    uint64_t bytes = UINT64_MAX;

    OK(fs.size(fs.ctx, file, &bytes, NULL));
    return bytes;
}

/* --- running ---------------------------------------------------------------------------------- */
int fs_ports_run(const struct CMUnitTest *tests, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        port = &ports[i];
        fs = port->make();
        failed += _cmocka_run_group_tests(port->name, tests, count, NULL, NULL);
        port->unmake();
    }
    return failed;
}
