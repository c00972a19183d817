#include "spool/segment.h"

#include <lz4.h>

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
}

size_t segment_io_bytes(size_t payload_bytes)
{
    return (size_t)align_up(SPOOL_HEADER_BYTES + payload_bytes);
}

/* Reads up to len bytes at offset, not beyond the end. */
static gv_status read_some(segment_walk *w, uint64_t offset, size_t len, gv_error *err)
{
    uint64_t left = offset < w->end ? w->end - offset : 0;

    if (len > left)
        len = (size_t)left;
    return w->fs->read_at(w->fs->ctx, w->file, offset, w->io.data, len, &w->io.len, err);
}

static bool is_zero(gv_span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.data[i] != 0)
            return false;
    return true;
}

/* A header that may stand at `offset`: its sequence is in order and its batch ends within the file. */
static spool_header_verdict look(const segment_walk *w, gv_span bytes, uint64_t offset,
                                 spool_header *header)
{
    spool_header_verdict verdict = spool_header_get(bytes, header);

    if (verdict == SPOOL_HEADER_NONE || header->seq < w->expect)
        return SPOOL_HEADER_NONE;
    if (verdict == SPOOL_HEADER_OK && (header->payload_bytes > w->payload_bytes ||
                                       header->stored_bytes > w->io.cap - SPOOL_HEADER_BYTES))
        verdict = SPOOL_HEADER_FOREIGN;
    if (header->seq < w->below && spool_batch_bytes(header) > w->end - offset)
        return SPOOL_HEADER_NONE;
    return verdict;
}

/* From walk->at, where no batch is, to the next one: a damaged item, or the end. */
static gv_status resync(segment_walk *w, segment_item *item, gv_error *err)
{
    size_t chunk = w->io.cap / SPOOL_ALIGN * SPOOL_ALIGN;
    spool_header next;

    item->offset = w->at;
    item->is_blank = true;
    item->first_seq = w->expect;
    for (uint64_t at = w->at; at < w->end; at += chunk) {
        gv_status st = read_some(w, at, chunk, err);
        if (st != GV_OK)
            return st;
        for (size_t i = 0; i < w->io.len; i += SPOOL_ALIGN) {
            size_t len = w->io.len - i < SPOOL_ALIGN ? w->io.len - i : SPOOL_ALIGN;
            gv_span block = gv_span_of(w->io.data + i, len);
            if (look(w, block, at + i, &next) != SPOOL_HEADER_NONE && next.seq < w->below) {
                item->kind = SEGMENT_DAMAGE;
                item->bytes = at + i - w->at;
                item->last_seq = next.seq - 1;
                w->at = at + i;
                w->expect = next.seq;
                return GV_OK;
            }
            item->is_blank = item->is_blank && is_zero(block);
        }
        if (w->io.len < chunk)
            break;
    }
    item->kind = SEGMENT_END;
    item->bytes = w->end > w->at ? w->end - w->at : 0;
    return GV_OK;
}

static gv_status check_payload(segment_walk *w, segment_item *item, gv_error *err)
{
    const spool_header *h = &item->header;
    size_t len = SPOOL_HEADER_BYTES + (size_t)h->stored_bytes;
    gv_status st = read_some(w, item->offset, len, err);

    if (st != GV_OK)
        return st;
    gv_span stored = gv_span_of(w->io.data + SPOOL_HEADER_BYTES, h->stored_bytes);
    if (w->io.len < len || spool_crc32c(0, stored) != h->payload_crc)
        item->kind = SEGMENT_DAMAGE;
    return GV_OK;
}

static gv_status walk_on(segment_walk *w, bool verify, segment_item *item, gv_error *err)
{
    *item = (segment_item){ .offset = w->at };
    gv_status st = read_some(w, w->at, SPOOL_HEADER_BYTES, err);
    if (st != GV_OK)
        return st;

    spool_header_verdict verdict = look(w, gv_span_of(w->io.data, w->io.len), w->at, &item->header);
    if (verdict == SPOOL_HEADER_NONE)
        return resync(w, item, err);
    if (item->header.seq >= w->below) {
        item->kind = SEGMENT_END;
        item->is_blank = true; /* what is there stands in the next segment, too */
        return GV_OK;
    }
    item->kind = verdict == SPOOL_HEADER_OK ? SEGMENT_BATCH : SEGMENT_FOREIGN;
    item->has_header = true;
    item->bytes = spool_batch_bytes(&item->header);
    item->first_seq = item->last_seq = item->header.seq;
    if (verify && verdict == SPOOL_HEADER_OK)
        st = check_payload(w, item, err);
    if (st != GV_OK)
        return st;
    w->at += item->bytes;
    w->expect = item->header.seq + 1;
    return GV_OK;
}

/* The headers behind a damaged batch know whether it had been promised: not the next one, which may have
 * been written before the same commit, but the first of a later one. */
static void ask_behind(const segment_walk *w, segment_item *item)
{
    segment_walk ahead = *w;
    segment_item next;

    while (item->promised_below <= item->first_seq &&
           walk_on(&ahead, false, &next, NULL) == GV_OK && next.kind != SEGMENT_END)
        if (next.has_header && next.header.promised_below > item->promised_below)
            item->promised_below = next.header.promised_below;
}

gv_status segment_next(segment_walk *w, bool verify, segment_item *item, gv_error *err)
{
    gv_status st = walk_on(w, verify, item, err);

    if (st == GV_OK && item->kind == SEGMENT_DAMAGE)
        ask_behind(w, item);
    return st;
}

gv_status segment_unpack(const segment_walk *w, const segment_item *item, gv_buf *out,
                         gv_error *err)
{
    const spool_header *h = &item->header;
    const uint8_t *stored = w->io.data + SPOOL_HEADER_BYTES;
    size_t room = out->cap - out->len;

    if (h->payload_bytes > room)
        return gv_fail(err, GV_FULL, "a spooled batch of %u bytes does not fit in %zu",
                       h->payload_bytes, room);
    if (h->packing == SPOOL_PLAIN) {
        gv_buf_put(out, stored, h->stored_bytes);
        return GV_OK;
    }
    int got = LZ4_decompress_safe((const char *)stored, (char *)out->data + out->len,
                                  (int)h->stored_bytes, (int)h->payload_bytes);
    if (got < 0 || (uint32_t)got != h->payload_bytes)
        return gv_fail(err, GV_CORRUPT, "batch %llu cannot be unpacked",
                       (unsigned long long)h->seq);
    out->len += h->payload_bytes;
    return GV_OK;
}
