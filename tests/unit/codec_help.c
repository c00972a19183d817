#include "tests/unit/codec_help.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (256u * 1024)

static const plan_binding auction_bindings[] = {
    { "region", PLAN_VALUE_STRING },     { "realm", PLAN_VALUE_LONG },
    { "house", PLAN_VALUE_LONG },        { "snapshot_at", PLAN_VALUE_LONG },
    { "position", PLAN_VALUE_POSITION },
};
static const plan_value auction_values[] = {
    { 0, "eu" }, { 604, NULL }, { 0, NULL }, { 1404174601000, NULL }, { 0, NULL },
};

static void die(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

char *load_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        die(path, "cannot be opened");
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*len + 1);
    if (!text || fread(text, 1, *len, file) != *len)
        die(path, "cannot be read");
    text[*len] = '\0';
    fclose(file);
    return text;
}

uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    uint32_t x = *state ^ *state >> 16;
    return x * 0x45d9f3bu >> 3;
}

void codec_open(codec *c, const char *avsc, bool auction)
{
    gv_error err = { 0 };

    c->block = malloc(ARENA_BYTES);
    gv_arena_init(&c->arena, c->block, ARENA_BYTES);
    c->values = auction_values;
    if (schema_parse(gv_span_str(avsc), &c->arena, &c->schema, &err) != GV_OK ||
        plan_build(&c->schema, auction_bindings, auction ? 5 : 0, "id", "extra", &c->arena,
                   &c->plan, &err) != GV_OK)
        die("schema", err.text);
}

void codec_open_auction(codec *c, const char *source_dir)
{
    char path[512];
    size_t len;

    snprintf(path, sizeof path, "%s/schemas/auction.avsc", source_dir);
    char *text = load_file(path, &len);
    codec_open(c, text, true);
    free(text);
}

void codec_close(codec *c)
{
    free(c->block);
}

static void log_bytes(codec_run *run, const void *data, size_t len)
{
    if (run->log_cap - run->log_len < len) {
        run->log_cap = (run->log_cap + len) * 2;
        run->log = realloc(run->log, run->log_cap);
    }
    if (len)
        memcpy(run->log + run->log_len, data, len);
    run->log_len += len;
}

static void log_entry(codec_run *run, char kind, uint64_t number, gv_span a, gv_span b)
{
    uint64_t head[3] = { number, a.len, b.len };

    log_bytes(run, &kind, 1);
    log_bytes(run, head, sizeof head);
    log_bytes(run, a.data, a.len);
    log_bytes(run, b.data, b.len);
}

static bool not_now(codec_run *run)
{
    if (run->again_left == 0) {
        run->again_left = run->again_times;
        return false;
    }
    run->again_left--;
    return true;
}

static gv_status on_member(void *ctx, gv_span name, gv_span json, gv_error *err)
{
    codec_run *run = ctx;

    (void)err;
    log_entry(run, 'm', 0, name, json);
    snprintf(run->member_name, sizeof run->member_name, "%.*s", (int)name.len,
             (const char *)name.data);
    snprintf(run->member_json, sizeof run->member_json, "%.*s", (int)json.len,
             (const char *)json.data);
    return GV_OK;
}

static gv_status on_begin(void *ctx, gv_error *err)
{
    (void)err;
    log_entry(ctx, 'b', 0, gv_span_of(NULL, 0), gv_span_of(NULL, 0));
    return GV_OK;
}

static gv_status on_record(void *ctx, const transcode_record *record, gv_error *err)
{
    codec_run *run = ctx;

    (void)err;
    if (not_now(run))
        return GV_AGAIN;
    log_entry(run, 'r', (uint64_t)record->key, gv_span_of(NULL, 0), record->body);
    if (run->record_count == run->record_cap) {
        run->record_cap = run->record_cap * 2 + 16;
        run->records = realloc(run->records, run->record_cap * sizeof *run->records);
    }
    run->records[run->record_count].at = run->log_len - record->body.len;
    run->records[run->record_count].len = record->body.len;
    run->records[run->record_count++].key = record->key;
    return GV_OK;
}

static gv_status on_reject(void *ctx, const transcode_reject *reject, gv_error *err)
{
    codec_run *run = ctx;

    (void)err;
    if (not_now(run))
        return GV_AGAIN;
    log_entry(run, 'x', reject->row, gv_span_str(reject->reason), gv_span_str(reject->path));
    log_entry(run, 'w', reject->raw_cut, gv_span_of(NULL, 0), reject->raw);
    snprintf(run->reason, sizeof run->reason, "%s", reject->reason);
    snprintf(run->path, sizeof run->path, "%s", reject->path);
    free(run->raw);
    run->raw = malloc(reject->raw.len + 1);
    memcpy(run->raw, reject->raw.data, reject->raw.len);
    run->raw_len = reject->raw.len;
    run->raw_cut = reject->raw_cut;
    run->row = reject->row;
    return GV_OK;
}

/* Feeds one chunk until it is taken. */
static gv_status feed_chunk(transcoder *t, const uint8_t *data, size_t len, gv_error *err)
{
    size_t used, done = 0;
    gv_status st;

    do {
        uint8_t *copy = malloc(len - done ? len - done : 1);
        memcpy(copy, data + done, len - done);
        st = transcoder_feed(t, gv_span_of(copy, len - done), &used, err);
        free(copy); /* nothing of it may be looked at later */
        if (st == GV_OK && used != len - done)
            die("transcoder_feed", "GV_OK, but bytes are left");
        done += used;
    } while (st == GV_AGAIN);
    return st;
}

void codec_feed(const codec *c, gv_span text, const feeding *how, const transcode_limits *limits,
                codec_run *run)
{
    transcode_limits standard = transcode_default_limits();
    size_t need = transcoder_mem_needed(c->plan, limits ? limits : &standard);
    transcode_events events = { on_member, on_begin, on_record, on_reject, run };
    uint32_t state = how->seed;
    void *mem = malloc(need);

    memset(run, 0, sizeof *run);
    run->again_times = run->again_left = how->again_times;
    transcoder *t = transcoder_init(mem, need, c->plan, limits ? limits : &standard, &events);
    transcoder_begin(t, c->values);
    for (size_t at = 0; at < text.len && run->status == GV_OK;) {
        size_t size = how->chunk_bytes ? how->chunk_bytes : text.len;
        if (how->seed)
            size = 1 + next_random(&state) % size;
        if (size > text.len - at)
            size = text.len - at;
        run->status = feed_chunk(t, text.data + at, size, &run->err);
        at += size;
    }
    if (run->status == GV_OK)
        run->status = transcoder_end(t, &run->err);
    run->counts = *transcoder_counts(t);
    free(mem);
}

gv_span run_body(const codec_run *run, size_t record)
{
    return gv_span_of(run->log + run->records[record].at, run->records[record].len);
}

void run_free(codec_run *run)
{
    free(run->log);
    free(run->records);
    free(run->raw);
}

bool runs_equal(const codec_run *a, const codec_run *b)
{
    const transcode_counts *x = &a->counts, *y = &b->counts;

    return a->status == b->status && strcmp(a->err.text, b->err.text) == 0 &&
           gv_span_equal(gv_span_of(a->log, a->log_len), gv_span_of(b->log, b->log_len)) &&
           x->records == y->records && x->rejects == y->rejects &&
           x->unknown_members == y->unknown_members && x->replaced_utf8 == y->replaced_utf8 &&
           x->saw_records == y->saw_records && x->finished == y->finished &&
           (a->status != GV_OK || x->bytes_in == y->bytes_in);
}
