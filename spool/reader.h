/* reader.h - walks through a spool directory from first to last, changing nothing: for tools, on a live
 * spool or a copy of one.
 *
 * Units:     bytes.
 * Ownership: config pointers are borrowed until spool_reader_close(); an item's texts are valid until
 *            the next call.
 * Memory:    config.mem, spool_reader_mem_needed() bytes.
 * Live:      a batch that is being written meanwhile shows as SPOOL_ITEM_TAIL; a segment that is deleted
 *            meanwhile was acknowledged, and is passed over.
 */
#ifndef GAVEL_SPOOL_READER_H
#define GAVEL_SPOOL_READER_H

#include "spool/format.h"

typedef struct {
    const plat_fs *fs;
    const char *dir;
    size_t
        payload_bytes; /* the largest payload that can be unpacked; larger ones show as foreign */
    bool any_file; /* every file, whatever its name, each on its own: for salvage. Otherwise segment
                             files in order */
    void *mem;
    size_t mem_bytes;
} spool_reader_config;

typedef enum {
    SPOOL_ITEM_BATCH, /* a good one */
    SPOOL_ITEM_DAMAGE, /* bytes that should be a batch, or a payload that is not what its header says */
    SPOOL_ITEM_FOREIGN, /* a newer version's batch, or too large */
    SPOOL_ITEM_MISSING, /* sequences between two batches that no file has */
    SPOOL_ITEM_TAIL     /* bytes behind the last batch of the last segment that are none */
} spool_item_kind;

typedef struct {
    spool_item_kind kind;
    spool_header header; /* of BATCH and FOREIGN; of DAMAGE when has_header */
    bool has_header;
    uint64_t first_seq, last_seq; /* what is concerned; last < first when not known */
    const char *file;             /* name within the directory; "" for MISSING */
    uint64_t offset;              /* in the file */
    uint64_t bytes;               /* of the file that the item takes */
    bool acked;                   /* BATCH: the saved cursor says it was acknowledged */
} spool_item;

typedef struct spool_reader spool_reader;

size_t spool_reader_mem_needed(const spool_reader_config *config);

/* GV_IO: the directory cannot be listed. */
gv_status spool_reader_open(const spool_reader_config *config, spool_reader **out, gv_error *err);

/* GV_OK and the next item, GV_AGAIN at the end, GV_IO when a file cannot be read: it is passed over, the
 * next call goes on with the next file. */
gv_status spool_reader_next(spool_reader *r, spool_item *item, gv_error *err);

/* Unpacks the payload of the batch that spool_reader_next() has just brought into the reader's own memory.
 * GV_INVAL: it was no good batch. */
gv_status spool_reader_payload(spool_reader *r, gv_span *payload, gv_error *err);

/* Files that are no segments were passed over; bytes of all segments together. */
uint64_t spool_reader_strangers(const spool_reader *r);
uint64_t spool_reader_bytes(const spool_reader *r);

void spool_reader_close(spool_reader *r);

#endif
