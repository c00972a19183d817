#include "board/sysfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool sysfs_text(const plat_fs *fs, const char *path, char *text, size_t cap)
{
    int file;
    size_t got = 0;
    gv_error err = { 0, "" };
    if (fs->open(fs->ctx, path, PLAT_READ, &file, &err) != GV_OK)
        return false;
    gv_status st = fs->read_at(fs->ctx, file, 0, text, cap - 1, &got, &err);
    fs->close(fs->ctx, file);
    if (st != GV_OK)
        return false;
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

bool sysfs_number(const plat_fs *fs, const char *path, int base, long *value)
{
    char text[32], *end;
    if (!sysfs_text(fs, path, text, sizeof text))
        return false;
    errno = 0;
    *value = strtol(text, &end, base);
    return errno == 0 && end != text && *end == '\0';
}

gv_status sysfs_write(const plat_fs *fs, const char *path, const char *text, gv_error *err)
{
    int file;
    gv_status st = fs->open(fs->ctx, path, PLAT_WRITE, &file, err);
    if (st != GV_OK)
        return st;
    st = fs->write_at(fs->ctx, file, 0, text, strlen(text), err);
    fs->close(fs->ctx, file);
    return st;
}
