/* trial.h - decides about an update that is being tried: a state machine without input or output.
 *
 * The update runs first, and has a time to show five signs of life. If it does, it is committed. If not,
 * that may be its own fault or the network's, so the last good configuration comes back into force
 * and has the same time to show the same signs (the control run). If it shows them, the update is at
 * fault and refused for good; if it does not either, nothing is known: the update is postponed until
 * the good configuration shows them, and tried again then, TRIAL_POSTPONED_MAX times at most.
 * A start that did not end well (a crash, a hang, a power cut) is told by `starts`, which is made
 * durable before each; after TRIAL_STARTS_MAX of them the control run decides in the same way.
 *
 * Units:   monotonic milliseconds.
 * Threads: none; nothing here has a state of its own.
 */
#ifndef GAVEL_OTA_TRIAL_H
#define GAVEL_OTA_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIAL_STARTS_MAX    3u
#define TRIAL_POSTPONED_MAX 3u

typedef enum {
    TRIAL_SIGN_TOKEN,    /* the API gave an access token */
    TRIAL_SIGN_API,      /* it answered a request for a snapshot: here it is, or not modified */
    TRIAL_SIGN_BROKER,   /* a broker answered, and its topics are there */
    TRIAL_SIGN_REGISTRY, /* it answered, or all schema ids are known */
    TRIAL_SIGN_MEMORY    /* what is resident is within the budget */
} trial_sign;

#define TRIAL_SIGNS 5

/* What the present configuration has shown since it came into force. */
typedef struct {
    bool shown[TRIAL_SIGNS];
    char trouble[TRIAL_SIGNS][160]; /* of one that is not shown: what its part says; may be "" */
} trial_signs;

typedef enum {
    TRIAL_OF_UPDATE, /* the update is in force, or will be at the next start */
    TRIAL_OF_GOOD,   /* the control run */
    TRIAL_WAITING    /* postponed; the good configuration is in force */
} trial_stage;

/* What has to survive a restart. All zero: a trial that has not begun. */
typedef struct {
    trial_stage stage;
    unsigned starts;    /* of the update, without an end that is known */
    unsigned postponed; /* how often */
} trial_record;

typedef enum {
    TRIAL_KEEP,     /* nothing changes yet */
    TRIAL_START,    /* put the update into force, counted as one more start */
    TRIAL_COMMIT,   /* it is the good one from now on */
    TRIAL_BACK,     /* the good one into force: the control run */
    TRIAL_REFUSE,   /* the update, for good */
    TRIAL_POSTPONE, /* nothing is known of it */
    TRIAL_RETRY     /* the update into force once more */
} trial_decision;

/* Which configuration to start: TRIAL_START the update; TRIAL_BACK the good one, after too many
 * starts; TRIAL_KEEP the good one, as it was. */
trial_decision trial_begin(const trial_record *record);

/* While a configuration is in force, since `elapsed_ms`. */
trial_decision trial_decide(const trial_record *record, const trial_signs *signs,
                            uint64_t elapsed_ms, uint64_t limit_ms);

/* The record after a decision that does not end the trial. */
trial_record trial_after(const trial_record *record, trial_decision decision);

/* Which signs are missing, and why, as one sentence: "the broker did not answer (...)". */
void trial_missing(const trial_signs *signs, char *text, size_t cap);

#endif
