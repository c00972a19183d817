/* verdict.h - is a snapshot complete? The ledger entry against what the store holds; no I/O.
 *
 * Memory: a bit for each position the ledger counts, VERDICT_POSITIONS_MAX at most (a ledger that
 *         counts more is still judged by number and digest, but what is missing is not named).
 */
#ifndef GAVEL_SINK_VERDICT_H
#define GAVEL_SINK_VERDICT_H

#include "platform/err.h"

#include <stdbool.h>
#include <stdint.h>

#define VERDICT_RANGES_MAX    32
#define VERDICT_POSITIONS_MAX (UINT64_C(64) * 1024 * 1024)

typedef struct {
    char state[32]; /* "complete", or why the agent could not send it all */
    uint64_t records;
    uint64_t rejects;
    uint64_t digest; /* sum of codec_digest() over the records, modulo 2^64 */
} verdict_claim;

/* What the agent says it had to drop. */
typedef struct {
    uint64_t records;
    char reason[64]; /* a word: "quota" */
    char device[72];
    bool last; /* no claim has come after it */
} verdict_gap;

typedef enum { VERDICT_INCOMPLETE, VERDICT_COMPLETE, VERDICT_GAP } verdict_state;

typedef struct {
    uint64_t first;
    uint64_t last; /* included */
} verdict_range;

typedef struct {
    verdict_state state;
    char reason[192]; /* "" when complete */
    uint64_t stored;  /* records, copies included */
    uint64_t copies;
    uint64_t rejects;
    uint64_t dropped;                         /* VERDICT_GAP: as the agent says */
    uint64_t missing;                         /* records of the claim that are not there */
    verdict_range ranges[VERDICT_RANGES_MAX]; /* the first of their positions */
    uint32_t range_count;
} verdict;

typedef struct tally tally;

const char *verdict_state_name(verdict_state state);

/* Either may be NULL, not both. NULL when there is no memory. What the store proves wins: a claim
 * that matches is complete whatever a gap says. Otherwise the last word of the agent counts. */
tally *tally_open(const verdict_claim *claim, const verdict_gap *gap);
void tally_close(tally *t);

/* One stored record; a copy comes after the document it belongs to, in order of arrival. */
void tally_record(tally *t, bool copy, int64_t position, int64_t digest);
void tally_reject(tally *t);

void tally_verdict(const tally *t, verdict *out);

#endif
