/* config.c - a configuration from its file, and what differs between two. */
#include "agent/config/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const plat_fs *fs;
    config_report_fn *report;
    void *ctx;
} loading;

static gv_status load_secret(void *ctx, const char *reference, char *value, size_t cap,
                             gv_error *err)
{
    const loading *l = ctx;
    return config_secret_read(l->fs, reference, value, cap, err);
}

static void load_report(void *ctx, bool warning, const char *text)
{
    const loading *l = ctx;
    if (l->report)
        l->report(l->ctx, warning, text);
}

static gv_status load_failed(const loading *l, gv_status status, const char *path,
                             const gv_error *cause, gv_error *err)
{
    char text[640];

    if (status == GV_FULL)
        snprintf(text, sizeof text, "%s: larger than %zu KiB: this is no configuration", path,
                 CONFIG_FILE_MAX_BYTES / 1024);
    else if (cause->os_errno == ENOENT)
        snprintf(text, sizeof text,
                 "%s: there is no such file; name another one, or start from gavel.example.json",
                 path);
    else
        snprintf(text, sizeof text, "%s: the configuration cannot be read: %s", path, cause->text);
    if (l->report)
        l->report(l->ctx, false, text);
    gv_fail(err, status, "%s", text);
    if (err)
        err->os_errno = cause->os_errno;
    return status == GV_FULL ? GV_INVAL : status;
}

gv_status config_load(const char *path, config_program program, const plat_fs *fs, gv_arena *arena,
                      config_report_fn *report, void *ctx, gv_config *out, gv_error *err)
{
    loading l = { fs, report, ctx };
    config_reader reader = { program, path, arena, load_report, load_secret, &l };
    gv_error cause = { 0 };
    size_t len = 0;
    char *text = malloc(CONFIG_FILE_MAX_BYTES);
    gv_status status;

    if (!text)
        return gv_fail(err, GV_FULL, "%s: no memory to read the configuration", path);
    status = plat_fs_load(fs, path, text, CONFIG_FILE_MAX_BYTES, &len, &cause);
    if (status == GV_OK)
        status = config_parse(&reader, gv_span_of(text, len), out, err);
    else
        status = load_failed(&l, status, path, &cause, err);
    free(text);
    return status;
}

/* --- differences ------------------------------------------------------------------------------ */
static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const config_list *a, const config_list *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++) {
        if (!same_text(a->items[i], b->items[i]))
            return false;
    }
    return a->count == b->count;
}

/* In the same order: librdkafka may care. */
static bool same_map(const config_map *a, const config_map *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++) {
        if (!same_text(a->items[i].name, b->items[i].name) ||
            !same_text(a->items[i].value, b->items[i].value))
            return false;
    }
    return a->count == b->count;
}

/* A secret is the same when its value is, wherever it comes from. */
static bool same_option(const gv_config *a, const gv_config *b, const config_info *info)
{
    switch (info->kind) {
    case CONFIG_KIND_BOOL:
        return *CONFIG_CONST_FIELD(bool, a, info) == *CONFIG_CONST_FIELD(bool, b, info);
    case CONFIG_KIND_INT:
        return *CONFIG_CONST_FIELD(int64_t, a, info) == *CONFIG_CONST_FIELD(int64_t, b, info);
    case CONFIG_KIND_ENUM:
        return *CONFIG_CONST_FIELD(int, a, info) == *CONFIG_CONST_FIELD(int, b, info);
    case CONFIG_KIND_LIST:
        return same_list(CONFIG_CONST_FIELD(config_list, a, info),
                         CONFIG_CONST_FIELD(config_list, b, info));
    case CONFIG_KIND_MAP:
        return same_map(CONFIG_CONST_FIELD(config_map, a, info),
                        CONFIG_CONST_FIELD(config_map, b, info));
    default:
        return same_text(*CONFIG_CONST_FIELD(char *, a, info),
                         *CONFIG_CONST_FIELD(char *, b, info));
    }
}

static bool same_source(const config_source *a, const config_source *b)
{
    return a->region == b->region && a->game == b->game && a->all_realms == b->all_realms &&
           a->commodities == b->commodities && a->realm_count == b->realm_count &&
           a->house_count == b->house_count &&
           (a->realm_count == 0 ||
            memcmp(a->realms, b->realms, a->realm_count * sizeof *a->realms) == 0) &&
           (a->house_count == 0 || memcmp(a->houses, b->houses, a->house_count) == 0);
}

static bool same_sources(const gv_config *a, const gv_config *b)
{
    for (size_t i = 0; i < a->source_count && a->source_count == b->source_count; i++) {
        if (!same_source(&a->sources[i], &b->sources[i]))
            return false;
    }
    return a->source_count == b->source_count;
}

size_t config_diff(const gv_config *a, const gv_config *b, config_program program,
                   void (*changed)(void *ctx, const char *path), void *ctx)
{
    size_t count = 0;

    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if ((info->programs & program) && !same_option(a, b, info)) {
            changed(ctx, info->path);
            count++;
        }
    }
    if ((program & CONFIG_AGENT) && !same_sources(a, b)) {
        changed(ctx, "sources");
        count++;
    }
    return count;
}

size_t config_overridden(const gv_config *own, const gv_config *in_force, config_program program,
                         void (*overridden)(void *ctx, const char *path), void *ctx)
{
    size_t count = 0;

    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if (!(info->programs & program) || !own->given[i] || same_option(own, in_force, info))
            continue;
        overridden(ctx, info->path);
        count++;
    }
    if ((program & CONFIG_AGENT) && own->source_count > 0 && !same_sources(own, in_force)) {
        overridden(ctx, "sources");
        count++;
    }
    return count;
}
