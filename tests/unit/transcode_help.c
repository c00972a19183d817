#include "tests/unit/transcode_help.h"

#include <stdio.h>

#include "agent/codec/avro_in.h"

codec auction;

int open_schema(void **state)
{
    (void)state;
    codec_open_auction(&auction, GAVEL_SOURCE_DIR);
    return 0;
}

int close_schema(void **state)
{
    (void)state;
    codec_close(&auction);
    return 0;
}

/* --- feeding -------------------------------------------------------------------------------- */

void feed_limited(const codec *c, gv_span text, const transcode_limits *limits, codec_run *run)
{
    const feeding ways[] = { { .chunk_bytes = 1 },
                             { .chunk_bytes = 2 },
                             { .chunk_bytes = 30, .seed = 5 },
                             { .chunk_bytes = 200, .seed = 6, .again_times = 1 } };
    codec_run other;

    codec_feed(c, text, &(feeding){ 0 }, limits, run);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        codec_feed(c, text, &ways[i], limits, &other);
        if (!runs_equal(run, &other))
            fail_msg("%.200s\n  whole: %s\n  in pieces (%zu): %s", (const char *)text.data,
                     run->err.text, i, other.err.text);
        run_free(&other);
    }
}

void feed(const char *text, codec_run *run)
{
    feed_limited(&auction, gv_span_str(text), NULL, run);
}

/* --- reading a body back, as text ----------------------------------------------------------- */

typedef struct {
    char text[4096];
    size_t len;
} dump;

static void say(dump *d, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    d->len += (size_t)vsnprintf(d->text + d->len, sizeof d->text - d->len, format, args);
    va_end(args);
    assert_true(d->len < sizeof d->text);
}

static void say_name(dump *d, gv_span name)
{
    if (name.data)
        say(d, "%.*s=", (int)name.len, (const char *)name.data);
}

static gv_status dump_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    (void)index;
    (void)err;
    say_name(ctx, name);
    say(ctx, "- ");
    return GV_OK;
}

static gv_status dump_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    (void)index;
    (void)err;
    say_name(ctx, name);
    say(ctx, v ? "true " : "false ");
    return GV_OK;
}

static gv_status dump_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                              int64_t v, gv_error *err)
{
    (void)index;
    (void)type;
    (void)err;
    say_name(ctx, name);
    say(ctx, "%lld ", (long long)v);
    return GV_OK;
}

static gv_status dump_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    (void)index;
    (void)err;
    say_name(ctx, name);
    say(ctx, "%g ", v);
    return GV_OK;
}

static gv_status dump_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                           gv_span v, gv_error *err)
{
    (void)index;
    (void)type;
    (void)err;
    say_name(ctx, name);
    say(ctx, "'%.*s' ", (int)v.len, (const char *)v.data);
    return GV_OK;
}

static gv_status dump_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                            gv_error *err)
{
    (void)index;
    (void)err;
    say_name(ctx, name);
    say(ctx, type->kind == SCHEMA_ARRAY ? "[ " : "{ ");
    return GV_OK;
}

static gv_status dump_end(void *ctx, const schema_node *type, gv_error *err)
{
    (void)err;
    say(ctx, type->kind == SCHEMA_ARRAY ? "] " : "} ");
    return GV_OK;
}

const char *body_text(const codec *c, gv_span body)
{
    static dump d;
    const avro_visitor visitor = { dump_null, dump_boolean, dump_integer, dump_floating,
                                   dump_text, dump_begin,   dump_end,     &d };
    gv_error err = { 0 };

    d.len = 0;
    if (avro_in_walk(c->schema.root, body, &visitor, &err) != GV_OK)
        fail_msg("%s", err.text);
    d.text[d.len] = '\0';
    return d.text;
}
