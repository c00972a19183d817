#include "spool/reader.h"

#include "platform/mem.h"
#include "spool/cursor.h"
#include "spool/dir.h"
#include "spool/segment.h"

#include <errno.h>

#define NAME_MAX_BYTES 256u
#define LOOKS_MAX      50u /* at a batch that may be being written: a write is over long before */

struct spool_reader {
    spool_reader_config config;
    char name[NAME_MAX_BYTES]; /* of the present file, or of the last one */
    uint64_t first_seq;        /* the same of a segment */
    bool is_open;
    bool is_last; /* no segment follows */
    bool is_held; /* the present item comes after what is missing before it */
    bool is_over; /* nothing more is looked for */
    uint64_t seq; /* the lowest that should come next; 0: any */
    uint64_t acked_seq;
    dir_survey survey;
    segment_walk walk;
    segment_item item; /* the present one */
    gv_buf payload;
};

size_t spool_reader_mem_needed(const spool_reader_config *config)
{
    return sizeof(spool_reader) + segment_io_bytes(config->payload_bytes) + config->payload_bytes +
           3 * sizeof(max_align_t);
}

gv_status spool_reader_open(const spool_reader_config *config, spool_reader **out, gv_error *err)
{
    gv_arena arena;
    spool_cursor cursor;
    spool_header acked;
    size_t io_bytes = segment_io_bytes(config->payload_bytes);

    *out = NULL;
    gv_arena_init(&arena, config->mem, config->mem_bytes);
    spool_reader *r = gv_arena_alloc(&arena, sizeof *r);
    uint8_t *io = gv_arena_alloc(&arena, io_bytes);
    uint8_t *payload = gv_arena_alloc(&arena, config->payload_bytes);
    if (!r || !io || !payload)
        return gv_fail(err, GV_INVAL,
                       "%zu bytes of memory are too few to read a spool, %zu are needed",
                       config->mem_bytes, spool_reader_mem_needed(config));
    r->config = *config;
    r->walk.io = gv_buf_of(io, io_bytes);
    r->payload = gv_buf_of(payload, config->payload_bytes);
    gv_status st = dir_look(config->fs, config->dir, &r->survey, err);
    if (st != GV_OK)
        return st;
    if (!config->any_file) {
        spool_cursor_load(config->fs, config->dir, &cursor, NULL);
        if (spool_cursor_holds(config->fs, config->dir, &cursor, &acked))
            r->acked_seq = cursor.acked_seq;
    }
    *out = r;
    return GV_OK;
}

/* --- files ----------------------------------------------------------------------------------------- */
typedef struct {
    const char *after;
    char found[NAME_MAX_BYTES];
} name_search;

static bool try_name(void *arg, const char *name)
{
    name_search *n = arg;

    if (strlen(name) < NAME_MAX_BYTES && strcmp(name, n->after) > 0 &&
        (n->found[0] == '\0' || strcmp(name, n->found) < 0))
        memcpy(n->found, name, strlen(name) + 1);
    return true;
}

/* The next file by name, whatever it is; GV_AGAIN: there is none. */
static gv_status next_name(spool_reader *r, gv_error *err)
{
    const spool_reader_config *c = &r->config;
    name_search n = { .after = r->name };
    gv_status st = c->fs->list_dir(c->fs->ctx, c->dir, try_name, &n, err);

    if (st != GV_OK || n.found[0] == '\0')
        return st == GV_OK ? GV_AGAIN : st;
    memcpy(r->name, n.found, sizeof r->name);
    r->seq = 0;
    return GV_OK;
}

/* The segment behind the present one. A listing may have one that was made meanwhile and lack one made
 * just before it; a second one has both. */
static gv_status find_segment(const spool_reader *r, uint64_t *first_seq, gv_error *err)
{
    const spool_reader_config *c = &r->config;
    uint64_t found = 0, before;
    gv_status st;

    do {
        before = found;
        st = dir_next(c->fs, c->dir, r->first_seq, &found, err);
    } while (st == GV_OK && found != before);
    *first_seq = found;
    return st;
}

static gv_status next_segment(spool_reader *r, gv_error *err)
{
    uint64_t next;
    gv_status st = find_segment(r, &next, err);

    if (st != GV_OK)
        return st;
    r->first_seq = next;
    spool_segment_name(next, r->name);
    return GV_OK;
}

static gv_status open_next(spool_reader *r, gv_error *err)
{
    const spool_reader_config *c = &r->config;
    char path[PLAT_PATH_MAX];
    uint64_t below = UINT64_MAX;
    segment_walk *w = &r->walk;
    gv_error why = { 0, "" };
    gv_status st = r->is_over ? GV_AGAIN : c->any_file ? next_name(r, err) : next_segment(r, err);

    r->is_over = st != GV_OK;
    if (st == GV_OK)
        st = dir_path(c->dir, r->name, path, err);
    if (st != GV_OK)
        return st;
    if (!c->any_file)
        r->is_last = find_segment(r, &below, NULL) != GV_OK;
    if (r->is_last)
        below = UINT64_MAX;
    st = c->fs->open(c->fs->ctx, path, PLAT_READ, &w->file, &why);
    if (st != GV_OK) /* gone since it was listed: acknowledged */
        return why.os_errno == ENOENT && !c->any_file ? open_next(r, err)
                                                      : gv_fail(err, st, "%s", why.text);
    *w = (segment_walk){ .fs = c->fs,
                         .file = w->file,
                         .io = w->io,
                         .payload_bytes = c->payload_bytes,
                         .expect = c->any_file ? 1 : r->first_seq,
                         .below = below };
    r->is_open = true;
    return c->fs->size(c->fs->ctx, w->file, &w->end, err);
}

static void close_file(spool_reader *r)
{
    if (r->is_open)
        r->config.fs->close(r->config.fs->ctx, r->walk.file);
    r->is_open = false;
}

/* --- items ----------------------------------------------------------------------------------------- */
/* True when there is something to tell of the end of a file. What follows the last batch of a segment
 * that was given up stands in the next one, too. */
static bool at_end(spool_reader *r, spool_item *out)
{
    bool is_short = r->walk.below != UINT64_MAX && r->walk.expect < r->walk.below;

    close_file(r);
    r->is_over =
        r->is_last; /* another one that comes now is not looked for: it would leave a hole */
    if (r->item.is_blank || (!is_short && !r->is_last && !r->config.any_file))
        return false;
    out->kind = r->is_last && !r->config.any_file ? SPOOL_ITEM_TAIL : SPOOL_ITEM_DAMAGE;
    out->first_seq = r->walk.expect;
    out->last_seq = is_short ? r->walk.below - 1 : 0;
    if (is_short)
        r->seq = r->walk.below;
    return true;
}

static bool make_item(spool_reader *r, spool_item *out)
{
    segment_item *item = &r->item;

    *out = (spool_item){ .header = item->header,
                         .has_header = item->has_header,
                         .first_seq = item->first_seq,
                         .last_seq = item->last_seq,
                         .file = r->name,
                         .offset = item->offset,
                         .bytes = item->bytes };
    switch (item->kind) {
    case SEGMENT_BATCH:
        out->kind = SPOOL_ITEM_BATCH;
        out->acked = item->header.seq <= r->acked_seq;
        break;
    case SEGMENT_DAMAGE:
        out->kind = SPOOL_ITEM_DAMAGE;
        break;
    case SEGMENT_FOREIGN:
        out->kind = SPOOL_ITEM_FOREIGN;
        break;
    case SEGMENT_END:
        return at_end(r, out);
    }
    if (item->last_seq >= item->first_seq)
        r->seq = item->last_seq + 1;
    return true;
}

/* --- while somebody writes ------------------------------------------------------------------------- */
/* The segment was the last one when it was opened: has the writer gone on to another one? Then it is
 * complete now, and may have more than was seen. */
static bool is_finished_now(spool_reader *r)
{
    const spool_reader_config *c = &r->config;
    uint64_t next;

    if (!r->is_last || c->any_file || find_segment(r, &next, NULL) != GV_OK)
        return false;
    r->is_last = false;
    r->walk.below = next;
    return c->fs->size(c->fs->ctx, r->walk.file, &r->walk.end, NULL) == GV_OK;
}

/* What looks damaged is looked at again: it may have been written between two looks, or half. */
static gv_status next_item(spool_reader *r, gv_error *err)
{
    const segment_walk before = r->walk;
    unsigned looks = 0;
    bool again;

    do {
        r->walk.at = before.at;
        r->walk.expect = before.expect;
        gv_status st = segment_next(&r->walk, true, &r->item, err);
        if (st != GV_OK)
            return st;
        again = r->item.kind == SEGMENT_DAMAGE ? ++looks < (r->is_last ? LOOKS_MAX : 2)
                                               : r->item.kind == SEGMENT_END && is_finished_now(r);
    } while (again);
    return GV_OK;
}

/* All that was read is gone: so is, acknowledged, what followed it. */
static bool is_gone(const spool_reader *r)
{
    const spool_reader_config *c = &r->config;
    uint64_t first;

    return dir_next(c->fs, c->dir, 0, &first, NULL) == GV_OK && first >= r->first_seq;
}

/* Sequences that should have come before this item. */
static bool is_missing(const spool_reader *r)
{
    return !r->config.any_file && r->seq != 0 && r->item.kind != SEGMENT_END &&
           r->item.first_seq > r->seq && !(r->item.offset == 0 && is_gone(r));
}

gv_status spool_reader_next(spool_reader *r, spool_item *out, gv_error *err)
{
    if (r->is_held) {
        r->is_held = false;
        make_item(r, out);
        return GV_OK;
    }
    for (;;) {
        gv_status st = r->is_open ? GV_OK : open_next(r, err);
        if (st == GV_OK)
            st = next_item(r, err);
        if (st != GV_OK) {
            close_file(r);
            return st;
        }
        if (is_missing(r)) {
            *out = (spool_item){ .kind = SPOOL_ITEM_MISSING,
                                 .first_seq = r->seq,
                                 .last_seq = r->item.first_seq - 1,
                                 .file = "" };
            r->is_held = true;
            return GV_OK;
        }
        if (make_item(r, out))
            return GV_OK;
    }
}

gv_status spool_reader_payload(spool_reader *r, gv_span *payload, gv_error *err)
{
    gv_status st;

    if (r->item.kind != SEGMENT_BATCH)
        return gv_fail(err, GV_INVAL, "there is no good batch to unpack");
    r->payload.len = 0;
    st = segment_unpack(&r->walk, &r->item, &r->payload, err);
    *payload = gv_span_of(r->payload.data, r->payload.len);
    return st;
}

uint64_t spool_reader_strangers(const spool_reader *r)
{
    return r->survey.strangers;
}

uint64_t spool_reader_bytes(const spool_reader *r)
{
    return r->survey.bytes;
}

void spool_reader_close(spool_reader *r)
{
    if (r)
        close_file(r);
}
