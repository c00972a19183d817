#include "tests/unit/sink_help.h"

#include "agent/codec/avro_out.h"
#include "agent/codec/digest.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const topic_names[WORLD_TOPICS] = { "auctions.raw", "auctions.rejects",
                                                       "auctions.snapshots" };

/* --- faults --- */

/* Is this call the one to fail? Called before the work. */
static bool fails(world *w, bool away, gv_error *err)
{
    w->calls++;
    bool now = w->fail_at != 0 && w->calls == w->fail_at;
    if (now) {
        w->failed = true;
    }
    if (away || (now && !w->fail_after)) {
        gv_fail(err, GV_IO, "away");
        return true;
    }
    return false;
}

/* The work was done: did its answer get lost? */
static gv_status answer(world *w, gv_status status, gv_error *err)
{
    if (status == GV_OK && w->fail_after && w->failed && w->calls == w->fail_at) {
        return gv_fail(err, GV_IO, "the answer was lost");
    }
    return status;
}

#define STORE_CALL(call)                                                                           \
    world *w = ctx;                                                                                \
    if (fails(w, w->store_away, err))                                                              \
        return GV_IO;                                                                              \
    uint64_t this_call = w->calls;                                                                 \
    gv_status status = (call);                                                                     \
    return w->calls == this_call ? answer(w, status, err) : status

static gv_status do_ensure(void *ctx, const char *collection, gv_error *err)
{
    STORE_CALL(w->inner.ensure(w->inner.ctx, collection, err));
}

/* Puts all but the one that is refused. */
static gv_status put_others(world *w, const char *collection, const store_doc *const *docs,
                            size_t count, store_refused_fn *refused, void *arg,
                            store_counts *counts, gv_error *err)
{
    const store_doc *others[WORLD_MESSAGES];
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (w->refuse_id && strcmp(docs[i]->id, w->refuse_id) == 0) {
            refused(arg, i, "too odd");
        } else {
            others[n++] = docs[i];
        }
    }
    return w->inner.put(w->inner.ctx, collection, others, n, refused, arg, counts, err);
}

static gv_status do_put(void *ctx, const char *collection, const store_doc *const *docs,
                        size_t count, store_refused_fn *refused, void *arg, store_counts *counts,
                        gv_error *err)
{
    STORE_CALL(put_others(w, collection, docs, count, refused, arg, counts, err));
}

static gv_status scan_then_let_others(world *w, const char *collection,
                                      const char *const *snapshots, size_t count,
                                      store_scan_fn *row, void *arg, gv_error *err)
{
    gv_status status = w->inner.scan(w->inner.ctx, collection, snapshots, count, row, arg, err);
    void (*others)(void) = w->at_scan;

    w->at_scan = NULL;
    if (others) {
        others();
    }
    return status;
}

static gv_status do_scan(void *ctx, const char *collection, const char *const *snapshots,
                         size_t count, store_scan_fn *row, void *arg, gv_error *err)
{
    STORE_CALL(scan_then_let_others(w, collection, snapshots, count, row, arg, err));
}

static gv_status do_set(void *ctx, const char *id, int64_t revision, gv_span fields, gv_error *err)
{
    STORE_CALL(w->inner.snapshot_set(w->inner.ctx, id, revision, fields, err));
}

static gv_status do_get(void *ctx, const char *id, store_snapshot_fn *each, void *arg,
                        gv_error *err)
{
    STORE_CALL(w->inner.snapshot_get(w->inner.ctx, id, each, arg, err));
}

static gv_status do_list(void *ctx, store_snapshot_fn *each, void *arg, gv_error *err)
{
    STORE_CALL(w->inner.snapshots(w->inner.ctx, each, arg, err));
}

/* --- the outside --- */

static const char other_schema[] =
    "{\"type\":\"record\",\"name\":\"Other\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"}]}";

static void give_file(const char *name, void (*take)(void *arg, const char *text), void *arg)
{
    char path[512], text[16384];

    snprintf(path, sizeof path, "%s/schemas/%s", GAVEL_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    take(arg, text);
}

static gv_status fetch_schema(void *ctx, uint32_t id, void (*take)(void *arg, const char *text),
                              void *arg, gv_error *err)
{
    world *w = ctx;

    if (fails(w, w->registry_away, err)) {
        return GV_IO;
    }
    w->fetches++;
    switch (id) {
    case ID_AUCTION:
        give_file("auction.avsc", take, arg);
        return GV_OK;
    case ID_REJECT:
        give_file("reject.avsc", take, arg);
        return GV_OK;
    case ID_BROKEN:
        take(arg, "{\"type\":\"nonsense\"}");
        return GV_OK;
    case ID_OTHER:
        take(arg, other_schema);
        return GV_OK;
    default:
        return gv_fail(err, GV_INVAL, "no such schema");
    }
}

static gv_status send_letters(void *ctx, sink_dead_letter *letters, size_t count, gv_error *err)
{
    world *w = ctx;

    for (size_t i = 0; i < count; i++) {
        if (letters[i].acked) {
            continue;
        }
        if (fails(w, w->kafka_away, err)) {
            return GV_IO;
        }
        assert_true(w->letter_count < WORLD_LETTERS);
        world_letter *l = &w->letters[w->letter_count++];
        snprintf(l->reason, sizeof l->reason, "%s", letters[i].reason);
        snprintf(l->error, sizeof l->error, "%s", letters[i].error);
        l->offset = letters[i].offset;
        l->value_len = letters[i].value.len;
        l->has_schema = letters[i].has_schema;
        letters[i].acked = answer(w, GV_OK, err) == GV_OK;
        if (!letters[i].acked) {
            return GV_IO;
        }
    }
    return GV_OK;
}

static int topic_of(const char *name)
{
    for (int i = 0; i < WORLD_TOPICS; i++) {
        if (strcmp(topic_names[i], name) == 0) {
            return i;
        }
    }
    fail_msg("topic %s", name);
    return -1;
}

static gv_status commit(void *ctx, const kafka_position *positions, size_t count, gv_error *err)
{
    world *w = ctx;

    if (fails(w, w->kafka_away, err)) {
        return GV_IO;
    }
    for (size_t i = 0; i < count; i++) {
        world_partition *p = &w->partitions[topic_of(positions[i].topic)][positions[i].partition];
        assert_true(positions[i].next_offset <= p->high);
        p->committed = positions[i].next_offset;
    }
    return answer(w, GV_OK, err);
}

static gv_status progress(void *ctx, const char *topic, kafka_partition *out, size_t cap,
                          size_t *count, gv_error *err)
{
    world *w = ctx;

    if (fails(w, w->kafka_away, err)) {
        return GV_IO;
    }
    assert_true(cap >= WORLD_PARTITIONS);
    *count = WORLD_PARTITIONS;
    for (int i = 0; i < WORLD_PARTITIONS; i++) {
        const world_partition *p = &w->partitions[topic_of(topic)][i];
        out[i] = (kafka_partition){ i, p->low, p->high, p->committed };
    }
    return GV_OK;
}

/* --- life of a world --- */

static uint64_t mono(void *ctx)
{
    return ((world *)ctx)->now_ms;
}

static int64_t wall(void *ctx)
{
    return (int64_t)((world *)ctx)->now_ms + 1700000000000;
}

void world_open(world *w)
{
    gv_error err = { 0 };

    memset(w, 0, sizeof *w);
    assert_int_equal(
        store_sqlite_open(&(store_sqlite_config){ ":memory:", "snapshots", 100, false }, &w->inner,
                          &err),
        GV_OK);
    w->store = (store){ do_ensure, do_put, do_scan, do_set, do_get, do_list, NULL, w };
    w->clock = (plat_clock){ .mono_ms = mono, .wall_ms = wall, .ctx = w };
    w->now_ms = 1000000;
    w->batch_records = 100;
    w->batch_bytes = 256 * 1024;
    for (int t = 0; t < WORLD_TOPICS; t++) {
        for (int p = 0; p < WORLD_PARTITIONS; p++) {
            w->partitions[t][p].committed = -1;
        }
    }
}

void world_close(world *w)
{
    sink_close(w->sink);
    w->inner.close(w->inner.ctx);
    for (int t = 0; t < WORLD_TOPICS; t++) {
        for (int p = 0; p < WORLD_PARTITIONS; p++) {
            for (int64_t i = 0; i < w->partitions[t][p].high; i++) {
                free(w->partitions[t][p].messages[i].bytes);
            }
        }
    }
}

void world_start(world *w)
{
    const sink_topic topics[WORLD_TOPICS] = { { topic_names[RAW], SINK_RECORDS, "auctions" },
                                              { topic_names[REJECTS], SINK_REJECTS, "rejects" },
                                              { topic_names[LEDGER], SINK_LEDGER, NULL } };
    const sink_config config = { &w->store,        &w->clock,      topics,      WORLD_TOPICS,
                                 w->batch_records, w->batch_bytes, w->snapshots };
    const sink_outside outside = { fetch_schema, send_letters, commit, progress, w };
    gv_error err = { 0 };

    assert_int_equal(sink_open(&config, &outside, &w->sink, &err), GV_OK);
    for (int t = 0; t < WORLD_TOPICS; t++) {
        for (int p = 0; p < WORLD_PARTITIONS; p++) {
            world_partition *part = &w->partitions[t][p];
            part->next = part->committed > part->low ? part->committed : part->low;
        }
    }
    while (sink_start(w->sink, NULL) != GV_OK) {
        assert_true(w->failed);
    }
}

void world_restart(world *w)
{
    sink_close(w->sink);
    w->sink = NULL;
    w->now_ms += 5000;
    world_start(w);
}

/* --- messages --- */

void world_put(world *w, int topic, int partition, gv_span key, gv_span value, bool tombstone)
{
    world_partition *p = &w->partitions[topic][partition];

    assert_true(p->high < WORLD_MESSAGES);
    world_message *m = &p->messages[p->high++];
    m->bytes = malloc(key.len + value.len + 1);
    if (key.len) {
        memcpy(m->bytes, key.data, key.len);
    }
    if (value.len) {
        memcpy(m->bytes + key.len, value.data, value.len);
    }
    m->key_len = key.len;
    m->value_len = value.len;
    m->tombstone = tombstone;
}

static snapshot_id parse(const char *text)
{
    snapshot_id id = { .region = "" };
    int64_t seconds;

    assert_int_equal(sscanf(text, "%7[^/]/%" SCNu32 "/%" SCNu32 "/%" SCNd64, id.region, &id.realm,
                            &id.house, &seconds),
                     4);
    id.time_ms = seconds * 1000;
    return id;
}

static void frame(gv_buf *out, uint32_t schema_id)
{
    uint8_t prefix[5] = { 0 };

    gv_put_be32(prefix + 1, schema_id);
    gv_buf_put(out, prefix, 5);
}

static void put_identity(gv_buf *out, const snapshot_id *id)
{
    avro_put_bytes(out, gv_span_str(id->region));
    avro_put_long(out, id->realm);
    avro_put_long(out, id->house);
    avro_put_long(out, id->time_ms);
}

void world_auction(world *w, int partition, const char *snapshot, int64_t id, int64_t position,
                   int64_t price, uint64_t *sum)
{
    uint8_t bytes[512];
    char key[96];
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    snapshot_id s = parse(snapshot);

    frame(&out, ID_AUCTION);
    put_identity(&out, &s);
    avro_put_long(&out, position);
    avro_put_long(&out, id);
    avro_put_long(&out, 25); /* item.id */
    avro_put_long(&out, 0);  /* context: null */
    avro_put_long(&out, 0);  /* bonus_lists: empty */
    avro_put_long(&out, 0);  /* modifiers: empty */
    for (int i = 0; i < 6; i++) {
        avro_put_long(&out, 0); /* pets, rand, seed: null */
    }
    avro_put_long(&out, 0); /* bid: null */
    avro_put_long(&out, 1);
    avro_put_long(&out, price);          /* buyout */
    avro_put_long(&out, 3);              /* quantity */
    avro_put_long(&out, 0);              /* unit_price: null */
    avro_put_long(&out, 4);              /* time_left: VERY_LONG */
    assert_true(avro_put_long(&out, 0)); /* extra: empty */
    if (sum) {
        *sum += codec_digest(gv_span_of(bytes + 5, out.len - 5));
    }
    snprintf(key, sizeof key, "%s/%" PRIu32 "/%" PRId64, s.region, s.realm, id);
    world_put(w, RAW, partition, gv_span_str(key), gv_span_of(bytes, out.len), false);
}

uint64_t world_rows(world *w, const char *snapshot, int64_t first, int64_t count)
{
    uint64_t sum = 0;

    for (int64_t i = first; i < first + count; i++) {
        world_auction(w, (int)(i % WORLD_PARTITIONS), snapshot, 1000 + i, i, 50, &sum);
    }
    return sum;
}

void world_reject(world *w, int partition, const char *snapshot, int64_t row)
{
    uint8_t bytes[512];
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    snapshot_id s = parse(snapshot);

    frame(&out, ID_REJECT);
    put_identity(&out, &s);
    avro_put_long(&out, row);
    avro_put_bytes(&out, gv_span_str("no item"));
    avro_put_bytes(&out, gv_span_str("item"));
    avro_put_bytes(&out, gv_span_of("{\"id\":\xff\0}", 9));
    assert_true(avro_put_boolean(&out, false));
    world_put(w, REJECTS, partition, gv_span_str("key"), gv_span_of(bytes, out.len), false);
}

void world_json(world *w, const char *key, const char *json)
{
    world_put(w, LEDGER, 0, gv_span_str(key), gv_span_str(json), false);
}

void world_ledger(world *w, const char *snapshot, uint64_t records, uint64_t rejects,
                  uint64_t digest)
{
    char json[512];

    snprintf(json, sizeof json,
             "{\"snapshot\":\"%s\",\"state\":\"complete\",\"records\":%" PRIu64
             ",\"rejects\":%" PRIu64 ",\"digest\":\"%016" PRIx64
             "\",\"topic\":\"auctions.raw\",\"news\":{\"kept\":[1,2]}}",
             snapshot, records, rejects, digest);
    world_json(w, snapshot, json);
}

void world_gap(world *w, const char *snapshot, uint64_t records, uint64_t rejects)
{
    char json[512];

    snprintf(json, sizeof json,
             "{\"snapshot\":\"%s\",\"state\":\"gap\",\"records\":%" PRIu64 ",\"rejects\":%" PRIu64
             ",\"reason\":\"quota\",\"topic\":\"auctions.raw\",\"device\":\"pi-attic\","
             "\"agent\":\"gavel 0.2.0\",\"news\":{\"kept\":[1,2]}}",
             snapshot, records, rejects);
    world_json(w, snapshot, json);
}

/* --- running --- */

static bool next_message(world *w, unsigned *turn, kafka_message *out)
{
    for (unsigned i = 0; i < WORLD_TOPICS * WORLD_PARTITIONS; i++, ++*turn) {
        int topic = (int)(*turn % WORLD_TOPICS);
        int partition = (int)(*turn / WORLD_TOPICS % WORLD_PARTITIONS);
        world_partition *p = &w->partitions[topic][partition];
        if (p->next >= p->high) {
            continue;
        }
        const world_message *m = &p->messages[p->next];
        *out = (kafka_message){ .topic = topic_names[topic],
                                .partition = partition,
                                .offset = p->next,
                                .timestamp_ms = 1404174601000,
                                .key = gv_span_of(m->bytes, m->key_len),
                                .value = gv_span_of(m->bytes + m->key_len, m->value_len),
                                .tombstone = m->tombstone };
        return true;
    }
    return false;
}

bool world_turn(world *w, size_t messages)
{
    unsigned turn = 0;
    kafka_message m;
    gv_status status = GV_OK;

    while (messages != 0 && next_message(w, &turn, &m)) {
        status = sink_add(w->sink, &m, NULL);
        if (status != GV_OK) {
            break;
        }
        w->partitions[topic_of(m.topic)][m.partition].next++;
        messages--;
        turn++;
    }
    if (status != GV_OK && status != GV_FULL) {
        return false;
    }
    if (sink_flush(w->sink, NULL) != GV_OK) {
        return false;
    }
    w->now_ms += 300;
    status = sink_verify(w->sink, !next_message(w, &turn, &m), NULL);
    return status == GV_OK || status == GV_AGAIN;
}

bool world_drain(world *w)
{
    for (int i = 0; i < 2000; i++) {
        if (!world_turn(w, w->batch_records)) {
            return false;
        }
        gv_status idle = sink_idle(w->sink, NULL);
        if (idle == GV_IO) {
            return false;
        }
        gv_status verified = idle == GV_OK ? sink_verify(w->sink, true, NULL) : GV_AGAIN;
        if (verified == GV_OK) {
            return true;
        }
        if (verified != GV_AGAIN) {
            return false;
        }
    }
    fail_msg("the sink never comes to rest");
    return false;
}

/* --- looking --- */

static gv_status take_doc(void *arg, const char *id, gv_span bson)
{
    assert_true(snapshot_doc_read(id, bson, arg));
    return GV_OK;
}

snapshot_doc world_snapshot(world *w, const char *snapshot)
{
    snapshot_doc doc;

    memset(&doc, 0, sizeof doc);
    assert_int_equal(w->inner.snapshot_get(w->inner.ctx, snapshot, take_doc, &doc, NULL), GV_OK);
    return doc;
}

static gv_status add_row(void *arg, size_t which, bool copy, int64_t position, int64_t digest)
{
    world_sum *sum = arg;

    (void)which, (void)position;
    sum->docs += !copy;
    sum->copies += copy;
    sum->digest += (uint64_t)digest;
    return GV_OK;
}

world_sum world_stored(world *w, int topic, const char *snapshot)
{
    world_sum sum = { 0, 0, 0 };
    const char *collection = topic == RAW ? "auctions" : "rejects";

    assert_int_equal(w->inner.scan(w->inner.ctx, collection, &snapshot, 1, add_row, &sum, NULL),
                     GV_OK);
    return sum;
}
