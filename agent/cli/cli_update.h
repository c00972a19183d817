/* cli_update.h - the configuration in force, where an update over the air is beside the board's own file.
 *
 * Errors: words in `err`; nothing is logged here.
 */
#ifndef GAVEL_CLI_CLI_UPDATE_H
#define GAVEL_CLI_CLI_UPDATE_H

#include "agent/cli/cli.h"
#include "agent/ota/bundle.h"

#define CLI_DEVICE_MAX 128

/* What this board is called: device_id, or the machine's name. */
void cli_device(const gv_config *config, char name[CLI_DEVICE_MAX]);

/* As whom this board opens bundles; borrows from both. */
bundle_recipient cli_recipient(const gv_config *config, const char *device);

/* Updates may come to this board, or have come. */
bool cli_takes_updates(const gv_config *config);

/* The text of a file as heap memory; NULL: it cannot be read. */
char *cli_read_text(const char *path, size_t *len, gv_error *err);

/* A configuration from its text; `name` is for messages. NULL: it cannot be used. GV_IO: that may be
 * different another time. */
cli_config *cli_from_text(gv_span text, const char *name, gv_status *status, gv_error *err);

/* The configuration when `update` is taken on the board's own file, whose text is `own`; NULL: as
 * above. */
cli_config *cli_with_update(gv_span own, gv_span update, gv_status *status, gv_error *err);

/* For a program that only looks: the configuration that an agent has in force according to state_dir.
 * Takes over `own`, and answers it when no update is in force, or none that can be used (err says
 * why). */
cli_config *cli_in_force(cli_config *own, const char *path, gv_error *err);

#endif
