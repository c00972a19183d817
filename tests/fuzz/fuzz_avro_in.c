/* fuzz_avro_in.c - any bytes as an Avro body.
 *
 * Input: one byte that chooses a schema, then the body.
 * Must hold: no read outside of it; what is accepted can be encoded again, in no more bytes, and
 * that is a fixed point (a NaN may change once): it is accepted, and encodes to itself. A refusal has
 * a message.
 */
#include "tests/unit/codec_reencode.h"

#include "auction_avsc.h"
#include "reject_avsc.h"

#include <assert.h>
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
    assert((st == GV_OK) == (err.text[0] == '\0'));
    if (st == GV_OK) {
        assert(once.len <= size - 1);
        assert(codec_reencode(root, gv_span_of(once.data, once.len), &twice, &err) == GV_OK);
        assert(gv_span_equal(gv_span_of(once.data, once.len), gv_span_of(twice.data, twice.len)));
    }
    free(bytes);
    return 0;
}
