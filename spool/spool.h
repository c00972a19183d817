/* spool.h - a queue of record batches in one directory, which loses nothing when the power goes.
 *
 * Append, commit, read in order, acknowledge; a batch is gone from the disk only after that. A batch
 * is promised (survives any power cut) once spool_commit() has answered GV_OK after its append, and
 * not earlier: one commit serves many appends.
 * Damage is met with reports, not with refusal: a batch that cannot be read is set aside in
 * quarantine/, told through `event`, and the next one follows.
 *
 * Units:     bytes; milliseconds. Sequence numbers start at 1 and go back only when
 *            all is acknowledged and the cursor file is lost.
 * Ownership: config pointers are borrowed until spool_close().
 * Memory:    all of it is config.mem, spool_mem_needed() bytes; it does not depend on the backlog.
 * Threads:   one owner, no locks inside. One process: the directory is locked.
 * Blocking:  calls wait for the disk.
 * Errors:    after GV_FULL, GV_AGAIN or GV_INVAL nothing has changed.
 * Source:    SPEC.md beside this file has every byte; LZ4 block format; CRC32C (RFC 3720, B.4).
 */
#ifndef GAVEL_SPOOL_SPOOL_H
#define GAVEL_SPOOL_SPOOL_H

#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/span.h"

#define SPOOL_SEGMENT_BYTES_MIN (64u * 1024u)
#define SPOOL_WINDOW_MAX        64u

typedef struct {
    char region[8]; /* NUL-terminated */
    uint32_t realm;
    uint32_t house;
    int64_t time_ms; /* since 1970-01-01 UTC */
} spool_snapshot;

bool spool_snapshot_equal(const spool_snapshot *a, const spool_snapshot *b);

/* To the spool all kinds are alike, but a gap entry is never dropped. */
typedef enum { SPOOL_AUCTIONS = 0, SPOOL_REJECTS = 1, SPOOL_LEDGER = 2, SPOOL_GAP = 3 } spool_kind;

typedef struct {
    spool_snapshot snapshot;
    uint64_t fingerprint; /* of the records' schema; 0: none */
    uint32_t records;
    spool_kind kind;
} spool_meta;

typedef enum {
    SPOOL_TORN,    /* the tail that a power cut left; it was never promised */
    SPOOL_DAMAGED, /* promised batches that cannot be read; their bytes go to quarantine/ */
    SPOOL_MISSING, /* sequence numbers that no file has: dropped earlier, or removed by somebody */
    SPOOL_SEALED,  /* the disk failed a write or sync; the segment is left alone, a new one begun */
    SPOOL_SHED     /* quarantine/ was over its cap: its oldest file was removed */
} spool_event_kind;

typedef struct {
    spool_event_kind kind;
    uint64_t first_seq, last_seq; /* last < first: not known, or none */
    uint64_t records;             /* as far as headers could still be read */
    const char *file;             /* name within the directory; "" when there is none */
    const char *text;             /* for a person */
} spool_event;

typedef struct {
    const plat_fs *fs;
    const plat_clock *clock;
    const char *dir;
    size_t payload_bytes; /* the largest payload that is appended; it limits reading as well */
    uint32_t
        segment_bytes;    /* at least SPOOL_SEGMENT_BYTES_MIN; a larger batch gets one of its own */
    uint64_t quota_bytes; /* cap of all files together */
    uint64_t reserve_bytes;    /* to be left free on the file system */
    uint64_t quarantine_bytes; /* cap of quarantine/, at most half the quota, within it */
    uint32_t window;           /* batches read and not yet acknowledged, up to SPOOL_WINDOW_MAX */
    uint32_t cursor_ms;        /* the read cursor is saved at most this often */
    void (*event)(void *ctx, const spool_event *event); /* may be NULL; must not call the spool */
    void *ctx;
    void *mem;
    size_t mem_bytes;
} spool_config;

typedef struct {
    /* What waits: not yet acknowledged. */
    uint64_t batches;
    uint64_t records; /* may still count what was dropped before the last start */
    uint64_t bytes;   /* on disk, whole segments */
    uint64_t segments;
    int64_t oldest_ms; /* snapshot time of the first one; 0 when nothing waits */
    uint64_t unread;   /* batches that spool_next() has still to bring */
    uint64_t pending;  /* batches appended since the last commit */
    uint64_t window;   /* batches read and not yet acknowledged */
    /* What happened since the start. */
    uint64_t appended_batches, appended_records;
    uint64_t payload_bytes; /* of the appended ones: before compression ... */
    uint64_t stored_bytes;  /* ... and as written, with headers and padding */
    uint64_t commits;
    uint64_t acked_batches;
    uint64_t torn, damaged_batches, damaged_records, missing_batches, sealed;
    uint64_t dropped_snapshots, dropped_records;
    uint64_t quarantine_bytes; /* there now */
} spool_state;

typedef struct spool spool;

/* SIZE_MAX when the configuration cannot be. */
size_t spool_mem_needed(const spool_config *config);

/* Makes the directory when needed, and finds where writing and reading go on; reads the tail only.
 * Damaged files are no error. GV_AGAIN: another process has the spool. GV_INVAL: the configuration.
 * GV_IO, GV_FULL: the directory cannot be made, locked or listed, try again later. */
gv_status spool_open(const spool_config *config, spool **out, gv_error *err);

/* Saves the cursor. What was appended and not committed is not promised. */
void spool_close(spool *s);

/* Adds a batch behind all others; a full segment is committed on the way. GV_FULL: the quota or the
 * reserve is reached, the disk is full, no new segment can be made, or there is no sequence left (err
 * says which); what was appended before stays appended. GV_IO: as for spool_commit(). GV_INVAL: larger
 * than payload_bytes. */
gv_status spool_append(spool *s, const spool_meta *meta, gv_span payload, gv_error *err);

/* Makes all that was appended durable. GV_IO (from spool_append() too): none of the batches appended
 * since the last commit is promised or will be read: append them again, in order; they go elsewhere. */
gv_status spool_commit(spool *s, gv_error *err);

/* The next committed batch that was not read yet. GV_AGAIN: none, or the window is full. GV_IO: the
 * disk cannot be read now. GV_INVAL: payload->cap is too small for it (it needs config.payload_bytes).
 * Appends to an empty payload buffer. */
gv_status spool_next(spool *s, spool_meta *meta, gv_buf *payload, uint64_t *seq, gv_error *err);

/* The batch may go. In any order; each once. */
void spool_ack(spool *s, uint64_t seq);

/* Saves the cursor when it is due; returns the next deadline (monotonic ms; UINT64_MAX: none). */
uint64_t spool_tick(spool *s);

const spool_state *spool_look(const spool *s);

/* --- giving way when the quota is reached ---------------------------------------------------------- */
typedef enum {
    SPOOL_DROP_OLDEST, /* the snapshot whose batches are first */
    SPOOL_THIN         /* every second hour of all, then every second of the rest, then the oldest:
                          less resolution instead of a hole. Hours are counted from 1970. */
} spool_policy;

typedef struct {
    spool_snapshot snapshot;
    uint64_t first_seq, last_seq;
    uint64_t batches;
    uint64_t records, rejects; /* that will be lost */
    uint64_t entries;          /* records of all kinds */
} spool_victim;

/* Finds the snapshot that should give way; `in_use` spares those still being written. Batches being
 * read (in the window) are spared, too. GV_AGAIN: there is none. */
gv_status spool_choose(spool *s, spool_policy policy,
                       bool (*in_use)(void *ctx, const spool_snapshot *snapshot), void *ctx,
                       spool_victim *out, gv_error *err);

/* Appends a gap entry with `payload` (one record) for the victim and commits it, together with what is
 * pending; then drops the victim's batches: they are not read any more, and the disk is given back
 * segment by segment, as soon as nothing else in one is waiting. The entry may exceed the quota and use
 * the reserve. GV_IO as for spool_commit(), GV_FULL when not even the gap entry finds room. */
gv_status spool_drop(spool *s, const spool_victim *victim, gv_span payload, gv_error *err);

#endif
