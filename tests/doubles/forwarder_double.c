#include "tests/doubles/forwarder_double.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 256

struct forwarder {
    forwarder_done *done;
    void *ctx;
    batch *held[HELD_MAX];
    size_t held_count;
    forwarded *records;
    size_t count, cap;
};

forwarder *forwarder_double_open(forwarder_done *done, void *ctx)
{
    forwarder *f = calloc(1, sizeof *f);
    assert(f);
    f->done = done;
    f->ctx = ctx;
    return f;
}

void forwarder_double_forget(forwarder *f)
{
    for (size_t i = 0; i < f->count; i++)
        free((void *)(uintptr_t)f->records[i].body.data);
    f->count = 0;
}

void forwarder_double_close(forwarder *f)
{
    if (!f)
        return;
    forwarder_double_forget(f);
    free(f->records);
    free(f);
}

static void keep(forwarder *f, const batch *b, const batch_entry *e)
{
    static const uint8_t free_prefix[BATCH_PREFIX_BYTES];
    size_t len = e->framed_len - BATCH_PREFIX_BYTES;
    uint8_t *copy = malloc(len ? len : 1);
    if (f->count == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 256;
        f->records = realloc(f->records, f->cap * sizeof *f->records);
    }
    assert(f->records && copy && !e->acked);
    assert(memcmp(e->framed, free_prefix, sizeof free_prefix) == 0);
    memcpy(copy, e->framed + BATCH_PREFIX_BYTES, len);
    f->records[f->count++] =
        (forwarded){ b->kind, b->snapshot, b->fingerprint, e->key, gv_span_of(copy, len) };
}

void forwarder_submit(forwarder *f, batch *b)
{
    size_t offset = 0;
    uint32_t entries = 0;
    batch_entry entry;
    for (size_t i = 0; i < f->held_count; i++)
        assert(f->held[i] != b);
    while (batch_next(b, &offset, &entry)) {
        keep(f, b, &entry);
        entries++;
    }
    assert(entries > 0 && entries == b->records && b->acked == 0 && b->in_flight == 0);
    assert(f->held_count < HELD_MAX);
    f->held[f->held_count++] = b;
}

size_t forwarder_double_held(const forwarder *f)
{
    return f->held_count;
}

const batch *forwarder_double_batch(const forwarder *f, size_t index)
{
    assert(index < f->held_count);
    return f->held[index];
}

void forwarder_double_release(forwarder *f, size_t index, uint32_t refused)
{
    assert(index < f->held_count);
    batch *b = f->held[index];
    f->held[index] = f->held[--f->held_count];
    memset(b->bytes.data, 0xEE, b->bytes.cap);
    f->done(f->ctx, b, refused);
}

size_t forwarder_double_count(const forwarder *f)
{
    return f->count;
}

const forwarded *forwarder_double_record(const forwarder *f, size_t index)
{
    assert(index < f->count);
    return &f->records[index];
}
