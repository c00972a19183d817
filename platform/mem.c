#include "platform/mem.h"

#include <stdalign.h>
#include <string.h>

void gv_arena_init(gv_arena *arena, void *block, size_t size_bytes)
{
    *arena = (gv_arena){ block, size_bytes, 0 };
}

void *gv_arena_alloc(gv_arena *arena, size_t size_bytes)
{
    const size_t align = alignof(max_align_t);
    size_t misaligned = ((uintptr_t)arena->base + arena->used_bytes) % align;
    size_t pad = misaligned ? align - misaligned : 0;
    size_t left = arena->size_bytes - arena->used_bytes;
    if (pad > left || size_bytes > left - pad)
        return NULL;
    void *p = arena->base + arena->used_bytes + pad;
    arena->used_bytes += pad + size_bytes;
    memset(p, 0, size_bytes);
    return p;
}

char *gv_arena_strndup(gv_arena *arena, const char *text, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *copy = gv_arena_alloc(arena, len + 1);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}
