#include "agent/codec/avro_in.h"
#include "tests/unit/codec_help.h"
#include "tests/unit/codec_reencode.h"
#include "tests/unit/codec_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every kind of type. The fixed one has four bytes because avro-c puts the fields of a record one behind
 * the other, and ARM processors do not take numbers from anywhere. */
static const char all_types[] =
    "{\"type\":\"record\",\"name\":\"All\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"i\",\"type\":\"int\"},"
    "{\"name\":\"n\",\"type\":\"null\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":[\"null\",\"double\",\"string\"]}"
    ","
    "{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":4}},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"rows\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"Row\","
    "\"fields\":[{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"long\"]}}]}}},"
    "{\"name\":\"extra\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}]}";

/* Walks a copy of exactly the body's size, and forgets what it hears. */
static gv_status walk(const schema_node *root, gv_span body, gv_error *err)
{
    static uint8_t bytes[1 << 20];
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    uint8_t *copy = malloc(body.len ? body.len : 1);

    memcpy(copy, body.data, body.len);
    gv_status st = codec_reencode(root, gv_span_of(copy, body.len), &out, err);
    free(copy);
    return st;
}

static void what_was_written_is_read_back(void **state)
{
    static uint8_t text_bytes[1 << 20], again_bytes[1 << 20];
    codec c;
    reference r;
    uint32_t random = 3;

    (void)state;
    codec_open(&c, all_types, false);
    reference_open(&r, all_types, json_object());
    for (int i = 0; i < 400; i++) {
        gv_buf text = gv_buf_of(text_bytes, sizeof text_bytes);
        gv_buf again = gv_buf_of(again_bytes, sizeof again_bytes);
        gv_error err = { 0 };
        codec_run run;

        assert_true(gv_buf_put(&text, "{\"auctions\":[", 13));
        reference_generate(&r, &random, i, &text);
        assert_true(gv_buf_put(&text, "]}", 2));
        codec_feed(&c, gv_span_of(text.data, text.len), &(feeding){ 0 }, NULL, &run);
        assert_int_equal(run.record_count, 1);
        gv_span body = run_body(&run, 0);
        assert_true(reference_reads(&r, body));
        assert_int_equal(codec_reencode(c.schema.root, body, &again, &err), GV_OK);
        assert_int_equal(again.len, body.len);
        assert_memory_equal(again.data, body.data, body.len);
        run_free(&run);
    }
    reference_close(&r);
    codec_close(&c);
}

/* Cut anywhere: an error, never a read past the end. A flipped bit: whatever it may mean now. */
static void damage_is_reported_and_never_followed(void **state)
{
    static const char text[] =
        "{\"auctions\":[{\"id\":9000000000,\"i\":-5,\"n\":null,\"b\":true,\"f\":1.5,\"d\":2.5,"
        "\"s\":\"h\\u00e9llo\",\"y\":\"raw\",\"x\":\"abcd\",\"e\":\"B\",\"rows\":[{\"m\":{\"k\":1,"
        "\"l\":null}},{\"m\":{}}],\"new\":[1,2,3]}]}";
    codec c;
    codec_run run;

    (void)state;
    codec_open(&c, all_types, false);
    codec_feed(&c, gv_span_str(text), &(feeding){ 0 }, NULL, &run);
    assert_int_equal(run.record_count, 1);
    gv_span body = run_body(&run, 0);
    assert_int_equal(walk(c.schema.root, body, NULL), GV_OK);
    for (size_t len = 0; len < body.len; len++)
        assert_int_equal(walk(c.schema.root, gv_span_of(body.data, len), NULL), GV_CORRUPT);

    uint8_t *damaged = malloc(body.len + 1);
    int corrupt = 0;
    for (size_t bit = 0; bit < body.len * 8; bit++) {
        memcpy(damaged, body.data, body.len);
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        gv_status st = walk(c.schema.root, gv_span_of(damaged, body.len), NULL);
        assert_true(st == GV_OK || st == GV_CORRUPT);
        corrupt += st == GV_CORRUPT;
    }
    assert_true(corrupt > 100);
    memcpy(damaged, body.data, body.len);
    damaged[body.len] = 0;
    assert_int_equal(walk(c.schema.root, gv_span_of(damaged, body.len + 1), NULL), GV_CORRUPT);
    free(damaged);
    run_free(&run);
    codec_close(&c);
}

typedef struct {
    const char *type;
    const char *bytes;
    size_t len;
    const char *said; /* NULL: it is fine */
} example;

static void rules_of_the_encoding_are_kept(void **state)
{
    static const example cases[] = {
        { "\"long\"", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10, NULL },
        { "\"long\"", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 10, "more than 64 bits" },
        { "\"long\"", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, "more than 64 bits" },
        { "\"int\"", "\xFF\xFF\xFF\xFF\x0F", 5, NULL },
        { "\"int\"", "\x80\x80\x80\x80\x10", 5, "more than 32 bits" },
        { "\"boolean\"", "\x02", 1, "neither 0 nor 1" },
        { "\"string\"", "\x01", 1, "a length below zero" },
        { "\"string\"", "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10, "ends within a value" },
        { "\"string\"", "\x02\xFF", 2, "a string that is not UTF-8" },
        { "\"bytes\"", "\x02\xFF", 2, NULL },
        { "\"double\"", "\0\0\0\0\0\0\0", 7, "ends within a value" },
        { "[\"null\",\"int\"]", "\x04", 1, "a union branch that does not exist" },
        { "[\"null\",\"int\"]", "\x01", 1, "a union branch that does not exist" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\x02", 1, "without a symbol" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"]}", "\x01", 1, "without a symbol" },
        /* Two blocks; one with its size. */
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x02\x02\x04\x04\x06\x00", 6, NULL },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x03\x04\x02\x04\x00", 5, NULL },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x03\x02\x02\x04\x00", 5,
          "as long as it says" },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x03\x7E\x02\x04\x00", 5,
          "longer than the body" },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x03\x03\x02\x04\x00", 5,
          "longer than the body" },
        { "{\"type\":\"array\",\"items\":\"int\"}", "\x04\x02", 2, "[1]: it ends within a number" },
        { "{\"type\":\"array\",\"items\":\"null\"}", "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00",
          11, "too many items without content" },
        { "{\"type\":\"array\",\"items\":\"null\"}",
          "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00\x00", 12,
          "too many items without content" },
        { "{\"type\":\"array\",\"items\":\"null\"}", "\x80\x01\x00", 3, NULL },
        { "{\"type\":\"map\",\"values\":\"int\"}", "\x02\x02k", 3, "k: it ends within a number" },
        { "{\"type\":\"map\",\"values\":\"int\"}", "\x02\x02\xFFx", 4, "not UTF-8" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":"
          "\"array\","
          "\"items\":{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"b\",\"type\":"
          "\"boolean\"}]}}}]}",
          "\x04\x01\x05\x00", 4, "a[1].b: a boolean that is neither 0 nor 1" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}", "\x00", 1, "bytes are left over" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static uint8_t block[16384];
        gv_arena arena;
        schema s;
        gv_error err = { 0 };
        gv_arena_init(&arena, block, sizeof block);
        assert_int_equal(schema_parse(gv_span_str(cases[i].type), &arena, &s, &err), GV_OK);
        gv_status st = walk(s.root, gv_span_of(cases[i].bytes, cases[i].len), &err);
        if (st != (cases[i].said ? GV_CORRUPT : GV_OK) ||
            (cases[i].said && !strstr(err.text, cases[i].said)))
            fail_msg("case %zu, %s: %s, %s", i, cases[i].type, gv_status_name(st), err.text);
    }
}

static void nesting_is_bounded(void **state)
{
    static uint8_t block[16384], deep[200];
    gv_arena arena;
    schema s;
    gv_error err = { 0 };

    (void)state;
    gv_arena_init(&arena, block, sizeof block);
    assert_int_equal(schema_parse(gv_span_str("{\"type\":\"record\",\"name\":\"L\",\"fields\":["
                                              "{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}"),
                                  &arena, &s, &err),
                     GV_OK);
    memset(deep, 2, sizeof deep);
    deep[AVRO_IN_DEPTH_MAX - 1] = 0;
    assert_int_equal(walk(s.root, gv_span_of(deep, AVRO_IN_DEPTH_MAX), &err), GV_OK);
    deep[AVRO_IN_DEPTH_MAX - 1] = 2;
    deep[AVRO_IN_DEPTH_MAX] = 0;
    assert_int_equal(walk(s.root, gv_span_of(deep, AVRO_IN_DEPTH_MAX + 1), &err), GV_CORRUPT);
    assert_non_null(strstr(err.text, "nested too deep"));
}

static gv_status refuse_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                                int64_t v, gv_error *err)
{
    (void)ctx;
    (void)name;
    (void)index;
    (void)type;
    (void)v;
    return gv_fail(err, GV_FULL, "enough");
}

static void a_visitor_can_stop_the_walk(void **state)
{
    static uint8_t block[1024];
    const avro_visitor visitor = { .integer = refuse_integer };
    gv_arena arena;
    schema s;
    gv_error err = { 0 };

    (void)state;
    gv_arena_init(&arena, block, sizeof block);
    assert_int_equal(schema_parse(gv_span_str("\"long\""), &arena, &s, &err), GV_OK);
    assert_int_equal(avro_in_walk(s.root, gv_span_of("\x02", 1), &visitor, &err), GV_FULL);
    assert_string_equal(err.text, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(damage_is_reported_and_never_followed),
        cmocka_unit_test(rules_of_the_encoding_are_kept),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_visitor_can_stop_the_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
