/* fuzz_config.c - a configuration of any bytes: the first byte chooses the program, the rest is the
 * text.
 *
 * Invariants:
 *   it fails exactly when it reports a problem, and err then holds the first one;
 *   no report and nothing printed holds a secret;
 *   after success every number is within its bounds and no text is NULL;
 *   what is printed then reads as the same configuration, and prints the same again;
 *   what is printed as an update may be one, and holds no reference.
 */
#include "agent/config/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No text of a configuration can hold this by itself: it is not UTF-8. */
#define MARK   "\xff"
#define SECRET "mongodb://" MARK

static char memory[2][CONFIG_ARENA_BYTES];

typedef struct {
    unsigned problems;
    char first[320];
} said;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void report(void *ctx, bool warning, const char *text)
{
    said *s = ctx;

    require(strstr(text, MARK) == NULL, "no report holds a secret");
    require(text[0] != '\0' && strchr(text, '\n') == NULL, "a report is one line");
    if (!warning && s->problems++ == 0)
        snprintf(s->first, sizeof s->first, "%s", text);
}

static gv_status secret(void *ctx, const char *reference, char *value, size_t cap, gv_error *err)
{
    (void)ctx;
    (void)err;
    require(config_reference_fault(reference) == NULL, "only well-formed references are resolved");
    snprintf(value, cap, "%s", SECRET);
    return GV_OK;
}

static gv_status parse(config_program program, gv_span text, int which, gv_config *config)
{
    gv_arena arena;
    gv_error err = { 0 };
    said s = { 0, "" };
    config_reader reader = { program, "f", &arena, report, secret, &s };
    gv_status status;

    gv_arena_init(&arena, memory[which], sizeof memory[which]);
    status = config_parse(&reader, text, config, &err);
    require((status == GV_OK) == (s.problems == 0), "failure and problems go together");
    require(strcmp(err.text, s.first) == 0, "the first problem is in err");
    return status;
}

static void check_fields(const gv_config *config)
{
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        if (info->kind == CONFIG_KIND_INT) {
            int64_t value = *CONFIG_CONST_FIELD(int64_t, config, info);
            require(value >= info->min && value <= info->max, "a number is within its bounds");
        } else if (info->kind == CONFIG_KIND_STRING || info->kind == CONFIG_KIND_SECRET) {
            const char *value = *CONFIG_CONST_FIELD(char *, config, info);
            require(value && strlen(value) <= (size_t)info->max, "a text is within its bounds");
        }
    }
    for (size_t i = 0; i < config->source_count; i++) {
        const config_source *s = &config->sources[i];
        require(s->commodities || s->all_realms || s->realm_count, "a source fetches something");
        require((s->game == CONFIG_RETAIL) == (s->house_count == 0), "Classic alone has houses");
        (void)config_region_name(s->region);
        (void)config_game_name(s->game);
    }
}

static char *print(const gv_config *config, config_program program, config_print_style style,
                   size_t *len)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, len);

    require(file != NULL, "memory");
    config_print(file, config, program, style);
    fclose(file);
    require(strstr(text, MARK) == NULL, "nothing printed holds a secret");
    return text;
}

static void differs(void *ctx, const char *path)
{
    (void)ctx;
    fprintf(stderr, "%s differs\n", path);
}

static void check_update(const gv_config *config)
{
    gv_error err = { 0, "" };
    size_t len = 0;
    char *update = print(config, CONFIG_AGENT, CONFIG_PRINT_UPDATE, &len);

    if (config_check_update(gv_span_of(update, len), &err) != GV_OK)
        fprintf(stderr, "%s\n%s\n", err.text, update);
    require(err.text[0] == '\0', "what is shown of it is an update");
    free(update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    config_program program = size && data[0] % 2 ? CONFIG_AGENT : CONFIG_SINK;
    gv_config config, again;
    char *first, *second;
    size_t first_len = 0, second_len = 0;

    if (parse(program, gv_span_of(size ? data + 1 : data, size ? size - 1 : 0), 0, &config) !=
        GV_OK)
        return 0;
    check_fields(&config);
    first = print(&config, program, CONFIG_PRINT_PLAIN, &first_len);
    require(parse(program, gv_span_of(first, first_len), 1, &again) == GV_OK,
            "what is printed reads");
    require(config_diff(&config, &again, program, differs, NULL) == 0, "it reads as the same");
    second = print(&again, program, CONFIG_PRINT_PLAIN, &second_len);
    require(strcmp(first, second) == 0, "it prints the same again");
    free(first);
    free(second);
    check_update(&config);
    return 0;
}
