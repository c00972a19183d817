/* fs.h - what the programs need from a file system, as a table so that a test can lose power.
 *
 * Paths:      UTF-8, at most PLAT_PATH_MAX bytes with the final NUL.
 * Durability: bytes are durable only after sync(); a name is durable only after sync_dir().
 *             A failed sync() proves nothing when repeated: give the file up and write elsewhere.
 * Errors:     GV_IO with errno in the gv_error; GV_FULL for ENOSPC and EDQUOT. EINTR and short
 *             transfers are handled below this contract.
 */
#ifndef GAVEL_PLATFORM_FS_H
#define GAVEL_PLATFORM_FS_H

#include "platform/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAT_PATH_MAX 512

typedef enum {
    PLAT_READ,
    PLAT_WRITE,
    PLAT_CREATE,    /* new or truncated, mode 0600 */
    PLAT_CREATE_NEW /* GV_IO with EEXIST when it is there; mode 0600 */
} plat_open_mode;

typedef struct plat_fs {
    gv_status (*open)(void *ctx, const char *path, plat_open_mode mode, int *file, gv_error *err);
    void (*close)(void *ctx, int file);
    /* Reads up to len bytes at offset; *got < len only at the end of the file. */
    gv_status (*read_at)(void *ctx, int file, uint64_t offset, void *buf, size_t len, size_t *got,
                         gv_error *err);
    gv_status (*write_at)(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                          gv_error *err);
    gv_status (*size)(void *ctx, int file, uint64_t *bytes, gv_error *err);
    gv_status (*truncate)(void *ctx, int file, uint64_t bytes, gv_error *err);
    /* Makes the file `bytes` long and keeps room on the disk for all of it, so that writing there cannot
     * find the disk full; what is new reads as zeros. A file system that cannot keep room for a file
     * only sets its size. Never makes a file shorter. A failure leaves the size as it was. */
    gv_status (*reserve)(void *ctx, int file, uint64_t bytes, gv_error *err);
    gv_status (*sync)(void *ctx, int file, gv_error *err);
    gv_status (*rename)(void *ctx, const char *from, const char *to, gv_error *err);
    gv_status (*remove)(void *ctx, const char *path,
                        gv_error *err); /* a missing file is no error */
    /* With its parents; mode 0700. What had to be made is durable. */
    gv_status (*make_dir)(void *ctx, const char *path, gv_error *err);
    gv_status (*sync_dir)(void *ctx, const char *path, gv_error *err);
    /* Calls each(arg, name) for every entry but "." and "..", in no order, until it answers false. */
    gv_status (*list_dir)(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
                          void *arg, gv_error *err);
    /* What an ordinary user may still write to the file system that holds path. */
    gv_status (*free_bytes)(void *ctx, const char *path, uint64_t *bytes, gv_error *err);
    /* Makes the file when needed (mode 0600) and claims it for this open file, until it is closed or the
     * process ends. GV_AGAIN: somebody else has it, in this process or another. */
    gv_status (*lock)(void *ctx, const char *path, int *file, gv_error *err);
    void *ctx;
} plat_fs;

/* The system's files. */
plat_fs plat_fs_system(void);

/* Replaces the file whole or not at all, durably: temporary file beside it, sync, rename, sync_dir. */
gv_status plat_fs_replace(const plat_fs *fs, const char *path, const void *data, size_t len,
                          gv_error *err);

/* Renames a damaged file to path.damaged-N, the first that is free; `aside` gets that name. GV_FULL:
 * there are 99 already. */
gv_status plat_fs_set_aside(const plat_fs *fs, const char *path, char aside[PLAT_PATH_MAX],
                            gv_error *err);

/* Reads a whole small file into buf; GV_FULL when it is larger than cap. `*len` gets its length.
 * A missing file is GV_IO with os_errno ENOENT. */
gv_status plat_fs_load(const plat_fs *fs, const char *path, void *buf, size_t cap, size_t *len,
                       gv_error *err);

#endif
