/* cli.h - what the command lines of gavel and gavel-sink have in common.
 *
 * Exit codes: 0 done, 1 done but not all is well, 2 wrong usage or configuration.
 */
#ifndef GAVEL_CLI_CLI_H
#define GAVEL_CLI_CLI_H

#include "agent/codec/batch.h"
#include "agent/config/config.h"
#include "agent/net/kafka.h"
#include "agent/registry/registry.h"

enum { CLI_OK = 0, CLI_NOT_ALL_WELL = 1, CLI_USAGE = 2 };

/* A configuration and the memory it lives in. */
typedef struct {
    gv_config config;
    gv_arena arena;
    uint64_t update_version; /* in force beside the board's own file; 0: none */
    char update_sha256[65];
    uint8_t memory[CONFIG_ARENA_BYTES];
} cli_config;

/* Reads the file; every problem goes to stderr. NULL when there is one; free() the result. */
cli_config *cli_load(const char *path, config_program program);
/* The same for a program that runs: problems go to its log. */
cli_config *cli_reload(const char *path, config_program program);
/* The agent's configuration as it is in force: with the update that is kept in state_dir, if any. What
 * keeps an update from being in force is a warning. */
cli_config *cli_load_in_force(const char *path);

/* What only librdkafka can tell: its properties, and what it was built with. GV_INVAL, with words. */
gv_status cli_check_kafka(const gv_config *config, gv_error *err);

/* Outside systemd, "credential:NAME" is the file NAME beside the configuration, where the unit's
 * LoadCredential= has it from. */
void cli_find_credentials(const char *path);

/* What suits this machine, where the file says nothing: by board.profile or by the machine's model. */
void cli_apply_profile(gv_config *config, const plat_fs *fs);

/* "config check|show|options|reference [--config FILE]"; argv[0] is "config". An exit code. */
int cli_config_command(int argc, char **argv, config_program program, const char *default_path);

/* Removes "--name VALUE" or "--name=VALUE" from argv and returns VALUE; NULL when it is not there.
 * An option without its value ends the program with CLI_USAGE. */
const char *cli_take_option(int *argc, char **argv, const char *name);
bool cli_take_flag(int *argc, char **argv, const char *name);

/* Versions of this build and of the libraries that both programs use. */
void cli_print_version(const char *program);

/* The parts of a configuration that both programs hand on. `properties` has room for
 * config->kafka_properties.count. Queue caps are the caller's to fill in. */
kafka_config cli_kafka_config(const gv_config *config, const char *client_id,
                              kafka_property *properties);
registry_config cli_registry_config(const gv_config *config);

/* The agent's topics by batch_kind: their names, and the shapes in which they are made. */
#define CLI_TOPIC_MAX 256
typedef struct {
    char names[BATCH_KINDS][CLI_TOPIC_MAX];
    kafka_topic shapes[BATCH_KINDS]; /* their names are those above: it must stay where it is */
} cli_topics;

gv_status cli_name_topics(const gv_config *config, cli_topics *out, gv_error *err);

/* Where each agent tells which configuration it has in force: the last word of each device stays. `name`
 * must stay where it is, as above. */
gv_status cli_status_topic(const gv_config *config, char name[CLI_TOPIC_MAX], kafka_topic *out,
                           gv_error *err);

/* Where the spool is: spool.dir, or below state_dir. */
gv_status cli_spool_dir(const gv_config *config, char path[PLAT_PATH_MAX], gv_error *err);

/* NULL for "", as most contracts want "not set". */
static inline const char *cli_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

#endif
