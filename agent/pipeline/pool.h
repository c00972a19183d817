/* pool.h - the fixed set of batches: all the room there is for records on their way.
 *
 * Memory:  pool_mem_needed() bytes, handed in.
 * Threads: the loop's.
 */
#ifndef GAVEL_PIPELINE_POOL_H
#define GAVEL_PIPELINE_POOL_H

#include "agent/codec/batch.h"

#define POOL_BATCHES_MAX 256

typedef struct {
    batch batches[POOL_BATCHES_MAX];
    batch *free;
    uint32_t count;
    uint32_t free_count;
    uint32_t reserved; /* of the free ones: kept for pool_take_reserved() */
} batch_pool;

/* SIZE_MAX when it cannot be. */
size_t pool_mem_needed(uint32_t count, size_t batch_bytes);
void pool_init(batch_pool *pool, void *mem, uint32_t count, size_t batch_bytes);

uint32_t pool_available(const batch_pool *pool); /* free, and not reserved */
batch *pool_take(batch_pool *pool);              /* NULL when none is available */
batch *pool_take_reserved(batch_pool *pool);     /* NULL when none at all is free */
void pool_give(batch_pool *pool, batch *b);

#endif
