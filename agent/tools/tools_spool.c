/* The command line of `gavel spool`. */
#include "agent/tools/tools.h"

#include "agent/cli/cli.h"
#include "agent/tools/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(tools_call *call);
    const char *words;
    const char *help;
    const char *example;
} commands[] = {
    { "ls", tools_ls, "[--segments] [--json]",
      "what is there: a line for each snapshot (or segment file), and totals",
      "gavel spool ls --dir /mnt/card/var/lib/gavel/spool" },
    { "verify", tools_verify, "",
      "read everything, check everything; says what is damaged or missing, and where",
      "gavel spool verify" },
    { "cat", tools_cat, "[--json] [--snapshot ID] [--from TIME] [--to TIME]",
      "print the records, one a line",
      "gavel spool cat --json --snapshot eu/604 | jq .record.item" },
    { "export", tools_export,
      "FILE.avro [--kind auctions|rejects] [--snapshot ID] [--from TIME] [--to TIME] [--force]",
      "write the records to an Avro Object Container File",
      "gavel spool export july.avro --from 2014-07-01 --to 2014-07-31" },
    { "replay", tools_replay,
      "[--dry-run] [--snapshot ID] [--from TIME] [--to TIME] [--topic PREFIX] [--broker HOST:PORT]",
      "send the records to Kafka (again); the spool keeps them",
      "gavel spool replay --from 24h --broker 192.168.1.10:9092" },
    { "salvage", tools_salvage, "DIR [--out NEWDIR]",
      "collect every good batch of all files below DIR in a new spool",
      "gavel spool salvage /mnt/card/spool --out /tmp/rescued" },
    { "quarantine", tools_quarantine, "[ls | rm FILE]",
      "what was set aside since it could not be read, or remove one file of it",
      "gavel spool quarantine ls" },
};

static int usage(FILE *out)
{
    fprintf(out, "usage: gavel spool COMMAND [--config FILE | --dir DIR]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %s %s\n      %s\n      example: %s\n", commands[i].name, commands[i].words,
                commands[i].help, commands[i].example);
    fprintf(
        out,
        "\n"
        "DIR is the spool's directory, live or copied from another machine; without it, the\n"
        "configuration says where it is. No command changes a spool; `quarantine rm` removes\n"
        "the file it is given.\n"
        "ID: region/realm/house/seconds as `ls` prints it, or its beginning.\n"
        "TIME: of the snapshot, included: 2014-07-01T00:30:01Z, 2014-07-01, or 90m, 24h, 7d "
        "ago.\n"
        "Exit codes: 0 all good; 1 something is damaged, missing or was not sent; 2 usage or a\n"
        "failure.\n");
    return out == stdout ? CLI_OK : CLI_USAGE;
}

/* --- what the sub-commands share ------------------------------------------------------------------ */

int tools_fail(const gv_error *err)
{
    fprintf(stderr, "gavel: %s\n", err->text);
    return CLI_USAGE;
}

bool tools_output_ok(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fprintf(stderr, "gavel: the output cannot be written\n");
    return false;
}

bool tools_take_filter(tools_call *call, filter *out)
{
    plat_clock clock = plat_clock_system(0);
    const char *snapshot = cli_take_option(&call->argc, call->argv, "--snapshot");
    const char *from = cli_take_option(&call->argc, call->argv, "--from");
    const char *to = cli_take_option(&call->argc, call->argv, "--to");
    gv_error err = { 0, "" };

    if (filter_parse(snapshot, from, to, plat_wall_ms(&clock), out, &err) == GV_OK)
        return true;
    tools_fail(&err);
    return false;
}

bool tools_words_left(const tools_call *call, int count)
{
    if (call->argc - 1 == count)
        return true;
    if (call->argc - 1 > count)
        fprintf(stderr, "gavel: '%s' is not understood; see: gavel spool --help\n",
                call->argv[1 + count]);
    else
        fprintf(stderr, "gavel: `spool %s` needs a name; see: gavel spool --help\n", call->argv[0]);
    return false;
}

bool tools_find_dir(tools_call *call)
{
    if (call->dir)
        return true;
    cli_config *config = cli_load_in_force(call->config_path);
    if (!config) {
        fprintf(stderr, "or name the spool's directory with --dir\n");
        return false;
    }
    gv_error err = { 0, "" };
    gv_status status = cli_spool_dir(&config->config, call->path, &err);
    free(config);
    if (status != GV_OK)
        tools_fail(&err);
    call->dir = call->path;
    return status == GV_OK;
}

int tools_spool_command(int argc, char **argv, const char *default_config)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout);
    tools_call call = { .argc = argc, .argv = argv };
    call.dir = cli_take_option(&call.argc, argv, "--dir");
    call.config_path = cli_take_option(&call.argc, argv, "--config");
    if (call.argc < 2)
        return usage(stderr);
    if (!call.config_path)
        call.config_path = default_config;
    call.argc--;
    call.argv++;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(call.argv[0], commands[i].name) == 0)
            return commands[i].run(&call);
    fprintf(stderr, "gavel: unknown command 'spool %s'\n", call.argv[0]);
    return usage(stderr);
}
