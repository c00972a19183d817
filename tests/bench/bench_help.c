#include "tests/bench/bench_help.h"

#include "agent/codec/transcode.h"
#include "tests/unit/codec_help.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define BODY_BYTES     (9u << 20) /* one realm's snapshot, about */
#define BODY_MAX_BYTES (64u << 20)
#define HOUR_MS        INT64_C(3600000)

double bench_now_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void bench_check(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
        exit(1);
    }
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

/* --- bodies --------------------------------------------------------------------------------- */

static size_t make_record(char *out, size_t cap, uint32_t *random, uint64_t id)
{
    uint32_t lists = next_random(random) % 8, modifiers = next_random(random) % 4;
    size_t len = (size_t)snprintf(out, cap, "{\"id\":%llu,\"item\":{\"id\":%u",
                                  (unsigned long long)(1000000000 + id * 3),
                                  (unsigned)(next_random(random) % 200000));

    if (id % 3 == 0) /* a commodity */
        return len + (size_t)snprintf(out + len, cap - len,
                                      "},\"quantity\":%u,\"unit_price\":%u,\"time_left\":"
                                      "\"VERY_LONG\"}",
                                      (unsigned)(next_random(random) % 200),
                                      (unsigned)(next_random(random) % 9000000));
    if (id % 10 != 0)
        len += (size_t)snprintf(out + len, cap - len, ",\"context\":%u",
                                (unsigned)(next_random(random) % 120));
    for (uint32_t i = 0; i < lists; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%u", i ? "," : ",\"bonus_lists\":[",
                                (unsigned)(next_random(random) % 12500));
    len += (size_t)snprintf(out + len, cap - len, lists ? "]" : "");
    for (uint32_t i = 0; i < modifiers; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s{\"type\":%u,\"value\":%u}",
                                i ? "," : ",\"modifiers\":[", (unsigned)(next_random(random) % 30),
                                (unsigned)(next_random(random) % 5000));
    len += (size_t)snprintf(out + len, cap - len, modifiers ? "]" : "");
    return len + (size_t)snprintf(
                     out + len, cap - len, "},\"buyout\":%u00,\"quantity\":1,\"time_left\":\"%s\"}",
                     (unsigned)(next_random(random) % 900000), id % 20 ? "VERY_LONG" : "LONG");
}

char *bench_make_body(size_t bytes, size_t *len)
{
    char *text = malloc(bytes + 1024);
    uint32_t random = 7;

    bench_check(text != NULL, "no memory for a body");
    *len = (size_t)sprintf(text, "{\"auctions\":[");
    for (uint64_t id = 0; *len < bytes; id++) {
        if (id)
            text[(*len)++] = ',';
        *len += make_record(text + *len, 1024, &random, id);
    }
    *len += (size_t)sprintf(text + *len, "]}");
    return text;
}

static char *inflate_file(const char *path, size_t *len)
{
    char *text = malloc(BODY_MAX_BYTES);
    gzFile file = gzopen(path, "rb");

    bench_check(file && text, path);
    int got = gzread(file, text, BODY_MAX_BYTES);
    bench_check(got > 0 && (uint32_t)got < BODY_MAX_BYTES, path);
    gzclose(file);
    *len = (size_t)got;
    return text;
}

/* --- batches -------------------------------------------------------------------------------- */

typedef struct {
    bench_data *data;
    codec codec;
    snapshot_id snapshot;
    batch *filling;
} packing;

static void next_batch(packing *p)
{
    bench_data *d = p->data;

    d->batches = realloc(d->batches, (d->count + 1) * sizeof *d->batches);
    uint8_t *bytes = malloc(BENCH_BATCH_BYTES);
    bench_check(d->batches && bytes, "no memory for batches");
    p->filling = &d->batches[d->count++];
    *p->filling = (batch){ .bytes = gv_buf_of(bytes, BENCH_BATCH_BYTES) };
    batch_start(p->filling, BATCH_AUCTIONS, &p->snapshot, p->codec.schema.fingerprint);
}

static gv_status keep_record(void *ctx, const transcode_record *record, gv_error *err)
{
    packing *p = ctx;

    (void)err;
    if (!p->filling || !batch_append(p->filling, (uint64_t)record->key, record->body)) {
        next_batch(p);
        bench_check(batch_append(p->filling, (uint64_t)record->key, record->body),
                    "a record is larger than a batch");
    }
    p->data->records++;
    p->data->avro_bytes += record->body.len;
    return GV_OK;
}

static gv_status refuse_row(void *ctx, const transcode_reject *reject, gv_error *err)
{
    (void)ctx;
    return gv_fail(err, GV_INVAL, "row %llu: %s: %s", (unsigned long long)reject->row, reject->path,
                   reject->reason);
}

static void pack_body(packing *p, char *text, size_t len)
{
    transcode_limits limits = transcode_default_limits();
    transcode_events events = { .record = keep_record, .reject = refuse_row, .ctx = p };
    size_t need = transcoder_mem_needed(p->codec.plan, &limits), used;
    void *mem = malloc(need);
    gv_error err = { 0, "" };

    p->snapshot.time_ms += HOUR_MS;
    p->filling = NULL;
    transcoder *t = transcoder_init(mem, need, p->codec.plan, &limits, &events);
    transcoder_begin(t, p->codec.values);
    bench_check(transcoder_feed(t, gv_span_of(text, len), &used, &err) == GV_OK &&
                    transcoder_end(t, &err) == GV_OK,
                err.text);
    p->data->snapshots++;
    p->data->json_bytes += len;
    free(mem);
    free(text);
}

static void pack_recorded(packing *p, const char *folder)
{
    char pattern[512];
    glob_t files;
    size_t len;

    snprintf(pattern, sizeof pattern, "%s/*.json.gz", folder);
    if (glob(pattern, 0, NULL, &files) != 0)
        return;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *text = inflate_file(files.gl_pathv[i], &len);
        pack_body(p, text, len);
    }
    globfree(&files);
    p->data->name = "recorded bodies";
}

static void pack_generated(packing *p, size_t bytes)
{
    size_t len;

    p->data->name = "generated bodies";
    while (p->data->json_bytes < bytes) {
        char *text = bench_make_body(bytes < BODY_BYTES ? bytes : BODY_BYTES, &len);
        pack_body(p, text, len);
    }
}

void bench_data_make(bench_data *data, size_t bytes)
{
    packing p = { .data = data, .snapshot = { "eu", 604, 0, 1404174601000 } };
    const char *folder = getenv("GAVEL_RECORDED_DATA");

    *data = (bench_data){ .name = "" };
    codec_open_auction(&p.codec, GAVEL_SOURCE_DIR);
    if (folder)
        pack_recorded(&p, folder);
    if (data->snapshots == 0)
        pack_generated(&p, bytes);
    codec_close(&p.codec);
    for (size_t i = 0; i < data->count; i++)
        data->payload_bytes += data->batches[i].bytes.len;
}

void bench_data_free(bench_data *data)
{
    for (size_t i = 0; i < data->count; i++)
        free(data->batches[i].bytes.data);
    free(data->batches);
}
