#include "agent/sink/verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One way to choose a version of each record: how many there are, and the sum of their digests. */
typedef struct {
    uint64_t count;
    uint64_t digest;
} choice;

struct tally {
    bool has_claim;
    bool has_gap;
    verdict_claim claim; /* all 0 without one */
    verdict_gap gap;
    choice all;        /* documents and copies */
    choice first;      /* documents alone: of each id the version that came first */
    choice latest;     /* of each id the version that came last */
    uint64_t current;  /* digest of the latest version of the id at hand */
    uint64_t present;  /* positions below claim.records that are there */
    uint64_t unplaced; /* records without a position */
    uint64_t rejects;
    uint8_t *seen; /* a bit for each position; NULL: too many */
};

const char *verdict_state_name(verdict_state state)
{
    static const char *const names[] = {
        [VERDICT_INCOMPLETE] = "incomplete", [VERDICT_COMPLETE] = "complete", [VERDICT_GAP] = "gap"
    };

    return names[state];
}

tally *tally_open(const verdict_claim *claim, const verdict_gap *gap)
{
    tally *t = calloc(1, sizeof *t);

    if (!t) {
        return NULL;
    }
    t->has_claim = claim != NULL;
    t->has_gap = gap != NULL;
    if (claim) {
        t->claim = *claim;
    }
    if (gap) {
        t->gap = *gap;
    }
    if (t->claim.records <= VERDICT_POSITIONS_MAX) {
        t->seen = calloc((size_t)(t->claim.records / 8 + 1), 1);
        if (!t->seen) {
            free(t);
            return NULL;
        }
    }
    return t;
}

void tally_close(tally *t)
{
    if (t) {
        free(t->seen);
        free(t);
    }
}

static bool is_seen(const tally *t, uint64_t position)
{
    return (t->seen[position / 8] >> (position % 8)) & 1;
}

void tally_record(tally *t, bool copy, int64_t position, int64_t digest)
{
    t->all.count++;
    t->all.digest += (uint64_t)digest;
    if (!copy) {
        t->first.count++;
        t->first.digest += (uint64_t)digest;
        t->latest.count++;
        t->current = 0;
    }
    t->latest.digest += (uint64_t)digest - t->current;
    t->current = (uint64_t)digest;
    if (position < 0) {
        t->unplaced++;
    } else if (t->seen && (uint64_t)position < t->claim.records &&
               !is_seen(t, (uint64_t)position)) {
        t->seen[position / 8] |= (uint8_t)(1u << (position % 8));
        t->present++;
    }
}

void tally_reject(tally *t)
{
    t->rejects++;
}

static void name_missing(const tally *t, verdict *out)
{
    uint64_t at = 0;

    if (!t->seen || t->unplaced != 0) {
        out->missing = t->claim.records > t->all.count ? t->claim.records - t->all.count : 0;
        return;
    }
    out->missing = t->claim.records - t->present;
    if (out->missing == 0) {
        return;
    }
    while (at < t->claim.records && out->range_count < VERDICT_RANGES_MAX) {
        if (is_seen(t, at)) {
            at++;
            continue;
        }
        verdict_range *range = &out->ranges[out->range_count++];
        range->first = at;
        while (at < t->claim.records && !is_seen(t, at)) {
            at++;
        }
        range->last = at - 1;
    }
}

static bool matches(const tally *t, const choice *c)
{
    return c->count == t->claim.records && c->digest == t->claim.digest;
}

static void explain_gap(const verdict_gap *gap, verdict *out)
{
    snprintf(out->reason, sizeof out->reason, "%" PRIu64 " records were dropped%s%s: %s",
             gap->records, gap->device[0] ? " by " : "", gap->device,
             gap->reason[0] ? gap->reason : "no reason given");
}

static void explain(const tally *t, verdict *out)
{
    const verdict_claim *claim = &t->claim;

    if (out->state == VERDICT_GAP) {
        explain_gap(&t->gap, out);
    } else if (strcmp(claim->state, "complete") != 0) {
        snprintf(out->reason, sizeof out->reason, "the agent says: %s", claim->state);
    } else if (out->missing != 0) {
        snprintf(out->reason, sizeof out->reason, "%" PRIu64 " of %" PRIu64 " records are missing",
                 out->missing, claim->records);
    } else if (out->stored > claim->records) {
        snprintf(out->reason, sizeof out->reason,
                 "%" PRIu64 " records are stored, the agent counted %" PRIu64, out->stored,
                 claim->records);
    } else if (t->all.digest != claim->digest) {
        snprintf(out->reason, sizeof out->reason,
                 "the stored records are not those the agent counted (digest %016" PRIx64
                 ", counted %016" PRIx64 ")",
                 t->all.digest, claim->digest);
    } else {
        snprintf(out->reason, sizeof out->reason, "%" PRIu64 " of %" PRIu64 " rejects are missing",
                 claim->rejects - t->rejects, claim->rejects);
    }
}

void tally_verdict(const tally *t, verdict *out)
{
    memset(out, 0, sizeof *out);
    out->stored = t->all.count;
    out->copies = t->all.count - t->first.count;
    out->rejects = t->rejects;
    bool records = matches(t, &t->all) || matches(t, &t->first) || matches(t, &t->latest);

    if (!records) {
        name_missing(t, out);
    }
    if (records && t->rejects >= t->claim.rejects && strcmp(t->claim.state, "complete") == 0) {
        out->state = VERDICT_COMPLETE;
        return;
    }
    out->state = t->has_gap && (t->gap.last || !t->has_claim) ? VERDICT_GAP : VERDICT_INCOMPLETE;
    out->dropped = out->state == VERDICT_GAP ? t->gap.records : 0;
    explain(t, out);
}
