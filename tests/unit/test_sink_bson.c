/* Avro records as BSON documents: types, names, identities. */
#include "agent/codec/avro_out.h"
#include "agent/codec/digest.h"
#include "agent/sink/to_bson.h"

#include <bson/bson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t block[128 * 1024], bytes[64 * 1024];
static gv_arena arena;
static to_bson *builder;
static gv_buf body;

static int set_up(void **state)
{
    (void)state;
    gv_arena_init(&arena, block, sizeof block);
    body = gv_buf_of(bytes, sizeof bytes);
    builder = to_bson_open();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    to_bson_close(builder);
    return 0;
}

static schema parse(const char *text)
{
    gv_error err = { 0 };
    schema s;

    gv_status status = schema_parse(gv_span_str(text), &arena, &s, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    return s;
}

static const record_origin origin = { "some.topic", 3, 42, 7 };

static gv_status convert(const char *avsc, store_doc *doc, gv_error *err)
{
    schema s = parse(avsc);

    return to_bson_document(builder, &s, record_shape_of(&s), gv_span_of(body.data, body.len),
                            &origin, doc, err);
}

/* The document as JSON, without what every document has. */
static void assert_members(const char *avsc, const char *expected)
{
    store_doc doc;
    gv_error err = { 0 };
    bson_t whole, rest;

    gv_status status = convert(avsc, &doc, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    assert_true(bson_init_static(&whole, doc.bson.data, doc.bson.len));
    assert_true(bson_validate(&whole, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    bson_init(&rest);
    bson_copy_to_excluding_noinit(&whole, &rest, "_id", "kafka", "digest", NULL);
    char *json = bson_as_canonical_extended_json(&rest, NULL);
    assert_string_equal(json, expected);
    bson_free(json);
    bson_destroy(&rest);
}

static void put_text(const char *text)
{
    avro_put_bytes(&body, gv_span_str(text));
}

static void every_type_has_its_own(void **state)
{
    (void)state;
    avro_put_long(&body, -5);
    avro_put_long(&body, INT64_MIN);
    avro_put_float(&body, 0.5f);
    avro_put_double(&body, 2.25);
    avro_put_boolean(&body, true);
    put_text("\xc3\xa9");
    avro_put_bytes(&body, gv_span_of("\0\xff", 2));
    gv_buf_put(&body, "abc", 3);
    avro_put_long(&body, 1);
    avro_put_long(&body, INT64_C(1404174601000));
    avro_put_long(&body, -1);
    avro_put_long(&body, 1500);
    assert_members(
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
        "{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":\"long\"},"
        "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"
        "{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"s\",\"type\":\"string\"},"
        "{\"name\":\"y\",\"type\":\"bytes\"},"
        "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":3}},"
        "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
        "{\"name\":\"t\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
        "{\"name\":\"day\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},"
        "{\"name\":\"u\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}]}",
        "{ \"i\" : { \"$numberInt\" : \"-5\" }, \"l\" : { \"$numberLong\" : "
        "\"-9223372036854775808\" }, \"f\" : { \"$numberDouble\" : \"0.5\" }, \"d\" : { "
        "\"$numberDouble\" : \"2.25\" }, \"b\" : true, \"s\" : \"\xc3\xa9\", \"y\" : { "
        "\"$binary\" : { \"base64\" : \"AP8=\", \"subType\" : \"00\" } }, \"x\" : { \"$binary\" "
        ": { \"base64\" : \"YWJj\", \"subType\" : \"00\" } }, \"e\" : \"B\", \"t\" : { \"$date\" "
        ": { \"$numberLong\" : \"1404174601000\" } }, \"day\" : { \"$date\" : { \"$numberLong\" : "
        "\"-86400000\" } }, \"u\" : { \"$numberLong\" : \"1500\" } }");
}

static void nested_values_stay_nested_and_null_members_are_left_out(void **state)
{
    (void)state;
    avro_put_long(&body, 0); /* n: null */
    avro_put_long(&body, 1); /* m: 8 */
    avro_put_long(&body, 8);
    avro_put_long(&body, 2); /* list of records */
    avro_put_long(&body, 1);
    avro_put_long(&body, 2);
    avro_put_long(&body, 0);
    avro_put_long(&body, 2); /* holes: null, "x" */
    avro_put_long(&body, 0);
    avro_put_long(&body, 1);
    put_text("x");
    avro_put_long(&body, 0);
    avro_put_long(&body, 0); /* an empty map */
    assert_members(
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
        "{\"name\":\"n\",\"type\":[\"null\",\"long\"]},"
        "{\"name\":\"m\",\"type\":[\"null\",\"int\"]},"
        "{\"name\":\"list\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\","
        "\"name\":\"I\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}}},"
        "{\"name\":\"holes\",\"type\":{\"type\":\"array\",\"items\":[\"null\","
        "\"string\"]}},{\"name\":\"map\",\"type\":{\"type\":\"map\",\"values\":"
        "\"int\"}}]}",
        "{ \"m\" : { \"$numberInt\" : \"8\" }, \"list\" : [ { \"a\" : { \"$numberInt\" : "
        "\"1\" } }, { \"a\" : { \"$numberInt\" : \"2\" } } ], \"holes\" : [ null, \"x\" "
        "], \"map\" : {  } }");
}

static void keys_of_a_map_are_made_fit_and_none_is_lost(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "item.rand", "$x", "", "a", "a", "a", "item\xef\xbc\x8erand"
    };
    size_t count = sizeof keys / sizeof *keys;

    avro_put_long(&body, (int64_t)count + 1);
    for (size_t i = 0; i < count; i++) {
        put_text(keys[i]);
        avro_put_long(&body, (int64_t)i);
    }
    avro_put_bytes(&body, gv_span_of("n\0l", 3));
    avro_put_long(&body, 7);
    avro_put_long(&body, 0);
    assert_members(
        "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"m\",\"type\":{"
        "\"type\":\"map\",\"values\":\"int\"}}]}",
        "{ \"m\" : { \"item\xef\xbc\x8erand\" : { \"$numberInt\" : \"0\" }, "
        "\"\xef\xbc\x84x\" : { \"$numberInt\" : \"1\" }, \"\" : { \"$numberInt\" : "
        "\"2\" }, \"a\" : { \"$numberInt\" : \"3\" }, \"a#2\" : { \"$numberInt\" : \"4\" "
        "}, \"a#3\" : { \"$numberInt\" : \"5\" }, \"item\xef\xbc\x8erand#2\" : { "
        "\"$numberInt\" : \"6\" }, \"n\xef\xbf\xbdl\" : { \"$numberInt\" : \"7\" } } }");
}

static void members_named_like_ours_step_aside(void **state)
{
    (void)state;
    put_text("mine");
    avro_put_long(&body, 5);
    assert_members("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"_id\",\"type\":"
                   "\"string\"},{\"name\":\"digest\",\"type\":\"int\"}]}",
                   "{ \"_id_\" : \"mine\", \"digest_\" : { \"$numberInt\" : \"5\" } }");
}

static void a_value_that_is_no_record_is_named(void **state)
{
    (void)state;
    avro_put_long(&body, 5);
    assert_members("\"long\"", "{ \"value\" : { \"$numberLong\" : \"5\" } }");
    body.len = 0;
    assert_members("\"null\"", "{ \"value\" : null }");
    avro_put_long(&body, 1);
    avro_put_long(&body, 6);
    avro_put_long(&body, 0);
    assert_members("{\"type\":\"array\",\"items\":\"int\"}",
                   "{ \"value\" : [ { \"$numberInt\" : \"6\" } ] }");
}

#define WITH_IDENTITY(key)                                                                         \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"region\",\"type\":\"string\"},"   \
    "{\"name\":\"realm\",\"type\":\"int\"},{\"name\":\"house\",\"type\":\"int\"},{\"name\":"       \
    "\"snapshot_at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},{"         \
    "\"name\":\"position\",\"type\":\"int\"},{\"name\":\"" key "\",\"type\":\"long\"}]}"

static void put_identity(const char *region, int64_t realm, int64_t at, int64_t position,
                         int64_t key)
{
    body.len = 0;
    put_text(region);
    avro_put_long(&body, realm);
    avro_put_long(&body, 2);
    avro_put_long(&body, at);
    avro_put_long(&body, position);
    avro_put_long(&body, key);
}

static void assert_identity(const char *avsc, const char *id, const char *snapshot,
                            int64_t position)
{
    store_doc doc;
    bson_t b;
    bson_iter_t it;

    assert_int_equal(convert(avsc, &doc, NULL), GV_OK);
    assert_string_equal(doc.id, id);
    assert_string_equal(doc.snapshot, snapshot);
    assert_int_equal(doc.position, position);
    assert_true(doc.digest == (int64_t)codec_digest(gv_span_of(body.data, body.len)));
    assert_true(bson_init_static(&b, doc.bson.data, doc.bson.len));
    assert_true(bson_iter_init_find(&it, &b, "digest"));
    assert_true(bson_iter_int64(&it) == doc.digest);
    assert_true(bson_iter_init(&it, &b) && bson_iter_find_descendant(&it, "kafka.offset", &it));
    assert_int_equal(bson_iter_int64(&it), 42);
}

static void a_record_is_known_by_its_content(void **state)
{
    (void)state;
    put_identity("eu", 604, INT64_C(1404174601000), 9, INT64_MAX);
    assert_identity(WITH_IDENTITY("id"), "eu/604/2/1404174601/9223372036854775807",
                    "eu/604/2/1404174601", 9);
    put_identity("eu", 604, INT64_C(1404174601000), 9, INT64_MIN);
    assert_identity(WITH_IDENTITY("id"), "eu/604/2/1404174601/-9223372036854775808",
                    "eu/604/2/1404174601", 9);
    put_identity("eu", 604, INT64_C(1404174601000), 9, 17);
    assert_identity(WITH_IDENTITY("row"), "eu/604/2/1404174601/row/17", "eu/604/2/1404174601",
                    STORE_NO_POSITION);
}

static void without_a_usable_identity_a_record_is_known_by_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *region;
        int64_t realm, at, position;
    } odd[] = { { "", 1, 0, 0 },    { "much-too-long", 1, 0, 0 },
                { "a/b", 1, 0, 0 }, { "eu", -1, 0, 0 },
                { "eu", 1, 1, 0 },  { "eu", 1, 0, -1 } };

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        put_identity(odd[i].region, odd[i].realm, odd[i].at, odd[i].position, 5);
        assert_identity(WITH_IDENTITY("id"), "some.topic/3/42", "", STORE_NO_POSITION);
    }
    put_identity("eu", 604, 0, 0, 1);
    assert_identity(WITH_IDENTITY("other"), "some.topic/3/42", "", STORE_NO_POSITION);
}

static void bad_text_is_refused_with_its_name(void **state)
{
    (void)state;
    store_doc doc;
    gv_error err = { 0 };

    avro_put_bytes(&body, gv_span_of("\xff\xfe", 2));
    assert_int_equal(convert("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"who\","
                             "\"type\":\"string\"}]}",
                             &doc, &err),
                     GV_CORRUPT);
    assert_non_null(strstr(err.text, "who"));
    assert_non_null(strstr(err.text, "UTF-8"));
    /* and the builder is as good as new */
    body.len = 0;
    avro_put_long(&body, 5);
    assert_members("\"long\"", "{ \"value\" : { \"$numberLong\" : \"5\" } }");
}

static void a_document_without_end_is_refused(void **state)
{
    (void)state;
    store_doc doc;
    gv_error err = { 0 };

    avro_put_long(&body, 4000000); /* of nulls, which take no byte */
    avro_put_long(&body, 0);
    gv_status status = convert("{\"type\":\"array\",\"items\":\"null\"}", &doc, &err);
    assert_true(status == GV_FULL || status == GV_CORRUPT);
    assert_true(err.text[0] != '\0');
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        EACH(every_type_has_its_own),
        EACH(nested_values_stay_nested_and_null_members_are_left_out),
        EACH(keys_of_a_map_are_made_fit_and_none_is_lost),
        EACH(members_named_like_ours_step_aside),
        EACH(a_value_that_is_no_record_is_named),
        EACH(a_record_is_known_by_its_content),
        EACH(without_a_usable_identity_a_record_is_known_by_its_place),
        EACH(bad_text_is_refused_with_its_name),
        EACH(a_document_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
