#include "platform/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) >= sizeof(uint64_t), "with fewer bits a file ends at 2 GiB");

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
    static const int flags[] = { [PLAT_READ] = O_RDONLY,
                                 [PLAT_WRITE] = O_RDWR,
                                 [PLAT_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
                                 [PLAT_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL };
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

/* For a file system that cannot keep room: FAT, NFS before 4.2. */
static gv_status grow(int file, uint64_t size, uint64_t bytes, gv_error *err)
{
    return bytes > size ? fs_truncate(NULL, file, bytes, err) : GV_OK;
}

static gv_status fs_reserve(void *ctx, int file, uint64_t bytes, gv_error *err)
{
    uint64_t size;
    gv_status st = fs_size(ctx, file, &size, err);
    if (st != GV_OK)
        return st;
    int r;
    do {
        r = fallocate(file, 0, 0, (off_t)bytes);
    } while (r != 0 && errno == EINTR);
    if (r == 0)
        return GV_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
        return grow(file, size, bytes, err);
    st = fail_fd(err, "reserve room for");
    if (bytes > size) /* ext4 keeps what it got before the disk was full: give it back */
        (void)fs_truncate(ctx, file, size, NULL);
    return st;
}

/* EINTR says that waiting ended early, not that a write failed: the dirty pages and their errors are
 * still there for the next call, so that repeating it does prove something. */
static gv_status fs_sync(void *ctx, int file, gv_error *err)
{
    (void)ctx;
    int r;
    do {
        r = fdatasync(file);
    } while (r != 0 && errno == EINTR);
    return r != 0 ? fail_fd(err, "sync") : GV_OK;
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

static gv_status fs_sync_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail(err, "open directory", path);
    int r;
    do {
        r = fsync(dir);
    } while (r != 0 && errno == EINTR);
    int e = errno;
    close(dir);
    errno = e;
    return r != 0 ? fail(err, "sync directory", path) : GV_OK;
}

/* The directory that the first `len` bytes of path name; none of them: where path begins. */
static gv_status sync_part(const char *path, size_t len, gv_error *err)
{
    char part[PLAT_PATH_MAX];
    if (len == 0)
        return fs_sync_dir(NULL, path[0] == '/' ? "/" : ".", err);
    memcpy(part, path, len);
    part[len] = '\0';
    return fs_sync_dir(NULL, part, err);
}

static gv_status fs_make_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx;
    char part[PLAT_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return gv_fail(err, GV_INVAL, "path is empty or too long: %s", path);
    for (size_t parent = 0, i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) == 0) {
            gv_status st = sync_part(path, parent, err);
            if (st != GV_OK)
                return st;
        } else if (errno != EEXIST) {
            return fail(err, "make directory", part);
        }
        parent = i;
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

static gv_status fs_free_bytes(void *ctx, const char *path, uint64_t *bytes, gv_error *err)
{
    (void)ctx;
    struct statvfs st;
    int r;
    do {
        r = statvfs(path, &st);
    } while (r != 0 && errno == EINTR);
    if (r != 0)
        return fail(err, "ask for the free space at", path);
    *bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return GV_OK;
}

/* flock() rather than fcntl(): it holds against a second opening in the same process, too, and is not
 * lost when some other opening of the file is closed. */
static gv_status fs_lock(void *ctx, const char *path, int *file, gv_error *err)
{
    (void)ctx;
    int fd, r;
    do {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return fail(err, "open", path);
    do {
        r = flock(fd, LOCK_EX | LOCK_NB);
    } while (r != 0 && errno == EINTR);
    if (r == 0) {
        *file = fd;
        return GV_OK;
    }
    gv_status st =
        errno == EWOULDBLOCK
            ? gv_fail(err, GV_AGAIN,
                      "%s is locked: another process uses this directory; stop it first", path)
            : fail(err, "lock", path);
    close(fd);
    return st;
}

plat_fs plat_fs_system(void)
{
    return (plat_fs){ .open = fs_open,
                      .close = fs_close,
                      .read_at = fs_read_at,
                      .write_at = fs_write_at,
                      .size = fs_size,
                      .truncate = fs_truncate,
                      .reserve = fs_reserve,
                      .sync = fs_sync,
                      .rename = fs_rename,
                      .remove = fs_remove,
                      .make_dir = fs_make_dir,
                      .sync_dir = fs_sync_dir,
                      .list_dir = fs_list_dir,
                      .free_bytes = fs_free_bytes,
                      .lock = fs_lock };
}
