#include "spool/internal.h"

#include <assert.h>

static void tell_head(spool *s, spool_event_kind kind, uint64_t first, uint64_t last,
                      uint64_t records, const char *text)
{
    char name[SPOOL_NAME_BYTES];

    spool_segment_name(s->head.first_seq, name);
    spool_tell(s, &(spool_event){ kind, first, last, records, name, text });
}

static uint64_t less(uint64_t value, uint64_t by)
{
    return value > by ? value - by : 0;
}

/* Sequences up to `last` will not be read: they are not waiting any more. */
static void pass_over(spool *s, uint64_t last, uint64_t records)
{
    uint64_t batches = last + 1 - s->read_seq;

    s->state.unread = less(s->state.unread, batches);
    s->state.batches = less(s->state.batches, batches);
    s->state.records = less(s->state.records, records);
    s->read_seq = last + 1;
}

/* What lies between what was read and `seq` is on no file. */
static void skip_to(spool *s, uint64_t seq)
{
    s->read_seq = spool_past_holes(s, s->read_seq);
    if (s->read_seq >= seq)
        return;
    spool_tell(s, &(spool_event){ SPOOL_MISSING, s->read_seq, seq - 1, 0, "",
                                  "no file has these: they gave way to the quota before the last "
                                  "start, or somebody removed them" });
    pass_over(s, seq - 1, 0);
}

/* --- the segment that is read ---------------------------------------------------------------------- */
static bool in_window(const spool *s, uint64_t segment)
{
    for (uint32_t i = 0; i < s->window_count; i++)
        if (s->window[i].segment == segment)
            return true;
    return false;
}

void head_finish(spool *s)
{
    head_segment *h = &s->head;

    spool_fs(s)->close(spool_fs(s)->ctx, h->walk.file);
    h->is_open = false;
    h->after = h->first_seq;
    h->start = 0;
    if (!in_window(s, h->first_seq))
        segment_away(s, h->first_seq, h->is_damaged);
    else if (h->is_damaged)
        s->damaged[s->damaged_count++] = h->first_seq; /* each has its place in the window, too */
}

/* What may be read of it: of the one that is written, what is committed. */
static gv_status set_limits(spool *s, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    head_segment *h = &s->head;
    uint64_t end, next;
    gv_status st;

    if (s->tail.is_open && s->tail.first_seq == h->first_seq) {
        h->is_tail = true;
        h->walk.end = s->tail.committed;
        h->walk.below = s->committed_seq;
        return GV_OK;
    }
    st = fs->size(fs->ctx, h->walk.file, &end, err);
    if (st == GV_OK)
        st = dir_next(fs, s->config.dir, h->first_seq, &next, err);
    if (st != GV_OK && st != GV_AGAIN)
        return st;
    h->is_tail = false;
    h->walk.end = end;
    h->walk.below = st == GV_OK && next < s->committed_seq ? next : s->committed_seq;
    return GV_OK;
}

static gv_status open_head(spool *s, gv_error *err)
{
    head_segment *h = &s->head;
    uint64_t first_seq, size;
    int file;
    gv_status st = dir_next(spool_fs(s), s->config.dir, h->after, &first_seq, err);

    h->first_seq = 0;
    if (st == GV_AGAIN || (st == GV_OK && first_seq >= s->committed_seq)) {
        skip_to(s, s->committed_seq);
        return GV_AGAIN;
    }
    if (st == GV_OK) {
        h->first_seq = first_seq;
        st = dir_open(spool_fs(s), s->config.dir, first_seq, PLAT_READ, &file, &size, err);
    }
    if (st != GV_OK)
        return st;
    if (first_seq != h->after + 1)
        h->start = 0; /* that segment is gone: acknowledged, or given way */
    *h = (head_segment){ .is_open = true,
                         .is_damaged = h->is_damaged && h->start != 0, /* it was given up before */
                         .first_seq = first_seq,
                         .after = h->after,
                         .start = h->start };
    h->walk = (segment_walk){ .fs = spool_fs(s),
                              .file = file,
                              .io = s->io,
                              .payload_bytes = s->config.payload_bytes,
                              .at = h->start,
                              .expect = h->start ? s->read_seq : first_seq };
    st = set_limits(s, err);
    if (st != GV_OK) {
        spool_fs(s)->close(spool_fs(s)->ctx, file);
        h->is_open = false;
    }
    return st;
}

/* Done with it. The one that is being written stays: more may come. */
static void leave_segment(spool *s)
{
    if (!s->head.is_tail) {
        head_finish(s);
        return;
    }
    s->head.walk.at = s->tail.committed;
    s->head.walk.expect = s->committed_seq;
}

/* No more batches in it; some that were promised may not have come. */
static void end_of_segment(spool *s, const segment_item *item)
{
    head_segment *h = &s->head;
    uint64_t expect = spool_past_holes(s, h->walk.expect);

    if (expect < s->read_seq)
        expect = s->read_seq;
    if (expect < h->walk.below && !item->is_blank) {
        h->is_damaged = true;
        tell_head(s, SPOOL_DAMAGED, expect, h->walk.below - 1, 0,
                  "the end of the segment is damaged");
        pass_over(s, h->walk.below - 1, 0);
    } else if (expect < h->walk.below) {
        skip_to(s, h->walk.below);
    }
    leave_segment(s);
}

/* Where the sequences of a segment end that could not be opened. GV_IO: who knows. */
static gv_status find_below(spool *s)
{
    head_segment *h = &s->head;
    uint64_t next;
    gv_status st = dir_next(spool_fs(s), s->config.dir, h->first_seq, &next, NULL);

    h->walk.below = st == GV_OK && next < s->committed_seq ? next : s->committed_seq;
    return st == GV_AGAIN ? GV_OK : st;
}

/* The disk does not give this segment, try after try. */
static void give_up_head(spool *s)
{
    head_segment *h = &s->head;

    if (!h->is_open && find_below(s) != GV_OK)
        return; /* it does not give anything: not yet */
    h->is_damaged = true;
    if (s->read_seq < h->walk.below) {
        tell_head(s, SPOOL_DAMAGED, s->read_seq, h->walk.below - 1, 0,
                  "the disk cannot read this segment");
        pass_over(s, h->walk.below - 1, 0);
    }
    if (h->is_open) {
        leave_segment(s);
    } else if (s->tail.is_open && s->tail.first_seq == h->first_seq) {
        h->after = h->first_seq - 1;
        h->start = s->tail.committed; /* more may come */
    } else {
        h->after = h->first_seq;
        h->start = 0;
        segment_away(s, h->first_seq, true);
    }
}

/* --- items ----------------------------------------------------------------------------------------- */
/* Left by a process before this one, and no header behind it says that it was promised. */
static bool may_be_torn(const spool *s, const segment_item *item, uint64_t first)
{
    return first < s->start_seq && item->promised_below != 0 && first >= item->promised_below;
}

static void on_damage(spool *s, const segment_item *item, const char *text)
{
    uint64_t first = item->first_seq > s->read_seq ? item->first_seq : s->read_seq;
    uint64_t records = item->has_header ? item->header.meta.records : 0;

    if (item->last_seq < first)
        return; /* behind it nothing is missing */
    skip_to(s, first);
    s->head.is_damaged =
        true; /* torn or not: somebody may want to look at what no header can tell */
    if (may_be_torn(s, item, first)) {
        tell_head(s, SPOOL_TORN, first, item->last_seq, 0,
                  "half written when the power went; nothing shows that it was promised");
    } else {
        tell_head(s, SPOOL_DAMAGED, first, item->last_seq, records, text);
    }
    pass_over(s, item->last_seq, records);
}

static void into_window(spool *s, const segment_item *item, bool acked)
{
    s->window[s->window_count++] = (window_entry){ .seq = item->header.seq,
                                                   .segment = s->head.first_seq,
                                                   .offset = item->offset,
                                                   .header_crc = item->header.header_crc,
                                                   .records = item->header.meta.records,
                                                   .acked = acked,
                                                   .snapshot = item->header.meta.snapshot };
    s->state.window = s->window_count;
    s->state.oldest_ms = s->window[0].snapshot.time_ms;
    s->read_seq = item->header.seq + 1;
}

/* GV_OK: brought; GV_AGAIN: passed over; else nothing has changed. */
static gv_status on_batch(spool *s, const segment_item *item, spool_meta *meta, gv_buf *payload,
                          uint64_t *seq, gv_error *err)
{
    const spool_header *h = &item->header;
    gv_status st;

    if (h->seq < s->read_seq)
        return GV_AGAIN;
    skip_to(s, h->seq);
    if (spool_is_dropped(s, &h->meta.snapshot, h->seq) && h->meta.kind != SPOOL_GAP) {
        into_window(s, item, true); /* counted when it was dropped */
        return GV_AGAIN;
    }
    st = segment_unpack(&s->head.walk, item, payload, err);
    if (st == GV_FULL) {
        s->head.walk.at = item->offset;
        s->head.walk.expect = h->seq;
        return GV_INVAL;
    }
    if (st != GV_OK) {
        on_damage(s, item, "a batch cannot be unpacked although its checksum is right");
        return GV_AGAIN;
    }
    into_window(s, item, false);
    s->state.unread = less(s->state.unread, 1);
    *meta = h->meta;
    *seq = h->seq;
    return GV_OK;
}

static gv_status read_one(spool *s, spool_meta *meta, gv_buf *payload, uint64_t *seq, gv_error *err)
{
    segment_item item;
    gv_status st = segment_next(&s->head.walk, true, &item, err);

    if (st != GV_OK)
        return st;
    switch (item.kind) {
    case SEGMENT_BATCH:
        return on_batch(s, &item, meta, payload, seq, err);
    case SEGMENT_DAMAGE:
        on_damage(s, &item, "a batch is damaged");
        break;
    case SEGMENT_FOREIGN:
        on_damage(s, &item,
                  "a batch was written by another version, or is larger than memory allows");
        break;
    case SEGMENT_END:
        end_of_segment(s, &item);
        break;
    }
    return GV_AGAIN;
}

gv_status spool_next(spool *s, spool_meta *meta, gv_buf *payload, uint64_t *seq, gv_error *err)
{
    gv_status st = GV_AGAIN;

    assert(payload->len == 0);
    head_retire(s);
    while (st == GV_AGAIN && s->read_seq < s->committed_seq && s->window_count < s->config.window) {
        st = s->head.is_open ? GV_OK : open_head(s, err);
        if (st == GV_OK && s->head.is_tail)
            st = set_limits(s, err);
        if (st == GV_OK)
            st = read_one(s, meta, payload, seq, err);
        if (st == GV_AGAIN)
            head_retire(s); /* what was dropped does not fill the window */
        if (st != GV_IO) {
            s->read_failures = 0;
        } else if (s->head.first_seq != 0 && ++s->read_failures >= SPOOL_READ_TRIES) {
            s->read_failures = 0;
            give_up_head(s);
            st = GV_AGAIN;
        }
    }
    return st;
}

/* --- acknowledgements ------------------------------------------------------------------------------ */
static bool take_damaged(spool *s, uint64_t segment)
{
    for (uint32_t i = 0; i < s->damaged_count; i++) {
        if (s->damaged[i] != segment)
            continue;
        s->damaged[i] = s->damaged[--s->damaged_count];
        return true;
    }
    return false;
}

void head_retire(spool *s)
{
    while (s->window_count > 0 && s->window[0].acked) {
        window_entry done = s->window[0];
        s->window_count--;
        memmove(s->window, s->window + 1, s->window_count * sizeof *s->window);
        s->state.window = s->window_count;
        if (s->window_count > 0)
            s->state.oldest_ms = s->window[0].snapshot.time_ms;
        else if (s->state.unread == 0)
            s->state.oldest_ms = 0;
        s->cursor.acked_seq = done.seq;
        s->cursor.segment = done.segment;
        s->cursor.offset = done.offset;
        s->cursor.header_crc = done.header_crc;
        s->cursor_dirty = true;
        if (!in_window(s, done.segment) && !(s->head.is_open && s->head.first_seq == done.segment))
            segment_away(s, done.segment, take_damaged(s, done.segment));
    }
}

void spool_ack(spool *s, uint64_t seq)
{
    uint32_t i = 0;

    while (i < s->window_count && s->window[i].seq != seq)
        i++;
    assert(i < s->window_count && !s->window[i].acked);
    s->window[i].acked = true;
    s->state.acked_batches++;
    s->state.batches = less(s->state.batches, 1);
    s->state.records = less(s->state.records, s->window[i].records);
    head_retire(s);
}
