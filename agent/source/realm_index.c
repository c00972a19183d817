#include "agent/source/internal.h"
#include "platform/log.h"

#include <stdio.h>
#include <string.h>

#define INDEX_REFRESH_MS (24u * 3600u * 1000u)

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    source *s = ctx;
    if (data.len > INDEX_BYTES_MAX - s->index_len)
        return gv_fail(err, GV_FULL, "the realm index is larger than %u bytes", INDEX_BYTES_MAX);
    memcpy(s->index_text + s->index_len, data.data, data.len);
    s->index_len += data.len;
    *taken = data.len;
    return GV_OK;
}

static gv_status on_realm(void *ctx, uint32_t realm, gv_error *err)
{
    source *s = ctx;
    return source_add_realm(s, s->asking->list, realm, err);
}

void realm_index_failed(source *s, realm_index *x, uint64_t at_least_ms, const char *reason)
{
    uint64_t wait_ms = schedule_backoff(&s->config.schedule, &s->random, &x->failures, at_least_ms);
    x->due_ms = plat_mono_ms(s->clock) + wait_ms;
    x->token_retried = false;
    snprintf(x->trouble, sizeof x->trouble, "%s", reason);
    s->counts.failures++;
    if (s->config.single_pass && x->failures >= SOURCE_SINGLE_PASS_TRIES) {
        x->done = true;
        s->counts.feeds_failed++;
    }
    GV_LOG(GV_LOG_WARN, gv_kmsg("realm index not fetched"), gv_kstr("region", x->list->region),
           gv_kstr("reason", reason), gv_kuint("next_try_ms", wait_ms));
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    source *s = ctx;
    realm_index *x = s->asking;
    gv_error why = *err;
    s->index_transfer = NULL;
    if (reply->status == 401 && request_retry_token(s, x->token_sent, &x->token_retried)) {
        s->asking = NULL;
        return;
    }
    if (status == GV_OK && reply->status != 200) {
        request_refused(s, reply, why.text, sizeof why.text);
        status = GV_IO;
    }
    if (status == GV_OK)
        status = feed_parse_index(gv_span_of(s->index_text, s->index_len), on_realm, s, &why);
    s->asking = NULL;
    if (status != GV_OK) {
        realm_index_failed(s, x, schedule_asked_ms(reply), why.text);
        return;
    }
    x->failures = 0;
    x->token_retried = false;
    x->done = true;
    x->due_ms = plat_mono_ms(s->clock) + INDEX_REFRESH_MS;
    GV_LOG(GV_LOG_INFO, gv_kmsg("realm index read"), gv_kstr("region", x->list->region),
           gv_kuint("feeds", s->counts.feeds));
}

gv_status realm_index_ask(source *s, realm_index *x, gv_error *err)
{
    const source_list *l = x->list;
    if (!feed_index_url(l->region, l->game, s->config.base_url, s->index_url, sizeof s->index_url))
        return gv_fail(err, GV_INVAL, "api.base_url is too long");
    http_request request = request_of(s, s->index_url, s->index_headers);
    request.max_body_bytes = INDEX_BYTES_MAX;
    request.on_data = on_data;
    request.on_done = on_done;
    request.ctx = s;
    gv_status st = http_start(s->http, &request, &s->index_transfer, err);
    if (st != GV_OK)
        return st;
    s->index_len = 0;
    s->asking = x;
    x->token_sent = s->token.fetched;
    s->counts.requests++;
    return GV_OK;
}
