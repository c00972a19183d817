/* board_command.h - `gavel board`: which machine this is, what follows from it, and how it is. */
#ifndef GAVEL_MAIN_BOARD_COMMAND_H
#define GAVEL_MAIN_BOARD_COMMAND_H

/* "board [--json | --unit] [--config FILE]"; argv[0] is "board". --unit: settings of the systemd unit
 * that follow from the board and its configuration. An exit code. */
int board_command(int argc, char **argv, const char *default_path);

#endif
