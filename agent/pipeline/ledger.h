/* ledger.h - the entry that proves a snapshot complete, or says what was dropped of it, as JSON.
 *
 * {"snapshot":"eu/604/0/1404174601","region":"eu","realm":604,"house":0,
 *  "snapshot_at":1404174601000,"state":"complete","records":N,"rejects":R,
 *  "digest":"16 hex digits","topic":"auctions.raw","schema":"16 hex digits",
 *  "device":"...","agent":"gavel 0.1.0"}
 *
 * A gap entry has "state":"gap" and "reason":"quota"; N and R are then what was dropped to keep the
 * spool within its quota. It has no digest, and no schema where that is not known.
 *
 * digest: sum modulo 2^64 of codec_digest() over the bodies of all N records.
 * schema: CRC-64-AVRO of the writer schema.
 */
#ifndef GAVEL_PIPELINE_LEDGER_H
#define GAVEL_PIPELINE_LEDGER_H

#include "agent/codec/snapshot.h"
#include "platform/err.h"
#include "platform/span.h"

#define LEDGER_BYTES_MAX 1024

typedef enum { LEDGER_COMPLETE, LEDGER_GAP } ledger_state;

typedef struct {
    snapshot_id snapshot;
    ledger_state state;
    uint64_t records;
    uint64_t rejects;
    uint64_t digest;      /* of a complete one */
    uint64_t fingerprint; /* 0: not known */
    const char *topic;
    const char *device;
} ledger_entry;

/* Writes the entry to buf and its length to *len; GV_FULL when it does not fit. */
gv_status ledger_write(const ledger_entry *entry, char buf[LEDGER_BYTES_MAX], size_t *len,
                       gv_error *err);

#endif
