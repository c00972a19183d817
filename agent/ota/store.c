#include "agent/ota/store.h"

#include "agent/ota/bundle.h"
#include "agent/ota/store_text.h"
#include "platform/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store {
    const plat_fs *fs;
    char dir[PLAT_PATH_MAX];
    bool to_write;
    int lock;      /* with to_write */
    uint64_t kept; /* by store_keep(), and nothing refers to it yet */
    store_state state;
};

size_t store_memory_bytes(void)
{
    return sizeof(store);
}

/* --- names ------------------------------------------------------------------------------------ */
static gv_status path_of(const store *s, const char *name, char path[PLAT_PATH_MAX], gv_error *err)
{
    return snprintf(path, PLAT_PATH_MAX, "%s/%s", s->dir, name) < PLAT_PATH_MAX
               ? GV_OK
               : gv_fail(err, GV_INVAL, "state_dir is too long");
}

static gv_status bundle_file(const store *s, uint64_t version, char path[PLAT_PATH_MAX],
                             gv_error *err)
{
    char name[32];
    snprintf(name, sizeof name, "v%" PRIu64 ".gavel", version);
    return path_of(s, name, path, err);
}

/* 0: the name is no bundle's. */
static uint64_t version_of(const char *name)
{
    uint64_t version;
    char again[32];
    if (sscanf(name, "v%17" SCNu64, &version) != 1 || version > BUNDLE_VERSION_MAX)
        return 0;
    snprintf(again, sizeof again, "v%" PRIu64 ".gavel", version);
    return strcmp(name, again) == 0 ? version : 0;
}

/* --- the directory ---------------------------------------------------------------------------- */
static bool look_for_highest(void *arg, const char *name)
{
    uint64_t *highest = arg, version = version_of(name);
    if (version > *highest)
        *highest = version;
    return true;
}

typedef struct {
    const store_state *state;
    uint64_t kept;
    uint64_t version;
} stray_search;

static bool look_for_stray(void *arg, const char *name)
{
    stray_search *search = arg;
    const store_state *s = search->state;
    uint64_t version = version_of(name);
    bool is_stray = version != 0 && version != s->good.version && version != s->previous.version &&
                    version != s->trial.version && version != search->kept;
    if (is_stray)
        search->version = version;
    return !is_stray;
}

/* Removes bundles that nothing refers to. One that cannot be removed costs its room, no more. */
static void remove_strays(store *s)
{
    char path[PLAT_PATH_MAX];
    for (;;) {
        stray_search search = { &s->state, s->kept, 0 };
        if (s->fs->list_dir(s->fs->ctx, s->dir, look_for_stray, &search, NULL) != GV_OK ||
            search.version == 0 || bundle_file(s, search.version, path, NULL) != GV_OK ||
            s->fs->remove(s->fs->ctx, path, NULL) != GV_OK)
            return;
    }
}

/* --- the state file --------------------------------------------------------------------------- */
static gv_status save(store *s, const store_state *next, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    size_t len;
    gv_status status = path_of(s, "state", path, err);
    if (status != GV_OK)
        return status;
    char *text = store_print(next, &len);
    if (!text)
        return gv_fail(err, GV_FULL, "no memory to write %s", path);
    status = plat_fs_replace(s->fs, path, text, len, err);
    free(text);
    return status;
}

/* Makes `next` the state, when it is on the disk; frees it. */
static gv_status adopt(store *s, store_state *next, gv_error *err)
{
    gv_status status = save(s, next, err);
    if (status == GV_OK) {
        s->state = *next;
        remove_strays(s);
    }
    free(next);
    return status;
}

/* A copy to change; NULL: no memory. */
static store_state *copy_state(const store *s, gv_error *err)
{
    store_state *next = malloc(sizeof *next);
    if (next)
        *next = s->state;
    else
        gv_fail(err, GV_FULL, "no memory for the state of updates");
    return next;
}

/* What is left of a state that cannot be used. One that is damaged is set aside; one that the disk does
 * not give stays where it is: perhaps it does at the next start. */
static void recover(store *s, const char *path, gv_status status, const gv_error *why)
{
    char aside[PLAT_PATH_MAX] = "";
    gv_error err = { 0, "" };
    s->state = (store_state){ 0 };
    (void)s->fs->list_dir(s->fs->ctx, s->dir, look_for_highest, &s->state.highest, NULL);
    if (s->to_write && status != GV_IO && plat_fs_set_aside(s->fs, path, aside, &err) == GV_OK)
        (void)save(s, &s->state, &err);
    GV_LOG(GV_LOG_ERROR,
           gv_kmsg(status == GV_IO ? "the state of updates cannot be read: the board's own file is "
                                     "in force"
                                   : "the state of updates is damaged: the board's own file is in "
                                     "force; publish a higher version to go on from here"),
           gv_kstr("file", aside[0] ? aside : path), gv_kstr("reason", why->text),
           gv_kstr("trouble", err.text), gv_kuint("highest_version", s->state.highest));
}

static gv_status load(store *s, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_error why = { 0, "" };
    size_t len = 0;
    char *text = malloc(STORE_TEXT_MAX);
    gv_status status = path_of(s, "state", path, err);
    if (!text || status != GV_OK) {
        free(text);
        return gv_fail(err, text ? status : GV_FULL, "no memory for the state of updates");
    }
    status = plat_fs_load(s->fs, path, text, STORE_TEXT_MAX, &len, &why);
    if (status == GV_OK)
        status = store_parse(gv_span_of(text, len), &s->state, &why);
    free(text);
    if (status == GV_IO && why.os_errno != ENOENT && !s->to_write)
        return gv_fail(err, GV_IO, "%s", why.text);
    if (status != GV_OK && why.os_errno != ENOENT)
        recover(s, path, status, &why);
    return GV_OK;
}

/* --- life ------------------------------------------------------------------------------------- */
static gv_status claim(store *s, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_status status = s->fs->make_dir(s->fs->ctx, s->dir, err);
    if (status == GV_OK)
        status = path_of(s, "lock", path, err);
    if (status == GV_OK)
        status = s->fs->lock(s->fs->ctx, path, &s->lock, err);
    s->to_write = status == GV_OK;
    return status;
}

gv_status store_open(const plat_fs *fs, const char *state_dir, bool to_write, store **out,
                     gv_error *err)
{
    store *s = calloc(1, sizeof *s);
    gv_status status = GV_OK;
    *out = NULL;
    if (!s)
        return gv_fail(err, GV_FULL, "no memory for the state of updates");
    s->fs = fs;
    if (snprintf(s->dir, sizeof s->dir, "%s/config", state_dir) >= (int)sizeof s->dir)
        status = gv_fail(err, GV_INVAL, "state_dir is too long");
    if (status == GV_OK && to_write)
        status = claim(s, err);
    if (status == GV_OK)
        status = load(s, err);
    if (status != GV_OK) {
        store_close(s);
        return status;
    }
    if (to_write)
        remove_strays(s);
    *out = s;
    return GV_OK;
}

void store_close(store *s)
{
    if (!s)
        return;
    if (s->to_write)
        s->fs->close(s->fs->ctx, s->lock);
    free(s);
}

const store_state *store_look(const store *s)
{
    return &s->state;
}

/* --- bundles ---------------------------------------------------------------------------------- */
gv_status store_keep(store *s, uint64_t version, gv_span bytes, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_status status = bundle_file(s, version, path, err);
    if (status == GV_OK)
        status = plat_fs_replace(s->fs, path, bytes.data, bytes.len, err);
    if (status == GV_OK)
        s->kept = version;
    return status;
}

gv_status store_read(const store *s, uint64_t version, void *bytes, size_t cap, size_t *len,
                     gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_status status = bundle_file(s, version, path, err);
    return status == GV_OK ? plat_fs_load(s->fs, path, bytes, cap, len, err) : status;
}

/* --- changes ---------------------------------------------------------------------------------- */
static void add_event(store_state *s, const store_ref *update, update_outcome outcome,
                      const char *reason, int64_t at_ms)
{
    if (s->history_count == STORE_HISTORY_MAX) {
        s->history_count--;
        memmove(s->history, s->history + 1, s->history_count * sizeof *s->history);
    }
    store_event *e = &s->history[s->history_count++];
    *e = (store_event){ .update = *update, .outcome = outcome, .at_ms = at_ms < 0 ? 0 : at_ms };
    snprintf(e->reason, sizeof e->reason, "%s", reason);
}

static void add_refused(store_state *s, const store_ref *update, const char *reason)
{
    if (s->refused_count == STORE_REFUSED_MAX) {
        s->refused_count--;
        memmove(s->refused, s->refused + 1, s->refused_count * sizeof *s->refused);
    }
    store_refused *r = &s->refused[s->refused_count++];
    r->update = *update;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static void end_trial(store_state *s)
{
    s->trial = (store_ref){ 0 };
    s->record = (trial_record){ 0 };
    s->missing[0] = '\0';
}

static gv_status check_kept(const store *s, uint64_t version, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    int file;
    gv_status status = bundle_file(s, version, path, err);
    if (status == GV_OK)
        status = s->fs->open(s->fs->ctx, path, PLAT_READ, &file, err);
    if (status == GV_OK)
        s->fs->close(s->fs->ctx, file);
    return status;
}

gv_status store_begin(store *s, const store_ref *update, int64_t at_ms, gv_error *err)
{
    gv_status status = check_kept(s, update->version, err);
    store_state *next = status == GV_OK ? copy_state(s, err) : NULL;
    if (!next)
        return status == GV_OK ? GV_FULL : status;
    if (next->trial.version) {
        char reason[STORE_REASON_MAX];
        snprintf(reason, sizeof reason, "version %" PRIu64 " came in its place", update->version);
        add_refused(next, &next->trial, reason);
        add_event(next, &next->trial, UPDATE_REFUSED, reason, at_ms);
        end_trial(next);
    }
    next->trial = *update;
    s->kept = 0;
    if (update->version > next->highest)
        next->highest = update->version;
    add_event(next, update, UPDATE_TRIAL, "", at_ms);
    return adopt(s, next, err);
}

gv_status store_record(store *s, const trial_record *record, const char *missing, gv_error *err)
{
    store_state *next = copy_state(s, err);
    if (!next)
        return GV_FULL;
    next->record = *record;
    if (missing)
        snprintf(next->missing, sizeof next->missing, "%s", missing);
    return adopt(s, next, err);
}

gv_status store_commit(store *s, int64_t at_ms, gv_error *err)
{
    store_state *next = copy_state(s, err);
    if (!next)
        return GV_FULL;
    next->previous = next->good;
    next->good = next->trial;
    end_trial(next);
    add_event(next, &next->good, UPDATE_COMMITTED, "", at_ms);
    return adopt(s, next, err);
}

gv_status store_postpone(store *s, const trial_record *record, const char *reason, int64_t at_ms,
                         gv_error *err)
{
    store_state *next = copy_state(s, err);
    if (!next)
        return GV_FULL;
    next->record = *record;
    add_event(next, &next->trial, UPDATE_POSTPONED, reason, at_ms);
    return adopt(s, next, err);
}

gv_status store_refuse(store *s, const store_ref *update, const char *reason, int64_t at_ms,
                       gv_error *err)
{
    store_ref refused = *update; /* it may be within the state that changes */
    store_state *next = copy_state(s, err);
    if (!next)
        return GV_FULL;
    if (next->trial.version == refused.version)
        end_trial(next);
    if (refused.version > next->highest)
        next->highest = refused.version;
    add_refused(next, &refused, reason);
    add_event(next, &refused, UPDATE_REFUSED, reason, at_ms);
    return adopt(s, next, err);
}

gv_status store_revert(store *s, uint64_t version, bool to_own_file, int64_t at_ms, gv_error *err)
{
    const store_state *now = &s->state;
    bool is_trial = version != 0 && now->trial.version == version;
    if (!is_trial && (version == 0 || now->good.version != version))
        return gv_fail(err, GV_INVAL, "version %" PRIu64 " is not in force, nor being tried",
                       version);
    store_state *next = copy_state(s, err);
    if (!next)
        return GV_FULL;
    store_ref reverted = is_trial ? next->trial : next->good;
    if (is_trial)
        end_trial(next);
    if (!is_trial || to_own_file) {
        next->good = to_own_file ? (store_ref){ 0 } : next->previous;
        next->previous = (store_ref){ 0 };
    }
    add_refused(next, &reverted, "reverted on the board");
    add_event(next, &reverted, UPDATE_REVERTED, "reverted on the board", at_ms);
    return adopt(s, next, err);
}

/* --- wishes ----------------------------------------------------------------------------------- */
static const char *const wish_words[] = { "previous", "own-file" };

static gv_status wish_path(const char *state_dir, char path[PLAT_PATH_MAX], gv_error *err)
{
    return snprintf(path, PLAT_PATH_MAX, "%s/config/wish", state_dir) < PLAT_PATH_MAX
               ? GV_OK
               : gv_fail(err, GV_INVAL, "state_dir is too long");
}

bool store_wish_waits(const plat_fs *fs, const char *state_dir)
{
    char path[PLAT_PATH_MAX];
    int file;
    gv_error err = { 0, "" };
    if (wish_path(state_dir, path, &err) != GV_OK)
        return false;
    if (fs->open(fs->ctx, path, PLAT_READ, &file, &err) != GV_OK)
        return err.os_errno != ENOENT;
    fs->close(fs->ctx, file);
    return true;
}

gv_status store_wish_put(const plat_fs *fs, const char *state_dir, const store_wish *wish,
                         gv_error *err)
{
    char path[PLAT_PATH_MAX], text[64];
    int len = snprintf(text, sizeof text, "revert %" PRIu64 " %s\n", wish->version,
                       wish_words[wish->to_own_file]);
    gv_status status = wish_path(state_dir, path, err);
    return status == GV_OK ? plat_fs_replace(fs, path, text, (size_t)len, err) : status;
}

bool store_wish_look(store *s, store_wish *out)
{
    char path[PLAT_PATH_MAX], text[64], word[16];
    gv_error err = { 0, "" };
    size_t len = 0;
    if (path_of(s, "wish", path, NULL) != GV_OK)
        return false;
    gv_status status = plat_fs_load(s->fs, path, text, sizeof text - 1, &len, &err);
    if (status == GV_IO)
        return false;
    text[len] = '\0';
    bool is_known = status == GV_OK &&
                    sscanf(text, "revert %17" SCNu64 " %15s", &out->version, word) == 2 &&
                    (strcmp(word, wish_words[0]) == 0 || strcmp(word, wish_words[1]) == 0);
    if (!is_known) {
        store_wish_done(s);
        return false;
    }
    out->to_own_file = strcmp(word, wish_words[1]) == 0;
    return true;
}

void store_wish_done(store *s)
{
    char path[PLAT_PATH_MAX];
    if (path_of(s, "wish", path, NULL) == GV_OK)
        (void)s->fs->remove(s->fs->ctx, path, NULL);
}

bool store_is_refused(const store *s, const store_ref *update, const char **reason)
{
    for (size_t i = s->state.refused_count; i-- > 0;) {
        const store_refused *r = &s->state.refused[i];
        if (r->update.version != update->version || strcmp(r->update.sha256, update->sha256) != 0)
            continue;
        if (reason)
            *reason = r->reason;
        return true;
    }
    return false;
}
