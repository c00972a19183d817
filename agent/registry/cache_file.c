#include "agent/registry/cache_file.h"

#include "agent/net/http_url.h"
#include "platform/log.h"

#include <errno.h>
#include <stdlib.h>

static void set_aside(const plat_fs *fs, const char *path, const char *why)
{
    char name[PLAT_PATH_MAX];
    gv_error err = { 0 };
    if (plat_fs_set_aside(fs, path, name, &err) == GV_OK)
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("damaged cache of schema ids set aside; the ids are asked again"),
               gv_kstr("file", name), gv_kstr("reason", why));
    else
        GV_LOG(GV_LOG_WARN, gv_kmsg("damaged cache of schema ids cannot be set aside"),
               gv_kstr("file", path), gv_kstr("reason", err.text));
}

static void origin_of(const char *url, char out[CACHE_ORIGIN_MAX])
{
    http_url_show(url, out, CACHE_ORIGIN_MAX);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
}

static bool same_registry(const registry_cache *cache, const char *const *urls, size_t url_count)
{
    for (size_t i = 0; i < url_count; i++) {
        char origin[CACHE_ORIGIN_MAX];
        origin_of(urls[i], origin);
        for (size_t k = 0; k < cache->origin_count; k++)
            if (strcmp(origin, cache->origins[k]) == 0)
                return true;
    }
    return false;
}

static void read_file(registry_cache *cache, const plat_fs *fs, const char *path,
                      const char *const *urls, size_t url_count)
{
    gv_error err = { 0 };
    size_t len = 0;
    char *bytes = malloc(CACHE_FILE_MAX);
    if (!bytes)
        return;
    gv_status status = plat_fs_load(fs, path, bytes, CACHE_FILE_MAX, &len, &err);
    if (status == GV_OK)
        status = cache_parse(cache, gv_span_of(bytes, len), &err);
    free(bytes);
    if (status == GV_CORRUPT || status == GV_FULL) {
        set_aside(fs, path, err.text);
    } else if (status != GV_OK && err.os_errno != ENOENT) {
        GV_LOG(GV_LOG_WARN, gv_kmsg("cannot read the cache of schema ids; they are asked again"),
               gv_kstr("reason", err.text));
    } else if (status == GV_OK && !same_registry(cache, urls, url_count)) {
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("the cache of schema ids is another registry's; the ids are asked again"),
               gv_kstr("registry", cache->origins[0]));
        memset(cache, 0, sizeof *cache);
    }
}

void cache_load(registry_cache *cache, const plat_fs *fs, const char *path, const char *const *urls,
                size_t url_count)
{
    memset(cache, 0, sizeof *cache);
    if (path)
        read_file(cache, fs, path, urls, url_count);
    cache->origin_count = 0;
    for (size_t i = 0; i < url_count && i < CACHE_ORIGINS; i++)
        origin_of(urls[i], cache->origins[cache->origin_count++]);
}

gv_status cache_save(const registry_cache *cache, const plat_fs *fs, const char *path,
                     gv_error *err)
{
    char *text = cache_print(cache);
    if (!text)
        return gv_fail(err, GV_FULL, "no memory for %s", path);
    gv_status status = plat_fs_replace(fs, path, text, strlen(text), err);
    free(text);
    return status;
}
