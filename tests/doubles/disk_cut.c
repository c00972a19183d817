#include "tests/doubles/disk_inside.h"

typedef struct {
    disk_cut cut;
    uint64_t random;
    uint64_t torn_at; /* DISK_TORN: the order of the change that is torn; earlier ones survive */
} cutter;

/* splitmix64 */
static uint64_t roll(cutter *c)
{
    uint64_t z = c->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static size_t below(cutter *c, size_t limit)
{
    return (size_t)(roll(c) % limit);
}

static bool coin(cutter *c)
{
    return roll(c) >> 63;
}

static void apply_in_order(cutter *c, disk_content *medium, const disk_change *change)
{
    if (c->cut == DISK_KEPT || change->order < c->torn_at)
        disk_content_apply(medium, change);
    else if (change->order > c->torn_at)
        return;
    else if (change->kind == DISK_WRITE)
        disk_content_write(medium, change->offset, change->bytes, below(c, change->len + 1));
    else if (coin(c))
        disk_content_apply(medium, change);
}

/* A block that was being written when the power went. The card writes whole blocks: what else is in
 * it is no safer. */
static void trash(cutter *c, disk_content *medium, const disk_change *change, size_t at, size_t len)
{
    uint8_t noise[DISK_BLOCK_BYTES];
    size_t kind = below(c, 3);
    if (kind == 0)
        disk_content_write(medium, at, change->bytes + (at - change->offset), below(c, len));
    if (kind != 1)
        return;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)roll(c);
    disk_content_write(medium, at - at % DISK_BLOCK_BYTES, noise, sizeof noise);
}

static void scatter_write(cutter *c, disk_content *medium, const disk_change *change)
{
    size_t end = change->offset + change->len, len;
    for (size_t at = change->offset; at < end; at += len) {
        len = DISK_BLOCK_BYTES - at % DISK_BLOCK_BYTES;
        if (len > end - at)
            len = end - at;
        if (coin(c))
            disk_content_write(medium, at, change->bytes + (at - change->offset), len);
        else if (c->cut == DISK_TRASHED)
            trash(c, medium, change, at, len);
    }
}

/* Blocks and sizes go their own ways: the size may be there without the bytes (they read as zeros), or
 * the bytes without the size (they are cut off). */
static void scatter(cutter *c, disk_node *node)
{
    disk_content *medium = &node->medium;
    size_t size = medium->len;
    for (size_t i = 0; i < node->changes; i++) {
        const disk_change *change = &node->log[i];
        size_t end = change->offset + change->len;
        if (change->kind == DISK_WRITE)
            scatter_write(c, medium, change);
        if (!coin(c))
            continue;
        if (change->kind != DISK_WRITE)
            disk_content_apply(medium, change);
        if (change->kind == DISK_TRUNCATE || end > size)
            size = end;
    }
    disk_content_resize(medium, size);
}

static void resolve(cutter *c, disk_node *node)
{
    if (c->cut == DISK_REORDERED || c->cut == DISK_TRASHED)
        scatter(c, node);
    for (size_t i = 0; i < node->changes && (c->cut == DISK_KEPT || c->cut == DISK_TORN); i++)
        apply_in_order(c, &node->medium, &node->log[i]);
    disk_log_clear(node);
    disk_content_set(&node->now, &node->medium);
}

/* One of the changes that are not durable yet, by its order. */
static uint64_t any_change(cutter *c, const disk_inside *in)
{
    size_t pending = 0;
    for (size_t n = 0; n < in->node_count; n++)
        pending += in->nodes[n].changes;
    if (!pending)
        return 0;
    size_t which = below(c, pending);
    for (size_t n = 0;; which -= in->nodes[n++].changes)
        if (which < in->nodes[n].changes)
            return in->nodes[n].log[which].order;
}

static void resolve_names(cutter *c, disk_inside *in)
{
    size_t prefix = below(c, in->entry_count + 1);
    for (size_t i = 0; i < in->entry_count; i++)
        if (c->cut == DISK_KEPT || (c->cut == DISK_TORN && i < prefix) ||
            (c->cut >= DISK_REORDERED && coin(c)))
            disk_entry_apply(in, i);
    in->entry_count = 0;
    disk_names_copy(&in->names, &in->durable);
}

void disk_double_cut(disk_double *disk, disk_cut cut, uint64_t seed)
{
    disk_inside *in = disk->in;
    cutter c = { .cut = cut, .random = seed };
    c.torn_at = any_change(&c, in);
    for (size_t n = 0; n < in->node_count; n++)
        resolve(&c, &in->nodes[n]);
    resolve_names(&c, in);
    in->file_count = 0;
    in->first_file = in->next_file;
    disk_nodes_tidy(in);
    disk->fail_at = disk->dead_at = 0;
}
