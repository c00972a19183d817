/* schema_cache.h - writer schemas by their registry id, parsed once.
 *
 * Holds the SCHEMA_CACHE_SLOTS used last. A schema that cannot be parsed is kept as such: it will
 * not get better. An id the registry does not know is asked for again after some seconds, since it
 * may be on its way between registries; a registry that is away is never remembered.
 * Memory: per slot the parsed schema, at most SCHEMA_MAX_BYTES.
 */
#ifndef GAVEL_SINK_SCHEMA_CACHE_H
#define GAVEL_SINK_SCHEMA_CACHE_H

#include "agent/codec/schema.h"
#include "agent/sink/to_bson.h"
#include "platform/clock.h"

#define SCHEMA_CACHE_SLOTS 64
#define SCHEMA_MAX_BYTES   ((size_t)1024 * 1024)
#define SCHEMA_UNKNOWN_MS  10000

/* Brings the text of a schema to take(), blocking; GV_INVAL: there is no such id; GV_IO, GV_AGAIN:
 * not now. take() is called once with GV_OK, and not otherwise. */
typedef gv_status schema_fetch_fn(void *ctx, uint32_t id, void (*take)(void *arg, const char *text),
                                  void *arg, gv_error *err);

typedef struct schema_cache schema_cache;

schema_cache *schema_cache_open(const plat_clock *clock, schema_fetch_fn *fetch, void *ctx);
void schema_cache_close(schema_cache *c);

typedef struct {
    schema writer;
    record_shape shape;
} cached_schema;

/* GV_OK: *out is valid until the next call. GV_INVAL: unknown or broken, and err says which; GV_IO,
 * GV_AGAIN: the registry is away. */
gv_status schema_cache_get(schema_cache *c, uint32_t id, const cached_schema **out, gv_error *err);

#endif
