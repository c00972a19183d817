#include "tests/doubles/disk_double.h"
#include "tests/doubles/disk_inside.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_BYTES (1u << 30) /* of a file */

/* --- failing ---------------------------------------------------------------------------------- */
enum { LOOKS = 0, CHANGES = 1, TAKES_ROOM = 2, WRITES = 4, SYNCS = 8 };

static gv_status fail(gv_error *err, int e, const char *what, const char *path)
{
    gv_fail_errno(err, e, "cannot %s %s", what, path);
    return e == ENOSPC ? GV_FULL : GV_IO;
}

static int struck_by(const disk_double *disk, int traits)
{
    switch (disk->fault) {
    case DISK_EIO:
        return EIO;
    case DISK_FULL:
        return traits & TAKES_ROOM ? ENOSPC : 0;
    case DISK_READ_ONLY:
        return traits & CHANGES ? EROFS : 0;
    case DISK_SHORT_WRITE:
        return traits & WRITES ? EIO : 0;
    case DISK_SYNC_LOSES:
        return traits & SYNCS ? EIO : 0;
    }
    return 0;
}

/* Every operation begins here: 0, or the errno it has to fail with. *partly: a write does half of its
 * work all the same, a sync makes the file clean. */
static int begin(disk_double *disk, int traits, bool *partly)
{
    unsigned number = ++disk->operations;
    *partly = false;
    if (disk->dead_at && number >= disk->dead_at) {
        *partly = disk->dead_half && number == disk->dead_at && (traits & WRITES) != 0;
        return EIO;
    }
    if (!disk->fail_at || number < disk->fail_at)
        return 0;
    int e = struck_by(disk, traits);
    if (e && disk->fault != DISK_READ_ONLY)
        disk->fail_at = 0;
    *partly = e && (disk->fault == DISK_SHORT_WRITE || disk->fault == DISK_SYNC_LOSES);
    return e;
}

static int begin_whole(disk_double *disk, int traits)
{
    bool partly;
    return begin(disk, traits, &partly);
}

/* --- what is where ---------------------------------------------------------------------------- */
static disk_file *file_of(const disk_double *disk, int number)
{
    for (size_t i = 0; i < disk->in->file_count; i++)
        if (disk->in->files[i].number == number)
            return &disk->in->files[i];
    return NULL;
}

static bool is_dir(const disk_double *disk, const char *path)
{
    const disk_name *name = disk_find(&disk->in->names, path);
    return name && name->node == DISK_DIRECTORY;
}

static disk_node *node_at(const disk_double *disk, const char *path)
{
    const disk_name *name = disk_find(&disk->in->names, path);
    return name && name->node != DISK_DIRECTORY ? &disk->in->nodes[name->node] : NULL;
}

/* The directory that holds path. */
static void parent_of(const char *path, char parent[PLAT_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(parent, PLAT_PATH_MAX, ".");
    else
        snprintf(parent, PLAT_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Whether a name may be put there: 0 or errno. */
static int no_place(const disk_double *disk, const char *path)
{
    char parent[PLAT_PATH_MAX];
    if (strlen(path) >= PLAT_PATH_MAX)
        return ENAMETOOLONG;
    parent_of(path, parent);
    if (is_dir(disk, parent))
        return is_dir(disk, path) ? EISDIR : 0;
    return disk_find(&disk->in->names, parent) ? ENOTDIR : ENOENT;
}

static uint64_t free_blocks(const disk_double *disk)
{
    uint64_t used = 0, all = disk->capacity_bytes / DISK_BLOCK_BYTES;
    for (size_t n = 0; n < disk->in->node_count; n++) {
        const disk_content *c = &disk->in->nodes[n].now;
        bool counts =
            false; /* a removed file gives its room back, though a cut may bring it back */
        for (size_t i = 0; i < disk->in->names.count && !counts; i++)
            counts = disk->in->names.all[i].node == (int)n;
        for (size_t i = 0; i < disk->in->file_count && !counts; i++)
            counts = disk->in->files[i].node == (int)n;
        for (size_t b = 0; counts && b < c->cap / DISK_BLOCK_BYTES; b++)
            used += c->room[b];
    }
    return used < all ? all - used : 0;
}

/* --- files ------------------------------------------------------------------------------------ */
static int add_file(disk_double *disk, int node, bool writable)
{
    disk_inside *in = disk->in;
    disk_file *file = disk_push(&in->files, &in->file_count, &in->file_cap, sizeof *in->files);
    *file = (disk_file){ .number = in->next_file++, .node = node, .writable = writable };
    return file->number;
}

static void resize(disk_double *disk, int node, uint64_t bytes)
{
    disk_content_resize(&disk->in->nodes[node].now, (size_t)bytes);
    disk_log(disk->in, node, DISK_TRUNCATE, (size_t)bytes, NULL, 0);
}

static gv_status do_open(void *ctx, const char *path, plat_open_mode mode, int *file, gv_error *err)
{
    disk_double *disk = ctx;
    bool creates = mode == PLAT_CREATE || mode == PLAT_CREATE_NEW;
    const disk_name *name = disk_find(&disk->in->names, path);
    int e = begin_whole(disk, (mode == PLAT_READ ? LOOKS : CHANGES) |
                                  (creates && !name ? TAKES_ROOM : LOOKS));
    if (!e)
        e = no_place(disk, path);
    if (!e && !name && !creates)
        e = ENOENT;
    if (!e && name && mode == PLAT_CREATE_NEW)
        e = EEXIST;
    if (e)
        return fail(err, e, "open", path);
    int node = name ? name->node : disk_node_new(disk->in);
    if (!name)
        disk_entry_add(disk->in, "", path, node, false);
    else if (mode == PLAT_CREATE)
        resize(disk, node, 0);
    *file = add_file(disk, node, mode != PLAT_READ);
    return GV_OK;
}

static void do_close(void *ctx, int number)
{
    disk_double *disk = ctx;
    disk_inside *in = disk->in;
    disk_file *file = file_of(disk, number);
    if (!file) {
        assert(number > 0 &&
               number < in->first_file); /* otherwise it was closed before, or never open */
        return;
    }
    *file = in->files[--in->file_count];
    disk_nodes_tidy(in);
}

static gv_status do_read_at(void *ctx, int number, uint64_t offset, void *buf, size_t len,
                            size_t *got, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    int e = begin_whole(disk, LOOKS);
    *got = 0;
    if (!e && !file)
        e = EBADF;
    if (e)
        return fail(err, e, "read", "file");
    const disk_node *node = &disk->in->nodes[file->node];
    size_t left = offset < node->now.len ? node->now.len - (size_t)offset : 0;
    if (len > left)
        len = left;
    if (offset < node->bad_to && offset + len > node->bad_from)
        return fail(err, EIO, "read", "file");
    if (len)
        memcpy(buf, node->now.data + offset, len);
    *got = len;
    return GV_OK;
}

/* As much of a write as there is room for. */
static size_t that_fits(const disk_double *disk, const disk_content *c, size_t offset, size_t len)
{
    uint64_t left = free_blocks(disk);
    size_t fits = 0;
    while (fits < len) {
        size_t wanted = disk_content_missing(c, offset + fits, 1);
        if (wanted > left)
            return fits;
        left -= wanted;
        fits += DISK_BLOCK_BYTES - (offset + fits) % DISK_BLOCK_BYTES;
    }
    return len;
}

static gv_status do_write_at(void *ctx, int number, uint64_t offset, const void *buf, size_t len,
                             gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    bool half;
    int e = begin(disk, CHANGES | TAKES_ROOM | WRITES, &half);
    if (!e && (!file || !file->writable))
        e = EBADF;
    if (!e && (offset > LARGEST_BYTES || len > LARGEST_BYTES - offset))
        e = EFBIG;
    if ((e && !half) || !file)
        return fail(err, e, "write", "file");
    disk_content *now = &disk->in->nodes[file->node].now;
    size_t done = that_fits(disk, now, (size_t)offset, half ? len / 2 : len);
    if (done < len && !e)
        e = ENOSPC;
    disk_content_write(now, (size_t)offset, buf, done);
    if (done)
        disk_log(disk->in, file->node, DISK_WRITE, (size_t)offset, buf, done);
    disk->written_bytes += done;
    return e ? fail(err, e, "write", "file") : GV_OK;
}

static gv_status do_size(void *ctx, int number, uint64_t *bytes, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    int e = begin_whole(disk, LOOKS);
    if (!e && !file)
        e = EBADF;
    if (e)
        return fail(err, e, "examine", "file");
    *bytes = disk->in->nodes[file->node].now.len;
    return GV_OK;
}

static gv_status do_truncate(void *ctx, int number, uint64_t bytes, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    int e = begin_whole(disk, CHANGES);
    if (!e && !file)
        e = EBADF;
    if (!e && !file->writable)
        e = EINVAL;
    if (!e && bytes > LARGEST_BYTES)
        e = EFBIG;
    if (e)
        return fail(err, e, "truncate", "file");
    resize(disk, file->node, bytes);
    return GV_OK;
}

static gv_status do_reserve(void *ctx, int number, uint64_t bytes, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    int e = begin_whole(disk, CHANGES | TAKES_ROOM);
    if (!e && (!file || !file->writable))
        e = EBADF;
    if (!e && bytes > LARGEST_BYTES)
        e = EFBIG;
    if (e)
        return fail(err, e, "reserve room for", "file");
    disk_content *now = &disk->in->nodes[file->node].now;
    if (disk_content_missing(now, 0, (size_t)bytes) > free_blocks(disk))
        return fail(err, ENOSPC, "reserve room for", "file");
    disk_content_reserve(now, (size_t)bytes);
    disk_log(disk->in, file->node, DISK_RESERVE, (size_t)bytes, NULL, 0);
    return GV_OK;
}

static gv_status do_sync(void *ctx, int number, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_file *file = file_of(disk, number);
    bool loses;
    int e = begin(disk, SYNCS, &loses);
    if (!e && !file)
        e = EBADF;
    if (loses && file)
        disk_log_clear(&disk->in->nodes[file->node]);
    if (e)
        return fail(err, e, "sync", "file");
    disk_node *node = &disk->in->nodes[file->node];
    for (size_t i = 0; i < node->changes; i++)
        disk_content_apply(&node->medium, &node->log[i]);
    disk_log_clear(node);
    disk->syncs++;
    return GV_OK;
}

/* --- names ------------------------------------------------------------------------------------ */
static gv_status do_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_name *name = disk_find(&disk->in->names, from);
    int e = begin_whole(disk, CHANGES);
    if (!e)
        e = no_place(disk, from);
    if (!e && !name)
        e = ENOENT;
    if (!e)
        e = no_place(disk, to);
    if (e)
        return fail(err, e, "rename", from);
    if (strcmp(from, to) != 0)
        disk_entry_add(disk->in, from, to, name->node, false);
    disk_nodes_tidy(disk->in);
    disk->renames++;
    return GV_OK;
}

static gv_status do_remove(void *ctx, const char *path, gv_error *err)
{
    disk_double *disk = ctx;
    const disk_name *name = disk_find(&disk->in->names, path);
    int e = begin_whole(disk, name ? CHANGES : LOOKS);
    if (!e && name && name->node == DISK_DIRECTORY)
        e = EISDIR;
    if (e)
        return fail(err, e, "remove", path);
    if (name)
        disk_entry_add(disk->in, "", path, name->node, true);
    return GV_OK;
}

/* 0 or errno; what is missing is made. */
static int make_dirs(disk_double *disk, const char *path)
{
    char part[PLAT_PATH_MAX];
    size_t len = strlen(path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (is_dir(disk, part))
            continue;
        if (disk_find(&disk->in->names, part))
            return ENOTDIR;
        disk_set(&disk->in->names, part, DISK_DIRECTORY);
        disk_set(&disk->in->durable, part, DISK_DIRECTORY);
    }
    return 0;
}

static gv_status do_make_dir(void *ctx, const char *path, gv_error *err)
{
    disk_double *disk = ctx;
    int e = begin_whole(disk, is_dir(disk, path) ? LOOKS : CHANGES | TAKES_ROOM);
    if (path[0] == '\0' || strlen(path) >= PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "path is empty or too long: %s", path);
    if (!e)
        e = make_dirs(disk, path);
    return e ? fail(err, e, "make directory", path) : GV_OK;
}

/* 0, or why path is no directory. */
static int no_dir(const disk_double *disk, const char *path)
{
    if (is_dir(disk, path))
        return 0;
    return disk_find(&disk->in->names, path) ? ENOTDIR : ENOENT;
}

static gv_status do_sync_dir(void *ctx, const char *path, gv_error *err)
{
    disk_double *disk = ctx;
    disk_inside *in = disk->in;
    int e = begin_whole(disk, LOOKS);
    if (!e)
        e = no_dir(disk, path);
    if (e)
        return fail(err, e, "sync directory", path);
    for (size_t i = 0; i < in->entry_count; i++)
        if (disk_is_in(in->entries[i].path, path))
            disk_entry_apply(in, i);
    disk_entries_sweep(in);
    disk_nodes_tidy(in);
    disk->dir_syncs++;
    return GV_OK;
}

/* From a copy, because `each` may remove what it is told of. */
static gv_status do_list_dir(void *ctx, const char *path, bool (*each)(void *arg, const char *name),
                             void *arg, gv_error *err)
{
    disk_double *disk = ctx;
    int e = begin_whole(disk, LOOKS);
    if (!e)
        e = no_dir(disk, path);
    if (e)
        return fail(err, e, "list directory", path);
    disk_names names = { 0 };
    disk_names_copy(&names, &disk->in->names);
    for (size_t i = 0; i < names.count; i++) {
        const char *one = names.all[i].path, *slash = strrchr(one, '/');
        const char *name = slash ? slash + 1 : one;
        if (!disk_is_in(one, path) || strcmp(name, "") == 0 || strcmp(name, ".") == 0)
            continue;
        if (!each(arg, name))
            break;
    }
    free(names.all);
    return GV_OK;
}

static gv_status do_free_bytes(void *ctx, const char *path, uint64_t *bytes, gv_error *err)
{
    disk_double *disk = ctx;
    int e = begin_whole(disk, LOOKS);
    if (!e && !disk_find(&disk->in->names, path))
        e = ENOENT;
    if (e)
        return fail(err, e, "ask for the free space at", path);
    *bytes = free_blocks(disk) * DISK_BLOCK_BYTES;
    return GV_OK;
}

static gv_status do_lock(void *ctx, const char *path, int *number, gv_error *err)
{
    disk_double *disk = ctx;
    disk_inside *in = disk->in;
    const disk_name *name = disk_find(&in->names, path);
    int e = begin_whole(disk, CHANGES | (name ? LOOKS : TAKES_ROOM));
    if (!e)
        e = no_place(disk, path);
    if (e)
        return fail(err, e, "open", path);
    for (size_t i = 0; name && i < in->file_count; i++)
        if (in->files[i].node == name->node && in->files[i].locked)
            return gv_fail(err, GV_AGAIN, "%s is locked: stop the other one first", path);
    int node = name ? name->node : disk_node_new(in);
    if (!name)
        disk_entry_add(in, "", path, node, false);
    *number = add_file(disk, node, true);
    file_of(disk, *number)->locked = true;
    return GV_OK;
}

plat_fs disk_double_table(disk_double *disk)
{
    return (plat_fs){ .open = do_open,
                      .close = do_close,
                      .read_at = do_read_at,
                      .write_at = do_write_at,
                      .size = do_size,
                      .truncate = do_truncate,
                      .reserve = do_reserve,
                      .sync = do_sync,
                      .rename = do_rename,
                      .remove = do_remove,
                      .make_dir = do_make_dir,
                      .sync_dir = do_sync_dir,
                      .list_dir = do_list_dir,
                      .free_bytes = do_free_bytes,
                      .lock = do_lock,
                      .ctx = disk };
}

/* --- for tests -------------------------------------------------------------------------------- */
disk_double *disk_double_new(uint64_t capacity_bytes)
{
    disk_double *disk = calloc(1, sizeof *disk);
    assert(disk);
    disk->capacity_bytes = capacity_bytes;
    disk->in = disk_inside_new();
    return disk;
}

disk_double *disk_double_copy(const disk_double *from)
{
    disk_double *disk = malloc(sizeof *disk);
    assert(disk);
    *disk = *from;
    disk->in = disk_inside_copy(from->in);
    return disk;
}

void disk_double_wipe(disk_double *disk)
{
    disk_inside_free(disk->in);
    *disk = (disk_double){ .capacity_bytes = disk->capacity_bytes, .in = disk_inside_new() };
}

void disk_double_free(disk_double *disk)
{
    disk_inside_free(disk->in);
    free(disk);
}

void disk_double_put(disk_double *disk, const char *path, const void *data, size_t len)
{
    disk_inside *in = disk->in;
    char parent[PLAT_PATH_MAX];
    parent_of(path, parent);
    int e = make_dirs(disk, parent);
    const disk_name *name = disk_find(&in->names, path);
    assert(!e && len <= LARGEST_BYTES && (!name || name->node != DISK_DIRECTORY));
    int n = name ? name->node : disk_node_new(in);
    disk_entry_add(in, "", path, n, false);
    disk_entry_apply(in, in->entry_count - 1);
    disk_entries_sweep(in);
    disk_node *node = &in->nodes[n];
    disk_log_clear(node);
    disk_content_resize(&node->now, 0);
    disk_content_write(&node->now, 0, data, len);
    disk_content_set(&node->medium, &node->now);
}

bool disk_double_look(const disk_double *disk, const char *path, gv_span *content)
{
    const disk_node *node = node_at(disk, path);
    if (node)
        *content = gv_span_of(node->now.data, node->now.len);
    return node != NULL;
}

const char *disk_double_name(const disk_double *disk, size_t i)
{
    const disk_names *names = &disk->in->names;
    for (size_t n = 0; n < names->count; n++)
        if (names->all[n].node != DISK_DIRECTORY && i-- == 0)
            return names->all[n].path;
    return NULL;
}

unsigned disk_double_open_files(const disk_double *disk)
{
    return (unsigned)disk->in->file_count;
}

void disk_double_unreadable(disk_double *disk, const char *path, uint64_t offset, uint64_t len)
{
    disk_node *node = node_at(disk, path);
    assert(node);
    node->bad_from = offset;
    node->bad_to = offset + len;
}

void disk_double_flip(disk_double *disk, const char *path, uint64_t offset, uint8_t bits)
{
    disk_node *node = node_at(disk, path);
    assert(node && offset < node->now.len && offset < node->medium.len);
    node->now.data[offset] ^= bits;
    node->medium.data[offset] ^= bits;
}
