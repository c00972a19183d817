/* spool_world.h - a spool on a disk that loses power and fails, and beside it a model of what it has
 * promised: whatever happens to the disk, the model says what must still come out.
 *
 * A scenario is a text of steps, one character each; blanks are for the eye:
 *   a  append the next batch (GV_IO: all since the last commit again; GV_FULL: the oldest gives way)
 *   c  commit                         n  read the next batch
 *   k  acknowledge the first read     K  acknowledge the last read
 *   r  read and acknowledge all       t  time passes: the cursor is saved
 *   x  close and open again           q  flip a bit in the payload of the first batch on the disk
 *   d  drop the oldest snapshot       D  thin
 *   u  a part of the first segment becomes unreadable
 *
 * Batches are numbered from 0; the number decides payload and length, and stands in the fingerprint.
 * Every promise that is broken ends the test, with what had been done to the disk.
 */
#ifndef GAVEL_TESTS_SPOOL_WORLD_H
#define GAVEL_TESTS_SPOOL_WORLD_H

#include "spool/spool.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"

#define WORLD_DIR     "/var/spool"
#define WORLD_BATCHES 160u
#define WORLD_PAYLOAD 20480u /* the largest */
#define WORLD_EVENTS  5      /* kinds */

/* What the caller of the spool knows of a batch. */
enum {
    BATCH_APPENDED = 1, /* or it was tried */
    BATCH_PROMISED = 2,
    BATCH_ACKED = 4,
    BATCH_DROPPED = 8,
    BATCH_DAMAGED = 16, /* by the test */
    BATCH_AGAIN = 32    /* appended more than once: it may come more than once */
};

typedef struct {
    uint32_t count; /* numbers in use */
    uint8_t is[WORLD_BATCHES];
    uint8_t hour[WORLD_BATCHES]; /* its snapshot */
    uint8_t kind[WORLD_BATCHES];
    uint32_t order[WORLD_BATCHES]; /* of appending */
    uint32_t ordinal;
    uint64_t highest_seq; /* that ever came out */
    uint64_t damaged;     /* batches that may be reported as damaged */
} spool_model;

typedef struct {
    uint64_t seq;
    uint32_t number;
} world_read;

typedef struct {
    disk_double *disk;
    plat_fs fs;
    clock_double now;
    plat_clock clock;
    spool_config config;
    spool *spool; /* NULL: closed */
    spool_model model;
    uint32_t pending[WORLD_BATCHES]; /* appended since the last commit */
    uint32_t pending_count;
    world_read window[SPOOL_WINDOW_MAX];
    uint32_t window_count;
    /* this life of the spool */
    bool came[WORLD_BATCHES];
    uint64_t last_seq;
    uint64_t events[WORLD_EVENTS]; /* how many of each kind */
    uint64_t damaged_batches;      /* that the events told, and ... */
    char damage[160];              /* ... what they said */
    bool may_fail;                 /* the disk fails: errors are no news */
} spool_world;

/* A closed spool on an empty disk. quota_bytes 0: more than is ever used. */
void world_init(spool_world *w, uint64_t quota_bytes);
/* The same disk and model in a world of its own, closed; `to` may have been used before. */
void world_branch(spool_world *to, const spool_world *from);
void world_free(spool_world *w);

void world_open(spool_world *w);
void world_close(spool_world *w);
/* The process is gone: nothing is closed. */
void world_abandon(spool_world *w);

/* Runs the steps until they are over or the disk is dead. */
void world_run(spool_world *w, const char *steps);
bool world_is_dead(const spool_world *w);

/* Appends that batch (not yet retried): what spool_append() says. */
gv_status world_append(spool_world *w, uint32_t number);
uint32_t world_next_number(spool_world *w);

/* Opens, reads all, and holds it against the model; then the spool must be empty, take and bring another
 * batch, and close. */
void world_check(spool_world *w);
/* What may have been asked of it so far is over: all that is promised must come out now. */
void world_drain(spool_world *w);

/* What q and u do. */
void world_damage_first(spool_world *w);
void world_spoil_first(spool_world *w);

gv_span world_payload(uint32_t number);
spool_meta world_meta(const spool_world *w, uint32_t number);

/* What is being done, for the message of a promise that is broken. */
void world_say(const char *fmt, ...) GV_PRINTF(1, 2);
void world_broken(const spool_world *w, const char *fmt, ...) GV_PRINTF(2, 3);

#define world_hold(w, condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_broken(w, __VA_ARGS__);                                                          \
    } while (0)

#endif
