#include "agent/pipeline/pool.h"

#include <assert.h>

size_t pool_mem_needed(uint32_t count, size_t batch_bytes)
{
    return count > 0 && batch_bytes > SIZE_MAX / count ? SIZE_MAX : count * batch_bytes;
}

void pool_init(batch_pool *pool, void *mem, uint32_t count, size_t batch_bytes)
{
    assert(count <= POOL_BATCHES_MAX);
    *pool = (batch_pool){ .count = count };
    for (uint32_t i = count; i-- > 0;) {
        batch *b = &pool->batches[i];
        b->bytes = gv_buf_of((uint8_t *)mem + i * batch_bytes, batch_bytes);
        pool_give(pool, b);
    }
}

uint32_t pool_available(const batch_pool *pool)
{
    return pool->free_count > pool->reserved ? pool->free_count - pool->reserved : 0;
}

batch *pool_take(batch_pool *pool)
{
    return pool_available(pool) > 0 ? pool_take_reserved(pool) : NULL;
}

batch *pool_take_reserved(batch_pool *pool)
{
    batch *b = pool->free;
    if (b) {
        pool->free = b->next;
        pool->free_count--;
        b->next = NULL;
    }
    return b;
}

void pool_give(batch_pool *pool, batch *b)
{
    assert(pool->free_count < pool->count);
    b->owner = NULL;
    b->next = pool->free;
    pool->free = b;
    pool->free_count++;
}
