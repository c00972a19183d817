#include "tests/powerloss/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOUR_MS   INT64_C(3600000)
#define PER_HOUR  4u /* batches of a snapshot; its last one is the ledger entry */
#define CURSOR_MS 1000u
#define TRIES     20u  /* a disk that fails for longer is a mistake in the test */
#define GAP_BYTES 200u /* of a gap entry, as they are */
#define MANY      (1u << 30)

/* --- broken promises --------------------------------------------------------------------------------- */
static char said[256];

void world_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(said, sizeof said, fmt, args);
    va_end(args);
}

void world_broken(const spool_world *w, const char *fmt, ...)
{
    va_list args;
    gv_span content;

    print_error("%s: ", said);
    va_start(args, fmt);
    vprint_error(fmt, args);
    va_end(args);
    print_error("\n");
    for (uint32_t i = 0; i < w->model.count; i++)
        if (w->model.is[i] != (BATCH_APPENDED | BATCH_PROMISED | BATCH_ACKED))
            print_error("  batch %u: state %02x, hour %u, kind %u%s\n", i, w->model.is[i],
                        w->model.hour[i], w->model.kind[i], w->came[i] ? ", came" : "");
    for (size_t i = 0; disk_double_name(w->disk, i); i++) {
        const char *name = disk_double_name(w->disk, i);
        print_error("  %s: %zu bytes\n", name,
                    disk_double_look(w->disk, name, &content) ? content.len : 0);
    }
    fail();
}

/* --- batches ------------------------------------------------------------------------------------------- */
/* Two thirds of it cannot be compressed, so that segments fill. */
gv_span world_payload(uint32_t number)
{
    static uint8_t bytes[WORLD_BATCHES][WORLD_PAYLOAD];
    static size_t lengths[WORLD_BATCHES];
    uint64_t x = number * UINT64_C(0x9E3779B97F4A7C15) + 1;

    if (lengths[number] == 0) {
        lengths[number] = number % 7 == 3 ? 1 + number : 3000 + number * 7919u % 17400u;
        for (size_t i = 0; i < lengths[number]; i++) {
            x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[number][i] = i % 3 == 0 ? (uint8_t)number : (uint8_t)(x >> 56);
        }
    }
    return gv_span_of(bytes[number], lengths[number]);
}

static gv_span payload_of(const spool_world *w, uint32_t number)
{
    gv_span payload = world_payload(number);

    if (w->model.kind[number] == SPOOL_GAP && payload.len > GAP_BYTES)
        payload.len = GAP_BYTES;
    return payload;
}

spool_meta world_meta(const spool_world *w, uint32_t number)
{
    const spool_model *m = &w->model;

    return (spool_meta){ .snapshot = { "eu", m->hour[number] % 3u, 0, m->hour[number] * HOUR_MS },
                         .fingerprint = m->kind[number] == SPOOL_GAP ? 0 : number,
                         .records = m->kind[number] == SPOOL_GAP ? 1 : 10 + number,
                         .kind = (spool_kind)m->kind[number] };
}

uint32_t world_next_number(spool_world *w)
{
    spool_model *m = &w->model;
    uint32_t n = m->count++;
    uint32_t auctions = 0;

    world_hold(w, n < WORLD_BATCHES, "too many steps");
    for (uint32_t i = 0; i < n; i++)
        auctions += m->kind[i] != SPOOL_GAP;
    m->is[n] = 0;
    m->hour[n] = (uint8_t)(1 + auctions / PER_HOUR);
    m->kind[n] = auctions % PER_HOUR == PER_HOUR - 1 ? SPOOL_LEDGER : SPOOL_AUCTIONS;
    return n;
}

static bool has_to_come(const spool_model *m, uint32_t n)
{
    return (m->is[n] & (BATCH_PROMISED | BATCH_ACKED | BATCH_DROPPED | BATCH_DAMAGED)) ==
           BATCH_PROMISED;
}

/* --- worlds -------------------------------------------------------------------------------------------- */
static void on_event(void *ctx, const spool_event *event)
{
    spool_world *w = ctx;

    world_hold(w, event->text[0] != '\0' && event->file != NULL, "an event without words");
    w->events[event->kind]++;
    if (event->kind != SPOOL_DAMAGED)
        return;
    w->damaged_batches +=
        event->last_seq < event->first_seq ? 1 : event->last_seq - event->first_seq + 1;
    snprintf(w->damage, sizeof w->damage, "%llu to %llu in %s: %s",
             (unsigned long long)event->first_seq, (unsigned long long)event->last_seq, event->file,
             event->text);
}

static void connect(spool_world *w)
{
    w->fs = disk_double_table(w->disk);
    w->clock = clock_double_table(&w->now);
    w->config.fs = &w->fs;
    w->config.clock = &w->clock;
    w->config.ctx = w;
}

void world_init(spool_world *w, uint64_t quota_bytes)
{
    *w = (spool_world){ .disk = disk_double_new(64u << 20) };
    w->config = (spool_config){ .dir = WORLD_DIR,
                                .payload_bytes = WORLD_PAYLOAD,
                                .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                                .quota_bytes = quota_bytes ? quota_bytes : MANY,
                                .quarantine_bytes = MANY,
                                .window = 4,
                                .cursor_ms = CURSOR_MS,
                                .event = on_event };
    w->config.mem_bytes = spool_mem_needed(&w->config);
    w->config.mem = malloc(w->config.mem_bytes);
    assert_non_null(w->config.mem);
    connect(w);
}

void world_branch(spool_world *to, const spool_world *from)
{
    disk_double *before = to->disk;
    void *mem = to->config.mem ? to->config.mem : malloc(from->config.mem_bytes);

    assert_non_null(mem);
    *to = *from;
    to->config.mem = mem;
    to->spool = NULL;
    to->disk = disk_double_copy(from->disk);
    if (before)
        disk_double_free(before);
    connect(to);
}

void world_free(spool_world *w)
{
    if (w->disk)
        disk_double_free(w->disk);
    free(w->config.mem);
    *w = (spool_world){ 0 };
}

bool world_is_dead(const spool_world *w)
{
    return w->disk->dead_at && w->disk->operations >= w->disk->dead_at;
}

static void begin_life(spool_world *w)
{
    w->pending_count = w->window_count = 0;
    w->last_seq = 0;
    memset(w->came, 0, sizeof w->came);
    memset(w->events, 0, sizeof w->events);
    w->damaged_batches = 0;
}

/* A disk that failed for long enough is well again. */
static void heal(spool_world *w, unsigned tries)
{
    world_hold(w, tries < TRIES, "the spool does not go on though the disk is well");
    if (tries >= 2 && w->disk->operations >= w->disk->fail_at)
        w->disk->fail_at = 0;
}

void world_open(spool_world *w)
{
    gv_error err = { 0, "" };
    gv_status st = GV_IO;

    begin_life(w);
    for (unsigned tries = 0; st != GV_OK && !world_is_dead(w); tries++) {
        err = (gv_error){ 0, "" };
        heal(w, tries);
        st = spool_open(&w->config, &w->spool, &err);
        world_hold(w, st == GV_OK || w->may_fail || world_is_dead(w), "spool_open: %s", err.text);
        if (st != GV_OK) {
            world_hold(w, w->spool == NULL, "spool_open fails and gives a spool");
            world_hold(w, disk_double_open_files(w->disk) == 0,
                       "spool_open fails and leaves files open");
        }
    }
}

void world_close(spool_world *w)
{
    spool_close(w->spool);
    w->spool = NULL;
    world_hold(w, disk_double_open_files(w->disk) == 0, "spool_close leaves files open");
}

void world_abandon(spool_world *w)
{
    w->spool = NULL;
}

/* --- writing ------------------------------------------------------------------------------------------- */
/* All but the last `left` of those appended are promised. */
static void promise_but(spool_world *w, uint64_t left)
{
    spool_model *m = &w->model;
    uint32_t done;

    world_hold(w, left <= w->pending_count, "more is pending than was appended");
    done = w->pending_count - (uint32_t)left;
    for (uint32_t i = 0; i < done; i++)
        m->is[w->pending[i]] |= BATCH_PROMISED;
    w->pending_count -= done;
    memmove(w->pending, w->pending + done, w->pending_count * sizeof *w->pending);
}

gv_status world_append(spool_world *w, uint32_t number)
{
    gv_error err = { 0, "" };
    spool_meta meta = world_meta(w, number);
    gv_status st;

    w->model.is[number] |= BATCH_APPENDED;
    w->model.order[number] = ++w->model.ordinal;
    st = spool_append(w->spool, &meta, payload_of(w, number), &err);
    world_hold(w, (st == GV_OK) == (err.text[0] == '\0'), "an error without words, or the reverse");
    world_hold(w, st == GV_OK || st == GV_FULL || w->may_fail || world_is_dead(w),
               "spool_append: %s", err.text);
    if (st == GV_OK)
        w->pending[w->pending_count++] = number;
    if (st != GV_IO)
        promise_but(w, spool_look(w->spool)->pending);
    return st;
}

static bool is_in_use(void *ctx, const spool_snapshot *snapshot)
{
    const spool_world *w = ctx;
    uint32_t n = w->model.count - 1;

    while (n > 0 && w->model.kind[n] == SPOOL_GAP)
        n--;
    return w->model.kind[n] != SPOOL_LEDGER && snapshot->time_ms == w->model.hour[n] * HOUR_MS;
}

/* The victim's batches are those that wait, of its snapshot; when some that need not come are still
 * there, they may be counted, too. */
static void check_victim(const spool_world *w, const spool_victim *v)
{
    const spool_model *m = &w->model;
    uint64_t waiting = 0, others = 0, entries = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        if (m->hour[i] * HOUR_MS != v->snapshot.time_ms || m->kind[i] == SPOOL_GAP || w->came[i])
            continue;
        if (has_to_come(m, i)) {
            waiting++;
            entries += 10 + i;
        } else {
            others++;
        }
    }
    world_hold(w, v->batches >= waiting && v->batches <= waiting + others,
               "victim of %llu batches, where %llu wait", (unsigned long long)v->batches,
               (unsigned long long)waiting);
    world_hold(w, v->batches != waiting || others > 0 || v->entries == entries,
               "victim of %llu entries, not %llu", (unsigned long long)v->entries,
               (unsigned long long)entries);
}

static void mark_dropped(spool_world *w, int64_t time_ms)
{
    spool_model *m = &w->model;

    for (uint32_t i = 0; i < m->count; i++)
        if (m->hour[i] * HOUR_MS == time_ms && m->kind[i] != SPOOL_GAP && !w->came[i] &&
            (m->is[i] & BATCH_PROMISED))
            m->is[i] |= BATCH_DROPPED;
}

static void append_again(spool_world *w);

/* Answers whether a snapshot gave way. */
static bool drop(spool_world *w, spool_policy policy)
{
    spool_victim victim;
    gv_error err = { 0, "" };
    gv_status st = spool_choose(w->spool, policy, is_in_use, w, &victim, &err);

    world_hold(w, st == GV_OK || st == GV_AGAIN || w->may_fail || world_is_dead(w),
               "spool_choose: %s", err.text);
    if (st != GV_OK)
        return false;
    if (!w->may_fail)
        check_victim(w, &victim);
    uint32_t gap = world_next_number(w);
    w->model.hour[gap] = (uint8_t)(victim.snapshot.time_ms / HOUR_MS);
    w->model.kind[gap] = SPOOL_GAP;
    w->model.is[gap] = BATCH_APPENDED;
    w->model.order[gap] = ++w->model.ordinal;
    st = spool_drop(w->spool, &victim, payload_of(w, gap), &err);
    world_hold(w, st == GV_OK || w->may_fail || world_is_dead(w), "spool_drop: %s", err.text);
    if (st == GV_OK) {
        promise_but(w, 0);
        w->model.is[gap] |= BATCH_PROMISED;
        mark_dropped(w, victim.snapshot.time_ms);
    } else if (st == GV_IO) {
        append_again(w);
    } else {
        promise_but(w, spool_look(w->spool)->pending);
    }
    return st == GV_OK;
}

/* One batch, for as long as it takes; false: the disk is dead, or after GV_IO those before it are due
 * again. */
static bool put_one(spool_world *w, uint32_t number)
{
    for (unsigned tries = 0; !world_is_dead(w); tries++) {
        gv_status st;
        heal(w, tries);
        st = world_append(w, number);
        if (st != GV_FULL)
            return st == GV_OK;
        if (tries > 0 && !drop(w, SPOOL_DROP_OLDEST) && !w->may_fail)
            world_run(w, "nk"); /* what is being written is not dropped: something has to be sent */
    }
    return false;
}

/* After GV_IO: all since the last commit, in order, until it works. */
static void append_again(spool_world *w)
{
    uint32_t list[WORLD_BATCHES], count = w->pending_count, done = 0;

    memcpy(list, w->pending, count * sizeof *list);
    for (unsigned tries = 0; done < count && !world_is_dead(w); tries++) {
        heal(w, tries);
        w->pending_count = 0;
        for (done = 0; done < count; done++) {
            w->model.is[list[done]] |= BATCH_AGAIN;
            if (!put_one(w, list[done]))
                break;
        }
    }
}

static void put(spool_world *w, uint32_t number)
{
    if (put_one(w, number) || world_is_dead(w))
        return;
    w->pending[w->pending_count++] = number;
    append_again(w);
}

static void commit(spool_world *w)
{
    gv_status st = GV_IO;

    for (unsigned tries = 0; st != GV_OK && !world_is_dead(w); tries++) {
        gv_error err = { 0, "" };
        heal(w, tries);
        st = spool_commit(w->spool, &err);
        world_hold(w, st == GV_OK || w->may_fail || world_is_dead(w), "spool_commit: %s", err.text);
        world_hold(w, st == GV_OK || st == GV_IO, "spool_commit answers %s", gv_status_name(st));
        if (st == GV_OK)
            promise_but(w, 0);
        else
            append_again(w);
    }
}

/* A gap entry is known by its payload alone. */
static uint32_t number_of(const spool_world *w, const spool_meta *meta, gv_span payload)
{
    const spool_model *m = &w->model;
    uint32_t n = (uint32_t)meta->fingerprint;

    if (meta->kind == SPOOL_GAP)
        for (n = 0; n < m->count; n++)
            if (m->kind[n] == SPOOL_GAP && gv_span_equal(payload, payload_of(w, n)))
                break;
    world_hold(w, n < m->count && (m->is[n] & BATCH_APPENDED), "batch %u was never appended", n);
    return n;
}

/* --- reading ------------------------------------------------------------------------------------------- */
/* Its number. */
static uint32_t check_batch(spool_world *w, const spool_meta *meta, gv_span payload, uint64_t seq)
{
    spool_model *m = &w->model;
    uint32_t n = number_of(w, meta, payload);

    spool_meta was = world_meta(w, n);
    world_hold(w,
               spool_snapshot_equal(&meta->snapshot, &was.snapshot) &&
                   meta->records == was.records && meta->kind == was.kind &&
                   meta->fingerprint == was.fingerprint,
               "batch %u has other metadata", n);
    world_hold(w, gv_span_equal(payload, payload_of(w, n)), "batch %u has another payload", n);
    world_hold(w, seq > w->last_seq, "sequence %llu after %llu", (unsigned long long)seq,
               (unsigned long long)w->last_seq);
    for (uint32_t i = 0; i < w->pending_count; i++)
        world_hold(w, w->pending[i] != n || (m->is[n] & BATCH_AGAIN),
                   "batch %u comes before it is committed", n);
    world_hold(w, !w->came[n] || (m->is[n] & BATCH_AGAIN), "batch %u comes twice", n);
    for (uint32_t i = 0; i < m->count && has_to_come(m, n) && !(m->is[n] & BATCH_AGAIN); i++)
        world_hold(w, m->order[i] >= m->order[n] || !has_to_come(m, i) || w->came[i],
                   "batch %u comes before batch %u", n, i);
    w->came[n] = true;
    w->last_seq = seq;
    if (seq > m->highest_seq)
        m->highest_seq = seq;
    return n;
}

static bool read_next(spool_world *w)
{
    static uint8_t room[WORLD_PAYLOAD];
    gv_buf payload = gv_buf_of(room, sizeof room);
    gv_error err = { 0, "" };
    spool_meta meta;
    uint64_t seq;
    gv_status st = spool_next(w->spool, &meta, &payload, &seq, &err);

    world_hold(w,
               st == GV_OK || st == GV_AGAIN || (st == GV_IO && (w->may_fail || world_is_dead(w))),
               "spool_next: %s %s", gv_status_name(st), err.text);
    if (st != GV_OK)
        return false;
    uint32_t n = check_batch(w, &meta, gv_span_of(payload.data, payload.len), seq);
    w->window[w->window_count++] = (world_read){ seq, n };
    return true;
}

/* The batch may go from the moment it is told. */
static void acknowledge(spool_world *w, uint32_t i)
{
    world_read done = w->window[i];

    w->window_count--;
    memmove(w->window + i, w->window + i + 1, (w->window_count - i) * sizeof *w->window);
    w->model.is[done.number] |= BATCH_ACKED;
    spool_ack(w->spool, done.seq);
}

static void acknowledge_if_any(spool_world *w, bool last)
{
    if (w->window_count > 0)
        acknowledge(w, last ? w->window_count - 1 : 0);
}

/* Two at a time, the second one acknowledged first. */
static void read_all(spool_world *w)
{
    for (unsigned tries = 0; !world_is_dead(w);) {
        bool first = read_next(w);
        bool second = first && read_next(w);
        bool goes_on = w->window_count > 0;
        if (second)
            acknowledge(w, w->window_count - 1);
        while (w->window_count > 0)
            acknowledge(w, 0);
        tries = goes_on ? 0 : tries + 1;
        if (tries > (w->may_fail ? TRIES : 0))
            return;
    }
}

void world_drain(spool_world *w)
{
    const spool_model *m = &w->model;

    read_all(w);
    if (world_is_dead(w))
        return;
    for (uint32_t i = 0; i < m->count; i++)
        world_hold(w, !has_to_come(m, i), "batch %u is lost", i);
}

/* --- scenarios ----------------------------------------------------------------------------------------- */
static void step(spool_world *w, char what)
{
    switch (what) {
    case 'a':
        put(w, world_next_number(w));
        break;
    case 'c':
        commit(w);
        break;
    case 'n':
        read_next(w);
        break;
    case 'k':
    case 'K':
        acknowledge_if_any(w, what == 'K');
        break;
    case 'r':
        world_drain(w);
        break;
    case 't':
        clock_double_advance(&w->now, CURSOR_MS);
        spool_tick(w->spool);
        break;
    case 'x':
        world_close(w);
        world_open(w);
        break;
    case 'd':
        drop(w, SPOOL_DROP_OLDEST);
        break;
    case 'D':
        drop(w, SPOOL_THIN);
        break;
    case 'q':
        world_damage_first(w);
        break;
    case 'u':
        world_spoil_first(w);
        break;
    default:
        world_broken(w, "there is no step '%c'", what);
    }
}

void world_run(spool_world *w, const char *steps)
{
    for (; *steps && !world_is_dead(w); steps++)
        if (*steps != ' ')
            step(w, *steps);
}
