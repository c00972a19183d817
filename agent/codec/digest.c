#include "agent/codec/digest.h"

#define MULTIPLIER UINT64_C(0xc6a4a7935bd1e995)

/* The last bytes of a body, fewer than eight, as the low end of a word. */
static uint64_t tail_word(const uint8_t *p, size_t len)
{
    uint64_t word = 0;

    while (len-- > 0)
        word = word << 8 | p[len];
    return word;
}

uint64_t codec_digest(gv_span body)
{
    const uint8_t *p = body.data;
    size_t left = body.len;
    uint64_t hash = left * MULTIPLIER;

    for (; left >= 8; p += 8, left -= 8) {
        uint64_t word = gv_get_le64(p) * MULTIPLIER;
        word ^= word >> 47;
        hash = (hash ^ word * MULTIPLIER) * MULTIPLIER;
    }
    if (left != 0)
        hash = (hash ^ tail_word(p, left)) * MULTIPLIER;
    hash = (hash ^ hash >> 47) * MULTIPLIER;
    return hash ^ hash >> 47;
}
