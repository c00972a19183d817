#include "agent/registry/cache.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool cache_subject_valid(const char *subject)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(subject);
    return len > 0 && len < CACHE_SUBJECT_MAX && strspn(subject, allowed) == len;
}

const cache_entry *cache_find(const registry_cache *cache, uint64_t fingerprint,
                              const char *subject)
{
    for (size_t i = 0; i < cache->count; i++)
        if (cache->entries[i].fingerprint == fingerprint &&
            strcmp(cache->entries[i].subject, subject) == 0)
            return &cache->entries[i];
    return NULL;
}

gv_status cache_put(registry_cache *cache, uint64_t fingerprint, const char *subject, uint32_t id)
{
    const cache_entry *found = cache_find(cache, fingerprint, subject);
    cache_entry *entry = &cache->entries[found ? (size_t)(found - cache->entries) : cache->count];
    if (!found && cache->count == CACHE_ENTRIES)
        return GV_FULL;
    if (!found)
        cache->count++;
    entry->fingerprint = fingerprint;
    memcpy(entry->subject, subject, strlen(subject) + 1);
    entry->id = id;
    return GV_OK;
}

/* --- checksum ---------------------------------------------------------------------------------- */
static uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t checksum(const registry_cache *cache)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    uint8_t number[12];
    for (size_t i = 0; i < cache->origin_count; i++)
        hash = fnv1a(hash, cache->origins[i], strlen(cache->origins[i]) + 1);
    for (size_t i = 0; i < cache->count; i++) {
        const cache_entry *entry = &cache->entries[i];
        gv_put_le64(number, entry->fingerprint);
        gv_put_le32(number + 8, entry->id);
        hash = fnv1a(hash, number, sizeof number);
        hash = fnv1a(hash, entry->subject, strlen(entry->subject) + 1);
    }
    return hash;
}

static bool read_hex(const cJSON *item, uint64_t *value)
{
    if (!cJSON_IsString(item) || strlen(item->valuestring) != 16 ||
        strspn(item->valuestring, "0123456789abcdef") != 16)
        return false;
    *value = strtoull(item->valuestring, NULL, 16);
    return true;
}

static bool add_hex(cJSON *object, const char *name, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

/* --- reading ----------------------------------------------------------------------------------- */
static bool read_origins(registry_cache *cache, const cJSON *list)
{
    const cJSON *item;
    if (!cJSON_IsArray(list))
        return false;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item) || cache->origin_count == CACHE_ORIGINS ||
            strlen(item->valuestring) >= CACHE_ORIGIN_MAX)
            return false;
        memcpy(cache->origins[cache->origin_count++], item->valuestring,
               strlen(item->valuestring) + 1);
    }
    return true;
}

static bool read_entry(registry_cache *cache, const cJSON *item)
{
    const cJSON *subject = cJSON_GetObjectItemCaseSensitive(item, "subject");
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");
    uint64_t fingerprint;
    return cJSON_IsObject(item) && cJSON_GetArraySize(item) == 3 &&
           read_hex(cJSON_GetObjectItemCaseSensitive(item, "fingerprint"), &fingerprint) &&
           cJSON_IsString(subject) && cache_subject_valid(subject->valuestring) &&
           cJSON_IsNumber(id) && id->valuedouble >= 1 && id->valuedouble <= 2147483647.0 &&
           id->valuedouble == (int)id->valuedouble &&
           !cache_find(cache, fingerprint, subject->valuestring) &&
           cache_put(cache, fingerprint, subject->valuestring, (uint32_t)id->valuedouble) == GV_OK;
}

static const char *read_all(registry_cache *cache, const cJSON *json)
{
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version");
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(json, "ids");
    const cJSON *item;
    uint64_t check;
    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) != 4)
        return "it is not an object of four members";
    if (!cJSON_IsNumber(version) || version->valuedouble != 1)
        return "its version is not 1";
    if (!read_origins(cache, cJSON_GetObjectItemCaseSensitive(json, "registry")))
        return "its list of addresses is wrong";
    if (!cJSON_IsArray(ids))
        return "it has no list of ids";
    cJSON_ArrayForEach(item, ids)
    {
        if (!read_entry(cache, item))
            return "an id in it is wrong";
    }
    if (!read_hex(cJSON_GetObjectItemCaseSensitive(json, "check"), &check) ||
        check != checksum(cache))
        return "its checksum is wrong";
    return NULL;
}

gv_status cache_parse(registry_cache *cache, gv_span bytes, gv_error *err)
{
    const char *begin = (const char *)bytes.data;
    const char *end = NULL;
    const char *why = "it is not JSON";
    cJSON *json = NULL;
    memset(cache, 0, sizeof *cache);
    if (bytes.len > 0 && bytes.len <= CACHE_FILE_MAX)
        json = cJSON_ParseWithLengthOpts(begin, bytes.len, &end, 0);
    if (json) {
        while (end < begin + bytes.len && *end == '\n')
            end++;
        why = end == begin + bytes.len ? read_all(cache, json) : "something follows the JSON";
        cJSON_Delete(json);
    }
    if (!why)
        return GV_OK;
    memset(cache, 0, sizeof *cache);
    return gv_fail(err, GV_CORRUPT, "%s", why);
}

/* --- writing ----------------------------------------------------------------------------------- */
static bool add_entry(cJSON *list, const cache_entry *entry)
{
    cJSON *item = cJSON_CreateObject();
    if (!cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return add_hex(item, "fingerprint", entry->fingerprint) &&
           cJSON_AddStringToObject(item, "subject", entry->subject) &&
           cJSON_AddNumberToObject(item, "id", entry->id);
}

static bool add_all(cJSON *json, const registry_cache *cache)
{
    bool good = cJSON_AddNumberToObject(json, "version", 1) != NULL;
    cJSON *origins = cJSON_AddArrayToObject(json, "registry");
    cJSON *ids = cJSON_AddArrayToObject(json, "ids");
    good = good && origins && ids;
    for (size_t i = 0; good && i < cache->origin_count; i++)
        good = cJSON_AddItemToArray(origins, cJSON_CreateString(cache->origins[i]));
    for (size_t i = 0; good && i < cache->count; i++)
        good = add_entry(ids, &cache->entries[i]);
    return good && add_hex(json, "check", checksum(cache));
}

char *cache_print(const registry_cache *cache)
{
    cJSON *json = cJSON_CreateObject();
    char *text = json && add_all(json, cache) ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    return text;
}
