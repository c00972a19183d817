/* board.h - which machine this is, and what suits it: profiles.def as data.
 *
 * Units:     in the names of the options.
 * Ownership: profiles are constants.
 * Memory:    none.
 * Threads:   any.
 * Errors:    none: a machine without a device tree is "generic".
 * Source:    the device tree's /model, one NUL-terminated string such as "Raspberry Pi Zero 2 W Rev
 *            1.0" (Devicetree Specification, section 2.3.2); Linux shows the tree in /proc/device-tree.
 */
#ifndef GAVEL_BOARD_BOARD_H
#define GAVEL_BOARD_BOARD_H

#include "platform/fs.h"

#define BOARD_MODEL_PATH "/proc/device-tree/model"
#define BOARD_MODEL_MAX  128
#define BOARD_AUTO       "auto"
#define BOARD_KEEP       INT64_C(-1) /* a setting that the profile leaves alone */

enum {
#define BOARD_SETTING(name, path) BOARD_##name,
#include "board/profiles.def"
    BOARD_SETTINGS
};

typedef struct {
    const char *name;
    const char *models;
    unsigned ram_mib;    /* 0: not known */
    const char *storage; /* in words */
    int hot_c;           /* 0: no warning */
    int64_t settings[BOARD_SETTINGS];
    const char *about;
} board_profile;

extern const board_profile board_profiles[];
extern const size_t board_profile_count;
extern const char *const board_setting_paths[BOARD_SETTINGS]; /* of the options that they are for */

/* The model; "" when the machine does not say. */
void board_model(const plat_fs *fs, char model[BOARD_MODEL_MAX]);

/* Never NULL: what nobody knows is generic. */
const board_profile *board_of_model(const char *model);

/* NULL when there is none of that name. */
const board_profile *board_find(const char *name);

#endif
