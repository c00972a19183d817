/* sources.c - the array "sources": what the agent fetches. */
#include "agent/config/internal.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define REALM_ID_MAX INT32_MAX /* realm is an int in the auction schema */

static const config_info *source_info(const char *name)
{
    for (size_t i = 0; i < config_source_info_count; i++) {
        if (strcmp(config_source_infos[i].path, name) == 0)
            return &config_source_infos[i];
    }
    return NULL;
}

static void wrong(config_reading *r, const char *path, const char *expected, const cJSON *value)
{
    char found[128];

    config_found(value, false, found, sizeof found);
    config_problem(r, GV_INVAL, path, "expected %s, found %s", expected, found);
}

static void read_choice(config_reading *r, const char *path, const config_info *info,
                        const cJSON *value, int *choice)
{
    char expected[128];
    int found = cJSON_IsString(value) ? config_choice_find(info->def_text, value->valuestring) : -1;

    config_expected(info, expected, sizeof expected);
    if (found < 0)
        wrong(r, path, expected, value);
    else
        *choice = found;
}

static void read_realms(config_reading *r, const char *path, const cJSON *value, config_source *s)
{
    const cJSON *item;
    uint32_t *ids;
    size_t count = 0;

    if (cJSON_IsString(value) && strcmp(value->valuestring, "all") == 0) {
        s->all_realms = true;
        return;
    }
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) > CONFIG_REALMS_MAX) {
        char expected[96];
        snprintf(expected, sizeof expected, "a list of up to %d connected realm ids, or \"all\"",
                 CONFIG_REALMS_MAX);
        wrong(r, path, expected, value);
        return;
    }
    ids = config_alloc(r, (size_t)cJSON_GetArraySize(value) * sizeof *ids);
    if (!ids)
        return;
    cJSON_ArrayForEach(item, value)
    {
        char item_path[CONFIG_PATH_MAX];
        int64_t id = 0;
        config_path(item_path, "%s[%zu]", path, count);
        if (!config_whole(item, 1, REALM_ID_MAX, &id))
            wrong(r, item_path, "a connected realm id (a whole number from 1)", item);
        for (size_t i = 0; i < count && id != 0; i++) {
            if (ids[i] == (uint32_t)id)
                config_problem(r, GV_INVAL, item_path, "realm %u is given twice", ids[i]);
        }
        ids[count++] = (uint32_t)id;
    }
    s->realms = ids;
    s->realm_count = count;
}

static void read_houses(config_reading *r, const char *path, const cJSON *value, config_source *s)
{
    const cJSON *item;
    uint8_t *houses;
    int size = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;

    if (size < 1 || size > 3) {
        wrong(r, path, "a list of the houses 2, 6 and 7", value);
        return;
    }
    houses = config_alloc(r, (size_t)size);
    if (!houses)
        return;
    cJSON_ArrayForEach(item, value)
    {
        char item_path[CONFIG_PATH_MAX];
        int64_t house = 0;
        config_path(item_path, "%s[%zu]", path, s->house_count);
        if (!config_whole(item, 2, 7, &house) || (house != 2 && house != 6 && house != 7))
            wrong(r, item_path, "house 2, 6 or 7", item);
        else if (memchr(houses, (int)house, s->house_count))
            config_problem(r, GV_INVAL, item_path, "house %d is given twice", (int)house);
        houses[s->house_count++] = (uint8_t)house;
    }
    s->houses = houses;
}

static void read_member(config_reading *r, const char *path, const cJSON *value, config_source *s)
{
    const char *name = value->string;
    const config_info *info = source_info(name);
    const char *near;

    if (!info) {
        near = config_nearest_source(name);
        config_problem(r, GV_INVAL, path, "unknown option%s%s%s", near ? "; did you mean " : "",
                       near ? near : "", near ? "?" : " of a source");
    } else if (strcmp(name, "region") == 0) {
        read_choice(r, path, info, value, &s->region);
    } else if (strcmp(name, "game") == 0) {
        read_choice(r, path, info, value, &s->game);
    } else if (strcmp(name, "realms") == 0) {
        read_realms(r, path, value, s);
    } else if (strcmp(name, "houses") == 0) {
        read_houses(r, path, value, s);
    } else if (cJSON_IsBool(value)) {
        s->commodities = cJSON_IsTrue(value);
    } else {
        wrong(r, path, "true or false", value);
    }
}

/* Nothing is asked for, rather than asked for in a wrong way, which is reported already. */
static bool fetches_nothing(const cJSON *object)
{
    const cJSON *realms = cJSON_GetObjectItemCaseSensitive(object, "realms");
    const cJSON *commodities = cJSON_GetObjectItemCaseSensitive(object, "commodities");

    return (!realms || (cJSON_IsArray(realms) && !realms->child)) &&
           (!commodities || cJSON_IsFalse(commodities));
}

static bool has(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name) != NULL;
}

/* What the members of one source say together. */
static void check_source(config_reading *r, const char *path, const cJSON *object, config_source *s)
{
    static const uint8_t all_houses[] = { 2, 6, 7 };
    char at[CONFIG_PATH_MAX];

    if (!has(object, "region"))
        config_problem(r, GV_INVAL, path, "region is missing: us, eu, kr or tw");
    if (s->game == CONFIG_RETAIL) {
        config_path(at, "%s.houses", path);
        if (has(object, "houses"))
            config_problem(r, GV_INVAL, at, "only Classic games have several houses");
    } else {
        config_path(at, "%s.commodities", path);
        if (s->commodities)
            config_problem(r, GV_INVAL, at, "only retail has commodities");
        if (!s->houses && !has(object, "houses")) {
            s->houses = all_houses;
            s->house_count = sizeof all_houses;
        }
    }
    if (fetches_nothing(object))
        config_problem(r, GV_INVAL, path, "this source fetches nothing: give it realms%s",
                       s->game == CONFIG_RETAIL ? " or commodities" : "");
}

static void read_source(config_reading *r, const cJSON *object, size_t index, config_source *s)
{
    char path[CONFIG_PATH_MAX];
    const cJSON *member;

    config_path(path, "sources[%zu]", index);
    s->region = CONFIG_REGION_US;
    s->game = CONFIG_RETAIL;
    if (!cJSON_IsObject(object)) {
        wrong(r, path, "an object such as { \"region\": \"eu\", \"realms\": [604] }", object);
        return;
    }
    cJSON_ArrayForEach(member, object)
    {
        char at[CONFIG_PATH_MAX], key[72];
        config_show_key(member->string, key, sizeof key);
        config_path(at, "%s.%s", path, key);
        if (!config_duplicate(r, object, member, at))
            read_member(r, at, member, s);
    }
    check_source(r, path, object, s);
}

static bool share_house(const config_source *a, const config_source *b)
{
    for (size_t i = 0; i < a->house_count; i++) {
        if (memchr(b->houses, a->houses[i], b->house_count))
            return true;
    }
    return a->house_count == 0 && b->house_count == 0;
}

/* Says which realm both fetch: its id, 0 for "all", -1 for none. */
static int64_t shared_realm(const config_source *a, const config_source *b)
{
    bool some_a = a->all_realms || a->realm_count, some_b = b->all_realms || b->realm_count;

    if (a->region != b->region || a->game != b->game || !some_a || !some_b || !share_house(a, b))
        return -1;
    if (a->all_realms || b->all_realms)
        return 0;
    for (size_t i = 0; i < a->realm_count; i++) {
        for (size_t j = 0; j < b->realm_count; j++) {
            if (a->realms[i] == b->realms[j])
                return a->realms[i];
        }
    }
    return -1;
}

static void check_pair(config_reading *r, const config_source *sources, size_t a, size_t b)
{
    int64_t realm = shared_realm(&sources[a], &sources[b]);
    char path[CONFIG_PATH_MAX];

    config_path(path, "sources[%zu]", b);
    if (realm > 0)
        config_problem(r, GV_INVAL, path, "realm %lld is already fetched by sources[%zu]",
                       (long long)realm, a);
    else if (realm == 0)
        config_problem(r, GV_INVAL, path,
                       "sources[%zu] and this one fetch the same realms (\"all\")", a);
    if (sources[a].commodities && sources[b].commodities && sources[a].region == sources[b].region)
        config_problem(r, GV_INVAL, path, "these commodities are already fetched by sources[%zu]",
                       a);
}

void config_read_sources(config_reading *r, const cJSON *value)
{
    const cJSON *object;
    config_source *sources;
    size_t count = 0, realms = 0;
    char expected[64];

    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) > CONFIG_SOURCES_MAX) {
        snprintf(expected, sizeof expected, "a list of up to %d sources", CONFIG_SOURCES_MAX);
        wrong(r, "sources", expected, value);
        return;
    }
    sources = config_alloc(r, (size_t)cJSON_GetArraySize(value) * sizeof *sources);
    if (!sources)
        return;
    cJSON_ArrayForEach(object, value)
    {
        read_source(r, object, count, &sources[count]);
        realms += sources[count++].realm_count;
    }
    if (realms > CONFIG_REALMS_MAX)
        config_problem(r, GV_INVAL, "sources", "%zu realms in all; %d at most", realms,
                       CONFIG_REALMS_MAX);
    else if (r->status == GV_OK) {
        for (size_t b = 1; b < count; b++) {
            for (size_t a = 0; a < b; a++)
                check_pair(r, sources, a, b);
        }
    }
    r->out->sources = sources;
    r->out->source_count = count;
}
