#include "agent/commands/status_command.h"

#include "agent/cli/cli.h"
#include "agent/cli/http_ask.h"
#include "agent/status/status_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_BYTES ((size_t)1024 * 1024)

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
    gv_buf body = gv_buf_of(malloc(ANSWER_BYTES), ANSWER_BYTES);
    if (!body.data)
        return gv_fail(err, GV_FULL, "no memory for an answer");
    gv_status st = http_ask(url, &body, err);
    if (st == GV_OK)
        st = show(gv_span_of(body.data, body.len), as_json, state, err);
    free(body.data);
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
