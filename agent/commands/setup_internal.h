/* setup_internal.h - what the files of `gavel setup` share; the owner's commands write files as it does. */
#ifndef GAVEL_COMMANDS_SETUP_INTERNAL_H
#define GAVEL_COMMANDS_SETUP_INTERNAL_H

#include "agent/config/config.h"

#define SETUP_TEXT_MAX 1024

/* --- setup_files.c: the configuration and the secrets on disk --- */

/* The user that the agent runs as, and so the owner of what it must read; -1: as whoever calls. */
typedef struct {
    int uid;
    int gid;
} setup_owner;

setup_owner setup_find_owner(void);

/* "DIR/NAME" with the directory of the configuration. */
gv_status setup_beside(const char *config_path, const char *name, char out[PLAT_PATH_MAX],
                       gv_error *err);

/* Writes the file whole or not at all, durably, with that mode and owner. */
gv_status setup_write(const char *path, const char *text, size_t len, unsigned mode, int uid,
                      int gid, gv_error *err);

/* --- setup_probe.c: whether what the configuration names answers --- */

/* Tries key, realms, broker and registry, and prints a line for each; how many did not answer. */
int setup_probe(const gv_config *config);

#endif
