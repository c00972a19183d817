/* disk_inside.h - what a disk_double is made of: files twice (as read, as on the medium) with what lies
 * between, and names likewise. For disk_*.c alone.
 */
#ifndef GAVEL_TESTS_DISK_INSIDE_H
#define GAVEL_TESTS_DISK_INSIDE_H

#include "tests/doubles/disk_double.h"

#define DISK_DIRECTORY (-1) /* instead of a node */

/* Bytes from len on are zeros. room: for each block, whether the disk keeps it for this file. */
typedef struct {
    uint8_t *data, *room;
    size_t len, cap;
} disk_content;

typedef enum { DISK_WRITE, DISK_TRUNCATE, DISK_RESERVE } disk_change_kind;

typedef struct {
    disk_change_kind kind;
    uint64_t order; /* among the changes of all files */
    size_t offset;  /* of a write; otherwise the new length */
    size_t len;
    uint8_t *bytes;
} disk_change;

typedef struct {
    bool used;
    disk_content now, medium;
    disk_change *log; /* changes since the last sync, in order */
    size_t changes, log_cap;
    uint64_t bad_from, bad_to; /* unreadable */
} disk_node;

typedef struct {
    char path[PLAT_PATH_MAX];
    int node;
} disk_name;

typedef struct {
    disk_name *all;
    size_t count, cap;
} disk_names;

/* An operation on names that is not durable: path becomes the node's only name, or goes. */
typedef struct {
    char path[PLAT_PATH_MAX], from[PLAT_PATH_MAX]; /* from: "" unless renamed */
    int node;
    bool removed;
    bool done; /* while a part of the list is being made durable */
} disk_entry;

typedef struct {
    int number, node;
    bool writable, locked;
} disk_file;

typedef struct disk_inside {
    disk_node *nodes;
    size_t node_count, node_cap;
    disk_names names, durable;
    disk_entry *entries;
    size_t entry_count, entry_cap;
    disk_file *files;
    size_t file_count, file_cap;
    int next_file, first_file; /* smaller numbers are from before the last cut */
    uint64_t order;
} disk_inside;

/* Room for one more item at the end of an array; its address. */
void *disk_push(void *array, size_t *count, size_t *cap, size_t item_bytes);

void disk_content_write(disk_content *c, size_t offset, const void *bytes, size_t len);
void disk_content_resize(disk_content *c, size_t len);
void disk_content_reserve(disk_content *c, size_t len);
void disk_content_set(disk_content *c, const disk_content *from);
/* Blocks of [offset, offset + len) that the disk does not keep for it yet. */
size_t disk_content_missing(const disk_content *c, size_t offset, size_t len);

void disk_content_apply(disk_content *c, const disk_change *change);
void disk_log(disk_inside *in, int node, disk_change_kind kind, size_t offset, const void *bytes,
              size_t len);
void disk_log_clear(disk_node *node);
int disk_node_new(disk_inside *in);
void disk_nodes_tidy(disk_inside *in); /* frees what nothing leads to */

disk_name *disk_find(const disk_names *names, const char *path);
void disk_set(disk_names *names, const char *path, int node);
void disk_names_copy(disk_names *to, const disk_names *from);
bool disk_is_in(const char *path, const char *dir);
void disk_entry_add(disk_inside *in, const char *from, const char *path, int node, bool removed);
/* Makes the i-th durable, and before it those earlier ones without which a file would be lost or twice. */
void disk_entry_apply(disk_inside *in, size_t i);
void disk_entries_sweep(disk_inside *in); /* forgets those that are done */

disk_inside *disk_inside_new(void);
disk_inside *disk_inside_copy(const disk_inside *in);
void disk_inside_free(disk_inside *in);

#endif
