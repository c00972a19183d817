#include "tests/powerloss/spool_world.h"

#include "spool/format.h"

/* --- damage -------------------------------------------------------------------------------------------- */
/* The first segment on the disk. */
static const char *first_segment(const spool_world *w)
{
    const char *found = NULL;

    for (size_t i = 0; disk_double_name(w->disk, i); i++) {
        const char *path = disk_double_name(w->disk, i);
        uint64_t seq;
        if (strrchr(path, '/') == path + strlen(WORLD_DIR) &&
            spool_segment_parse(path + strlen(WORLD_DIR) + 1, &seq) &&
            (!found || strcmp(path, found) < 0))
            found = path;
    }
    world_hold(w, found, "no segment to be damaged");
    return found;
}

static void expect_damage(spool_world *w, const spool_header *header)
{
    w->model.is[header->meta.fingerprint] |= BATCH_DAMAGED;
    w->model.damaged++;
}

void world_damage_first(spool_world *w)
{
    const char *path = first_segment(w);
    spool_header header;
    gv_span content;

    world_hold(w,
               disk_double_look(w->disk, path, &content) &&
                   spool_header_get(content, &header) == SPOOL_HEADER_OK,
               "no batch to be damaged");
    disk_double_flip(w->disk, path, SPOOL_HEADER_BYTES, 1);
    expect_damage(w, &header);
}

/* All batches of the first segment are as good as lost. */
void world_spoil_first(spool_world *w)
{
    const char *path = first_segment(w);
    spool_header header;
    gv_span content;

    world_hold(w, disk_double_look(w->disk, path, &content), "no file");
    for (uint64_t at = 0; at < content.len; at += SPOOL_ALIGN)
        if (spool_header_get(gv_span_of(content.data + at, SPOOL_ALIGN), &header) ==
            SPOOL_HEADER_OK)
            expect_damage(w, &header);
    w->model.damaged += WORLD_BATCHES; /* what had already gone behind it is told, too */
    disk_double_unreadable(w->disk, path, 0, content.len);
    w->may_fail = true; /* the reader is told before the segment is given up */
}

/* --- the check ----------------------------------------------------------------------------------------- */
static void check_empty(const spool_world *w)
{
    static const char *const stays[] = { "lock", "cursor" };
    const size_t dir = strlen(WORLD_DIR) + 1;

    for (size_t i = 0; disk_double_name(w->disk, i); i++) {
        const char *name = disk_double_name(w->disk, i) + dir;
        bool is_ours = strncmp(name, "quarantine/", 11) == 0;
        for (size_t n = 0; n < sizeof stays / sizeof stays[0]; n++)
            is_ours = is_ours || strcmp(name, stays[n]) == 0;
        world_hold(w, is_ours, "%s stays though nothing waits", name);
    }
}

static void check_state(const spool_world *w)
{
    const spool_state *s = spool_look(w->spool);

    world_hold(w,
               s->batches == 0 && s->unread == 0 && s->pending == 0 && s->window == 0 &&
                   s->records == 0 && s->oldest_ms == 0 && s->bytes == 0 && s->segments == 0,
               "empty, it says %llu batches (%llu unread, %llu pending, %llu in the window), "
               "%llu records, %llu bytes in %llu segments",
               (unsigned long long)s->batches, (unsigned long long)s->unread,
               (unsigned long long)s->pending, (unsigned long long)s->window,
               (unsigned long long)s->records, (unsigned long long)s->bytes,
               (unsigned long long)s->segments);
}

/* Life goes on, with a sequence that nothing had before. */
static void check_goes_on(spool_world *w)
{
    uint64_t highest = w->model.highest_seq;
    uint32_t n = w->model.count;

    world_run(w, "acn");
    world_hold(w, w->window_count == 1, "a new batch does not come");
    world_hold(w, w->window[0].number == n, "another batch comes instead of the new one");
    world_hold(w, w->window[0].seq > highest, "sequence %llu comes again",
               (unsigned long long)w->window[0].seq);
    world_run(w, "k");
}

void world_check(spool_world *w)
{
    world_open(w);
    world_drain(w);
    spool_tick(w->spool);
    check_empty(w);
    check_state(w);
    check_goes_on(w);
    world_close(w);
    check_empty(w);
    world_hold(w, w->damaged_batches <= w->model.damaged,
               "%llu batches are reported as damaged, the last: %s",
               (unsigned long long)w->damaged_batches, w->damage);
}
