/* budget.h - the one number for memory, divided among those who need it.
 *
 * Units: bytes.
 */
#ifndef GAVEL_PIPELINE_BUDGET_H
#define GAVEL_PIPELINE_BUDGET_H

#include "platform/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t total;
    size_t program;  /* code, libraries' own state, stacks */
    size_t http;     /* transfers with their TLS sessions */
    size_t kafka;    /* librdkafka: records under way and their bookkeeping */
    size_t source;   /* feeds */
    size_t spool;    /* one batch, packed, and texts of schemas; the same whatever waits on disk */
    size_t status;   /* the status page, and what it remembers */
    size_t update;   /* updates over the air; 0: none are taken */
    size_t pipeline; /* what is left: batches, transcoders */
    size_t kafka_queue_bytes;
    uint32_t kafka_queue_records;
} memory_budget;

typedef struct {
    const char *name;
    size_t bytes;
} budget_line;

#define BUDGET_LINES 8

/* The parts, for a person; they add up to the total. */
void budget_lines(const memory_budget *budget, budget_line lines[BUDGET_LINES]);

/* Where there are updates, a transfer is counted for them too. GV_FULL when the total is too small for so many transfers. */
gv_status budget_divide(size_t total, unsigned transfers, size_t source_bytes, size_t spool_bytes,
                        size_t status_bytes, size_t update_bytes, memory_budget *out,
                        gv_error *err);

#endif
