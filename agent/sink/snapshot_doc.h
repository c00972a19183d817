/* snapshot_doc.h - the documents of the collection of snapshots, and the ledger entries in them.
 *
 * An entry is a claim (the agent has sent all of a snapshot) or a gap (it had to drop some of it).
 * A document keeps the last of each, with its place in the ledger: so an old one that comes again,
 * or late by another sink, is known as such.
 *
 *   _id           text form, such as "eu/604/0/1404174601"
 *   region, realm, house, snapshot_at
 *   state         receiving: records arrive, no ledger entry yet
 *                 pending: there is one, not yet compared
 *                 complete, incomplete, gap: compared
 *   reason        why it is incomplete, or what was dropped by whom and why, in words; "" otherwise
 *   recheck       true while records may be arriving after the verdict
 *   records, rejects   as the ledger entry counts them
 *   stored, copies, rejects_stored, missing {count, ranges: [{first, last}, ...]}, verified_at
 *   dropped       records, in state gap; 0 in others
 *   ledger        the claim as it came, unknown members too
 *   gap           the gap entry as it came: records (dropped), rejects, reason, device ...
 *   ledger_at, gap_at   {topic, partition, offset} of each
 *   gap_last      the gap is what the agent said last
 *   revision      the store's count of changes
 *
 * Ownership: bson_t arguments are initialised by the caller and filled here.
 */
#ifndef GAVEL_SINK_SNAPSHOT_DOC_H
#define GAVEL_SINK_SNAPSHOT_DOC_H

#include "agent/codec/snapshot.h"
#include "agent/sink/verdict.h"
#include "platform/span.h"

#include <bson/bson.h>

#define LEDGER_JSON_MAX ((size_t)64 * 1024)
#define TOPIC_MAX       256

typedef struct {
    char snapshot[SNAPSHOT_TEXT_MAX];
    bool is_gap;
    verdict_claim claim; /* of a gap: the counts of what was dropped */
    char reason[64];     /* of a gap */
    char device[72];
    char topic[TOPIC_MAX]; /* of the records; "" when the entry does not say */
} ledger;

/* Where in Kafka an entry was read. */
typedef struct {
    char topic[TOPIC_MAX];
    int32_t partition;
    int64_t offset;
} ledger_place;

/* Reads a message of the ledger topic. GV_CORRUPT with the reason when it is not an entry.
 * `whole` (uninitialised) holds the entry as BSON afterwards, unless it failed. */
gv_status ledger_decode(gv_span key, gv_span json, ledger *out, bson_t *whole, gv_error *err);

/* Members for a snapshot whose first record is about to be stored. */
gv_status snapshot_doc_receiving(const char *snapshot, bson_t *out, gv_error *err);

/* For one whose ledger entry has come. `whole`: see ledger_decode(). */
typedef struct {
    const ledger *entry;
    const bson_t *whole;
    const ledger_place *at;
    bool gap_last;
    bool pending; /* false: the state it has stays true */
} ledger_change;
gv_status snapshot_doc_ledger(const ledger_change *change, bson_t *out, gv_error *err);
void snapshot_doc_verdict(const verdict *v, int64_t now_ms, bson_t *out);

typedef struct {
    char id[SNAPSHOT_TEXT_MAX];
    bool has_ledger; /* a claim */
    bool has_gap;
    bool gap_last;
    ledger entry;                  /* with has_ledger */
    ledger gap;                    /* with has_gap */
    ledger_place entry_at, gap_at; /* topic "": not known */
    int64_t revision;
    char state[16];
    char reason[192];
    bool recheck;
    bool verified;
    int64_t verified_at_ms;
    uint64_t stored, copies, rejects_stored, missing, dropped;
} snapshot_doc;

/* Reads a document of the collection; false when it makes no sense. */
bool snapshot_doc_read(const char *id, gv_span bson, snapshot_doc *out);

#endif
