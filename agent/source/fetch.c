#include "agent/source/internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FUTURE_S 3600 /* how far a cache's clock may be behind its origin's */

static gv_status check_identity(const http_reply *reply, gv_error *err)
{
    if (reply->last_modified <= 0)
        return gv_fail(err, GV_INVAL,
                       "the answer has no Last-Modified, so the snapshot has no identity");
    /* Once taken, it would make every real snapshot an old one. */
    if (reply->date > 0 && reply->last_modified > reply->date + FUTURE_S)
        return gv_fail(err, GV_INVAL,
                       "the answer's Last-Modified is in the server's own future by %lld s",
                       (long long)(reply->last_modified - reply->date));
    return GV_OK;
}

static gv_status on_headers(void *ctx, const http_reply *reply, gv_error *err)
{
    slot *k = ctx;
    source *s = k->owner;
    if (reply->status != 200)
        return GV_OK; /* on_done looks at it */
    gv_status st = check_identity(reply, err);
    if (st != GV_OK)
        return st;
    if (reply->last_modified <= k->feed->last_modified) {
        k->unchanged = true;
        return GV_INVAL; /* no need of the body */
    }
    k->last_modified = reply->last_modified;
    k->date = reply->date;
    k->date_ms = plat_mono_ms(s->clock);
    memcpy(k->etag, reply->etag, sizeof k->etag);
    st = s->events.open(s->events.ctx, k->number, k->feed, reply, err);
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
    char text[160];
    const char *reason = err->text;
    k->state = SLOT_FREE;
    k->feed = NULL;
    if (k->unchanged || (status == GV_OK && reply->status == 304)) {
        s->counts.not_modified++;
        source_answered(s, f, reply->date);
        return;
    }
    if (reply->status == 401 && request_retry_token(s, k->token_sent, &f->token_retried)) {
        f->state = FEED_IDLE; /* and still due */
        return;
    }
    if (status == GV_OK) {
        request_refused(s, reply, text, sizeof text);
        reason = text;
    }
    s->counts.failures++;
    source_failed(s, f, schedule_asked_ms(reply), reason);
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

/* Adds what makes the request conditional; returns how many headers there are. */
static size_t add_conditions(slot *k, const feed *f)
{
    size_t n = 1;
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

gv_status fetch_start(slot *k, feed *f, gv_error *err)
{
    source *s = k->owner;
    if (!feed_url(f, s->config.base_url, k->url, sizeof k->url))
        return gv_fail(err, GV_INVAL, "api.base_url is too long");
    http_request request = request_of(s, k->url, k->headers);
    request.header_count = add_conditions(k, f);
    request.max_body_bytes = s->config.max_body_bytes;
    request.on_headers = on_headers;
    request.on_data = on_data;
    request.on_done = on_done;
    request.ctx = k;
    gv_status st = http_start(s->http, &request, &k->transfer, err);
    if (st != GV_OK)
        return st;
    k->state = SLOT_ASKING;
    k->feed = f;
    k->unchanged = false;
    k->records = -1;
    k->token_sent = s->token.fetched;
    f->state = FEED_RUNNING;
    s->counts.requests++;
    return GV_OK;
}
