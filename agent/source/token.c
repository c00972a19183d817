#include "agent/source/token.h"

#include "platform/log.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#define MARGIN_S       60u /* a token is not used in its last minute */
#define EXPIRES_S_MAX  (366u * 86400u)
#define EXPIRES_S_NONE 3600u /* RFC 6749 5.1: expires_in is only recommended */

void token_init(token *t, const token_config *config, http_client *http, const plat_clock *clock,
                schedule_random *random)
{
    *t = (token){ .config = config, .http = http, .clock = clock, .random = random };
}

bool token_usable(const token *t, uint64_t now_ms)
{
    return t->valid && now_ms < t->expires_ms;
}

void token_drop(token *t)
{
    t->valid = false;
}

void token_stop(token *t)
{
    if (t->transfer)
        http_cancel(t->transfer);
    t->transfer = NULL;
}

/* RFC 6750: a b64token; anything else could break out of the header line. */
static bool bearer_ok(const char *text)
{
    static const char set[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    size_t len = strlen(text);
    return len > 0 && len < TOKEN_TEXT_MAX && strspn(text, set) == len;
}

gv_status token_parse(gv_span json, char bearer[TOKEN_TEXT_MAX], uint64_t *expires_in_s,
                      gv_error *err)
{
    gv_status st = GV_OK;
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(root, "access_token");
    const cJSON *life = cJSON_GetObjectItemCaseSensitive(root, "expires_in");
    if (!root)
        st = gv_fail(err, GV_INVAL, "the token reply is not JSON");
    else if (!cJSON_IsString(text) || !bearer_ok(text->valuestring))
        st = gv_fail(err, GV_INVAL, "the token reply has no usable access_token");
    else if (life && (!cJSON_IsNumber(life) || !(life->valuedouble >= 0)))
        st = gv_fail(err, GV_INVAL, "the token reply's expires_in is no number of seconds");
    if (st == GV_OK) {
        double seconds = life ? life->valuedouble : (double)EXPIRES_S_NONE;
        *expires_in_s = seconds < (double)EXPIRES_S_MAX ? (uint64_t)seconds : EXPIRES_S_MAX;
        memcpy(bearer, text->valuestring, strlen(text->valuestring) + 1);
    }
    cJSON_Delete(root);
    return st;
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    token *t = ctx;
    if (data.len > sizeof t->reply - t->reply_len)
        return gv_fail(err, GV_FULL, "the token reply is larger than %d bytes", TOKEN_REPLY_MAX);
    memcpy(t->reply + t->reply_len, data.data, data.len);
    t->reply_len += data.len;
    *taken = data.len;
    return GV_OK;
}

static gv_status accept_reply(token *t, const http_reply *reply, gv_error *err)
{
    char bearer[TOKEN_TEXT_MAX];
    uint64_t life_s;
    t->refused = reply->status == 400 || reply->status == 401 || reply->status == 403;
    if (t->refused)
        return gv_fail(err, GV_INVAL,
                       "the API refused the client id or secret (HTTP %d): check api.client_id and "
                       "api.client_secret",
                       reply->status);
    if (reply->status != 200)
        return gv_fail(err, GV_IO, "the token endpoint answered HTTP %d", reply->status);
    gv_status st = token_parse(gv_span_of(t->reply, t->reply_len), bearer, &life_s, err);
    if (st != GV_OK)
        return st;
    /* A life shorter than two margins is used for half of it. */
    uint64_t use_s = life_s > 2 * MARGIN_S ? life_s - MARGIN_S : life_s / 2;
    if (use_s == 0)
        return gv_fail(err, GV_INVAL, "the token had expired when it came");
    snprintf(t->header, sizeof t->header, "Authorization: Bearer %s", bearer);
    t->valid = true;
    t->failures = 0;
    t->fetched++;
    t->expires_ms = plat_mono_ms(t->clock) + use_s * 1000;
    return GV_OK;
}

static void failed(token *t, uint64_t at_least_ms, const char *reason)
{
    t->due_ms = plat_mono_ms(t->clock) +
                schedule_backoff(&t->config->retry, t->random, &t->failures, at_least_ms);
    t->why = (gv_error){ 0, "" };
    gv_fail(&t->why, GV_IO, "%s", reason);
    GV_LOG(GV_LOG_WARN, gv_kmsg("no access token"), gv_kstr("error", reason),
           gv_kuint("failures", t->failures));
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    token *t = ctx;
    gv_error why = *err;
    t->transfer = NULL;
    if (status == GV_OK)
        status = accept_reply(t, reply, &why);
    if (status != GV_OK)
        failed(t, schedule_asked_ms(reply), why.text);
}

static void fetch(token *t, uint64_t now_ms)
{
    static const char body[] = "grant_type=client_credentials";
    static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded" };
    gv_error err = { 0, "" };
    t->reply_len = 0;
    http_request request = {
        .method = "POST",
        .url = t->config->url,
        .headers = headers,
        .header_count = 1,
        .body = gv_span_of(body, sizeof body - 1),
        .username = t->config->client_id,
        .password = t->config->client_secret,
        .ca_file = t->config->ca_file,
        .max_body_bytes = TOKEN_REPLY_MAX,
        .connect_timeout_ms = t->config->connect_timeout_ms,
        .stall_timeout_ms = t->config->stall_timeout_ms,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = t,
    };
    gv_status st = http_start(t->http, &request, &t->transfer, &err);
    if (st == GV_OK)
        return;
    t->transfer = NULL;
    if (st == GV_AGAIN)
        t->due_ms = now_ms + t->config->retry.retry_min_ms; /* all slots are in use */
    else
        failed(t, 0, err.text);
}

uint64_t token_tick(token *t, uint64_t now_ms)
{
    if (token_usable(t, now_ms) || t->transfer)
        return UINT64_MAX;
    if (now_ms >= t->due_ms)
        fetch(t, now_ms);
    return t->transfer ? UINT64_MAX : t->due_ms;
}
