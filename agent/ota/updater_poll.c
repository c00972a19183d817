/* updater_poll.c - one look for updates after the other, and what is made of what comes. */
#include "agent/ota/updater_internal.h"
#include "platform/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST_LOOK_MS    60000u /* at most so long after a start */
#define LONGEST_WAIT_MS  3600000u
#define FAILURES_COUNTED 5u

/* --- in time ------------------------------------------------------------------------------------ */
/* Source: xorshift64* (Vigna 2016). */
static uint64_t random_below(updater *u, uint64_t bound)
{
    uint64_t x = u->random ? u->random : 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    u->random = x;
    return bound ? (x * UINT64_C(0x2545F4914F6CDD1D) >> 11) % bound : 0;
}

/* Doubled with each failure in a row, up to an hour (or the usual time, if that is more). */
static uint64_t wait_ms(const updater *u)
{
    uint64_t usual = u->config.poll_ms, most = usual > LONGEST_WAIT_MS ? usual : LONGEST_WAIT_MS;
    uint64_t wait = usual << (u->failures > FAILURES_COUNTED ? FAILURES_COUNTED : u->failures);
    uint64_t asked = u->retry_after_s > 0 ? (uint64_t)u->retry_after_s * 1000 : 0;
    wait = wait > most ? most : wait;
    return asked > wait && asked <= 24 * (uint64_t)LONGEST_WAIT_MS ? asked : wait;
}

static void plan_next(updater *u)
{
    uint64_t wait = wait_ms(u);
    u->due_ms = plat_mono_ms(u->clock) + wait - wait / 10 + random_below(u, wait / 5 + 1);
    u->state.next_poll_ms = u->due_ms;
}

/* --- what has come ------------------------------------------------------------------------------ */
/* Whether it is new, and remembers it. */
static bool is_news(updater *u, gv_span bytes)
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    signature_hash(&bytes, 1, hash);
    for (size_t i = 0; i < u->told_count && i < UPDATER_TOLD_MAX; i++)
        if (memcmp(u->told[i], hash, sizeof hash) == 0)
            return false;
    memcpy(u->told[u->told_count++ % UPDATER_TOLD_MAX], hash, sizeof hash);
    return true;
}

static void set_trouble(updater *u, const char *from, const char *text)
{
    if (u->trouble[0] == '\0')
        snprintf(u->trouble, sizeof u->trouble, "%.60s: %.90s", from, text);
}

/* An older version beside the one in force is usual (all.gavel beside a device's own). */
static void tell_refused(updater *u, const char *from, gv_span bytes, bundle_verdict verdict,
                         const gv_error *err)
{
    if (verdict != BUNDLE_OLD)
        set_trouble(u, from, err->text);
    if (!is_news(u, bytes))
        return;
    u->state.refused[verdict]++;
    GV_LOG(verdict == BUNDLE_OLD ? GV_LOG_INFO : GV_LOG_WARN, gv_kmsg("an update is not taken"),
           gv_kstr("from", from), gv_kstr("verdict", bundle_verdict_name(verdict)),
           gv_kstr("reason", err->text));
}

static bool is_same(const store_ref *a, const store_ref *b)
{
    return a->version == b->version && strcmp(a->sha256, b->sha256) == 0;
}

/* What is in force, or was dealt with: the usual thing to find. */
static bool is_known(const updater *u, const store_ref *update)
{
    const store_state *s = store_look(u->store);
    return is_same(update, &s->good) || is_same(update, &s->previous) ||
           is_same(update, &s->trial) || store_is_refused(u->store, update, NULL);
}

/* The owner has signed it, and this board cannot take it: that is kept, so that it is seen. */
static void refuse_for_good(updater *u, const char *from, gv_span bytes, const store_ref *update,
                            const gv_error *why)
{
    gv_error err = { 0, "" };
    tell_refused(u, from, bytes, BUNDLE_BAD_CONFIG, why);
    if (store_refuse(u->store, update, why->text, updater_now_ms(u), &err) != GV_OK)
        updater_store_failed(u, &err);
    updater_refresh(u);
}

/* Kept on the disk until the look is over. */
static void keep_best(updater *u, const store_ref *update, gv_span bytes)
{
    gv_error err = { 0, "" };
    if (update->version <= u->best.version)
        return;
    if (store_keep(u->store, update->version, bytes, &err) == GV_OK)
        u->best = *update;
    else
        updater_store_failed(u, &err);
}

/* Answers whether it has been dealt with, and need not come again. */
static bool consider(updater *u, const char *from, gv_span bytes)
{
    bundle opened;
    gv_error err = { 0, "" };
    bundle_recipient recipient = u->config.recipient;
    recipient.seen_version = store_look(u->store)->highest;
    bundle_verdict verdict = bundle_open(bytes, &recipient, &opened, &err);
    store_ref update = { opened.version, "" };
    snprintf(update.sha256, sizeof update.sha256, "%s", opened.sha256);
    if (verdict == BUNDLE_OLD && is_known(u, &update))
        return true;
    if (verdict != BUNDLE_GOOD) {
        tell_refused(u, from, bytes, verdict, &err);
        return true;
    }
    gv_status status = u->config.check(u->config.ctx, opened.config, &err);
    if (status == GV_OK) {
        keep_best(u, &update, bytes);
        return false; /* it is asked for again, should something keep it from being tried */
    }
    if (status == GV_INVAL)
        refuse_for_good(u, from, bytes, &update, &err);
    else
        set_trouble(u, from, err.text);
    return status == GV_INVAL;
}

static void try_best(updater *u)
{
    gv_error err = { 0, "" };
    store_ref best = u->best;
    u->best = (store_ref){ 0 };
    if (best.version <= store_look(u->store)->highest)
        return;
    if (store_begin(u->store, &best, updater_now_ms(u), &err) != GV_OK) {
        updater_store_failed(u, &err);
        return;
    }
    u->wants_restart = true;
    u->is_given_up = false;
    GV_LOG(GV_LOG_INFO, gv_kmsg("an update has come"), gv_kuint("version", best.version),
           gv_kstr("sha256", best.sha256));
    updater_refresh(u);
}

/* Not beside a trial or its control run; while one is postponed, a better one may come. */
bool updater_may_look(const updater *u)
{
    const store_state *s = store_look(u->store);
    return u->http && !u->wants_restart && (!s->trial.version || s->record.stage == TRIAL_WAITING);
}

void updater_offer(updater *u, const char *from, gv_span bytes)
{
    if (updater_may_look(u))
        (void)consider(u, from, bytes);
}

void updater_offered(updater *u)
{
    if (updater_may_look(u) && u->place == UPDATER_PLACES_MAX) /* else at the end of that look */
        try_best(u);
}

/* --- a look -------------------------------------------------------------------------------------- */
static size_t place_count(const updater *u)
{
    size_t groups = u->config.recipient.group_count;
    return 2 + (groups > UPDATER_PLACES_MAX - 2 ? UPDATER_PLACES_MAX - 2 : groups);
}

/* False: there is no such place, because the name could be no file's. */
static bool name_place(const updater *u, size_t place, char path[BUNDLE_PATH_MAX])
{
    const bundle_recipient *r = &u->config.recipient;
    bool is_last = place + 1 == place_count(u);
    const char *name = place == 0 ? r->device : is_last ? "" : r->groups[place - 1];
    if (!is_last && !bundle_name_ok(name))
        return false;
    bundle_path(place == 0 ? BUNDLE_FOR_DEVICE
                : is_last  ? BUNDLE_FOR_ALL
                           : BUNDLE_FOR_GROUP,
                name, path);
    return true;
}

static void end_look(updater *u)
{
    bool has_failed = u->failures > 0;
    u->place = UPDATER_PLACES_MAX;
    if (strcmp(u->state.poll_trouble, u->trouble) != 0) {
        if (u->trouble[0] && has_failed)
            GV_LOG(GV_LOG_WARN, gv_kmsg("no look for updates"), gv_kstr("reason", u->trouble));
        snprintf(u->state.poll_trouble, sizeof u->state.poll_trouble, "%s", u->trouble);
        u->state.changes++;
    }
    plan_next(u);
    try_best(u);
}

static void fail_look(updater *u, const char *text)
{
    char path[BUNDLE_PATH_MAX] = "";
    (void)name_place(u, u->place, path);
    set_trouble(u, path, text);
    u->failures++;
    end_look(u);
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    updater *u = ctx;
    if (data.len > sizeof u->bytes - u->len)
        return gv_fail(err, GV_FULL, "larger than any bundle");
    memcpy(u->bytes + u->len, data.data, data.len);
    u->len += data.len;
    *taken = data.len;
    return GV_OK;
}

static void on_answer(updater *u, const char *path, const http_reply *reply)
{
    char text[64];
    if (reply->status == 200) {
        if (consider(u, path, gv_span_of(u->bytes, u->len)))
            memcpy(u->etags[u->place], reply->etag, HTTP_ETAG_MAX);
    } else if (reply->status == 404 || reply->status == 410) {
        u->etags[u->place][0] = '\0'; /* nothing is published for this one */
    } else if (reply->status != 304) {
        u->retry_after_s = reply->retry_after_s;
        snprintf(text, sizeof text, "HTTP %d", reply->status);
        fail_look(u, text);
        return;
    }
    u->place++;
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    updater *u = ctx;
    char path[BUNDLE_PATH_MAX];
    const gv_error large = { 0, "it is larger than any bundle" };
    u->transfer = NULL;
    (void)name_place(u, u->place, path);
    if (status == GV_OK) {
        on_answer(u, path, reply);
    } else if (status == GV_FULL && reply->status == 200) {
        tell_refused(u, path, gv_span_of(u->bytes, u->len), BUNDLE_TOO_LARGE, &large);
        memcpy(u->etags[u->place++], reply->etag, HTTP_ETAG_MAX);
    } else {
        fail_look(u, err->text);
    }
}

static gv_status ask(updater *u, const char *path, gv_error *err)
{
    size_t base = strlen(u->config.url);
    while (base > 0 && u->config.url[base - 1] == '/')
        base--;
    if (snprintf(u->url, sizeof u->url, "%.*s/%s", (int)base, u->config.url, path) >=
        (int)sizeof u->url)
        return gv_fail(err, GV_INVAL, "ota.url is too long");
    const char *etag = u->etags[u->place];
    snprintf(u->condition, sizeof u->condition, "If-None-Match: %s", etag);
    u->headers[0] = u->condition;
    u->len = 0;
    const http_request request = {
        .method = "GET",
        .url = u->url,
        .headers = u->headers,
        .header_count = etag[0] ? 1 : 0,
        .ca_file = u->config.ca_file,
        .max_body_bytes = BUNDLE_BYTES_MAX,
        .connect_timeout_ms = u->config.connect_timeout_ms,
        .stall_timeout_ms = u->config.stall_timeout_ms,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = u,
    };
    return http_start(u->http, &request, &u->transfer, err);
}

/* Asks the next place that can be asked; the look is over when there is none. */
static void ask_next(updater *u)
{
    char path[BUNDLE_PATH_MAX];
    gv_error err = { 0, "" };
    while (u->place < place_count(u) && !name_place(u, u->place, path))
        u->place++;
    if (u->place >= place_count(u)) {
        u->failures = 0;
        end_look(u);
        return;
    }
    gv_status status = ask(u, path, &err);
    if (status != GV_OK && status != GV_AGAIN)
        fail_look(u, err.text);
}

void poll_start(updater *u)
{
    uint64_t tenth = u->config.poll_ms / 10;
    u->place = UPDATER_PLACES_MAX;
    u->due_ms = UINT64_MAX;
    u->best = (store_ref){ 0 };
    memset(u->etags, 0, sizeof u->etags); /* places may be others now */
    if (u->config.url)
        u->due_ms =
            u->started_ms + random_below(u, tenth < FIRST_LOOK_MS ? tenth + 1 : FIRST_LOOK_MS);
    u->state.next_poll_ms = u->due_ms;
}

void poll_stop(updater *u)
{
    if (u->transfer)
        http_cancel(u->transfer);
    u->transfer = NULL;
    u->place = UPDATER_PLACES_MAX;
    u->state.next_poll_ms = UINT64_MAX;
}

uint64_t poll_tick(updater *u, uint64_t now_ms)
{
    bool is_looking = u->place < UPDATER_PLACES_MAX;
    if (!updater_may_look(u))
        return UINT64_MAX;
    if (!is_looking && now_ms < u->due_ms)
        return u->due_ms;
    if (u->transfer)
        return UINT64_MAX;
    if (!is_looking) {
        u->place = 0;
        u->trouble[0] = '\0';
        u->retry_after_s = -1;
    }
    ask_next(u);
    return u->transfer ? UINT64_MAX : u->place < UPDATER_PLACES_MAX ? now_ms + 1000 : u->due_ms;
}
