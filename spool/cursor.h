/* cursor.h - how far the spool has been read and acknowledged: a hint on disk, in two slots that are
 * written in turn.
 *
 * It names the last acknowledged batch by place and header checksum, so that it can be held against
 * what is there: one that is lost, stale or of another spool costs duplicates, never data.
 */
#ifndef GAVEL_SPOOL_CURSOR_H
#define GAVEL_SPOOL_CURSOR_H

#include "spool/format.h"

typedef struct {
    uint64_t acked_seq;      /* all batches up to this one are acknowledged; 0: none */
    uint64_t segment;        /* first sequence of the segment that holds it, and ... */
    uint64_t offset;         /* ... where in it */
    uint32_t header_crc;     /* of it */
    uint64_t next_seq;       /* sequences below this have been promised */
    uint64_t records_before; /* in all of those */
    uint64_t count;          /* of saves: the larger one is newer */
} spool_cursor;

/* The newest that is whole; all zero when there is none. GV_IO: there may be one, but the disk does not
 * give it; `out` is what could be read. */
gv_status spool_cursor_load(const plat_fs *fs, const char *dir, spool_cursor *out, gv_error *err);

/* Whether the batch that it names as acknowledged is there; its header then. */
bool spool_cursor_holds(const plat_fs *fs, const char *dir, const spool_cursor *cursor,
                        spool_header *acked);

/* Writes the older slot and makes it durable; counts up. */
gv_status spool_cursor_save(const plat_fs *fs, const char *dir, spool_cursor *cursor,
                            gv_error *err);

#endif
