/* bench_spool.h - what the parts of bench_spool share: the options, the data, and spools in directories of
 * their own.
 */
#ifndef GAVEL_TESTS_BENCH_SPOOL_H
#define GAVEL_TESTS_BENCH_SPOOL_H

#include "platform/fs_count.h"
#include "spool/spool.h"
#include "tests/bench/bench_help.h"

#define MIB              (1024u * 1024u)
#define ROUNDS_MAX       31u
#define BATCHES_PER_SYNC 8u
#define TARGET_RATIO     0.9
#define TARGET_OPEN_MS   50.0

typedef struct {
    /* options */
    const char *dir; /* where everything is made, and taken away again */
    uint64_t backlog_mib;
    uint64_t run_mib; /* of batches in each timed run */
    size_t rounds;
    uint32_t segment_bytes;
    bool quick;
    /* what all parts use */
    bench_data data;
    plat_fs system;
    fs_count count; /* of what spools have asked of the disk */
    plat_fs fs;     /* counts, over the system's */
    plat_clock clock;
    spool_config config; /* its dir is the open one's */
    char path[PLAT_PATH_MAX];
} bench;

/* Opens the spool in dir/name; an empty one. */
spool *bench_spool_open(bench *b, const char *name);
spool *bench_spool_new(bench *b, const char *name);

/* Appends the next `count` batches of the endless row; a commit every BATCHES_PER_SYNC and at the end. */
void bench_spool_fill(bench *b, spool *s, size_t first, size_t count);

/* The n-th batch of an endless row: the data over and over, each time as later snapshots. */
spool_meta bench_batch(const bench *b, size_t n, gv_span *payload);

/* dir/name, valid until the next call. */
const char *bench_path(bench *b, const char *name);

/* Takes dir/name away, whatever it is. */
void bench_remove(bench *b, const char *name);

/* The parts. */
void bench_speed(bench *b);
void bench_backlog(bench *b);
void bench_make_backlog(bench *b, const char *dir);
void bench_bytes(bench *b);

#endif
