#include "spool/internal.h"

#define HOUR_MS INT64_C(3600000)

/* --- what was dropped ------------------------------------------------------------------------------ */
bool spool_is_dropped(const spool *s, const spool_snapshot *snapshot, uint64_t seq)
{
    for (uint32_t i = 0; i < s->drop_count; i++)
        if (seq < s->drops[i].below && spool_snapshot_equal(&s->drops[i].snapshot, snapshot))
            return true;
    return false;
}

static void remember_drop(spool *s, const spool_victim *victim)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->drop_count; i++)
        if (s->drops[i].below > s->read_seq)
            s->drops[kept++] = s->drops[i];
    if (kept == SPOOL_DROPS_MAX) { /* what is left of the oldest will be sent after all */
        kept--;
        memmove(s->drops, s->drops + 1, kept * sizeof *s->drops);
    }
    s->drops[kept] = (drop_entry){ victim->snapshot, victim->last_seq + 1 };
    s->drop_count = kept + 1;
}

uint64_t spool_past_holes(const spool *s, uint64_t seq)
{
    for (uint32_t i = 0; i < s->hole_count; i++)
        if (seq >= s->holes[i].first && seq <= s->holes[i].last)
            seq = s->holes[i].last + 1;
    return seq;
}

static void remember_hole(spool *s, uint64_t first, uint64_t last)
{
    uint32_t at = s->hole_count;

    while (at > 0 && s->holes[at - 1].first > first)
        at--;
    if (at > 0 && s->holes[at - 1].last + 1 == first) {
        s->holes[at - 1].last = last;
        return;
    }
    if (s->hole_count == SPOOL_DROPS_MAX) { /* the lowest will be told as missing */
        if (at == 0)
            return;
        memmove(s->holes, s->holes + 1, --s->hole_count * sizeof *s->holes);
        at--;
    }
    memmove(s->holes + at + 1, s->holes + at, (s->hole_count - at) * sizeof *s->holes);
    s->holes[at] = (seq_range){ first, last };
    s->hole_count++;
}

/* --- walking over headers -------------------------------------------------------------------------- */
typedef struct {
    spool *s;
    bool is_open;
    uint64_t segment; /* present, or the one that was looked at last */
    segment_walk walk;
} header_scan;

static void scan_close(header_scan *scan)
{
    if (scan->is_open)
        spool_fs(scan->s)->close(spool_fs(scan->s)->ctx, scan->walk.file);
    scan->is_open = false;
}

/* Opens the segment behind scan->segment. */
static gv_status scan_open_next(header_scan *scan, gv_error *err)
{
    spool *s = scan->s;
    uint64_t segment, size;
    int file;
    gv_status st = dir_next(spool_fs(s), s->config.dir, scan->segment, &segment, err);

    if (st != GV_OK)
        return st;
    if (segment >= s->committed_seq)
        return GV_AGAIN;
    scan->segment = segment;
    st = dir_open(spool_fs(s), s->config.dir, segment, PLAT_READ, &file, &size, err);
    if (st != GV_OK)
        return st;
    scan->is_open = true;
    scan->walk = (segment_walk){ .fs = spool_fs(s),
                                 .file = file,
                                 .io = s->io,
                                 .payload_bytes = s->config.payload_bytes,
                                 .end = size,
                                 .expect = segment,
                                 .below = s->committed_seq };
    if (s->tail.is_open && s->tail.first_seq == segment)
        scan->walk.end = s->tail.committed;
    return GV_OK;
}

/* The next good header, or GV_AGAIN at the end; what cannot be read is passed over. */
static gv_status scan_next(header_scan *scan, segment_item *item, gv_error *err)
{
    for (;;) {
        gv_status st = scan->is_open ? GV_OK : scan_open_next(scan, err);
        if (st != GV_OK)
            return st;
        st = segment_next(&scan->walk, false, item, NULL);
        if (st == GV_OK && item->kind == SEGMENT_BATCH)
            return GV_OK;
        if (st != GV_OK || item->kind == SEGMENT_END)
            scan_close(scan);
    }
}

/* --- who gives way --------------------------------------------------------------------------------- */
static bool is_due(const spool_snapshot *snapshot, int64_t keep_every)
{
    return keep_every == 0 || snapshot->time_ms / HOUR_MS % keep_every != 0;
}

static bool is_being_read(const spool *s, const spool_snapshot *snapshot)
{
    for (uint32_t i = 0; i < s->window_count; i++)
        if (spool_snapshot_equal(&s->window[i].snapshot, snapshot))
            return true;
    return false;
}

static void count_in(spool_victim *v, const spool_header *h)
{
    v->last_seq = h->seq;
    v->batches++;
    v->entries += h->meta.records;
    v->records += h->meta.kind == SPOOL_AUCTIONS ? h->meta.records : 0;
    v->rejects += h->meta.kind == SPOOL_REJECTS ? h->meta.records : 0;
}

/* From where the scan stands: the first batch of a snapshot that may go, and all of its others up to its
 * ledger entry. *from: the segment where those begin that have to be looked at again the next time. */
static gv_status find_victim(header_scan *scan, int64_t keep_every, uint64_t *from,
                             bool (*in_use)(void *ctx, const spool_snapshot *snapshot), void *ctx,
                             spool_victim *v, gv_error *err)
{
    const spool *s = scan->s;
    segment_item item;
    gv_status st;

    *v = (spool_victim){ 0 };
    *from = 0;
    while ((st = scan_next(scan, &item, err)) == GV_OK) {
        const spool_header *h = &item.header;
        const spool_snapshot *snapshot = &h->meta.snapshot;
        if (h->seq < s->read_seq || h->meta.kind == SPOOL_GAP ||
            spool_is_dropped(s, snapshot, h->seq))
            continue;
        if (v->batches == 0) {
            if (!is_due(snapshot, keep_every))
                continue;
            if (*from == 0)
                *from = scan->segment;
            if (is_being_read(s, snapshot) || in_use(ctx, snapshot))
                continue;
            v->snapshot = *snapshot;
            v->first_seq = h->seq;
        }
        if (!spool_snapshot_equal(&v->snapshot, snapshot))
            continue;
        count_in(v, h);
        if (h->meta.kind == SPOOL_LEDGER)
            break;
    }
    if (*from == 0)
        *from = scan->segment;
    return st == GV_AGAIN && v->batches > 0 ? GV_OK : st;
}

gv_status spool_choose(spool *s, spool_policy policy,
                       bool (*in_use)(void *ctx, const spool_snapshot *snapshot), void *ctx,
                       spool_victim *out, gv_error *err)
{
    static const int64_t keep_every[SPOOL_THIN_LEVELS + 1] = { 2, 4, 0 }; /* hours; 0: none */
    gv_status st = GV_AGAIN;

    /* Each level goes on where it stopped, so that what has come meanwhile is thinned, too, before the
     * next one takes from what was to stay. */
    for (unsigned n = policy == SPOOL_THIN ? 0 : SPOOL_THIN_LEVELS;
         st == GV_AGAIN && n <= SPOOL_THIN_LEVELS; n++) {
        bool is_thinning = n < SPOOL_THIN_LEVELS;
        header_scan scan = { .s = s, .segment = is_thinning ? s->thin_after[n] : 0 };
        uint64_t from;
        st = find_victim(&scan, keep_every[n], &from, in_use, ctx, out, err);
        scan_close(&scan);
        if (is_thinning && from > 0)
            s->thin_after[n] = from - 1;
    }
    return st;
}

/* --- giving way ------------------------------------------------------------------------------------ */
static bool is_read_from(const spool *s, uint64_t segment)
{
    for (uint32_t i = 0; i < s->window_count; i++)
        if (s->window[i].segment == segment)
            return true;
    return false;
}

/* Is there nothing in the segment behind scan->segment that still waits? Its sequences: first..last. */
static bool is_done_with(header_scan *scan, uint64_t *last)
{
    const spool *s = scan->s;
    segment_item item = { .kind = SEGMENT_END };
    bool is_done = scan_open_next(scan, NULL) == GV_OK;

    *last = 0;
    while (is_done && segment_next(&scan->walk, false, &item, NULL) == GV_OK &&
           item.kind == SEGMENT_BATCH) {
        const spool_header *h = &item.header;
        *last = h->seq;
        is_done = h->seq < s->read_seq ||
                  (h->meta.kind != SPOOL_GAP && spool_is_dropped(s, &h->meta.snapshot, h->seq));
    }
    scan_close(scan);
    return is_done && item.kind == SEGMENT_END && *last != 0;
}

/* Removes the segments from the one that holds the victim's first batch to that of its last. */
static void free_segments(spool *s, const spool_victim *victim)
{
    header_scan scan = { .s = s };
    uint64_t segment, last;

    if (dir_previous(spool_fs(s), s->config.dir, victim->first_seq + 1, &segment, NULL) != GV_OK)
        return;
    scan.segment = segment - 1;
    while (dir_next(spool_fs(s), s->config.dir, scan.segment, &segment, NULL) == GV_OK &&
           segment <= victim->last_seq) {
        bool is_done = is_done_with(&scan, &last);
        scan.segment = segment;
        if (!is_done || is_read_from(s, segment) ||
            (s->tail.is_open && s->tail.first_seq == segment))
            continue;
        if (s->head.is_open && s->head.first_seq == segment)
            head_finish(s);
        else
            segment_away(s, segment, false);
        remember_hole(s, segment, last);
    }
}

gv_status spool_drop(spool *s, const spool_victim *victim, gv_span payload, gv_error *err)
{
    const spool_meta gap = { .snapshot = victim->snapshot, .records = 1, .kind = SPOOL_GAP };
    gv_status st = tail_append(s, &gap, payload, true, err);
    uint64_t gone = victim->batches;

    if (st == GV_OK)
        st = spool_commit(s, err);
    if (st != GV_OK)
        return st;
    remember_drop(s, victim);
    s->state.unread -= gone < s->state.unread ? gone : s->state.unread;
    s->state.batches -= gone < s->state.batches ? gone : s->state.batches;
    s->state.records -= victim->entries < s->state.records ? victim->entries : s->state.records;
    s->state.dropped_snapshots++;
    s->state.dropped_records += victim->records;
    free_segments(s, victim);
    return GV_OK;
}
