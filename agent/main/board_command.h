/* board_command.h - `gavel board`: which machine this is, what follows from it, and how it is. */
#ifndef GAVEL_MAIN_BOARD_COMMAND_H
#define GAVEL_MAIN_BOARD_COMMAND_H

/* "board [--json] [--config FILE]"; argv[0] is "board". An exit code. */
int board_command(int argc, char **argv, const char *default_path);

#endif
