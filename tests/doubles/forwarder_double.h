/* forwarder_double.h - agent/forward/forwarder.h without a broker: the test acknowledges.
 *
 * Keeps a copy of every record that is handed over, in order, and holds each batch until the test
 * gives it back. What a batch holds is overwritten then: nobody may read it any more. A record that is
 * withdrawn before it was acknowledged was never handed over.
 */
#ifndef GAVEL_TESTS_FORWARDER_DOUBLE_H
#define GAVEL_TESTS_FORWARDER_DOUBLE_H

#include "agent/forward/forwarder.h"

typedef struct {
    batch_kind kind;
    snapshot_id snapshot;
    uint64_t fingerprint;
    uint64_t key;
    gv_span body;
    const batch *in; /* the batch it is still in; NULL once that was given back */
    size_t offset;
} forwarded;

typedef void forwarder_done(void *ctx, batch *b, uint32_t refused);

forwarder *forwarder_double_open(forwarder_done *done, void *ctx);
void forwarder_double_close(forwarder *f); /* what is held is reported no more */
void forwarder_double_clock(forwarder *f, const plat_clock *clock); /* for last_progress_ms */

size_t forwarder_double_held(const forwarder *f);
const batch *forwarder_double_batch(const forwarder *f, size_t index);
/* The broker takes the first `entries` of those that it has not got yet. */
void forwarder_double_acknowledge(forwarder *f, size_t index, uint32_t entries);
/* Gives the batch back, with so many of its records refused. */
void forwarder_double_release(forwarder *f, size_t index, uint32_t refused);

forwarder_status *forwarder_double_status(forwarder *f); /* `up` and words are the test's */
unsigned forwarder_double_recalls(const forwarder *f);

size_t forwarder_double_count(const forwarder *f); /* records handed over so far */
const forwarded *forwarder_double_record(const forwarder *f, size_t index);
void forwarder_double_forget(forwarder *f); /* the records; held batches stay */

#endif
