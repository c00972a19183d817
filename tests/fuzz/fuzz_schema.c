/* fuzz_schema.c - any text as an Avro schema.
 *
 * Input: the .avsc text.
 * Must hold: a refusal has a message; the same text gives the same fingerprint; a schema for which a
 * plan can be built turns documents into bodies that avro_in.h reads by it.
 */
#include "agent/codec/avro_in.h"
#include "agent/codec/transcode.h"
#include "tests/unit/codec_help.h"
#include "tests/unit/codec_reencode.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES (256u * 1024)

static const char document[] =
    "{\"auctions\":[{\"id\":1},{\"id\":2,\"a\":null,\"b\":7,\"c\":\"text\"},{\"a\":[1,2],\"id\":3,"
    "\"b\":"
    "{\"id\":4,\"a\":true},\"c\":-1.5},{\"c\":{},\"b\":[],\"a\":\"A\",\"id\":5}]}";

static void run_document(const codec *c)
{
    transcode_limits limits = transcode_default_limits();
    codec_run run;

    limits.record_bytes = 8192;
    codec_feed(c, gv_span_str(document), &(feeding){ 0 }, &limits, &run);
    assert(run.status == GV_OK);
    assert(run.counts.records + run.counts.rejects == 4);
    for (size_t i = 0; i < run.record_count; i++) {
        uint8_t bytes[16384];
        gv_buf out = gv_buf_of(bytes, sizeof bytes);
        assert(codec_reencode(c->schema.root, run_body(&run, i), &out, NULL) == GV_OK);
    }
    run_free(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    codec c = { .block = malloc(ARENA_BYTES) };
    schema again;
    gv_error err = { 0 };

    gv_arena_init(&c.arena, c.block, ARENA_BYTES);
    gv_status st = schema_parse(gv_span_of(data, size), &c.arena, &c.schema, &err);
    assert((st == GV_OK) == (err.text[0] == '\0'));
    if (st == GV_OK && schema_parse(gv_span_of(data, size), &c.arena, &again, NULL) == GV_OK)
        assert(again.fingerprint == c.schema.fingerprint);
    if (st == GV_OK) {
        st = plan_build(&c.schema, NULL, 0, "id", "extra", &c.arena, &c.plan, &err);
        if (st == GV_OK)
            run_document(&c);
        else
            assert(err.text[0] != '\0');
    }
    free(c.block);
    return 0;
}
