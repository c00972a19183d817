/* scan.h - one walk through a spool, as all tools take it: what was lost on the way is counted, the
 * records are checked before anybody looks at them, a terminal sees how far it is.
 *
 * Ownership: an item's texts, a payload and the records in it are valid until the next call.
 * Memory:    one block at open; it does not depend on the spool's size.
 */
#ifndef GAVEL_TOOLS_SCAN_H
#define GAVEL_TOOLS_SCAN_H

#include "agent/codec/batch.h"
#include "agent/codec/schema.h"
#include "agent/tools/bar.h"
#include "agent/tools/filter.h"
#include "platform/clock.h"
#include "spool/reader.h"

/* The largest batch that an agent can be configured to make is 1 MiB. */
#define SCAN_PAYLOAD_BYTES ((size_t)2 * 1024 * 1024)

/* The schemas this program was built with. */
enum { SCAN_AUCTION, SCAN_REJECT, SCAN_SCHEMAS };

typedef struct {
    uint64_t batches, records, bytes;   /* good ones */
    uint64_t acked_batches;             /* of them: the broker has them already */
    uint64_t damaged, foreign, missing; /* places; missing: sequences */
    uint64_t unreadable;                /* files */
} scan_counts;

typedef struct {
    plat_fs fs;
    plat_clock clock;
    const char *dir;
    bool any_file;
    spool_reader *reader;
    schema schemas[SCAN_SCHEMAS];
    const char *texts[SCAN_SCHEMAS];
    scan_counts counts;
    bar bar;
    uint64_t done_bytes;
    void *memory;
} scan;

typedef enum {
    SCAN_SEGMENTS = 0,
    SCAN_ANY_FILE = 1, /* as for the reader */
    SCAN_PRINTS = 2    /* lines go to stdout meanwhile: see bar_open() */
} scan_way;

/* Whether there is such a directory is checked. `way`: bits. */
gv_status scan_open(scan *s, const char *dir, unsigned way, gv_error *err);
void scan_close(scan *s);

/* GV_OK and the next item; GV_AGAIN at the end. Files that cannot be read are told on stderr. */
gv_status scan_next(scan *s, spool_item *item, gv_error *err);

/* The same for good batches that the filter takes, with their records as a batch to walk. */
gv_status scan_next_batch(scan *s, const filter *f, spool_item *item, batch *out, gv_error *err);

/* The records of the batch that scan_next() has brought. GV_CORRUPT: it is none, though its
 * checksum is right; err says why. */
gv_status scan_open_batch(scan *s, const spool_item *item, batch *out, gv_error *err);

/* The schema of a batch; NULL when it is not one of ours. */
const schema *scan_schema(const scan *s, uint64_t fingerprint);

/* One sentence on stderr when something could not be read; whether so. */
bool scan_tell_losses(const scan *s);

#endif
