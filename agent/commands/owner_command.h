/* owner_command.h - `gavel config ...`: the configuration of this machine, and at its owner's desk those
 * of boards: keys, signed updates, where they are published.
 *
 * Errors: go to stderr in plain words; the result is an exit code of cli.h. No output holds a private
 *         key or a secret. */
#ifndef GAVEL_COMMANDS_OWNER_COMMAND_H
#define GAVEL_COMMANDS_OWNER_COMMAND_H

/* argv[0] is "config". */
int owner_config_command(int argc, char **argv, const char *default_path);

#endif
