/* spool_double.h - spool/spool.h in memory: the test decides what fails, and sees what is where.
 *
 * There is one, as there is one directory: what is in it survives spool_close() and is there at the next
 * spool_open(), what was not committed is not.
 */
#ifndef GAVEL_TESTS_SPOOL_DOUBLE_H
#define GAVEL_TESTS_SPOOL_DOUBLE_H

#include "spool/spool.h"

typedef enum { SPOOLED_PENDING, SPOOLED_UNREAD, SPOOLED_READ, SPOOLED_GONE } spooled_state;

typedef struct {
    uint64_t seq;
    spool_meta meta;
    gv_buf payload;
    spooled_state state;
    bool dropped;
} spooled;

typedef struct {
    /* What the test decides. */
    gv_status opens_with;                         /* of spool_open() */
    unsigned bad_appends, bad_commits, bad_reads; /* so many of the next ones are GV_IO */
    uint64_t capacity;                            /* batches there is room for; 0: no end */
    bool no_room;                                 /* for nothing at all */
    /* What the test can see. */
    unsigned opens, closes, appends, commits, ticks;
    spool_policy asked; /* by the last spool_choose() */
    spool_config config;
    spooled *items;
    size_t count;
    spool_state state;
    bool is_open;
} spool_double;

extern spool_double the_spool;

void spool_double_reset(void);  /* empty, and nothing fails */
size_t spool_double_live(void); /* batches that are there: pending, unread or read */

#endif
