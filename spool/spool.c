#include "spool/internal.h"

#include "platform/mem.h"

#include <assert.h>
#include <lz4.h>

static size_t io_bytes(const spool_config *config)
{
    return segment_io_bytes(config->payload_bytes);
}

static gv_status check_config(const spool_config *c, gv_error *err)
{
    if (c->payload_bytes == 0 || c->payload_bytes > (size_t)LZ4_MAX_INPUT_SIZE)
        return gv_fail(err, GV_INVAL, "spool: batches of %zu bytes are not possible",
                       c->payload_bytes);
    if (c->segment_bytes < SPOOL_SEGMENT_BYTES_MIN)
        return gv_fail(err, GV_INVAL, "spool: a segment of %u bytes is too small, at least %u",
                       c->segment_bytes, SPOOL_SEGMENT_BYTES_MIN);
    if (c->window == 0 || c->window > SPOOL_WINDOW_MAX)
        return gv_fail(err, GV_INVAL, "spool: a window of %u batches; 1 to %u are possible",
                       c->window, SPOOL_WINDOW_MAX);
    return GV_OK;
}

size_t spool_mem_needed(const spool_config *config)
{
    if (check_config(config, NULL) != GV_OK)
        return SIZE_MAX;
    return sizeof(spool) + io_bytes(config) + (size_t)LZ4_sizeofState() +
           3 * sizeof(max_align_t); /* rounding */
}

void spool_tell(spool *s, const spool_event *event)
{
    uint64_t batches =
        event->last_seq >= event->first_seq ? event->last_seq - event->first_seq + 1 : 0;

    switch (event->kind) {
    case SPOOL_TORN:
        s->state.torn++;
        break;
    case SPOOL_DAMAGED:
        s->state.damaged_batches += batches ? batches : 1;
        s->state.damaged_records += event->records;
        break;
    case SPOOL_MISSING:
        s->state.missing_batches += batches;
        break;
    case SPOOL_SEALED:
        s->state.sealed++;
        break;
    case SPOOL_SHED:
        break;
    }
    if (s->config.event)
        s->config.event(s->config.ctx, event);
}

static gv_status take_directory(spool *s, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    char path[PLAT_PATH_MAX];
    gv_status st = fs->make_dir(fs->ctx, s->config.dir, err);

    if (st == GV_OK)
        st = dir_path(s->config.dir, "lock", path, err);
    if (st == GV_OK)
        st = fs->lock(fs->ctx, path, &s->lock_file, err);
    return st;
}

gv_status spool_open(const spool_config *config, spool **out, gv_error *err)
{
    gv_arena arena;
    gv_status st = check_config(config, err);

    *out = NULL;
    if (st != GV_OK)
        return st;
    gv_arena_init(&arena, config->mem, config->mem_bytes);
    spool *s = gv_arena_alloc(&arena, sizeof *s);
    uint8_t *io = gv_arena_alloc(&arena, io_bytes(config));
    void *lz4 = gv_arena_alloc(&arena, (size_t)LZ4_sizeofState());
    if (!s || !io || !lz4)
        return gv_fail(err, GV_INVAL, "spool: %zu bytes of memory are too few, %zu are needed",
                       config->mem_bytes, spool_mem_needed(config));
    *s = (spool){ .config = *config, .lock_file = -1, .lz4 = lz4 };
    s->io = gv_buf_of(io, io_bytes(config));
    st = take_directory(s, err);
    if (st != GV_OK)
        return st;
    st = spool_recover(s, err);
    if (st != GV_OK) {
        spool_fs(s)->close(spool_fs(s)->ctx, s->lock_file);
        return st;
    }
    *out = s;
    return GV_OK;
}

static void save_cursor(spool *s)
{
    if (!s->cursor_dirty)
        return;
    s->cursor.next_seq = s->committed_seq;
    s->cursor.records_before = s->records_committed;
    /* A hint: when it cannot be saved, batches that were sent may be sent again. */
    if (spool_cursor_save(spool_fs(s), s->config.dir, &s->cursor, NULL) == GV_OK)
        s->cursor_dirty = false;
    s->cursor_at_ms = plat_mono_ms(s->config.clock) + s->config.cursor_ms;
}

/* Nothing waits: the last segments go, too, once their sequences are remembered elsewhere. */
static void rest(spool *s)
{
    tail_segment *t = &s->tail;
    bool is_used = t->is_open && t->committed > 0;

    if (s->state.pending > 0 || s->window_count > 0 || s->read_seq < s->committed_seq)
        return;
    s->state.batches = s->state.unread = s->state.records = 0;
    s->state.oldest_ms = 0;
    memset(s->thin_after, 0, sizeof s->thin_after);
    s->drop_count = s->hole_count = 0;
    if (!is_used && !s->head.is_open)
        return;
    s->cursor_dirty = true;
    save_cursor(s);
    if (s->cursor_dirty)
        return; /* without it sequences would begin again */
    if (is_used)
        tail_seal(s);
    if (s->head.is_open)
        head_finish(s);
    if (is_used && s->head.after < t->first_seq) {
        s->head.after = t->first_seq;
        segment_away(s, t->first_seq, false);
    }
}

uint64_t spool_tick(spool *s)
{
    head_retire(s);
    rest(s);
    if (s->cursor_dirty && plat_mono_ms(s->config.clock) >= s->cursor_at_ms)
        save_cursor(s);
    return s->cursor_dirty ? s->cursor_at_ms : UINT64_MAX;
}

const spool_state *spool_look(const spool *s)
{
    return &s->state;
}

void spool_close(spool *s)
{
    const plat_fs *fs;

    if (!s)
        return;
    fs = spool_fs(s);
    head_retire(s);
    rest(s);
    /* The next start has to know what was promised, to tell damage from a torn end. */
    if (s->committed_seq > 1 && s->cursor.next_seq < s->committed_seq)
        s->cursor_dirty = true;
    save_cursor(s);
    if (s->tail.is_open)
        tail_seal(s);
    if (s->head.is_open)
        fs->close(fs->ctx, s->head.walk.file);
    fs->close(fs->ctx, s->lock_file);
}
