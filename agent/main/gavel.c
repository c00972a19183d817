/* gavel - the agent, and the tools around it. */
#include "agent/cli/cli.h"
#include "agent/commands/owner_command.h"
#include "agent/commands/setup.h"
#include "agent/commands/status_command.h"
#include "agent/main/agent.h"
#include "agent/main/agent_updates.h"
#include "agent/main/board_command.h"
#include "agent/tools/tools.h"
#include "gavel_version.h"
#include "platform/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG "/etc/gavel/gavel.json"

static int usage(FILE *out)
{
    fprintf(
        out,
        "usage: gavel COMMAND [--config FILE]      (default: " DEFAULT_CONFIG ")\n"
        "  run         fetch, forward, and go on for ever (systemd starts this)\n"
        "  once        fetch what is new, forward it, and end\n"
        "  status      how the running agent is: feeds, servers, spool, what to do [--json] [--url "
        "URL]\n"
        "  setup       ask for what a first start needs, try it, write the configuration\n"
        "  spool       look into the spool, check it, replay it (gavel spool --help)\n"
        "  config      check, show and explain the configuration; take back an update; sign and\n"
        "              publish those of boards, to be taken over the air (gavel config --help)\n"
        "  board       which machine this is, what follows from it, and how it is [--json]\n"
        "  --version   versions of gavel and its libraries\n"
        "  --help      this text\n"
        "Signals: TERM and INT stop when what is under way is acknowledged or spooled, HUP reads\n"
        "the configuration again.\n"
        "Exit codes: 0 done; 1 not everything was to be had, or some of it waits in the spool;\n"
        "2 usage or configuration.\n");
    return out == stdout ? CLI_OK : CLI_USAGE;
}

static void on_signal(void *arg, int signal_number)
{
    agent_wishes *wishes = arg;
    if (signal_number == SIGHUP) {
        wishes->reload = true;
        return;
    }
    if (wishes->stop)
        _exit(CLI_NOT_ALL_WELL); /* asked twice: at once; what is lost is fetched again */
    wishes->stop = true;
}

static void log_change(void *ctx, const char *path)
{
    (void)ctx;
    GV_LOG(GV_LOG_INFO, gv_kmsg("configuration changed"), gv_kstr("option", path));
}

/* The configuration to go on with: the new one if it is good, else the old one. */
static cli_config *reload(agent_updates *updates, cli_config *old)
{
    cli_config *fresh = agent_updates_load(updates);
    if (!fresh)
        return old;
    if (config_diff(&old->config, &fresh->config, CONFIG_AGENT, log_change, NULL) == 0)
        GV_LOG(GV_LOG_INFO, gv_kmsg("configuration read again; nothing has changed"));
    return fresh;
}

static void configure_log(const gv_config *config)
{
    gv_log_configure((gv_log_level)config->log_level, (gv_log_format)config->log_format, 2);
}

/* Runs until stopped; a configuration that cannot be started gives way to the last good one. */
static agent_end run_all(agent_setup *setup, cli_config **config, gv_error *err)
{
    cli_config *good = NULL; /* the one before, until the present one has run */
    for (;;) {
        configure_log(&(*config)->config);
        setup->config = &(*config)->config;
        setup->wishes->reload = false;
        *err = (gv_error){ 0, "" };
        agent_end end = agent_run(setup, err);
        bool is_update = end == AGENT_FAILED && agent_updates_failed(setup->updates, err->text);
        if (end == AGENT_FAILED && good && !is_update) {
            GV_LOG(GV_LOG_ERROR, gv_kmsg("new configuration does not start; back to the old one"),
                   gv_kstr("error", err->text));
            free(*config);
            *config = good;
            good = NULL;
            continue;
        }
        free(good);
        good = NULL;
        if (end != AGENT_RELOAD && !is_update)
            return end;
        cli_config *next = reload(setup->updates, *config);
        good = next != *config ? *config : NULL;
        *config = next;
    }
}

static int run(const char *path, bool single_pass, bool progress)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    gv_error err = { 0, "" };
    agent_wishes wishes = { false, false };
    plat_fs fs = plat_fs_system();
    plat_clock clock = plat_clock_system(GAVEL_BUILD_TIME_S * 1000);
    agent_updates *updates = agent_updates_new(path, &fs, &clock, single_pass);
    cli_config *config = updates ? agent_updates_load(updates) : NULL;
    if (!config) {
        agent_updates_free(updates);
        return CLI_USAGE;
    }
    static status_past past;
    status_past_init(&past, &clock);
    plat_loop *loop = plat_loop_open(&err);
    agent_end end = AGENT_FAILED;
    if (loop && plat_loop_signals(loop, signals, 3, on_signal, &wishes, &err) == GV_OK) {
        agent_setup setup = { NULL,  loop,    &clock,      &fs,     &wishes,
                              &past, updates, single_pass, progress };
        end = run_all(&setup, &config, &err);
    }
    if (end == AGENT_FAILED)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("cannot go on"), gv_kstr("error", err.text));
    plat_loop_close(loop);
    free(config);
    agent_updates_free(updates);
    return end == AGENT_FAILED ? CLI_USAGE : end == AGENT_PARTLY ? CLI_NOT_ALL_WELL : CLI_OK;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--version") == 0) {
        cli_print_version("gavel");
        return CLI_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "setup") == 0)
        return setup_command(argc - 1, argv + 1, DEFAULT_CONFIG);
    if (strcmp(argv[1], "config") == 0)
        return owner_config_command(argc - 1, argv + 1, DEFAULT_CONFIG);
    if (strcmp(argv[1], "board") == 0)
        return board_command(argc - 1, argv + 1, DEFAULT_CONFIG);
    if (strcmp(argv[1], "status") == 0)
        return status_command(argc - 1, argv + 1, DEFAULT_CONFIG);
    if (strcmp(argv[1], "spool") == 0)
        return tools_spool_command(argc - 1, argv + 1, DEFAULT_CONFIG);
    const char *path = cli_take_option(&argc, argv, "--config");
    bool plain = cli_take_flag(&argc, argv, "--no-progress");
    if (argc != 2)
        return usage(stderr);
    if (!path)
        path = DEFAULT_CONFIG;
    if (strcmp(argv[1], "run") == 0)
        return run(path, false, false);
    if (strcmp(argv[1], "once") == 0)
        return run(path, true, !plain && isatty(STDERR_FILENO));
    fprintf(stderr, "gavel: unknown command '%s'\n", argv[1]);
    return usage(stderr);
}
