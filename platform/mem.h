/* mem.h - one block of memory, handed in at start, given out piece by piece and never given back.
 *
 * Ownership: the arena borrows its block; what it gives out lives as long as the block.
 * Errors:    NULL when the block is used up; nothing has changed then.
 */
#ifndef GAVEL_PLATFORM_MEM_H
#define GAVEL_PLATFORM_MEM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *base;
    size_t size_bytes;
    size_t used_bytes;
} gv_arena;

void gv_arena_init(gv_arena *arena, void *block, size_t size_bytes);

/* Zeroed and aligned for any type. */
void *gv_arena_alloc(gv_arena *arena, size_t size_bytes);

/* A NUL-terminated copy of `len` bytes. */
char *gv_arena_strndup(gv_arena *arena, const char *text, size_t len);

#endif
