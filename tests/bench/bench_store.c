/* bench_store - how fast the sink loads documents, beside a bare libmongoc bulk-insert loop.
 *
 *   bench_store [--records N] [--rounds N] [--batch N] [mongodb://host:port/]
 *
 * bare:  finished BSON documents, unordered bulks, w majority, journal; into a new collection.
 * sink:  framed Avro messages through sink_add() and sink_flush(), decoding and all, the same bulks;
 *        into a new collection with the same indexes. Kafka and the registry are stubs.
 * Rounds take turns, so that both meet the same server; medians are printed. Without a server only
 * SQLite is measured.
 */
#include "agent/codec/avro_out.h"
#include "agent/sink/sink.h"
#include "agent/sink/to_bson.h"
#include "platform/log.h"

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_MAX 400
#define ROUNDS_MAX  15

static size_t records = 50000, rounds = 3, batch_records = 1000;
static uint8_t (*messages)[MESSAGE_MAX];
static size_t *lengths;
static char schema_text[16384];
static plat_clock wall_clock;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, why);
    exit(2);
}

/* --- messages as the agent sends them --- */

static uint64_t random_state = 42;

static int64_t draw(uint64_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((random_state >> 33) % below);
}

static void put_optional(gv_buf *out, bool there, int64_t value)
{
    avro_put_long(out, there);
    if (there) {
        avro_put_long(out, value);
    }
}

static void put_item(gv_buf *out)
{
    int64_t bonuses = draw(4), modifiers = draw(3);

    avro_put_long(out, draw(200000));
    put_optional(out, draw(10) < 9, draw(120));
    for (int64_t i = 0; i < bonuses; i++) {
        if (i == 0) {
            avro_put_long(out, bonuses);
        }
        avro_put_long(out, draw(12500));
    }
    avro_put_long(out, 0);
    for (int64_t i = 0; i < modifiers; i++) {
        if (i == 0) {
            avro_put_long(out, modifiers);
        }
        avro_put_long(out, 9);
        avro_put_long(out, draw(95174));
    }
    avro_put_long(out, 0);
    for (int i = 0; i < 6; i++) {
        avro_put_long(out, 0);
    }
}

static void make_messages(void)
{
    static const uint8_t frame[] = { 0, 0, 0, 0, 1 };

    messages = malloc(records * sizeof *messages);
    lengths = malloc(records * sizeof *lengths);
    for (size_t i = 0; i < records; i++) {
        gv_buf out = gv_buf_of(messages[i], MESSAGE_MAX);
        gv_buf_put(&out, frame, sizeof frame);
        avro_put_bytes(&out, gv_span_str("eu"));
        avro_put_long(&out, 604);
        avro_put_long(&out, 0);
        avro_put_long(&out, INT64_C(1404174601000));
        avro_put_long(&out, (int64_t)i);
        avro_put_long(&out, 200000000 + (int64_t)i * 7);
        put_item(&out);
        put_optional(&out, draw(16) == 0, draw(5000000));
        put_optional(&out, true, draw(50000000));
        avro_put_long(&out, 1 + draw(20));
        avro_put_long(&out, 0); /* unit_price */
        avro_put_long(&out, 1 + draw(4));
        if (!avro_put_long(&out, 0)) {
            die("messages", "too long");
        }
        lengths[i] = out.len;
    }
}

/* --- the sink --- */

static gv_status fetch(void *ctx, uint32_t id, void (*take)(void *arg, const char *text), void *arg,
                       gv_error *err)
{
    (void)ctx, (void)id, (void)err;
    take(arg, schema_text);
    return GV_OK;
}

static gv_status no_letters(void *ctx, sink_dead_letter *letters, size_t count, gv_error *err)
{
    (void)ctx, (void)count, (void)err;
    die("a record cannot be stored", letters[0].error);
    return GV_OK;
}

static gv_status no_commit(void *ctx, const kafka_position *positions, size_t count, gv_error *err)
{
    (void)ctx, (void)positions, (void)count, (void)err;
    return GV_OK;
}

static double now_s(void)
{
    return (double)bson_get_monotonic_time() / 1e6;
}

/* Documents a second through the whole sink into a new collection. */
static double run_sink(store *s, const char *collection)
{
    const sink_topic topics[] = { { "raw", SINK_RECORDS, collection },
                                  { "rejects", SINK_REJECTS, "rejects" },
                                  { "ledger", SINK_LEDGER, NULL } };
    const sink_config config = { s, &wall_clock,   topics,
                                 3, batch_records, batch_records * 2048 + 65536,
                                 0 };
    const sink_outside outside = { fetch, no_letters, no_commit, NULL, NULL };
    gv_error err = { 0 };
    sink *loader;

    if (sink_open(&config, &outside, &loader, &err) != GV_OK || sink_start(loader, &err) != GV_OK) {
        die("sink", err.text);
    }
    double start = now_s();
    for (size_t i = 0; i < records; i++) {
        const kafka_message m = { .topic = "raw",
                                  .offset = (int64_t)i,
                                  .key = gv_span_of("eu/604/200000000", 16),
                                  .value = gv_span_of(messages[i], lengths[i]) };
        gv_status status = sink_add(loader, &m, &err);
        if (status == GV_FULL) {
            status = sink_flush(loader, &err);
            i--;
        }
        if (status != GV_OK) {
            die("sink", err.text);
        }
    }
    if (sink_flush(loader, &err) != GV_OK || sink_counted(loader)->added != records) {
        die("sink", err.text[0] ? err.text : "not all were added");
    }
    double seconds = now_s() - start;
    sink_close(loader);
    return (double)records / seconds;
}

/* How fast messages become documents, without a store. */
static double run_decoding(size_t *bytes)
{
    static uint8_t block[65536];
    gv_arena arena;
    schema writer;
    to_bson *builder = to_bson_open();
    store_doc doc;
    const record_origin origin = { "raw", 0, 0, 1 };

    gv_arena_init(&arena, block, sizeof block);
    if (schema_parse(gv_span_str(schema_text), &arena, &writer, NULL) != GV_OK) {
        die("schema", "it cannot be parsed");
    }
    record_shape shape = record_shape_of(&writer);
    double start = now_s();
    *bytes = 0;
    for (size_t i = 0; i < records; i++) {
        gv_span body = gv_span_of(messages[i] + 5, lengths[i] - 5);
        if (to_bson_document(builder, &writer, shape, body, &origin, &doc, NULL) != GV_OK) {
            die("decoding", "a record is not as its schema");
        }
        *bytes += doc.bson.len;
    }
    double seconds = now_s() - start;
    to_bson_close(builder);
    return (double)records / seconds;
}

/* --- the bare loop --- */

static bson_t **make_documents(void)
{
    static uint8_t block[65536];
    gv_arena arena;
    schema writer;
    to_bson *builder = to_bson_open();
    bson_t **docs = malloc(records * sizeof *docs);
    store_doc doc;

    gv_arena_init(&arena, block, sizeof block);
    if (schema_parse(gv_span_str(schema_text), &arena, &writer, NULL) != GV_OK) {
        die("schema", "it cannot be parsed");
    }
    for (size_t i = 0; i < records; i++) {
        const record_origin origin = { "raw", 0, (int64_t)i, 1 };
        gv_span body = gv_span_of(messages[i] + 5, lengths[i] - 5);
        if (to_bson_document(builder, &writer, RECORD_AUCTION, body, &origin, &doc, NULL) !=
            GV_OK) {
            die("decoding", "a record is not as its schema");
        }
        docs[i] = bson_new_from_data(doc.bson.data, doc.bson.len);
    }
    to_bson_close(builder);
    return docs;
}

static double run_bare(mongoc_client_t *client, const char *database, const char *name,
                       bson_t **docs)
{
    mongoc_collection_t *collection = mongoc_client_get_collection(client, database, name);
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    bson_t opts, reply;
    bson_error_t error;

    mongoc_write_concern_set_wmajority(concern, 0);
    mongoc_write_concern_set_journal(concern, true);
    bson_init(&opts);
    BSON_APPEND_BOOL(&opts, "ordered", false);
    mongoc_write_concern_append(concern, &opts);
    double start = now_s();
    for (size_t i = 0; i < records;) {
        mongoc_bulk_operation_t *bulk =
            mongoc_collection_create_bulk_operation_with_opts(collection, &opts);
        for (size_t n = 0; n < batch_records && i < records; n++, i++) {
            mongoc_bulk_operation_insert(bulk, docs[i]);
        }
        if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
            die("bare loop", error.message);
        }
        bson_destroy(&reply);
        mongoc_bulk_operation_destroy(bulk);
    }
    double seconds = now_s() - start;
    bson_destroy(&opts);
    mongoc_write_concern_destroy(concern);
    mongoc_collection_destroy(collection);
    return (double)records / seconds;
}

/* --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, rounds, sizeof *values, by_size);
    return values[rounds / 2];
}

static void measure_mongo(const char *url)
{
    double bare[ROUNDS_MAX], sink_rate[ROUNDS_MAX];
    char database[64], name[64];
    gv_error err = { 0 };
    store s;

    snprintf(database, sizeof database, "gavel_bench_%d", (int)getpid());
    const store_mongo_config config = { url, database, "snapshots", 5000 };
    if (store_mongo_open(&config, &s, &err) != GV_OK) {
        die(url, err.text);
    }
    mongoc_client_t *client = mongoc_client_new(url);
    bson_t **docs = make_documents();
    for (size_t i = 0; i < rounds; i++) {
        snprintf(name, sizeof name, "bare_%zu", i);
        if (s.ensure(s.ctx, name, &err) != GV_OK) {
            die(url, err.text);
        }
        bare[i] = run_bare(client, database, name, docs);
        snprintf(name, sizeof name, "sink_%zu", i);
        sink_rate[i] = run_sink(&s, name);
        printf("round %zu: bare loop %.0f documents/s, sink %.0f documents/s\n", i + 1, bare[i],
               sink_rate[i]);
        fflush(stdout);
    }
    mongoc_database_t *db = mongoc_client_get_database(client, database);
    mongoc_database_drop(db, NULL);
    mongoc_database_destroy(db);
    mongoc_client_destroy(client);
    s.close(s.ctx);
    double a = median(bare), b = median(sink_rate);
    printf("MongoDB (%s): bare loop %.0f documents/s, sink %.0f documents/s (%.0f %%)\n", url, a, b,
           100 * b / a);
    for (size_t i = 0; i < records; i++) {
        bson_destroy(docs[i]);
    }
    free(docs);
}

static void measure_sqlite(void)
{
    static const char path[] = "bench_store.db";
    double rates[ROUNDS_MAX];
    gv_error err = { 0 };
    char name[64];
    store s;

    unlink(path);
    if (store_sqlite_open(&(store_sqlite_config){ path, "snapshots", 1000, false }, &s, &err) !=
        GV_OK) {
        die(path, err.text);
    }
    for (size_t i = 0; i < rounds; i++) {
        snprintf(name, sizeof name, "sink_%zu", i);
        rates[i] = run_sink(&s, name);
    }
    s.close(s.ctx);
    unlink(path);
    unlink("bench_store.db-wal");
    unlink("bench_store.db-shm");
    printf("SQLite: sink %.0f documents/s\n", median(rates));
}

int main(int argc, char **argv)
{
    const char *url = NULL;
    size_t bytes;

    for (int i = 1; i < argc; i++) {
        size_t *number = strcmp(argv[i], "--records") == 0  ? &records
                         : strcmp(argv[i], "--rounds") == 0 ? &rounds
                         : strcmp(argv[i], "--batch") == 0  ? &batch_records
                                                            : NULL;
        if (number && i + 1 < argc) {
            *number = strtoul(argv[++i], NULL, 10);
        } else if (!number) {
            url = argv[i];
        }
    }
    if (records == 0 || batch_records == 0 || rounds == 0 || rounds > ROUNDS_MAX) {
        die("usage", "bench_store [--records N] [--rounds 1..15] [--batch N] [URL]");
    }
    FILE *f = fopen(GAVEL_SOURCE_DIR "/schemas/auction.avsc", "rb");
    if (!f || fread(schema_text, 1, sizeof schema_text - 1, f) == 0) {
        die("schemas/auction.avsc", "cannot be read");
    }
    fclose(f);
    gv_log_configure(GV_LOG_WARN, GV_LOG_LOGFMT, 2);
    wall_clock = plat_clock_system(0);
    make_messages();
    double rate = run_decoding(&bytes);
    printf("%zu records in bulks of %zu, documents of %zu bytes\n"
           "Avro to BSON alone: %.0f documents/s\n",
           records, batch_records, bytes / records, rate);
    if (url) {
        measure_mongo(url);
    }
    measure_sqlite();
    free(messages);
    free(lengths);
    return 0;
}
