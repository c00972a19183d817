#include "agent/sink/sink_internal.h"

#include "platform/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES 5 /* Confluent framing: 0x00, then the schema id, big-endian */

#define ENSURE_AGAIN_MS 30000 /* how long the store's word about a snapshot is taken as news */

/* --- opening and closing --- */

static char *copy_text(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = malloc(len);

    return copy ? memcpy(copy, text, len) : NULL;
}

gv_status sink_open(const sink_config *config, const sink_outside *outside, sink **out,
                    gv_error *err)
{
    sink *s = calloc(1, sizeof *s);
    uint8_t *block = malloc(config->batch_bytes);

    assert(config->topic_count <= SINK_TOPICS_MAX && config->batch_records > 0);
    if (s) {
        s->config = *config;
        s->outside = *outside;
        memcpy(s->topics, config->topics, config->topic_count * sizeof *s->topics);
        s->config.topics = s->topics;
        s->schemas = schema_cache_open(config->clock, outside->schema, outside->ctx);
        s->bson = to_bson_open();
        s->items = calloc(config->batch_records, sizeof *s->items);
        s->docs = calloc(config->batch_records, sizeof *s->docs);
        s->doc_items = calloc(config->batch_records, sizeof *s->doc_items);
        s->partitions = calloc(SINK_PARTITIONS_MAX, sizeof *s->partitions);
        gv_arena_init(&s->arena, block, config->batch_bytes);
    }
    if (!s || !block || !s->schemas || !s->bson || !s->items || !s->docs || !s->doc_items ||
        !s->partitions ||
        !snapshot_table_open(&s->snapshots,
                             config->snapshots ? config->snapshots : SINK_SNAPSHOTS)) {
        if (!s) {
            free(block);
        }
        sink_close(s);
        return gv_fail(err, GV_FULL, "not enough memory for a batch of %zu records and %zu bytes",
                       config->batch_records, config->batch_bytes);
    }
    *out = s;
    return GV_OK;
}

static void empty_batch(sink *s)
{
    for (size_t i = 0; i < s->item_count; i++) {
        free(s->items[i].error);
    }
    s->item_count = 0;
    s->arena.used_bytes = 0;
    s->offsets.count = 0;
    s->step = STEP_OPEN;
}

void sink_close(sink *s)
{
    if (!s) {
        return;
    }
    empty_batch(s);
    schema_cache_close(s->schemas);
    to_bson_close(s->bson);
    snapshot_table_close(&s->snapshots);
    free(s->arena.base);
    free(s->items);
    free(s->docs);
    free(s->doc_items);
    free(s->offsets.items);
    free(s->marks.items);
    free(s->partitions);
    free(s);
}

const sink_counts *sink_counted(const sink *s)
{
    return &s->counts;
}

size_t sink_held(const sink *s)
{
    return s->item_count;
}

const sink_topic *sink_default_topic(const sink *s, sink_topic_kind kind)
{
    for (size_t i = 0; i < s->config.topic_count; i++) {
        if (s->topics[i].kind == kind) {
            return &s->topics[i];
        }
    }
    return NULL;
}

bool sink_offsets_set(sink_offsets *list, uint8_t topic, int32_t partition, int64_t value)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].topic == topic && list->items[i].partition == partition) {
            list->items[i].value = value;
            return true;
        }
    }
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        sink_offset *items = realloc(list->items, cap * sizeof *items);
        if (!items) {
            return false;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = (sink_offset){ topic, partition, value };
    return true;
}

/* --- taking messages in --- */

static int topic_index(const sink *s, const char *name)
{
    for (size_t i = 0; i < s->config.topic_count; i++) {
        if (strcmp(s->topics[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* A copy in the batch's arena; false when there is no room. */
static bool keep(sink *s, gv_span bytes, gv_span *out)
{
    void *copy = gv_arena_alloc(&s->arena, bytes.len ? bytes.len : 1);

    if (!copy) {
        return false;
    }
    if (bytes.len) {
        memcpy(copy, bytes.data, bytes.len);
    }
    *out = gv_span_of(copy, bytes.len);
    return true;
}

static void make_dead(sink_item *item, const char *reason, const char *error)
{
    item->kind = ITEM_DEAD;
    item->reason = reason;
    free(item->error);
    item->error = copy_text(error);
}

/* Decodes a framed record into s->bson; an item that is dead says why. GV_IO: not now. */
static gv_status decode_record(sink *s, const kafka_message *m, sink_item *item, gv_error *err)
{
    const cached_schema *known;
    gv_error why = { 0 };

    if (m->tombstone || m->value.len < FRAME_BYTES || m->value.data[0] != 0) {
        make_dead(item, "framing",
                  m->tombstone ? "the message has no value"
                               : "the value does not start with 0x00 and a schema id");
        return GV_OK;
    }
    item->schema_id = gv_get_be32(m->value.data + 1);
    item->has_schema = true;
    gv_status status = schema_cache_get(s->schemas, item->schema_id, &known, &why);
    if (status == GV_INVAL) {
        make_dead(item, "schema", why.text);
        return GV_OK;
    }
    if (status != GV_OK) {
        return gv_fail(err, GV_IO, "schema %" PRIu32 ": %s", item->schema_id,
                       why.text[0] ? why.text : "the registry does not answer");
    }
    const record_origin origin = { s->topics[item->topic].name, m->partition, m->offset,
                                   item->schema_id };
    gv_span body = gv_span_of(m->value.data + FRAME_BYTES, m->value.len - FRAME_BYTES);
    status =
        to_bson_document(s->bson, &known->writer, known->shape, body, &origin, &item->doc, &why);
    if (status != GV_OK) {
        make_dead(item, "avro", why.text);
        return GV_OK;
    }
    item->kind = ITEM_DOCUMENT;
    return GV_OK;
}

static void decode_ledger(const kafka_message *m, sink_item *item)
{
    gv_error why = { 0 };
    ledger entry;
    bson_t whole;

    if (m->tombstone) {
        item->kind = ITEM_NOTHING; /* a snapshot that somebody deleted from the ledger */
    } else if (ledger_decode(m->key, m->value, &entry, &whole, &why) != GV_OK) {
        make_dead(item, "ledger", why.text);
    } else {
        item->kind = ITEM_LEDGER;
        bson_destroy(&whole);
    }
}

/* Copies what the item needs into the arena; false when there is no room. */
static bool keep_item(sink *s, const kafka_message *m, sink_item *item)
{
    gv_span bson;

    if (item->kind == ITEM_NOTHING) {
        return true;
    }
    if (!keep(s, m->key, &item->key) || !keep(s, m->value, &item->value)) {
        return false;
    }
    if (item->kind == ITEM_DOCUMENT) {
        if (!keep(s, item->doc.bson, &bson)) {
            return false;
        }
        to_bson_relocate(&item->doc, bson);
    }
    return true;
}

gv_status sink_add(sink *s, const kafka_message *m, gv_error *err)
{
    int topic = topic_index(s, m->topic);
    size_t used = s->arena.used_bytes;

    assert(topic >= 0);
    if (s->item_count == s->config.batch_records || s->step != STEP_OPEN) {
        return GV_FULL;
    }
    sink_item *item = &s->items[s->item_count];
    memset(item, 0, sizeof *item);
    item->topic = (uint8_t)topic;
    item->partition = m->partition;
    item->offset = m->offset;
    item->timestamp_ms = m->timestamp_ms;
    item->tombstone = m->tombstone;
    if (s->topics[topic].kind == SINK_LEDGER) {
        decode_ledger(m, item);
    } else {
        gv_status status = decode_record(s, m, item, err);
        if (status != GV_OK) {
            return status;
        }
    }
    if (!keep_item(s, m, item)) {
        s->arena.used_bytes = used;
        if (s->item_count != 0) {
            free(item->error);
            return GV_FULL;
        }
        /* Alone and still too large: its own bytes stay where they are, in its topic. */
        if (item->kind != ITEM_DEAD) {
            make_dead(item, "size", "the record needs more room than sink.batch_kib gives");
        }
        item->key = item->value = gv_span_of(NULL, 0);
    }
    if (!sink_offsets_set(&s->offsets, item->topic, m->partition, m->offset + 1)) {
        s->arena.used_bytes = used;
        free(item->error);
        return gv_fail(err, GV_IO, "not enough memory");
    }
    s->item_count++;
    s->counts.messages++;
    return GV_OK;
}

/* --- storing them --- */

gv_status sink_start(sink *s, gv_error *err)
{
    const store *st = s->config.store;

    for (size_t i = 0; i < s->config.topic_count; i++) {
        if (s->topics[i].kind != SINK_LEDGER && !s->ensured[i]) {
            gv_status status = st->ensure(st->ctx, s->topics[i].collection, err);
            if (status != GV_OK) {
                return status;
            }
            s->ensured[i] = true;
        }
    }
    s->overflowed = true; /* sink_verify() asks the store */
    return GV_OK;
}

static gv_status open_snapshots(sink *s, gv_error *err)
{
    uint64_t now = plat_mono_ms(s->config.clock);
    const char *last = "";

    for (size_t i = 0; i < s->item_count; i++) {
        const sink_item *item = &s->items[i];
        if (item->kind != ITEM_DOCUMENT || !item->doc.snapshot[0] ||
            strcmp(item->doc.snapshot, last) == 0) {
            continue;
        }
        last = item->doc.snapshot;
        snapshot_entry *e = snapshot_table_find(&s->snapshots, last);
        if (e && e->opened_ms != 0 && now - e->opened_ms < ENSURE_AGAIN_MS) {
            continue;
        }
        gv_error why = { 0 };
        gv_status status = sink_open_snapshot(s, last, &why);
        if (status == GV_INVAL) {
            GV_LOG(GV_LOG_WARN, gv_kmsg("snapshot cannot be followed"), gv_kstr("snapshot", last),
                   gv_kstr("error", why.text)); /* its records are stored all the same */
        } else if (status != GV_OK) {
            return gv_fail(err, status, "%s", why.text);
        }
    }
    return GV_OK;
}

typedef struct {
    sink *s;
    size_t refused;
} put_call;

static void refused(void *arg, size_t index, const char *reason)
{
    put_call *call = arg;

    make_dead(&call->s->items[call->s->doc_items[index]], "store", reason);
    call->refused++;
}

static void want_snapshots_of(sink *s, size_t count, unsigned flags)
{
    const char *last = "";

    for (size_t i = 0; i < count; i++) {
        if (s->docs[i]->snapshot[0] && strcmp(s->docs[i]->snapshot, last) != 0) {
            last = s->docs[i]->snapshot;
            sink_want(s, last, flags);
        }
    }
}

static bool same_collection(const sink *s, const sink_item *item, const char *collection)
{
    return item->kind == ITEM_DOCUMENT &&
           strcmp(s->topics[item->topic].collection, collection) == 0;
}

static gv_status put_collection(sink *s, const char *collection, gv_error *err)
{
    const store *st = s->config.store;
    store_counts counts = { 0, 0 };
    put_call call = { s, 0 };
    size_t count = 0;

    for (size_t i = 0; i < s->item_count; i++) {
        if (same_collection(s, &s->items[i], collection)) {
            s->doc_items[count] = i;
            s->docs[count++] = &s->items[i].doc;
        }
    }
    if (count == 0) {
        return GV_OK;
    }
    gv_status status = st->put(st->ctx, collection, s->docs, count, refused, &call, &counts, err);
    if (status != GV_OK) {
        want_snapshots_of(s, count, SNAPSHOT_CHANGED); /* it may have stored some all the same */
        return status;
    }
    s->counts.added += counts.added;
    s->counts.copies += counts.copies;
    want_snapshots_of(s, count, counts.added || counts.copies ? SNAPSHOT_CHANGED : 0);
    return GV_OK;
}

/* Two topics may share a collection: each collection is put once, with its first topic. */
static gv_status put_documents(sink *s, gv_error *err)
{
    for (size_t t = 0; t < s->config.topic_count; t++) {
        bool done = s->topics[t].kind == SINK_LEDGER;
        for (size_t before = 0; before < t; before++) {
            done = done || (s->topics[before].kind != SINK_LEDGER &&
                            strcmp(s->topics[before].collection, s->topics[t].collection) == 0);
        }
        gv_status status = done ? GV_OK : put_collection(s, s->topics[t].collection, err);
        if (status != GV_OK) {
            return status;
        }
    }
    return GV_OK;
}

static gv_status store_ledger(sink *s, sink_item *item, gv_error *err)
{
    gv_error why = { 0 };

    gv_status status = sink_take_ledger(s, item, &why);
    if (status == GV_CORRUPT || status == GV_INVAL) {
        make_dead(item, status == GV_CORRUPT ? "ledger" : "store", why.text);
        return GV_OK;
    }
    if (status != GV_OK) {
        return gv_fail(err, status, "%s", why.text);
    }
    item->kind = ITEM_NOTHING;
    s->counts.ledgers++;
    return GV_OK;
}

static gv_status store_ledgers(sink *s, gv_error *err)
{
    gv_status status = GV_OK;

    for (size_t i = 0; status == GV_OK && i < s->item_count; i++) {
        if (s->items[i].kind == ITEM_LEDGER) {
            status = store_ledger(s, &s->items[i], err);
        }
    }
    return status;
}

static void fill_letter(const sink *s, const sink_item *item, sink_dead_letter *out)
{
    *out = (sink_dead_letter){ .reason = item->reason,
                               .error = item->error ? item->error : "",
                               .topic = s->topics[item->topic].name,
                               .partition = item->partition,
                               .offset = item->offset,
                               .timestamp_ms = item->timestamp_ms,
                               .has_schema = item->has_schema,
                               .schema_id = item->schema_id,
                               .key = item->key,
                               .value = item->value,
                               .tombstone = item->tombstone };
}

static gv_status send_dead_letters(sink *s, gv_error *err)
{
    size_t count = 0, at = 0;

    for (size_t i = 0; i < s->item_count; i++) {
        count += s->items[i].kind == ITEM_DEAD;
    }
    if (count == 0) {
        return GV_OK;
    }
    sink_dead_letter *letters = calloc(count, sizeof *letters);
    if (!letters) {
        return gv_fail(err, GV_IO, "not enough memory for %zu dead letters", count);
    }
    for (size_t i = 0; i < s->item_count; i++) {
        if (s->items[i].kind == ITEM_DEAD) {
            fill_letter(s, &s->items[i], &letters[at++]);
        }
    }
    gv_status status = s->outside.dead_letters(s->outside.ctx, letters, count, err);
    if (status == GV_OK) {
        GV_LOG(GV_LOG_WARN, gv_kmsg("messages went to the dead-letter topic"),
               gv_kuint("messages", count), gv_kstr("topic", letters[0].topic),
               gv_kint("partition", letters[0].partition), gv_kint("offset", letters[0].offset),
               gv_kstr("reason", letters[0].reason), gv_kstr("error", letters[0].error));
    }
    at = 0;
    for (size_t i = 0; i < s->item_count; i++) {
        if (s->items[i].kind == ITEM_DEAD && letters[at++].acked) {
            s->items[i].kind = ITEM_NOTHING;
            s->counts.dead_letters++;
        }
    }
    free(letters);
    return status;
}

static gv_status commit(sink *s, gv_error *err)
{
    kafka_position positions[64];
    gv_status status = GV_OK;
    bool moved = false;

    for (size_t done = 0; status == GV_OK && done < s->offsets.count;) {
        size_t n = 0;
        for (; n < 64 && done < s->offsets.count; n++, done++) {
            const sink_offset *o = &s->offsets.items[done];
            positions[n] = (kafka_position){ s->topics[o->topic].name, o->partition, o->value };
        }
        status = s->outside.commit(s->outside.ctx, positions, n, err);
        moved = moved || status == GV_AGAIN;
        status = status == GV_AGAIN ? GV_OK : status;
    }
    if (moved) {
        s->offsets.count = 0; /* another sink has some of them now, and will read them again */
    }
    return status;
}

gv_status sink_flush(sink *s, gv_error *err)
{
    static gv_status (*const steps[])(sink *, gv_error *) = { open_snapshots, put_documents,
                                                              store_ledgers, send_dead_letters,
                                                              commit };
    if (s->item_count == 0) {
        return GV_OK;
    }
    for (; s->step <= STEP_COMMIT; s->step++) {
        gv_status status = steps[s->step](s, err);
        if (status != GV_OK) {
            return gv_fail(err, GV_IO, "cannot store now");
        }
    }
    sink_strike_marks(s, &s->offsets);
    empty_batch(s);
    return GV_OK;
}

void sink_forget(sink *s, const kafka_position *partitions, size_t count)
{
    for (size_t p = 0; p < count; p++) {
        for (size_t i = 0; i < s->item_count; i++) {
            sink_item *item = &s->items[i];
            if (item->partition == partitions[p].partition &&
                strcmp(s->topics[item->topic].name, partitions[p].topic) == 0) {
                item->kind = ITEM_NOTHING;
            }
        }
        for (size_t i = 0; i < s->offsets.count; i++) {
            sink_offset *o = &s->offsets.items[i];
            if (o->partition == partitions[p].partition &&
                strcmp(s->topics[o->topic].name, partitions[p].topic) == 0) {
                *o = s->offsets.items[--s->offsets.count];
                break;
            }
        }
    }
    if (s->offsets.count == 0) {
        empty_batch(s);
    }
}
