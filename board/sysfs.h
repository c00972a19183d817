/* sysfs.h - the small files in which the kernel shows one value each (/sys, /proc/device-tree).
 *
 * Errors:  false: the machine does not have it, or does not say. That is no failure.
 * Source:  the kernel's Documentation/filesystems/sysfs.rst: one value a file, in ASCII. The size that
 *          the system gives for such a file is not that of the value.
 */
#ifndef GAVEL_BOARD_SYSFS_H
#define GAVEL_BOARD_SYSFS_H

#include "platform/fs.h"

/* The first line, without its end and what follows a NUL; cut at cap - 1 bytes. */
bool sysfs_text(const plat_fs *fs, const char *path, char *text, size_t cap);

/* A whole number: base 10, or 16 with or without "0x". */
bool sysfs_number(const plat_fs *fs, const char *path, int base, long *value);

/* In one write, as sysfs wants it. */
gv_status sysfs_write(const plat_fs *fs, const char *path, const char *text, gv_error *err);

#endif
