/* update_command.h - gavel config history|revert: what became of updates on this board, and taking one back.
 *
 * revert works beside a running agent, which is asked by a file (ota/store.h) and carries it out, and
 * without one. As root it acts as the owner of state_dir, so that the agent can read what it leaves.
 */
#ifndef GAVEL_COMMANDS_UPDATE_COMMAND_H
#define GAVEL_COMMANDS_UPDATE_COMMAND_H

#include <stdbool.h>

/* Whether the word after "config" is one of these. */
bool update_command_is(const char *verb);

/* argv[0] is "config". An exit code. */
int update_command(int argc, char **argv, const char *default_path);

#endif
