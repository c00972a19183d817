#include "agent/codec/batch.h"

#include <assert.h>

#define ACKED_BIT 0x80000000u

void batch_start(batch *b, batch_kind kind, const snapshot_id *snapshot, uint64_t fingerprint)
{
    b->bytes.len = 0;
    b->kind = kind;
    b->snapshot = *snapshot;
    b->fingerprint = fingerprint;
    b->records = b->acked = b->in_flight = b->refused = 0;
    b->spool_seq = 0;
    b->next = NULL;
}

bool batch_append(batch *b, uint64_t key, gv_span body)
{
    size_t room = b->bytes.cap - b->bytes.len;

    if (room < BATCH_ENTRY_OVERHEAD || body.len > room - BATCH_ENTRY_OVERHEAD ||
        body.len >= ACKED_BIT)
        return false;

    uint8_t *entry = b->bytes.data + b->bytes.len;
    gv_put_le32(entry, (uint32_t)body.len);
    gv_put_le64(entry + 4, key);
    memset(entry + 12, 0, BATCH_PREFIX_BYTES);
    if (body.len != 0)
        memcpy(entry + BATCH_ENTRY_OVERHEAD, body.data, body.len);
    b->bytes.len += BATCH_ENTRY_OVERHEAD + body.len;
    b->records++;
    return true;
}

bool batch_next(const batch *b, size_t *offset, batch_entry *entry)
{
    assert(*offset <= b->bytes.len);
    if (*offset == b->bytes.len)
        return false;

    uint8_t *at = b->bytes.data + *offset;
    uint32_t head = gv_get_le32(at);
    size_t body_len = head & ~ACKED_BIT;
    entry->key = gv_get_le64(at + 4);
    entry->acked = (head & ACKED_BIT) != 0;
    entry->framed = at + 12;
    entry->framed_len = BATCH_PREFIX_BYTES + body_len;
    entry->offset = *offset;
    *offset += BATCH_ENTRY_OVERHEAD + body_len;
    return true;
}

gv_status batch_check(gv_span payload, uint32_t *records, gv_error *err)
{
    size_t at = 0;

    for (*records = 0; at < payload.len; ++*records) {
        size_t left = payload.len - at;
        if (left < BATCH_ENTRY_OVERHEAD)
            return gv_fail(err, GV_CORRUPT, "batch: it ends within the entry at byte %zu", at);
        uint32_t head = gv_get_le32(payload.data + at);
        if (head & ACKED_BIT)
            return gv_fail(err, GV_CORRUPT, "batch: the entry at byte %zu is marked acknowledged",
                           at);
        if (head > left - BATCH_ENTRY_OVERHEAD)
            return gv_fail(err, GV_CORRUPT,
                           "batch: the entry at byte %zu says %u bytes, but %zu are left", at,
                           (unsigned)head, left - BATCH_ENTRY_OVERHEAD);
        at += BATCH_ENTRY_OVERHEAD + head;
    }
    return GV_OK;
}

void batch_mark_acked(batch *b, size_t offset)
{
    assert(offset < b->bytes.len);
    uint8_t *at = b->bytes.data + offset;
    uint32_t head = gv_get_le32(at);

    if ((head & ACKED_BIT) == 0) {
        gv_put_le32(at, head | ACKED_BIT);
        b->acked++;
    }
}

void batch_drop_acked(batch *b)
{
    size_t offset = 0, kept = 0;
    batch_entry entry;

    assert(b->in_flight == 0);
    while (batch_next(b, &offset, &entry)) {
        if (entry.acked)
            continue;
        memset(entry.framed, 0, BATCH_PREFIX_BYTES);
        if (kept != entry.offset)
            memmove(b->bytes.data + kept, b->bytes.data + entry.offset, offset - entry.offset);
        kept += offset - entry.offset;
    }
    b->bytes.len = kept;
    b->records -= b->acked;
    b->acked = 0;
}
