/* preset.c - values that suit the machine, for options that the file leaves open. */
#include "agent/config/internal.h"

#include <assert.h>
#include <string.h>

static bool in_group(const config_preset *preset, const char *path, size_t len)
{
    return config_group_len(preset->path) == len && memcmp(preset->path, path, len) == 0;
}

/* The file names an option of this group for which there is a preset. */
static bool is_decided(const gv_config *config, const char *path, const config_preset *presets,
                       size_t count)
{
    size_t len = config_group_len(path);

    for (size_t i = 0; i < count; i++) {
        const config_info *info = config_find(presets[i].path);
        assert(info);
        if (in_group(&presets[i], path, len) && config->given[info - config_infos])
            return true;
    }
    return false;
}

void config_apply_presets(gv_config *config, const char *profile, const config_preset *presets,
                          size_t count)
{
    config->profile = profile;
    for (size_t i = 0; i < count; i++) {
        const config_info *info = config_find(presets[i].path);
        assert(info && info->kind == CONFIG_KIND_INT);
        assert(presets[i].value >= info->min && presets[i].value <= info->max);
        if (is_decided(config, presets[i].path, presets, count))
            continue;
        *CONFIG_FIELD(int64_t, config, info) = presets[i].value;
        config->preset[info - config_infos] = true;
    }
}

config_origin config_origin_of(const gv_config *config, size_t option)
{
    if (config->given[option] && config->over_air && !config_board_owned(&config_infos[option]))
        return CONFIG_FROM_UPDATE;
    return config->given[option]    ? CONFIG_FROM_FILE
           : config->preset[option] ? CONFIG_FROM_PROFILE
                                    : CONFIG_FROM_DEFAULT;
}

const char *config_origin_name(config_origin origin)
{
    static const char *const names[] = { "default", "profile", "file", "update" };
    return names[origin];
}

bool config_number(const gv_config *config, const char *path, int64_t *value, config_origin *origin)
{
    const config_info *info = config_find(path);

    if (!info || info->kind != CONFIG_KIND_INT)
        return false;
    *value = *CONFIG_CONST_FIELD(int64_t, config, info);
    *origin = config_origin_of(config, (size_t)(info - config_infos));
    return true;
}
