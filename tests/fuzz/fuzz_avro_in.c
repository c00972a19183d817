/* fuzz_avro_in.c - any bytes as an Avro body.
 *
 * Input: one byte that chooses a schema, then the body.
 * Must hold: no read outside of it; what is accepted can be encoded again, in no more bytes, and
 * that is a fixed point (a NaN may change once): it is accepted, and encodes to itself; its JSON is
 * JSON. A refusal has a message.
 */
#include "agent/codec/avro_json.h"
#include "tests/unit/codec_reencode.h"

#include "auction_avsc.h"
#include "reject_avsc.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char other_avsc[] =
    "{\"type\":\"record\",\"name\":\"O\",\"fields\":[{\"name\":\"n\",\"type\":{\"type\":\"array\","
    "\"items\":\"null\"}},{\"name\":\"d\",\"type\":[\"null\",\"int\",\"double\"]},{\"name\":\"f\","
    "\"type\":{\"type\":\"map\",\"values\":\"float\"}},{\"name\":\"x\",\"type\":{\"type\":"
    "\"fixed\","
    "\"name\":\"X\",\"size\":2}},{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"o\",\"type\":["
    "\"null\",\"O\"]},{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\","
    "\"items\":\"string\"}}}]}";

static schema schemas[3];

static void open_schemas(void)
{
    static uint8_t block[64 * 1024];
    static const char *const texts[] = { auction_avsc, reject_avsc, other_avsc };
    gv_arena arena;

    if (schemas[0].root)
        return;
    gv_arena_init(&arena, block, sizeof block);
    for (int i = 0; i < 3; i++)
        if (schema_parse(gv_span_str(texts[i]), &arena, &schemas[i], NULL) != GV_OK)
            abort();
}

/* Grows as it must: six bytes of JSON may be one of Avro, and names cost none. */
static gv_status collect(void *ctx, const char *text, size_t len, gv_error *err)
{
    gv_buf *out = ctx;

    (void)err;
    if (out->cap - out->len < len) {
        out->cap = (out->cap + len) * 2;
        out->data = realloc(out->data, out->cap);
        assert(out->data);
    }
    gv_buf_put(out, text, len);
    return GV_OK;
}

static void check_json(const schema_node *root, gv_span body)
{
    gv_buf text = { NULL, 0, 0 };

    assert(avro_in_check(root, body, NULL) == GV_OK);
    assert(avro_json_write(root, body, AVRO_JSON, collect, &text, NULL) == GV_OK);
    cJSON *json = cJSON_ParseWithLengthOpts((const char *)text.data, text.len, NULL, false);
    assert(json);
    cJSON_Delete(json);
    free(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gv_error err = { 0 };

    open_schemas();
    if (size < 1)
        return 0;
    const schema_node *root = schemas[data[0] % 3].root;
    uint8_t *bytes = malloc(2 * size);
    gv_buf once = gv_buf_of(bytes, size), twice = gv_buf_of(bytes + size, size);

    gv_status st = codec_reencode(root, gv_span_of(data + 1, size - 1), &once, &err);
    assert(st == GV_OK || st == GV_CORRUPT);
    assert((st == GV_OK) == (avro_in_check(root, gv_span_of(data + 1, size - 1), NULL) == GV_OK));
    assert((st == GV_OK) == (err.text[0] == '\0'));
    if (st == GV_OK) {
        check_json(root, gv_span_of(data + 1, size - 1));
        assert(once.len <= size - 1);
        assert(codec_reencode(root, gv_span_of(once.data, once.len), &twice, &err) == GV_OK);
        assert(gv_span_equal(gv_span_of(once.data, once.len), gv_span_of(twice.data, twice.len)));
    }
    free(bytes);
    return 0;
}
