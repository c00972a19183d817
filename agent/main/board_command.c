#include "agent/main/board_command.h"

#include "agent/cli/cli.h"
#include "agent/main/agent.h"
#include "board/board.h"
#include "board/health.h"
#include "gavel_version.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that the command has to say. */
typedef struct {
    const gv_config *config;
    char model[BOARD_MODEL_MAX];
    const board_profile *profile;
    bool chosen; /* by board.profile */
    memory_budget budget;
    budget_line lines[BUDGET_LINES];
    gv_error no_budget; /* why there is none */
    health health;
} findings;

static void find_out(findings *f, const gv_config *config, const plat_fs *fs,
                     const plat_clock *clock)
{
    char name[32];
    f->config = config;
    board_model(fs, f->model);
    f->profile = board_find(config->profile);
    config_choice_name(config, CONFIG_OPTION_board_profile, name, sizeof name);
    f->chosen = strcmp(name, BOARD_AUTO) != 0;
    if (agent_memory(config, &f->budget, &f->no_budget) == GV_OK)
        budget_lines(&f->budget, f->lines);
    health_config settings = health_config_for(config->profile, fs, clock, config->state_dir);
    health_open(&f->health, &settings);
}

static const char *sync_name(plat_sync sync)
{
    static const char *const names[] = { "unknown", "no", "yes" };
    return names[sync];
}

/* --- for people ------------------------------------------------------------------------------- */
static void print_machine(const findings *f)
{
    const board_profile *p = f->profile;
    const char *how = f->chosen     ? "chosen by board.profile"
                      : f->model[0] ? "by the model"
                                    : "for want of a model";
    printf("model     %s\n", f->model[0] ? f->model : "not told (there is no device tree)");
    printf("profile   %s, %s: %s\n", p->name, how, p->about);
    if (p->ram_mib)
        printf("          at least %u MiB of memory; %s\n", p->ram_mib, p->storage);
}

static void print_settings(const findings *f)
{
    printf("\nsettings\n");
    for (size_t i = 0; i < BOARD_SETTINGS; i++) {
        int64_t value;
        config_origin origin;
        if (config_number(f->config, board_setting_paths[i], &value, &origin))
            printf("  %-24s %8" PRId64 "  (%s)\n", board_setting_paths[i], value,
                   config_origin_name(origin));
    }
}

static void print_memory(const findings *f)
{
    printf("\nmemory, KiB\n");
    if (f->no_budget.text[0]) {
        printf("  %s\n", f->no_budget.text);
        return;
    }
    for (size_t i = 0; i < BUDGET_LINES; i++)
        printf("  %-24s %8zu\n", f->lines[i].name, f->lines[i].bytes / 1024);
    printf("  %-24s %8zu\n", "in all", f->budget.total / 1024);
}

static void print_power(const health_state *s)
{
    if (!s->has_power)
        return;
    printf("  power        %s\n", s->flags & HEALTH_UNDER_VOLTAGE ? "too little voltage"
                                  : s->flags & HEALTH_WAS_UNDER_VOLTAGE
                                      ? "enough voltage now, but not always since the start"
                                      : "enough voltage");
    if (s->has_throttling)
        printf("  speed        %s\n",
               s->flags & (HEALTH_CAPPED | HEALTH_THROTTLED | HEALTH_SOFT_LIMIT) ? "slowed down"
                                                                                 : "full");
}

static void print_health(const findings *f)
{
    const health_state *s = health_look(&f->health);
    printf("\nhealth\n");
    print_power(s);
    if (s->has_temperature)
        printf("  temperature  %.1f degrees\n", s->temperature_mc / 1000.0);
    if (s->has_wear)
        printf("  wear         %s: up to %u%% of its life time used\n", s->wear_device,
               s->wear_percent);
    if (s->has_free)
        printf("  room         %" PRIu64 " MiB free for %s\n", s->free_bytes >> 20,
               f->config->state_dir);
    printf("  clock        set by a time server: %s%s\n", sync_name(s->clock_sync),
           s->clock_behind ? "; it is behind the time of this program's build" : "");
    for (unsigned i = 0; i < HEALTH_TROUBLES; i++)
        if (s->troubles >> i & 1u)
            printf("  ! %s\n    %s\n", health_troubles[i].words, health_troubles[i].advice);
}

/* --- for programs ----------------------------------------------------------------------------- */
static cJSON *settings_json(const findings *f)
{
    cJSON *all = cJSON_CreateObject();
    for (size_t i = 0; i < BOARD_SETTINGS; i++) {
        int64_t value;
        config_origin origin;
        if (!config_number(f->config, board_setting_paths[i], &value, &origin))
            continue;
        cJSON *one = cJSON_AddObjectToObject(all, board_setting_paths[i]);
        cJSON_AddNumberToObject(one, "value", (double)value);
        cJSON_AddStringToObject(one, "from", config_origin_name(origin));
    }
    return all;
}

static cJSON *memory_json(const findings *f)
{
    cJSON *all = cJSON_CreateObject();
    cJSON_AddNumberToObject(all, "total_bytes", (double)f->budget.total);
    if (f->no_budget.text[0]) {
        cJSON_AddStringToObject(all, "error", f->no_budget.text);
        return all;
    }
    cJSON *parts = cJSON_AddObjectToObject(all, "parts_bytes");
    for (size_t i = 0; i < BUDGET_LINES; i++)
        cJSON_AddNumberToObject(parts, f->lines[i].name, (double)f->lines[i].bytes);
    return all;
}

static cJSON *health_json(const health_state *s)
{
    cJSON *all = cJSON_CreateObject();
    if (s->has_power)
        cJSON_AddBoolToObject(all, "under_voltage", (s->flags & HEALTH_UNDER_VOLTAGE) != 0);
    if (s->has_throttling)
        cJSON_AddNumberToObject(all, "throttled_flags", s->flags);
    if (s->has_temperature)
        cJSON_AddNumberToObject(all, "temperature_mc", s->temperature_mc);
    if (s->has_wear) {
        cJSON_AddStringToObject(all, "wear_device", s->wear_device);
        cJSON_AddNumberToObject(all, "wear_percent", s->wear_percent);
    }
    if (s->has_free)
        cJSON_AddNumberToObject(all, "free_bytes", (double)s->free_bytes);
    cJSON_AddStringToObject(all, "clock_synchronised", sync_name(s->clock_sync));
    cJSON *troubles = cJSON_AddArrayToObject(all, "troubles");
    for (unsigned i = 0; i < HEALTH_TROUBLES; i++)
        if (s->troubles >> i & 1u)
            cJSON_AddItemToArray(troubles, cJSON_CreateString(health_troubles[i].name));
    return all;
}

static bool print_json(const findings *f)
{
    cJSON *all = cJSON_CreateObject();
    cJSON_AddStringToObject(all, "model", f->model);
    cJSON_AddStringToObject(all, "profile", f->profile->name);
    cJSON_AddBoolToObject(all, "chosen", f->chosen);
    cJSON_AddItemToObject(all, "settings", settings_json(f));
    cJSON_AddItemToObject(all, "memory", memory_json(f));
    cJSON_AddItemToObject(all, "health", health_json(health_look(&f->health)));
    char *text = cJSON_Print(all);
    cJSON_Delete(all);
    if (!text)
        return false;
    printf("%s\n", text);
    cJSON_free(text);
    return true;
}

/* --- for systemd ------------------------------------------------------------------------------ */
/* Beside the budget the kernel counts socket buffers and the spool's pages on their way to the disk. */
#define UNIT_ROOM_MIB 48u

static bool print_unit(const findings *f)
{
    if (f->no_budget.text[0]) {
        fprintf(stderr, "gavel: no limit of memory: %s\n", f->no_budget.text);
        return false;
    }
    size_t budget_mib = (f->budget.total + ((1u << 20) - 1)) >> 20;
    printf("# Made at each boot for profile %s: memory.budget_kib and %u MiB for what the kernel "
           "counts.\n"
           "[Service]\nMemoryMax=%zuM\n",
           f->profile->name, UNIT_ROOM_MIB, budget_mib + UNIT_ROOM_MIB);
    return true;
}

/* --- the command ------------------------------------------------------------------------------ */
/* The configuration; where it cannot be had, what holds without one. A person who sets a board up has
 * none yet, and another user cannot read its secrets. */
static cli_config *load(const char *path, const char *default_path, const plat_fs *fs, int *code)
{
    cli_config *c = cli_load_in_force(path ? path : default_path);
    if (c || path) {
        *code = c ? CLI_OK : CLI_USAGE;
        return c;
    }
    fprintf(stderr, "what follows is without a configuration\n");
    *code = CLI_NOT_ALL_WELL;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    config_defaults(&c->arena, &c->config);
    cli_apply_profile(&c->config, fs);
    return c;
}

int board_command(int argc, char **argv, const char *default_path)
{
    const char *path = cli_take_option(&argc, argv, "--config");
    bool json = cli_take_flag(&argc, argv, "--json");
    bool unit = cli_take_flag(&argc, argv, "--unit");
    plat_fs fs = plat_fs_system();
    plat_clock clock = plat_clock_system(GAVEL_BUILD_TIME_S * 1000);
    findings f = { 0 };
    int code;
    if (argc != 1) {
        fprintf(stderr, "usage: gavel board [--json | --unit] [--config FILE]\n");
        return CLI_USAGE;
    }
    cli_config *c = load(path, default_path, &fs, &code);
    if (!c)
        return CLI_USAGE;
    find_out(&f, &c->config, &fs, &clock);
    if (unit) {
        code = print_unit(&f) ? CLI_OK : CLI_USAGE;
    } else if (json) {
        if (!print_json(&f))
            code = CLI_NOT_ALL_WELL;
    } else {
        print_machine(&f);
        print_settings(&f);
        print_memory(&f);
        print_health(&f);
    }
    free(c);
    return code;
}
