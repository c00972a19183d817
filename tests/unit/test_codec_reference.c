/* The transcoder against avro-c: the same JSON must give the same bytes, in any chunking. */
#include "tests/unit/codec_help.h"
#include "tests/unit/codec_reference.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#define TEXT_BYTES         (4u << 20)
#define RECORDED_MAX_BYTES (64u << 20)

/* Every kind of type, in the places where they can meet. No schema of the project: the codec knows
 * none either. */
static const char kitchen_sink[] =
    "{\"type\":\"record\",\"name\":\"Sink\",\"namespace\":\"test\",\"fields\":["
    "{\"name\":\"id\",\"type\":\"long\"},"
    "{\"name\":\"i\",\"type\":\"int\"},"
    "{\"name\":\"nothing\",\"type\":\"null\"},"
    "{\"name\":\"yes\",\"type\":\"boolean\",\"default\":true},"
    "{\"name\":\"d\",\"type\":\"double\",\"default\":1.5},"
    "{\"name\":\"text_of_a_rather_long_name\",\"type\":\"string\",\"default\":\"d\\u00e9faut\"},"
    "{\"name\":\"text_of_a_rather_long_nose\",\"type\":[\"null\",\"string\"]},"
    "{\"name\":\"raw\",\"type\":\"bytes\",\"default\":\"\\u00ff\\u0001\"},"
    "{\"name\":\"four\",\"type\":{\"type\":\"fixed\",\"name\":\"Four\",\"size\":4},"
    "\"default\":\"abcd\"},"
    "{\"name\":\"suit\",\"type\":{\"type\":\"enum\",\"name\":\"Suit\",\"symbols\":[\"SPADES\","
    "\"HEARTS\",\"DIAMONDS_ARE_FOR_EVER\",\"CLUBS\"],\"default\":\"HEARTS\"},\"default\":\"CLUBS\"}"
    ","
    "{\"name\":\"fifteen_letters\",\"type\":[\"null\",\"int\",\"long\",\"double\"]},"
    "{\"name\":\"sixteen__letters\",\"type\":[\"string\",\"null\",\"boolean\"],\"default\":\"s\"},"
    "{\"name\":\"eight__8\",\"type\":[\"null\",{\"type\":\"array\",\"items\":\"long\"},"
    "{\"type\":\"map\",\"values\":\"string\"}],\"default\":null},"
    "{\"name\":\"rows\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":"
    "\"Row\",\"fields\":["
    "{\"name\":\"a\",\"type\":\"int\",\"default\":-7},"
    "{\"name\":\"cells\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"long\"]}},"
    "{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"deep\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":"
    "\"int\"}},\"default\":[[1,2],[]]}]}}},"
    "{\"name\":\"extra\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},"
    "{\"name\":\"after\",\"type\":\"int\",\"default\":70}]}";

typedef struct {
    codec codec;
    reference reference;
    gv_buf text;
} world;

static void open_world(world *w, const char *avsc, bool auction)
{
    json_t *bound = json_pack("{s:s, s:i, s:i, s:I, s:i}", "region", "eu", "realm", 604, "house", 0,
                              "snapshot_at", (json_int_t)1404174601000, "position", 0);

    if (!auction)
        json_object_clear(bound);
    codec_open(&w->codec, avsc, auction);
    reference_open(&w->reference, avsc, bound);
    w->text = gv_buf_of(malloc(TEXT_BYTES), TEXT_BYTES);
}

static void close_world(world *w)
{
    codec_close(&w->codec);
    reference_close(&w->reference);
    free(w->text.data);
}

static void generate_document(world *w, uint32_t *random, int records)
{
    static const char begin[] = "{\"_links\":{\"self\":{\"href\":\"x\"}}, \"auctions\" : [";
    static const char end[] = "], \"after\":[1,2,3]}\n";

    w->text.len = 0;
    assert_true(gv_buf_put(&w->text, begin, sizeof begin - 1));
    for (int i = 0; i < records; i++) {
        assert_true(i == 0 || gv_buf_put(&w->text, ",", 1));
        reference_generate(&w->reference, random, 1000 + i, &w->text);
    }
    assert_true(gv_buf_put(&w->text, end, sizeof end - 1));
}

/* Every body of the run equals what avro-c makes of the same record. */
static void compare_with_avro_c(world *w, const codec_run *run)
{
    json_error_t error;
    json_t *document = json_loadb((const char *)w->text.data, w->text.len, 0, &error), *record;
    uint8_t *bytes = malloc(1 << 20);
    size_t i;

    if (!document)
        fail_msg("jansson: %s at byte %d", error.text, error.position);
    json_t *list = json_object_get(document, "auctions");
    assert_int_equal(run->record_count, json_array_size(list));
    json_array_foreach(list, i, record)
    {
        gv_buf out = gv_buf_of(bytes, 1 << 20);
        if (json_object_size(w->reference.bound) != 0)
            json_object_set_new(w->reference.bound, "position", json_integer((json_int_t)i));
        reference_encode(&w->reference, record, &out);
        gv_span body = run_body(run, i);
        if (!gv_span_equal(body, gv_span_of(out.data, out.len))) {
            char *text = json_dumps(record, JSON_COMPACT);
            print_error("record %zu: %s\n", i, text);
            free(text);
        }
        assert_int_equal(body.len, out.len);
        assert_memory_equal(body.data, out.data, out.len);
        assert_int_equal(run->records[i].key, json_integer_value(json_object_get(record, "id")));
    }
    free(bytes);
    json_decref(document);
}

static void feed_in_every_way(world *w, uint32_t seed)
{
    const feeding whole = { 0 };
    const feeding ways[] = { { .chunk_bytes = 1 },
                             { .chunk_bytes = 7 },
                             { .chunk_bytes = 40, .seed = seed },
                             { .chunk_bytes = 2000, .seed = seed },
                             { .chunk_bytes = 300, .seed = seed, .again_times = 1 },
                             { .chunk_bytes = 1, .again_times = 2 } };
    gv_span text = gv_span_of(w->text.data, w->text.len);
    codec_run first, other;

    codec_feed(&w->codec, text, &whole, NULL, &first);
    if (first.status != GV_OK || first.counts.rejects != 0)
        print_error("%s %s %s\n%.*s\n", first.err.text, first.path, first.reason,
                    (int)first.raw_len, (const char *)first.raw);
    assert_int_equal(first.status, GV_OK);
    assert_int_equal(first.counts.rejects, 0);
    assert_true(first.counts.finished);
    compare_with_avro_c(w, &first);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        codec_feed(&w->codec, text, &ways[i], NULL, &other);
        assert_true(runs_equal(&first, &other));
        run_free(&other);
    }
    run_free(&first);
}

static void any_schema_gives_the_bytes_of_avro_c_in_any_chunking(void **state)
{
    world w;
    uint32_t random = 1;

    (void)state;
    open_world(&w, kitchen_sink, false);
    for (uint32_t round = 1; round <= 40; round++) {
        generate_document(&w, &random, 40);
        feed_in_every_way(&w, round);
    }
    close_world(&w);
}

static char *auction_schema(void)
{
    size_t len;

    return load_file(GAVEL_SOURCE_DIR "/schemas/auction.avsc", &len);
}

static void auctions_give_the_bytes_of_avro_c_in_any_chunking(void **state)
{
    world w;
    uint32_t random = 2;
    char *avsc = auction_schema();

    (void)state;
    open_world(&w, avsc, true);
    for (uint32_t round = 1; round <= 30; round++) {
        generate_document(&w, &random, 60);
        feed_in_every_way(&w, round);
    }
    close_world(&w);
    free(avsc);
}

static void an_added_optional_field_needs_no_change_of_code(void **state)
{
    static const char added[] = "{\"name\":\"seller_realm\",\"type\":[\"null\",\"string\"],"
                                "\"default\":null},\n    {\"name\":\"extra\"";
    static const char row[] = "{\"auctions\":[{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,"
                              "\"seller_realm\":\"Thrall\",\"time_left\":\"LONG\"}]}";
    char *avsc = auction_schema(), *place = strstr(avsc, "{\"name\": \"extra\"");
    char *wider = malloc(strlen(avsc) + sizeof added);
    world w;
    codec_run run;

    (void)state;
    assert_non_null(place);
    sprintf(wider, "%.*s%s%s", (int)(place - avsc), avsc, added,
            place + strlen("{\"name\": \"extra\""));
    open_world(&w, wider, true);
    assert_true(gv_buf_put(&w.text, row, sizeof row - 1));
    codec_feed(&w.codec, gv_span_str(row), &(feeding){ 0 }, NULL, &run);
    assert_int_equal(run.status, GV_OK);
    assert_int_equal(run.counts.unknown_members, 0);
    compare_with_avro_c(&w, &run);
    assert_non_null(memmem(run.log, run.log_len, "Thrall", 6));
    run_free(&run);
    close_world(&w);
    free(wider);
    free(avsc);
}

/* A whole gzip file; freed by the caller. */
static gv_buf inflate_file(const char *path)
{
    gv_buf text = gv_buf_of(malloc(RECORDED_MAX_BYTES), RECORDED_MAX_BYTES);
    gzFile file = gzopen(path, "rb");

    assert_non_null(file);
    int got = gzread(file, text.data, RECORDED_MAX_BYTES);
    assert_in_range(got, 1, RECORDED_MAX_BYTES - 1);
    text.len = (size_t)got;
    gzclose(file);
    return text;
}

static void recorded_bodies_give_the_bytes_of_avro_c(void **state)
{
    char *avsc = auction_schema(), pattern[512];
    glob_t files;
    world w;

    (void)state;
    snprintf(pattern, sizeof pattern, "%s/*.json.gz", getenv("GAVEL_RECORDED_DATA"));
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    open_world(&w, avsc, true);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        free(w.text.data);
        w.text = inflate_file(files.gl_pathv[i]);
        feed_in_every_way(&w, 9);
    }
    close_world(&w);
    globfree(&files);
    free(avsc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_schema_gives_the_bytes_of_avro_c_in_any_chunking),
        cmocka_unit_test(auctions_give_the_bytes_of_avro_c_in_any_chunking),
        cmocka_unit_test(an_added_optional_field_needs_no_change_of_code),
    };
    /* Where somebody has recorded bodies; the generated ones above cover the same ground. */
    const struct CMUnitTest recorded[] = {
        cmocka_unit_test(recorded_bodies_give_the_bytes_of_avro_c),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    if (getenv("GAVEL_RECORDED_DATA"))
        failed += cmocka_run_group_tests(recorded, NULL, NULL);
    return failed;
}
