#include "tests/unit/source_world.h"

#include <stdio.h>
#include <time.h>

source_world w;

/* --- the server ------------------------------------------------------------------------------- */

int64_t server_time(void)
{
    return EPOCH + w.later_s + (int64_t)(w.now.mono_ms / 1000);
}

void date_text(int64_t seconds, char *text, size_t cap)
{
    time_t t = (time_t)seconds;
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(text, cap, "%a, %d %b %Y %H:%M:%S GMT", &utc);
}

static bool from_script(script *s, http_answer *answer)
{
    if (s->next == s->count && !(s->again && s->count > 0))
        return false;
    http_answer a = s->answers[s->next < s->count ? s->next : s->count - 1];
    if (s->next < s->count)
        s->next++;
    if (a.reply.date == 0)
        a.reply.date = server_time();
    if (a.reply.last_modified == 0)
        a.reply.last_modified = -1;
    if (a.reply.retry_after_s == 0)
        a.reply.retry_after_s = -1;
    *answer = a;
    return true;
}

static void serve_token(http_answer *answer)
{
    static char body[128];
    if (from_script(&w.tokens, answer))
        return;
    snprintf(body, sizeof body, "{\"access_token\":\"T%u\",\"expires_in\":%s}", ++w.issued,
             w.expires_in);
    answer->reply.status = 200;
    answer->body = gv_span_str(body);
}

static void serve_auctions(const http_call *call, http_answer *answer)
{
    char text[64];
    const char *since = http_call_header(call, "If-Modified-Since");
    if (from_script(&w.auctions, answer))
        return;
    if (w.hourly)
        w.published = server_time() - (server_time() - EPOCH) % 3600;
    date_text(w.published, text, sizeof text);
    if (since && strcmp(since, text) == 0) {
        answer->reply.status = 304;
        return;
    }
    answer->reply.status = 200;
    answer->reply.last_modified = w.published;
    snprintf(answer->reply.etag, sizeof answer->reply.etag, "%s", w.etag);
    answer->body = gv_span_str("{\"auctions\":[]}");
}

void serve(void *ctx, const http_call *call, http_answer *answer)
{
    (void)ctx;
    char bearer[32];
    bool token = strstr(call->url, "oauth") != NULL;
    const char *sent = http_call_header(call, "Authorization");
    answer->reply.date = server_time();
    answer->delay_ms = w.delay_ms;
    if (token) {
        serve_token(answer);
        return;
    }
    answer->delay_ms += (call - http_double_call(w.http, 0)) % 2 ? w.odd_delay_ms : 0;
    assert_non_null(sent);
    snprintf(bearer, sizeof bearer, "Bearer T%u", w.valid_token);
    if (w.valid_token && strcmp(sent, bearer) != 0) {
        answer->reply.status = 401;
        return;
    }
    if (strstr(call->url, "/auctions")) {
        serve_auctions(call, answer);
        return;
    }
    if (from_script(&w.indexes, answer))
        return;
    answer->reply.status = 200;
    answer->silent = w.index_silent;
    answer->body = gv_span_str(w.index);
}

http_answer status_only(int status)
{
    return (http_answer){ .reply = { .status = status } };
}

http_answer snapshot_of(int64_t last_modified)
{
    return (http_answer){ .reply = { .status = 200, .last_modified = last_modified },
                          .body = gv_span_str("{\"auctions\":[]}") };
}

http_answer no_answer(const char *error)
{
    return (http_answer){ .end = GV_IO, .error = error };
}

void always(script *s, http_answer answer)
{
    *s = (script){ .answers = { answer }, .count = 1, .again = true };
}

void once(script *s, http_answer answer)
{
    assert_true(s->count < ANSWERS);
    s->answers[s->count++] = answer;
}

/* --- the receiver ----------------------------------------------------------------------------- */

static gv_status on_open(void *ctx, unsigned slot, const feed *f, const http_reply *reply,
                         gv_error *err)
{
    (void)ctx;
    if (w.refuse_open != GV_OK)
        return gv_fail(err, w.refuse_open, "not wanted");
    assert_true(slot < w.config.max_transfers);
    assert_false(w.slots[slot].busy);
    assert_int_equal(reply->status, 200);
    w.slots[slot] = (receiver_slot){ .busy = true, .of = *f };
    w.opened++;
    return GV_OK;
}

static gv_status on_data(void *ctx, unsigned slot, gv_span data, size_t *taken, gv_error *err)
{
    (void)ctx, (void)err;
    assert_true(w.slots[slot].busy);
    *taken = w.starve ? 1 : data.len;
    w.slots[slot].bytes += *taken;
    return w.starve ? GV_AGAIN : GV_OK;
}

void settle(unsigned slot, source_outcome outcome)
{
    assert_true(w.slots[slot].busy);
    w.slots[slot].busy = false;
    assert_int_equal(w.disk->renames, w.renames_at_settle); /* no cursor before it is safe */
    source_settle(w.source, slot, outcome, "the test says so");
    w.renames_at_settle = w.disk->renames;
}

static void on_end(void *ctx, unsigned slot, gv_status status, const gv_error *err)
{
    (void)ctx, (void)err;
    assert_true(w.slots[slot].busy);
    w.ended++;
    w.ended_whole += status == GV_OK;
    if (w.hold)
        return;
    source_outcome outcome = status == GV_OK ? w.outcome : SETTLE_BROKEN;
    if (w.look_first && outcome == SETTLE_SAFE && w.slots[slot].of.realm_verified == 0)
        outcome = SETTLE_AGAIN;
    settle(slot, outcome);
}

/* --- the world -------------------------------------------------------------------------------- */

const uint32_t thrall[1] = { 604 };

int world_setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.now = (clock_double){ START_MS, INT64_C(1700000000000) };
    w.clock = clock_double_table(&w.now);
    w.disk = disk_double_new(1 << 20);
    w.fs = disk_double_table(w.disk);
    w.http = http_open(NULL, &w.clock, 6, "test", NULL);
    http_double_serve(w.http, serve, NULL);
    log_double_open(&w.said);
    w.lists[0] = (source_list){ .region = "eu", .realms = thrall, .realm_count = 1 };
    w.config = (source_config){
        .base_url = "https://{region}.api.example",
        .token_url = "https://oauth.example/token",
        .client_id = "id",
        .client_secret = "hunter2-do-not-show",
        .cursor_dir = "cursors",
        .lists = w.lists,
        .list_count = 1,
        .max_transfers = 4,
        .requests_per_s = 50,
        .requests_per_hour = 18000,
        .max_body_bytes = 1 << 20,
        .schedule = { .interval_ms = HOUR,
                      .late_poll_min_ms = 30 * SECOND,
                      .late_poll_max_ms = 10 * MINUTE,
                      .retry_min_ms = SECOND,
                      .retry_max_ms = 15 * MINUTE,
                      .stale_after_ms = 3 * HOUR },
    };
    w.published = EPOCH;
    w.etag = "\"e1\"";
    w.expires_in = "86399";
    w.index = "{\"connected_realms\":[]}";
    return 0;
}

void open_source(void)
{
    gv_error err = { 0, "" };
    const source_events events = { on_open, on_data, on_end, NULL };
    assert_int_equal(source_open(&w.config, w.http, &w.fs, &w.clock, &events, &w.source, &err),
                     GV_OK);
    w.renames_at_settle = w.disk->renames;
}

void close_source(void)
{
    w.hold = true; /* what source_close() ends is not settled */
    source_close(w.source);
    w.source = NULL;
    w.hold = false;
    memset(w.slots, 0, sizeof w.slots);
}

int world_teardown(void **state)
{
    (void)state;
    close_source();
    assert_int_equal(log_double_count(&w.said, "hunter2"), 0);
    assert_int_equal(log_double_count(&w.said, "Bearer"), 0);
    assert_int_equal(http_double_active(w.http), 0);
    http_close(w.http);
    log_double_close(&w.said);
    disk_double_free(w.disk);
    return 0;
}

/* Everything that can be done without time passing; returns the next deadline. */
uint64_t settle_down(void)
{
    uint64_t due_ms, sent_ms;
    size_t calls;
    unsigned active, rounds = 0;
    do {
        assert_true(rounds++ < 10000);
        calls = http_double_calls(w.http);
        active = http_double_active(w.http);
        due_ms = source_tick(w.source);
        sent_ms = http_tick(w.http);
    } while (calls != http_double_calls(w.http) || active != http_double_active(w.http));
    return due_ms < sent_ms ? due_ms : sent_ms;
}

/* The agent looks once a second at least. */
void run_for(uint64_t ms)
{
    uint64_t end_ms = w.now.mono_ms + ms;
    for (;;) {
        uint64_t due_ms = settle_down();
        uint64_t next_ms = w.now.mono_ms + SECOND;
        if (due_ms < next_ms)
            next_ms = due_ms;
        assert_true(next_ms > w.now.mono_ms);
        if (next_ms > end_ms)
            break;
        clock_double_advance(&w.now, next_ms - w.now.mono_ms);
    }
    clock_double_advance(&w.now, end_ms - w.now.mono_ms);
    settle_down();
}

const source_counts *counts(void)
{
    return source_state(w.source);
}

/* The n-th request (from 0) that has `part` in its URL; NULL when there were fewer. */
const http_call *call_of(const char *part, size_t n)
{
    for (size_t i = 0; i < http_double_calls(w.http); i++) {
        const http_call *call = http_double_call(w.http, i);
        if (strstr(call->url, part) && n-- == 0)
            return call;
    }
    return NULL;
}

size_t calls_of(const char *part)
{
    size_t n = 0;
    while (call_of(part, n))
        n++;
    return n;
}

void save_cursor(int64_t last_modified, const char *etag)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"version\":1,\"feed\":\"eu/604/0\",\"last_modified\":%lld,\"etag\":\"%s\"}",
             (long long)last_modified, etag);
    disk_double_put(w.disk, CURSOR_604, text, strlen(text));
}

void watch_realms(const uint32_t *realms, size_t count)
{
    w.lists[0].realms = realms;
    w.lists[0].realm_count = count;
}

const uint32_t twelve_realms[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

void watch_all(void)
{
    w.lists[0] = (source_list){ .region = "eu", .all_realms = true };
}
