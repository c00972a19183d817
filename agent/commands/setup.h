/* setup.h - `gavel setup`: asks for what a first start needs, tries each of it, and writes it down.
 *
 * Everything can be given as an option; what is not is asked for on standard input, or with --yes left
 * as it is. An existing file is changed in place: what was not asked for stays, comments too. Nothing is
 * written before the last question is answered.
 *
 * Exit codes: 0 written, and everything answered; 1 written, but something did not answer; 2 nothing
 * was written.
 * Secrets: go into files of mode 0600 that belong to gavel, and are never shown.
 */
#ifndef GAVEL_COMMANDS_SETUP_H
#define GAVEL_COMMANDS_SETUP_H

/* argv[0] is "setup". */
int setup_command(int argc, char **argv, const char *default_path);

#endif
