/* history.h - a week in steps of a quarter of an hour: what went out, what waited, what memory took.
 *
 * A step is a quarter of an hour of the wall clock. While the agent is off, or when the clock jumps
 * ahead, there are no points: a gap. When it jumps back, points of times that have not come yet are
 * kept but not shown; the clock writes over them as it gets there again. So a wrong clock costs the
 * points that it overwrote and no others.
 *
 * Kept in one file that is replaced whole: at most each HISTORY_SAVE_MS and at the end, so that a week
 * costs the card less than half a megabyte; what a power cut takes is what came after the last save. A damaged
 * file is a history that starts anew, with a line in the log.
 *
 * Units:     wall-clock milliseconds since 1970 UTC (steps), monotonic milliseconds (saving), bytes.
 * Ownership: path and fs are borrowed.
 * Memory:    the structure, HISTORY_BYTES or a little more; saving and loading use a buffer within it.
 * Threads:   the loop's. Saving waits for the disk.
 */
#ifndef GAVEL_STATUS_HISTORY_H
#define GAVEL_STATUS_HISTORY_H

#include "platform/fs.h"

#define HISTORY_STEP_S   900u
#define HISTORY_POINTS   672u /* a week */
#define HISTORY_SHOWN    170u /* at most, of all that there is */
#define HISTORY_SAVE_MS  21600000u
#define HISTORY_FILE_MAX (12u + HISTORY_POINTS * 20u + 8u)

typedef struct {
    uint32_t step;          /* since 1970, in HISTORY_STEP_S; 0: none */
    uint32_t records;       /* that the broker took in this step */
    uint32_t spool_records; /* at the most, as all that follows */
    uint32_t spool_kib;
    uint32_t resident_kib;
} history_point;

typedef struct history {
    history_point points[HISTORY_POINTS]; /* by step modulo HISTORY_POINTS */
    uint8_t file[HISTORY_FILE_MAX];
    uint64_t records_seen; /* of the counter, at the last note */
    bool has_seen;
    bool changed; /* since the last save */
    uint64_t saved_mono_ms;
} history;

/* What is noted; records_total is a counter. */
typedef struct {
    uint64_t records_total;
    uint64_t spool_records;
    uint64_t spool_bytes;
    uint64_t resident_bytes;
} history_sample;

void history_init(history *h, uint64_t now_mono_ms);

/* Reads the file, if there is one; problems are logged. */
void history_load(history *h, const plat_fs *fs, const char *path);

void history_note(history *h, int64_t wall_ms, const history_sample *sample);

/* Saves when it is due; `now` saves what has changed in any case. A failure is logged, and tried again
 * when it is due the next time. */
void history_save(history *h, const plat_fs *fs, const char *path, uint64_t now_mono_ms, bool now);

/* A point of those to show. */
typedef struct {
    int64_t at_ms; /* begin of its step, or of the first of those it stands for */
    uint64_t records, spool_records, spool_bytes, resident_bytes;
} history_shown;

/* Calls each() from the oldest to the newest of the week that ends at wall_ms; `*step_s` gets how long a
 * shown point is: HISTORY_STEP_S, or a multiple that makes them HISTORY_SHOWN at most. Records of the
 * steps in it are added up, of the rest it is the largest. */
void history_show(const history *h, int64_t wall_ms, uint32_t *step_s,
                  void (*each)(void *ctx, const history_shown *point), void *ctx);

#endif
