/* config.h - the configuration of gavel and gavel-sink: one JSON file, comments allowed.
 *
 * One file may serve both programs: options of the other one are checked and not used, and its
 * secrets are not read. All options, their units and ranges are in options.def.
 *
 * Ownership: everything a gv_config points to lives in the arena it was read into. A reload reads
 *            into a second arena; the old one can go when nothing uses it any more.
 * Memory:    the arena, CONFIG_ARENA_BYTES are enough for any ordinary file; while reading, up to
 *            about 2 MiB of heap more, all of it given back (never on the data path).
 * Threads:   none.
 * Errors:    every problem of a file is reported, with file, path to the key, what was expected and
 *            what was found; the first one is in err. GV_INVAL: the file; GV_IO: it or a secret
 *            could not be read; GV_FULL: the arena was too small. `out` is then unspecified.
 * Secrets:   only by reference: "file:/path" (the contents, without one final newline), "env:NAME",
 *            "credential:NAME" ($CREDENTIALS_DIRECTORY/NAME, systemd). Values are in gv_config
 *            and nowhere else: no message and no output here holds one.
 */
#ifndef GAVEL_CONFIG_CONFIG_H
#define GAVEL_CONFIG_CONFIG_H

#include "platform/err.h"
#include "platform/fs.h"
#include "platform/mem.h"
#include "platform/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_ARENA_BYTES    ((size_t)64 * 1024)
#define CONFIG_FILE_MAX_BYTES ((size_t)256 * 1024)
#define CONFIG_SOURCES_MAX    64
#define CONFIG_REALMS_MAX     512 /* in all sources together */

typedef enum { CONFIG_AGENT = 1, CONFIG_SINK = 2, CONFIG_BOTH = 3 } config_program;

/* The choices of the ENUM options, in the table's order (which is also that of kafka_security,
 * registry_strategy, gv_log_level, gv_log_format and outlet_policy). */
enum { CONFIG_PLAINTEXT, CONFIG_SSL, CONFIG_SASL_PLAINTEXT, CONFIG_SASL_SSL };
enum { CONFIG_SASL_PLAIN, CONFIG_SASL_SCRAM_SHA_256, CONFIG_SASL_SCRAM_SHA_512 };
enum { CONFIG_SUBJECT_TOPIC, CONFIG_SUBJECT_RECORD, CONFIG_SUBJECT_TOPIC_RECORD };
enum { CONFIG_STORE_MONGODB, CONFIG_STORE_SQLITE };
enum { CONFIG_SPOOL_PAUSE, CONFIG_SPOOL_DROP_OLDEST, CONFIG_SPOOL_THIN };
enum { CONFIG_REGION_US, CONFIG_REGION_EU, CONFIG_REGION_KR, CONFIG_REGION_TW };
enum { CONFIG_RETAIL, CONFIG_CLASSIC, CONFIG_CLASSIC1X, CONFIG_CLASSICANN };

typedef struct {
    const char *const *items;
    size_t count;
} config_list;

typedef struct {
    const char *name;
    const char *value;
    const char *reference; /* where the value is a secret: what the file says; else NULL */
} config_pair;

typedef struct {
    const config_pair *items;
    size_t count;
} config_map;

typedef struct {
    int region; /* CONFIG_REGION_* */
    int game;   /* CONFIG_RETAIL, CONFIG_CLASSIC* */
    bool all_realms;
    const uint32_t *realms; /* connected realm ids */
    size_t realm_count;
    bool commodities;
    const uint8_t *houses; /* Classic only: 2, 6, 7 */
    size_t house_count;
} config_source;

typedef enum {
#define OPTION(field, ...) CONFIG_OPTION_##field,
#include "agent/config/options.def"
    CONFIG_OPTIONS
} config_option;

#define CONFIG_TYPE_BOOL   bool
#define CONFIG_TYPE_INT    int64_t
#define CONFIG_TYPE_STRING const char *
#define CONFIG_TYPE_SECRET const char *
#define CONFIG_TYPE_URI    const char *
#define CONFIG_TYPE_LIST   config_list
#define CONFIG_TYPE_MAP    config_map
#define CONFIG_TYPE_ENUM   int

/* Texts are never NULL; "" is "not set". */
typedef struct gv_config {
#define OPTION(field, path, type, ...) CONFIG_TYPE_##type field;
#include "agent/config/options.def"
    const config_source *sources;
    size_t source_count;
    const char *references[CONFIG_OPTIONS]; /* of secrets: what the file says; NULL otherwise */
    bool given[CONFIG_OPTIONS];             /* the file names it */
    bool preset[CONFIG_OPTIONS];            /* the value is the profile's */
    const char *profile;                    /* whose; NULL: no presets were applied */
    bool over_air; /* set by who read config_merge()'s text: what an update may set is from it */
} gv_config;

/* A value that suits this machine better than the option's default. */
typedef struct {
    const char *path; /* of an INT option */
    int64_t value;    /* within its bounds */
} config_preset;

/* Called for each problem; a warning does not make reading fail. */
typedef void config_report_fn(void *ctx, bool warning, const char *text);

typedef struct {
    config_program program; /* whose needs are checked and whose secrets are resolved */
    const char *name;       /* of the file, for messages */
    gv_arena *arena;
    config_report_fn *report; /* may be NULL */
    /* Puts the value of a (well-formed) reference into `value`, NUL-terminated. GV_IO when it cannot
     * be had, with the reason; GV_FULL when it is longer. A warning may be left in err with GV_OK. */
    gv_status (*secret)(void *ctx, const char *reference, char *value, size_t cap, gv_error *err);
    void *ctx; /* for report and secret */
} config_reader;

/* Reads a text; touches no file unless `secret` does. */
gv_status config_parse(const config_reader *reader, gv_span text, gv_config *out, gv_error *err);

/* Reads a file and the secrets it names. */
gv_status config_load(const char *path, config_program program, const plat_fs *fs, gv_arena *arena,
                      config_report_fn *report, void *ctx, gv_config *out, gv_error *err);

/* As config_reader.secret, through a file system. */
gv_status config_secret_read(const plat_fs *fs, const char *reference, char *value, size_t cap,
                             gv_error *err);

/* Sets one option ("kafka.brokers", "state_dir") or "sources" in the text of a configuration to a JSON
 * value; comments and everything else stay as they are. What is not there is added. GV_INVAL: the text
 * is no JSON object, or the option's group no object in it; GV_FULL: the result would not fit. After an
 * error nothing has changed. */
gv_status config_edit(char *text, size_t *len, size_t cap, const char *path, const char *value,
                      gv_error *err);

/* The text in force when `update`, which came over the air, is taken on a board whose own file is `own`:
 * all of `update`, and of `own` what belongs to the board (options.def says which).
 * GV_INVAL: `update` names an option that belongs to the board or refers to a secret (err names it and
 * says why), or one of the texts is no JSON object; GV_FULL: it does not fit. Comments are not kept.
 * Whether the options are good is for config_parse() to say, of the result. */
gv_status config_merge(gv_span own, gv_span update, char *text, size_t cap, size_t *len,
                       gv_error *err);

/* Whether an update may be sent to any board at all: the half of config_merge() that looks at `update`
 * alone, for the owner's desk. */
gv_status config_check_update(gv_span update, gv_error *err);

/* The configuration when no file says anything. */
void config_defaults(gv_arena *arena, gv_config *out);

/* Takes over the presets of options that the file does not name: the file goes before the profile, the
 * profile before the default. Presets of one group were chosen for each other: when the file names an
 * option of any of them, none of the group's is taken. `profile` is borrowed. */
void config_apply_presets(gv_config *config, const char *profile, const config_preset *presets,
                          size_t count);

typedef enum {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_PROFILE,
    CONFIG_FROM_FILE,
    CONFIG_FROM_UPDATE
} config_origin;

/* The value of the INT option of that path, and where it comes from; false when there is none. */
bool config_number(const gv_config *config, const char *path, int64_t *value,
                   config_origin *origin);
const char *config_origin_name(config_origin origin); /* "default", "profile" ... */

typedef enum { CONFIG_PRINT_PLAIN, CONFIG_PRINT_ORIGINS, CONFIG_PRINT_UPDATE } config_print_style;

/* The effective configuration of `program` as JSON, secrets as their references. Reading it again
 * gives the same configuration. With CONFIG_PRINT_ORIGINS a comment behind each value says where it
 * comes from: file, update, profile or default. With CONFIG_PRINT_UPDATE it is what the file or update in
 * force names and an update may set: nothing that belongs to the board, no secret and no reference to one.
 * It is an update by itself, which would change nothing. */
void config_print(FILE *file, const gv_config *config, config_program program,
                  config_print_style style);

/* The value of that path, or of "sources", on one line, as config_print() writes it. */
void config_print_value(FILE *file, const gv_config *config, const char *path);

/* Calls changed() for each option (and "sources") that differs; the number of calls. */
size_t config_diff(const gv_config *a, const gv_config *b, config_program program,
                   void (*changed)(void *ctx, const char *path), void *ctx);

/* The same for each option that the board's own file names and an update sets otherwise (or not at all, so
 * that the default is in force). */
size_t config_overridden(const gv_config *own, const gv_config *in_force, config_program program,
                         void (*overridden)(void *ctx, const char *path), void *ctx);

/* Help for each option of `program`, for a terminal; and the reference page, as Markdown. */
void config_print_options(FILE *file, config_program program);
void config_print_reference(FILE *file);

const char *config_region_name(int region); /* "us", ... */
const char *config_game_name(int game);     /* "retail", ... */

/* What the file calls the choice of an ENUM option. */
void config_choice_name(const gv_config *config, config_option option, char *text, size_t cap);

/* cJSON's version, for --version. */
const char *config_json_version(void);

#endif
