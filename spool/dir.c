#include "spool/dir.h"

#include <errno.h>
#include <stdio.h>

gv_status dir_path(const char *dir, const char *name, char path[PLAT_PATH_MAX], gv_error *err)
{
    if (snprintf(path, PLAT_PATH_MAX, "%s/%s", dir, name) >= PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "the path of the spool is too long: %.200s", dir);
    return GV_OK;
}

static gv_status segment_path(const char *dir, uint64_t first_seq, char path[PLAT_PATH_MAX],
                              gv_error *err)
{
    char name[SPOOL_NAME_BYTES];

    spool_segment_name(first_seq, name);
    return dir_path(dir, name, path, err);
}

/* --- looking --------------------------------------------------------------------------------------- */
typedef struct {
    const plat_fs *fs;
    const char *dir;
    dir_survey *out;
} survey;

static uint64_t size_of(const plat_fs *fs, const char *dir, uint64_t first_seq)
{
    uint64_t bytes = 0;
    int file;

    if (dir_open(fs, dir, first_seq, PLAT_READ, &file, &bytes, NULL) != GV_OK)
        return 0;
    fs->close(fs->ctx, file);
    return bytes;
}

static bool is_ours(const char *name)
{
    return strcmp(name, "lock") == 0 || strcmp(name, "cursor") == 0 ||
           strcmp(name, "quarantine") == 0;
}

static bool count_one(void *arg, const char *name)
{
    survey *s = arg;
    uint64_t first_seq;

    if (!spool_segment_parse(name, &first_seq)) {
        s->out->strangers += !is_ours(name);
        return true;
    }
    if (s->out->segments++ == 0 || first_seq < s->out->first_seq)
        s->out->first_seq = first_seq;
    if (first_seq > s->out->last_seq)
        s->out->last_seq = first_seq;
    s->out->bytes += size_of(s->fs, s->dir, first_seq);
    return true;
}

gv_status dir_look(const plat_fs *fs, const char *dir, dir_survey *out, gv_error *err)
{
    survey s = { fs, dir, out };

    *out = (dir_survey){ 0 };
    return fs->list_dir(fs->ctx, dir, count_one, &s, err);
}

typedef struct {
    uint64_t above, below; /* first sequences between these */
    bool is_largest;       /* wanted is the largest of them, not the smallest */
    uint64_t found;        /* 0: none */
} neighbour;

static bool try_one(void *arg, const char *name)
{
    neighbour *n = arg;
    uint64_t seq;

    if (!spool_segment_parse(name, &seq) || seq <= n->above || seq >= n->below)
        return true;
    if (n->found == 0 || (n->is_largest ? seq > n->found : seq < n->found))
        n->found = seq;
    return true;
}

static gv_status find_neighbour(const plat_fs *fs, const char *dir, neighbour n,
                                uint64_t *first_seq, gv_error *err)
{
    gv_status st = fs->list_dir(fs->ctx, dir, try_one, &n, err);

    *first_seq = n.found;
    return st == GV_OK && n.found == 0 ? GV_AGAIN : st;
}

gv_status dir_next(const plat_fs *fs, const char *dir, uint64_t after, uint64_t *first_seq,
                   gv_error *err)
{
    return find_neighbour(fs, dir, (neighbour){ after, UINT64_MAX, false, 0 }, first_seq, err);
}

gv_status dir_previous(const plat_fs *fs, const char *dir, uint64_t before, uint64_t *first_seq,
                       gv_error *err)
{
    return find_neighbour(fs, dir, (neighbour){ 0, before, true, 0 }, first_seq, err);
}

/* --- single files ---------------------------------------------------------------------------------- */
gv_status dir_open(const plat_fs *fs, const char *dir, uint64_t first_seq, plat_open_mode mode,
                   int *file, uint64_t *bytes, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_status st = segment_path(dir, first_seq, path, err);

    if (st == GV_OK)
        st = fs->open(fs->ctx, path, mode, file, err);
    if (st != GV_OK)
        return st;
    st = fs->size(fs->ctx, *file, bytes, err);
    if (st != GV_OK)
        fs->close(fs->ctx, *file);
    return st;
}

bool dir_header(const plat_fs *fs, const char *dir, uint64_t segment, uint64_t offset,
                spool_header *header)
{
    uint8_t bytes[SPOOL_HEADER_BYTES];
    uint64_t size;
    size_t got = 0;
    int file;

    if (dir_open(fs, dir, segment, PLAT_READ, &file, &size, NULL) != GV_OK)
        return false;
    gv_status st = fs->read_at(fs->ctx, file, offset, bytes, sizeof bytes, &got, NULL);
    fs->close(fs->ctx, file);
    return st == GV_OK && spool_header_get(gv_span_of(bytes, got), header) != SPOOL_HEADER_NONE;
}

gv_status dir_remove(const plat_fs *fs, const char *dir, uint64_t first_seq, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_status st = segment_path(dir, first_seq, path, err);

    return st == GV_OK ? fs->remove(fs->ctx, path, err) : st;
}

/* GV_OK: there is such a file; GV_AGAIN: there is none. */
static gv_status is_there(const plat_fs *fs, const char *path, gv_error *err)
{
    gv_error why = { 0, "" };
    int file;

    if (fs->open(fs->ctx, path, PLAT_READ, &file, &why) == GV_OK) {
        fs->close(fs->ctx, file);
        return GV_OK;
    }
    return why.os_errno == ENOENT ? GV_AGAIN
                                  : gv_fail_errno(err, why.os_errno, "cannot open %s", path);
}

gv_status dir_set_aside(const plat_fs *fs, const char *dir, uint64_t first_seq, gv_error *err)
{
    char from[PLAT_PATH_MAX], to[PLAT_PATH_MAX], name[64], segment[SPOOL_NAME_BYTES];
    gv_status st = dir_path(dir, "quarantine", to, err);

    spool_segment_name(first_seq, segment);
    if (st == GV_OK)
        st = fs->make_dir(fs->ctx, to, err);
    if (st == GV_OK)
        st = segment_path(dir, first_seq, from, err);
    for (unsigned n = 0; st == GV_OK; n++) {
        snprintf(name, sizeof name, n ? "quarantine/%s.%u" : "quarantine/%s", segment, n);
        st = dir_path(dir, name, to, err);
        if (st == GV_OK)
            st = is_there(fs, to, err);
    }
    return st == GV_AGAIN ? fs->rename(fs->ctx, from, to, err) : st;
}

/* --- quarantine/ ----------------------------------------------------------------------------------- */
typedef struct {
    const plat_fs *fs;
    const char *dir; /* quarantine/ */
    uint64_t bytes;
    char oldest[PLAT_PATH_MAX];
} quarantine;

static bool weigh_one(void *arg, const char *name)
{
    quarantine *q = arg;
    char path[PLAT_PATH_MAX];
    uint64_t bytes;
    int file;

    if (dir_path(q->dir, name, path, NULL) != GV_OK ||
        q->fs->open(q->fs->ctx, path, PLAT_READ, &file, NULL) != GV_OK)
        return true;
    if (q->fs->size(q->fs->ctx, file, &bytes, NULL) == GV_OK)
        q->bytes += bytes;
    q->fs->close(q->fs->ctx, file);
    if (q->oldest[0] == '\0' || strcmp(path, q->oldest) < 0)
        memcpy(q->oldest, path, sizeof path);
    return true;
}

gv_status dir_look_quarantine(const plat_fs *fs, const char *dir, uint64_t *bytes,
                              char oldest[PLAT_PATH_MAX])
{
    char path[PLAT_PATH_MAX];
    quarantine q = { .fs = fs, .dir = path };
    gv_error err = { 0, "" };
    gv_status st = dir_path(dir, "quarantine", path, &err);

    if (st == GV_OK)
        st = fs->list_dir(fs->ctx, path, weigh_one, &q, &err);
    *bytes = q.bytes;
    memcpy(oldest, q.oldest, sizeof q.oldest);
    return err.os_errno == ENOENT ? GV_OK : st;
}
