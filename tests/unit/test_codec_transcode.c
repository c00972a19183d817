/* What the transcoder promises about odd input that it takes: records, the envelope around them, the
 * events it tells, and the plans it works by. What it does not take: test_codec_rejects.c. */
#include "tests/unit/transcode_help.h"

#include <stdio.h>
#include <stdlib.h>

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
        cmocka_unit_test(integers_are_exact_to_the_last_of_64_bits),
        cmocka_unit_test(envelope_members_are_handed_over),
        cmocka_unit_test(again_holds_the_record_until_it_is_taken),
        cmocka_unit_test(a_failing_receiver_ends_the_document),
        cmocka_unit_test(a_schema_that_cannot_be_filled_is_refused),
        cmocka_unit_test(a_record_type_may_contain_itself),
    };
    return cmocka_run_group_tests(tests, open_schema, close_schema);
}
