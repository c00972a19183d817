/* What the transcoder promises about records and documents that are wrong, too large or cut. */
#include "tests/unit/transcode_help.h"

#include <stdio.h>
#include <stdlib.h>

/* --- rejects -------------------------------------------------------------------------------- */

static void a_record_that_breaks_the_schema_is_a_reject(void **state)
{
    static const struct {
        const char *row, *path, *reason;
    } cases[] = {
        { "{}", "id", "it is missing" },
        { "{\"id\":1,\"quantity\":1}", "item", "it is missing" },
        { "{\"id\":1,\"item\":{},\"quantity\":1}", "item.id", "it is missing" },
        { "{\"id\":1,\"item\":{\"id\":2,\"modifiers\":[{\"type\":1,\"value\":2},{\"type\":1}]},"
          "\"quantity\":1}",
          "item.modifiers[1].value", "it is missing" },
        { "{\"id\":\"1\"}", "id", "expected long, found a string" },
        { "{\"id\":null}", "id", "expected long, found null" },
        { "{\"id\":1,\"item\":[]}", "item", "expected record, found an array" },
        { "{\"id\":1,\"item\":{\"id\":2,\"context\":true}}", "item.context",
          "expected another branch of the union, found a boolean" },
        { "{\"id\":1,\"item\":{\"id\":2,\"bonus_lists\":{}}}", "item.bonus_lists",
          "expected array, found an object" },
        { "{\"id\":1,\"item\":{\"id\":2,\"bonus_lists\":[1,2,[]]}}", "item.bonus_lists[2]",
          "expected long, found an array" },
        { "{\"time_left\":5}", "time_left", "expected enum, found a number" },
        { "{\"id\":1.0}", "id", "a fraction or an exponent, where an integer belongs" },
        { "{\"id\":1e3}", "id", "a fraction or an exponent, where an integer belongs" },
        { "{\"id\":9223372036854775808}", "id", "an integer outside of 64 bits" },
        { "{\"id\":-9223372036854775809}", "id", "an integer outside of 64 bits" },
        { "{\"id\":100000000000000000000000000000}", "id", "an integer outside of 64 bits" },
        { "{\"id\":1,\"id\":1}", "id", "it is there twice" },
        { "{\"id\":1,\"\\u0069d\":1}", "id", "it is there twice" },
        { "{\"id\":1,\"item\":{\"id\":2,\"seed\":null,\"seed\":1}}", "item.seed",
          "it is there twice" },
        { "{\"x\":1,\"y\":2,\"x\":1}", "x", "it is there twice" },
        { "{\"item.a\":1,\"item\":{\"id\":1,\"a\":2}}", "item.a", "it is there twice" },
        { "null", "", "expected an object, found null" },
        { "true", "", "expected an object, found a boolean" },
        { "-1.5e3", "", "expected an object, found a number" },
        { "\"{\"", "", "expected an object, found a string" },
        { "[{}]", "", "expected an object, found an array" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        codec_run run;
        snprintf(text, sizeof text, DOC(ROW("") ", %s ," ROW("")), cases[i].row);
        feed(text, &run);
        assert_int_equal(run.status, GV_OK);
        assert_int_equal(run.counts.records, 2);
        assert_int_equal(run.counts.rejects, 1);
        assert_int_equal(run.row, 1);
        assert_string_equal(run.path, cases[i].path);
        assert_string_equal(run.reason, cases[i].reason);
        assert_int_equal(run.raw_len, strlen(cases[i].row));
        assert_memory_equal(run.raw, cases[i].row, run.raw_len);
        assert_false(run.raw_cut);
        run_free(&run);
    }
}

/* The types that auctions do not have. */
static void other_types_have_their_bounds_too(void **state)
{
    static const struct {
        const char *members, *path, *reason; /* no reason: accepted, and then path is the record */
    } cases[] = {
        { "\"i\":2147483647", "i=2147483647 n=- ", NULL },
        { "\"i\":2147483648", "i", "an integer outside of 32 bits" },
        { "\"i\":-2147483649", "i", "an integer outside of 32 bits" },
        { "\"i\":1,\"n\":2147483648", "i=1 n=2.14748e+09 ", NULL }, /* a double holds it */
        { "\"i\":1,\"n\":-9007199254740993", "n",
          "a number that no branch of the union holds exactly" },
        { "\"i\":1,\"n\":9007199254740993", "n",
          "a number that no branch of the union holds exactly" },
        { "\"i\":1,\"n\":99999999999999999999", "n",
          "a number that no branch of the union holds exactly" },
        { "\"i\":1,\"n\":\"x\"", "n", "expected another branch of the union, found a string" },
        { "\"i\":1,\"d\":1e999", "d", "a number that is too large" },
        { "\"i\":1,\"f\":1e39", "f", "a number that is too large" },
        { "\"i\":1,\"x\":\"abc\"", "x", "a text of the wrong length, where a fixed belongs" },
        { "\"i\":1,\"b\":\"\\u0100\"", "b", "a character over U+00FF, where bytes belong" },
        { "\"i\":1,\"b\":\"\xFF\"", "b", "a character over U+00FF, where bytes belong" },
        { "\"i\":1,\"e\":\"C\"", "e", "a text that is no symbol of the enum" },
        { "\"i\":1,\"m\":{\"k\":1,\"k\":2}", "m.k", "it is there twice" },
        { "\"i\":1,\"m\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4}", "m", "more than 3 items" },
        { "\"i\":1,\"m\":{\"a\":\"b\"}", "m.a", "expected long, found a string" },
    };
    transcode_limits limits = transcode_default_limits();
    codec other;

    (void)state;
    limits.array_items = 3;
    codec_open(
        &other,
        "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"id\",\"type\":\"long\","
        "\"default\":7},{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"n\",\"type\":[\"null\","
        "\"double\",\"int\"]},{\"name\":\"d\",\"type\":\"double\",\"default\":0},{\"name\":"
        "\"f\",\"type\":\"float\",\"default\":0},{\"name\":\"x\",\"type\":{\"type\":\"fixed\","
        "\"name\":\"X\",\"size\":2},\"default\":\"ab\"},{\"name\":\"b\",\"type\":\"bytes\","
        "\"default\":\"\"},{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\","
        "\"symbols\":[\"A\",\"B\"]},\"default\":\"A\"},{\"name\":\"m\",\"type\":{\"type\":"
        "\"map\",\"values\":\"long\"},\"default\":{}},{\"name\":\"extra\",\"type\":{\"type\":"
        "\"map\",\"values\":\"string\"}}]}",
        false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        codec_run run;
        snprintf(text, sizeof text, DOC("{\"id\":1,%s}"), cases[i].members);
        feed_limited(&other, gv_span_str(text), &limits, &run);
        assert_int_equal(run.status, GV_OK);
        if (cases[i].reason) {
            assert_int_equal(run.counts.rejects, 1);
            assert_string_equal(run.path, cases[i].path);
            assert_string_equal(run.reason, cases[i].reason);
        } else {
            assert_int_equal(run.counts.records, 1);
            assert_non_null(strstr(body_text(&other, run_body(&run, 0)), cases[i].path));
        }
        run_free(&run);
    }
    /* A default is no identity. */
    codec_run run;
    feed_limited(&other, gv_span_str(DOC("{\"i\":1}")), &limits, &run);
    assert_string_equal(run.path, "id");
    assert_string_equal(run.reason, "it is missing");
    run_free(&run);
    codec_close(&other);
}

/* A row of exactly `bytes` bytes, filled up by an unknown member; freed by the caller. */
static char *row_of(size_t bytes)
{
    static const char head[] =
        "{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,\"time_left\":\"LONG\","
        "\"fill\":\"";
    char *row = malloc(bytes + 1);

    memset(row, 'f', bytes);
    memcpy(row, head, sizeof head - 1);
    memcpy(row + bytes - 2, "\"}", 3);
    return row;
}

static void feed_row(const char *row, const transcode_limits *limits, codec_run *run)
{
    size_t cap = strlen(row) + 2 * sizeof ROW("") + 64;
    char *text = malloc(cap);

    snprintf(text, cap, DOC(ROW("") ",%s," ROW("")), row);
    feed_limited(&auction, gv_span_str(text), limits, run);
    assert_int_equal(run->status, GV_OK);
    free(text);
}

static void a_record_over_its_limit_is_cut_and_the_rest_goes_on(void **state)
{
    transcode_limits limits = transcode_default_limits();
    codec_run run;

    (void)state;
    limits.record_bytes = 512;
    for (size_t bytes = 510; bytes < 520; bytes++) {
        char *row = row_of(bytes);
        feed_row(row, &limits, &run);
        assert_int_equal(run.counts.records, bytes <= 512 ? 3 : 2);
        assert_int_equal(run.counts.rejects, bytes <= 512 ? 0 : 1);
        if (bytes > 512) {
            assert_string_equal(run.reason, "longer than 512 bytes");
            assert_true(run.raw_cut);
            assert_int_equal(run.raw_len, 512);
            assert_memory_equal(run.raw, row, 512);
        }
        free(row);
        run_free(&run);
    }
}

static void an_avro_body_over_the_limit_is_a_reject(void **state)
{
    transcode_limits limits = transcode_default_limits();
    char *row = row_of(500);
    codec_run run;

    (void)state;
    limits.record_bytes = 512;
    memset(strstr(row, "ff"), 0xFF, 300); /* each byte becomes three */
    feed_row(row, &limits, &run);
    assert_int_equal(run.counts.rejects, 1);
    assert_string_equal(run.reason, "its Avro form is longer than 512 bytes");
    assert_int_equal(run.raw_len, 500);
    assert_false(run.raw_cut);
    free(row);
    run_free(&run);
}

static void nesting_and_item_limits_are_rejects(void **state)
{
    transcode_limits limits = transcode_default_limits();
    codec_run run;

    (void)state;
    limits.depth = 6; /* the document, the array, the record: three more */
    limits.array_items = 3;
    feed_row(ROW(",\"a\":[[[]]]"), &limits, &run);
    assert_int_equal(run.counts.rejects, 0);
    run_free(&run);
    feed_row(ROW(",\"a\":[[[{}]]]"), &limits, &run);
    assert_int_equal(run.counts.rejects, 1);
    assert_string_equal(run.reason, "nested deeper than 6 levels");
    run_free(&run);
    feed_row("[[[[[[[[[[1]]]]]]]]]]", &limits, &run);
    assert_string_equal(run.reason, "nested deeper than 6 levels");
    run_free(&run);
    feed_row("{\"id\":1,\"item\":{\"id\":2,\"bonus_lists\":[1,2,3]},\"quantity\":1}", &limits,
             &run);
    assert_int_equal(run.counts.rejects, 0);
    run_free(&run);
    feed_row("{\"id\":1,\"item\":{\"id\":2,\"bonus_lists\":[1,2,3,4]},\"quantity\":1}", &limits,
             &run);
    assert_string_equal(run.reason, "more than 3 items");
    assert_string_equal(run.path, "item.bonus_lists");
    run_free(&run);
}

static void too_many_unknown_members_are_a_reject(void **state)
{
    char *row = malloc(20000);
    size_t len = 0;
    codec_run run;

    (void)state;
    for (int i = 0; i < 513; i++)
        len += (size_t)sprintf(row + len, "%c\"m%d\":%d", i ? ',' : '{', i, i);
    strcpy(row + len, "}");
    feed_row(row, NULL, &run);
    assert_string_equal(run.reason, "more than 512 unknown members and map keys");
    free(row);
    run_free(&run);
}

/* --- documents ------------------------------------------------------------------------------ */

static void what_is_no_document_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "", "the document is empty" },
        { "  ", "the document ends too early, after 2 bytes" },
        { "<html>", "not JSON at byte 0: expected an object, found '<'" },
        { "\xEF\xBB\xBF{}", "not JSON at byte 0: expected an object, found 0xEF" },
        { "[]", "expected an object, found '['" },
        { "{", "ends too early, after 1 bytes" },
        { "{}", "the document has no array \"auctions\"" },
        { "{\"auctions\":null}", "member \"auctions\" at byte 12 is no array" },
        { "{\"auctions\":{}}", "is no array" },
        { "{\"auctions\":[],\"auctions\":[]}", "at byte 26 is there twice" },
        { "{\"auctions\":[]} x", "not JSON at byte 16: expected nothing after the document" },
        { "{\"auctions\":[]}{", "expected nothing after the document" },
        { "{\"auctions\":[],}", "expected a member's name in quotes, found '}'" },
        { "{,\"auctions\":[]}", "expected a member's name in quotes, found ','" },
        { "{\"auctions\" []}", "expected a colon" },
        { "{\"auctions\":[]]", "expected a comma or }, found ']'" },
        { "{\"auctions\":[}", "expected a value" },
        { "{\"auctions\":[,]}", "expected a value" },
        { "{\"auctions\":[{}{}]}", "expected a comma or ]" },
        { "{\"auctions\":[{},]}", "expected a value" },
        { "{\"auctions\":[{]}", "a member's name in quotes" },
        { "{\"auctions\":[{\"id\":1]}", "not JSON at byte 20: expected a comma or }, found ']'" },
        { "{\"auctions\":[{\"id\" 1}]}", "expected a colon" },
        { "{\"auctions\":[{\"id\":1,}]}", "a member's name in quotes" },
        { "{\"auctions\":[{\"id\":01}]}", "no digit after a leading zero" },
        { "{\"auctions\":[{\"id\":-012,\"item\":{\"id\":2},\"quantity\":3}]}",
          "not JSON at byte 21: expected no digit after a leading zero, found '1'" },
        { "{\"auctions\":[{\"id\":-}]}", "expected a digit" },
        { "{\"auctions\":[{\"id\":1.}]}", "expected a digit" },
        { "{\"auctions\":[{\"id\":1e}]}", "expected a digit" },
        { "{\"auctions\":[{\"id\":+1}]}", "expected a value" },
        { "{\"auctions\":[{\"id\":tru}]}", "expected null, true or false" },
        { "{\"auctions\":[{\"id\":nul", "ends too early" },
        { "{\"auctions\":[{\"x\":\"a\nb\"}]}", "no control character within a string, found 0x0A" },
        { "{\"auctions\":[{\"x\":\"a\nb",
          "not JSON at byte 20: expected no control" }, /* and cut */
        { "{\"auctions\":[{\"x\":\"\\x\"}]}", "an escape that JSON knows" },
        { "{\"auctions\":[{\"x\":\"\\u12G4\"}]}", "a hexadecimal digit, found 'G'" },
        { "{\"auctions\":[{\"id\":\"wrong\",\"x\":[1 2]}]}", "expected a comma or ]" },
        { "{\"auctions\":[tru]}", "expected null, true or false" },
        { "{\"auctions\":[truex]}", "found 'x'" },
        { "{\"auctions\":[1.5.2]}", "found '.'" },
        { "{\"a\":[1,]}", "expected a value, found ']'" },
        { "{\"a\":truex}", "found 'x'" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1", "ends too early" },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
          "member \"a\" at byte 5 is nested deeper than 32 levels" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        codec_run run;
        feed(cases[i].text, &run);
        if (run.status != GV_INVAL || !strstr(run.err.text, cases[i].said))
            fail_msg("%s\n  said: %s\n  not: %s", cases[i].text, run.err.text, cases[i].said);
        assert_int_equal(run.counts.records, 0);
        run_free(&run);
    }
}

static void broken_json_in_an_over_long_record_is_found_as_far_as_it_is_kept(void **state)
{
    transcode_limits limits = transcode_default_limits();
    char *row = row_of(600), text[1024];
    codec_run run;

    (void)state;
    limits.record_bytes = 512;
    snprintf(text, sizeof text, DOC("%s"), row);
    memcpy(strchr(text, '3'), "x", 1);
    feed_limited(&auction, gv_span_str(text), &limits, &run);
    assert_int_equal(run.status, GV_INVAL);
    free(row);
    run_free(&run);
}

/* Every prefix of a document is refused, and never as finished. */
static void a_cut_body_is_never_taken_as_whole(void **state)
{
    static const char text[] =
        "{\"_links\":{\"self\":{\"href\":\"x\"}},\"auctions\":[{\"id\":1,\"item\":{\"id\":2,"
        "\"bonus_lists\":[1,2],\"new\":\"\\u00e9\\ud83d\\ude00\"},\"quantity\":3,\"bid\":null,"
        "\"time_left\":\"LONG\"}, 7 ,{\"id\":true}],\"n\":1.5e3}";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        codec_run run;
        feed_limited(&auction, gv_span_of(text, len), NULL, &run);
        assert_int_equal(run.status, GV_INVAL);
        assert_false(run.counts.finished);
        run_free(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_breaks_the_schema_is_a_reject),
        cmocka_unit_test(other_types_have_their_bounds_too),
        cmocka_unit_test(a_record_over_its_limit_is_cut_and_the_rest_goes_on),
        cmocka_unit_test(an_avro_body_over_the_limit_is_a_reject),
        cmocka_unit_test(nesting_and_item_limits_are_rejects),
        cmocka_unit_test(too_many_unknown_members_are_a_reject),
        cmocka_unit_test(what_is_no_document_is_refused_with_its_place),
        cmocka_unit_test(broken_json_in_an_over_long_record_is_found_as_far_as_it_is_kept),
        cmocka_unit_test(a_cut_body_is_never_taken_as_whole),
    };
    return cmocka_run_group_tests(tests, open_schema, close_schema);
}
