/* tools.h - `gavel spool ...`: looks into a spool, takes its contents elsewhere, saves what can be
 * saved. Nothing here changes a spool, live or copied; `quarantine rm` alone removes a file, the one
 * that was named.
 *
 * Memory: bounded, but for salvage's index (24 bytes a batch).
 * Errors: go to stderr in plain words; the result is an exit code of cli.h.
 */
#ifndef GAVEL_TOOLS_TOOLS_H
#define GAVEL_TOOLS_TOOLS_H

/* argv[0] is "spool". */
int tools_spool_command(int argc, char **argv, const char *default_config);

#endif
