/* fs_ports.h - the ports of platform/fs.h, and how a test asks all of them the same. A port is a row of
 * the table in fs_ports.c; every test runs over each one, in a directory of its own.
 */
#ifndef GAVEL_TESTS_FS_PORTS_H
#define GAVEL_TESTS_FS_PORTS_H

#include "platform/fs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct {
    const char *name;
    plat_fs (*make)(void);
    void (*unmake)(void);
    const char *root; /* an empty directory to work in */
    /* A file that every write finds the disk full with; until full(false). */
    const char *(*full)(bool full);
    bool system; /* other programs use the same disk, and see the files */
} fs_port;

extern const fs_port *port;
extern plat_fs fs;
extern char dir[PLAT_PATH_MAX]; /* fresh for each test */

#define OK(call) assert_int_equal(call, GV_OK)

int fs_fresh_directory(void **state);

/* The number of tests that failed. */
int fs_ports_run(const struct CMUnitTest *tests, size_t count);

/* parent/name; good for three more calls. */
const char *in(const char *parent, const char *name);

int opened(const char *path, plat_open_mode mode);
void put_file(const char *path, const char *text);
void expect_contents(const char *path, const char *text);
void expect_missing(const char *path);
uint64_t size_of(int file);

#endif
