/* updater.h - looks for updates, tries them, and says which configuration is to be in force.
 *
 * It lives as long as the process; the agent starts it with each configuration and stops it before the
 * next one. It never changes a configuration itself: it asks for a restart, and updater_pick() says
 * with what.
 *
 *     updater_open(); { updater_pick(); updater_start(); updater_tick() ...; updater_stop(); } updater_close();
 *
 * Looking:   a conditional GET for each of devices/ID.gavel, groups/NAME.gavel and all.gavel below the
 *            address, one after the other, every poll_ms give or take a tenth; after a failure at growing
 *            intervals. Of the good ones that it finds, the highest version is tried. Nothing is looked
 *            for while an update is being tried.
 * Trust:     what arrives is nothing but bytes until bundle_open() believes it, and writes nothing to
 *            the disk before. Each bundle that is refused is counted and logged once.
 * Units:     monotonic milliseconds, unless said otherwise.
 * Ownership: an updater_config and what it points to are borrowed until updater_stop().
 * Memory:    updater_memory_bytes(), allocated in updater_open(); a check of a configuration takes up to
 *            2 MiB for a moment, as reading one does.
 * Threads:   the loop's. http callbacks come from http_tick().
 */
#ifndef GAVEL_OTA_UPDATER_H
#define GAVEL_OTA_UPDATER_H

#include "agent/net/http.h"
#include "agent/ota/bundle.h"
#include "agent/ota/store.h"
#include "platform/clock.h"

typedef struct updater updater;

typedef struct {
    const char *url;            /* of the published folder; NULL: none */
    bundle_recipient recipient; /* without seen_version */
    const char *ca_file;        /* NULL: the system's */
    uint64_t poll_ms;
    uint64_t trial_ms;
    uint32_t connect_timeout_ms;
    uint32_t stall_timeout_ms;
    /* Whether this board can be started with that configuration; words when it cannot (GV_INVAL). Other
     * errors mean that it cannot be told now. */
    gv_status (*check)(void *ctx, gv_span config, gv_error *err);
    void *ctx;
} updater_config;

typedef struct {
    uint64_t running_version; /* 0: the board's own file */
    char running_sha256[65];
    uint64_t attempted_version; /* 0: none yet */
    update_outcome outcome;     /* of the attempted one */
    char reason[STORE_REASON_MAX];
    int64_t attempted_at_ms;                 /* wall clock */
    uint64_t refused[BUNDLE_BAD_CONFIG + 1]; /* since the start, by verdict */
    uint64_t trials_failed;
    uint64_t next_poll_ms;  /* UINT64_MAX: none */
    char poll_trouble[160]; /* "": none; why the last look for an update failed */
    uint64_t changes;       /* counts up when anything above the verdicts changes */
} update_state;

size_t updater_memory_bytes(void);

/* GV_AGAIN: another agent has the same state_dir. */
gv_status updater_open(const plat_fs *fs, const plat_clock *clock, const char *state_dir,
                       updater **out, gv_error *err);
void updater_close(updater *u); /* NULL is fine */

/* Which update to put into force, verified again; false: none, the board's own file alone. Counts a
 * start of what is on trial. `config` is valid until the next call of this header. */
bool updater_pick(updater *u, const bundle_recipient *recipient, gv_span *config);

/* What was picked cannot be put into force, or the agent cannot start with it: pick again. */
void updater_unusable(updater *u, const char *reason);

void updater_start(updater *u, const updater_config *config, http_client *http);

/* The agent has stopped as it should: that is no failure of what is on trial. */
void updater_stop(updater *u);

/* Whether updater_tick() wants to know what the present configuration has shown. */
bool updater_wants_signs(const updater *u);

/* Does what is due; `signs` NULL: not wanted. Returns when to be called next. */
uint64_t updater_tick(updater *u, const trial_signs *signs);

/* Another configuration is to be in force: wind down, then pick. */
bool updater_wants_restart(const updater *u);

const update_state *updater_state(const updater *u);

/* Nothing is being tried: this is a time to look for updates. */
bool updater_may_look(const updater *u);

/* A bundle that came another way than over HTTP; `from` names it in the log. After the last one of a
 * look, updater_offered() tries the highest. */
void updater_offer(updater *u, const char *from, gv_span bytes);
void updater_offered(updater *u);

#endif
