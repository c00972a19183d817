/* replay.h - from a spool to Kafka: the agent's forwarder and registry client, fed by a scan.
 *
 * Order:    as spooled; a ledger or gap entry is sent when all before it is acknowledged.
 * Memory:   REPLAY_BATCHES of the largest batch, and what librdkafka holds.
 * Blocking: until all is acknowledged, or SIGINT or SIGTERM. A broker or registry that is away is
 *           waited for.
 */
#ifndef GAVEL_TOOLS_REPLAY_H
#define GAVEL_TOOLS_REPLAY_H

#include "agent/config/config.h"
#include "agent/tools/scan.h"

#define REPLAY_BATCHES 8u

typedef struct {
    uint64_t records[BATCH_KINDS]; /* acknowledged, or (dry run) that would be sent */
    uint64_t batches;
    uint64_t refused;      /* by the broker */
    uint64_t other_schema; /* not sent: no schema for them is known here */
} replay_counts;

/* Whether its schema is known here; counts what is left out. */
bool replay_can_send(const scan *s, const batch *b, replay_counts *counts);

/* GV_OK also when it was stopped, or not all could be read: *is_all says so, stderr how. */
gv_status replay_run(const gv_config *config, const char *dir, const filter *f,
                     replay_counts *counts, bool *is_all, gv_error *err);

#endif
