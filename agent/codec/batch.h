/* batch.h - records of one snapshot, packed into one fixed buffer on their way to Kafka or disk.
 *
 * Layout of an entry, little-endian, packed one after the other:
 *     u32  length of the body in bytes; bit 31 is set once the broker has acknowledged the entry
 *     u64  key: the auction id, or the row of a reject
 *     5 bytes left free for the Confluent prefix (0x00 + big-endian schema id), filled in at send
 *     body the Avro record (a ledger entry: JSON)
 * The prefix sits right before the body so that Kafka can send both without a copy.
 *
 * Ownership: a batch belongs to exactly one of: the pool, the transfer that fills it, the outlet, the
 *            forwarder.
 * Threads:   one owner; no locks.
 */
#ifndef GAVEL_CODEC_BATCH_H
#define GAVEL_CODEC_BATCH_H

#include "agent/codec/snapshot.h"
#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>

#define BATCH_PREFIX_BYTES   5u
#define BATCH_ENTRY_OVERHEAD (4u + 8u + BATCH_PREFIX_BYTES)

typedef enum { BATCH_AUCTIONS, BATCH_REJECTS, BATCH_LEDGER, BATCH_KINDS } batch_kind;

typedef struct batch {
    gv_buf bytes;
    batch_kind kind;
    snapshot_id snapshot;
    uint64_t fingerprint; /* CRC-64-AVRO of the writer schema; 0 for the ledger, which has none */
    uint32_t records;
    uint32_t acked;     /* entries the broker has acknowledged */
    uint32_t in_flight; /* entries handed to the producer and not yet reported */
    uint32_t refused;   /* of the acked ones: those the broker will never take */
    size_t send_offset; /* the forwarder's place in it; set when it is handed over */
    uint8_t send_state; /* the forwarder's, too */
    uint64_t spool_seq; /* its number in the spool that it was read from; 0: it was not */
    void *owner;        /* whoever filled it; the forwarder never looks */
    struct batch *next; /* in whichever queue holds it */
} batch;

typedef struct {
    uint64_t key;
    bool acked;
    uint8_t *framed; /* prefix and body, one after the other */
    size_t framed_len;
    size_t offset; /* of the entry, for batch_mark_acked() */
} batch_entry;

/* Empties the batch and gives it an identity; its storage stays. */
void batch_start(batch *b, batch_kind kind, const snapshot_id *snapshot, uint64_t fingerprint);

/* False when the entry does not fit; nothing has changed then. */
bool batch_append(batch *b, uint64_t key, gv_span body);

/* Walks the entries: start with *offset = 0; false at the end. */
bool batch_next(const batch *b, size_t *offset, batch_entry *entry);

/* Whether bytes from outside may become a batch's: whole entries up to the end, none of them marked
 * acknowledged (nobody would send it, or count it). *records: how many. GV_CORRUPT says where. */
gv_status batch_check(gv_span payload, uint32_t *records, gv_error *err);

/* Marks the entry at `offset` acknowledged; counts it once only. */
void batch_mark_acked(batch *b, size_t offset);

/* Takes the acknowledged entries out, and with them what only concerned sending: the rest is as if it
 * had never been sent. Nothing of it may be in flight. */
void batch_drop_acked(batch *b);

#endif
