/* fs_double.h - platform/fs.h in memory, with a failure at operation N and a power cut.
 *
 * What is on its way to the medium is modelled strictly: bytes that were not synced, and names whose
 * directory was not, are lost in a power cut; an unsynced file keeps half of its new bytes.
 * Each call of the table but close() counts as one operation.
 */
#ifndef GAVEL_TESTS_FS_DOUBLE_H
#define GAVEL_TESTS_FS_DOUBLE_H

#include "platform/fs.h"

#define FS_DOUBLE_FILES 64
#define FS_DOUBLE_BYTES 2048

typedef struct {
    uint8_t data[FS_DOUBLE_BYTES];
    size_t len;
} fs_content;

typedef struct {
    fs_content now, synced;
} fs_inode;

typedef struct {
    char path[PLAT_PATH_MAX];
    int inode; /* index + 1; 0: no entry */
} fs_name;

typedef struct {
    fs_inode inodes[FS_DOUBLE_FILES];
    fs_name names[FS_DOUBLE_FILES], durable[FS_DOUBLE_FILES];
    unsigned operations;
    unsigned fail_at;   /* 1: the next one; 0: none. Only that one fails, after doing half of it. */
    unsigned dead_from; /* 1: the next one and all after it; 0: never */
    unsigned renames;
    unsigned syncs;
} fs_double;

plat_fs fs_double_table(fs_double *fs);

void fs_double_power_cut(fs_double *fs);

/* The file's content as it is now, and whether it is there. */
bool fs_double_read(const fs_double *fs, const char *path, fs_content *out);
void fs_double_write(fs_double *fs, const char *path, const char *text); /* durable */

#endif
