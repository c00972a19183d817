#include "agent/registry/schema_shelf.h"

#include "agent/codec/schema.h"
#include "platform/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX      32            /* looked at, the newest ones */
#define ARENA_BYTES    (64u * 1024u) /* for the tree of one schema */
#define RETRY_MS       60000u
#define GENERATION_MAX 999999u

typedef struct {
    size_t kind; /* index of its name */
    unsigned generation;
    uint64_t fingerprint;
} entry;

typedef struct {
    char text[SHELF_TEXT_MAX + 1];
    char record_name[SHELF_NAME_MAX];
    char path[PLAT_PATH_MAX];
} slot;

struct schema_shelf {
    schema_shelf_config config;
    entry entries[FILES_MAX]; /* newest first */
    size_t entry_count;
    bool kept[SHELF_CURRENT_MAX];
    uint64_t write_ms; /* when to try again; UINT64_MAX: all is written */
    registry_schema list[SHELF_CURRENT_MAX + SHELF_OLDER_MAX];
    size_t list_count;
    slot older[SHELF_OLDER_MAX + 1]; /* the last one: for a look at a file that is not handed on */
    uint8_t arena[ARENA_BYTES];
};

size_t schema_shelf_memory_bytes(void)
{
    return sizeof(schema_shelf);
}

/* --- names ------------------------------------------------------------------------------------- */

static bool make_name(const schema_shelf *s, const entry *e, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s-%04u-%016" PRIx64 ".avsc", s->config.names[e->kind],
                     e->generation, e->fingerprint);
    return n > 0 && (size_t)n < cap;
}

static bool make_path(const schema_shelf *s, const entry *e, char out[PLAT_PATH_MAX])
{
    int n = snprintf(out, PLAT_PATH_MAX, "%s/", s->config.dir);
    return n > 0 && n < PLAT_PATH_MAX && make_name(s, e, out + n, PLAT_PATH_MAX - (size_t)n);
}

/* Exactly a name that make_name() gives. */
static bool read_name(const schema_shelf *s, const char *name, entry *out)
{
    for (size_t kind = 0; kind < s->config.count; kind++) {
        char again[PLAT_PATH_MAX];
        size_t len = strlen(s->config.names[kind]);
        *out = (entry){ .kind = kind };
        if (strncmp(name, s->config.names[kind], len) == 0 &&
            sscanf(name + len, "-%6u-%16" SCNx64, &out->generation, &out->fingerprint) == 2 &&
            make_name(s, out, again, sizeof again) && strcmp(name, again) == 0)
            return true;
    }
    return false;
}

/* Keeps the newest, in order. */
static bool collect(void *arg, const char *name)
{
    schema_shelf *s = arg;
    entry found;
    size_t at = 0;
    if (!read_name(s, name, &found))
        return true;
    while (at < s->entry_count && s->entries[at].generation >= found.generation)
        at++;
    if (at == FILES_MAX)
        return true;
    if (s->entry_count < FILES_MAX)
        s->entry_count++;
    memmove(&s->entries[at + 1], &s->entries[at], (s->entry_count - at - 1) * sizeof s->entries[0]);
    s->entries[at] = found;
    return true;
}

/* --- one file ---------------------------------------------------------------------------------- */

/* GV_CORRUPT: the text is not what its name says. */
static gv_status check_text(schema_shelf *s, const entry *e, size_t len, slot *out, gv_error *err)
{
    gv_arena arena;
    schema found;
    gv_error why = { 0 };
    gv_arena_init(&arena, s->arena, sizeof s->arena);
    out->text[len] = '\0';
    if (strlen(out->text) != len)
        return gv_fail(err, GV_CORRUPT, "it is no text");
    if (schema_parse(gv_span_of(out->text, len), &arena, &found, &why) != GV_OK)
        return gv_fail(err, GV_CORRUPT, "%s", why.text);
    if (found.fingerprint != e->fingerprint)
        return gv_fail(err, GV_CORRUPT, "its fingerprint is %016" PRIx64, found.fingerprint);
    if (found.root->kind != SCHEMA_RECORD || strlen(found.root->full_name) >= SHELF_NAME_MAX)
        return gv_fail(err, GV_CORRUPT, "it is not the schema of a record, or has too long a name");
    snprintf(out->record_name, sizeof out->record_name, "%s", found.root->full_name);
    return GV_OK;
}

static void set_aside(const schema_shelf *s, const char *path, const char *why)
{
    char aside[PLAT_PATH_MAX];
    gv_error err = { 0 };
    if (plat_fs_set_aside(s->config.fs, path, aside, &err) != GV_OK)
        snprintf(aside, sizeof aside, "not possible: %.400s", err.text);
    GV_LOG(GV_LOG_WARN, gv_kmsg("damaged file of a schema set aside"), gv_kstr("file", path),
           gv_kstr("reason", why), gv_kstr("set_aside", aside));
}

/* Reads the file into the slot; what is wrong is said. */
static bool load(schema_shelf *s, const entry *e, slot *out)
{
    gv_error err = { 0 };
    size_t len = 0;
    if (!make_path(s, e, out->path))
        return false;
    gv_status st = plat_fs_load(s->config.fs, out->path, out->text, SHELF_TEXT_MAX, &len, &err);
    if (st == GV_OK)
        st = check_text(s, e, len, out, &err);
    if (st == GV_CORRUPT || st == GV_FULL)
        set_aside(s, out->path, err.text);
    else if (st != GV_OK)
        GV_LOG(GV_LOG_WARN, gv_kmsg("a schema's text cannot be read"), gv_kstr("file", out->path),
               gv_kstr("reason", err.text));
    return st == GV_OK;
}

/* --- the current schemas ----------------------------------------------------------------------- */

static bool is_current(const schema_shelf *s, const entry *e)
{
    return s->config.current[e->kind].fingerprint == e->fingerprint;
}

static void look_for_current(schema_shelf *s)
{
    for (size_t i = 0; i < s->entry_count; i++) {
        const entry *e = &s->entries[i];
        if (is_current(s, e) && !s->kept[e->kind])
            s->kept[e->kind] = load(s, e, &s->older[SHELF_OLDER_MAX]);
    }
}

static gv_status write_missing(schema_shelf *s, gv_error *err)
{
    unsigned generation = s->entry_count ? s->entries[0].generation + 1 : 1;
    gv_status st = s->config.fs->make_dir(s->config.fs->ctx, s->config.dir, err);
    for (size_t k = 0; k < s->config.count && st == GV_OK; k++) {
        const registry_schema *now = &s->config.current[k];
        const entry e = { k, generation < GENERATION_MAX ? generation : GENERATION_MAX,
                          now->fingerprint };
        char path[PLAT_PATH_MAX];
        if (s->kept[k])
            continue;
        if (!make_path(s, &e, path))
            return gv_fail(err, GV_INVAL, "path too long: %s", s->config.dir);
        st = plat_fs_replace(s->config.fs, path, now->text, strlen(now->text), err);
        s->kept[k] = st == GV_OK;
    }
    return st;
}

static bool all_kept(const schema_shelf *s)
{
    bool all = true;
    for (size_t k = 0; k < s->config.count; k++)
        all = all && s->kept[k];
    return all;
}

static void keep_current(schema_shelf *s)
{
    gv_error err = { 0 };
    s->write_ms = UINT64_MAX;
    if (all_kept(s) || write_missing(s, &err) == GV_OK)
        return;
    s->write_ms = plat_mono_ms(s->config.clock) + RETRY_MS;
    GV_LOG(GV_LOG_WARN,
           gv_kmsg("the text of the schema cannot be kept beside the spool; tried again later, "
                   "before then do not upgrade"),
           gv_kstr("reason", err.text));
}

/* --- the older ones ---------------------------------------------------------------------------- */

static void hand_on(schema_shelf *s, const entry *e, const slot *from)
{
    s->list[s->list_count++] = (registry_schema){ .fingerprint = e->fingerprint,
                                                  .text = from->text,
                                                  .record_name = from->record_name,
                                                  .topic = s->config.current[e->kind].topic,
                                                  .file = from->path };
}

static bool is_listed(const schema_shelf *s, const entry *e)
{
    for (size_t i = 0; i < s->list_count; i++)
        if (s->list[i].fingerprint == e->fingerprint &&
            s->list[i].topic == s->config.current[e->kind].topic)
            return true;
    return false;
}

static void read_older(schema_shelf *s)
{
    size_t left_out = 0, used = 0;
    for (size_t i = 0; i < s->entry_count; i++) {
        const entry *e = &s->entries[i];
        if (is_listed(s, e))
            continue;
        if (used == SHELF_OLDER_MAX)
            left_out++;
        else if (load(s, e, &s->older[used]))
            hand_on(s, e, &s->older[used++]);
        else
            GV_LOG(
                GV_LOG_ERROR,
                gv_kmsg("spooled records in a schema whose text cannot be used are kept and wait: "
                        "put its file right, then start again"),
                gv_kstr("file", s->older[used].path));
    }
    if (used > 0)
        GV_LOG(GV_LOG_INFO,
               gv_kmsg("batches wait in the spool; ids of older schemas are kept ready"),
               gv_kuint("schemas", used));
    if (left_out > 0)
        GV_LOG(
            GV_LOG_ERROR,
            gv_kmsg("more older schemas than there is room for: register the oldest files' texts "
                    "by hand if spooled records still wait for them"),
            gv_kuint("schemas", left_out), gv_kstr("directory", s->config.dir));
}

static void remove_older(schema_shelf *s)
{
    const plat_fs *fs = s->config.fs;
    gv_error err = { 0 };
    gv_status st = GV_OK;
    size_t removed = 0;
    for (size_t i = 0; i < s->entry_count && st == GV_OK; i++) {
        char path[PLAT_PATH_MAX];
        if (is_current(s, &s->entries[i]) || !make_path(s, &s->entries[i], path))
            continue;
        st = fs->remove(fs->ctx, path, &err);
        removed++;
    }
    if (removed > 0 && st == GV_OK)
        st = fs->sync_dir(fs->ctx, s->config.dir, &err);
    if (st != GV_OK)
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("older schemas cannot be removed; tried again at the next start"),
               gv_kstr("reason", err.text));
}

/* --- contract ---------------------------------------------------------------------------------- */

gv_status schema_shelf_open(const schema_shelf_config *config, schema_shelf **out, gv_error *err)
{
    schema_shelf *s = calloc(1, sizeof *s);
    gv_error why = { 0 };
    *out = NULL;
    if (!s)
        return gv_fail(err, GV_FULL, "no memory for the schemas' texts");
    assert(config->count <= SHELF_CURRENT_MAX);
    s->config = *config;
    for (size_t k = 0; k < config->count; k++) {
        assert(strlen(config->current[k].text) <= SHELF_TEXT_MAX);
        s->list[s->list_count++] = config->current[k];
    }
    if (config->fs->list_dir(config->fs->ctx, config->dir, collect, s, &why) != GV_OK &&
        why.os_errno != ENOENT)
        GV_LOG(GV_LOG_ERROR,
               gv_kmsg("older schemas cannot be looked for; spooled records in them wait for the "
                       "next start"),
               gv_kstr("reason", why.text));
    look_for_current(s);
    keep_current(s);
    if (config->waiting)
        read_older(s);
    else
        remove_older(s);
    *out = s;
    return GV_OK;
}

const registry_schema *schema_shelf_list(const schema_shelf *s, size_t *count)
{
    *count = s->list_count;
    return s->list;
}

uint64_t schema_shelf_tick(schema_shelf *s)
{
    if (s->write_ms <= plat_mono_ms(s->config.clock))
        keep_current(s);
    return s->write_ms;
}

void schema_shelf_close(schema_shelf *s)
{
    free(s);
}
