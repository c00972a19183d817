#include "agent/source/feed.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

void feed_name(const feed *f, char name[FEED_NAME_MAX])
{
    snprintf(name, FEED_NAME_MAX, "%s/%u/%u", f->region, f->realm, f->house);
}

void feed_namespace(const char *region, feed_game game, char *text, size_t cap)
{
    static const char *const infix[] = { "", "classic-", "classic1x-", "classicann-" };
    snprintf(text, cap, "dynamic-%s%s", infix[game], region);
}

/* Appends to url; false once something did not fit. */
static bool append(char *url, size_t cap, const char *text, size_t len)
{
    size_t have = strlen(url);
    if (len >= cap - have)
        return false;
    memcpy(url + have, text, len);
    url[have + len] = '\0';
    return true;
}

static bool begin_url(char *url, size_t cap, const char *base_url, const char *region)
{
    static const char mark[] = "{region}";
    url[0] = '\0';
    for (const char *p = base_url; *p;) {
        const char *at = strstr(p, mark);
        size_t len = at ? (size_t)(at - p) : strlen(p);
        if (!at && len > 0 && p[len - 1] == '/')
            len--; /* the path brings its own */
        if (!append(url, cap, p, len) || (at && !append(url, cap, region, strlen(region))))
            return false;
        if (!at)
            break;
        p = at + sizeof mark - 1;
    }
    return true;
}

static bool end_url(char *url, size_t cap, const char *path, const char *region, feed_game game)
{
    char name[32], query[48];
    feed_namespace(region, game, name, sizeof name);
    snprintf(query, sizeof query, "?namespace=%s", name);
    return append(url, cap, path, strlen(path)) && append(url, cap, query, strlen(query));
}

bool feed_url(const feed *f, const char *base_url, char *url, size_t cap)
{
    char path[80];
    if (f->realm == 0)
        snprintf(path, sizeof path, "/data/wow/auctions/commodities");
    else if (f->house == 0)
        snprintf(path, sizeof path, "/data/wow/connected-realm/%u/auctions", f->realm);
    else
        snprintf(path, sizeof path, "/data/wow/connected-realm/%u/auctions/%u", f->realm, f->house);
    return begin_url(url, cap, base_url, f->region) && end_url(url, cap, path, f->region, f->game);
}

bool feed_index_url(const char *region, feed_game game, const char *base_url, char *url, size_t cap)
{
    return begin_url(url, cap, base_url, region) &&
           end_url(url, cap, "/data/wow/connected-realm/index", region, game);
}

bool feed_realm_of_href(gv_span href, uint32_t *realm)
{
    static const char mark[] = "/connected-realm/";
    const size_t mark_len = sizeof mark - 1;
    for (size_t i = 0; i + mark_len < href.len; i++) {
        if (memcmp(href.data + i, mark, mark_len) != 0)
            continue;
        uint64_t n = 0;
        size_t digits = 0;
        for (size_t k = i + mark_len; k < href.len; k++, digits++) {
            uint8_t c = href.data[k];
            if (c < '0' || c > '9')
                break;
            n = n * 10 + (uint64_t)(c - '0');
            if (n > UINT32_MAX)
                return false;
        }
        *realm = (uint32_t)n;
        return digits > 0 && n > 0;
    }
    return false;
}

static gv_status walk_index(const cJSON *root,
                            gv_status (*each)(void *ctx, uint32_t realm, gv_error *err), void *ctx,
                            gv_error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "connected_realms");
    if (!cJSON_IsArray(list))
        return gv_fail(err, GV_INVAL, "the realm index has no connected_realms list");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, list)
    {
        const cJSON *href = cJSON_GetObjectItemCaseSensitive(entry, "href");
        uint32_t realm;
        if (!cJSON_IsString(href) || !feed_realm_of_href(gv_span_str(href->valuestring), &realm))
            return gv_fail(err, GV_INVAL, "an entry of the realm index names no connected realm");
        gv_status st = each(ctx, realm, err);
        if (st != GV_OK)
            return st;
    }
    return GV_OK;
}

gv_status feed_parse_index(gv_span json,
                           gv_status (*each)(void *ctx, uint32_t realm, gv_error *err), void *ctx,
                           gv_error *err)
{
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    if (!root)
        return gv_fail(err, GV_INVAL, "the realm index is not JSON");
    gv_status st = walk_index(root, each, ctx, err);
    cJSON_Delete(root);
    return st;
}
