#include "tests/doubles/disk_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *sure(void *memory)
{
    if (!memory) {
        fputs("disk_double: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *disk_push(void *array, size_t *count, size_t *cap, size_t item_bytes)
{
    void **items = array;
    if (*count == *cap) {
        *cap = *cap ? 2 * *cap : 8;
        *items = sure(realloc(*items, *cap * item_bytes));
    }
    void *item = (char *)*items + item_bytes * (*count)++;
    memset(item, 0, item_bytes);
    return item;
}

/* A copy that push may go on with: exactly full. */
static void *copy_of(const void *items, size_t count, size_t item_bytes)
{
    if (!count)
        return NULL;
    return memcpy(sure(malloc(count * item_bytes)), items, count * item_bytes);
}

/* --- content ---------------------------------------------------------------------------------- */
static void make_cap(disk_content *c, size_t len)
{
    if (len <= c->cap)
        return;
    size_t cap = c->cap ? c->cap : DISK_BLOCK_BYTES;
    while (cap < len)
        cap *= 2;
    c->data = sure(realloc(c->data, cap));
    memset(c->data + c->cap, 0, cap - c->cap);
    size_t blocks = cap / DISK_BLOCK_BYTES, had = c->cap / DISK_BLOCK_BYTES;
    c->room = sure(realloc(c->room, blocks));
    memset(c->room + had, 0, blocks - had);
    c->cap = cap;
}

static void take_room(disk_content *c, size_t from, size_t to)
{
    for (size_t b = from / DISK_BLOCK_BYTES; b * DISK_BLOCK_BYTES < to; b++)
        c->room[b] = 1;
}

void disk_content_write(disk_content *c, size_t offset, const void *bytes, size_t len)
{
    if (!len)
        return;
    make_cap(c, offset + len);
    memcpy(c->data + offset, bytes, len);
    take_room(c, offset, offset + len);
    if (c->len < offset + len)
        c->len = offset + len;
}

void disk_content_resize(disk_content *c, size_t len)
{
    make_cap(c, len);
    if (len < c->len)
        memset(c->data + len, 0, c->len - len);
    for (size_t b = (len + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES; b < c->cap / DISK_BLOCK_BYTES;
         b++)
        c->room[b] = 0;
    c->len = len;
}

void disk_content_reserve(disk_content *c, size_t len)
{
    make_cap(c, len);
    take_room(c, 0, len);
    if (c->len < len)
        c->len = len;
}

void disk_content_set(disk_content *c, const disk_content *from)
{
    disk_content_resize(c, 0);
    make_cap(c, from->len);
    if (from->len)
        memcpy(c->data, from->data, from->len);
    size_t blocks = (from->len + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
    if (blocks)
        memcpy(c->room, from->room, blocks);
    c->len = from->len;
}

size_t disk_content_missing(const disk_content *c, size_t offset, size_t len)
{
    size_t missing = 0, blocks = c->cap / DISK_BLOCK_BYTES;
    for (size_t b = offset / DISK_BLOCK_BYTES; len && b * DISK_BLOCK_BYTES < offset + len; b++)
        missing += b >= blocks || !c->room[b];
    return missing;
}

void disk_content_apply(disk_content *c, const disk_change *change)
{
    if (change->kind == DISK_WRITE)
        disk_content_write(c, change->offset, change->bytes, change->len);
    else if (change->kind == DISK_TRUNCATE)
        disk_content_resize(c, change->offset);
    else
        disk_content_reserve(c, change->offset);
}

static void content_free(disk_content *c)
{
    free(c->data);
    free(c->room);
    *c = (disk_content){ 0 };
}

/* --- nodes ------------------------------------------------------------------------------------ */
void disk_log(disk_inside *in, int n, disk_change_kind kind, size_t offset, const void *bytes,
              size_t len)
{
    disk_node *node = &in->nodes[n];
    disk_change *change = disk_push(&node->log, &node->changes, &node->log_cap, sizeof *change);
    *change = (disk_change){ .kind = kind, .order = in->order++, .offset = offset, .len = len };
    change->bytes = copy_of(bytes, len, 1);
}

void disk_log_clear(disk_node *node)
{
    for (size_t i = 0; i < node->changes; i++)
        free(node->log[i].bytes);
    node->changes = 0;
}

int disk_node_new(disk_inside *in)
{
    size_t n = 0;
    while (n < in->node_count && in->nodes[n].used)
        n++;
    if (n == in->node_count)
        disk_push(&in->nodes, &in->node_count, &in->node_cap, sizeof *in->nodes);
    in->nodes[n].used = true;
    return (int)n;
}

static void node_free(disk_node *node)
{
    disk_log_clear(node);
    free(node->log);
    content_free(&node->now);
    content_free(&node->medium);
    *node = (disk_node){ 0 };
}

static bool is_named(const disk_names *names, int node)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->all[i].node == node)
            return true;
    return false;
}

void disk_nodes_tidy(disk_inside *in)
{
    for (int n = 0; n < (int)in->node_count; n++) {
        bool needed = is_named(&in->names, n) || is_named(&in->durable, n);
        for (size_t i = 0; i < in->entry_count && !needed; i++)
            needed = in->entries[i].node == n;
        for (size_t i = 0; i < in->file_count && !needed; i++)
            needed = in->files[i].node == n;
        if (in->nodes[n].used && !needed)
            node_free(&in->nodes[n]);
    }
}

/* --- names ------------------------------------------------------------------------------------ */
disk_name *disk_find(const disk_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->all[i].path, path) == 0)
            return &names->all[i];
    return NULL;
}

static void drop(disk_names *names, disk_name *name)
{
    *name = names->all[--names->count];
}

void disk_set(disk_names *names, const char *path, int node)
{
    for (size_t i = 0; node != DISK_DIRECTORY && i < names->count; i++)
        if (names->all[i].node == node)
            drop(names, &names->all[i]); /* it has one name */
    disk_name *name = disk_find(names, path);
    if (!name) {
        name = disk_push(&names->all, &names->count, &names->cap, sizeof *name);
        snprintf(name->path, sizeof name->path, "%s", path);
    }
    name->node = node;
}

void disk_names_copy(disk_names *to, const disk_names *from)
{
    free(to->all);
    *to = (disk_names){ copy_of(from->all, from->count, sizeof *from->all), from->count,
                        from->count };
}

bool disk_is_in(const char *path, const char *dir)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strcmp(dir, ".") == 0;
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    return strlen(dir) == len && memcmp(path, dir, len) == 0;
}

void disk_entry_add(disk_inside *in, const char *from, const char *path, int node, bool removed)
{
    disk_entry *entry =
        disk_push(&in->entries, &in->entry_count, &in->entry_cap, sizeof *in->entries);
    snprintf(entry->path, sizeof entry->path, "%s", path);
    snprintf(entry->from, sizeof entry->from, "%s", from);
    entry->node = node;
    entry->removed = removed;
    disk_name *name = disk_find(&in->names, path);
    if (removed && name)
        drop(&in->names, name);
    else
        disk_set(&in->names, path, node);
}

void disk_entry_apply(disk_inside *in, size_t i)
{
    disk_entry *entry = &in->entries[i];
    if (entry->done)
        return;
    /* What was renamed away from this name would have none; what this file was called before would
     * come back when an earlier entry is made durable later. */
    for (size_t k = 0; k < i; k++)
        if (strcmp(in->entries[k].from, entry->path) == 0 || in->entries[k].node == entry->node)
            disk_entry_apply(in, k);
    disk_name *name = disk_find(&in->durable, entry->path);
    if (!entry->removed)
        disk_set(&in->durable, entry->path, entry->node);
    else if (name)
        drop(&in->durable, name);
    entry->done = true;
}

void disk_entries_sweep(disk_inside *in)
{
    size_t kept = 0;
    for (size_t i = 0; i < in->entry_count; i++)
        if (!in->entries[i].done)
            in->entries[kept++] = in->entries[i];
    in->entry_count = kept;
}

/* --- the whole -------------------------------------------------------------------------------- */
disk_inside *disk_inside_new(void)
{
    disk_inside *in = sure(calloc(1, sizeof *in));
    in->next_file = in->first_file = 1;
    disk_set(&in->names, ".", DISK_DIRECTORY);
    disk_set(&in->names, "/", DISK_DIRECTORY);
    disk_names_copy(&in->durable, &in->names);
    return in;
}

static void node_copy(disk_node *to, const disk_node *from)
{
    *to = (disk_node){ .used = from->used, .bad_from = from->bad_from, .bad_to = from->bad_to };
    disk_content_set(&to->now, &from->now);
    disk_content_set(&to->medium, &from->medium);
    to->log = copy_of(from->log, from->changes, sizeof *from->log);
    to->changes = to->log_cap = from->changes;
    for (size_t i = 0; i < to->changes; i++)
        to->log[i].bytes = copy_of(from->log[i].bytes, from->log[i].len, 1);
}

disk_inside *disk_inside_copy(const disk_inside *from)
{
    disk_inside *in = copy_of(from, 1, sizeof *from);
    in->names = in->durable = (disk_names){ 0 };
    disk_names_copy(&in->names, &from->names);
    disk_names_copy(&in->durable, &from->durable);
    in->nodes = copy_of(from->nodes, from->node_count, sizeof *from->nodes);
    in->entries = copy_of(from->entries, from->entry_count, sizeof *from->entries);
    in->files = copy_of(from->files, from->file_count, sizeof *from->files);
    in->node_cap = in->node_count;
    in->entry_cap = in->entry_count;
    in->file_cap = in->file_count;
    for (size_t n = 0; n < in->node_count; n++)
        node_copy(&in->nodes[n], &from->nodes[n]);
    return in;
}

void disk_inside_free(disk_inside *in)
{
    for (size_t n = 0; n < in->node_count; n++)
        node_free(&in->nodes[n]);
    free(in->nodes);
    free(in->names.all);
    free(in->durable.all);
    free(in->entries);
    free(in->files);
    free(in);
}
