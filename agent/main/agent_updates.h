/* agent_updates.h - which configuration a running agent starts with: its own file's, or an update's beside
 * it; from the first start to the last.
 *
 * Ownership: path, files and clock are borrowed until agent_updates_free().
 * Memory:    the text of the board's own file; where ota.keys are set, an updater.
 * Threads:   the caller's.
 */
#ifndef GAVEL_MAIN_AGENT_UPDATES_H
#define GAVEL_MAIN_AGENT_UPDATES_H

#include "agent/cli/cli.h"
#include "agent/ota/updater.h"

typedef struct agent_updates agent_updates;

/* `only_looks`: a single pass, which takes what is in force, and tries nothing. NULL: no memory. */
agent_updates *agent_updates_new(const char *path, const plat_fs *fs, const plat_clock *clock,
                                 bool only_looks);
void agent_updates_free(agent_updates *u); /* NULL is fine */

/* Reads the file (again), and puts beside it what update is to be in force now; free() the result. A
 * file that cannot be used gives way to what it was before; NULL: what runs, if anything does, goes on. */
cli_config *agent_updates_load(agent_updates *u);

/* The agent did not start with what was loaded last. True: load again, there is something else to start
 * with. */
bool agent_updates_failed(agent_updates *u, const char *reason);

/* NULL: no updates are taken. */
updater *agent_updates_updater(const agent_updates *u);

/* For updater_config.check: whether this board can be started with it. `ctx` is agent_updates. */
gv_status agent_updates_check(void *ctx, gv_span config, gv_error *err);

#endif
