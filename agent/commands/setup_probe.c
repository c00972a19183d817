#include "agent/cli/cli.h"
#include "agent/commands/setup_internal.h"
#include "agent/source/feed.h"
#include "agent/source/token.h"
#include "gavel_version.h"
#include "platform/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS     20000u /* for each of the four */
#define POLL_MS         100
#define INDEX_BYTES_MAX (64u * 1024u)

typedef struct {
    const gv_config *config;
    plat_loop *loop;
    plat_clock clock;
    http_client *http;
    token token;
    int failures;

    bool done; /* of what is being asked */
    gv_status status;
    gv_error why;
    char index[INDEX_BYTES_MAX];
    size_t index_len;
    const uint32_t *wanted; /* realms */
    size_t wanted_count;
    bool seen[CONFIG_REALMS_MAX];
} probe;

static void say(probe *p, const char *what, bool good, const char *fmt, ...) GV_PRINTF(4, 5);

static void say(probe *p, const char *what, bool good, const char *fmt, ...)
{
    va_list args;
    printf("  %-9s %s", what, good ? "ok: " : "NO: ");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    p->failures += !good;
}

/* Until somebody sets done; false when nobody has in time. */
static bool wait_done(probe *p)
{
    uint64_t until = plat_mono_ms(&p->clock) + PATIENCE_MS;
    for (;;) {
        uint64_t due = http_tick(p->http), now = plat_mono_ms(&p->clock);
        if (p->done || now >= until)
            return p->done;
        if (until < due)
            due = until;
        if (plat_loop_wait(p->loop, due > now ? (int64_t)(due - now) : 0, NULL) != GV_OK)
            return false;
    }
}

/* --- the API ------------------------------------------------------------------------------------ */

static bool probe_key(probe *p)
{
    const gv_config *c = p->config;
    const token_config config = {
        .url = c->api_token_url,
        .client_id = c->api_client_id,
        .client_secret = c->api_client_secret,
        .ca_file = cli_or_null(c->api_ca_file),
        .connect_timeout_ms = (uint32_t)c->api_connect_timeout_ms,
        .stall_timeout_ms = PATIENCE_MS,
        .retry = { .retry_min_ms = PATIENCE_MS, .retry_max_ms = PATIENCE_MS },
    };
    schedule_random random;
    schedule_seed(&random, plat_mono_ms(&p->clock));
    token_init(&p->token, &config, p->http, &p->clock, &random);
    uint64_t until = plat_mono_ms(&p->clock) + PATIENCE_MS;
    for (;;) {
        uint64_t now = plat_mono_ms(&p->clock);
        token_tick(&p->token, now);
        http_tick(p->http);
        if (token_usable(&p->token, now) || p->token.failures > 0 || now >= until)
            break;
        if (plat_loop_wait(p->loop, POLL_MS, NULL) != GV_OK)
            break;
    }
    bool good = token_usable(&p->token, plat_mono_ms(&p->clock));
    token_stop(&p->token);
    const char *why = p->token.why.text[0] ? p->token.why.text : "no answer";
    say(p, "API key", good, "%s", good ? "the API accepts it" : why);
    return good;
}

static gv_status take_index(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    probe *p = ctx;
    if (data.len > sizeof p->index - p->index_len)
        return gv_fail(err, GV_FULL, "the realm index is too large");
    memcpy(p->index + p->index_len, data.data, data.len);
    p->index_len += data.len;
    *taken = data.len;
    return GV_OK;
}

static void on_index(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    probe *p = ctx;
    p->done = true;
    p->why = *err;
    p->status = status;
    if (status == GV_OK && reply->status != 200)
        p->status = gv_fail(&p->why, GV_IO, "the realm index answered HTTP %d", reply->status);
}

static gv_status see_realm(void *ctx, uint32_t realm, gv_error *err)
{
    probe *p = ctx;
    (void)err;
    for (size_t i = 0; i < p->wanted_count; i++)
        p->seen[i] = p->seen[i] || p->wanted[i] == realm;
    return GV_OK;
}

static void judge_realms(probe *p, const char *region)
{
    for (size_t i = 0; i < p->wanted_count; i++) {
        if (!p->seen[i]) {
            say(p, "realms", false,
                "%u is no connected realm of %s: several realms share one id, which is in the "
                "realm's page of the API",
                (unsigned)p->wanted[i], region);
            return;
        }
    }
    say(p, "realms", true, "the index of %s has them", region);
}

/* The region's index, as the agent asks for it; there is no earlier copy to make it conditional. */
static void probe_realms(probe *p, const config_source *s)
{
    const gv_config *c = p->config;
    const char *region = config_region_name(s->region), *headers[] = { p->token.header };
    char url[FEED_URL_MAX];
    http_transfer *transfer = NULL;
    p->index_len = 0;
    p->done = false;
    p->why = (gv_error){ 0, "no answer" };
    p->wanted = s->realms;
    p->wanted_count = s->realm_count;
    memset(p->seen, 0, sizeof p->seen);
    bool fits = feed_index_url(region, (feed_game)s->game, c->api_base_url, url, sizeof url);
    const http_request request = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .header_count = 1,
        .ca_file = cli_or_null(c->api_ca_file),
        .accept_gzip = true,
        .max_body_bytes = INDEX_BYTES_MAX,
        .connect_timeout_ms = (uint32_t)c->api_connect_timeout_ms,
        .stall_timeout_ms = PATIENCE_MS,
        .on_data = take_index,
        .on_done = on_index,
        .ctx = p,
    };
    gv_error err = { 0, "" };
    p->status = GV_IO;
    if (!fits || http_start(p->http, &request, &transfer, &err) != GV_OK)
        snprintf(p->why.text, sizeof p->why.text, "%s",
                 fits ? err.text : "api.base_url is too long");
    else if (!wait_done(p))
        http_cancel(transfer);
    if (p->status == GV_OK)
        p->status = feed_parse_index(gv_span_of(p->index, p->index_len), see_realm, p, &p->why);
    if (p->status == GV_OK)
        judge_realms(p, region);
    else
        say(p, "realms", false, "%s", p->why.text);
}

/* --- the main host -------------------------------------------------------------------------------- */

/* Why there is no connection, until there is one. */
static void on_broker(void *ctx, bool up, kafka_failure failure, const char *text)
{
    probe *p = ctx;
    p->why = (gv_error){ 0, "" };
    if (!up)
        gv_fail(&p->why, GV_IO, "%s", text);
    if (!up && failure == KAFKA_DENIED)
        p->done = true;
}

static void on_topics(void *ctx, gv_status status, const gv_error *err)
{
    probe *p = ctx;
    p->done = true;
    p->status = status;
    if (err->text[0])
        p->why = *err;
}

static void ignore_delivery(void *ctx, void *opaque, bool acked, kafka_failure failure,
                            const char *reason)
{
    (void)ctx, (void)opaque, (void)acked, (void)failure, (void)reason;
}

/* Topics are looked at as the agent will, which asks the broker under the address that it gives itself;
 * they are not created here. */
static gv_status ask_broker(probe *p, kafka_property *properties, cli_topics *topics)
{
    const kafka_producer_events events = { ignore_delivery, on_broker, p };
    kafka_config config = cli_kafka_config(p->config, "gavel-setup", properties);
    kafka_producer *producer;
    config.queue_bytes = 1024 * 1024;
    config.queue_records = 100;
    gv_status status = cli_name_topics(p->config, topics, &p->why);
    if (status == GV_OK)
        status = kafka_producer_open(&config, p->loop, &events, &producer, &p->why);
    if (status != GV_OK)
        return status;
    status = kafka_topics_ensure(producer, topics->shapes, BATCH_KINDS, false, PATIENCE_MS / 2,
                                 on_topics, p, &p->why);
    uint64_t until = plat_mono_ms(&p->clock) + PATIENCE_MS;
    while (status == GV_OK && !p->done && plat_mono_ms(&p->clock) < until) {
        kafka_producer_poll(producer);
        status = plat_loop_wait(p->loop, POLL_MS, &p->why);
    }
    kafka_producer_close(producer);
    return status == GV_OK ? p->status : status;
}

static void probe_broker(probe *p)
{
    const gv_config *c = p->config;
    kafka_property *properties = calloc(c->kafka_properties.count + 1, sizeof *properties);
    cli_topics *topics = calloc(1, sizeof *topics);
    p->done = false;
    p->status = GV_IO;
    p->why = (gv_error){ 0, "" };
    gv_status status = properties && topics ? ask_broker(p, properties, topics) : GV_FULL;
    if (status == GV_OK)
        say(p, "broker", true, "%s answers", c->kafka_brokers);
    else if (status == GV_INVAL && c->kafka_create_topics && p->done)
        say(p, "broker", true, "%s answers; the agent will make its topics", c->kafka_brokers);
    else
        say(p, "broker", false, "%s: %s", c->kafka_brokers,
            p->why.text[0] ? p->why.text : "no answer");
    free(topics);
    free(properties);
}

static gv_status take_nothing(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    (void)ctx, (void)err;
    *taken = data.len;
    return GV_OK;
}

static void on_registry(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    probe *p = ctx;
    p->done = true;
    p->status = status;
    p->why = *err;
    if (status == GV_OK && (reply->status == 401 || reply->status == 403))
        p->status = gv_fail(&p->why, GV_INVAL,
                            "it refuses us (HTTP %d): check registry.username and its password",
                            reply->status);
    else if (status == GV_OK && reply->status != 200)
        p->status = gv_fail(&p->why, GV_INVAL,
                            "HTTP %d: this is no schema registry (Apicurio's address ends in "
                            "/apis/ccompat/v7)",
                            reply->status);
}

static void probe_registry(probe *p, const char *address)
{
    const gv_config *c = p->config;
    char url[SETUP_TEXT_MAX];
    http_transfer *transfer = NULL;
    const http_request request = {
        .method = "GET",
        .url = url,
        .username = cli_or_null(c->registry_username),
        .password = cli_or_null(c->registry_password),
        .ca_file = cli_or_null(c->registry_ca_file),
        .max_body_bytes = 16u * 1024 * 1024,
        .connect_timeout_ms = PATIENCE_MS / 2,
        .stall_timeout_ms = PATIENCE_MS,
        .on_data = take_nothing,
        .on_done = on_registry,
        .ctx = p,
    };
    p->done = false;
    p->status = GV_IO;
    p->why = (gv_error){ 0, "" };
    snprintf(url, sizeof url, "%s/subjects", address);
    if (http_start(p->http, &request, &transfer, &p->why) == GV_OK && !wait_done(p))
        http_cancel(transfer);
    if (p->status == GV_OK)
        say(p, "registry", true, "%s answers", address);
    else
        say(p, "registry", false, "%s: %s", address, p->why.text[0] ? p->why.text : "no answer");
}

int setup_probe(const gv_config *config)
{
    gv_error err = { 0, "" };
    probe *p = calloc(1, sizeof *p);
    int failures = 1;
    if (!p)
        return failures;
    gv_log_configure(GV_LOG_ERROR, GV_LOG_LOGFMT, 2); /* each outcome is a line of its own here */
    p->config = config;
    p->clock = plat_clock_system(GAVEL_BUILD_TIME_S * 1000);
    p->loop = plat_loop_open(&err);
    p->http = p->loop ? http_open(p->loop, &p->clock, 2, "gavel/" GAVEL_VERSION, &err) : NULL;
    if (p->http) {
        if (probe_key(p))
            for (size_t i = 0; i < config->source_count; i++)
                probe_realms(p, &config->sources[i]);
        probe_broker(p);
        for (size_t i = 0; i < config->registry_urls.count; i++)
            probe_registry(p, config->registry_urls.items[i]);
        failures = p->failures;
        http_close(p->http);
    } else {
        fprintf(stderr, "cannot try anything: %s\n", err.text);
    }
    if (p->loop)
        plat_loop_close(p->loop);
    free(p);
    return failures;
}
