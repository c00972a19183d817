#include "agent/cli/cli.h"

#include "agent/cli/cli_update.h"
#include "agent/net/http.h"
#include "agent/net/http_server.h"
#include "board/board.h"
#include "gavel_version.h"
#include "platform/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEM_MAX 1024

static void report(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s: %s\n", warning ? "warning" : "error", text);
}

static void log_report(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    GV_LOG(warning ? GV_LOG_WARN : GV_LOG_ERROR, gv_kmsg("configuration"),
           gv_kstr("problem", text));
}

gv_status cli_check_kafka(const gv_config *config, gv_error *err)
{
    kafka_property *properties = calloc(config->kafka_properties.count + 1, sizeof *properties);
    if (!properties)
        return gv_fail(err, GV_IO, "no memory for kafka.properties");
    kafka_config kafka = cli_kafka_config(config, NULL, properties);
    gv_status status = kafka_config_check(&kafka, err);
    free(properties);
    return status;
}

static bool check_kafka(const char *path, const gv_config *config, config_report_fn *report_fn)
{
    char text[PROBLEM_MAX];
    gv_error err = { 0, "" };
    bool is_good = cli_check_kafka(config, &err) == GV_OK;
    if (!is_good) {
        snprintf(text, sizeof text, "%s: %s", path, err.text);
        report_fn(NULL, false, text);
    }
    return is_good;
}

/* Which addresses there are to listen on is not a matter of the option table. */
static bool check_listen(const char *path, const gv_config *config, config_program program,
                         config_report_fn *report_fn)
{
    char text[PROBLEM_MAX];
    gv_error err = { 0, "" };
    if (!(program & CONFIG_AGENT) || !config->status_enabled ||
        http_server_check_listen(config->status_listen, &err) == GV_OK)
        return true;
    snprintf(text, sizeof text, "%s: status.listen: %s", path, err.text);
    report_fn(NULL, false, text);
    return false;
}

void cli_find_credentials(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[PLAT_PATH_MAX];
    int len = slash ? (int)(slash - path) : 1;
    if (snprintf(dir, sizeof dir, "%.*s", len, slash ? path : ".") < (int)sizeof dir)
        setenv("CREDENTIALS_DIRECTORY", dir, 0);
}

void cli_apply_profile(gv_config *config, const plat_fs *fs)
{
    char model[BOARD_MODEL_MAX], name[32];
    config_preset presets[BOARD_SETTINGS];
    size_t count = 0;
    config_choice_name(config, CONFIG_OPTION_board_profile, name, sizeof name);
    board_model(fs, model);
    const board_profile *p = strcmp(name, BOARD_AUTO) ? board_find(name) : board_of_model(model);
    for (size_t i = 0; i < BOARD_SETTINGS; i++)
        if (p->settings[i] != BOARD_KEEP)
            presets[count++] = (config_preset){ board_setting_paths[i], p->settings[i] };
    config_apply_presets(config, p->name, presets, count);
}

static cli_config *load(const char *path, config_program program, config_report_fn *report_fn)
{
    cli_config *c = calloc(1, sizeof *c);
    gv_error err = { 0, "" };
    plat_fs fs = plat_fs_system();
    if (!c) {
        report_fn(NULL, false, "no memory for the configuration");
        return NULL;
    }
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    cli_find_credentials(path);
    if (config_load(path, program, &fs, &c->arena, report_fn, NULL, &c->config, &err) == GV_OK &&
        check_kafka(path, &c->config, report_fn) &&
        check_listen(path, &c->config, program, report_fn)) {
        if (program & CONFIG_AGENT)
            cli_apply_profile(&c->config, &fs);
        return c;
    }
    free(c);
    return NULL;
}

cli_config *cli_load(const char *path, config_program program)
{
    cli_config *c = load(path, program, report);
    if (!c)
        fprintf(stderr, "%s: the configuration cannot be used\n", path);
    return c;
}

cli_config *cli_load_in_force(const char *path)
{
    gv_error err = { 0, "" };
    cli_config *c = cli_load(path, CONFIG_AGENT);
    if (c)
        c = cli_in_force(c, path, &err);
    if (err.text[0])
        fprintf(stderr, "warning: this is the board's own file without an update: %s\n", err.text);
    return c;
}

cli_config *cli_reload(const char *path, config_program program)
{
    return load(path, program, log_report);
}

/* gavel-sink's configuration is its file. */
static cli_config *load_in_force(const char *path, config_program program)
{
    return program & CONFIG_AGENT ? cli_load_in_force(path) : cli_load(path, program);
}

static int check(const char *path, config_program program)
{
    cli_config *c = load_in_force(path, program);
    if (!c)
        return CLI_USAGE;
    printf("%s: OK\n", path);
    if (c->update_version)
        printf("in force: update %" PRIu64 " (sha256 %s)\n", c->update_version, c->update_sha256);
    free(c);
    return CLI_OK;
}

static int show(const char *path, config_program program, config_print_style style)
{
    cli_config *c = load_in_force(path, program);
    if (!c)
        return CLI_USAGE;
    if (c->update_version && style == CONFIG_PRINT_ORIGINS)
        printf("// update %" PRIu64 " (sha256 %s) is in force\n", c->update_version,
               c->update_sha256);
    config_print(stdout, &c->config, program, style);
    free(c);
    return CLI_OK;
}

int cli_config_command(int argc, char **argv, config_program program, const char *default_path)
{
    const char *path = cli_take_option(&argc, argv, "--config");
    bool plain = cli_take_flag(&argc, argv, "--json");
    const char *verb = argc == 2 ? argv[1] : "";
    if (!path)
        path = default_path;
    if (strcmp(verb, "check") == 0)
        return check(path, program);
    if (strcmp(verb, "show") == 0)
        return show(path, program, plain ? CONFIG_PRINT_PLAIN : CONFIG_PRINT_ORIGINS);
    if (strcmp(verb, "options") == 0) {
        config_print_options(stdout, program);
        return CLI_OK;
    }
    if (strcmp(verb, "reference") == 0) {
        config_print_reference(stdout);
        return CLI_OK;
    }
    fprintf(stderr,
            "usage: config check|show [--json]|options|reference [--config FILE]\n"
            "  check      read the file and say what is wrong with it\n"
            "  show       print the configuration in force and where each value comes from,\n"
            "             secrets as references; --json: without comments\n"
            "  options    explain every option\n"
            "  reference  the same as a Markdown page\n");
    return CLI_USAGE;
}

static void drop_arguments(int *argc, char **argv, int at, int count)
{
    for (int i = at; i + count <= *argc; i++)
        argv[i] = argv[i + count]; /* the final NULL too */
    *argc -= count;
}

const char *cli_take_option(int *argc, char **argv, const char *name)
{
    size_t len = strlen(name);
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], name, len) != 0)
            continue;
        if (argv[i][len] == '=') {
            const char *value = argv[i] + len + 1;
            drop_arguments(argc, argv, i, 1);
            return value;
        }
        if (argv[i][len] != '\0')
            continue;
        if (i + 1 == *argc) {
            fprintf(stderr, "%s needs a value\n", name);
            exit(CLI_USAGE);
        }
        const char *value = argv[i + 1];
        drop_arguments(argc, argv, i, 2);
        return value;
    }
    return NULL;
}

bool cli_take_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            drop_arguments(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}

void cli_print_version(const char *program)
{
    char text[256];
    printf("%s %s (%s)\n", program, GAVEL_VERSION, GAVEL_COMMIT);
    http_versions(text, sizeof text);
    printf("%s\n", text);
    kafka_versions(text, sizeof text);
    printf("%s\n", text);
    printf("cJSON %s, jansson %s, avro-c %s, lz4 %s, libmicrohttpd %s\n", config_json_version(),
           GAVEL_DEP_JANSSON, GAVEL_DEP_AVRO_C, GAVEL_DEP_LZ4, GAVEL_DEP_LIBMICROHTTPD);
}

kafka_config cli_kafka_config(const gv_config *config, const char *client_id,
                              kafka_property *properties)
{
    static const char *const mechanisms[] = { "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" };
    for (size_t i = 0; i < config->kafka_properties.count; i++)
        properties[i] = (kafka_property){ config->kafka_properties.items[i].name,
                                          config->kafka_properties.items[i].value };
    return (kafka_config){
        .brokers = config->kafka_brokers,
        .client_id = client_id,
        .security = (kafka_security)config->kafka_security,
        .sasl_mechanism = mechanisms[config->kafka_sasl_mechanism],
        .username = cli_or_null(config->kafka_username),
        .password = cli_or_null(config->kafka_password),
        .ca_file = cli_or_null(config->kafka_ca_file),
        .properties = properties,
        .property_count = config->kafka_properties.count,
    };
}

registry_config cli_registry_config(const gv_config *config)
{
    return (registry_config){
        .urls = config->registry_urls.items,
        .url_count = config->registry_urls.count,
        .username = cli_or_null(config->registry_username),
        .password = cli_or_null(config->registry_password),
        .ca_file = cli_or_null(config->registry_ca_file),
        .strategy = (registry_strategy)config->registry_subject_strategy,
        .may_register = config->registry_register,
        .retry_min_ms = (uint32_t)config->registry_retry_min_ms,
        .retry_max_ms = (uint32_t)config->registry_retry_max_ms,
    };
}

gv_status cli_name_topics(const gv_config *c, cli_topics *out, gv_error *err)
{
    static const char *const suffixes[BATCH_KINDS] = { "raw", "rejects", "snapshots" };
    for (int kind = 0; kind < BATCH_KINDS; kind++) {
        int len = snprintf(out->names[kind], CLI_TOPIC_MAX, "%s.%s", c->kafka_topic_prefix,
                           suffixes[kind]);
        if (len >= CLI_TOPIC_MAX)
            return gv_fail(err, GV_INVAL, "kafka.topic_prefix is too long");
        out->shapes[kind] = (kafka_topic){ .name = out->names[kind],
                                           .partitions = (int)c->kafka_partitions,
                                           .replication = (int)c->kafka_replication,
                                           .retention_ms = c->kafka_retention_ms,
                                           .retention_mib = c->kafka_retention_mib,
                                           .compacted = kind == BATCH_LEDGER };
    }
    out->shapes[BATCH_LEDGER].partitions = 1; /* one entry a snapshot */
    out->shapes[BATCH_LEDGER].retention_ms = out->shapes[BATCH_LEDGER].retention_mib = -1;
    return GV_OK;
}

gv_status cli_status_topic(const gv_config *c, char name[CLI_TOPIC_MAX], kafka_topic *out,
                           gv_error *err)
{
    if (snprintf(name, CLI_TOPIC_MAX, "%s.status", c->kafka_topic_prefix) >= CLI_TOPIC_MAX)
        return gv_fail(err, GV_INVAL, "kafka.topic_prefix is too long");
    *out = (kafka_topic){ .name = name,
                          .partitions = 1,
                          .replication = (int)c->kafka_replication,
                          .retention_ms = -1,
                          .retention_mib = -1,
                          .compacted = true };
    return GV_OK;
}

gv_status cli_spool_dir(const gv_config *c, char path[PLAT_PATH_MAX], gv_error *err)
{
    int len = c->spool_dir[0] ? snprintf(path, PLAT_PATH_MAX, "%s", c->spool_dir)
                              : snprintf(path, PLAT_PATH_MAX, "%s/spool", c->state_dir);
    if (len >= PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "%s is too long",
                       c->spool_dir[0] ? "spool.dir" : "state_dir");
    return GV_OK;
}
