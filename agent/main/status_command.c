#include "agent/main/status_command.h"

#include "agent/main/cli.h"
#include "agent/net/http.h"
#include "agent/status/status_text.h"
#include "gavel_version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS  10000u
#define ANSWER_BYTES ((size_t)1024 * 1024)

typedef struct {
    bool done;
    gv_status status;
    gv_error why;
    gv_buf body;
} answer;

/* --- whom to ask ------------------------------------------------------------------------------- */

/* No secret is wanted here, and who may not read the key may still ask. */
static gv_status any_secret(void *ctx, const char *reference, char *value, size_t cap,
                            gv_error *err)
{
    (void)ctx;
    (void)reference;
    (void)err;
    snprintf(value, cap, "none");
    return GV_OK;
}

/* What the file says of status.listen, if there is one and it is good; else the default. */
static gv_status find_agent(const char *path, bool is_given, char url[STATUS_URL_MAX],
                            gv_error *err)
{
    static char text[CONFIG_ARENA_BYTES];
    size_t len = 0;
    plat_fs fs = plat_fs_system();
    gv_error problem = { 0, "" };
    cli_config *c = calloc(1, sizeof *c);
    if (!c)
        return gv_fail(err, GV_FULL, "no memory for the configuration");
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    const config_reader reader = {
        .program = CONFIG_AGENT, .name = path, .arena = &c->arena, .secret = any_secret
    };
    gv_status st = plat_fs_load(&fs, path, text, sizeof text, &len, &problem);
    if (st == GV_OK)
        st = config_parse(&reader, gv_span_of(text, len), &c->config, &problem);
    if (st != GV_OK && !is_given) {
        config_defaults(&c->arena, &c->config);
        st = GV_OK;
    }
    if (st != GV_OK)
        gv_fail(err, st, "%s", problem.text);
    else if (!c->config.status_enabled)
        st = gv_fail(err, GV_INVAL, "status.enabled is false in %s: set it to true and reload",
                     path);
    else if (!status_url(c->config.status_listen, url))
        st = gv_fail(err, GV_INVAL,
                     "status.listen is '%s', which does not say where to ask: name the address "
                     "with --url",
                     c->config.status_listen);
    free(c);
    return st;
}

/* --- asking ------------------------------------------------------------------------------------ */

static gv_status take_body(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    answer *a = ctx;
    if (!gv_buf_put(&a->body, data.data, data.len))
        return gv_fail(err, GV_FULL, "the answer is larger than %zu bytes", a->body.cap);
    *taken = data.len;
    return GV_OK;
}

static void take_end(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    answer *a = ctx;
    a->done = true;
    a->why = *err;
    a->status = status;
    if (status == GV_OK && reply->status != 200)
        a->status = gv_fail(&a->why, GV_IO, "it answered HTTP %d", reply->status);
}

static gv_status wait_for(answer *a, http_client *http, plat_loop *loop, const plat_clock *clock,
                          gv_error *err)
{
    uint64_t until_ms = plat_mono_ms(clock) + PATIENCE_MS;
    for (;;) {
        uint64_t due_ms = http_tick(http), now_ms = plat_mono_ms(clock);
        if (a->done)
            return a->status == GV_OK ? GV_OK : gv_fail(err, a->status, "%s", a->why.text);
        if (now_ms >= until_ms)
            return gv_fail(err, GV_IO, "it did not answer within %u s", PATIENCE_MS / 1000);
        due_ms = due_ms < until_ms ? due_ms : until_ms;
        gv_status st = plat_loop_wait(loop, due_ms > now_ms ? (int64_t)(due_ms - now_ms) : 0, err);
        if (st != GV_OK)
            return st;
    }
}

static gv_status ask(const char *url, answer *a, gv_error *err)
{
    plat_clock clock = plat_clock_system(0);
    plat_loop *loop = plat_loop_open(err);
    if (!loop)
        return GV_IO;
    http_client *http = http_open(loop, &clock, 1, "gavel/" GAVEL_VERSION, err);
    gv_status st = http ? GV_OK : GV_FULL;
    http_transfer *transfer;
    const http_request request = { .method = "GET",
                                   .url = url,
                                   .max_body_bytes = ANSWER_BYTES,
                                   .connect_timeout_ms = PATIENCE_MS,
                                   .stall_timeout_ms = PATIENCE_MS,
                                   .on_data = take_body,
                                   .on_done = take_end,
                                   .ctx = a };
    if (st == GV_OK)
        st = http_start(http, &request, &transfer, err);
    if (st == GV_OK)
        st = wait_for(a, http, loop, &clock, err);
    http_close(http);
    plat_loop_close(loop);
    return st;
}

/* --- the command ------------------------------------------------------------------------------- */

static bool wants_colours(void)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM"); /* no-color.org */
    return isatty(STDOUT_FILENO) && !(no_colour && no_colour[0]) &&
           !(term && strcmp(term, "dumb") == 0);
}

/* The agent's own words, or those for a terminal. */
static gv_status show(gv_span json, bool as_json, status_state *state, gv_error *err)
{
    gv_buf text = gv_buf_of(malloc(ANSWER_BYTES), ANSWER_BYTES);
    if (!text.data)
        return gv_fail(err, GV_FULL, "no memory for the text");
    gv_status st = status_text(json, !as_json && wants_colours(), &text, state, err);
    if (st == GV_OK) {
        gv_span shown = as_json ? json : gv_span_of(text.data, text.len);
        fwrite(shown.data, 1, shown.len, stdout);
        if (as_json)
            putchar('\n');
        if (fflush(stdout) != 0 || ferror(stdout))
            st = gv_fail(err, GV_IO, "the output cannot be written");
    }
    free(text.data);
    return st;
}

static gv_status ask_and_show(const char *url, bool as_json, status_state *state, gv_error *err)
{
    answer a = { .body = gv_buf_of(malloc(ANSWER_BYTES), ANSWER_BYTES) };
    if (!a.body.data)
        return gv_fail(err, GV_FULL, "no memory for an answer");
    gv_status st = ask(url, &a, err);
    if (st == GV_OK)
        st = show(gv_span_of(a.body.data, a.body.len), as_json, state, err);
    free(a.body.data);
    return st;
}

int status_command(int argc, char **argv, const char *default_path)
{
    const char *path = cli_take_option(&argc, argv, "--config");
    const char *url = cli_take_option(&argc, argv, "--url");
    bool as_json = cli_take_flag(&argc, argv, "--json");
    char found[STATUS_URL_MAX];
    gv_error err = { 0, "" };
    status_state state;
    if (argc != 1) {
        fprintf(stderr, "usage: gavel status [--json] [--url URL] [--config FILE]\n");
        return CLI_USAGE;
    }
    if (!url && find_agent(path ? path : default_path, path != NULL, found, &err) != GV_OK) {
        fprintf(stderr, "gavel status: %s\n", err.text);
        return CLI_USAGE;
    }
    if (ask_and_show(url ? url : found, as_json, &state, &err) == GV_OK)
        return state == STATUS_OK ? CLI_OK : CLI_NOT_ALL_WELL;
    fprintf(
        stderr,
        "gavel status: the agent cannot be asked: %s\n"
        "See whether it runs (systemctl status gavel) and listens there (status.listen); another "
        "address is named with --url.\n",
        err.text);
    return CLI_USAGE;
}
