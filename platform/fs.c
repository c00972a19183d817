#include "platform/fs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The directory part of path, "." when there is none. */
static bool parent_of(const char *path, char *dir, size_t cap)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (slash == path)
        len = 1;
    if (len >= cap)
        return false;
    if (len == 0)
        return snprintf(dir, cap, ".") < (int)cap;
    memcpy(dir, path, len);
    dir[len] = '\0';
    return true;
}

static gv_status write_new(const plat_fs *fs, const char *path, const void *data, size_t len,
                           gv_error *err)
{
    int file;
    gv_status st = fs->open(fs->ctx, path, PLAT_CREATE, &file, err);
    if (st != GV_OK)
        return st;
    st = fs->write_at(fs->ctx, file, 0, data, len, err);
    if (st == GV_OK)
        st = fs->sync(fs->ctx, file, err);
    fs->close(fs->ctx, file);
    return st;
}

gv_status plat_fs_replace(const plat_fs *fs, const char *path, const void *data, size_t len,
                          gv_error *err)
{
    char temp[PLAT_PATH_MAX], dir[PLAT_PATH_MAX];
    if (snprintf(temp, sizeof temp, "%s.new", path) >= (int)sizeof temp ||
        !parent_of(path, dir, sizeof dir))
        return gv_fail(err, GV_INVAL, "path too long: %s", path);
    gv_status st = write_new(fs, temp, data, len, err);
    if (st == GV_OK)
        st = fs->rename(fs->ctx, temp, path, err);
    if (st == GV_OK)
        st = fs->sync_dir(fs->ctx, dir, err);
    return st;
}

static bool exists(const plat_fs *fs, const char *path)
{
    int file;
    gv_error err = { 0 };
    if (fs->open(fs->ctx, path, PLAT_READ, &file, &err) == GV_OK) {
        fs->close(fs->ctx, file);
        return true;
    }
    return err.os_errno != ENOENT;
}

gv_status plat_fs_set_aside(const plat_fs *fs, const char *path, char aside[PLAT_PATH_MAX],
                            gv_error *err)
{
    for (int n = 1; n < 100; n++) {
        if (snprintf(aside, PLAT_PATH_MAX, "%s.damaged-%d", path, n) >= PLAT_PATH_MAX)
            return gv_fail(err, GV_INVAL, "path too long: %s", path);
        if (!exists(fs, aside))
            return fs->rename(fs->ctx, path, aside, err);
    }
    return gv_fail(err, GV_FULL, "too many damaged files beside %s: look at them, remove them",
                   path);
}

gv_status plat_fs_load(const plat_fs *fs, const char *path, void *buf, size_t cap, size_t *len,
                       gv_error *err)
{
    int file;
    uint64_t size = 0;
    gv_status st = fs->open(fs->ctx, path, PLAT_READ, &file, err);
    if (st != GV_OK)
        return st;
    st = fs->size(fs->ctx, file, &size, err);
    if (st == GV_OK && size > cap)
        st = gv_fail(err, GV_FULL, "%s is larger than %zu bytes", path, cap);
    if (st == GV_OK)
        st = fs->read_at(fs->ctx, file, 0, buf, (size_t)size, len, err);
    fs->close(fs->ctx, file);
    return st;
}
