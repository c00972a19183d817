#include "agent/commands/setup.h"

#include "agent/cli/cli.h"
#include "agent/commands/setup_internal.h"
#include "start_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum {
    ANSWER_REGION,
    ANSWER_REALMS,
    ANSWER_COMMODITIES,
    ANSWER_ID,
    ANSWER_SECRET,
    ANSWER_BROKERS,
    ANSWER_REGISTRY,
    ANSWERS
};

static const char id_reference[] = "credential:client_id";
static const char secret_reference[] = "credential:client_secret";

typedef struct {
    const char *path;
    bool yes;    /* nothing is asked */
    bool is_new; /* it is as shipped, or was not there */
    char *text;  /* CONFIG_FILE_MAX_BYTES */
    size_t len;
    char *before; /* what the file held */
    size_t before_len;
    const char *given[ANSWERS]; /* by an option; NULL: to be asked */
    char answers[ANSWERS][SETUP_TEXT_MAX];
    const char *base_url;
    const char *token_url;
    const char *ca_file;
    bool keep_sources;
    bool is_new_key;
    gv_config config;
    gv_arena arena;
    uint8_t memory[CONFIG_ARENA_BYTES];
} setup;

static int usage(FILE *out)
{
    fprintf(
        out,
        "usage: gavel setup [--config FILE] [ANSWER...] [--yes]\n"
        "Asks for what a first start needs, tries it, and writes it into the configuration.\n"
        "Answers that need not be asked for:\n"
        "  --region us|eu|kr|tw   --realms 604,1305|all   --commodities yes|no\n"
        "  --client-id ID         --client-secret-file FILE\n"
        "  --brokers HOST:PORT,...                        --registry URL\n"
        "  --yes             ask nothing: what is not given stays as it is, and is written even\n"
        "                    when something does not answer\n"
        "For a proxy or a stand-in of the API: --base-url URL, --token-url URL, --ca-file FILE\n"
        "Exit codes: 0 written, everything answers; 1 written, something does not answer; 2 not\n"
        "written.\n");
    return out == stdout ? CLI_OK : CLI_USAGE;
}

/* --- asking ------------------------------------------------------------------------------------- */

static bool read_line(char *out, size_t cap)
{
    if (!fgets(out, (int)cap, stdin)) {
        fprintf(stderr, "\nsetup: no more answers; nothing was written\n");
        return false;
    }
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

static bool read_hidden(char *out, size_t cap)
{
    struct termios shown, hidden;
    bool is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (is_terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool good = read_line(out, cap);
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        putchar('\n');
    }
    return good;
}

static bool ask_yes(const setup *s, const char *question, bool otherwise, bool *yes)
{
    char line[SETUP_TEXT_MAX];
    *yes = true;
    if (s->yes)
        return true;
    printf("%s [%s] ", question, otherwise ? "Y/n" : "y/N");
    fflush(stdout);
    if (!read_line(line, sizeof line))
        return false;
    *yes = line[0] ? tolower((unsigned char)line[0]) == 'y' : otherwise;
    return true;
}

/* What may be an answer: NULL, or what is wrong with it. */
static const char *fault_of(int answer, const char *text)
{
    size_t len = strlen(text);
    switch (answer) {
    case ANSWER_REGION:
        return strcmp(text, "us") && strcmp(text, "eu") && strcmp(text, "kr") && strcmp(text, "tw")
                   ? "a region is us, eu, kr or tw"
                   : NULL;
    case ANSWER_REALMS:
        return strcmp(text, "all") && (!len || strspn(text, "0123456789, ") != len ||
                                       strcspn(text, "123456789") == len)
                   ? "realms are connected realm ids such as 604,1305, or all"
                   : NULL;
    case ANSWER_COMMODITIES:
        return strcmp(text, "yes") && strcmp(text, "no") ? "yes or no" : NULL;
    case ANSWER_REGISTRY:
        return strncmp(text, "http://", 7) && strncmp(text, "https://", 8)
                   ? "an address starts with http:// or https://"
                   : NULL;
    default:
        break;
    }
    return !len                       ? "this cannot be empty"
           : strpbrk(text, "\"\\\t ") ? "no blanks, quotes or backslashes"
                                      : NULL;
}

/* An empty line takes what is in answers[]. */
static bool ask(setup *s, int answer, const char *question)
{
    char line[SETUP_TEXT_MAX], *kept = s->answers[answer];
    const char *fault;
    bool is_secret = answer == ANSWER_SECRET, is_kept = kept[0] != '\0';
    if (s->given[answer] || s->yes) {
        if (s->given[answer])
            snprintf(kept, SETUP_TEXT_MAX, "%s", s->given[answer]);
        fault = fault_of(answer, kept);
        if (fault)
            fprintf(stderr, "setup: %s: %s\n", question, fault);
        return !fault;
    }
    do {
        printf("%s%s%s%s: ", question, is_kept ? " [" : "",
               !is_kept    ? ""
               : is_secret ? "the one that is there"
                           : kept,
               is_kept ? "]" : "");
        fflush(stdout);
        if (!(is_secret ? read_hidden(line, sizeof line) : read_line(line, sizeof line)))
            return false;
        fault = fault_of(answer, line[0] ? line : kept);
        if (fault)
            printf("  %s\n", fault);
    } while (fault);
    if (line[0])
        snprintf(kept, SETUP_TEXT_MAX, "%s", line);
    return true;
}

static bool ask_all(setup *s)
{
    printf("What to fetch. Connected realm ids are in the game API's connected realm index.\n");
    if (!s->keep_sources &&
        !(ask(s, ANSWER_REGION, "Region (us, eu, kr, tw)") &&
          ask(s, ANSWER_REALMS, "Connected realms (such as 604,1305; or all)") &&
          ask(s, ANSWER_COMMODITIES, "The region's commodities too (yes, no)")))
        return false;
    if (s->keep_sources)
        printf("  sources stay as they are in the file (%zu of them)\n", s->config.source_count);
    printf("Your API key, free of charge at https://develop.battle.net\n");
    if (!ask(s, ANSWER_ID, "Client id") || !ask(s, ANSWER_SECRET, "Client secret (not shown)"))
        return false;
    printf("The main host. Use an address or a name of your DNS; names in .local are not found.\n");
    return ask(s, ANSWER_BROKERS, "Kafka (host:port)") &&
           ask(s, ANSWER_REGISTRY, "Schema Registry (http://host:port)");
}

/* --- the text ------------------------------------------------------------------------------------- */

static void report(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    if (!warning)
        fprintf(stderr, "setup: %s\n", text);
}

/* The key as it was typed; everything else, and a key that is kept, from where it is. */
static gv_status give_secret(void *ctx, const char *reference, char *value, size_t cap,
                             gv_error *err)
{
    const setup *s = ctx;
    plat_fs fs = plat_fs_system();
    const char *typed = strcmp(reference, id_reference) == 0       ? s->answers[ANSWER_ID]
                        : strcmp(reference, secret_reference) == 0 ? s->answers[ANSWER_SECRET]
                                                                   : "";
    if (!typed[0])
        return config_secret_read(&fs, reference, value, cap, err);
    return snprintf(value, cap, "%s", typed) < (int)cap ? GV_OK : GV_FULL;
}

/* Before there are answers a secret that is not there is no problem. */
static gv_status give_any(void *ctx, const char *reference, char *value, size_t cap, gv_error *err)
{
    gv_error ignored = { 0, "" };
    (void)err;
    if (give_secret(ctx, reference, value, cap, &ignored) != GV_OK)
        snprintf(value, cap, "?");
    return GV_OK;
}

static gv_status parse(setup *s, bool with_secrets, config_report_fn *report_fn)
{
    gv_error err = { 0, "" };
    gv_arena_init(&s->arena, s->memory, sizeof s->memory);
    const config_reader reader = {
        CONFIG_AGENT, s->path, &s->arena, report_fn, with_secrets ? give_secret : give_any, s
    };
    return config_parse(&reader, gv_span_of(s->text, s->len), &s->config, &err);
}

static gv_status set(setup *s, const char *option, const char *json, gv_error *err)
{
    return config_edit(s->text, &s->len, CONFIG_FILE_MAX_BYTES, option, json, err);
}

static gv_status set_text(setup *s, const char *option, const char *text, gv_error *err)
{
    char json[SETUP_TEXT_MAX + 8];
    bool is_list = strcmp(option, "registry.urls") == 0;
    if (!text)
        return GV_OK;
    snprintf(json, sizeof json, is_list ? "[\"%s\"]" : "\"%s\"", text);
    return set(s, option, json, err);
}

static void take_current_sources(setup *s)
{
    const config_source *source = s->config.sources;
    char *realms = s->answers[ANSWER_REALMS];
    size_t used = 0;
    snprintf(s->answers[ANSWER_REGION], SETUP_TEXT_MAX, "%s", config_region_name(source->region));
    snprintf(s->answers[ANSWER_COMMODITIES], SETUP_TEXT_MAX, source->commodities ? "yes" : "no");
    snprintf(realms, SETUP_TEXT_MAX, source->all_realms ? "all" : "");
    for (size_t i = 0; i < source->realm_count && used < SETUP_TEXT_MAX - 16; i++)
        used += (size_t)snprintf(realms + used, SETUP_TEXT_MAX - used, "%s%u", i ? "," : "",
                                 (unsigned)source->realms[i]);
}

/* What the file says now is what an empty line means. */
static gv_status take_current(setup *s)
{
    gv_error err = { 0, "" };
    if (parse(s, false, NULL) != GV_OK) {
        /* It may just be without a key. */
        set_text(s, "api.client_id", id_reference, &err);
        set_text(s, "api.client_secret", secret_reference, &err);
    }
    if (parse(s, false, report) != GV_OK) {
        fprintf(stderr, "setup: mend %s, or move it away; nothing was changed\n", s->path);
        return GV_INVAL;
    }
    const gv_config *c = &s->config;
    bool is_plain = c->source_count == 1 && c->sources[0].game == CONFIG_RETAIL;
    s->keep_sources = !is_plain && !s->given[ANSWER_REGION] && !s->given[ANSWER_REALMS];
    if (is_plain)
        take_current_sources(s);
    else
        snprintf(s->answers[ANSWER_COMMODITIES], SETUP_TEXT_MAX, "no");
    if (strcmp(c->api_client_id, "?") != 0)
        snprintf(s->answers[ANSWER_ID], SETUP_TEXT_MAX, "%s", c->api_client_id);
    if (strcmp(c->api_client_secret, "?") != 0)
        snprintf(s->answers[ANSWER_SECRET], SETUP_TEXT_MAX, "%s", c->api_client_secret);
    snprintf(s->answers[ANSWER_BROKERS], SETUP_TEXT_MAX, "%s", c->kafka_brokers);
    snprintf(s->answers[ANSWER_REGISTRY], SETUP_TEXT_MAX, "%s", c->registry_urls.items[0]);
    return GV_OK;
}

static gv_status set_sources(setup *s, gv_error *err)
{
    char realms[SETUP_TEXT_MAX * 2] = "", json[SETUP_TEXT_MAX * 2 + 128];
    size_t used = 0;
    bool all = strcmp(s->answers[ANSWER_REALMS], "all") == 0;
    if (s->keep_sources)
        return GV_OK;
    for (char *rest = s->answers[ANSWER_REALMS], *word = strtok(rest, ", "); !all && word;
         word = strtok(NULL, ", "))
        used +=
            (size_t)snprintf(realms + used, sizeof realms - used, "%s%s", used ? ", " : "", word);
    snprintf(json, sizeof json,
             "[\n    { \"region\": \"%s\", \"realms\": %s%s%s, \"commodities\": %s }\n  ]",
             s->answers[ANSWER_REGION], all ? "\"all\"" : "[", realms, all ? "" : "]",
             strcmp(s->answers[ANSWER_COMMODITIES], "yes") == 0 ? "true" : "false");
    return set(s, "sources", json, err);
}

/* A new key goes into the files of these references; one that is kept stays where it is. */
static gv_status set_all(setup *s, gv_error *err)
{
    s->is_new_key = strcmp(s->config.api_client_id, s->answers[ANSWER_ID]) != 0 ||
                    strcmp(s->config.api_client_secret, s->answers[ANSWER_SECRET]) != 0;
    gv_status status = set_sources(s, err);
    if (status == GV_OK && s->is_new_key)
        status = set_text(s, "api.client_id", id_reference, err);
    if (status == GV_OK && s->is_new_key)
        status = set_text(s, "api.client_secret", secret_reference, err);
    if (status == GV_OK)
        status = set_text(s, "api.base_url", s->base_url, err);
    if (status == GV_OK)
        status = set_text(s, "api.token_url", s->token_url, err);
    if (status == GV_OK)
        status = set_text(s, "api.ca_file", s->ca_file, err);
    if (status == GV_OK)
        status = set_text(s, "kafka.brokers", s->answers[ANSWER_BROKERS], err);
    if (status == GV_OK)
        status = set_text(s, "registry.urls", s->answers[ANSWER_REGISTRY], err);
    return status;
}

/* --- the files ------------------------------------------------------------------------------------ */

static gv_status load_text(setup *s, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    gv_error cause = { 0, "" };
    char dir[PLAT_PATH_MAX];
    if (setup_beside(s->path, "", dir, err) != GV_OK)
        return GV_INVAL;
    if (access(dir, W_OK) != 0) /* before anybody has typed anything */
        return gv_fail_errno(err, errno, "%s cannot be written to (is it there? sudo?)", dir);
    s->text = malloc(CONFIG_FILE_MAX_BYTES);
    s->before = malloc(CONFIG_FILE_MAX_BYTES);
    if (!s->text || !s->before)
        return gv_fail(err, GV_FULL, "no memory");
    gv_status status = plat_fs_load(&fs, s->path, s->text, CONFIG_FILE_MAX_BYTES, &s->len, &cause);
    if (status != GV_OK) {
        if (access(s->path, F_OK) == 0)
            return gv_fail(err, status, "cannot read %s: %s", s->path, cause.text);
        s->len = start_config_bytes;
        memcpy(s->text, start_config, s->len);
    }
    s->before_len = s->len;
    memcpy(s->before, s->text, s->len);
    s->is_new = s->len == start_config_bytes && memcmp(s->text, start_config, s->len) == 0;
    return GV_OK;
}

static gv_status write_secret(setup *s, const char *name, const char *value, setup_owner owner,
                              gv_error *err)
{
    char path[PLAT_PATH_MAX], line[SETUP_TEXT_MAX + 1];
    int len = snprintf(line, sizeof line, "%s\n", value);
    gv_status status = setup_beside(s->path, name, path, err);
    return status == GV_OK ? setup_write(path, line, (size_t)len, 0600, owner.uid, owner.gid, err)
                           : status;
}

static gv_status write_all(setup *s, gv_error *err)
{
    setup_owner owner = setup_find_owner();
    char backup[PLAT_PATH_MAX];
    gv_status status = GV_OK;
    snprintf(backup, sizeof backup, "%s.before-setup", s->path);
    if (!s->is_new)
        status = setup_write(backup, s->before, s->before_len, 0640, -1, owner.gid, err);
    if (status == GV_OK && s->is_new_key)
        status = write_secret(s, "client_id", s->answers[ANSWER_ID], owner, err);
    if (status == GV_OK && s->is_new_key)
        status = write_secret(s, "client_secret", s->answers[ANSWER_SECRET], owner, err);
    if (status == GV_OK)
        status = setup_write(s->path, s->text, s->len, 0640, -1, owner.gid, err);
    if (status == GV_OK)
        printf("Written: %s%s%s\n", s->path,
               s->is_new ? "" : " (the old one ends in .before-setup)",
               s->is_new_key ? ", and the key beside it" : "");
    return status;
}

/* --- the command ---------------------------------------------------------------------------------- */

static bool take_secret_file(setup *s, const char *path, char *secret, size_t cap)
{
    plat_fs fs = plat_fs_system();
    gv_error err = { 0, "" };
    size_t len = 0;
    if (!path)
        return true;
    if (plat_fs_load(&fs, path, secret, cap - 1, &len, &err) != GV_OK) {
        fprintf(stderr, "setup: %s\n", err.text);
        return false;
    }
    secret[len] = '\0';
    secret[strcspn(secret, "\r\n")] = '\0';
    s->given[ANSWER_SECRET] = secret;
    return true;
}

static int run(setup *s, gv_error *err)
{
    bool yes;
    cli_find_credentials(s->path);
    if (load_text(s, err) != GV_OK || take_current(s) != GV_OK || !ask_all(s) ||
        set_all(s, err) != GV_OK || parse(s, true, report) != GV_OK)
        return CLI_USAGE;
    printf("Trying it:\n");
    int failures = setup_probe(&s->config);
    if (failures > 0 &&
        (!ask_yes(s, "Not everything answers. Write it all the same?", false, &yes) || !yes))
        return CLI_USAGE;
    if (!s->is_new && (!ask_yes(s, "Change the file that is there?", true, &yes) || !yes))
        return CLI_USAGE;
    if (write_all(s, err) != GV_OK)
        return CLI_USAGE;
    printf("Start it with: sudo systemctl restart gavel      and look: systemctl status gavel\n");
    return failures ? CLI_NOT_ALL_WELL : CLI_OK;
}

int setup_command(int argc, char **argv, const char *default_path)
{
    static const char *const names[ANSWERS] = { "--region",    "--realms", "--commodities",
                                                "--client-id", NULL,       "--brokers",
                                                "--registry" };
    char secret[SETUP_TEXT_MAX];
    gv_error err = { 0, "" };
    int code = CLI_USAGE;
    if (cli_take_flag(&argc, argv, "--help"))
        return usage(stdout);
    setup *s = calloc(1, sizeof *s);
    if (!s)
        return code;
    for (int i = 0; i < ANSWERS; i++)
        s->given[i] = names[i] ? cli_take_option(&argc, argv, names[i]) : NULL;
    const char *path = cli_take_option(&argc, argv, "--config");
    const char *secret_file = cli_take_option(&argc, argv, "--client-secret-file");
    s->base_url = cli_take_option(&argc, argv, "--base-url");
    s->token_url = cli_take_option(&argc, argv, "--token-url");
    s->ca_file = cli_take_option(&argc, argv, "--ca-file");
    s->yes = cli_take_flag(&argc, argv, "--yes");
    s->path = path ? path : default_path;
    if (argc != 1)
        usage(stderr);
    else if (take_secret_file(s, secret_file, secret, sizeof secret))
        code = run(s, &err);
    if (err.text[0])
        fprintf(stderr, "setup: %s\n", err.text);
    if (code == CLI_USAGE && argc == 1)
        fprintf(stderr, "setup: the configuration was not written\n");
    free(s->text);
    free(s->before);
    free(s);
    return code;
}
