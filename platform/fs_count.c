#include "platform/fs_count.h"

static const plat_fs *below(void *ctx)
{
    return &((fs_count *)ctx)->below;
}

static gv_status pass_open(void *ctx, const char *path, plat_open_mode mode, int *file,
                           gv_error *err)
{
    return below(ctx)->open(below(ctx)->ctx, path, mode, file, err);
}

static void pass_close(void *ctx, int file)
{
    below(ctx)->close(below(ctx)->ctx, file);
}

static gv_status pass_read_at(void *ctx, int file, uint64_t offset, void *buf, size_t len,
                              size_t *got, gv_error *err)
{
    return below(ctx)->read_at(below(ctx)->ctx, file, offset, buf, len, got, err);
}

static gv_status count_write_at(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                                gv_error *err)
{
    fs_count *count = ctx;
    gv_status st = below(ctx)->write_at(below(ctx)->ctx, file, offset, buf, len, err);
    if (st == GV_OK) {
        count->writes++;
        count->written_bytes += len;
    }
    return st;
}

static gv_status pass_size(void *ctx, int file, uint64_t *bytes, gv_error *err)
{
    return below(ctx)->size(below(ctx)->ctx, file, bytes, err);
}

static gv_status pass_truncate(void *ctx, int file, uint64_t bytes, gv_error *err)
{
    return below(ctx)->truncate(below(ctx)->ctx, file, bytes, err);
}

static gv_status pass_reserve(void *ctx, int file, uint64_t bytes, gv_error *err)
{
    return below(ctx)->reserve(below(ctx)->ctx, file, bytes, err);
}

static gv_status count_sync(void *ctx, int file, gv_error *err)
{
    fs_count *count = ctx;
    gv_status st = below(ctx)->sync(below(ctx)->ctx, file, err);
    count->file_syncs += st == GV_OK;
    return st;
}

static gv_status pass_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    return below(ctx)->rename(below(ctx)->ctx, from, to, err);
}

static gv_status count_remove(void *ctx, const char *path, gv_error *err)
{
    fs_count *count = ctx;
    gv_status st = below(ctx)->remove(below(ctx)->ctx, path, err);
    count->removes += st == GV_OK;
    return st;
}

static gv_status pass_make_dir(void *ctx, const char *path, gv_error *err)
{
    return below(ctx)->make_dir(below(ctx)->ctx, path, err);
}

static gv_status count_sync_dir(void *ctx, const char *path, gv_error *err)
{
    fs_count *count = ctx;
    gv_status st = below(ctx)->sync_dir(below(ctx)->ctx, path, err);
    count->dir_syncs += st == GV_OK;
    return st;
}

static gv_status pass_list_dir(void *ctx, const char *path,
                               bool (*each)(void *arg, const char *name), void *arg, gv_error *err)
{
    return below(ctx)->list_dir(below(ctx)->ctx, path, each, arg, err);
}

static gv_status pass_free_bytes(void *ctx, const char *path, uint64_t *bytes, gv_error *err)
{
    return below(ctx)->free_bytes(below(ctx)->ctx, path, bytes, err);
}

static gv_status pass_lock(void *ctx, const char *path, int *file, gv_error *err)
{
    return below(ctx)->lock(below(ctx)->ctx, path, file, err);
}

plat_fs fs_count_table(fs_count *count, const plat_fs *fs)
{
    *count = (fs_count){ .below = *fs };
    return (plat_fs){ .open = pass_open,
                      .close = pass_close,
                      .read_at = pass_read_at,
                      .write_at = count_write_at,
                      .size = pass_size,
                      .truncate = pass_truncate,
                      .reserve = pass_reserve,
                      .sync = count_sync,
                      .rename = pass_rename,
                      .remove = count_remove,
                      .make_dir = pass_make_dir,
                      .sync_dir = count_sync_dir,
                      .list_dir = pass_list_dir,
                      .free_bytes = pass_free_bytes,
                      .lock = pass_lock,
                      .ctx = count };
}
