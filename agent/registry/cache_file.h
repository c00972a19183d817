/* cache_file.h - the cache of ids on disk.
 *
 * Nothing here is an error for the caller of cache_load(): a file that is missing, unreadable, damaged
 * or another registry's means an empty cache, and the log says so. A damaged one is kept beside it,
 * with .damaged-N after its name.
 */
#ifndef GAVEL_REGISTRY_CACHE_FILE_H
#define GAVEL_REGISTRY_CACHE_FILE_H

#include "agent/registry/cache.h"
#include "platform/fs.h"

/* Reads the file (`path` NULL: there is none) for the registry that answers at `urls`. */
void cache_load(registry_cache *cache, const plat_fs *fs, const char *path, const char *const *urls,
                size_t url_count);

/* Replaces the file, whole or not at all. */
gv_status cache_save(const registry_cache *cache, const plat_fs *fs, const char *path,
                     gv_error *err);

#endif
