/* bench_help.h - what the programs that measure share: a stop watch, bodies, and the agent's own batches of
 * them.
 *
 * A helper that cannot go on says why and ends the program with 1.
 */
#ifndef GAVEL_TESTS_BENCH_HELP_H
#define GAVEL_TESTS_BENCH_HELP_H

#include "agent/codec/batch.h"
#include "platform/err.h"

#include <time.h>

#define BENCH_BATCH_BYTES (128u * 1024) /* memory.batch_kib, as it is without configuration */

double bench_now_s(clockid_t clock);

/* Ends the program unless `fine`. */
void bench_check(bool fine, const char *what);

/* Sorts the values. */
double bench_median(double *values, size_t count);

/* An auction body of at least `bytes`, with the frequencies of tests/data/generate.py, roughly; the same
 * on every machine. free(). */
char *bench_make_body(size_t bytes, size_t *len);

/* Batches as the pipeline fills them, of one snapshot after the other. */
typedef struct {
    const char *name; /* where the bodies come from */
    batch *batches;
    size_t count;
    uint64_t snapshots;
    uint64_t records;
    uint64_t json_bytes;    /* of the bodies */
    uint64_t avro_bytes;    /* of the records' own */
    uint64_t payload_bytes; /* of the batches */
} bench_data;

/* Of the recorded bodies (*.json.gz) in the folder that GAVEL_RECORDED_DATA names; without it, of
 * generated ones of `bytes` together. */
void bench_data_make(bench_data *data, size_t bytes);
void bench_data_free(bench_data *data);

#endif
