/* segment.h - walks through the batches of one segment file, whatever state the file is in.
 *
 * A header whose checksum is right is believed; where there is none, the walk goes on at the next
 * multiple of SPOOL_ALIGN that has one, and what lies between is one damaged item.
 *
 * Ownership: the walk borrows fs and file.
 * Memory:    `io`, handed in: at least segment_io_bytes(payload_bytes).
 */
#ifndef GAVEL_SPOOL_SEGMENT_H
#define GAVEL_SPOOL_SEGMENT_H

#include "spool/format.h"

typedef struct {
    const plat_fs *fs;
    int file;
    gv_buf io;
    size_t payload_bytes; /* the largest payload that is taken */
    uint64_t at;          /* offset of what comes next */
    uint64_t end;         /* of the file, or of what may be looked at */
    uint64_t expect;      /* the lowest sequence that may come */
    uint64_t below;       /* sequences from here on are another segment's */
} segment_walk;

typedef enum {
    SEGMENT_BATCH,
    SEGMENT_DAMAGE,  /* no header, or a payload that does not fit its checksum */
    SEGMENT_FOREIGN, /* of an unknown version or packing, or larger than payload_bytes */
    SEGMENT_END /* nothing more; `bytes` is what is left, `is_blank` whether it is only zeros */
} segment_item_kind;

typedef struct {
    segment_item_kind kind;
    spool_header header; /* BATCH and FOREIGN; DAMAGE when has_header */
    bool has_header;
    bool is_blank;
    uint64_t offset;
    uint64_t bytes;
    uint64_t first_seq, last_seq; /* of DAMAGE: what may have been there; last < first: nothing */
    uint64_t promised_below;      /* of DAMAGE: as the headers behind it say; 0: there are none */
} segment_item;

size_t segment_io_bytes(size_t payload_bytes);

/* Brings the next item. With `verify`, a batch's payload is read into io (header first) and checked.
 * GV_IO: the file cannot be read; the walk stays where it is. */
gv_status segment_next(segment_walk *walk, bool verify, segment_item *item, gv_error *err);

/* Unpacks the payload that a verified batch left in io, appending to out. GV_CORRUPT: it cannot be;
 * GV_FULL: out has too little room. */
gv_status segment_unpack(const segment_walk *walk, const segment_item *item, gv_buf *out,
                         gv_error *err);

#endif
