#include "agent/commands/owner_command.h"

#include "agent/commands/owner_internal.h"
#include "agent/commands/update_command.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_TEXT_MAX (BUNDLE_CONFIG_BYTES_MAX + CONFIG_FILE_MAX_BYTES)

/* Without `run`: the agent's own, see update_command.h, or what both programs have, see cli.h. */
static const struct {
    const char *name;
    int (*run)(owner_call *call);
    const char *words;
    const char *help;
} commands[] = {
    { "check", NULL, "[--config FILE]", "read the file and say what is wrong with it" },
    { "show", NULL, "[--json] [--config FILE]",
      "the configuration in force and where each value comes from" },
    { "options", NULL, "", "explain every option" },
    { "reference", NULL, "", "the same as a Markdown page" },
    { "history", NULL, "[--json] [--config FILE]", "what became of updates on this board" },
    { "revert", NULL, "[--own-file] [--config FILE]",
      "take back the update on trial, or else the one in force; --own-file: all of them" },
    { "keygen", owner_keygen, "--out DIR|FILE | --show FILE",
      "make the key that signs updates, or show the public half of one" },
    { "sign", owner_sign,
      "--key FILE --config FILE [--version N | --to FOLDER] [--device ID]... [--group NAME]...\n"
      "      [--all] [--agent-min V] [--note TEXT] --out FILE",
      "check a configuration as a board would, and sign it; with --to, its version is one above\n"
      "      the highest that is published there" },
    { "verify", owner_verify, "FILE [--keys KEY]... [--config FILE]",
      "all about a signed update, and whether a board with these keys would take it" },
    { "publish", owner_publish, "[--to FOLDER] [--kafka [--config FILE]] FILE...",
      "put signed updates where boards look for them: a folder of a web server, or the topic\n"
      "      <kafka.topic_prefix>.config" },
    { "diff", owner_diff, "FILE --config FILE | --board URL",
      "each option that an update would change on the board with that file, or on the running\n"
      "      one at that address (http://attic:9180)" },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static int usage(FILE *out)
{
    fprintf(out, "usage: gavel config COMMAND\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %s%s%s\n      %s\n", commands[i].name, commands[i].words[0] ? " " : "",
                commands[i].words, commands[i].help);
    fprintf(out,
            "\n"
            "Exit codes: 0 done; 1 a board would refuse it, or something differs; 2 usage or a\n"
            "failure.\n");
    return out == stdout ? CLI_OK : CLI_USAGE;
}

int owner_config_command(int argc, char **argv, const char *default_path)
{
    owner_call call = { argc - 1, argv + 1, default_path };

    for (size_t i = 0; i < COMMANDS && argc >= 2; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (update_command_is(argv[1]))
            return update_command(argc, argv, default_path);
        return commands[i].run ? commands[i].run(&call)
                               : cli_config_command(argc, argv, CONFIG_AGENT, default_path);
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
        return usage(stdout);
    /* An option may come first. */
    if (argc >= 2 && strncmp(argv[1], "--", 2) == 0)
        return cli_config_command(argc, argv, CONFIG_AGENT, default_path);
    if (argc >= 2)
        fprintf(stderr, "gavel: unknown command 'config %s'\n", argv[1]);
    return usage(stderr);
}

/* --- what the sub-commands share ---------------------------------------------------------------- */
int owner_fail(const gv_error *err)
{
    fprintf(stderr, "gavel: %s\n", err->text);
    return CLI_USAGE;
}

bool owner_words_left(const owner_call *call, int count)
{
    if (call->argc - 1 == count)
        return true;
    if (call->argc - 1 > count)
        fprintf(stderr, "gavel: '%s' is not understood; see: gavel config --help\n",
                call->argv[1 + count]);
    else
        fprintf(stderr, "gavel: `config %s` needs a file; see: gavel config --help\n",
                call->argv[0]);
    return false;
}

bool owner_take_all(owner_call *call, const char *name, const char **values, size_t cap,
                    size_t *count)
{
    const char *value;

    *count = 0;
    while ((value = cli_take_option(&call->argc, call->argv, name))) {
        if (*count == cap) {
            fprintf(stderr, "gavel: %s is given more than %zu times\n", name, cap);
            return false;
        }
        values[(*count)++] = value;
    }
    return true;
}

gv_status owner_load(const char *path, gv_buf *bytes, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    gv_error why = { 0, "" };

    *bytes = gv_buf_of(malloc(BUNDLE_BYTES_MAX + 1), BUNDLE_BYTES_MAX + 1);
    if (!bytes->data)
        return gv_fail(err, GV_FULL, "%s: no memory to read it", path);
    gv_status status = plat_fs_load(&fs, path, bytes->data, bytes->cap, &bytes->len, &why);
    if (status == GV_OK)
        return GV_OK;
    free(bytes->data);
    bytes->data = NULL;
    if (status == GV_FULL)
        return gv_fail(err, status, "%s: larger than any update", path);
    gv_fail(err, status, "%s", why.text);
    if (err)
        err->os_errno = why.os_errno;
    return status;
}

typedef struct {
    FILE *out;
    bool is_more;
} printing;

static bool print_target(void *ctx, bundle_target target, const char *name)
{
    printing *p = ctx;

    fprintf(p->out, "%s%s%s", p->is_more ? ", " : "",
            target == BUNDLE_FOR_ALL      ? "all boards"
            : target == BUNDLE_FOR_DEVICE ? "device "
                                          : "group ",
            name);
    p->is_more = true;
    return true;
}

void owner_print_targets(FILE *out, const bundle *b)
{
    printing p = { out, false };
    bundle_targets(b, print_target, &p);
}

/* --- what a board would make of an update ------------------------------------------------------- */
/* What only a board has, and must. */
static const char any_board[] =
    "{\"api\":{\"client_id\":\"env:ID\",\"client_secret\":\"env:SECRET\"},"
    "\"kafka\":{\"username\":\"board\",\"password\":\"env:PASSWORD\"},"
    "\"registry\":{\"username\":\"board\",\"password\":\"env:PASSWORD\"}}";

static void report_problem(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    if (!warning)
        fprintf(stderr, "error: %s\n", text);
}

cli_config *owner_read(const char *name, gv_span text)
{
    cli_config *c = calloc(1, sizeof *c);

    if (!c) {
        fprintf(stderr, "error: %s: no memory to read it\n", name);
        return NULL;
    }
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    const config_reader reader = {
        .program = CONFIG_AGENT, .name = name, .arena = &c->arena, .report = report_problem
    };
    if (config_parse(&reader, text, &c->config, NULL) == GV_OK)
        return c;
    free(c);
    return NULL;
}

cli_config *owner_try(const char *name, const gv_span *own, gv_span update)
{
    gv_span base = own ? *own : gv_span_str(any_board);
    gv_error err = { 0, "" };
    size_t len = 0;
    char *text = malloc(CONFIG_TEXT_MAX);
    cli_config *c = NULL;

    if (text && config_merge(base, update, text, CONFIG_TEXT_MAX, &len, &err) == GV_OK)
        c = owner_read(name, gv_span_of(text, len));
    else
        fprintf(stderr, "error: %s: %s\n", name, text ? err.text : "no memory to read it");
    free(text);
    return c;
}
