/* internal.h - what the files of agent/config share; nobody else includes it. */
#ifndef GAVEL_CONFIG_INTERNAL_H
#define GAVEL_CONFIG_INTERNAL_H

#include "agent/config/config.h"

struct cJSON;

/* --- the table -------------------------------------------------------------------------------- */
typedef enum {
    CONFIG_KIND_BOOL,
    CONFIG_KIND_INT,
    CONFIG_KIND_STRING,
    CONFIG_KIND_SECRET,
    CONFIG_KIND_URI,
    CONFIG_KIND_LIST,
    CONFIG_KIND_MAP,
    CONFIG_KIND_ENUM,
    CONFIG_KIND_IDS,   /* of a source */
    CONFIG_KIND_HOUSES /* of a source */
} config_kind;

typedef struct {
    const char *path;
    config_kind kind;
    size_t offset; /* of the field in gv_config */
    int64_t def_number;
    const char *def_text; /* for ENUM, the choices */
    int64_t min;
    int64_t max;
    const char *unit;
    config_program programs;
    const char *help;
} config_info;

typedef struct {
    const char *name;
    const char *heading;
    const char *help;
} config_group;

extern const config_info config_infos[CONFIG_OPTIONS];
extern const config_group config_groups[];
extern const size_t config_group_count;
extern const config_info config_source_infos[]; /* path, kind, def_*, help only */
extern const size_t config_source_info_count;

#define CONFIG_FIELD(type, config, info) ((type *)(void *)((char *)(config) + (info)->offset))
#define CONFIG_CONST_FIELD(type, config, info)                                                     \
    ((const type *)(const void *)((const char *)(config) + (info)->offset))

config_origin config_origin_of(const gv_config *config, size_t option);

/* Why only the board's own file may set the option, "it belongs to the board: ..."; NULL: an update that
 * came over the air may set it, too. */
const char *config_board_owned(const config_info *info);

/* The option with that path; NULL when there is none. */
const config_info *config_find(const char *path);
const config_group *config_group_find(const char *name, size_t len);
/* Length of the part before the dot; 0 for an option at the top. */
size_t config_group_len(const char *path);

/* Choices are texts with '|' between them. The length of choice `index`, 0 past the last one. */
size_t config_choice(const char *choices, int index, const char **text);
int config_choice_find(const char *choices, const char *text); /* -1: none; case does not matter */
int config_choice_default(const char *choices);                /* -1: none is marked */
void config_choices_list(const char *choices, char *text, size_t cap); /* "a, b or c" */

/* The known path that was probably meant; NULL when none is near. */
const char *config_nearest(const char *path);
/* The same among the members of a source. */
const char *config_nearest_source(const char *name);

/* --- reading ---------------------------------------------------------------------------------- */
#define CONFIG_PATH_MAX   192
#define CONFIG_SECRET_MAX 8192

typedef struct {
    const config_reader *reader;
    gv_config *out;
    gv_error *err;
    gv_status status; /* of the first problem */
    unsigned problems;
    bool full;
} config_reading;

void config_problem(config_reading *r, gv_status status, const char *path, const char *fmt, ...)
    GV_PRINTF(4, 5);
void config_warning(config_reading *r, const char *path, const char *fmt, ...) GV_PRINTF(3, 4);

/* From the arena; NULL, and reported once, when it is used up. */
void *config_alloc(config_reading *r, size_t bytes);
const char *config_copy(config_reading *r, const char *text);

/* "the number 5", "a list" ...; `hidden` keeps the value to itself. */
void config_found(const struct cJSON *value, bool hidden, char *text, size_t cap);
/* Builds the path that a message names, cut where it is too long. */
void config_path(char path[CONFIG_PATH_MAX], const char *fmt, ...) GV_PRINTF(2, 3);
/* A key as it may be shown: short, without control characters. */
void config_show_key(const char *key, char *text, size_t cap);
/* Exactly a whole number within the bounds. */
bool config_whole(const struct cJSON *value, int64_t min, int64_t max, int64_t *number);
/* True, and reported, when an earlier member of the same object has the same key. */
bool config_duplicate(config_reading *r, const struct cJSON *object, const struct cJSON *member,
                      const char *path);

void config_read_sources(config_reading *r, const struct cJSON *value);
/* What one option alone cannot tell. */
void config_check(config_reading *r);

/* --- text and secrets ------------------------------------------------------------------------- */
typedef struct {
    size_t line; /* from 1 */
    size_t column;
    char text[160];
} config_syntax;

/* Checks that text[0..len) is one JSON value and blanks its comments, so that every other byte
 * stays where it is. False: `problem` says where and what. */
bool config_text_clean(char *text, size_t len, config_syntax *problem);

bool config_is_reference(const char *text);
/* NULL when a reference is well formed, else what is wrong with it (without its text). */
const char *config_reference_fault(const char *text);

/* librdkafka's properties that name what is on the board: files, programs, libraries, who it is. */
bool config_property_is_local(const char *name);

/* --- words ------------------------------------------------------------------------------------ */
/* What an option takes ("a whole number from 1 to 100 (ms)") and its default, for a person. */
void config_expected(const config_info *info, char *text, size_t cap);
void config_default(const config_info *info, char *text, size_t cap);

#endif
