#include "agent/source/source.h"

#include "agent/source/cursor.h"
#include "agent/source/rate.h"
#include "agent/source/token.h"
#include "platform/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INDEX_BYTES_MAX  (64u * 1024u) /* about 90 bytes a realm, at most 256 realms */
#define INDEX_REFRESH_MS (24u * 3600u * 1000u)

typedef enum { SLOT_FREE, SLOT_ASKING, SLOT_RECEIVING, SLOT_SETTLING } slot_state;

typedef struct {
    source *owner;
    unsigned number;
    slot_state state;
    feed *feed;
    http_transfer *transfer;
    int64_t last_modified; /* of the body that is arriving */
    int64_t date;
    bool unchanged; /* the body that was offered is the one we have */
    char etag[HTTP_ETAG_MAX];
    char url[FEED_URL_MAX];
    char if_modified_since[64];
    char if_none_match[HTTP_ETAG_MAX + 24];
    const char *headers[3];
} slot;

/* The connected realms of a region and game, asked from the index. */
typedef struct {
    const source_list *list;
    uint64_t due_ms;
    uint32_t failures;
    bool token_retried;
    bool done; /* of a single pass */
} realm_index;

struct source {
    source_config config;
    source_events events;
    http_client *http;
    plat_fs fs;
    plat_clock *clock;
    schedule_random random;
    rate_limit rate;
    token_config token_config;
    token token;
    source_counts counts;
    feed *feeds;
    size_t feed_cap;
    realm_index *indexes;
    size_t index_count;
    realm_index *asking; /* the index that is being fetched */
    http_transfer *index_transfer;
    const char *index_headers[1];
    char index_url[FEED_URL_MAX];
    char *index_text;
    size_t index_len;
    bool stopping;
    slot slots[SOURCE_TRANSFERS_MAX];
};

/* --- feeds ------------------------------------------------------------------------------------ */

static size_t houses_of(const source_list *l)
{
    return l->house_count ? l->house_count : 1;
}

static size_t feeds_needed(const source_config *c)
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
    return sizeof(source) + feeds_needed(config) * sizeof(feed) +
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
    *f = (feed){ .game = l->game, .realm = realm, .house = house };
    snprintf(f->region, sizeof f->region, "%s", l->region);
    cursor_load(&s->fs, s->config.cursor_dir, f);
    plat_clock_raise_floor(s->clock, f->last_modified * 1000);
    return GV_OK;
}

static gv_status add_realm(source *s, const source_list *l, uint32_t realm, gv_error *err)
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
            st = add_realm(s, l, l->realms[r], err);
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

static void answered(source *s, feed *f, int64_t server_date)
{
    uint64_t now_ms = plat_mono_ms(s->clock);
    f->token_retried = false;
    if (server_date > 0)
        plat_clock_raise_floor(s->clock, server_date * 1000);
    schedule_next(f, &s->config.schedule, &s->random, now_ms, server_date);
    note_age(s, f, now_ms, server_date);
    f->state = FEED_IDLE;
    if (s->config.single_pass)
        feed_done(s, f, false);
}

static void failed(source *s, feed *f, uint64_t at_least_ms, const char *reason)
{
    char name[FEED_NAME_MAX];
    feed_name(f, name);
    schedule_retry(f, &s->config.schedule, &s->random, plat_mono_ms(s->clock), at_least_ms);
    f->state = FEED_IDLE;
    if (s->config.single_pass && f->failures >= SOURCE_SINGLE_PASS_TRIES)
        feed_done(s, f, true);
    uint64_t now_ms = plat_mono_ms(s->clock);
    if (s->stopping)
        return;
    GV_LOG(GV_LOG_WARN, gv_kmsg("snapshot not fetched"), gv_kstr("feed", name),
           gv_kstr("reason", reason), gv_kuint("failures", f->failures),
           gv_kuint("next_try_ms", f->due_ms > now_ms ? f->due_ms - now_ms : 0));
}

static void commit(source *s, slot *k)
{
    gv_error err = { 0, "" };
    feed *f = k->feed;
    f->last_modified = k->last_modified;
    memcpy(f->etag, k->etag, sizeof f->etag);
    f->realm_verified = 0;
    s->counts.snapshots++;
    plat_clock_raise_floor(s->clock, f->last_modified * 1000);
    if (cursor_save(&s->fs, s->config.cursor_dir, f, &err) != GV_OK)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("cursor not saved: a restart fetches this snapshot again"),
               gv_kstr("error", err.text));
    answered(s, f, k->date);
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
        failed(s, f, 0, reason);
        break;
    case SETTLE_AGAIN:
        f->realm_verified = k->last_modified;
        f->due_ms = plat_mono_ms(s->clock);
        f->state = FEED_IDLE;
        break;
    }
    k->state = SLOT_FREE;
    k->feed = NULL;
}

/* --- one transfer ----------------------------------------------------------------------------- */

/* True when a 401 was answered by dropping the token, once, so that the request is made again. */
static bool retry_with_new_token(source *s, bool *retried)
{
    if (*retried)
        return false;
    *retried = true;
    token_drop(&s->token);
    return true;
}

/* What an error status means, in words. */
static void describe_status(const http_reply *reply, char *text, size_t cap)
{
    static const struct {
        int status;
        const char *means;
    } known[] = {
        { 401, "the API refused a fresh token: check the client's permissions" },
        { 403, "the API forbids it: check api.client_id" },
        { 404, "the API knows no such realm or namespace, or is under maintenance" },
        { 429, "the API asks for fewer requests" },
    };
    const char *means = reply->status >= 500 ? "the API is in trouble" : "unexpected answer";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == reply->status)
            means = known[i].means;
    snprintf(text, cap, "HTTP %d: %s", reply->status, means);
}

static gv_status on_headers(void *ctx, const http_reply *reply, gv_error *err)
{
    slot *k = ctx;
    source *s = k->owner;
    feed *f = k->feed;
    if (reply->status != 200)
        return GV_OK; /* on_done looks at it */
    if (reply->last_modified <= 0)
        return gv_fail(err, GV_INVAL,
                       "the answer has no Last-Modified, so the snapshot has no "
                       "identity");
    if (reply->last_modified <= f->last_modified) {
        k->unchanged = true;
        return GV_INVAL; /* no need of the body */
    }
    k->last_modified = reply->last_modified;
    k->date = reply->date;
    memcpy(k->etag, reply->etag, sizeof k->etag);
    gv_status st = s->events.open(s->events.ctx, k->number, f, reply, err);
    if (st == GV_OK)
        k->state = SLOT_RECEIVING;
    return st;
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    slot *k = ctx;
    source *s = k->owner;
    if (k->state == SLOT_RECEIVING)
        return s->events.data(s->events.ctx, k->number, data, taken, err);
    *taken = data.len; /* the body of an error */
    return GV_OK;
}

/* The transfer ended without a snapshot. */
static void on_no_snapshot(slot *k, gv_status status, const http_reply *reply, const gv_error *err)
{
    source *s = k->owner;
    feed *f = k->feed;
    char reason[160];
    k->state = SLOT_FREE;
    k->feed = NULL;
    if (k->unchanged || (status == GV_OK && reply->status == 304)) {
        s->counts.not_modified++;
        answered(s, f, reply->date);
        return;
    }
    if (reply->status == 401 && retry_with_new_token(s, &f->token_retried)) {
        f->state = FEED_IDLE;
        f->due_ms = plat_mono_ms(s->clock);
        return;
    }
    s->counts.failures++;
    f->token_retried = false;
    if (status != GV_OK) {
        failed(s, f, schedule_asked_ms(reply), err->text);
        return;
    }
    describe_status(reply, reason, sizeof reason);
    if (reply->status == 429) {
        uint64_t wait_ms = schedule_asked_ms(reply) ? schedule_asked_ms(reply) : 1000;
        rate_block(&s->rate, plat_mono_ms(s->clock), wait_ms);
    }
    failed(s, f, schedule_asked_ms(reply), reason);
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    slot *k = ctx;
    k->transfer = NULL;
    if (k->state != SLOT_RECEIVING) {
        on_no_snapshot(k, status, reply, err);
        return;
    }
    k->state = SLOT_SETTLING;
    k->owner->events.end(k->owner->events.ctx, k->number, status, err);
}

/* IMF-fixdate of RFC 9110, in the C locale whatever the process's is. */
static void http_date(int64_t seconds, char *text, size_t cap)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)seconds;
    struct tm utc;
    gmtime_r(&t, &utc);
    snprintf(text, cap, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * utc.tm_wday,
             utc.tm_mday, months + 3 * utc.tm_mon, utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
             utc.tm_sec);
}

static size_t request_headers(slot *k, const feed *f)
{
    size_t n = 0;
    k->headers[n++] = k->owner->token.header;
    if (f->last_modified > 0) {
        char date[40];
        http_date(f->last_modified, date, sizeof date);
        snprintf(k->if_modified_since, sizeof k->if_modified_since, "If-Modified-Since: %s", date);
        k->headers[n++] = k->if_modified_since;
    }
    if (f->etag[0]) {
        snprintf(k->if_none_match, sizeof k->if_none_match, "If-None-Match: %s", f->etag);
        k->headers[n++] = k->if_none_match;
    }
    return n;
}

static http_request request_of(const source *s)
{
    return (http_request){
        .method = "GET",
        .ca_file = s->config.ca_file,
        .accept_gzip = true,
        .connect_timeout_ms = s->config.connect_timeout_ms,
        .stall_timeout_ms = s->config.stall_timeout_ms,
    };
}

static gv_status ask(source *s, slot *k, feed *f, gv_error *err)
{
    if (!feed_url(f, s->config.base_url, k->url, sizeof k->url))
        return gv_fail(err, GV_INVAL, "api.base_url is too long");
    http_request request = request_of(s);
    request.url = k->url;
    request.headers = k->headers;
    request.header_count = request_headers(k, f);
    request.max_body_bytes = s->config.max_body_bytes;
    request.on_headers = on_headers;
    request.on_data = on_data;
    request.on_done = on_done;
    request.ctx = k;
    k->unchanged = false;
    k->feed = f;
    gv_status st = http_start(s->http, &request, &k->transfer, err);
    if (st == GV_OK) {
        k->state = SLOT_ASKING;
        f->state = FEED_RUNNING;
        s->counts.requests++;
    }
    return st;
}

/* --- the realm index -------------------------------------------------------------------------- */

static gv_status index_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    source *s = ctx;
    if (data.len > INDEX_BYTES_MAX - s->index_len)
        return gv_fail(err, GV_FULL, "the realm index is larger than %u bytes", INDEX_BYTES_MAX);
    memcpy(s->index_text + s->index_len, data.data, data.len);
    s->index_len += data.len;
    *taken = data.len;
    return GV_OK;
}

static gv_status index_realm(void *ctx, uint32_t realm, gv_error *err)
{
    source *s = ctx;
    return add_realm(s, s->asking->list, realm, err);
}

static void index_failed(source *s, realm_index *x, const http_reply *reply, const char *reason)
{
    s->counts.failures++;
    uint64_t wait_ms =
        schedule_backoff(&s->config.schedule, &s->random, &x->failures, schedule_asked_ms(reply));
    x->due_ms = plat_mono_ms(s->clock) + wait_ms;
    if (reply->status == 429)
        rate_block(&s->rate, plat_mono_ms(s->clock),
                   schedule_asked_ms(reply) ? schedule_asked_ms(reply) : 1000);
    if (s->config.single_pass && x->failures >= SOURCE_SINGLE_PASS_TRIES) {
        x->done = true;
        s->counts.feeds_failed++;
    }
    GV_LOG(GV_LOG_WARN, gv_kmsg("realm index not fetched"), gv_kstr("region", x->list->region),
           gv_kstr("reason", reason), gv_kuint("next_try_ms", wait_ms));
}

static void index_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    source *s = ctx;
    realm_index *x = s->asking;
    gv_error why = *err;
    s->index_transfer = NULL;
    if (status == GV_OK && reply->status == 401 && retry_with_new_token(s, &x->token_retried)) {
        s->asking = NULL;
        return;
    }
    x->token_retried = false;
    if (status == GV_OK && reply->status != 200) {
        describe_status(reply, why.text, sizeof why.text);
        status = GV_IO;
    }
    if (status == GV_OK)
        status = feed_parse_index(gv_span_of(s->index_text, s->index_len), index_realm, s, &why);
    s->asking = NULL;
    if (status != GV_OK) {
        index_failed(s, x, reply, why.text);
        return;
    }
    x->failures = 0;
    x->done = true;
    x->due_ms = plat_mono_ms(s->clock) + INDEX_REFRESH_MS;
    GV_LOG(GV_LOG_INFO, gv_kmsg("realm index read"), gv_kstr("region", x->list->region),
           gv_kuint("feeds", s->counts.feeds));
}

static gv_status ask_index(source *s, realm_index *x, gv_error *err)
{
    const source_list *l = x->list;
    if (!feed_index_url(l->region, l->game, s->config.base_url, s->index_url, sizeof s->index_url))
        return gv_fail(err, GV_INVAL, "api.base_url is too long");
    http_request request = request_of(s);
    s->index_headers[0] = s->token.header;
    request.url = s->index_url;
    request.headers = s->index_headers;
    request.header_count = 1;
    request.max_body_bytes = INDEX_BYTES_MAX;
    request.on_data = index_data;
    request.on_done = index_done;
    request.ctx = s;
    s->index_len = 0;
    s->asking = x;
    gv_status st = http_start(s->http, &request, &s->index_transfer, err);
    if (st != GV_OK)
        s->asking = NULL;
    else
        s->counts.requests++;
    return st;
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

/* One request, if any is due and allowed now. Returns when to try again: 0 at once, UINT64_MAX after
 * the next event. */
static uint64_t start_one(source *s, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    slot *k = free_slot(s);
    feed *f = k ? next_feed(s) : NULL;
    realm_index *x = s->asking ? NULL : next_index(s);
    uint64_t due_ms = f ? f->due_ms : UINT64_MAX;
    if (x && x->due_ms < due_ms)
        due_ms = x->due_ms;
    if (due_ms > now_ms)
        return due_ms;
    if (!token_usable(&s->token, now_ms)) {
        if (s->config.single_pass && s->token.failures >= SOURCE_SINGLE_PASS_TRIES)
            give_up(s);
        return token_tick(&s->token, now_ms);
    }
    uint64_t wait_ms = rate_take(&s->rate, now_ms);
    if (wait_ms)
        return now_ms + wait_ms;
    bool index = x && x->due_ms <= now_ms;
    gv_status st = index ? ask_index(s, x, &err) : ask(s, k, f, &err);
    if (st == GV_OK)
        return 0;
    if (st != GV_AGAIN)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("request not started"), gv_kstr("error", err.text));
    return now_ms + s->config.schedule.retry_min_ms;
}

uint64_t source_tick(source *s)
{
    uint64_t now_ms = plat_mono_ms(s->clock), next_ms = 0;
    if (s->stopping)
        return UINT64_MAX;
    for (uint32_t i = 0; i < s->counts.feeds; i++)
        warn_when_stale(s, &s->feeds[i], now_ms);
    while (next_ms == 0)
        next_ms = start_one(s, now_ms);
    s->counts.tokens = s->token.fetched;
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
    size_t cap = feeds_needed(config);
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
