#include "agent/sink/snapshot_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t *bucket_of(const snapshot_table *t, const char *id)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *id; id++) {
        h = (h ^ (uint8_t)*id) * UINT64_C(1099511628211);
    }
    return &t->buckets[(h ^ h >> 32) % t->capacity];
}

bool snapshot_table_open(snapshot_table *t, size_t capacity)
{
    memset(t, 0, sizeof *t);
    t->entries = calloc(capacity, sizeof *t->entries);
    t->buckets = malloc(capacity * sizeof *t->buckets);
    if (!t->entries || !t->buckets) {
        snapshot_table_close(t);
        return false;
    }
    t->capacity = capacity;
    for (size_t i = 0; i < capacity; i++) {
        t->buckets[i] = -1;
        t->entries[i].next = i + 1 < capacity ? (int32_t)(i + 1) : -1;
    }
    return true;
}

void snapshot_table_close(snapshot_table *t)
{
    free(t->entries);
    free(t->buckets);
    memset(t, 0, sizeof *t);
}

snapshot_entry *snapshot_table_find(const snapshot_table *t, const char *id)
{
    for (int32_t i = *bucket_of(t, id); i >= 0; i = t->entries[i].next) {
        if (strcmp(t->entries[i].id, id) == 0) {
            return &t->entries[i];
        }
    }
    return NULL;
}

void snapshot_table_remove(snapshot_table *t, snapshot_entry *e)
{
    int32_t index = (int32_t)(e - t->entries);
    int32_t *link = bucket_of(t, e->id);

    while (*link != index) {
        link = &t->entries[*link].next;
    }
    *link = e->next;
    e->used = false;
    e->flags = 0;
    e->next = t->free;
    t->free = index;
    t->used--;
}

snapshot_entry *snapshot_table_add(snapshot_table *t, const char *id)
{
    snapshot_entry *e = snapshot_table_find(t, id);

    if (e) {
        return e;
    }
    if (t->free < 0) {
        for (size_t i = 0; i < t->capacity; i++) {
            if (t->entries[i].used && t->entries[i].flags == 0) {
                snapshot_table_remove(t, &t->entries[i]);
            }
        }
    }
    if (t->free < 0) {
        return NULL;
    }
    int32_t index = t->free;
    int32_t *bucket = bucket_of(t, id);
    e = &t->entries[index];
    t->free = e->next;
    snprintf(e->id, sizeof e->id, "%s", id);
    e->opened_ms = 0;
    e->flags = 0;
    e->used = true;
    e->next = *bucket;
    *bucket = index;
    t->used++;
    return e;
}

snapshot_entry *snapshot_table_with(const snapshot_table *t, unsigned flags)
{
    for (size_t i = 0; t->used != 0 && i < t->capacity; i++) {
        if (t->entries[i].used && t->entries[i].flags & flags) {
            return &t->entries[i];
        }
    }
    return NULL;
}
