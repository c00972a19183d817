#include "agent/main/agent_updates.h"

#include "agent/cli/cli_update.h"
#include "agent/main/agent.h"
#include "platform/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct agent_updates {
    const char *path;
    const plat_fs *fs;
    const plat_clock *clock;
    bool only_looks;
    char *text; /* of the board's own file, when it was good last; NULL: not yet */
    size_t len;
    updater *updater;
    char state_dir[PLAT_PATH_MAX]; /* of the updater */
    bool has_update;               /* was loaded last */
};

agent_updates *agent_updates_new(const char *path, const plat_fs *fs, const plat_clock *clock,
                                 bool only_looks)
{
    agent_updates *u = calloc(1, sizeof *u);
    if (u)
        *u = (agent_updates){ .path = path, .fs = fs, .clock = clock, .only_looks = only_looks };
    return u;
}

void agent_updates_free(agent_updates *u)
{
    if (!u)
        return;
    updater_close(u->updater);
    free(u->text);
    free(u);
}

updater *agent_updates_updater(const agent_updates *u)
{
    return u->updater;
}

/* --- the board's own file ---------------------------------------------------------------------- */
static cli_config *load_own(agent_updates *u)
{
    gv_error err = { 0, "" };
    gv_status status;
    size_t len;
    bool is_first = u->text == NULL;
    cli_config *own =
        is_first ? cli_load(u->path, CONFIG_AGENT) : cli_reload(u->path, CONFIG_AGENT);
    char *text = own ? cli_read_text(u->path, &len, &err) : NULL;
    if (text) {
        free(u->text);
        u->text = text;
        u->len = len;
        return own;
    }
    free(own);
    if (is_first)
        return NULL;
    GV_LOG(GV_LOG_ERROR, gv_kmsg("new configuration refused; the old one stays in force"),
           gv_kstr("path", u->path), gv_kstr("reason", err.text));
    if (!u->updater)
        return NULL; /* what runs goes on */
    return cli_from_text(gv_span_of(u->text, u->len), u->path, &status, &err);
}

/* --- the update beside it ----------------------------------------------------------------------- */
/* Where the store is may have changed. */
static void open_updater(agent_updates *u, const gv_config *own)
{
    gv_error err = { 0, "" };
    bool is_wanted = cli_takes_updates(own) && !u->only_looks;
    if (u->updater && (!is_wanted || strcmp(u->state_dir, own->state_dir) != 0)) {
        updater_close(u->updater);
        u->updater = NULL;
    }
    if (!is_wanted || u->updater)
        return;
    snprintf(u->state_dir, sizeof u->state_dir, "%s", own->state_dir);
    if (updater_open(u->fs, u->clock, own->state_dir, &u->updater, &err) != GV_OK)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("no updates are looked for"), gv_kstr("reason", err.text));
}

/* Without an updater nothing changes, but what was taken before may be in force. */
static cli_config *look_in_force(const agent_updates *u, cli_config *own)
{
    gv_error err = { 0, "" };
    store *s = NULL;
    cli_config *c = cli_in_force(own, u->path, &err);
    if (err.text[0] == '\0' && !cli_takes_updates(&c->config) &&
        store_open(u->fs, c->config.state_dir, false, &s, NULL) == GV_OK &&
        store_look(s)->good.version)
        gv_fail(&err, GV_INVAL, "ota.keys is empty");
    store_close(s);
    if (err.text[0])
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("the update that was taken is not in force; the board's own file is"),
               gv_kstr("reason", err.text));
    return c;
}

static void log_overridden(void *ctx, const char *path)
{
    (void)ctx;
    GV_LOG(GV_LOG_WARN,
           gv_kmsg("the update in force sets this option otherwise than the board's own file"),
           gv_kstr("option", path));
}

static cli_config *take_update(agent_updates *u, cli_config *own)
{
    char device[CLI_DEVICE_MAX];
    gv_span config;
    cli_device(&own->config, device);
    bundle_recipient recipient = cli_recipient(&own->config, device);
    while (updater_pick(u->updater, &recipient, &config)) {
        gv_error err = { 0, "" };
        gv_status status;
        cli_config *c = cli_with_update(gv_span_of(u->text, u->len), config, &status, &err);
        if (c) {
            const update_state *state = updater_state(u->updater);
            c->update_version = state->running_version;
            memcpy(c->update_sha256, state->running_sha256, sizeof c->update_sha256);
            config_overridden(&own->config, &c->config, CONFIG_AGENT, log_overridden, NULL);
            return c;
        }
        updater_unusable(u->updater, err.text);
    }
    return NULL;
}

cli_config *agent_updates_load(agent_updates *u)
{
    cli_config *own = load_own(u), *c;
    if (!own)
        return NULL;
    open_updater(u, &own->config);
    if (!u->updater)
        return look_in_force(u, own);
    c = take_update(u, own);
    u->has_update = c != NULL;
    if (!c)
        return own;
    free(own);
    return c;
}

bool agent_updates_failed(agent_updates *u, const char *reason)
{
    if (!u->updater || !u->has_update)
        return false;
    updater_unusable(u->updater, reason);
    return true;
}

gv_status agent_updates_check(void *ctx, gv_span config, gv_error *err)
{
    const agent_updates *u = ctx;
    memory_budget budget;
    gv_status status;
    cli_config *c = cli_with_update(gv_span_of(u->text, u->len), config, &status, err);
    if (c)
        status = agent_memory(&c->config, &budget, err);
    free(c);
    return status == GV_OK || status == GV_IO ? status : GV_INVAL;
}
