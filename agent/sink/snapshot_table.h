/* snapshot_table.h - the snapshots a sink has at hand, by their text form.
 *
 * Memory: fixed at open. When it is full, entries without a wish give way; the store knows them.
 */
#ifndef GAVEL_SINK_SNAPSHOT_TABLE_H
#define GAVEL_SINK_SNAPSHOT_TABLE_H

#include "agent/codec/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SNAPSHOT_WANTED = 1,  /* to be looked at in the next round */
    SNAPSHOT_DUE = 2,     /* to be looked at in this round */
    SNAPSHOT_CHANGED = 4, /* records were added since the last verdict */
    SNAPSHOT_FORCED = 8,  /* wanted, and a verdict is needed in any case */
    SNAPSHOT_NEEDED = 16  /* the same in this round */
};

typedef struct snapshot_entry {
    char id[SNAPSHOT_TEXT_MAX];
    uint64_t opened_ms; /* when the store was asked about it */
    unsigned flags;
    bool used;
    int32_t next; /* in its bucket, or in the free list; -1 at the end */
} snapshot_entry;

typedef struct {
    snapshot_entry *entries;
    int32_t *buckets;
    size_t capacity;
    int32_t free;
    size_t used;
} snapshot_table;

bool snapshot_table_open(snapshot_table *t, size_t capacity); /* false: no memory */
void snapshot_table_close(snapshot_table *t);

snapshot_entry *snapshot_table_find(const snapshot_table *t, const char *id);
/* Finds or makes it; NULL when the table is full of entries with wishes. */
snapshot_entry *snapshot_table_add(snapshot_table *t, const char *id);
void snapshot_table_remove(snapshot_table *t, snapshot_entry *e);
/* Any entry that has one of the flags; NULL for none. */
snapshot_entry *snapshot_table_with(const snapshot_table *t, unsigned flags);

#endif
