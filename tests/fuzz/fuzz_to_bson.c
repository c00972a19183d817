/* fuzz_to_bson.c - any bytes as the value of a message of the raw topic.
 *
 * Input: one byte that chooses a schema, then the Avro body.
 * Must hold: no read outside of it; an accepted one gives valid BSON whose strings are UTF-8 and
 * whose keys have no '.' and no leading '$', with an _id first; it has a JSON form; converting again
 * gives the same bytes. A refusal has a message, and does not spoil the next document.
 */
#include "agent/sink/to_bson.h"

#include "auction_avsc.h"
#include "reject_avsc.h"

#include <assert.h>
#include <bson/bson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char other_avsc[] =
    "{\"type\":\"record\",\"name\":\"O\",\"fields\":[{\"name\":\"_id\",\"type\":{\"type\":"
    "\"array\","
    "\"items\":\"null\"}},{\"name\":\"d\",\"type\":[\"null\",\"int\",\"double\"]},{\"name\":\"f\","
    "\"type\":{\"type\":\"map\",\"values\":[\"null\",\"float\",\"O\"]}},{\"name\":\"digest\","
    "\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":\"string\"}}}]}";

static schema schemas[3];
static to_bson *builder;

static void open_schemas(void)
{
    static uint8_t block[64 * 1024];
    static const char *const texts[] = { auction_avsc, reject_avsc, other_avsc };
    gv_arena arena;

    if (builder)
        return;
    builder = to_bson_open();
    gv_arena_init(&arena, block, sizeof block);
    for (int i = 0; i < 3; i++)
        if (schema_parse(gv_span_str(texts[i]), &arena, &schemas[i], NULL) != GV_OK)
            abort();
}

static void check_keys(const bson_t *doc)
{
    bson_iter_t it, child;
    bson_t inner;
    uint32_t len;
    const uint8_t *bytes;

    assert(bson_iter_init(&it, doc));
    while (bson_iter_next(&it)) {
        const char *key = bson_iter_key(&it);
        assert(!strchr(key, '.') && key[0] != '$');
        if (bson_iter_recurse(&it, &child)) {
            if (BSON_ITER_HOLDS_ARRAY(&it))
                bson_iter_array(&it, &len, &bytes);
            else
                bson_iter_document(&it, &len, &bytes);
            assert(bson_init_static(&inner, bytes, len));
            check_keys(&inner);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const record_origin origin = { "topic", 1, 2, 3 };
    gv_error err = { 0 };
    store_doc doc, again;
    bson_t b;
    bson_iter_t it;

    open_schemas();
    if (size < 1)
        return 0;
    const schema *s = &schemas[data[0] % 3];
    gv_span body = gv_span_of(data + 1, size - 1);
    gv_status status = to_bson_document(builder, s, record_shape_of(s), body, &origin, &doc, &err);
    assert(status == GV_OK || status == GV_CORRUPT || status == GV_FULL);
    assert((status == GV_OK) == (err.text[0] == '\0'));
    if (status != GV_OK)
        return 0;
    assert(bson_init_static(&b, doc.bson.data, doc.bson.len));
    assert(bson_validate(&b, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
    assert(bson_iter_init(&it, &b) && bson_iter_next(&it) && !strcmp(bson_iter_key(&it), "_id"));
    assert(bson_iter_utf8(&it, NULL) == doc.id && doc.id[0]);
    check_keys(&b);
    char *json = bson_as_relaxed_extended_json(&b, NULL);
    assert(json);
    bson_free(json);

    uint8_t *copy = malloc(doc.bson.len);
    size_t len = doc.bson.len;
    memcpy(copy, doc.bson.data, len);
    assert(to_bson_document(builder, s, record_shape_of(s), body, &origin, &again, &err) == GV_OK);
    assert(gv_span_equal(gv_span_of(copy, len), again.bson));
    free(copy);
    return 0;
}
