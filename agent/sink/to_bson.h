/* to_bson.h - one Avro record becomes one BSON document, as a MongoDB user expects it.
 *
 *   int -> int32, long -> int64, float and double -> double, boolean, string, enum -> its symbol,
 *   bytes and fixed -> binary, timestamp-millis and date -> date, timestamp-micros -> int64 (a BSON
 *   date has no microseconds), record and map -> document, array -> array. A null member of a record
 *   is left out; in an array or a map null stays null. A value that is no record is member "value".
 *
 * Around the record's own members: _id, snapshot (text form) before them; kafka {topic, partition,
 * offset, schema_id} and digest (codec_digest of the Avro body) behind them.
 *
 * Identity: a record with region, realm, house, snapshot_at and id is an auction: its _id is
 *   <snapshot>/<id>, and its position tells a resend from a second row of the same id. With row in
 *   place of id it is a reject: <snapshot>/row/<row>. Any other: <topic>/<partition>/<offset>.
 *
 * Names: a record's member that is named like one of ours gets a "_" behind it. In the keys of a
 *   map, which come from outside, "." becomes U+FF0E, a leading "$" U+FF04, NUL U+FFFD, and a key
 *   that is there already gets "#2", "#3" behind it. Nothing is dropped.
 *
 * Memory:    one document at a time, at most TO_BSON_MAX_BYTES, kept and reused.
 * Ownership: a document is valid until the next call.
 * Errors:    GV_CORRUPT: avro_in_walk() refused the body (strings are UTF-8 after it). GV_FULL: the
 *            document would be larger than TO_BSON_MAX_BYTES.
 */
#ifndef GAVEL_SINK_TO_BSON_H
#define GAVEL_SINK_TO_BSON_H

#include "agent/codec/schema.h"
#include "agent/sink/store.h"

#define TO_BSON_MAX_BYTES ((size_t)16 * 1024 * 1024)

typedef enum { RECORD_AUCTION, RECORD_REJECT, RECORD_OTHER } record_shape;

/* What kind of record a writer schema describes; asked once for each schema. */
record_shape record_shape_of(const schema *writer);

typedef struct {
    const char *topic;
    int32_t partition;
    int64_t offset;
    uint32_t schema_id;
} record_origin;

typedef struct to_bson to_bson;

to_bson *to_bson_open(void);
void to_bson_close(to_bson *t);

gv_status to_bson_document(to_bson *t, const schema *writer, record_shape shape, gv_span body,
                           const record_origin *origin, store_doc *out, gv_error *err);

/* Sets id and snapshot of a document whose bytes were copied to `bson`. */
void to_bson_relocate(store_doc *doc, gv_span bson);

#endif
