/* fs_count.h - a file system that counts what it is asked to write: how hard the SD card is worked.
 *
 * Passes everything on to the one it is put over, and counts what that answered with GV_OK.
 *
 * Units:     bytes as the caller handed them over; what a card writes is more, in blocks of its own.
 * Ownership: the fs_count is the caller's, for as long as the table is used; the table below is
 *            copied, its ctx borrowed.
 * Memory:    none.
 * Threads:   one owner, who reads the figures too.
 */
#ifndef GAVEL_PLATFORM_FS_COUNT_H
#define GAVEL_PLATFORM_FS_COUNT_H

#include "platform/fs.h"

typedef struct {
    /* Since fs_count_table(). */
    uint64_t written_bytes;
    uint64_t writes;
    uint64_t file_syncs;
    uint64_t dir_syncs;
    uint64_t removes; /* a file that was not there counts: the port below does not tell */
    /* Private. */
    plat_fs below;
} fs_count;

/* Starts at zero. */
plat_fs fs_count_table(fs_count *count, const plat_fs *fs);

#endif
