/* transcode.h - a push parser: JSON bytes in, Avro record bodies out, never a whole document.
 *
 * The document is an object; its records are the elements of one array member ("auctions"). Each
 * element becomes one Avro record, by the steps that plan.h has made from the schema. Members that
 * the schema does not know go, as JSON text, into its map field "extra" (a nested one under its
 * dotted path). A record that breaks the schema is a reject, and the document goes on.
 *
 * A member that is there twice is a breach, too.
 *
 * Limits:    transcode_limits; what exceeds them is a reject (a record) or GV_INVAL (the envelope).
 * Numbers:   64-bit integers are exact; they never pass through a double.
 * Text:      invalid UTF-8 becomes U+FFFD and is counted.
 * Memory:    transcoder_mem_needed() bytes, handed in; nothing is allocated later.
 * Ownership: spans given to events are valid during the event only.
 * Threads:   one owner.
 */
#ifndef GAVEL_CODEC_TRANSCODE_H
#define GAVEL_CODEC_TRANSCODE_H

#include "agent/codec/plan.h"
#include "platform/err.h"
#include "platform/span.h"

#define TRANSCODE_RECORDS_MEMBER   "auctions"
#define TRANSCODE_DEPTH_MAX        128 /* reading is recursive: this bounds the stack */
#define TRANSCODE_RECORD_MAX_BYTES (64u << 20)

typedef struct {
    size_t record_bytes;   /* longest JSON text, and longest Avro body, of one record; 64 KiB */
    size_t envelope_bytes; /* longest envelope member that is handed to `member`; default 1 KiB */
    uint32_t depth;        /* deepest nesting, in all; default 32 */
    uint32_t array_items;  /* most items in one array or map of a record; default 4096 */
} transcode_limits;

transcode_limits transcode_default_limits(void);

typedef struct {
    gv_span body; /* the Avro record */
    int64_t key;  /* value of the plan's key field */
} transcode_record;

typedef struct {
    uint64_t row;       /* index in the array, from 0, rejects counted */
    const char *reason; /* one sentence */
    const char *path;   /* of the offending member, such as "item.id"; "" for the record itself */
    gv_span raw;        /* the record's JSON bytes as they came, cut at limits.record_bytes */
    bool raw_cut;
} transcode_reject;

/* Any status but GV_OK stops the feed and is returned by it. GV_AGAIN, which only record and reject
 * may answer, means "not now": the same event is raised again by the next feed. `member` (name
 * unescaped, value as it came) and `begin` may be NULL. */
typedef struct {
    gv_status (*member)(void *ctx, gv_span name, gv_span json, gv_error *err); /* envelope member */
    gv_status (*begin)(void *ctx, gv_error *err);                              /* records start */
    gv_status (*record)(void *ctx, const transcode_record *record, gv_error *err);
    gv_status (*reject)(void *ctx, const transcode_reject *reject, gv_error *err);
    void *ctx;
} transcode_events;

typedef struct {
    uint64_t bytes_in;
    uint64_t records; /* accepted */
    uint64_t rejects;
    uint64_t unknown_members; /* of accepted records, put into extra */
    uint64_t replaced_utf8;   /* in accepted records: invalid sequences replaced, lone surrogates */
    bool saw_records;         /* the records member was there, and an array */
    bool finished;            /* the document has ended well */
} transcode_counts;

typedef struct transcoder transcoder;

size_t transcoder_mem_needed(const plan *p, const transcode_limits *limits);
transcoder *transcoder_init(void *mem, size_t mem_bytes, const plan *p,
                            const transcode_limits *limits, const transcode_events *events);

/* Starts a new document; `values` are the plan's bound fields in the order of its bindings. */
void transcoder_begin(transcoder *t, const plan_value *values);

/* Takes the next bytes, in any chunking. *consumed < bytes.len only when the status is not GV_OK;
 * after GV_AGAIN, feed the rest (perhaps empty) again later.
 * GV_INVAL: the bytes are not JSON, or break a limit of the envelope; err says what and where. */
gv_status transcoder_feed(transcoder *t, gv_span bytes, size_t *consumed, gv_error *err);

/* Says that no more bytes come. GV_AGAIN: an event is still to be taken, ask again. GV_INVAL when the document is cut short or had no records member. */
gv_status transcoder_end(transcoder *t, gv_error *err);

const transcode_counts *transcoder_counts(const transcoder *t);

#endif
