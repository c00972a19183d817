/* bench_codec.c - how fast JSON becomes Avro, beside what else could do it and what bounds it.
 *
 *   bench_codec [BODY.json]...     recorded or generated bodies; without one, 64 MB are made here
 *
 * All rows come from one run, in CPU time, best of ROUNDS. The roof is one memcpy of the body; "find the ends" is
 * what any reader of a stream must do at least; the other libraries read the whole body into a tree
 * first, which the agent never could.
 */
#include "agent/codec/digest.h"
#include "agent/codec/json_frame.h"
#include "agent/codec/json_scan.h"
#include "tests/bench/bench_help.h"
#include "tests/unit/codec_help.h"

#include <avro.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS      7
#define CHUNK_BYTES (16u * 1024) /* what libcurl hands over at most */

typedef struct {
    gv_span body;
    codec codec;
    transcoder *transcoder;
    avro_value_iface_t *iface;
    uint64_t records;
    uint64_t digest;
    batch batch;
    uint8_t *copy;
} bench;

/* --- the roof ------------------------------------------------------------------------------- */

static void run_memcpy(bench *b)
{
    memcpy(b->copy, b->body.data, b->body.len);
}

static void run_frame(bench *b)
{
    json_frame frame;
    bool done;

    json_frame_start(&frame, '{');
    json_frame_scan(&frame, b->body, &done);
    bench_check(done, "the body has no end");
}

static void run_syntax(bench *b)
{
    json_reader reader = { .end = b->body.data + b->body.len, .depth_left = 32 };

    bench_check(json_scan_value(&reader, b->body.data) != NULL, "the body is not JSON");
}

/* --- the transcoder ------------------------------------------------------------------------- */

static gv_status count_record(void *ctx, const transcode_record *record, gv_error *err)
{
    bench *b = ctx;

    (void)record;
    (void)err;
    b->records++;
    return GV_OK;
}

/* What the pipeline does with a record. */
static gv_status keep_record(void *ctx, const transcode_record *record, gv_error *err)
{
    bench *b = ctx;

    (void)err;
    b->records++;
    b->digest += codec_digest(record->body);
    if (!batch_append(&b->batch, (uint64_t)record->key, record->body)) {
        b->batch.bytes.len = 0;
        bench_check(batch_append(&b->batch, (uint64_t)record->key, record->body),
                    "a record too long");
    }
    return GV_OK;
}

static gv_status count_reject(void *ctx, const transcode_reject *reject, gv_error *err)
{
    (void)ctx;
    return gv_fail(err, GV_INVAL, "row %llu: %s: %s", (unsigned long long)reject->row, reject->path,
                   reject->reason);
}

static void transcode(bench *b, gv_status (*record)(void *, const transcode_record *, gv_error *))
{
    transcode_limits limits = transcode_default_limits();
    transcode_events events = { .record = record, .reject = count_reject, .ctx = b };
    size_t need = transcoder_mem_needed(b->codec.plan, &limits), used;
    static void *mem;
    gv_error err = { 0 };

    mem = mem ? mem : malloc(need);
    b->records = 0;
    transcoder *t = transcoder_init(mem, need, b->codec.plan, &limits, &events);
    transcoder_begin(t, b->codec.values);
    for (size_t at = 0; at < b->body.len; at += CHUNK_BYTES) {
        size_t left = b->body.len - at;
        gv_span chunk = gv_span_of(b->body.data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES);
        bench_check(transcoder_feed(t, chunk, &used, &err) == GV_OK, err.text);
    }
    bench_check(transcoder_end(t, &err) == GV_OK, err.text);
}

static void run_transcode(bench *b)
{
    transcode(b, count_record);
}

static void run_pipeline(bench *b)
{
    transcode(b, keep_record);
}

/* --- a tree, and avro-c --------------------------------------------------------------------- */

static void fill(avro_value_t *v, const cJSON *json);

static void fill_union(avro_value_t *v, const cJSON *json)
{
    avro_value_t branch;

    avro_value_set_branch(v, json && !cJSON_IsNull(json), &branch); /* ["null", ...] throughout */
    if (json && !cJSON_IsNull(json))
        fill(&branch, json);
}

static void fill_fields(avro_value_t *v, const cJSON *json)
{
    size_t count = 0;
    const char *name;
    avro_value_t child;

    avro_value_get_size(v, &count);
    for (size_t i = 0; i < count; i++) {
        avro_value_get_by_index(v, i, &child, &name);
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, name);
        if (member || avro_value_get_type(&child) == AVRO_UNION)
            fill(&child, member);
    }
}

static void fill(avro_value_t *v, const cJSON *json)
{
    avro_value_t item_value;
    const cJSON *item;

    switch (avro_value_get_type(v)) {
    case AVRO_RECORD:
        fill_fields(v, json);
        break;
    case AVRO_UNION:
        fill_union(v, json);
        break;
    case AVRO_ARRAY:
        cJSON_ArrayForEach(item, json)
        {
            avro_value_append(v, &item_value, NULL);
            fill(&item_value, item);
        }
        break;
    case AVRO_ENUM:
        avro_value_set_enum(
            v, avro_schema_enum_get_by_name(avro_value_get_schema(v), json->valuestring));
        break;
    case AVRO_INT32:
        avro_value_set_int(v, json->valueint);
        break;
    default:
        avro_value_set_long(v, (int64_t)json->valuedouble);
        break;
    }
}

static void run_cjson_avro(bench *b)
{
    cJSON *document = cJSON_ParseWithLength((const char *)b->body.data, b->body.len), *item;
    static char out[64 * 1024];
    avro_writer_t writer = avro_writer_memory(out, sizeof out);
    avro_value_t value, bound;

    bench_check(document != NULL, "cJSON refuses the body");
    avro_generic_value_new(b->iface, &value);
    b->records = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(document, "auctions"))
    {
        avro_value_reset(&value);
        avro_value_get_by_name(&value, "region", &bound, NULL);
        avro_value_set_string(&bound, "eu");
        fill(&value, item);
        avro_writer_reset(writer);
        bench_check(avro_value_write(writer, &value) == 0, "avro-c refuses a record");
        b->records++;
    }
    avro_value_decref(&value);
    avro_writer_free(writer);
    cJSON_Delete(document);
}

static void run_cjson(bench *b)
{
    cJSON *document = cJSON_ParseWithLength((const char *)b->body.data, b->body.len);

    bench_check(document != NULL, "cJSON refuses the body");
    cJSON_Delete(document);
}

/* --- bodies and table ----------------------------------------------------------------------- */

static void measure(bench *b, const char *name, void (*run)(bench *b))
{
    double best = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        double start = bench_now_s(CLOCK_PROCESS_CPUTIME_ID);
        run(b);
        double took = bench_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
        best = took < best ? took : best;
    }
    printf("  %-44s %8.0f MB/s", name, (double)b->body.len / best / 1e6);
    if (b->records)
        printf(" %8.0f ns/record", best * 1e9 / (double)b->records);
    printf("\n");
}

static void bench_body(bench *b, const char *name, char *text, size_t len)
{
    b->body = gv_span_of(text, len);
    b->copy = malloc(len);
    memset(b->copy, 1, len);
    b->records = 0;
    printf("%s: %.1f MB\n", name, (double)len / 1e6);
    measure(b, "memcpy (the roof)", run_memcpy);
    measure(b, "find the ends (json_frame)", run_frame);
    measure(b, "check the syntax (json_scan)", run_syntax);
    measure(b, "cJSON, reading alone", run_cjson);
    measure(b, "JSON to Avro: cJSON and avro-c", run_cjson_avro);
    measure(b, "JSON to Avro: transcoder", run_transcode);
    measure(b, "JSON to Avro: transcoder, digest and batch", run_pipeline);
    printf("  %llu records\n\n", (unsigned long long)b->records);
    free(b->copy);
    free(text);
}

int main(int argc, char **argv)
{
    bench b = { .batch.bytes = gv_buf_of(malloc(BENCH_BATCH_BYTES), BENCH_BATCH_BYTES) };
    char path[512];
    avro_schema_t type;
    size_t len;

    codec_open_auction(&b.codec, GAVEL_SOURCE_DIR);
    snprintf(path, sizeof path, "%s/schemas/auction.avsc", GAVEL_SOURCE_DIR);
    char *avsc = load_file(path, &len);
    bench_check(avro_schema_from_json_length(avsc, len, &type) == 0, "avro-c refuses the schema");
    b.iface = avro_generic_class_from_schema(type);
    free(avsc);

    if (argc == 1) {
        char *text = bench_make_body(64u << 20, &len);
        bench_body(&b, "made here", text, len);
    }
    for (int i = 1; i < argc; i++) {
        char *text = load_file(argv[i], &len);
        bench_body(&b, argv[i], text, len);
    }
    avro_value_iface_decref(b.iface);
    avro_schema_decref(type);
    codec_close(&b.codec);
    free(b.batch.bytes.data);
    return 0;
}
