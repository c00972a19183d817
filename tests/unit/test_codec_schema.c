#include "agent/codec/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t block[64 * 1024];

static gv_status parse(const char *text, schema *out, gv_error *err)
{
    gv_arena arena;

    err->text[0] = '\0';
    gv_arena_init(&arena, block, sizeof block);
    return schema_parse(gv_span_str(text), &arena, out, err);
}

static schema parse_good(const char *text)
{
    schema s;
    gv_error err;

    if (parse(text, &s, &err) != GV_OK)
        fail_msg("%s: %s", text, err.text);
    return s;
}

/* Expected values: fastavro 1.x, fingerprint(to_parsing_canonical_form(...), "CRC-64-AVRO"); those
 * of the primitives are also in Avro's own schema-tests.txt. */
static void fingerprint_is_the_one_others_compute(void **state)
{
    static const struct {
        const char *text;
        uint64_t fingerprint;
    } cases[] = {
        { "\"null\"", 0x63dd24e7cc258f8a },
        { "\"boolean\"", 0x9f42fc78a4d4f764 },
        { "{\"type\":\"int\"}", 0x7275d51a3f395c8f },
        { " \"long\"\n", 0xd054e14493f41db7 },
        { "{\"type\":{\"type\":\"float\"}}", 0x4d7c02cb3ea8d790 },
        { "\"double\"", 0x8e7535c032ab957e },
        { "\"bytes\"", 0x4fc016dac3201965 },
        { "\"string\"", 0x8f014872634503c7 },
        { "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}", 0xd054e14493f41db7 },
        { "{\"size\":16,\"namespace\":\"ns\",\"name\":\"MyFixed\",\"type\":\"fixed\"}",
          0xa91fc4b489a306cd },
        { "{\"type\":\"enum\",\"name\":\"E\",\"doc\":\"d\",\"symbols\":[\"A\",\"B\"],"
          "\"default\":\"A\",\"aliases\":[\"F\"]}",
          0xae10ce05eafd7355 },
        { "{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"string\"}}",
          0xdf0b6ae39c26f068 },
        { "[\"null\",\"int\",{\"type\":\"array\",\"items\":\"int\"}]", 0xb6b9a3cdee348981 },
        { "{\"type\":\"record\",\"name\":\"a.b.Node\",\"doc\":\"x\",\"fields\":["
          "{\"name\":\"next\",\"type\":[\"null\",\"Node\"],\"default\":null},"
          "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"Kind\",\"symbols\":[\"X\"]}},"
          "{\"name\":\"f\",\"type\":\"Kind\"},"
          "{\"name\":\"g\",\"type\":{\"type\":\"fixed\",\"name\":\"other.Four\",\"size\":4},"
          "\"order\":\"ignore\"},{\"name\":\"h\",\"type\":[\"other.Four\",\"null\"]}]}",
          0x7bb4d5108aa108b9 },
        { "{\"type\":\"record\",\"name\":\"Out\",\"namespace\":\"n\",\"fields\":[{\"name\":\"in\","
          "\"type\":{\"type\":\"record\",\"name\":\"In\",\"namespace\":\"\",\"fields\":[]}}]}",
          0x532fdf5a8f67e1cc },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(parse_good(cases[i].text).fingerprint, cases[i].fingerprint);
}

static void tree_says_what_the_text_says(void **state)
{
    schema s = parse_good(
        "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":["
        "{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
        "{\"name\":\"day\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},"
        "{\"name\":\"odd\",\"type\":{\"type\":\"string\",\"logicalType\":\"date\"}},"
        "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"R\"]},\"default\":{}},"
        "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],"
        "\"default\":\"B\"}}]}");
    const schema_node *r = s.root;

    (void)state;
    assert_int_equal(r->kind, SCHEMA_RECORD);
    assert_string_equal(r->full_name, "n.R");
    assert_int_equal(r->count, 5);
    assert_string_equal(r->fields[0].name, "at");
    assert_int_equal(r->fields[0].type->logical, SCHEMA_TIMESTAMP_MICROS);
    assert_int_equal(r->fields[1].type->logical, SCHEMA_DATE);
    assert_int_equal(r->fields[2].type->logical, SCHEMA_LOGICAL_NONE);
    assert_int_equal(r->fields[3].type->kind, SCHEMA_MAP);
    assert_true(r->fields[3].has_default);
    assert_ptr_equal(r->fields[3].type->items->branches[1], r);
    assert_string_equal(r->fields[4].type->full_name, "n.E");
    assert_int_equal(r->fields[4].type->enum_default, 1);
    assert_int_equal(schema_symbol_index(r->fields[4].type, gv_span_str("B")), 1);
    assert_int_equal(schema_symbol_index(r->fields[4].type, gv_span_str("C")), -1);
}

static void defaults_are_encoded_once_and_for_all(void **state)
{
    static const struct {
        const char *type, *value;
        const char *avro;
        size_t len;
    } cases[] = {
        { "\"null\"", "null", "", 0 },
        { "\"boolean\"", "true", "\x01", 1 },
        { "\"int\"", "-2147483648", "\xFF\xFF\xFF\xFF\x0F", 5 },
        { "\"long\"", "64", "\x80\x01", 2 },
        { "\"float\"", "1.5", "\x00\x00\xC0\x3F", 4 },
        { "\"double\"", "-2", "\x00\x00\x00\x00\x00\x00\x00\xC0", 8 },
        { "\"string\"", "\"\\u00e9\"", "\x04\xC3\xA9", 3 },
        { "\"bytes\"", "\"\\u00e9A\"", "\x04\xE9\x41", 3 },
        { "[\"null\",\"long\"]", "null", "\x00", 1 },
        { "[\"null\",\"long\"]", "-1", "\x02\x01", 2 },
        { "{\"type\":\"array\",\"items\":\"int\"}", "[1,2]", "\x04\x02\x04\x00", 4 },
        { "{\"type\":\"array\",\"items\":\"int\"}", "[]", "\x00", 1 },
        { "{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":3}", "\x02\x02k\x06\x00", 5 },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":2}", "\"\\u0001\\u00ff\"", "\x01\xFF", 2 },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"B\"", "\x02", 1 },
        { "{\"type\":\"record\",\"name\":\"I\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},"
          "{\"name\":\"b\",\"type\":\"int\",\"default\":5}]}",
          "{\"a\":1}", "\x02\x0A", 2 },
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text,
                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\",\"type\":%s,"
                 "\"default\":%s}]}",
                 cases[i].type, cases[i].value);
        schema_field field = parse_good(text).root->fields[0];
        assert_true(field.has_default);
        assert_int_equal(field.default_avro.len, cases[i].len);
        assert_memory_equal(field.default_avro.data, cases[i].avro, cases[i].len);
    }
}

#define FIELD(rest) "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"f\"," rest "}]}"

static void a_wrong_schema_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "", "not JSON at byte 0" },
        { "{\"type\":", "not JSON at byte" },
        { "\"int\" x", "not JSON at byte 6" },
        { "7", "a type is a string" },
        { "{}", "no \"type\"" },
        { "\"lonq\"", "\"lonq\" is no type" },
        { "[]", "a union has no branch" },
        { "[[\"int\"]]", "directly in a union" },
        { "[\"int\",\"null\",\"int\"]", "two branches of type \"int\"" },
        { "{\"type\":\"array\"}", "no \"items\"" },
        { "{\"type\":\"map\"}", "no \"values\"" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":-1}", "F has no valid \"size\"" },
        { "{\"type\":\"fixed\",\"name\":\"F\",\"size\":1.5}", "F has no valid \"size\"" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[]}", "E has no list \"symbols\"" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"A\"]}", "\"A\" twice" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"1\"]}", "invalid symbol \"1\"" },
        { "{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\"],\"default\":\"B\"}",
          "default of enum" },
        { "{\"type\":\"record\",\"fields\":[]}", "needs a valid name" },
        { "{\"type\":\"record\",\"name\":\"a b\",\"fields\":[]}", "(here \"a b\")" },
        { "{\"type\":\"record\",\"name\":\"R\"}", "no list \"fields\"" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},"
          "{\"name\":\"a\",\"type\":\"int\"}]}",
          "two fields named \"a\"" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":"
          "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}}]}",
          "\"R\" is defined twice" },
        { FIELD("\"type\":\"int\",\"default\":\"x\""), "default of R.f does not fit" },
        { FIELD("\"type\":\"int\",\"default\":2147483648"), "default of R.f does not fit" },
        { FIELD("\"type\":\"long\",\"default\":9007199254740994"), "default of R.f does not fit" },
        { FIELD("\"type\":\"long\",\"default\":1.5"), "default of R.f does not fit" },
        { FIELD("\"type\":\"double\",\"default\":1e999"), "default of R.f does not fit" },
        { FIELD("\"type\":\"bytes\",\"default\":\"\\u0100\""), "default of R.f does not fit" },
        { FIELD("\"type\":[\"null\",\"int\"],\"default\":\"x\""), "default of R.f does not fit" },
        { FIELD("\"type\":\"string\",\"default\":\"\xFF\""), "default of R.f does not fit" },
        { FIELD("\"type\":{\"type\":\"map\",\"values\":\"int\"},\"default\":{\"\xFF\":1}"),
          "default of R.f does not fit" },
        { FIELD("\"type\":\"R\",\"default\":{}"), "default of R.f does not fit" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        schema s;
        gv_error err;
        assert_int_equal(parse(cases[i].text, &s, &err), GV_INVAL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("%s\n  said: %s\n  not: %s", cases[i].text, err.text, cases[i].said);
    }
}

static void nesting_without_end_is_refused(void **state)
{
    char text[4096];
    size_t len = 0;
    schema s;
    gv_error err;

    (void)state;
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(text + len, "{\"type\":\"array\",\"items\":");
    len += (size_t)sprintf(text + len, "\"int\"");
    memset(text + len, '}', 100);
    text[len + 100] = '\0';
    assert_int_equal(parse(text, &s, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "nested deeper"));
}

static void an_arena_too_small_is_no_crash(void **state)
{
    static const char text[] =
        "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":["
        "{\"name\":\"a\",\"type\":[\"null\",{\"type\":\"array\",\"items\":{\"type\":\"enum\","
        "\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}}],\"default\":null},"
        "{\"name\":\"b\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
        "{\"name\":\"c\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":1}}]}";
    schema s;
    gv_status st = GV_FULL;

    (void)state;
    for (size_t size = 0; st != GV_OK; size++) {
        gv_arena arena;
        gv_error err = { 0 };
        void *exact = malloc(size + 1);
        assert_true(size < sizeof block);
        gv_arena_init(&arena, exact, size);
        st = schema_parse(gv_span_str(text), &arena, &s, &err);
        assert_true(st == GV_OK || (st == GV_FULL && strstr(err.text, "more memory")));
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprint_is_the_one_others_compute),
        cmocka_unit_test(tree_says_what_the_text_says),
        cmocka_unit_test(defaults_are_encoded_once_and_for_all),
        cmocka_unit_test(a_wrong_schema_is_refused_with_its_place),
        cmocka_unit_test(nesting_without_end_is_refused),
        cmocka_unit_test(an_arena_too_small_is_no_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
