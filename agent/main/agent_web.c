/* The status page: opened beside the agent's work, which goes on whether it can be or not. */
#include "agent/main/agent_internal.h"
#include "platform/log.h"

#include <stdio.h>
#include <string.h>

#define TRY_AGAIN_MS 30000u

size_t agent_web_memory_bytes(const gv_config *config, size_t feeds)
{
    const http_server_config server = routes_server_config(config->status_listen, feeds);
    return config->status_enabled ? http_server_memory_bytes(&server) : 0;
}

static void look(void *ctx, status_facts *out)
{
    agent_status_facts(ctx, out);
}

/* A stream of the C library is opened onto the answer's own memory: nothing grows with the text. */
static gv_status show_config(void *ctx, gv_buf *out)
{
    const agent *a = ctx;
    char *text = (char *)out->data + out->len;
    FILE *file = fmemopen(text, out->cap - out->len, "w");
    if (!file)
        return GV_FULL;
    config_print(file, a->config, CONFIG_AGENT, CONFIG_PRINT_UPDATE);
    long len = ftell(file);
    bool is_whole = !ferror(file);
    if (fclose(file) != 0 || !is_whole || len < 0 || (size_t)len >= out->cap - out->len)
        return GV_FULL;
    out->len += (size_t)len;
    return GV_OK;
}

/* The same reason is told once, not every half minute. */
static void tell_trouble(agent *a, const gv_error *err)
{
    if (strcmp(err->text, a->server_error.text) == 0)
        return;
    GV_LOG(GV_LOG_WARN,
           gv_kmsg("no status page; all else goes on, and it is tried again (status.listen names "
                   "another address, status.enabled does without)"),
           gv_kstr("error", err->text));
    a->server_error = *err;
}

static void try_open(agent *a, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    const http_server_config config = routes_server_config(a->config->status_listen, a->feeds_max);
    a->routes = (routes){ look, show_config, a };
    if (http_server_open(&config, a->setup.loop, a->setup.clock, routes_answer, &a->routes,
                         &a->server, &err) != GV_OK) {
        tell_trouble(a, &err);
        a->server_due_ms = now_ms + TRY_AGAIN_MS;
        return;
    }
    GV_LOG(GV_LOG_INFO, gv_kmsg("status page"), gv_kstr("listen", a->config->status_listen),
           gv_kuint("port", http_server_port(a->server)));
}

uint64_t agent_web_tick(agent *a)
{
    uint64_t now_ms = plat_mono_ms(a->setup.clock);
    if (!a->config->status_enabled || a->setup.single_pass)
        return UINT64_MAX;
    if (!a->server && now_ms >= a->server_due_ms)
        try_open(a, now_ms);
    return a->server ? http_server_tick(a->server) : a->server_due_ms;
}

void agent_web_close(agent *a)
{
    http_server_close(a->server);
    a->server = NULL;
}
