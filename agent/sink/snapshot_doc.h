/* snapshot_doc.h - the documents of the collection of snapshots, and the ledger entries in them.
 *
 *   _id           text form, such as "eu/604/0/1404174601"
 *   region, realm, house, snapshot_at
 *   state         receiving: records arrive, no ledger entry yet
 *                 pending: there is one, not yet compared
 *                 complete, incomplete: compared
 *   reason        why it is incomplete, in words; "" otherwise
 *   recheck       true while records may be arriving after the verdict
 *   records, rejects   as the ledger entry counts them
 *   stored, copies, rejects_stored, missing {count, ranges: [{first, last}, ...]}, verified_at
 *   ledger        the entry as it came, unknown members too
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
    verdict_claim claim;
    char topic[TOPIC_MAX]; /* of the records; "" when the entry does not say */
} ledger;

/* Reads a message of the ledger topic. GV_CORRUPT with the reason when it is not an entry.
 * `whole` (uninitialised) holds the entry as BSON afterwards, unless it failed. */
gv_status ledger_decode(gv_span key, gv_span json, ledger *out, bson_t *whole, gv_error *err);

/* Members for a snapshot whose first record is about to be stored. */
gv_status snapshot_doc_receiving(const char *snapshot, bson_t *out, gv_error *err);
/* For one whose ledger entry has come. */
gv_status snapshot_doc_pending(const ledger *entry, const bson_t *whole, bson_t *out,
                               gv_error *err);
void snapshot_doc_verdict(const verdict *v, int64_t now_ms, bson_t *out);

typedef struct {
    bool has_ledger;
    ledger entry; /* with has_ledger */
    char state[16];
    char reason[160];
    bool recheck;
    bool verified;
    int64_t verified_at_ms;
    uint64_t stored, copies, rejects_stored, missing;
} snapshot_doc;

/* Reads a document of the collection; false when it makes no sense. */
bool snapshot_doc_read(const char *id, gv_span bson, snapshot_doc *out);

#endif
