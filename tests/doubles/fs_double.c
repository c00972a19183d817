#include "tests/doubles/fs_double.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static fs_name *find(fs_name *names, const char *path)
{
    for (int i = 0; i < FS_DOUBLE_FILES; i++)
        if (names[i].inode && strcmp(names[i].path, path) == 0)
            return &names[i];
    return NULL;
}

static bool has_name(const fs_double *fs, int inode)
{
    for (int i = 0; i < FS_DOUBLE_FILES; i++)
        if (fs->names[i].inode == inode + 1 || fs->durable[i].inode == inode + 1)
            return true;
    return false;
}

static fs_name *add(fs_double *fs, const char *path)
{
    int inode = 0, name = 0;
    while (has_name(fs, inode))
        assert(++inode < FS_DOUBLE_FILES);
    while (fs->names[name].inode)
        assert(++name < FS_DOUBLE_FILES);
    fs->inodes[inode].now.len = fs->inodes[inode].synced.len = 0;
    snprintf(fs->names[name].path, PLAT_PATH_MAX, "%s", path);
    fs->names[name].inode = inode + 1;
    return &fs->names[name];
}

/* True when this operation is to fail. */
static bool fails(fs_double *fs)
{
    fs->operations++;
    bool one = fs->fail_at && --fs->fail_at == 0;
    bool dead = fs->dead_from == 1;
    if (fs->dead_from > 1)
        fs->dead_from--;
    return one || dead;
}

static gv_status io_error(gv_error *err)
{
    return gv_fail_errno(err, EIO, "test");
}

static gv_status do_open(void *ctx, const char *path, plat_open_mode mode, int *file, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    fs_name *name = find(fs->names, path);
    if (!name && mode != PLAT_CREATE)
        return gv_fail_errno(err, ENOENT, "cannot open %s", path);
    if (!name)
        name = add(fs, path);
    if (mode == PLAT_CREATE)
        fs->inodes[name->inode - 1].now.len = 0;
    *file = name->inode - 1;
    return GV_OK;
}

static void do_close(void *ctx, int file)
{
    (void)ctx, (void)file;
}

static gv_status do_read(void *ctx, int file, uint64_t offset, void *buf, size_t len, size_t *got,
                         gv_error *err)
{
    fs_double *fs = ctx;
    const fs_content *c = &fs->inodes[file].now;
    if (fails(fs))
        return io_error(err);
    size_t left = offset < c->len ? c->len - (size_t)offset : 0;
    *got = len < left ? len : left;
    if (*got)
        memcpy(buf, c->data + offset, *got);
    return GV_OK;
}

static gv_status do_write(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                          gv_error *err)
{
    fs_double *fs = ctx;
    fs_content *c = &fs->inodes[file].now;
    bool torn = fails(fs);
    assert(offset <= c->len && len <= FS_DOUBLE_BYTES - offset);
    if (torn)
        len /= 2;
    memcpy(c->data + offset, buf, len);
    if (offset + len > c->len)
        c->len = (size_t)offset + len;
    return torn ? io_error(err) : GV_OK;
}

static gv_status do_size(void *ctx, int file, uint64_t *bytes, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    *bytes = fs->inodes[file].now.len;
    return GV_OK;
}

static gv_status do_truncate(void *ctx, int file, uint64_t bytes, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    assert(bytes <= fs->inodes[file].now.len);
    fs->inodes[file].now.len = (size_t)bytes;
    return GV_OK;
}

static gv_status do_sync(void *ctx, int file, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    fs->syncs++;
    fs->inodes[file].synced = fs->inodes[file].now;
    return GV_OK;
}

static gv_status do_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    fs_name *old = find(fs->names, to), *name = find(fs->names, from);
    if (!name)
        return gv_fail_errno(err, ENOENT, "cannot rename %s", from);
    if (old)
        old->inode = 0;
    snprintf(name->path, PLAT_PATH_MAX, "%s", to);
    fs->renames++;
    return GV_OK;
}

static gv_status do_remove(void *ctx, const char *path, gv_error *err)
{
    fs_double *fs = ctx;
    if (fails(fs))
        return io_error(err);
    fs_name *name = find(fs->names, path);
    if (name)
        name->inode = 0;
    return GV_OK;
}

static gv_status do_make_dir(void *ctx, const char *path, gv_error *err)
{
    (void)path;
    return fails(ctx) ? io_error(err) : GV_OK;
}

static gv_status do_sync_dir(void *ctx, const char *path, gv_error *err)
{
    fs_double *fs = ctx;
    (void)path; /* one directory is enough for us */
    if (fails(fs))
        return io_error(err);
    memcpy(fs->durable, fs->names, sizeof fs->durable);
    return GV_OK;
}

static gv_status do_list_dir(void *ctx, const char *path, bool (*each)(void *, const char *),
                             void *arg, gv_error *err)
{
    fs_double *fs = ctx;
    size_t len = strlen(path);
    if (fails(fs))
        return io_error(err);
    for (int i = 0; i < FS_DOUBLE_FILES; i++) {
        const fs_name *n = &fs->names[i];
        if (n->inode && strncmp(n->path, path, len) == 0 && n->path[len] == '/' &&
            !each(arg, n->path + len + 1))
            break;
    }
    return GV_OK;
}

plat_fs fs_double_table(fs_double *fs)
{
    return (plat_fs){ do_open,     do_close,    do_read,   do_write,  do_size,
                      do_truncate, do_sync,     do_rename, do_remove, do_make_dir,
                      do_sync_dir, do_list_dir, .ctx = fs };
}

void fs_double_power_cut(fs_double *fs)
{
    for (int i = 0; i < FS_DOUBLE_FILES; i++) {
        fs_inode *n = &fs->inodes[i];
        if (n->now.len == n->synced.len && memcmp(n->now.data, n->synced.data, n->now.len) == 0)
            continue;
        n->now.len /= 2;
        n->synced = n->now;
    }
    memcpy(fs->names, fs->durable, sizeof fs->names);
    fs->fail_at = fs->dead_from = 0;
}

bool fs_double_read(const fs_double *fs, const char *path, fs_content *out)
{
    const fs_name *name = find((fs_name *)fs->names, path);
    if (name)
        *out = fs->inodes[name->inode - 1].now;
    return name != NULL;
}

void fs_double_write(fs_double *fs, const char *path, const char *text)
{
    fs_name *name = find(fs->names, path);
    if (!name)
        name = add(fs, path);
    fs_inode *n = &fs->inodes[name->inode - 1];
    n->now.len = strlen(text);
    assert(n->now.len <= FS_DOUBLE_BYTES);
    memcpy(n->now.data, text, n->now.len);
    n->synced = n->now;
    memcpy(fs->durable, fs->names, sizeof fs->durable);
}
