/* store.h - what a board keeps of updates: their bundles, which one is in force, what became of them.
 *
 * state_dir/config/state      one file, replaced whole: everything in store_state, with a checksum
 * state_dir/config/vN.gavel   the bundle of version N, as it came: of the good version, of the good one
 *                             before it, and of the one on trial; whatever else is there is removed
 * state_dir/config/lock       claimed by the agent that runs
 * state_dir/config/wish       what `gavel config revert` asks of it
 *
 * Power:     each change happens whole or not at all; a bundle is durable before anything names it.
 * Damage:    a state file that cannot be read is set aside, named in the log, and never keeps an agent
 *            from starting: its own file is in force then. The highest version survives it, by the
 *            names of the bundles. A state that the disk does not give is as good as none until it does.
 * Wear:      nothing is written unless an update comes, is tried, or ends; the outside world alone,
 *            without the owner's key, can make nothing be written.
 * Ownership: what store_look() answers is valid until the store is closed; it changes with each call.
 * Memory:    allocated in store_open(), store_memory_bytes(); a change takes as much again for a moment.
 * Errors:    after an error nothing has changed, in memory or (as far as can be known) on the disk.
 * Threads:   one owner.
 */
#ifndef GAVEL_OTA_STORE_H
#define GAVEL_OTA_STORE_H

#include "agent/ota/trial.h"
#include "platform/fs.h"
#include "platform/span.h"

#define STORE_REFUSED_MAX 8
#define STORE_HISTORY_MAX 32
#define STORE_REASON_MAX  256

typedef enum {
    UPDATE_NONE,
    UPDATE_TRIAL,     /* has begun, or is about to */
    UPDATE_COMMITTED, /* shows that it works: in force from now on */
    UPDATE_REFUSED,   /* never to be taken again */
    UPDATE_POSTPONED, /* will be tried again */
    UPDATE_REVERTED   /* by a person, on the board */
} update_outcome;

#define UPDATE_OUTCOMES (UPDATE_REVERTED + 1)

const char *update_outcome_name(update_outcome outcome); /* "none", "trial" ... */

typedef struct {
    uint64_t version; /* 0: none, which is the board's own file */
    char sha256[65];  /* of its configuration */
} store_ref;

typedef struct {
    store_ref update;
    update_outcome outcome;
    char reason[STORE_REASON_MAX]; /* for a person; may be "" */
    int64_t at_ms;                 /* wall clock */
} store_event;

typedef struct {
    store_ref update;
    char reason[STORE_REASON_MAX];
} store_refused;

typedef struct {
    uint64_t highest;   /* version ever taken in hand; nothing at or below it is taken again */
    store_ref good;     /* in force when nothing is on trial */
    store_ref previous; /* was good before */
    store_ref trial;
    trial_record record; /* of the trial */
    char
        missing[STORE_REASON_MAX]; /* what the update did not show, while the control run decides */
    store_refused refused[STORE_REFUSED_MAX]; /* the oldest first */
    size_t refused_count;
    store_event history[STORE_HISTORY_MAX]; /* the oldest first */
    size_t history_count;
} store_state;

typedef struct store store;

size_t store_memory_bytes(void);

/* `to_write`: for the agent, and whoever else changes something; GV_AGAIN when another process has it
 * open in this way. Else nothing on disk changes, and any number may look; GV_IO when the state may not be
 * read. */
gv_status store_open(const plat_fs *fs, const char *state_dir, bool to_write, store **out,
                     gv_error *err);
void store_close(store *s); /* NULL is fine */

const store_state *store_look(const store *s);

/* Puts a bundle onto the disk; nothing refers to it before store_begin(). */
gv_status store_keep(store *s, uint64_t version, gv_span bytes, gv_error *err);

/* The bundle of a version, as it was kept; GV_FULL when it is larger than cap. */
gv_status store_read(const store *s, uint64_t version, void *bytes, size_t cap, size_t *len,
                     gv_error *err);

/* A kept bundle is to be tried; the highest version is at least this one from now on. A trial that
 * was postponed ends as refused. */
gv_status store_begin(store *s, const store_ref *update, int64_t at_ms, gv_error *err);

/* How the trial stands. `missing` NULL: as it was. */
gv_status store_record(store *s, const trial_record *record, const char *missing, gv_error *err);

/* The trial ends, or is put off until later. */
gv_status store_commit(store *s, int64_t at_ms, gv_error *err);
gv_status store_postpone(store *s, const trial_record *record, const char *reason, int64_t at_ms,
                         gv_error *err);

/* Not to be taken again: what is on trial, or something that never came so far. */
gv_status store_refuse(store *s, const store_ref *update, const char *reason, int64_t at_ms,
                       gv_error *err);

/* A person takes a version back, which is on trial or good: what is in force after it is the good
 * version before it, or with `to_own_file` nothing but the board's own file. GV_INVAL: that version is
 * neither. */
gv_status store_revert(store *s, uint64_t version, bool to_own_file, int64_t at_ms, gv_error *err);

/* --- what a person wishes while an agent runs -------------------------------------------------- */
typedef struct {
    uint64_t version; /* to be reverted */
    bool to_own_file;
} store_wish;

/* From another process: the agent that has the store open finds it there. Replaces an earlier one. */
gv_status store_wish_put(const plat_fs *fs, const char *state_dir, const store_wish *wish,
                         gv_error *err);
bool store_wish_waits(const plat_fs *fs, const char *state_dir);
/* False: there is none (any more), or none that makes sense, which is removed. */
bool store_wish_look(store *s, store_wish *out);
void store_wish_done(store *s);

/* Whether that version and content was refused or reverted; `reason` may be NULL. */
bool store_is_refused(const store *s, const store_ref *update, const char **reason);

#endif
