#include "agent/commands/update_command.h"

#include "agent/cli/cli.h"
#include "agent/ota/store.h"
#include "agent/ota/store_text.h"
#include "platform/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AGENT_TAKES_S 15 /* a running agent looks once a second */

bool update_command_is(const char *verb)
{
    return strcmp(verb, "history") == 0 || strcmp(verb, "revert") == 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: config history [--json] | revert [--own-file]   [--config FILE]\n"
            "  history  what became of the updates that came to this board\n"
            "  revert   takes back the update that is being tried, or else the one in force:\n"
            "           the one before it is in force then; with --own-file no update at all.\n"
            "           It is not taken again; publish a higher version to go on\n");
    return CLI_USAGE;
}

static int fail(const gv_error *err)
{
    fprintf(stderr, "gavel: %s\n", err->text);
    return CLI_USAGE;
}

/* --- history ----------------------------------------------------------------------------------- */
static void print_ref(const char *what, const store_ref *update)
{
    if (update->version)
        printf("%s: version %" PRIu64 " (sha256 %.12s...)\n", what, update->version,
               update->sha256);
    else
        printf("%s: the board's own file\n", what);
}

static void print_event(const store_event *e)
{
    time_t seconds = (time_t)(e->at_ms / 1000);
    struct tm utc;
    char at[32] = "?";
    if (gmtime_r(&seconds, &utc))
        strftime(at, sizeof at, "%Y-%m-%d %H:%M:%SZ", &utc);
    printf("%s  version %-6" PRIu64 " %-9s  %s\n", at, e->update.version,
           update_outcome_name(e->outcome), e->reason);
}

static int history(const store *s, bool as_json)
{
    const store_state *state = store_look(s);
    if (as_json) {
        size_t len;
        char *text = store_print(state, &len), *json = text ? strchr(text, '\n') : NULL;
        if (json)
            printf("%s\n", json + 1); /* behind the checksum */
        free(text);
        return json ? CLI_OK : CLI_USAGE;
    }
    print_ref("in force", &state->good);
    if (state->trial.version)
        print_ref(state->record.stage == TRIAL_WAITING ? "postponed" : "being tried",
                  &state->trial);
    for (size_t i = 0; i < state->history_count; i++)
        print_event(&state->history[i]);
    if (state->history_count == 0)
        printf("no update has come yet\n");
    return CLI_OK;
}

/* --- revert ------------------------------------------------------------------------------------ */
/* What the agent cannot read would keep it from its updates. */
static gv_status become_owner(const char *state_dir, gv_error *err)
{
    struct stat st;
    if (geteuid() != 0 || stat(state_dir, &st) != 0 || st.st_uid == 0)
        return GV_OK;
    if (setegid(st.st_gid) != 0 || seteuid(st.st_uid) != 0)
        return gv_fail_errno(err, errno, "cannot act as the owner of %s", state_dir);
    return GV_OK;
}

static gv_status revert_here(store *s, const store_wish *wish, gv_error *err)
{
    plat_clock clock = plat_clock_system(0);
    return store_revert(s, wish->version, wish->to_own_file, plat_wall_ms(&clock), err);
}

/* Leaves the wish for the agent that runs, and waits until it is gone. */
static gv_status ask_agent(const plat_fs *fs, const char *state_dir, const store_wish *wish,
                           gv_error *err)
{
    const struct timespec pause = { 0, 100 * 1000 * 1000 };
    gv_status status = store_wish_put(fs, state_dir, wish, err);
    for (int i = 0; status == GV_OK && i < AGENT_TAKES_S * 10; i++) {
        if (!store_wish_waits(fs, state_dir))
            return GV_OK;
        nanosleep(&pause, NULL);
    }
    return status == GV_OK ? gv_fail(err, GV_AGAIN,
                                     "the agent that runs has not taken it yet; it will as soon as "
                                     "it looks")
                           : status;
}

/* What is to be reverted; false: nothing could be. */
static bool choose(const store *s, bool to_own_file, store_wish *wish)
{
    const store_state *state = store_look(s);
    wish->version = state->trial.version ? state->trial.version : state->good.version;
    wish->to_own_file = to_own_file;
    return wish->version != 0;
}

static int say_result(const plat_fs *fs, const char *state_dir, const store_wish *wish)
{
    gv_error err = { 0, "" };
    store *s;
    if (store_open(fs, state_dir, false, &s, &err) != GV_OK)
        return fail(&err);
    const store_state *state = store_look(s);
    bool is_done = state->good.version != wish->version && state->trial.version != wish->version;
    if (is_done)
        printf("version %" PRIu64 " is reverted, and will not be taken again\n", wish->version);
    else
        fprintf(stderr, "gavel: version %" PRIu64 " is still in force; see the agent's log\n",
                wish->version);
    print_ref("in force", &state->good);
    store_close(s);
    return is_done ? CLI_OK : CLI_NOT_ALL_WELL;
}

static int revert(const plat_fs *fs, const char *state_dir, bool to_own_file)
{
    gv_error err = { 0, "" };
    store_wish wish;
    store *s;
    if (become_owner(state_dir, &err) != GV_OK ||
        store_open(fs, state_dir, false, &s, &err) != GV_OK)
        return fail(&err);
    bool is_any = choose(s, to_own_file, &wish);
    store_close(s);
    if (!is_any) {
        printf("no update is in force or being tried: there is nothing to revert\n");
        return CLI_NOT_ALL_WELL;
    }
    gv_status status = store_open(fs, state_dir, true, &s, &err);
    if (status == GV_OK) {
        status = revert_here(s, &wish, &err);
        store_close(s);
    } else if (status == GV_AGAIN) {
        err = (gv_error){ 0, "" };
        status = ask_agent(fs, state_dir, &wish, &err);
    }
    return status == GV_OK ? say_result(fs, state_dir, &wish) : fail(&err);
}

int update_command(int argc, char **argv, const char *default_path)
{
    const char *path = cli_take_option(&argc, argv, "--config");
    bool as_json = cli_take_flag(&argc, argv, "--json");
    bool to_own_file = cli_take_flag(&argc, argv, "--own-file");
    plat_fs fs = plat_fs_system();
    gv_error err = { 0, "" };
    if (argc != 2)
        return usage();
    cli_config *config = cli_load(path ? path : default_path, CONFIG_AGENT);
    if (!config)
        return CLI_USAGE;
    const char *state_dir = config->config.state_dir;
    int code;
    store *s;
    if (strcmp(argv[1], "revert") == 0) {
        code = revert(&fs, state_dir, to_own_file);
    } else if (store_open(&fs, state_dir, false, &s, &err) == GV_OK) {
        code = history(s, as_json);
        store_close(s);
    } else {
        code = fail(&err);
    }
    free(config);
    return code;
}
