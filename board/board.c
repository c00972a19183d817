#include "board/board.h"

#include "board/sysfs.h"

#include <string.h>

#define KEEP    BOARD_KEEP
#define GENERIC "generic"

const board_profile board_profiles[] = {
#define BOARD_PROFILE(name, models, ram_mib, storage, hot_c, a, b, c, d, e, f, g, about)           \
    { name, models, ram_mib, storage, hot_c, { a, b, c, d, e, f, g }, about },
#include "board/profiles.def"
};
const size_t board_profile_count = sizeof board_profiles / sizeof board_profiles[0];

const char *const board_setting_paths[BOARD_SETTINGS] = {
#define BOARD_SETTING(name, path) path,
#include "board/profiles.def"
};

void board_model(const plat_fs *fs, char model[BOARD_MODEL_MAX])
{
    if (!sysfs_text(fs, BOARD_MODEL_PATH, model, BOARD_MODEL_MAX))
        model[0] = '\0';
}

/* How much of the model the list's best entry names; 0: none of them is its beginning. */
static size_t agreement(const char *models, const char *model)
{
    size_t best = 0;
    for (const char *p = models; *p;) {
        size_t len = strcspn(p, "|");
        bool begins = strncmp(p, model, len) == 0 && (model[len] == '\0' || model[len] == ' ');
        if (begins && len > best)
            best = len;
        p += len + (p[len] == '|');
    }
    return best;
}

const board_profile *board_of_model(const char *model)
{
    const board_profile *found = board_find(GENERIC);
    size_t best = 0;
    for (size_t i = 0; i < board_profile_count; i++) {
        size_t len = agreement(board_profiles[i].models, model);
        if (len > best) {
            best = len;
            found = &board_profiles[i];
        }
    }
    return found;
}

const board_profile *board_find(const char *name)
{
    for (size_t i = 0; i < board_profile_count; i++)
        if (strcmp(board_profiles[i].name, name) == 0)
            return &board_profiles[i];
    return NULL;
}
