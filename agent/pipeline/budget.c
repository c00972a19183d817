#include "agent/pipeline/budget.h"

/* Resident size of an idle agent, broker and registry connected, TLS set up: x86-64 with glibc, the
 * largest of the builds (tests/bench/agent.py prints its peak). */
#define PROGRAM_BYTES (8192u * 1024u)

/* One HTTPS transfer (tests/bench/bench_http): curl's and zlib's windows, an mbedTLS session. */
#define TRANSFER_BYTES (112u * 1024u)

/* librdkafka: its bookkeeping for a record (message, key, report) and the requests in flight. */
#define KAFKA_RECORDS      2000u
#define KAFKA_RECORD_BYTES 200u
#define KAFKA_QUEUE_BYTES  (512u * 1024u)

gv_status budget_divide(size_t total, unsigned transfers, size_t source_bytes, size_t spool_bytes,
                        size_t status_bytes, size_t update_bytes, memory_budget *out, gv_error *err)
{
    *out = (memory_budget){
        .total = total,
        .program = PROGRAM_BYTES,
        .http = (transfers + 2u) * (size_t)TRANSFER_BYTES, /* and the token's, the registry's */
        .kafka = KAFKA_RECORDS * KAFKA_RECORD_BYTES + KAFKA_QUEUE_BYTES,
        .source = source_bytes,
        .spool = spool_bytes,
        .status = status_bytes,
        .update = update_bytes ? update_bytes + TRANSFER_BYTES : 0,
        .kafka_queue_bytes = KAFKA_QUEUE_BYTES,
        .kafka_queue_records = KAFKA_RECORDS,
    };
    size_t taken = out->program + out->http + out->kafka + out->source + out->spool + out->status +
                   out->update;
    if (taken >= total)
        return gv_fail(err, GV_FULL,
                       "memory.budget_kib is %zu, but %zu are needed before the first batch: raise "
                       "it, or lower api.max_transfers",
                       total / 1024, taken / 1024);
    out->pipeline = total - taken;
    return GV_OK;
}

void budget_lines(const memory_budget *b, budget_line lines[BUDGET_LINES])
{
    lines[0] = (budget_line){ "program and libraries", b->program };
    lines[1] = (budget_line){ "HTTPS transfers", b->http };
    lines[2] = (budget_line){ "Kafka client", b->kafka };
    lines[3] = (budget_line){ "feeds", b->source };
    lines[4] = (budget_line){ "spool", b->spool };
    lines[5] = (budget_line){ "status page", b->status };
    lines[6] = (budget_line){ "updates", b->update };
    lines[7] = (budget_line){ "batches and codec", b->pipeline };
}
