/* JSON from Avro bodies, against what avro-c makes of the same bodies. */
#include "agent/codec/avro_json.h"
#include "tests/unit/codec_help.h"
#include "tests/unit/codec_reference.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Four bytes for the fixed one: avro-c puts the fields of a record one behind the other, and ARM
 * processors do not take numbers from anywhere. */
static const char all_types[] =
    "{\"type\":\"record\",\"name\":\"All\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"i\",\"type\":\"int\"},"
    "{\"name\":\"n\",\"type\":\"null\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":[\"null\",\"double\",\"string\"]}"
    ",{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"y\",\"type\":\"bytes\"},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":4}},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"rows\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"Row\",\"fields\":[{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"long\"]}"
    "}]}}},{\"name\":\"extra\",\"type\":{\"type\":\"map\",\"values\":\"string\"}}]}";

static gv_status collect(void *ctx, const char *text, size_t len, gv_error *err)
{
    return gv_buf_put(ctx, text, len) ? GV_OK : gv_fail(err, GV_FULL, "too long");
}

/* The text of a body, NUL-terminated in `room`. */
static const char *write_text(const schema_node *root, gv_span body, avro_json_style style,
                              char *room, size_t cap)
{
    gv_buf out = gv_buf_of(room, cap - 1);
    gv_error err = { 0 };

    if (avro_json_write(root, body, style, collect, &out, &err) != GV_OK)
        fail_msg("%s", err.text);
    room[out.len] = '\0';
    return room;
}

static bool is_branch(const json_t *avsc, const char *kind)
{
    return json_is_string(avsc) && strcmp(json_string_value(avsc), kind) == 0;
}

/* avro-c tags the value of a union with its branch: {"long": 5}. Takes `v` over. */
static json_t *without_tags(json_t *v, const json_t *avsc)
{
    const json_t *type = json_is_object(avsc) ? json_object_get(avsc, "type") : avsc;
    const char *key;
    json_t *each;
    size_t i;

    if (json_is_array(type)) {
        if (json_is_null(v))
            return v;
        each = json_incref(json_object_iter_value(json_object_iter(v)));
        json_decref(v);
        return each;
    }
    if (json_is_object(type))
        return without_tags(v, type);
    if (is_branch(type, "record"))
        json_array_foreach(json_object_get(avsc, "fields"), i, each)
        {
            key = json_string_value(json_object_get(each, "name"));
            json_object_set_new(
                v, key,
                without_tags(json_incref(json_object_get(v, key)), json_object_get(each, "type")));
        }
    if (is_branch(type, "array"))
        for (i = 0; i < json_array_size(v); i++)
            json_array_set_new(
                v, i,
                without_tags(json_incref(json_array_get(v, i)), json_object_get(avsc, "items")));
    if (is_branch(type, "map"))
        json_object_foreach(v, key, each)
        {
            json_object_set_new(v, key,
                                without_tags(json_incref(each), json_object_get(avsc, "values")));
        }
    return v;
}

static json_t *reference_json(const reference *r, gv_span body)
{
    avro_value_t value;
    char *text = NULL;
    avro_reader_t reader = avro_reader_memory((const char *)body.data, (int64_t)body.len);

    assert_int_equal(avro_generic_value_new(r->iface, &value), 0);
    assert_int_equal(avro_value_read(reader, &value), 0);
    assert_int_equal(avro_value_to_json(&value, 1, &text), 0);
    avro_reader_free(reader);
    avro_value_decref(&value);
    json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
    free(text);
    assert_non_null(json);
    return without_tags(json, r->schema);
}

static void same_values_as_the_reference_writes(void **state)
{
    static uint8_t text_bytes[1 << 20];
    static char json_bytes[1 << 20];
    codec c;
    reference r;
    uint32_t random = 11;

    (void)state;
    codec_open(&c, all_types, false);
    reference_open(&r, all_types, json_object());
    for (int i = 0; i < 300; i++) {
        gv_buf text = gv_buf_of(text_bytes, sizeof text_bytes);
        codec_run run;

        assert_true(gv_buf_put(&text, "{\"auctions\":[", 13));
        reference_generate(&r, &random, INT64_MAX - i, &text);
        assert_true(gv_buf_put(&text, "]}", 2));
        codec_feed(&c, gv_span_of(text.data, text.len), &(feeding){ 0 }, NULL, &run);
        assert_int_equal(run.record_count, 1);
        gv_span body = run_body(&run, 0);
        assert_int_equal(avro_in_check(c.schema.root, body, NULL), GV_OK);
        const char *ours =
            write_text(c.schema.root, body, AVRO_JSON, json_bytes, sizeof json_bytes);
        json_t *a = json_loads(ours, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        json_t *b = reference_json(&r, body);
        assert_non_null(a);
        assert_int_equal(json_integer_value(json_object_get(a, "id")), INT64_MAX - i);
        /* 5 and 5.0 are one number, but not to jansson. */
        assert_true(json_number_value(json_object_get(a, "f")) ==
                    json_number_value(json_object_get(b, "f")));
        if (json_is_number(json_object_get(b, "d"))) {
            assert_true(json_number_value(json_object_get(a, "d")) ==
                        json_number_value(json_object_get(b, "d")));
            json_object_del(a, "d");
            json_object_del(b, "d");
        }
        json_object_del(a, "f");
        json_object_del(b, "f");
        if (!json_equal(a, b))
            fail_msg("record %d: %s\navro-c: %s", i, ours, json_dumps(b, 0));
        json_decref(a);
        json_decref(b);
        run_free(&run);
    }
    reference_close(&r);
    codec_close(&c);
}

typedef struct {
    const char *type;
    const char *bytes;
    size_t len;
    const char *json;
    const char *text;
} example;

static void each_type_has_its_form(void **state)
{
    static const example cases[] = {
        { "\"long\"", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10, "-9223372036854775808",
          "-9223372036854775808" },
        { "\"double\"", "\x9a\x99\x99\x99\x99\x99\xb9\x3f", 8, "0.1", "0.1" },
        { "\"double\"", "\0\0\0\0\0\0\xf8\x7f", 8, "\"NaN\"", "\"NaN\"" },
        { "\"float\"", "\0\0\x80\xff", 4, "\"-Infinity\"", "\"-Infinity\"" },
        { "\"bytes\"", "\x08\x00\x7F\xFF\"", 5, "\"\\u0000\\u007f\\u00ff\\\"\"",
          "\"\\u0000\\u007f\\u00ff\\\"\"" },
        { "\"string\"", "\x0E\xC3\xA9\\\n\x01\t\r", 8, "\"\xC3\xA9\\\\\\n\\u0001\\t\\r\"",
          "\"\xC3\xA9\\\\\\n\\u0001\\t\\r\"" },
        { "{\"type\":\"array\",\"items\":[\"null\",\"int\"]}", "\x04\x00\x02\x05\x00", 5,
          "[null,-3]", "[null -3]" },
        { "{\"type\":\"map\",\"values\":\"boolean\"}", "\x04\x00\x01\x02k\x00\x00", 7,
          "{\"\":true,\"k\":false}", "{=true k=false}" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\","
          "\"int\"]},{\"name\":\"b\",\"type\":{\"type\":\"array\",\"items\":\"int\"}},{\"name\":"
          "\"c\",\"type\":\"null\"},{\"name\":\"d\",\"type\":\"int\"}]}",
          "\x00\x00\x02", 3, "{\"a\":null,\"b\":[],\"c\":null,\"d\":1}", "{b=[] d=1}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static uint8_t block[16384];
        char room[200];
        gv_arena arena;
        schema s;
        gv_arena_init(&arena, block, sizeof block);
        assert_int_equal(schema_parse(gv_span_str(cases[i].type), &arena, &s, NULL), GV_OK);
        gv_span body = gv_span_of(cases[i].bytes, cases[i].len);
        assert_string_equal(write_text(s.root, body, AVRO_JSON, room, sizeof room), cases[i].json);
        assert_string_equal(write_text(s.root, body, AVRO_TEXT, room, sizeof room), cases[i].text);
    }
}

static void a_full_receiver_and_a_damaged_body_stop_it(void **state)
{
    static const char body[] = "\x04\x06"
                               "abc\x02\"";
    static uint8_t block[16384];
    uint8_t room[32];
    gv_arena arena;
    schema s;
    gv_error err = { 0 };

    (void)state;
    gv_arena_init(&arena, block, sizeof block);
    assert_int_equal(
        schema_parse(gv_span_str("{\"type\":\"array\",\"items\":\"string\"}"), &arena, &s, NULL),
        GV_OK);
    size_t whole = strlen("[\"abc\",\"\\\"\"]");
    for (size_t cap = 0; cap < whole; cap++) {
        gv_buf out = gv_buf_of(room, cap);
        assert_int_equal(
            avro_json_write(s.root, gv_span_of(body, 8), AVRO_JSON, collect, &out, NULL), GV_FULL);
    }
    gv_buf out = gv_buf_of(room, whole);
    assert_int_equal(avro_json_write(s.root, gv_span_of(body, 8), AVRO_JSON, collect, &out, NULL),
                     GV_OK);
    assert_int_equal(avro_in_check(s.root, gv_span_of(body, 6), &err), GV_CORRUPT);
    assert_non_null(strstr(err.text, "[1]"));
    out.len = 0;
    assert_int_equal(avro_json_write(s.root, gv_span_of(body, 6), AVRO_JSON, collect, &out, NULL),
                     GV_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_values_as_the_reference_writes),
        cmocka_unit_test(each_type_has_its_form),
        cmocka_unit_test(a_full_receiver_and_a_damaged_body_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
