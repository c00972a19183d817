/* disk_double.h - platform/fs.h in memory: a disk that fails when it is told to, and loses power.
 *
 * A second real port (tests/conformance/test_fs.c asks it what it asks Linux), but strict: what the
 * contract does not promise is lost as soon as a cut can lose it.
 *
 * Bytes:    what was written, truncated or reserved is on the medium only after a sync of that file.
 * Names:    what was created, renamed or removed is there only after a sync_dir of that directory (of
 *           the new name's). Directories are durable once made; they are neither renamed nor removed.
 * Counting: each call of the table but close() is one operation; the first is number 1.
 * Memory:   from the heap; a test without memory ends.
 */
#ifndef GAVEL_TESTS_DISK_DOUBLE_H
#define GAVEL_TESTS_DISK_DOUBLE_H

#include "platform/fs.h"
#include "platform/span.h"

#define DISK_BLOCK_BYTES 512u

/* What becomes of all that is not durable when the power goes. */
typedef enum {
    DISK_LOST, /* nothing of it survives */
    DISK_KEPT, /* all of it */
    DISK_TORN, /* writes in order up to one of them, which is torn at any byte; names in order up
                       to one of them */
    DISK_REORDERED, /* each block of each write, each change of a size and each operation on a name or
                       not. A rename whole or not at all: the file has its old name or the new one */
    DISK_TRASHED /* as reordered, but a block that was being written may be torn, or hold anything,
                       also where it had been synced */
} disk_cut;

#define DISK_CUTS 5 /* how many there are */

typedef enum {
    DISK_EIO,         /* that operation; nothing of it is carried out */
    DISK_FULL,        /* ENOSPC for the first from then on that takes room */
    DISK_READ_ONLY,   /* EROFS for all from then on that change something */
    DISK_SHORT_WRITE, /* EIO for the first write from then on, which is half carried out */
    DISK_SYNC_LOSES /* EIO for the first file sync from then on; what it should have written counts as
                         clean, as on Linux: it is read back, but no later sync will save it */
} disk_fault;

typedef struct disk_double {
    /* What the test decides; numbers of operations, 0: never. */
    uint64_t capacity_bytes;
    unsigned fail_at; /* becomes 0 when the fault has struck; DISK_READ_ONLY lasts */
    disk_fault fault;
    unsigned dead_at; /* this one is not carried out, and all that follow fail with EIO */
    bool dead_half;   /* if it is a write, half of it is */
    /* What the test can see. */
    unsigned operations;
    unsigned syncs, dir_syncs, renames;
    uint64_t written_bytes;
    struct disk_inside *in;
} disk_double;

disk_double *disk_double_new(uint64_t capacity_bytes);
disk_double *disk_double_copy(const disk_double *disk); /* open files too */
void disk_double_wipe(disk_double *disk);               /* as new, of the same capacity */
void disk_double_free(disk_double *disk);

plat_fs disk_double_table(disk_double *disk);

/* Power goes and comes back: open files and locks are gone (using them fails), faults are over.
 * The same seed does the same to the same disk. */
void disk_double_cut(disk_double *disk, disk_cut cut, uint64_t seed);

/* --- what follows is no operation of the program under test ----------------------------------------- */
/* A whole file, durable, and the directories above it. */
void disk_double_put(disk_double *disk, const char *path, const void *data, size_t len);

/* The file as a program would read it, valid until the next change of it; false: there is none. */
bool disk_double_look(const disk_double *disk, const char *path, gv_span *content);

/* The path of the i-th file, in no order; NULL after the last. */
const char *disk_double_name(const disk_double *disk, size_t i);

unsigned disk_double_open_files(const disk_double *disk);

/* Damage to the medium, which stays: reading any of these bytes fails with EIO (len 0: healed); bits of
 * one byte are the wrong way round. The file must be there, and the byte in it. */
void disk_double_unreadable(disk_double *disk, const char *path, uint64_t offset, uint64_t len);
void disk_double_flip(disk_double *disk, const char *path, uint64_t offset, uint8_t bits);

#endif
