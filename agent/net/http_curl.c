#include "agent/net/http.h"

#include "agent/net/http_body.h"
#include "agent/net/http_head.h"
#include "agent/net/http_url.h"
#include "agent/net/tls_roots.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVE_BYTES 16384

typedef enum {
    SLOT_FREE,
    SLOT_NEW, /* curl does not know it yet */
    SLOT_RUNNING,
    SLOT_CANCELLED /* from a callback inside curl: taken away as soon as curl returns */
} slot_state;

struct http_transfer {
    http_client *client;
    slot_state state;
    http_request request;
    http_head head;
    CURL *easy;
    struct curl_slist *headers;
    char curl_words[CURL_ERROR_SIZE];
    tls_chain *chain;
    tls_verdict verdict;

    http_body body;
    bool paused;
    bool held; /* see hold() */
    bool resume;
    bool deaf; /* its socket could not be watched */

    bool sending;       /* connected: the stall time-out runs */
    uint64_t active_ms; /* when a byte moved last */
    curl_off_t sent_bytes;
    gv_status failure; /* decided here or by a callback, before curl said anything */
    gv_error error;
};

struct http_client {
    plat_loop *loop;
    const plat_clock *clock;
    CURLM *multi;
    tls_roots *roots;
    char user_agent[64];
    char no_proxy[512];
    int inside;        /* how deep we are in calls of curl that call back */
    uint64_t timer_ms; /* when curl wants to be called */
    unsigned slots;
    http_transfer slot[];
};

static uint64_t now_ms(const http_client *client)
{
    return plat_mono_ms(client->clock);
}

/* First failure wins; the words begin with the URL. */
static gv_status fail(http_transfer *t, gv_status status, const char *words)
{
    char url[HTTP_URL_SHOWN_MAX];
    if (t->failure == GV_OK) {
        http_url_show(t->request.url, url, sizeof url);
        t->failure = status;
        t->error.text[0] = '\0'; /* a callback may have left words and answered GV_OK */
        gv_fail(&t->error, status, "%s: %s", url, words);
    }
    return status;
}

/* --- a response comes in ----------------------------------------------------------------------- */
/* What a callback answered, with words when it had none. */
static gv_status refused(http_transfer *t, gv_status status)
{
    if (t->failure == GV_OK) {
        t->failure = status;
        if (t->error.text[0] == '\0')
            gv_fail(&t->error, status, "the answer was refused (%s)", gv_status_name(status));
    }
    return status;
}

static size_t on_header_line(char *data, size_t size, size_t count, void *arg)
{
    http_transfer *t = arg;
    gv_error error = { 0 };
    bool before = t->head.complete;
    if (t->state != SLOT_RUNNING || t->failure != GV_OK)
        return 0;
    t->active_ms = now_ms(t->client);
    gv_status status = http_head_line(&t->head, gv_span_of(data, size * count), &error);
    if (status != GV_OK) {
        fail(t, status, error.text);
        return 0;
    }
    if (t->head.complete && !before) {
        status = http_head_check(&t->head, &t->request, &error);
        if (status != GV_OK) {
            fail(t, status, error.text);
            return 0;
        }
        t->body.gzip = t->head.encoding == HTTP_GZIP;
        if (t->request.on_headers) {
            status = t->request.on_headers(t->request.ctx, &t->head.reply, &t->error);
            if (status != GV_OK) {
                refused(t, status);
                return 0;
            }
        }
    }
    return t->state == SLOT_RUNNING ? size * count : 0;
}

static gv_status give(void *ctx, gv_span data, size_t *taken)
{
    http_transfer *t = ctx;
    gv_status status = t->request.on_data(t->request.ctx, data, taken, &t->error);
    if (status != GV_OK && status != GV_AGAIN)
        return refused(t, status);
    return t->state == SLOT_RUNNING ? status : GV_INVAL;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    http_transfer *t = arg;
    gv_error error = { 0 };
    if (t->state != SLOT_RUNNING || t->failure != GV_OK)
        return CURL_WRITEFUNC_ERROR;
    t->active_ms = now_ms(t->client);
    gv_status status = http_body_take(&t->body, gv_span_of(data, size * count), give, t, &error);
    if (status == GV_OK)
        return size * count;
    if (status == GV_AGAIN) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (error.text[0])
        fail(t, status, error.text);
    return CURL_WRITEFUNC_ERROR;
}

/* --- connecting -------------------------------------------------------------------------------- */
static int on_connected(void *arg, char *their_ip, char *our_ip, int their_port, int our_port)
{
    http_transfer *t = arg;
    (void)their_ip, (void)our_ip, (void)their_port, (void)our_port;
    t->sending = true;
    t->active_ms = now_ms(t->client);
    return CURL_PREREQFUNC_OK;
}

static CURLcode on_tls(CURL *easy, void *config, void *arg)
{
    http_transfer *t = arg;
    (void)easy;
    tls_roots_apply(config, t->chain, &t->verdict);
    return CURLE_OK;
}

/* --- a response is over ------------------------------------------------------------------------ */
static gv_status body_ended(http_transfer *t, const char *why)
{
    char words[200];
    snprintf(words, sizeof words, "the body ended after %" PRIu64 " bytes: %.120s", t->body.bytes,
             why);
    return fail(t, GV_CORRUPT, words);
}

static bool is_tls(CURLcode code)
{
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CIPHER;
}

static gv_status judge_failure(http_transfer *t, CURLcode code)
{
    char words[256];
    const char *what = t->curl_words[0] ? t->curl_words : curl_easy_strerror(code);
    if (t->failure != GV_OK)
        return t->failure;
    if (code == CURLE_PARTIAL_FILE || (code == CURLE_RECV_ERROR && t->head.complete))
        return body_ended(t, what);
    if (code == CURLE_TOO_LARGE)
        return fail(t, GV_FULL, what);
    if (is_tls(code) && t->verdict.flags) {
        tls_verdict_explain(&t->verdict, words, sizeof words);
    } else if (is_tls(code)) {
        snprintf(words, sizeof words, "no TLS connection: %.150s", what);
    } else if (code == CURLE_COULDNT_RESOLVE_HOST) {
        snprintf(words, sizeof words,
                 "%.120s: check the name, and whether this machine's network and DNS work", what);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        snprintf(words, sizeof words, "no connection within %" PRIu32 " ms: %.120s",
                 t->request.connect_timeout_ms, what);
    } else {
        snprintf(words, sizeof words, "%.200s", what);
    }
    return fail(t, GV_IO, words);
}

/* Makes the slot free, then tells the caller: he may start the next request at once. */
static void finish(http_transfer *t, bool tell)
{
    http_request request = t->request;
    http_reply reply = t->head.reply;
    gv_status status = t->failure;
    gv_error error = t->error;

    if (t->state != SLOT_NEW)
        curl_multi_remove_handle(t->client->multi, t->easy);
    curl_easy_reset(t->easy); /* forgets passwords; the connection stays with the multi handle */
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    tls_chain_release(t->chain);
    t->chain = NULL;
    t->state = SLOT_FREE;
    if (tell)
        request.on_done(request.ctx, status, &reply, &error);
}

static void add(http_transfer *t)
{
    t->state = SLOT_RUNNING;
    t->active_ms = now_ms(t->client);
    CURLMcode code = curl_multi_add_handle(t->client->multi, t->easy);
    if (code != CURLM_OK) {
        fail(t, GV_IO, curl_multi_strerror(code));
        finish(t, true);
    }
}

/* A transfer that is paused in one direction reads on, into a buffer that grows, each time curl runs
 * it for the sake of the other. So both are paused; curl 8.14 then leaves it alone. */
static void hold(http_transfer *t)
{
    curl_easy_pause(t->easy, CURLPAUSE_ALL);
    t->held = true;
}

/* Does what could not be done while curl was calling us. */
static void settle(http_client *client)
{
    CURLMsg *message;
    int left;
    assert(client->inside == 0);
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->slot[i];
        if (t->state == SLOT_CANCELLED)
            finish(t, false);
        else if (t->state == SLOT_RUNNING && t->deaf)
            finish(t, true);
        else if (t->state == SLOT_RUNNING && t->paused && !t->held)
            hold(t);
    }
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        http_transfer *t;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
        if (code != CURLE_OK)
            judge_failure(t, code);
        else if (t->failure == GV_OK && !http_body_whole(&t->body))
            body_ended(t, "the gzip stream has no end");
        finish(t, true);
    }
}

/* --- curl and the loop ------------------------------------------------------------------------- */
static void act(http_client *client, curl_socket_t fd, int events)
{
    int running;
    client->inside++;
    curl_multi_socket_action(client->multi, fd, events, &running);
    client->inside--;
    settle(client);
}

static void on_ready(void *arg, int fd, unsigned events)
{
    act(arg, fd,
        (events & PLAT_LOOP_IN ? CURL_CSELECT_IN : 0) |
            (events & PLAT_LOOP_OUT ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    http_client *client = arg;
    gv_error error = { 0 };
    unsigned events = 0;
    http_transfer *t = NULL;
    (void)socket_arg;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= PLAT_LOOP_IN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= PLAT_LOOP_OUT;
    if (plat_loop_watch(client->loop, fd, events, on_ready, client, &error) == GV_OK)
        return 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    if (t) {
        fail(t, GV_FULL, error.text);
        t->deaf = true;
    }
    return 0; /* -1 would end the whole multi handle, for good */
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    http_client *client = arg;
    (void)multi;
    client->timer_ms = timeout_ms < 0 ? UINT64_MAX : now_ms(client) + (uint64_t)timeout_ms;
    return 0;
}

/* --- the client -------------------------------------------------------------------------------- */
static bool open_slots(http_client *client)
{
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->slot[i];
        void *mem = malloc(gunzip_mem_bytes());
        t->client = client;
        t->easy = curl_easy_init();
        t->body.gunzip = mem ? gunzip_init(mem) : NULL;
        if (mem && !t->body.gunzip)
            free(mem);
        if (!t->easy || !t->body.gunzip)
            return false;
    }
    return true;
}

/* libcurl takes proxies from the environment, as everybody does; but never for this machine itself. */
static void exempt_loopback(http_client *client)
{
    const char *given = getenv("no_proxy");
    size_t cap = sizeof client->no_proxy;
    if (!given)
        given = getenv("NO_PROXY");
    if (!given)
        given = "";
    const char *ours = strcmp(given, "*") == 0 ? "" : ",localhost,127.0.0.0/8,::1";
    if (snprintf(client->no_proxy, cap, "%s%s", given, ours) >= (int)cap)
        client->no_proxy[0] = '\0';
}

http_client *http_open(plat_loop *loop, const plat_clock *clock, unsigned slots,
                       const char *user_agent, gv_error *err)
{
    assert(slots > 0 && slots <= 16);
    http_client *client = calloc(1, sizeof *client + slots * sizeof(http_transfer));
    if (!client || curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) {
        free(client);
        gv_fail(err, GV_FULL, "no memory for the HTTP client");
        return NULL;
    }
    client->loop = loop;
    client->clock = clock;
    client->slots = slots;
    client->timer_ms = UINT64_MAX;
    snprintf(client->user_agent, sizeof client->user_agent, "%s", user_agent);
    exempt_loopback(client);
    client->multi = curl_multi_init();
    client->roots = tls_roots_open();
    if (!client->multi || !client->roots || !open_slots(client)) {
        gv_fail(err, GV_FULL, "no memory for the HTTP client");
        http_close(client);
        return NULL;
    }
    CURLM *multi = client->multi;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)slots);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)slots);
    return client;
}

void http_close(http_client *client)
{
    if (!client)
        return;
    assert(client->inside == 0);
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->slot[i];
        if (t->state != SLOT_FREE)
            finish(t, false);
        if (t->easy)
            curl_easy_cleanup(t->easy);
        free(t->body.gunzip);
    }
    if (client->multi)
        curl_multi_cleanup(client->multi);
    tls_roots_close(client->roots);
    free(client);
    curl_global_cleanup();
}

/* --- a request goes out ------------------------------------------------------------------------ */
static gv_status add_header(http_transfer *t, const char *line, gv_error *err)
{
    if (strpbrk(line, "\r\n") || !strchr(line, ':'))
        return gv_fail(err, GV_INVAL, "an HTTP header is not of the form \"name: value\"");
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (!list)
        return gv_fail(err, GV_FULL, "no memory for HTTP headers");
    t->headers = list;
    return GV_OK;
}

static gv_status add_headers(http_transfer *t, gv_error *err)
{
    gv_status status = add_header(t, "Expect:", err); /* no pause before small bodies */
    if (status == GV_OK && t->request.accept_gzip)
        status = add_header(t, "Accept-Encoding: gzip", err);
    for (size_t i = 0; i < t->request.header_count && status == GV_OK; i++)
        status = add_header(t, t->request.headers[i], err);
    return status;
}

static void set_method(CURL *easy, const http_request *r)
{
    bool post = strcmp(r->method, "POST") == 0;
    if (post || r->body.len != 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.len ? (const char *)r->body.data : "");
    }
    if (!post && (strcmp(r->method, "GET") != 0 || r->body.len != 0))
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_tls(http_transfer *t)
{
    CURL *easy = t->easy;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    /* on_tls() brings the certificates; curl itself loads none. */
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    /* mbedTLS ignores this, but curl never shares connections or sessions between different values:
     * what one CA file vouched for is not used for a request that names another. */
    curl_easy_setopt(easy, CURLOPT_ISSUERCERT, t->request.ca_file);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, t);
}

static void set_options(http_transfer *t)
{
    const http_request *r = &t->request;
    CURL *easy = t->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A cancelled transfer leaves the resolver's thread alone; else the loop would wait for DNS. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, t->client->user_agent);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_words);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 60L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 30L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_timeout_ms);
    if (t->client->no_proxy[0])
        curl_easy_setopt(easy, CURLOPT_NOPROXY, t->client->no_proxy);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    if (r->username) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, r->username);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, r->password ? r->password : "");
    }
    set_method(easy, r);
    set_tls(t);
}

static void begin(http_transfer *t, const http_request *request)
{
    t->state = SLOT_NEW;
    t->request = *request;
    http_head_start(&t->head);
    t->verdict = (tls_verdict){ .clock = t->client->clock };
    t->curl_words[0] = '\0';
    http_body_start(&t->body, request->max_body_bytes);
    t->paused = t->held = t->resume = t->deaf = t->sending = false;
    t->sent_bytes = 0;
    t->failure = GV_OK;
    memset(&t->error, 0, sizeof t->error);
}

gv_status http_start(http_client *client, const http_request *request, http_transfer **out,
                     gv_error *err)
{
    char url[HTTP_URL_SHOWN_MAX];
    http_transfer *t = NULL;
    http_url_show(request->url, url, sizeof url);
    if (!http_url_valid(request->url))
        return gv_fail(err, GV_INVAL, "\"%s\" is no address: expected http://... or https://...",
                       url);
    for (unsigned i = 0; i < client->slots && !t; i++)
        if (client->slot[i].state == SLOT_FREE)
            t = &client->slot[i];
    if (!t)
        return GV_AGAIN;
    begin(t, request);
    gv_status status = tls_roots_get(client->roots, request->ca_file, &t->chain, err);
    if (status == GV_OK)
        status = add_headers(t, err);
    if (status != GV_OK) {
        finish(t, false);
        return status;
    }
    set_options(t);
    *out = t;
    return GV_OK;
}

void http_resume(http_transfer *t)
{
    if (t->paused)
        t->resume = true;
}

void http_cancel(http_transfer *t)
{
    assert(t->state == SLOT_NEW || t->state == SLOT_RUNNING);
    if (t->client->inside && t->state == SLOT_RUNNING)
        t->state = SLOT_CANCELLED;
    else
        finish(t, false);
}

/* --- time -------------------------------------------------------------------------------------- */
static void go_on(http_transfer *t)
{
    t->paused = t->held = t->resume = false;
    t->active_ms = now_ms(t->client);
    t->client->inside++;
    CURLcode code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
    t->client->inside--;
    if (t->state == SLOT_CANCELLED) {
        finish(t, false);
    } else if (code != CURLE_OK) {
        judge_failure(t, code);
        finish(t, true);
    } else if (t->paused) {
        hold(t);
    }
}

static uint64_t stall_deadline(const http_transfer *t)
{
    if (t->state != SLOT_RUNNING || !t->sending || t->paused)
        return UINT64_MAX; /* until then the connect time-out counts */
    return t->active_ms + t->request.stall_timeout_ms;
}

static void check_stall(http_transfer *t)
{
    curl_off_t sent = 0;
    char words[160];
    uint64_t now = now_ms(t->client);
    if (stall_deadline(t) > now)
        return;
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    if (sent > t->sent_bytes) {
        t->sent_bytes = sent;
        t->active_ms = now;
        return;
    }
    if (t->head.complete)
        snprintf(words, sizeof words,
                 "no byte for %" PRIu32 " ms, after %" PRIu64 " bytes of the body",
                 t->request.stall_timeout_ms, t->body.bytes);
    else
        snprintf(words, sizeof words, "connected, but no answer within %" PRIu32 " ms",
                 t->request.stall_timeout_ms);
    fail(t, GV_IO, words);
    finish(t, true);
}

uint64_t http_tick(http_client *client)
{
    assert(client->inside == 0);
    for (unsigned i = 0; i < client->slots; i++) {
        http_transfer *t = &client->slot[i];
        if (t->state == SLOT_NEW)
            add(t);
        else if (t->state == SLOT_RUNNING && t->resume)
            go_on(t);
        check_stall(t);
    }
    if (client->timer_ms <= now_ms(client)) {
        client->timer_ms = UINT64_MAX; /* curl sets it again if it wants to */
        act(client, CURL_SOCKET_TIMEOUT, 0);
    }
    uint64_t next = client->timer_ms;
    for (unsigned i = 0; i < client->slots; i++) {
        const http_transfer *t = &client->slot[i];
        if (t->state == SLOT_NEW || (t->state == SLOT_RUNNING && t->resume))
            return now_ms(client);
        if (stall_deadline(t) < next)
            next = stall_deadline(t);
    }
    return next;
}

void http_versions(char *text, size_t cap)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    snprintf(text, cap, "libcurl %s, %s, zlib %s", info->version,
             info->ssl_version ? info->ssl_version : "without TLS",
             info->libz_version ? info->libz_version : "none");
}
