#include "tests/doubles/http_double.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLOTS_MAX 16

struct http_transfer {
    http_client *client;
    http_request request;
    http_answer answer;
    size_t call;
    size_t sent; /* bytes of the body that were taken */
    uint64_t ready_ms;
    uint32_t random;
    bool used, asked, headers_sent, paused;
};

struct http_client {
    const plat_clock *clock;
    unsigned slots;
    http_transfer transfers[SLOTS_MAX];
    http_double_server *server;
    void *server_ctx;
    http_call *calls;
    size_t call_count, call_cap;
    unsigned pace;
    unsigned most_active;
    gv_status refuse;
    bool ticking;
};

/* --- the test's side -------------------------------------------------------------------------- */

void http_double_serve(http_client *client, http_double_server *server, void *ctx)
{
    client->server = server;
    client->server_ctx = ctx;
}

void http_double_pace(http_client *client, unsigned pieces_a_tick)
{
    client->pace = pieces_a_tick;
}

void http_double_refuse(http_client *client, gv_status status)
{
    client->refuse = status;
}

void http_double_wake(http_client *client, gv_status end)
{
    for (unsigned i = 0; i < client->slots; i++) {
        http_answer *a = &client->transfers[i].answer;
        if (!client->transfers[i].used || !a->silent)
            continue;
        a->silent = false;
        a->stall_at = 0;
        if (end != GV_OK) {
            a->body.len = client->transfers[i].sent;
            a->end = end;
        }
    }
}

size_t http_double_calls(const http_client *client)
{
    return client->call_count;
}

const http_call *http_double_call(const http_client *client, size_t index)
{
    assert(index < client->call_count);
    return &client->calls[index];
}

unsigned http_double_active(const http_client *client)
{
    unsigned n = 0;
    for (unsigned i = 0; i < client->slots; i++)
        n += client->transfers[i].used;
    return n;
}

unsigned http_double_most_active(const http_client *client)
{
    return client->most_active;
}

const char *http_call_header(const http_call *call, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < call->header_count; i++) {
        const char *h = call->headers[i];
        if (strncasecmp(h, name, len) == 0 && h[len] == ':')
            return h + len + 1 + strspn(h + len + 1, " ");
    }
    return NULL;
}

/* --- the contract ----------------------------------------------------------------------------- */

http_client *http_open(plat_loop *loop, const plat_clock *clock, unsigned slots,
                       const char *user_agent, gv_error *err)
{
    (void)loop, (void)user_agent, (void)err;
    assert(slots <= SLOTS_MAX);
    http_client *c = calloc(1, sizeof *c);
    assert(c);
    c->clock = clock;
    c->slots = slots;
    return c;
}

void http_close(http_client *client)
{
    if (!client)
        return;
    assert(!client->ticking);
    free(client->calls);
    free(client);
}

static void keep(char *to, size_t cap, const char *text)
{
    snprintf(to, cap, "%.*s", (int)cap - 1, text ? text : "");
}

static size_t record_call(http_client *c, const http_request *r)
{
    if (c->call_count == c->call_cap) {
        c->call_cap = c->call_cap ? 2 * c->call_cap : 16;
        c->calls = realloc(c->calls, c->call_cap * sizeof *c->calls);
        assert(c->calls);
    }
    http_call *call = &c->calls[c->call_count];
    memset(call, 0, sizeof *call);
    keep(call->method, sizeof call->method, r->method);
    keep(call->url, sizeof call->url, r->url);
    keep(call->username, sizeof call->username, r->username);
    keep(call->password, sizeof call->password, r->password);
    assert(r->header_count <= HTTP_DOUBLE_HEADERS && r->body.len < sizeof call->body);
    for (size_t i = 0; i < r->header_count; i++)
        keep(call->headers[i], sizeof call->headers[i], r->headers[i]);
    call->header_count = r->header_count;
    if (r->body.len)
        memcpy(call->body, r->body.data, r->body.len);
    call->accept_gzip = r->accept_gzip;
    call->max_body_bytes = r->max_body_bytes;
    call->at_ms = plat_mono_ms(c->clock);
    return c->call_count++;
}

static void count_active(http_client *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->slots; i++)
        n += c->transfers[i].used && strstr(c->calls[c->transfers[i].call].url, "auctions") != NULL;
    if (n > c->most_active)
        c->most_active = n;
}

gv_status http_start(http_client *client, const http_request *request, http_transfer **out,
                     gv_error *err)
{
    gv_status refuse = client->refuse;
    client->refuse = GV_OK;
    if (refuse != GV_OK)
        return gv_fail(err, refuse, "refused by the test");
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->transfers[i];
        if (t->used)
            continue;
        *t = (http_transfer){ .client = client, .request = *request, .used = true };
        t->call = record_call(client, request);
        count_active(client);
        *out = t;
        return GV_OK;
    }
    return GV_AGAIN;
}

void http_resume(http_transfer *transfer)
{
    assert(transfer->used);
    transfer->paused = false;
}

void http_cancel(http_transfer *transfer)
{
    assert(transfer->used);
    transfer->client->calls[transfer->call].cancelled = true;
    transfer->used = false;
}

static void ask_server(http_client *c, http_transfer *t)
{
    t->asked = true;
    t->answer.reply = (http_reply){ .last_modified = -1, .date = -1, .retry_after_s = -1 };
    assert(c->server);
    c->server(c->server_ctx, &c->calls[t->call], &t->answer);
    t->ready_ms = plat_mono_ms(c->clock) + t->answer.delay_ms;
    t->random = t->answer.chunk_seed;
}

static void finish(http_transfer *t, gv_status status, gv_error *err)
{
    http_request request = t->request;
    http_reply reply = t->answer.reply;
    t->used = false;
    request.on_done(request.ctx, status, &reply, err);
}

static size_t piece_bytes(http_transfer *t)
{
    size_t left = t->answer.body.len - t->sent, n = t->answer.chunk_bytes;
    if (n && t->answer.chunk_seed) {
        t->random = t->random * 1664525u + 1013904223u;
        n = 1 + (t->random >> 8) % n;
    }
    return n && n < left ? n : left;
}

/* One piece of the body; false when the transfer waits or is over. */
static bool send_piece(http_client *c, http_transfer *t)
{
    gv_error err = { 0, "" };
    size_t taken = 0, n = piece_bytes(t), call = t->call;
    if (t->answer.stall_at && t->sent >= t->answer.stall_at) {
        t->answer.silent = true;
        return false;
    }
    if (n == 0) {
        if (t->answer.end != GV_OK)
            gv_fail(&err, t->answer.end, "%s", t->answer.error ? t->answer.error : "cut off");
        finish(t, t->answer.end, &err);
        return false;
    }
    if (t->sent + n > t->request.max_body_bytes) {
        gv_fail(&err, GV_FULL, "the body is larger than allowed");
        finish(t, GV_FULL, &err);
        return false;
    }
    gv_status st = t->request.on_data(t->request.ctx, gv_span_of(t->answer.body.data + t->sent, n),
                                      &taken, &err);
    if (!t->used)
        return false; /* cancelled meanwhile */
    if (st == GV_OK)
        taken = n;
    assert(taken <= n);
    t->sent += taken;
    c->calls[call].body_sent += taken;
    t->paused = st == GV_AGAIN;
    if (st != GV_OK && st != GV_AGAIN)
        finish(t, st, &err);
    return st == GV_OK;
}

/* Answers true when there is more to do at once. */
static bool work(http_client *c, http_transfer *t, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    if (!t->asked)
        ask_server(c, t);
    if (t->paused || t->answer.silent || now_ms < t->ready_ms)
        return false;
    if (!t->headers_sent && t->answer.reply.status != 0) {
        t->headers_sent = true;
        gv_status st = t->request.on_headers
                           ? t->request.on_headers(t->request.ctx, &t->answer.reply, &err)
                           : GV_OK;
        if (!t->used)
            return false;
        if (st != GV_OK) {
            finish(t, st, &err);
            return false;
        }
    }
    for (unsigned i = 0; c->pace == 0 || i < c->pace; i++)
        if (!send_piece(c, t))
            return false;
    return true;
}

uint64_t http_tick(http_client *client)
{
    uint64_t now_ms = plat_mono_ms(client->clock), next_ms = UINT64_MAX;
    assert(!client->ticking);
    client->ticking = true;
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->transfers[i];
        if (!t->used)
            continue;
        bool more = work(client, t, now_ms);
        uint64_t due_ms = !t->used || t->paused || t->answer.silent   ? UINT64_MAX
                          : more || !t->asked || t->ready_ms < now_ms ? now_ms
                                                                      : t->ready_ms;
        if (due_ms < next_ms)
            next_ms = due_ms;
    }
    client->ticking = false;
    return next_ms;
}
