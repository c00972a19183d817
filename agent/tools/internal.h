/* internal.h - what the sub-commands share; nobody outside agent/tools includes it. */
#ifndef GAVEL_TOOLS_INTERNAL_H
#define GAVEL_TOOLS_INTERNAL_H

#include "agent/tools/filter.h"
#include "agent/tools/scan.h"

/* What every sub-command gets: its own words are still in argv, argv[0] is its name. */
typedef struct {
    int argc;
    char **argv;
    const char *dir;         /* of the spool; NULL until tools_find_dir() */
    const char *config_path; /* of the configuration: as given, or the default */
    char path[PLAT_PATH_MAX];
} tools_call;

/* Sub-commands; each returns an exit code of cli.h. */
int tools_ls(tools_call *call);
int tools_verify(tools_call *call);
int tools_cat(tools_call *call);
int tools_export(tools_call *call);
int tools_replay(tools_call *call);
int tools_salvage(tools_call *call);
int tools_quarantine(tools_call *call);

/* Takes --snapshot, --from and --to; false, and said on stderr, when they are wrong. */
bool tools_take_filter(tools_call *call, filter *out);

/* Whether exactly `count` words are left behind the sub-command's name; says what is wrong. */
bool tools_words_left(const tools_call *call, int count);

/* --dir, else the configuration's spool; false when there is neither (said on stderr). */
bool tools_find_dir(tools_call *call);

/* Says the error, and is the exit code for it. */
int tools_fail(const gv_error *err);

/* Whether stdout took everything. */
bool tools_output_ok(void);

/* What is set aside: files and their bytes; nothing when there is no such directory. */
void tools_quarantine_sum(const plat_fs *fs, const char *dir, uint64_t *files, uint64_t *bytes);

#endif
