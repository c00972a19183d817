/* cache.h - the ids that were found, and the file that keeps them over restarts.
 *
 * The file is a JSON object: "version" 1; "registry", the addresses it was made with (without user
 * information); "ids", each with "fingerprint" (16 hexadecimal digits), "subject" and "id"; "check",
 * a checksum of all that (FNV-1a, 64 bits). Anything else in it means damage.
 *
 * Ids belong to one registry. A cache that shares no address with the configuration is another
 * registry's, and is not used.
 */
#ifndef GAVEL_REGISTRY_CACHE_H
#define GAVEL_REGISTRY_CACHE_H

#include "platform/err.h"
#include "platform/span.h"

#define CACHE_ENTRIES     32
#define CACHE_ORIGINS     8
#define CACHE_SUBJECT_MAX 512 /* with the final NUL: <topic>-<record name> */
#define CACHE_ORIGIN_MAX  120
#define CACHE_FILE_MAX    65536

typedef struct {
    uint64_t fingerprint;
    char subject[CACHE_SUBJECT_MAX];
    uint32_t id;
} cache_entry;

typedef struct {
    char origins[CACHE_ORIGINS][CACHE_ORIGIN_MAX];
    size_t origin_count;
    cache_entry entries[CACHE_ENTRIES];
    size_t count;
} registry_cache;

/* Letters, digits and . _ - only, as topics and Avro names have; not empty, and short enough. */
bool cache_subject_valid(const char *subject);

const cache_entry *cache_find(const registry_cache *cache, uint64_t fingerprint,
                              const char *subject);

/* Adds, or changes the id of what is there. GV_FULL: CACHE_ENTRIES are there; nothing is evicted. */
gv_status cache_put(registry_cache *cache, uint64_t fingerprint, const char *subject, uint32_t id);

/* Reads the file's bytes; on GV_CORRUPT the cache is empty and the words say why. */
gv_status cache_parse(registry_cache *cache, gv_span bytes, gv_error *err);

/* The file's bytes, for free(); NULL: no memory. */
char *cache_print(const registry_cache *cache);

#endif
