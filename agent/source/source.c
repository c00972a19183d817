#include "agent/source/internal.h"

#include "agent/source/cursor.h"
#include "platform/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- feeds ------------------------------------------------------------------------------------ */

static size_t houses_of(const source_list *l)
{
    return l->house_count ? l->house_count : 1;
}

size_t source_feeds_max(const source_config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->list_count; i++) {
        const source_list *l = &c->lists[i];
        size_t realms = l->all_realms ? SOURCE_REALMS_PER_LIST : l->realm_count;
        n += realms * houses_of(l) + (l->commodities ? 1 : 0);
    }
    return n;
}

size_t source_memory_bytes(const source_config *config)
{
    return sizeof(source) + source_feeds_max(config) * sizeof(feed) +
           config->list_count * sizeof(realm_index) + INDEX_BYTES_MAX;
}

static feed *find_feed(source *s, const char *region, uint32_t realm, uint32_t house)
{
    for (uint32_t i = 0; i < s->counts.feeds; i++) {
        feed *f = &s->feeds[i];
        if (f->realm == realm && f->house == house && strcmp(f->region, region) == 0)
            return f;
    }
    return NULL;
}

static gv_status add_feed(source *s, const source_list *l, uint32_t realm, uint32_t house,
                          gv_error *err)
{
    if (find_feed(s, l->region, realm, house))
        return GV_OK;
    if (s->counts.feeds == s->feed_cap)
        return gv_fail(err, GV_FULL, "more than %d connected realms in %s: name the ones you want",
                       SOURCE_REALMS_PER_LIST, l->region);
    feed *f = &s->feeds[s->counts.feeds++];
    *f = (feed){ .game = l->game, .realm = realm, .house = house, .records = -1 };
    snprintf(f->region, sizeof f->region, "%s", l->region);
    cursor_load(&s->fs, s->config.cursor_dir, f);
    return GV_OK;
}

gv_status source_add_realm(source *s, const source_list *l, uint32_t realm, gv_error *err)
{
    gv_status st = GV_OK;
    for (size_t h = 0; h < houses_of(l) && st == GV_OK; h++)
        st = add_feed(s, l, realm, l->house_count ? l->houses[h] : 0, err);
    return st;
}

static gv_status add_lists(source *s, gv_error *err)
{
    gv_status st = GV_OK;
    for (size_t i = 0; i < s->config.list_count && st == GV_OK; i++) {
        const source_list *l = &s->config.lists[i];
        if (l->all_realms)
            s->indexes[s->index_count++].list = l;
        for (size_t r = 0; r < l->realm_count && st == GV_OK; r++)
            st = source_add_realm(s, l, l->realms[r], err);
        if (l->commodities && st == GV_OK)
            st = add_feed(s, l, 0, 0, err);
    }
    return st;
}

/* --- outcomes --------------------------------------------------------------------------------- */

static void feed_done(source *s, feed *f, bool failed)
{
    f->state = FEED_DONE;
    s->counts.feeds_done++;
    s->counts.feeds_failed += failed;
}

static void note_age(source *s, feed *f, uint64_t now_ms, int64_t server_date)
{
    f->answered = true;
    f->age_ms = schedule_age_ms(f, server_date);
    f->answered_ms = now_ms;
    if (f->stale && f->age_ms <= s->config.schedule.stale_after_ms) {
        f->stale = false;
        s->counts.feeds_stale--;
    }
}

static void warn_when_stale(source *s, feed *f, uint64_t now_ms)
{
    if (f->stale || !f->answered)
        return;
    uint64_t age_ms = f->age_ms + (now_ms - f->answered_ms);
    if (age_ms <= s->config.schedule.stale_after_ms)
        return;
    char name[FEED_NAME_MAX];
    feed_name(f, name);
    f->stale = true;
    s->counts.feeds_stale++;
    GV_LOG(GV_LOG_WARN, gv_kmsg("data is stale: no newer snapshot"), gv_kstr("feed", name),
           gv_kuint("age_s", age_ms / 1000));
}

void source_answered(source *s, feed *f, int64_t server_date)
{
    uint64_t now_ms = plat_mono_ms(s->clock);
    f->token_retried = false;
    s->counts.feeds_failing -= f->failures > 0;
    f->trouble[0] = '\0';
    if (server_date > 0)
        plat_clock_raise_floor(s->clock, server_date * 1000);
    schedule_next(f, &s->config.schedule, &s->random, now_ms, server_date);
    note_age(s, f, now_ms, server_date);
    f->state = FEED_IDLE;
    if (s->config.single_pass)
        feed_done(s, f, false);
}

void source_failed(source *s, feed *f, uint64_t at_least_ms, const char *reason)
{
    char name[FEED_NAME_MAX];
    feed_name(f, name);
    uint64_t now_ms = plat_mono_ms(s->clock);
    s->counts.feeds_failing += f->failures == 0;
    snprintf(f->trouble, sizeof f->trouble, "%s", reason);
    schedule_retry(f, &s->config.schedule, &s->random, now_ms, at_least_ms);
    f->token_retried = false;
    f->state = FEED_IDLE;
    if (s->config.single_pass && f->failures >= SOURCE_SINGLE_PASS_TRIES)
        feed_done(s, f, true);
    if (s->stopping)
        return;
    GV_LOG(GV_LOG_WARN, gv_kmsg("snapshot not fetched"), gv_kstr("feed", name),
           gv_kstr("reason", reason), gv_kuint("failures", f->failures),
           gv_kuint("next_try_ms", f->due_ms - now_ms));
}

/* By its own clock; what has passed since it answered may be long, when a broker was away. */
static int64_t server_time(const slot *k, uint64_t now_ms)
{
    return k->date > 0 ? k->date + (int64_t)((now_ms - k->date_ms) / 1000) : k->date;
}

static void commit(source *s, slot *k)
{
    gv_error err = { 0, "" };
    feed *f = k->feed;
    f->last_modified = k->last_modified;
    memcpy(f->etag, k->etag, sizeof f->etag);
    f->records = k->records;
    f->realm_verified = 0;
    s->counts.snapshots++;
    plat_clock_raise_floor(s->clock, f->last_modified * 1000);
    if (cursor_save(&s->fs, s->config.cursor_dir, f, &err) != GV_OK)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("cursor not saved: a restart fetches this snapshot again"),
               gv_kstr("error", err.text));
    source_answered(s, f, server_time(k, plat_mono_ms(s->clock)));
}

void source_settle(source *s, unsigned number, source_outcome outcome, const char *reason)
{
    slot *k = &s->slots[number];
    assert(k->state == SLOT_SETTLING);
    feed *f = k->feed;
    switch (outcome) {
    case SETTLE_SAFE:
        commit(s, k);
        break;
    case SETTLE_BROKEN:
        s->counts.broken++;
        f->realm_verified = 0;
        source_failed(s, f, 0, reason);
        break;
    case SETTLE_AGAIN:
        f->realm_verified = k->last_modified;
        f->state = FEED_IDLE; /* and still due */
        break;
    }
    k->state = SLOT_FREE;
    k->feed = NULL;
}

/* --- what is due ------------------------------------------------------------------------------ */

static slot *free_slot(source *s)
{
    for (unsigned i = 0; i < s->config.max_transfers; i++)
        if (s->slots[i].state == SLOT_FREE)
            return &s->slots[i];
    return NULL;
}

static feed *next_feed(source *s)
{
    feed *best = NULL;
    for (uint32_t i = 0; i < s->counts.feeds; i++) {
        feed *f = &s->feeds[i];
        if (f->state == FEED_IDLE && (!best || f->due_ms < best->due_ms))
            best = f;
    }
    return best;
}

static realm_index *next_index(source *s)
{
    realm_index *best = NULL;
    for (size_t i = 0; i < s->index_count; i++) {
        realm_index *x = &s->indexes[i];
        if (!(s->config.single_pass && x->done) && (!best || x->due_ms < best->due_ms))
            best = x;
    }
    return best;
}

/* Without a token a single pass comes to nothing: everything that waits for one has failed. */
static void give_up(source *s)
{
    for (uint32_t i = 0; i < s->counts.feeds; i++)
        if (s->feeds[i].state == FEED_IDLE)
            feed_done(s, &s->feeds[i], true);
    for (size_t i = 0; i < s->index_count; i++) {
        s->counts.feeds_failed += !s->indexes[i].done;
        s->indexes[i].done = true;
    }
}

/* The request could not even be made. Returns when to go on. */
static uint64_t not_started(source *s, feed *f, realm_index *x, gv_status st, const gv_error *err)
{
    if (st == GV_AGAIN) /* no room in the client */
        return plat_mono_ms(s->clock) + s->config.schedule.retry_min_ms;
    if (x) {
        realm_index_failed(s, x, 0, err->text);
    } else {
        s->counts.failures++;
        source_failed(s, f, 0, err->text);
    }
    return 0;
}

/* One request, if any is due and allowed now. Returns when to try again: 0 at once, UINT64_MAX after
 * the next event. */
static uint64_t start_one(source *s, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    slot *k = free_slot(s);
    feed *f = k ? next_feed(s) : NULL;
    realm_index *x = s->asking ? NULL : next_index(s);
    if (x && x->due_ms > now_ms && f)
        x = x->due_ms < f->due_ms ? x : NULL;
    uint64_t due_ms = x ? x->due_ms : f ? f->due_ms : UINT64_MAX;
    if (due_ms > now_ms)
        return due_ms;
    if (!token_usable(&s->token, now_ms)) {
        if (!s->config.single_pass || s->token.failures < SOURCE_SINGLE_PASS_TRIES)
            return token_tick(&s->token, now_ms);
        give_up(s);
        return UINT64_MAX;
    }
    uint64_t wait_ms = rate_take(&s->rate, now_ms);
    if (wait_ms)
        return now_ms + wait_ms;
    gv_status st = x ? realm_index_ask(s, x, &err) : fetch_start(k, f, &err);
    return st == GV_OK ? 0 : not_started(s, f, x, st, &err);
}

uint64_t source_tick(source *s)
{
    uint64_t now_ms = plat_mono_ms(s->clock), next_ms = 0;
    if (s->stopping)
        return UINT64_MAX;
    for (uint32_t i = 0; i < s->counts.feeds; i++)
        warn_when_stale(s, &s->feeds[i], now_ms);
    if (s->held)
        return UINT64_MAX;
    while (next_ms == 0)
        next_ms = start_one(s, now_ms);
    s->counts.tokens = s->token.fetched;
    s->counts.key_refused = s->token.refused;
    return next_ms;
}

/* --- life ------------------------------------------------------------------------------------- */

gv_status source_open(const source_config *config, http_client *http, const plat_fs *fs,
                      plat_clock *clock, const source_events *events, source **out, gv_error *err)
{
    assert(config->max_transfers >= 1 && config->max_transfers <= SOURCE_TRANSFERS_MAX);
    gv_status st = fs->make_dir(fs->ctx, config->cursor_dir, err);
    if (st != GV_OK)
        return st;
    source *s = calloc(1, sizeof *s);
    size_t cap = source_feeds_max(config);
    feed *feeds = calloc(cap ? cap : 1, sizeof *feeds);
    realm_index *indexes = calloc(config->list_count ? config->list_count : 1, sizeof *indexes);
    char *text = malloc(INDEX_BYTES_MAX);
    if (!s || !feeds || !indexes || !text) {
        free(s);
        free(feeds);
        free(indexes);
        free(text);
        return gv_fail(err, GV_FULL, "no memory for %zu feeds", cap);
    }
    *s = (source){ .config = *config,
                   .events = *events,
                   .http = http,
                   .fs = *fs,
                   .clock = clock,
                   .feeds = feeds,
                   .feed_cap = cap,
                   .indexes = indexes,
                   .index_text = text };
    uint64_t now_ms = plat_mono_ms(clock);
    schedule_seed(&s->random, now_ms ^ (uint64_t)clock->wall_ms(clock->ctx) << 20);
    rate_init(&s->rate, config->requests_per_s, config->requests_per_hour, now_ms);
    s->token_config =
        (token_config){ config->token_url, config->client_id,          config->client_secret,
                        config->ca_file,   config->connect_timeout_ms, config->stall_timeout_ms,
                        config->schedule };
    token_init(&s->token, &s->token_config, http, clock, &s->random);
    for (unsigned i = 0; i < SOURCE_TRANSFERS_MAX; i++)
        s->slots[i] = (slot){ .owner = s, .number = i };
    /* All of them: which realms "all" are is known only after TLS has believed the clock. */
    plat_clock_raise_floor(clock, cursor_newest(fs, config->cursor_dir) * 1000);
    st = add_lists(s, err);
    if (st != GV_OK)
        source_close(s);
    else
        *out = s;
    return st;
}

void source_resume(source *s, unsigned number)
{
    if (s->slots[number].state == SLOT_RECEIVING)
        http_resume(s->slots[number].transfer);
}

void source_note_records(source *s, unsigned number, uint64_t records)
{
    s->slots[number].records = (int64_t)records;
}

void source_hold(source *s, bool hold)
{
    s->held = hold;
}

void source_stop(source *s)
{
    static const gv_error stopped = { 0, "stopped" };
    s->stopping = true;
    token_stop(&s->token);
    if (s->index_transfer)
        http_cancel(s->index_transfer);
    s->index_transfer = NULL;
    for (unsigned i = 0; i < SOURCE_TRANSFERS_MAX; i++) {
        slot *k = &s->slots[i];
        if (k->transfer)
            http_cancel(k->transfer);
        k->transfer = NULL;
        if (k->state == SLOT_ASKING) {
            k->state = SLOT_FREE;
        } else if (k->state == SLOT_RECEIVING) {
            k->state = SLOT_SETTLING;
            s->events.end(s->events.ctx, i, GV_IO, &stopped);
        }
    }
}

bool source_busy(const source *s)
{
    for (unsigned i = 0; i < SOURCE_TRANSFERS_MAX; i++)
        if (s->slots[i].state != SLOT_FREE)
            return true;
    return false;
}

bool source_finished(const source *s)
{
    for (size_t i = 0; i < s->index_count; i++)
        if (!s->indexes[i].done)
            return false;
    return s->counts.feeds_done == s->counts.feeds && !source_busy(s);
}

const source_counts *source_state(const source *s)
{
    return &s->counts;
}

void source_close(source *s)
{
    if (!s)
        return;
    source_stop(s);
    free(s->feeds);
    free(s->indexes);
    free(s->index_text);
    free(s);
}
