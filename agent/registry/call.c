#include "agent/registry/call.h"

#include "agent/net/http_url.h"
#include "agent/registry/reply.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 10000
#define STALL_TIMEOUT_MS   15000

static void ask(registry_call *call);

static void forget_reply(registry_call *call)
{
    free(call->reply);
    call->reply = NULL;
    call->reply_len = call->reply_cap = 0;
}

static void release(registry_call *call)
{
    forget_reply(call);
    free(call->body);
    call->body = NULL;
    call->transfer = NULL;
    call->busy = false;
    call->retry_ms = UINT64_MAX;
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    registry_call *call = ctx;
    size_t need = call->reply_len + data.len;
    if (need > call->max_reply)
        return gv_fail(err, GV_FULL, "the registry's reply is larger than %zu bytes",
                       call->max_reply);
    if (need > call->reply_cap) {
        size_t cap = call->reply_cap ? call->reply_cap : 2048;
        while (cap < need)
            cap *= 2;
        uint8_t *grown = realloc(call->reply, cap);
        if (!grown)
            return gv_fail(err, GV_FULL, "no memory for the registry's reply");
        call->reply = grown;
        call->reply_cap = cap;
    }
    memcpy(call->reply + call->reply_len, data.data, data.len);
    call->reply_len = need;
    *taken = data.len;
    return GV_OK;
}

/* The end, with an answer or without. What the call holds is freed after `done`, which may start it
 * anew: so it is taken away first. */
static void finish(registry_call *call, gv_status status, int http_status, const gv_error *err)
{
    uint8_t *reply = call->reply;
    call_answer answer = { http_status, gv_span_of(reply, call->reply_len) };
    gv_error error = *err;
    call->reply = NULL;
    release(call);
    call->done(call->ctx, status, &answer, call->retry_after_s, &error);
    free(reply);
}

static void next_address(registry_call *call, const gv_error *err)
{
    if (call->tried == 0)
        call->first = *err;
    forget_reply(call);
    call->tried++;
    if (call->tried < call->config->url_count) {
        call->index = (call->index + 1) % call->config->url_count;
        ask(call);
        return;
    }
    gv_error all = { 0 };
    if (call->tried > 1)
        gv_fail(&all, GV_IO, "none of the %zu registries answers; the first: %s", call->tried,
                call->first.text);
    finish(call, GV_IO, 0, call->tried > 1 ? &all : &call->first);
}

/* Whether it is for the caller; else the words why not. */
static bool is_answer(registry_call *call, int status, gv_error *why)
{
    char url[HTTP_URL_SHOWN_MAX];
    char message[120];
    gv_span body = gv_span_of(call->reply, call->reply_len);
    if ((status >= 200 && status < 300) || status == 401 || status == 403)
        return true;
    int code = reply_error(body, message, sizeof message);
    if (code != 0 && status >= 400 && status < 500 && status != 429)
        return true;
    http_url_show(call->config->urls[call->index], url, sizeof url);
    if (code != 0)
        gv_fail(why, GV_IO, "the registry at %s has trouble (status %d, error %d): %s", url, status,
                code, message);
    else if (status == 404)
        gv_fail(why, GV_IO,
                "%s is not the address of a Schema Registry (status 404): check its path", url);
    else
        gv_fail(why, GV_IO, "the registry at %s has trouble (status %d)", url, status);
    return false;
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    registry_call *call = ctx;
    gv_error why = { 0 };
    call->transfer = NULL;
    if (reply->retry_after_s > call->retry_after_s)
        call->retry_after_s = reply->retry_after_s;
    if (status != GV_OK) {
        next_address(call, err);
    } else if (is_answer(call, reply->status, &why)) {
        *call->best = call->index;
        finish(call, GV_OK, reply->status, &why);
    } else {
        next_address(call, &why);
    }
}

/* GV_AGAIN: no free slot, asked for again later. */
static gv_status start(registry_call *call, gv_error *err)
{
    static const char *const headers[] = {
        "Accept: application/vnd.schemaregistry.v1+json, application/json",
        "Content-Type: application/vnd.schemaregistry.v1+json",
    };
    const registry_config *config = call->config;
    const char *base = config->urls[call->index];
    size_t base_len = strlen(base);
    while (base_len > 0 && base[base_len - 1] == '/')
        base_len--;
    snprintf(call->url, sizeof call->url, "%.*s%s", (int)base_len, base, call->path);
    http_request request = {
        .method = call->method,
        .url = call->url,
        .headers = headers,
        .header_count = call->body ? 2 : 1,
        .body = call->body ? gv_span_str(call->body) : gv_span_of(NULL, 0),
        .username = config->username && config->username[0] ? config->username : NULL,
        .password = config->password,
        .ca_file = config->ca_file && config->ca_file[0] ? config->ca_file : NULL,
        .accept_gzip = true,
        .max_body_bytes = call->max_reply,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .stall_timeout_ms = STALL_TIMEOUT_MS,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = call,
    };
    call->retry_ms = UINT64_MAX;
    gv_status status = http_start(call->http, &request, &call->transfer, err);
    if (status == GV_AGAIN)
        call->retry_ms = plat_mono_ms(call->clock) + CALL_RETRY_MS;
    return status;
}

/* Asks the address `index`; a request that cannot even start counts as no answer. */
static void ask(registry_call *call)
{
    gv_error error = { 0 };
    gv_status status = start(call, &error);
    if (status != GV_OK && status != GV_AGAIN)
        next_address(call, &error);
}

void call_start(registry_call *call, const char *method, const char *path, char *body,
                call_done *done)
{
    assert(!call->busy && strlen(path) < sizeof call->path);
    call->busy = true;
    call->method = method;
    memcpy(call->path, path, strlen(path) + 1);
    call->body = body;
    call->done = done;
    call->tried = 0;
    call->index = *call->best;
    call->retry_after_s = -1;
    memset(&call->first, 0, sizeof call->first);
    gv_status status = start(call, NULL);
    if (status != GV_OK && status != GV_AGAIN)
        call->retry_ms = 0; /* the next tick tries again, and may call `done` */
}

void call_cancel(registry_call *call)
{
    if (call->transfer)
        http_cancel(call->transfer);
    release(call);
}

uint64_t call_tick(registry_call *call)
{
    if (!call->busy)
        return UINT64_MAX;
    if (call->retry_ms <= plat_mono_ms(call->clock))
        ask(call);
    return call->busy ? call->retry_ms : 0;
}
