/* sink_internal.h - what sink.c (the batch), sink_ledger.c (entries) and sink_verify.c (verdicts) share. */
#ifndef GAVEL_SINK_INTERNAL_H
#define GAVEL_SINK_INTERNAL_H

#include "agent/sink/sink.h"
#include "agent/sink/snapshot_doc.h"
#include "agent/sink/snapshot_table.h"
#include "agent/sink/to_bson.h"

typedef enum { ITEM_NOTHING, ITEM_DOCUMENT, ITEM_LEDGER, ITEM_DEAD } item_kind;

/* One message of the batch. Its bytes are in the batch's arena. */
typedef struct {
    item_kind kind;
    uint8_t topic; /* index in config.topics */
    bool has_schema;
    bool tombstone;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    uint32_t schema_id;
    gv_span key;
    gv_span value;
    store_doc doc;      /* ITEM_DOCUMENT */
    const char *reason; /* ITEM_DEAD */
    char *error;        /* ITEM_DEAD, from malloc() */
} sink_item;

typedef struct {
    uint8_t topic;
    int32_t partition;
    int64_t value; /* offset to commit, or the mark to reach */
} sink_offset;

typedef struct {
    sink_offset *items;
    size_t count;
    size_t cap;
} sink_offsets;

/* What of the batch is still to be done; each step may be repeated. */
typedef enum { STEP_OPEN, STEP_PUT, STEP_LEDGER, STEP_DEAD, STEP_COMMIT } sink_step;

struct sink {
    sink_config config;
    sink_outside outside;
    sink_topic topics[SINK_TOPICS_MAX];
    bool ensured[SINK_TOPICS_MAX];
    schema_cache *schemas;
    to_bson *bson;
    sink_counts counts;

    gv_arena arena; /* bytes of the batch */
    sink_item *items;
    size_t item_count;
    const store_doc **docs; /* scratch of a put, and which items they are */
    size_t *doc_items;
    sink_offsets offsets; /* to commit after the batch */
    sink_step step;

    snapshot_table snapshots;
    bool overflowed;        /* the table was full: ask the store what needs a verdict */
    bool asked;             /* the store was asked since the start */
    bool active;            /* a round is going on: entries that are DUE wait for the marks */
    bool reached;           /* all marks of this round are committed */
    uint64_t last_round_ms; /* when one ended */
    uint64_t last_look_ms;  /* when the broker was asked */
    sink_offsets marks;
    kafka_partition *partitions; /* SINK_PARTITIONS_MAX, scratch */
};

/* Sets the offset of a partition, adding it where it is new; false when there is no memory. */
bool sink_offsets_set(sink_offsets *list, uint8_t topic, int32_t partition, int64_t value);

const sink_topic *sink_default_topic(const sink *s, sink_topic_kind kind);

/* Before records of this snapshot are stored: makes its document, or marks it for another look. */
gv_status sink_open_snapshot(sink *s, const char *id, gv_error *err);
/* We have committed so far ourselves. */
void sink_strike_marks(sink *s, const sink_offsets *committed);

/* Puts the entry into its snapshot's document. GV_CORRUPT: it is none; GV_INVAL: never stored. */
gv_status sink_take_ledger(sink *s, const sink_item *item, gv_error *why);
void sink_want(sink *s, const char *id, unsigned flags);

typedef struct {
    bool found;
    snapshot_doc doc; /* all 0 when there is none */
} looked_up;

gv_status sink_look_up(sink *s, const char *id, looked_up *out, gv_error *err);

/* Decides by what is there which members to set; none is fine too. Called again when another sink
 * was faster. */
typedef gv_status sink_change_fn(sink *s, void *arg, const looked_up *seen, bson_t *members,
                                 gv_error *err);
gv_status sink_change(sink *s, const char *id, sink_change_fn *decide, void *arg, gv_error *err);

#endif
