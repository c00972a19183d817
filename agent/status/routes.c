#include "agent/status/routes.h"

#include "status_page.h"
#include "status_page_policy.h"

#include <string.h>

/* Together they take 160 KiB: with more, small boards would have fewer batches than it takes for full
 * speed (tests/unit/test_board_config.c). One answer is enough, as most fit into the socket at once; whoever
 * reads a larger one slowly gives way to the next. */
#define CONNECTIONS   8u
#define REQUEST_BYTES 5120u /* browsers send the cookies of everything else on this host along */
#define ANSWERS       1u
#define ANSWER_MAX    ((size_t)96 * 1024) /* some 200 feeds; which find no room is counted there */
#define TIMEOUT_MS    10000u

typedef gv_status render_fn(const routes *r, gv_buf *out);

static void show_text(const routes *r, const char *type, render_fn *render, http_answer *answer)
{
    gv_buf *buf = http_answer_buffer(answer);
    if (!buf)
        return;
    answer->content_type = type;
    if (render(r, buf) == GV_OK)
        return;
    static const char sorry[] = "The answer does not fit into its buffer.\n";
    answer->status = 500;
    answer->content_type = "text/plain; charset=utf-8";
    gv_buf_put(buf, sorry, sizeof sorry - 1);
}

static void show_page(const routes *r, http_answer *answer)
{
    (void)r; /* the page asks for /status.json by itself */
    answer->fixed = gv_span_of(status_page, status_page_bytes);
    answer->content_type = "text/html; charset=utf-8";
    answer->policy = status_page_policy;
}

static gv_status render_json(const routes *r, gv_buf *out)
{
    status_facts facts;
    r->look(r->ctx, &facts);
    return status_json(&facts, out);
}

static void show_json(const routes *r, http_answer *answer)
{
    show_text(r, "application/json", render_json, answer);
}

static gv_status render_metrics(const routes *r, gv_buf *out)
{
    status_facts facts;
    r->look(r->ctx, &facts);
    return status_metrics(&facts, out);
}

static void show_metrics(const routes *r, http_answer *answer)
{
    show_text(r, "text/plain; version=0.0.4; charset=utf-8", render_metrics, answer);
}

static gv_status render_config(const routes *r, gv_buf *out)
{
    return r->config(r->ctx, out);
}

static void show_config(const routes *r, http_answer *answer)
{
    show_text(r, "application/json", render_config, answer);
}

static void show_health(const routes *r, http_answer *answer)
{
    status_facts facts;
    r->look(r->ctx, &facts);
    const status_spool *s = &facts.spool;
    const char *why = NULL;
    if (s->enabled && !s->usable)
        why = "The spool cannot be used: nothing could be kept if the broker went away. The log "
              "says what is wrong with it.\n";
    else if (s->full && !facts.broker.up)
        why = "The spool is full and the broker is away: nothing is fetched until the broker is "
              "back, or spool.quota_mib is raised.\n";
    answer->status = why ? 503 : 200;
    answer->fixed = gv_span_str(why ? why : "ok\n");
}

http_server_config routes_server_config(const char *listen, size_t feeds)
{
    size_t bytes = STATUS_TEXT_BYTES(feeds);
    return (http_server_config){ .listen = listen,
                                 .connections = CONNECTIONS,
                                 .timeout_ms = TIMEOUT_MS,
                                 .request_bytes = REQUEST_BYTES,
                                 .answer_bytes = bytes < ANSWER_MAX ? bytes : ANSWER_MAX,
                                 .answers = ANSWERS };
}

typedef struct {
    const char *path;
    void (*show)(const routes *r, http_answer *answer);
} route;

void routes_answer(void *ctx, const http_question *question, http_answer *answer)
{
    static const route table[] = { { "/", show_page },
                                   { "/status.json", show_json },
                                   { "/metrics", show_metrics },
                                   { "/config.json", show_config },
                                   { "/healthz", show_health } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(question->path, table[i].path) == 0) {
            table[i].show(ctx, answer);
            return;
        }
    }
    answer->status = 404;
    answer->fixed = gv_span_str("There is nothing here. There are: / (the status page), "
                                "/status.json, /metrics, /config.json and /healthz.\n");
}
