/* What the transcoder promises about input that is odd, wrong or cut. Every text is fed whole, byte
 * by byte and in random pieces, and must say the same each time. */
#include "agent/codec/avro_in.h"
#include "tests/unit/codec_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROW(rest) "{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,\"time_left\":\"LONG\"" rest "}"
#define DOC(rows) "{\"auctions\":[" rows "]}"

static codec auction;

static int open_schema(void **state)
{
    (void)state;
    codec_open_auction(&auction, GAVEL_SOURCE_DIR);
    return 0;
}

static int close_schema(void **state)
{
    (void)state;
    codec_close(&auction);
    return 0;
}

static void feed_limited(const codec *c, gv_span text, const transcode_limits *limits,
                         codec_run *run)
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

static void feed(const char *text, codec_run *run)
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

static const char *body_text(const codec *c, gv_span body)
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

/* --- records -------------------------------------------------------------------------------- */

#define HEAD    "{ region='eu' realm=604 house=0 snapshot_at=1404174601000 position=0 "
#define NO_PETS "pet_breed_id=- pet_level=- pet_quality_id=- pet_species_id=- "

static void assert_record(const char *row, const char *expected)
{
    char text[2048];
    codec_run run;

    snprintf(text, sizeof text, DOC("%s"), row);
    feed(text, &run);
    if (run.status != GV_OK || run.counts.rejects)
        fail_msg("%s: %s %s: %s", row, run.err.text, run.path, run.reason);
    assert_string_equal(body_text(&auction, run_body(&run, 0)), expected);
    run_free(&run);
}

static void each_kind_of_auction_is_carried_whole(void **state)
{
    (void)state;
    assert_record(
        "{\"id\":279667730,\"item\":{\"id\":106663,\"context\":22,\"bonus_lists\":[6654,63],"
        "\"modifiers\":[{\"type\":9,\"value\":40},{\"type\":28,\"value\":1140}]},"
        "\"buyout\":8229700,\"quantity\":1,\"time_left\":\"MEDIUM\"}",
        HEAD "id=279667730 item={ id=106663 context=22 bonus_lists=[ 6654 63 ] "
             "modifiers=[ { type=9 value=40 } { type=28 value=1140 } ] " NO_PETS
             "rand=- seed=- } bid=- buyout=8229700 quantity=1 unit_price=- "
             "time_left='MEDIUM' extra={ } } ");
    assert_record(
        "{\"id\":1015580187,\"item\":{\"id\":13926},\"quantity\":1,\"unit_price\":1387900,"
        "\"time_left\":\"VERY_LONG\"}",
        HEAD "id=1015580187 item={ id=13926 context=- bonus_lists=[ ] modifiers=[ ] " NO_PETS
             "rand=- seed=- } bid=- buyout=- quantity=1 unit_price=1387900 "
             "time_left='VERY_LONG' extra={ } } ");
    assert_record(
        "{\"id\":2002178848,\"item\":{\"id\":82800,\"rand\":-131,\"seed\":4294019297,"
        "\"pet_breed_id\":3,\"pet_level\":25,\"pet_quality_id\":2,\"pet_species_id\":1155},"
        "\"bid\":750000,\"buyout\":50000000000,\"quantity\":20201,\"time_left\":\"SHORT\"}",
        HEAD "id=2002178848 item={ id=82800 context=- bonus_lists=[ ] modifiers=[ ] "
             "pet_breed_id=3 pet_level=25 pet_quality_id=2 pet_species_id=1155 rand=-131 "
             "seed=4294019297 } bid=750000 buyout=50000000000 quantity=20201 unit_price=- "
             "time_left='SHORT' extra={ } } ");
}

static void bytes_of_a_record_never_change_unnoticed(void **state)
{
    static const char golden[] = "\x04"
                                 "eu"
                                 "\xB8\x09"
                                 "\x00"
                                 "\xD0\xAC\xA0\xF5\xDD\x51"
                                 "\x00"                 /* bound fields */
                                 "\xB6\x98\xC4\xC8\x07" /* id 1015580187 */
                                 "\xCC\xD9\x01"
                                 "\x00"
                                 "\x00"
                                 "\x00"
                                 "\x00\x00\x00\x00"
                                 "\x00\x00" /* item 13926 */
                                 "\x00"
                                 "\x00"
                                 "\x02"
                                 "\x02\xF8\xB5\xA9\x01"
                                 "\x08"
                                 "\x00";
    codec_run run;

    (void)state;
    feed(DOC("{\"id\":1015580187,\"item\":{\"id\":13926},\"quantity\":1,\"unit_price\":1387900,"
             "\"time_left\":\"VERY_LONG\"}"),
         &run);
    assert_int_equal(run.records[0].len, sizeof golden - 1);
    assert_memory_equal(run_body(&run, 0).data, golden, sizeof golden - 1);
    run_free(&run);
}

#define REST "bonus_lists=[ ] modifiers=[ ] " NO_PETS "rand=- seed=- } bid=- buyout=- "

static void order_and_white_space_do_not_matter(void **state)
{
    (void)state;
    assert_record(
        " \n{ \"time_left\" :\t\"LONG\" , \"quantity\" : 3 ,\r\n \"item\" : { \"context\" : 4 "
        ", \"id\" : 2 } , \"id\" : 1 } ",
        HEAD "id=1 item={ id=2 context=4 " REST "quantity=3 unit_price=- time_left='LONG' "
             "extra={ } } ");
    assert_record("{\"t\\u0069me_left\":\"L\\u004fNG\",\"\\u0069\\u0064\":1,\"item\":{\"id\":2},"
                  "\"quantity\":3}",
                  HEAD "id=1 item={ id=2 context=- " REST
                       "quantity=3 unit_price=- time_left='LONG' "
                       "extra={ } } ");
}

static void unknown_members_are_kept_as_text(void **state)
{
    codec_run run;

    (void)state;
    assert_record("{\"id\":1,\"new\":{\"a\": [1, \"\\u00e9\"]},\"item\":{\"id\":2,\"up\":null},"
                  "\"quantity\":3,\"time_left\":\"LONG\",\"region\":\"us\",\"\":7,\"extra\":{}}",
                  HEAD "id=1 item={ id=2 context=- " REST
                       "quantity=3 unit_price=- time_left='LONG' extra={ new='{\"a\": [1, "
                       "\"\\u00e9\"]}' item.up='null' region='\"us\"' ='7' extra='{}' } } ");
    assert_record(
        "{\"id\":1,\"item\":{\"id\":2,\"modifiers\":[{\"type\":1,\"value\":2},{\"type\":3,"
        "\"x\\ny\":true,\"value\":4}]},\"quantity\":3,\"time_left\":\"LONG\"}",
        HEAD "id=1 item={ id=2 context=- bonus_lists=[ ] modifiers=[ { type=1 value=2 } "
             "{ type=3 value=4 } ] " NO_PETS "rand=- seed=- } bid=- buyout=- quantity=3 "
             "unit_price=- time_left='LONG' extra={ item.modifiers[1].x\ny='true' } } ");
    feed(DOC(ROW(",\"a\":1,\"b\":2") "," ROW(",\"a\":1,\"quantity\":4")), &run);
    assert_int_equal(run.counts.unknown_members, 2); /* of the accepted record only */
    assert_int_equal(run.counts.rejects, 1);
    run_free(&run);
}

static void unknown_enum_text_becomes_the_default_and_is_kept(void **state)
{
    (void)state;
    assert_record("{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,\"time_left\":\"ETERNAL\"}",
                  HEAD "id=1 item={ id=2 context=- " REST "quantity=3 unit_price=- "
                       "time_left='UNKNOWN' extra={ time_left='\"ETERNAL\"' } } ");
    assert_record("{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,\"time_left\":\"LONGER\"}",
                  HEAD "id=1 item={ id=2 context=- " REST "quantity=3 unit_price=- "
                       "time_left='UNKNOWN' extra={ time_left='\"LONGER\"' } } ");
}

static void position_counts_accepted_records_only(void **state)
{
    codec_run run;

    (void)state;
    feed(DOC(ROW("") ",{}," ROW("") ",7," ROW("")), &run);
    assert_int_equal(run.counts.records, 3);
    assert_int_equal(run.counts.rejects, 2);
    assert_int_equal(run.row, 3);
    for (size_t i = 0; i < 3; i++) {
        char position[32];
        snprintf(position, sizeof position, "position=%zu ", i);
        assert_non_null(strstr(body_text(&auction, run_body(&run, i)), position));
    }
    run_free(&run);
}

static void text_is_repaired_and_counted(void **state)
{
    static const struct {
        const char *json, *kept;
        uint64_t replaced;
    } cases[] = {
        { "a\xFF"
          "b",
          "a\xEF\xBF\xBD"
          "b",
          1 },
        { "\xC3", "\xEF\xBF\xBD", 1 },
        { "\xE2\x82", "\xEF\xBF\xBD", 1 },                             /* cut: one mark */
        { "\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD", 2 },                 /* overlong */
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 3 }, /* surrogate */
        { "\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 4 },
        { "\xE0\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 3 },
        { "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", 0 },
        { "\\ud83d\\ue000", "\xEF\xBF\xBD\xEE\x80\x80", 1 },
        { "\\ud83d\\ude00", "\xF0\x9F\x98\x80", 0 },
        { "\\ud83d", "\xEF\xBF\xBD", 1 },
        { "\\ude00\\ud83d", "\xEF\xBF\xBD\xEF\xBF\xBD", 2 },
        { "\\ud83d\\u0041",
          "\xEF\xBF\xBD"
          "A",
          1 },
        { "\\ud83dx", "\xEF\xBF\xBDx", 1 },
        { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 0 },
    };
    codec strings;

    (void)state;
    codec_open(
        &strings,
        "{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},"
        "{\"name\":\"s\",\"type\":\"string\"},{\"name\":\"extra\",\"type\":{\"type\":\"map\","
        "\"values\":\"string\"}}]}",
        false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128], expected[128];
        codec_run run;
        snprintf(text, sizeof text, DOC("{\"id\":1,\"s\":\"%s\"}"), cases[i].json);
        feed_limited(&strings, gv_span_str(text), NULL, &run);
        assert_int_equal(run.status, GV_OK);
        snprintf(expected, sizeof expected, "{ id=1 s='%s' extra={ } } ", cases[i].kept);
        assert_string_equal(body_text(&strings, run_body(&run, 0)), expected);
        assert_int_equal(run.counts.replaced_utf8, cases[i].replaced);
        run_free(&run);
        /* As an unknown member: text stays as it is written, but becomes UTF-8. */
        snprintf(text, sizeof text, DOC("{\"id\":1,\"s\":\"\",\"%s\":\"\xFF\"}"), "k\xFE");
        feed_limited(&strings, gv_span_str(text), NULL, &run);
        assert_string_equal(body_text(&strings, run_body(&run, 0)),
                            "{ id=1 s='' extra={ k\xEF\xBF\xBD='\"\xEF\xBF\xBD\"' } } ");
        assert_int_equal(run.counts.replaced_utf8, 2);
        run_free(&run);
    }
    codec_close(&strings);
}

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

static void integers_are_exact_to_the_last_of_64_bits(void **state)
{
    static const char *const numbers[] = { "9223372036854775807",
                                           "-9223372036854775808",
                                           "9007199254740993",
                                           "0",
                                           "99999999",
                                           "100000000",
                                           "-12345678",
                                           "999999999999999999" };

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char row[256], expected[512];
        snprintf(
            row, sizeof row,
            "{\"id\":%s,\"item\":{\"id\":2,\"context\":%s},\"quantity\":3,\"time_left\":\"LONG\"}",
            numbers[i], numbers[i]);
        snprintf(expected, sizeof expected,
                 HEAD "id=%s item={ id=2 context=%s " REST
                      "quantity=3 unit_price=- time_left='LONG' extra={ } } ",
                 numbers[i], numbers[i]);
        assert_record(row, expected);
    }
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

/* --- the envelope --------------------------------------------------------------------------- */

static void envelope_members_are_handed_over(void **state)
{
    char text[3000], filler[2001];
    codec_run run;

    (void)state;
    feed("{\"connected_re\\u0061lm\": {\"href\" : [1, 2]} ,\"auctions\":[]}", &run);
    assert_int_equal(run.status, GV_OK);
    assert_string_equal(run.member_name, "connected_realm");
    assert_string_equal(run.member_json, "{\"href\" : [1, 2]}");
    assert_true(run.counts.saw_records && run.counts.finished);
    run_free(&run);
    feed("{\"auctions\":[],\"id\": -12.5e3 }", &run);
    assert_string_equal(run.member_json, "-12.5e3");
    run_free(&run);
    /* Too long to be handed over: passed by. */
    memset(filler, 'x', 2000);
    filler[2000] = '\0';
    snprintf(text, sizeof text, "{\"small\":1,\"big\":[\"%s\"],\"auctions\":[]}", filler);
    feed(text, &run);
    assert_int_equal(run.status, GV_OK);
    assert_string_equal(run.member_name, "small");
    run_free(&run);
}

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

/* --- events --------------------------------------------------------------------------------- */

typedef struct {
    gv_status answer;
    int asked;
} stubborn;

static gv_status stubborn_record(void *ctx, const transcode_record *record, gv_error *err)
{
    stubborn *s = ctx;

    (void)record;
    s->asked++;
    return s->answer == GV_OK || s->answer == GV_AGAIN ? s->answer
                                                       : gv_fail(err, s->answer, "no more");
}

static gv_status stubborn_reject(void *ctx, const transcode_reject *reject, gv_error *err)
{
    (void)reject;
    return stubborn_record(ctx, NULL, err);
}

static transcoder *open_stubborn(stubborn *s, void **mem)
{
    transcode_limits limits = transcode_default_limits();
    transcode_events events = { .record = stubborn_record, .reject = stubborn_reject, .ctx = s };
    size_t need = transcoder_mem_needed(auction.plan, &limits);

    *mem = malloc(need);
    transcoder *t = transcoder_init(*mem, need, auction.plan, &limits, &events);
    transcoder_begin(t, auction.values);
    return t;
}

static void again_holds_the_record_until_it_is_taken(void **state)
{
    stubborn s = { GV_AGAIN, 0 };
    void *mem;
    size_t used;
    gv_error err = { 0 };
    transcoder *t = open_stubborn(&s, &mem);

    (void)state;
    assert_int_equal(transcoder_feed(t, gv_span_str(DOC(ROW(""))), &used, &err), GV_AGAIN);
    assert_int_equal(used, sizeof DOC(ROW("")) - 1 - 2); /* the record itself is taken in */
    assert_int_equal(transcoder_counts(t)->records, 0);
    assert_int_equal(transcoder_feed(t, gv_span_of(NULL, 0), &used, &err), GV_AGAIN);
    assert_int_equal(transcoder_feed(t, gv_span_str("]}"), &used, &err), GV_AGAIN);
    assert_int_equal(used, 0);
    assert_int_equal(transcoder_end(t, &err), GV_AGAIN);
    s.answer = GV_OK;
    assert_int_equal(transcoder_feed(t, gv_span_of(NULL, 0), &used, &err), GV_OK);
    assert_int_equal(transcoder_counts(t)->records, 1);
    assert_int_equal(s.asked, 5);
    assert_int_equal(transcoder_feed(t, gv_span_str("]}"), &used, &err), GV_OK);
    assert_int_equal(s.asked, 5);
    assert_int_equal(transcoder_end(t, &err), GV_OK);
    assert_string_equal(err.text, "");
    free(mem);
}

static void a_failing_receiver_ends_the_document(void **state)
{
    stubborn s = { GV_IO, 0 };
    void *mem;
    size_t used;
    gv_error err = { 0 };
    transcoder *t = open_stubborn(&s, &mem);

    (void)state;
    assert_int_equal(transcoder_feed(t, gv_span_str(DOC("7,8")), &used, &err), GV_IO);
    assert_string_equal(err.text, "no more");
    assert_int_equal(transcoder_feed(t, gv_span_str("]}"), &used, &err), GV_INVAL);
    assert_int_equal(transcoder_end(t, &err), GV_INVAL);
    assert_int_equal(s.asked, 1);

    /* The next document starts afresh. */
    s.answer = GV_OK;
    err.text[0] = '\0';
    transcoder_begin(t, auction.values);
    assert_int_equal(transcoder_feed(t, gv_span_str(DOC("7," ROW(""))), &used, &err), GV_OK);
    assert_int_equal(transcoder_end(t, &err), GV_OK);
    assert_int_equal(transcoder_counts(t)->records, 1);
    assert_int_equal(transcoder_counts(t)->rejects, 1);
    free(mem);
}

/* --- plans ---------------------------------------------------------------------------------- */

static void a_schema_that_cannot_be_filled_is_refused(void **state)
{
    static const struct {
        const char *fields, *said;
    } cases[] = {
        { "{\"name\":\"a\",\"type\":\"long\"}", "lacks the field \"at\"" },
        { "{\"name\":\"at\",\"type\":\"string\"}", "R.at must be an int or a long" },
        { "{\"name\":\"at\",\"type\":\"int\"}", "int or long field \"id\"" },
        { "{\"name\":\"at\",\"type\":\"int\"},{\"name\":\"id\",\"type\":\"string\"}",
          "int or long field \"id\"" },
        { "{\"name\":\"at\",\"type\":\"int\"},{\"name\":\"id\",\"type\":\"int\"}",
          "map of strings named \"extra\"" },
        { "{\"name\":\"at\",\"type\":\"int\"},{\"name\":\"id\",\"type\":\"int\"},{\"name\":"
          "\"extra\","
          "\"type\":{\"type\":\"map\",\"values\":\"int\"}}",
          "map of strings named \"extra\"" },
    };
    static uint8_t block[65536];
    const plan_binding binding = { "at", PLAN_VALUE_LONG };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        gv_arena arena;
        schema s;
        const plan *p;
        gv_error err = { 0 };
        gv_arena_init(&arena, block, sizeof block);
        snprintf(text, sizeof text, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[%s]}",
                 cases[i].fields);
        assert_int_equal(schema_parse(gv_span_str(text), &arena, &s, &err), GV_OK);
        assert_int_equal(plan_build(&s, &binding, 1, "id", "extra", &arena, &p, &err), GV_INVAL);
        if (!strstr(err.text, cases[i].said))
            fail_msg("said: %s, not: %s", err.text, cases[i].said);
    }
}

static void a_record_type_may_contain_itself(void **state)
{
    codec tree;
    codec_run run;

    (void)state;
    codec_open(
        &tree,
        "{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},"
        "{\"name\":\"left\",\"type\":[\"null\",\"T\"]},{\"name\":\"extra\",\"type\":"
        "{\"type\":\"map\",\"values\":\"string\"},\"default\":{}}]}",
        false);
    feed_limited(&tree,
                 gv_span_str(DOC("{\"id\":1,\"left\":{\"left\":{\"id\":3,\"extra\":{\"k\":\"v\"}},"
                                 "\"id\":2,\"new\":0}}")),
                 NULL, &run);
    assert_int_equal(run.status, GV_OK);
    assert_string_equal(body_text(&tree, run_body(&run, 0)),
                        "{ id=1 left={ id=2 left={ id=3 left=- extra={ k='v' } } extra={ } } "
                        "extra={ left.new='0' } } ");
    assert_int_equal(run.records[0].key, 1);
    run_free(&run);
    codec_close(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_auction_is_carried_whole),
        cmocka_unit_test(bytes_of_a_record_never_change_unnoticed),
        cmocka_unit_test(order_and_white_space_do_not_matter),
        cmocka_unit_test(unknown_members_are_kept_as_text),
        cmocka_unit_test(unknown_enum_text_becomes_the_default_and_is_kept),
        cmocka_unit_test(position_counts_accepted_records_only),
        cmocka_unit_test(text_is_repaired_and_counted),
        cmocka_unit_test(a_record_that_breaks_the_schema_is_a_reject),
        cmocka_unit_test(other_types_have_their_bounds_too),
        cmocka_unit_test(integers_are_exact_to_the_last_of_64_bits),
        cmocka_unit_test(a_record_over_its_limit_is_cut_and_the_rest_goes_on),
        cmocka_unit_test(an_avro_body_over_the_limit_is_a_reject),
        cmocka_unit_test(nesting_and_item_limits_are_rejects),
        cmocka_unit_test(too_many_unknown_members_are_a_reject),
        cmocka_unit_test(envelope_members_are_handed_over),
        cmocka_unit_test(what_is_no_document_is_refused_with_its_place),
        cmocka_unit_test(broken_json_in_an_over_long_record_is_found_as_far_as_it_is_kept),
        cmocka_unit_test(a_cut_body_is_never_taken_as_whole),
        cmocka_unit_test(again_holds_the_record_until_it_is_taken),
        cmocka_unit_test(a_failing_receiver_ends_the_document),
        cmocka_unit_test(a_schema_that_cannot_be_filled_is_refused),
        cmocka_unit_test(a_record_type_may_contain_itself),
    };
    return cmocka_run_group_tests(tests, open_schema, close_schema);
}
