/* run.h - the sink at work: reads from Kafka, stores, commits, verifies, until it is told to stop.
 *
 * A store, registry or broker that is away is waited for: back-off from WAIT_MIN_MS to WAIT_MAX_MS,
 * while the consumer stays a member of its group and takes nothing in.
 * Ownership: everything in the configuration is borrowed until sink_run() returns.
 * Threads:   the caller's; librdkafka has its own.
 */
#ifndef GAVEL_SINK_RUN_H
#define GAVEL_SINK_RUN_H

#include "agent/sink/sink.h"
#include "platform/loop.h"

typedef struct {
    kafka_config kafka;
    const char *group;
    const sink_topic *topics;
    size_t topic_count;
    const char *dead_letter_topic;
    const kafka_topic *ensure; /* topics to check at start, the dead-letter topic among them */
    size_t ensure_count;
    bool create_topics;
    size_t batch_records;
    size_t batch_bytes;
    const store *store;
    schema_fetch_fn *schema; /* may run the loop */
    void *schema_ctx;
    plat_loop *loop; /* delivers signals */
    const plat_clock *clock;
    const bool *stop; /* set from the loop */
    bool until_idle;  /* end when everything is read, stored, committed and verified */
} sink_run_config;

/* GV_OK: stopped as wished (or idle); *counts says what was done. Else err says why it could not
 * start or go on. */
gv_status sink_run(const sink_run_config *config, sink_counts *counts, gv_error *err);

#endif
