/* table.c - options.def as data, and what can be looked up in it. */
#include "agent/config/internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_BOOL(value)   (value), NULL
#define DEFAULT_INT(value)    INT64_C(value), NULL
#define DEFAULT_STRING(value) 0, value
#define DEFAULT_SECRET(value) 0, value
#define DEFAULT_URI(value)    0, value
#define DEFAULT_LIST(value)   0, value
#define DEFAULT_MAP(value)    0, value
#define DEFAULT_ENUM(value)   0, value
#define DEFAULT_IDS(value)    0, value
#define DEFAULT_HOUSES(value) 0, value

const config_info config_infos[CONFIG_OPTIONS] = {
#define OPTION(field, path, type, def, min, max, unit, programs, help)                             \
    { path,                                                                                        \
      CONFIG_KIND_##type,                                                                          \
      offsetof(gv_config, field),                                                                  \
      DEFAULT_##type(def),                                                                         \
      min,                                                                                         \
      max,                                                                                         \
      unit,                                                                                        \
      CONFIG_##programs,                                                                           \
      help },
#include "agent/config/options.def"
};

const config_group config_groups[] = {
#define OPTION_GROUP(name, heading, help) { name, heading, help },
#include "agent/config/options.def"
};
const size_t config_group_count = sizeof config_groups / sizeof config_groups[0];

const config_info config_source_infos[] = {
#define SOURCE_OPTION(field, name, type, def, help)                                                \
    { name, CONFIG_KIND_##type, 0, DEFAULT_##type(def), 0, 0, "", CONFIG_AGENT, help },
#include "agent/config/options.def"
};
const size_t config_source_info_count = sizeof config_source_infos / sizeof config_source_infos[0];

static const struct {
    const char *path;
    const char *why;
} owned[] = {
#define BOARD_OWNED(path, why) { path, why },
#include "agent/config/options.def"
};

const char *config_board_owned(const config_info *info)
{
    size_t group_len = config_group_len(info->path);

    if (info->kind == CONFIG_KIND_SECRET || info->kind == CONFIG_KIND_URI)
        return "secrets, and what refers to them, never travel";
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        size_t len = strlen(owned[i].path);
        if (strcmp(owned[i].path, info->path) == 0 ||
            (len == group_len && memcmp(owned[i].path, info->path, len) == 0))
            return owned[i].why;
    }
    return NULL;
}

const config_info *config_find(const char *path)
{
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        if (strcmp(config_infos[i].path, path) == 0)
            return &config_infos[i];
    }
    return NULL;
}

const config_group *config_group_find(const char *name, size_t len)
{
    for (size_t i = 0; i < config_group_count; i++) {
        if (strlen(config_groups[i].name) == len && memcmp(config_groups[i].name, name, len) == 0)
            return &config_groups[i];
    }
    return NULL;
}

size_t config_group_len(const char *path)
{
    const char *dot = strchr(path, '.');
    return dot ? (size_t)(dot - path) : 0;
}

size_t config_choice(const char *choices, int index, const char **text)
{
    const char *p = choices;

    for (; index > 0; index--) {
        p = strchr(p, '|');
        if (!p)
            return 0;
        p++;
    }
    if (*p == '*')
        p++;
    *text = p;
    return strcspn(p, "|");
}

int config_choice_find(const char *choices, const char *text)
{
    const char *choice;
    size_t len;

    for (int i = 0; (len = config_choice(choices, i, &choice)) != 0; i++) {
        if (strlen(text) == len && strncasecmp(text, choice, len) == 0)
            return i;
    }
    return -1;
}

int config_choice_default(const char *choices)
{
    const char *star = strchr(choices, '*');
    int index = 0;

    if (!star)
        return -1;
    for (const char *p = choices; p < star; p++)
        index += *p == '|';
    return index;
}

void config_choices_list(const char *choices, char *text, size_t cap)
{
    gv_buf out = gv_buf_of(text, cap - 1);
    const char *choice, *next;
    size_t len, used = 0;

    for (int i = 0; (len = config_choice(choices, i, &choice)) != 0; i++) {
        bool last = config_choice(choices, i + 1, &next) == 0;
        const char *between = i == 0 ? "" : last ? " or " : ", ";
        gv_buf_put(&out, between, strlen(between));
        gv_buf_put(&out, choice, len);
        used = out.len;
    }
    text[used] = '\0';
}

void config_choice_name(const gv_config *config, config_option option, char *text, size_t cap)
{
    const config_info *info = &config_infos[option];
    const char *choice = "";
    int len;

    assert(info->kind == CONFIG_KIND_ENUM);
    len = (int)config_choice(info->def_text, *CONFIG_CONST_FIELD(int, config, info), &choice);
    snprintf(text, cap, "%.*s", len, choice);
}

/* A test holds these beside the table. */
const char *config_region_name(int region)
{
    static const char *const names[] = { "us", "eu", "kr", "tw" };
    return names[region];
}

const char *config_game_name(int game)
{
    static const char *const names[] = { "retail", "classic", "classic1x", "classicann" };
    return names[game];
}
