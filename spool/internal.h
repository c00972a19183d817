/* internal.h - what the spool's own files share: append.c writes at the tail, drain.c reads at the head,
 * drop.c gives way, recover.c finds both ends at start.
 */
#ifndef GAVEL_SPOOL_INTERNAL_H
#define GAVEL_SPOOL_INTERNAL_H

#include "spool/cursor.h"
#include "spool/dir.h"
#include "spool/segment.h"

#define SPOOL_THIN_LEVELS 2u /* every 2nd, then every 4th hour stays; then the oldest goes */
#define SPOOL_DROPS_MAX                                                                            \
    32u /* snapshots whose batches are passed over; the oldest is forgotten first */

#define SPOOL_READ_TRIES 3u /* of one place, before what is there counts as damaged */

/* A batch that was read and waits for its acknowledgement. */
typedef struct {
    uint64_t seq;
    uint64_t segment; /* first sequence of its segment */
    uint64_t offset;
    uint32_t header_crc;
    uint32_t records;
    bool acked;
    spool_snapshot snapshot;
} window_entry;

typedef struct {
    spool_snapshot snapshot;
    uint64_t below; /* its batches with lower sequences are dropped */
} drop_entry;

/* Sequences that went with a whole segment when it gave way. */
typedef struct {
    uint64_t first, last;
} seq_range;

/* The segment that is written. */
typedef struct {
    bool is_open;
    bool is_gaps; /* it holds gap entries alone */
    int file;
    uint64_t first_seq;
    uint64_t size;      /* of the file; reserved */
    uint64_t at;        /* where the next batch goes */
    uint64_t committed; /* what is before this is durable */
    uint64_t last_commit_bytes;
} tail_segment;

/* The segment that is read. */
typedef struct {
    bool is_open;
    bool is_damaged; /* something in it could not be read: it goes to quarantine, not away */
    uint64_t first_seq;
    bool is_tail;      /* it is being written, too */
    uint64_t after;    /* not open: look for segments behind this first sequence ... */
    uint64_t start;    /* ... and start at this offset of the one that is found */
    segment_walk walk; /* its file */
} head_segment;

struct spool {
    spool_config config;
    spool_state state;
    int lock_file;
    /* writing */
    tail_segment tail;
    uint64_t next_seq;
    uint64_t committed_seq; /* sequences below this are promised */
    uint64_t start_seq; /* next_seq at start: what is promised from here on, this process knows */
    uint64_t records_total; /* of all batches before next_seq, since the spool was made */
    uint64_t records_committed;
    void *lz4;
    /* reading */
    head_segment head;
    uint64_t read_seq; /* the lowest sequence that may be read next */
    unsigned read_failures;
    window_entry window[SPOOL_WINDOW_MAX];
    uint32_t window_count;
    uint64_t damaged
        [SPOOL_WINDOW_MAX]; /* segments read to their end, with damage, still in the window */
    uint32_t damaged_count;
    /* how far it is acknowledged */
    spool_cursor cursor;
    bool cursor_dirty;
    uint64_t cursor_at_ms; /* when it may be saved next */
    /* giving way */
    drop_entry drops[SPOOL_DROPS_MAX];
    uint32_t drop_count;
    seq_range holes[SPOOL_DROPS_MAX]; /* in order; neighbours are one */
    uint32_t hole_count;
    uint64_t
        thin_after[SPOOL_THIN_LEVELS]; /* up to these segments each level has nothing more to do */
    gv_buf io;                         /* one stored batch */
};

static inline const plat_fs *spool_fs(const spool *s)
{
    return s->config.fs;
}

/* Tells the event and counts it. */
void spool_tell(spool *s, const spool_event *event);

/* recover.c */
gv_status spool_recover(spool *s, gv_error *err);

/* append.c: closes the tail segment and gives back what it did not use. Everything is committed. */
void tail_seal(spool *s);
/* As spool_append(), beyond the quota and into the reserve. */
gv_status tail_append(spool *s, const spool_meta *meta, gv_span payload, bool beyond_quota,
                      gv_error *err);

/* drain.c: closes the segment that is read; with nothing of it in the window, it goes away. */
void head_finish(spool *s);
/* Removes what is fully acknowledged, in order. */
void head_retire(spool *s);

/* away.c: takes a segment out of the directory: away, or into quarantine/. */
void segment_away(spool *s, uint64_t first_seq, bool is_damaged);

/* drop.c */
bool spool_is_dropped(const spool *s, const spool_snapshot *snapshot, uint64_t seq);
/* The first sequence from `seq` on that did not go with a segment that gave way. */
uint64_t spool_past_holes(const spool *s, uint64_t seq);

#endif
