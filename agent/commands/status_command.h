/* status_command.h - `gavel status`: asks the running agent how it is. */
#ifndef GAVEL_COMMANDS_STATUS_COMMAND_H
#define GAVEL_COMMANDS_STATUS_COMMAND_H

/* argv[0] is "status". 0: all is well; 1: attention or outage; 2: the agent cannot be asked, or wrong
 * usage. */
int status_command(int argc, char **argv, const char *default_path);

#endif
