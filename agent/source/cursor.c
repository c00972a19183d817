#include "agent/source/cursor.h"

#include "platform/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CURSOR_BYTES_MAX 1024
#define TIME_MAX         253402300799.0 /* the end of the year 9999: as far as HTTP dates go */

static bool cursor_path(const char *dir, const feed *f, const char *suffix, char *path, size_t cap)
{
    return snprintf(path, cap, "%s/%s-%u-%u.cursor%s", dir, f->region, f->realm, f->house, suffix) <
           (int)cap;
}

/* It goes into a header line. */
static bool etag_ok(const char *etag)
{
    size_t len = 0;
    while (etag[len] >= ' ' && etag[len] <= '~')
        len++;
    return etag[len] == '\0' && len < HTTP_ETAG_MAX;
}

static bool time_ok(const cJSON *time)
{
    if (!cJSON_IsNumber(time) || !(time->valuedouble >= 1 && time->valuedouble <= TIME_MAX))
        return false;
    return (double)(int64_t)time->valuedouble == time->valuedouble;
}

static bool take_cursor(const cJSON *root, feed *f)
{
    char name[FEED_NAME_MAX];
    feed_name(f, name);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "version");
    const cJSON *of = cJSON_GetObjectItemCaseSensitive(root, "feed");
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(root, "last_modified");
    const cJSON *etag = cJSON_GetObjectItemCaseSensitive(root, "etag");
    if (!time_ok(time) || !cJSON_IsNumber(version) || version->valuedouble != 1.0 ||
        !cJSON_IsString(of) || strcmp(of->valuestring, name) != 0 || !cJSON_IsString(etag) ||
        !etag_ok(etag->valuestring))
        return false;
    f->last_modified = (int64_t)time->valuedouble;
    memcpy(f->etag, etag->valuestring, strlen(etag->valuestring) + 1);
    return true;
}

gv_status cursor_parse(gv_span json, feed *f, gv_error *err)
{
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    bool ok = take_cursor(root, f);
    cJSON_Delete(root);
    return ok ? GV_OK : gv_fail(err, GV_INVAL, "not a cursor of this feed");
}

static void set_aside(const plat_fs *fs, const char *dir, const feed *f, const char *path)
{
    char to[PLAT_PATH_MAX];
    gv_error err = { 0, "" };
    if (cursor_path(dir, f, ".damaged", to, sizeof to))
        fs->rename(fs->ctx, path, to, &err);
    GV_LOG(GV_LOG_WARN, gv_kmsg("damaged cursor set aside; its snapshot is fetched again"),
           gv_kstr("path", path), gv_kstr("error", err.text));
}

void cursor_load(const plat_fs *fs, const char *dir, feed *f)
{
    char path[PLAT_PATH_MAX], text[CURSOR_BYTES_MAX];
    size_t len = 0;
    gv_error err = { 0, "" };
    if (!cursor_path(dir, f, "", path, sizeof path))
        return;
    gv_status st = plat_fs_load(fs, path, text, sizeof text, &len, &err);
    if (st == GV_IO && err.os_errno == ENOENT)
        return;
    if (st == GV_OK)
        st = cursor_parse(gv_span_of(text, len), f, &err);
    if (st == GV_INVAL || st == GV_FULL)
        set_aside(fs, dir, f, path);
    else if (st != GV_OK)
        GV_LOG(GV_LOG_WARN, gv_kmsg("cursor cannot be read; its snapshot is fetched again"),
               gv_kstr("error", err.text));
}

typedef struct {
    const plat_fs *fs;
    const char *dir;
    int64_t newest;
} newest_search;

/* Damage is for cursor_load() to tell. */
static bool look_for_newest(void *arg, const char *name)
{
    newest_search *s = arg;
    char path[PLAT_PATH_MAX], text[CURSOR_BYTES_MAX];
    const char *dot = strrchr(name, '.');
    size_t len = 0;
    if (!dot || strcmp(dot, ".cursor") != 0 ||
        snprintf(path, sizeof path, "%s/%s", s->dir, name) >= (int)sizeof path ||
        plat_fs_load(s->fs, path, text, sizeof text, &len, NULL) != GV_OK)
        return true;
    cJSON *root = cJSON_ParseWithLength(text, len);
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(root, "last_modified");
    if (time_ok(time) && time->valuedouble > (double)s->newest)
        s->newest = (int64_t)time->valuedouble;
    cJSON_Delete(root);
    return true;
}

int64_t cursor_newest(const plat_fs *fs, const char *dir)
{
    newest_search s = { fs, dir, 0 };
    (void)fs->list_dir(fs->ctx, dir, look_for_newest, &s, NULL);
    return s.newest;
}

gv_status cursor_save(const plat_fs *fs, const char *dir, const feed *f, gv_error *err)
{
    char path[PLAT_PATH_MAX], name[FEED_NAME_MAX], text[CURSOR_BYTES_MAX];
    feed_name(f, name);
    cJSON *root = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(root, "version", 1) &&
              cJSON_AddStringToObject(root, "feed", name) &&
              cJSON_AddNumberToObject(root, "last_modified", (double)f->last_modified) &&
              cJSON_AddStringToObject(root, "etag", f->etag) &&
              cJSON_PrintPreallocated(root, text, (int)sizeof text - 1, 0);
    cJSON_Delete(root);
    if (!ok || !cursor_path(dir, f, "", path, sizeof path))
        return gv_fail(err, GV_FULL, "no room to write the cursor of %s", name);
    return plat_fs_replace(fs, path, text, strlen(text), err);
}
