#include "tests/doubles/forwarder_double.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HELD_MAX 256

struct forwarder {
    forwarder_done *done;
    void *ctx;
    const plat_clock *clock;
    batch *held[HELD_MAX];
    size_t held_count;
    forwarded *records;
    size_t count, cap;
    forwarder_status status;
    unsigned recalls;
    bool recalled; /* and nothing was done since */
};

forwarder *forwarder_double_open(forwarder_done *done, void *ctx)
{
    forwarder *f = calloc(1, sizeof *f);
    assert(f);
    f->done = done;
    f->ctx = ctx;
    f->status.up = true;
    return f;
}

void forwarder_double_clock(forwarder *f, const plat_clock *clock)
{
    f->clock = clock;
}

static void free_body(const forwarded *r)
{
    free((void *)(uintptr_t)r->body.data);
}

void forwarder_double_forget(forwarder *f)
{
    for (size_t i = 0; i < f->count; i++)
        free_body(&f->records[i]);
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

static void progress(forwarder *f)
{
    if (f->clock)
        f->status.last_progress_ms = plat_mono_ms(f->clock);
    f->recalled = false;
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
        (forwarded){ b->kind, b->snapshot, b->fingerprint, e->key, gv_span_of(copy, len),
                     b,       e->offset };
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
    if (f->held_count == 0)
        progress(f);
    f->held[f->held_count++] = b;
    f->status.batches_waiting++;
    f->recalled = false;
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

void forwarder_double_acknowledge(forwarder *f, size_t index, uint32_t entries)
{
    assert(index < f->held_count);
    batch *b = f->held[index];
    size_t offset = 0;
    batch_entry entry;
    while (entries > 0 && batch_next(b, &offset, &entry))
        if (!entry.acked) {
            batch_mark_acked(b, entry.offset);
            f->status.records_acked++;
            entries--;
        }
    assert(entries == 0);
    progress(f);
}

static batch *take_out(forwarder *f, size_t index)
{
    batch *b = f->held[index];
    f->held_count--;
    memmove(&f->held[index], &f->held[index + 1], (f->held_count - index) * sizeof f->held[0]);
    f->status.batches_waiting--;
    return b;
}

void forwarder_double_release(forwarder *f, size_t index, uint32_t refused)
{
    assert(index < f->held_count);
    batch *b = take_out(f, index);
    f->status.records_acked += b->records - b->acked - refused;
    f->status.records_refused += refused;
    progress(f);
    for (size_t i = 0; i < f->count; i++)
        if (f->records[i].in == b)
            f->records[i].in = NULL;
    memset(b->bytes.data, 0xEE, b->bytes.cap);
    f->done(f->ctx, b, b->refused + refused);
}

void forwarder_recall(forwarder *f)
{
    f->recalls++;
    f->recalled = true;
}

/* What the broker has not acknowledged of it was never handed over. */
static void unkeep(forwarder *f, const batch *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        forwarded *r = &f->records[i];
        if (r->in == b && !(gv_get_le32(b->bytes.data + r->offset) >> 31)) {
            free_body(r);
            continue;
        }
        if (r->in == b)
            r->in = NULL;
        f->records[kept++] = *r;
    }
    f->count = kept;
}

batch *forwarder_withdraw(forwarder *f, bool (*is_wanted)(void *ctx, const batch *b), void *ctx)
{
    batch *out = NULL, **next = &out;
    assert(f->recalled);
    for (size_t i = 0; i < f->held_count;) {
        if (f->held[i]->acked == f->held[i]->records || !is_wanted(ctx, f->held[i])) {
            i++;
            continue;
        }
        *next = take_out(f, i);
        unkeep(f, *next);
        next = &(*next)->next;
    }
    *next = NULL;
    return out;
}

const forwarder_status *forwarder_state(const forwarder *f)
{
    return &f->status;
}

forwarder_status *forwarder_double_status(forwarder *f)
{
    return &f->status;
}

unsigned forwarder_double_recalls(const forwarder *f)
{
    return f->recalls;
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
