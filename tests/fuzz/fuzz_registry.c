/* fuzz_registry.c - a registry's replies, and the cache file of ids.
 *
 * Input: one byte that chooses, then the bytes.
 * Invariants: an id is from 1 to 2^31 - 1; messages end within their bounds and are printable; a
 * schema is a non-empty string; every failure has words; a cache that is accepted holds only valid
 * subjects and ids, each once, and is the same after writing and reading it again; one that is not
 * is empty.
 */
#include "agent/registry/cache.h"
#include "agent/registry/reply.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t cap)
{
    size_t len = strnlen(text, cap);
    CHECK(len < cap);
    for (size_t i = 0; i < len; i++)
        CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void read_replies(gv_span body)
{
    uint32_t id = 0;
    bool compatible;
    char text[40];
    char *schema;
    gv_error err = { 0 };

    gv_status status = reply_id(body, &id, &err);
    CHECK(status == GV_OK ? id >= 1 && id <= 2147483647 && !err.text[0] : err.text[0] != '\0');

    err = (gv_error){ 0 };
    status = reply_compatible(body, &compatible, text, sizeof text, &err);
    check_text(text, sizeof text);
    CHECK((status == GV_OK) == (err.text[0] == '\0'));

    err = (gv_error){ 0 };
    status = reply_schema(body, &schema, &err);
    CHECK(status == GV_OK ? schema && schema[0] : !schema && err.text[0] != '\0');
    free(schema);

    CHECK(reply_error(body, text, sizeof text) >= 0);
    check_text(text, sizeof text);
}

static void read_cache(gv_span bytes)
{
    static registry_cache cache;
    static registry_cache again;
    gv_error err = { 0 };
    if (cache_parse(&cache, bytes, &err) != GV_OK) {
        CHECK(err.text[0] && cache.count == 0 && cache.origin_count == 0);
        return;
    }
    CHECK(cache.count <= CACHE_ENTRIES && cache.origin_count <= CACHE_ORIGINS);
    for (size_t i = 0; i < cache.count; i++) {
        const cache_entry *entry = &cache.entries[i];
        CHECK(cache_subject_valid(entry->subject) && entry->id >= 1 && entry->id <= 2147483647);
        CHECK(cache_find(&cache, entry->fingerprint, entry->subject) == entry);
    }
    char *text = cache_print(&cache);
    CHECK(text);
    CHECK(cache_parse(&again, gv_span_str(text), NULL) == GV_OK);
    CHECK(memcmp(&again, &cache, sizeof cache) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    gv_span bytes = gv_span_of(data + 1, size - 1);
    if (data[0] == 'c')
        read_cache(bytes);
    else
        read_replies(bytes);
    return 0;
}
