#include "platform/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gv_status fail(gv_error *err, const char *what, const char *path)
{
    int e = errno;
    gv_fail_errno(err, e, "cannot %s %s", what, path);
    return e == ENOSPC || e == EDQUOT ? GV_FULL : GV_IO;
}

static gv_status fail_fd(gv_error *err, const char *what)
{
    return fail(err, what, "file");
}

static gv_status fs_open(void *ctx, const char *path, plat_open_mode mode, int *file, gv_error *err)
{
    (void)ctx;
    static const int flags[] = { O_RDONLY, O_RDWR, O_RDWR | O_CREAT | O_TRUNC };
    do {
        *file = open(path, flags[mode] | O_CLOEXEC, 0600);
    } while (*file < 0 && errno == EINTR);
    return *file < 0 ? fail(err, "open", path) : GV_OK;
}

static void fs_close(void *ctx, int file)
{
    (void)ctx;
    close(file);
}

static gv_status fs_read_at(void *ctx, int file, uint64_t offset, void *buf, size_t len,
                            size_t *got, gv_error *err)
{
    (void)ctx;
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(file, (char *)buf + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_fd(err, "read");
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return GV_OK;
}

static gv_status fs_write_at(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                             gv_error *err)
{
    (void)ctx;
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(file, (const char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_fd(err, "write");
        done += (size_t)n;
    }
    return GV_OK;
}

static gv_status fs_size(void *ctx, int file, uint64_t *bytes, gv_error *err)
{
    (void)ctx;
    struct stat st;
    if (fstat(file, &st) != 0)
        return fail_fd(err, "examine");
    *bytes = (uint64_t)st.st_size;
    return GV_OK;
}

static gv_status fs_truncate(void *ctx, int file, uint64_t bytes, gv_error *err)
{
    (void)ctx;
    int r;
    do {
        r = ftruncate(file, (off_t)bytes);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? fail_fd(err, "truncate") : GV_OK;
}

static gv_status fs_sync(void *ctx, int file, gv_error *err)
{
    (void)ctx;
    return fdatasync(file) != 0 ? fail_fd(err, "sync") : GV_OK;
}

static gv_status fs_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    (void)ctx;
    return rename(from, to) != 0 ? fail(err, "rename", from) : GV_OK;
}

static gv_status fs_remove(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    return unlink(path) != 0 && errno != ENOENT ? fail(err, "remove", path) : GV_OK;
}

static gv_status fs_make_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    char part[PLAT_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return gv_fail(err, GV_INVAL, "path is empty or too long: %s", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return fail(err, "make directory", part);
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return fail(err, "examine", path);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return fail(err, "use as a directory", path);
    }
    return GV_OK;
}

static gv_status fs_sync_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail(err, "open directory", path);
    int r = fsync(dir);
    int e = errno;
    close(dir);
    errno = e;
    return r != 0 ? fail(err, "sync directory", path) : GV_OK;
}

static gv_status fs_list_dir(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
                             void *arg, gv_error *err)
{
    (void)ctx;
    DIR *dir = opendir(path);
    if (!dir)
        return fail(err, "list directory", path);
    struct dirent *entry;
    while ((errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!each(arg, entry->d_name)) {
            errno = 0;
            break;
        }
    }
    int e = errno;
    closedir(dir);
    errno = e;
    return e != 0 ? fail(err, "list directory", path) : GV_OK;
}

plat_fs plat_fs_system(void)
{
    return (plat_fs){ fs_open,     fs_close,    fs_read_at, fs_write_at, fs_size,
                      fs_truncate, fs_sync,     fs_rename,  fs_remove,   fs_make_dir,
                      fs_sync_dir, fs_list_dir, NULL };
}
