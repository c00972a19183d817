#include "spool/internal.h"

/* What the last segment turned out to be. */
typedef struct {
    uint64_t size;
    uint64_t end;       /* behind its last good batch; 0: it has none */
    uint64_t last_seq;  /* of that one */
    uint64_t records;   /* in all batches up to that one */
    bool is_blank;      /* behind `end` there are only zeros */
    bool is_unreadable; /* the disk failed on the way */
} tail_found;

static void tell_tail(spool *s, spool_event_kind kind, uint64_t first_seq, uint64_t from,
                      const char *text)
{
    char name[SPOOL_NAME_BYTES];

    spool_segment_name(first_seq, name);
    spool_tell(s, &(spool_event){ .kind = kind, .first_seq = from, .file = name, .text = text });
}

/* Reads the whole of it: how far is it good? */
static void walk_tail(spool *s, uint64_t first_seq, int file, tail_found *found)
{
    segment_walk w = { .fs = spool_fs(s),
                       .file = file,
                       .io = s->io,
                       .payload_bytes = s->config.payload_bytes,
                       .end = found->size,
                       .expect = first_seq,
                       .below = UINT64_MAX };
    segment_item item;

    found->is_blank = true;
    do {
        if (segment_next(&w, true, &item, NULL) != GV_OK) {
            found->is_unreadable = true;
            return;
        }
        if (item.kind == SEGMENT_BATCH || item.kind == SEGMENT_FOREIGN) {
            found->end = w.at;
            found->last_seq = item.header.seq;
            found->records = item.header.records_before + item.header.meta.records;
            found->is_blank = true;
        } else {
            found->is_blank = found->is_blank && item.kind == SEGMENT_END && item.is_blank;
        }
    } while (item.kind != SEGMENT_END);
}

/* Cuts off what a power cut has left half done, and makes durable what could be read: it may be there only
 * for this process so far. */
static void mend_tail(spool *s, uint64_t first_seq, int file, const tail_found *found)
{
    const plat_fs *fs = spool_fs(s);
    bool is_promised = s->cursor.next_seq > found->last_seq + 1;

    if (!found->is_blank && !is_promised)
        tell_tail(s, SPOOL_TORN, first_seq, found->last_seq + 1,
                  "its end was half written when the power went; it was not yet promised");
    if (found->end < found->size && (found->is_blank || !is_promised) &&
        fs->truncate(fs->ctx, file, found->end, NULL) == GV_OK)
        s->state.bytes -= found->size - found->end;
    if (fs->sync(fs->ctx, file, NULL) != GV_OK)
        tell_tail(s, SPOOL_SEALED, first_seq, 0, "the disk failed a sync");
}

static void examine(spool *s, uint64_t first_seq, tail_found *found)
{
    const plat_fs *fs = spool_fs(s);
    int file;
    plat_open_mode mode = PLAT_WRITE;

    *found = (tail_found){ .is_unreadable = true };
    if (dir_open(fs, s->config.dir, first_seq, mode, &file, &found->size, NULL) != GV_OK) {
        mode = PLAT_READ;
        if (dir_open(fs, s->config.dir, first_seq, mode, &file, &found->size, NULL) != GV_OK)
            return;
    }
    found->is_unreadable = false;
    walk_tail(s, first_seq, file, found);
    if (found->end > 0 && !found->is_unreadable && mode == PLAT_WRITE)
        mend_tail(s, first_seq, file, found);
    fs->close(fs->ctx, file);
}

/* From the last segment backwards to the first one that holds a batch; those without are put away. */
static gv_status find_tail(spool *s, gv_error *err)
{
    uint64_t first_seq = UINT64_MAX;
    gv_status st;

    while ((st = dir_previous(spool_fs(s), s->config.dir, first_seq, &first_seq, err)) == GV_OK) {
        tail_found found;
        uint64_t beyond = first_seq + s->config.segment_bytes / SPOOL_ALIGN + 1;

        examine(s, first_seq, &found);
        if (found.end > 0 && found.last_seq >= s->next_seq)
            s->next_seq = found.last_seq + 1;
        if (found.records > s->records_total)
            s->records_total = found.records;
        if (found.is_unreadable && beyond > s->next_seq)
            s->next_seq = beyond; /* more than can be in it */
        if (found.end > 0 || found.is_unreadable)
            return GV_OK;
        if (!found.is_blank)
            tell_tail(s, SPOOL_TORN, first_seq, 0, "no batch in it is whole; it is set aside");
        segment_away(s, first_seq, !found.is_blank);
    }
    return st == GV_AGAIN ? GV_OK : st;
}

/* Where the cursor says, if the batch that it names is there; else at the very first. */
static gv_status find_head(spool *s, gv_error *err)
{
    spool_cursor *c = &s->cursor;
    spool_header h;
    uint64_t first_seq;
    gv_status st = dir_next(spool_fs(s), s->config.dir, 0, &first_seq, err);

    s->read_seq = st == GV_OK ? first_seq : s->next_seq;
    if (st != GV_OK)
        return st == GV_AGAIN ? GV_OK : st;
    if (spool_cursor_holds(spool_fs(s), s->config.dir, c, &h)) {
        s->head.after = c->segment - 1;
        s->head.start = c->offset + spool_batch_bytes(&h);
        s->read_seq = c->acked_seq + 1;
        s->state.records = s->records_total - (h.records_before + h.meta.records);
        s->state.oldest_ms = h.meta.snapshot.time_ms; /* that of its neighbour, or close to it */
    } else if (dir_header(spool_fs(s), s->config.dir, first_seq, 0, &h)) {
        s->state.records = s->records_total - h.records_before;
        s->state.oldest_ms = h.meta.snapshot.time_ms;
    }
    return GV_OK;
}

/* Acknowledged segments that were on their way out when the last process ended. */
static void sweep(spool *s)
{
    uint64_t first_seq;
    bool is_all_done = s->read_seq >= s->next_seq;

    while (dir_next(spool_fs(s), s->config.dir, 0, &first_seq, NULL) == GV_OK &&
           (is_all_done || first_seq <= s->head.after)) {
        uint64_t before = s->state.segments;
        segment_away(s, first_seq, false);
        if (s->state.segments == before)
            return; /* it cannot be removed */
    }
}

/* One that the disk does not give, try after try, makes room for a new one: beside the old one it would
 * count from the beginning, and not be believed. */
static void load_cursor(spool *s)
{
    const plat_fs *fs = spool_fs(s);
    char path[PLAT_PATH_MAX];

    for (unsigned tries = 0; tries < SPOOL_READ_TRIES; tries++)
        if (spool_cursor_load(fs, s->config.dir, &s->cursor, NULL) == GV_OK)
            return;
    if (dir_path(s->config.dir, "cursor", path, NULL) == GV_OK)
        fs->remove(fs->ctx, path, NULL);
    s->cursor.count = 0;
}

gv_status spool_recover(spool *s, gv_error *err)
{
    dir_survey look;
    char oldest[PLAT_PATH_MAX];
    gv_status st = dir_look(spool_fs(s), s->config.dir, &look, err);

    if (st != GV_OK)
        return st;
    s->state.bytes = look.bytes;
    s->state.segments = look.segments;
    if (dir_look_quarantine(spool_fs(s), s->config.dir, &s->state.quarantine_bytes, oldest) !=
        GV_OK)
        s->state.quarantine_bytes = 0; /* unreadable: it is not needed */
    load_cursor(s);
    s->next_seq = s->cursor.next_seq > 1 ? s->cursor.next_seq : 1;
    s->records_total = s->cursor.records_before;
    st = find_tail(s, err);
    if (st == GV_OK)
        st = find_head(s, err);
    if (st != GV_OK)
        return st;
    s->committed_seq = s->start_seq = s->next_seq;
    s->records_committed = s->records_total;
    s->state.unread = s->state.batches = s->next_seq - s->read_seq;
    if (s->state.unread == 0)
        s->state.records = 0, s->state.oldest_ms = 0;
    sweep(s);
    return GV_OK;
}
