/* owner_internal.h - what the owner's sub-commands share; nobody else includes it. */
#ifndef GAVEL_COMMANDS_OWNER_INTERNAL_H
#define GAVEL_COMMANDS_OWNER_INTERNAL_H

#include "agent/cli/cli.h"
#include "agent/ota/bundle.h"

#include <stdio.h>

#define OWNER_FILES_MAX 64 /* bundles in one call of publish */

/* What every sub-command gets: its own words are still in argv, argv[0] is its name. */
typedef struct {
    int argc;
    char **argv;
    const char *default_path; /* of this machine's configuration */
} owner_call;

/* Sub-commands; each returns an exit code of cli.h. */
int owner_keygen(owner_call *call);
int owner_sign(owner_call *call);
int owner_verify(owner_call *call);
int owner_publish(owner_call *call);
int owner_diff(owner_call *call);

/* Says the error, and is the exit code for it. */
int owner_fail(const gv_error *err);

/* Whether `count` words are left behind the sub-command's name; says what is wrong. */
bool owner_words_left(const owner_call *call, int count);

/* Takes every "--name VALUE"; false, and said, when there are more than cap. */
bool owner_take_all(owner_call *call, const char *name, const char **values, size_t cap,
                    size_t *count);

/* A bundle's or an update's file; free() its data. It may be one byte larger than a bundle, so that
 * what is too large is seen to be. */
gv_status owner_load(const char *path, gv_buf *bytes, gv_error *err);

static inline gv_span owner_span(const gv_buf *bytes)
{
    return gv_span_of(bytes->data, bytes->len);
}

/* "device attic, group pi-3", cut where it does not fit. */
void owner_print_targets(FILE *out, const bundle *b);

/* --- what a board would make of an update ------------------------------------------------------- */
/* A board's configuration as it would read it, but for its secrets, which are not here. Every problem
 * goes to stderr, after `name`. free() the result; NULL after a problem. */
cli_config *owner_read(const char *name, gv_span text);

/* The same for what is in force when the update is taken by a board whose own file is `own` (NULL: any
 * board; it then has the secrets and names that a board must have). */
cli_config *owner_try(const char *name, const gv_span *own, gv_span update);

/* --- the published folder ----------------------------------------------------------------------- */
typedef struct {
    const char *path; /* below the folder: "devices/attic.gavel" */
    const bundle *b;
} owner_published;

/* Calls each() for every bundle there, in no order; a folder that is not there has none. GV_CORRUPT:
 * one is damaged, which err names. */
gv_status owner_folder_read(const char *folder,
                            void (*each)(void *ctx, const owner_published *published), void *ctx,
                            gv_error *err);

/* The highest version in the folder; 0: nothing is published. */
gv_status owner_folder_highest(const char *folder, uint64_t *version, gv_error *err);

/* Publishes all or, when one may not be, none of them: a version must be above what its targets have. Then
 * index.json is written anew. */
gv_status owner_folder_publish(const char *folder, const gv_span *files, size_t count,
                               gv_error *err);

/* Sends them to <prefix>.config and waits until the broker has acknowledged them. */
gv_status owner_kafka_publish(const gv_config *config, const gv_span *files, size_t count,
                              gv_error *err);

#endif
