/* print.c - the effective configuration as JSON, and the options' help for terminal and page. */
#include "agent/config/internal.h"

#include <inttypes.h>
#include <string.h>

#define WIDTH 78

/* --- the effective configuration -------------------------------------------------------------- */
static void print_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file); /* control characters were refused when it was read */
    }
    fputc('"', file);
}

static void print_list(FILE *file, const config_list *list)
{
    fputc('[', file);
    for (size_t i = 0; i < list->count; i++) {
        fputs(i ? ", " : "", file);
        print_text(file, list->items[i]);
    }
    fputc(']', file);
}

static void print_map(FILE *file, const config_map *map, config_print_style style)
{
    size_t printed = 0;

    fputc('{', file);
    for (size_t i = 0; i < map->count; i++) {
        const config_pair *pair = &map->items[i];
        if (style == CONFIG_PRINT_UPDATE &&
            (pair->reference || config_property_is_local(pair->name)))
            continue;
        fputs(printed++ ? ", " : " ", file);
        print_text(file, pair->name);
        fputs(": ", file);
        print_text(file, pair->reference ? pair->reference : pair->value);
    }
    fputs(printed ? " }" : "}", file);
}

static void print_value(FILE *file, const gv_config *c, const config_info *info,
                        config_print_style style)
{
    const char *reference = c->references[info - config_infos], *choice = "";
    int len;

    switch (info->kind) {
    case CONFIG_KIND_BOOL:
        fputs(*CONFIG_CONST_FIELD(bool, c, info) ? "true" : "false", file);
        break;
    case CONFIG_KIND_INT:
        fprintf(file, "%" PRId64, *CONFIG_CONST_FIELD(int64_t, c, info));
        break;
    case CONFIG_KIND_ENUM:
        len = (int)config_choice(info->def_text, *CONFIG_CONST_FIELD(int, c, info), &choice);
        fprintf(file, "\"%.*s\"", len, choice);
        break;
    case CONFIG_KIND_LIST:
        print_list(file, CONFIG_CONST_FIELD(config_list, c, info));
        break;
    case CONFIG_KIND_MAP:
        print_map(file, CONFIG_CONST_FIELD(config_map, c, info), style);
        break;
    default:
        print_text(file, reference ? reference : *CONFIG_CONST_FIELD(char *, c, info));
        break;
    }
}

static void print_source(FILE *file, const config_source *s)
{
    fprintf(file, "{ \"region\": \"%s\", \"game\": \"%s\"", config_region_name(s->region),
            config_game_name(s->game));
    if (s->all_realms)
        fputs(", \"realms\": \"all\"", file);
    for (size_t i = 0; i < s->realm_count; i++)
        fprintf(file, "%s%" PRIu32, i ? ", " : ", \"realms\": [", s->realms[i]);
    fputs(s->realm_count ? "]" : "", file);
    if (s->game == CONFIG_RETAIL)
        fprintf(file, ", \"commodities\": %s", s->commodities ? "true" : "false");
    for (size_t i = 0; i < s->house_count; i++)
        fprintf(file, "%s%u", i ? ", " : ", \"houses\": [", s->houses[i]);
    fputs(s->house_count ? "] }" : " }", file);
}

static void print_sources(FILE *file, const gv_config *c)
{
    fputs("  \"sources\": [", file);
    for (size_t i = 0; i < c->source_count; i++) {
        fputs(i ? ",\n    " : "\n    ", file);
        print_source(file, &c->sources[i]);
    }
    fputs(c->source_count ? "\n  ]\n" : "]\n", file);
}

void config_print_value(FILE *file, const gv_config *config, const char *path)
{
    const config_info *info = config_find(path);

    if (info) {
        print_value(file, config, info, CONFIG_PRINT_PLAIN);
        return;
    }
    fputc('[', file);
    for (size_t i = 0; i < config->source_count; i++) {
        fputs(i ? ", " : "", file);
        print_source(file, &config->sources[i]);
    }
    fputc(']', file);
}

static void print_origin(FILE *file, const gv_config *c, size_t option)
{
    config_origin origin = config_origin_of(c, option);
    bool profile = origin == CONFIG_FROM_PROFILE;

    fprintf(file, " // %s%s%s", config_origin_name(origin), profile ? " " : "",
            profile ? c->profile : "");
}

/* A text that would be taken for a reference to a secret, were it in an update. */
static bool looks_secret(const gv_config *c, const config_info *info)
{
    if (info->kind == CONFIG_KIND_STRING)
        return config_is_reference(*CONFIG_CONST_FIELD(char *, c, info));
    if (info->kind == CONFIG_KIND_LIST) {
        const config_list *list = CONFIG_CONST_FIELD(config_list, c, info);
        for (size_t i = 0; i < list->count; i++)
            if (config_is_reference(list->items[i]))
                return true;
    }
    return false;
}

static bool is_printed(const gv_config *c, size_t option, config_program program,
                       config_print_style style)
{
    const config_info *info = &config_infos[option];

    if (!(info->programs & program) || (info->kind == CONFIG_KIND_SECRET && !c->references[option]))
        return false;
    return style != CONFIG_PRINT_UPDATE ||
           (c->given[option] && !config_board_owned(info) && !looks_secret(c, info));
}

/* The next option that is printed, from `option` on; CONFIG_OPTIONS when there is none. */
static size_t next_printed(const gv_config *c, size_t option, config_program program,
                           config_print_style style)
{
    while (option < CONFIG_OPTIONS && !is_printed(c, option, program, style))
        option++;
    return option;
}

static bool same_group(size_t a, size_t b)
{
    size_t len;

    if (a == CONFIG_OPTIONS || b == CONFIG_OPTIONS)
        return false;
    len = config_group_len(config_infos[a].path);
    return config_group_len(config_infos[b].path) == len &&
           memcmp(config_infos[a].path, config_infos[b].path, len) == 0;
}

void config_print(FILE *file, const gv_config *config, config_program program,
                  config_print_style style)
{
    size_t last = CONFIG_OPTIONS;
    bool sources = (program & CONFIG_AGENT) != 0;

    fputs("{\n", file);
    for (size_t i = next_printed(config, 0, program, style), next; i < CONFIG_OPTIONS; i = next) {
        const char *path = config_infos[i].path;
        size_t len = config_group_len(path);
        bool ends;
        next = next_printed(config, i + 1, program, style);
        ends = !same_group(i, next);
        if (len && !same_group(last, i))
            fprintf(file, "  \"%.*s\": {\n", (int)len, path);
        fprintf(file, "  %s\"%s\": ", len ? "  " : "", path + (len ? len + 1 : 0));
        print_value(file, config, &config_infos[i], style);
        fputs((len && ends) || (next == CONFIG_OPTIONS && !sources) ? "" : ",", file);
        if (style == CONFIG_PRINT_ORIGINS)
            print_origin(file, config, i);
        fputc('\n', file);
        if (len && ends)
            fprintf(file, "  }%s\n", next < CONFIG_OPTIONS || sources ? "," : "");
        last = i;
    }
    if (sources)
        print_sources(file, config);
    fputs("}\n", file);
}

/* --- help ------------------------------------------------------------------------------------- */
static void print_wrapped(FILE *file, const char *text)
{
    size_t column = 0;

    while (*text) {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > WIDTH) {
            fputs(column ? "\n    " : "    ", file);
            column = 4;
        } else {
            fputc(' ', file);
            column++;
        }
        fwrite(text, 1, word, file);
        column += word;
        text += word + (text[word] == ' ');
    }
    fputc('\n', file);
}

static void print_option(FILE *file, const char *prefix, const config_info *info)
{
    char expected[256], standard[128], takes[512];
    const char *why = (info->programs & CONFIG_AGENT) ? config_board_owned(info) : NULL;

    config_expected(info, expected, sizeof expected);
    config_default(info, standard, sizeof standard);
    snprintf(takes, sizeof takes, "Takes %s. Default: %s.", expected, standard);
    fprintf(file, "\n  %s%s\n", prefix, info->path);
    print_wrapped(file, info->help);
    print_wrapped(file, takes);
    if (why) {
        snprintf(takes, sizeof takes, "Not by an update over the air: %s.", why);
        print_wrapped(file, takes);
    }
}

static const char *group_of(const config_info *info, size_t *len)
{
    *len = config_group_len(info->path);
    return info->path;
}

void config_print_options(FILE *file, config_program program)
{
    for (size_t g = 0; g < config_group_count; g++) {
        const config_group *group = &config_groups[g];
        bool headed = false;
        for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
            size_t len;
            const char *name = group_of(&config_infos[i], &len);
            if (!(config_infos[i].programs & program) || config_group_find(name, len) != group)
                continue;
            if (!headed)
                fprintf(file, "%s%s%s%s\n", g ? "\n" : "", group->heading,
                        group->help[0] ? ": " : "", group->help);
            headed = true;
            print_option(file, "", &config_infos[i]);
        }
    }
    if (!(program & CONFIG_AGENT))
        return;
    fputs("\nSources: the list of what is fetched, each an object with these members.\n", file);
    for (size_t i = 0; i < config_source_info_count; i++)
        print_option(file, "sources[].", &config_source_infos[i]);
}

/* --- the reference page ----------------------------------------------------------------------- */
/* A table's cell: '|' would end it, '<' would start a tag. */
static void print_cell(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", file);
        else if (*text == '|')
            fputs("\\|", file);
        else
            fputc(*text, file);
    }
}

static void print_row(FILE *file, const config_info *info, bool source)
{
    char expected[256], standard[128];
    const char *programs = info->programs == CONFIG_AGENT  ? "gavel"
                           : info->programs == CONFIG_SINK ? "gavel-sink"
                                                           : "both";

    config_expected(info, expected, sizeof expected);
    config_default(info, standard, sizeof standard);
    fprintf(file, "| `%s` | ", info->path);
    print_cell(file, info->help);
    fputs(" | ", file);
    print_cell(file, expected);
    fputs(" | ", file);
    print_cell(file, standard);
    if (!source)
        fprintf(file, " | %s | %s", programs,
                !(info->programs & CONFIG_AGENT) ? ""
                : config_board_owned(info)       ? "no"
                                                 : "yes");
    fputs(" |\n", file);
}

static const char reference_head[] =
    "# Configuration reference\n\n"
    "Made from `agent/config/options.def` by `gavel_config_reference`; change the table, not this "
    "page.\n\n"
    "The configuration is one JSON file; `//` and `/* */` comments are allowed. One file may serve "
    "both programs: each uses its own options and checks the others. A name such as "
    "`kafka.brokers` "
    "means `{ \"kafka\": { \"brokers\": ... } }`. A commented example is `gavel.example.json`.\n\n"
    "A secret is never written into the file but named by a reference: `\"file:/path\"` (the "
    "file's "
    "contents; let only the program's user read it), `\"env:NAME\"` (an environment variable) or "
    "`\"credential:NAME\"` (a systemd credential).\n\n"
    "Where the file says nothing, the profile of the board decides (`board.profile`), and where "
    "that "
    "says nothing, the default below. A profile's values of one group were chosen for each other: "
    "when the file sets one of them, the group's others are the defaults. `gavel config show` "
    "prints "
    "every value and where it comes from: file, profile or default.\n\n"
    "After a change: `gavel` reads the file again on SIGHUP (`systemctl reload gavel`) and takes "
    "all of "
    "it over, or goes on with the old one and says why; restart `gavel-sink`.\n\n"
    "*Over the air* says what a signed update (`gavel config sign`) may set; what it may not, it "
    "leaves to the board's own file, and so are all references to secrets. `gavel config options` "
    "has the reasons. Sources may be set by updates.\n";

void config_print_reference(FILE *file)
{
    fputs(reference_head, file);
    for (size_t g = 0; g < config_group_count; g++) {
        const config_group *group = &config_groups[g];
        fprintf(file, "\n## %s\n%s%s%s", group->heading, group->help[0] ? "\n" : "", group->help,
                group->help[0] ? "\n" : "");
        fputs("\n| Option | What it is for | Takes | Default | Program | Over the air |\n"
              "|---|---|---|---|---|---|\n",
              file);
        for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
            size_t len;
            const char *name = group_of(&config_infos[i], &len);
            if (config_group_find(name, len) == group)
                print_row(file, &config_infos[i], false);
        }
    }
    fprintf(
        file,
        "\n## Sources\n\nWhat the agent fetches: a list `\"sources\"` of up to %d objects with the "
        "members below and up to %d realms in all.\n\n"
        "| Member | What it is for | Takes | Default |\n|---|---|---|---|\n",
        CONFIG_SOURCES_MAX, CONFIG_REALMS_MAX);
    for (size_t i = 0; i < config_source_info_count; i++)
        print_row(file, &config_source_infos[i], true);
}
