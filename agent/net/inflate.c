#include "agent/net/inflate.h"

#include <limits.h>
#include <stdalign.h>
#include <stddef.h>
#include <zlib.h>

/* zlib 1.3 takes one block for its state (7.1 KiB on 64 bits) and, later, one for the window. */
#define ZLIB_BYTES (32768 + 8192)

typedef enum { BETWEEN_MEMBERS, IN_MEMBER, DAMAGED } gunzip_state;

struct gunzip {
    z_stream z;
    gunzip_state state;
    size_t used_bytes;
    alignas(max_align_t) uint8_t heap[ZLIB_BYTES];
    uint8_t out[GUNZIP_OUT_BYTES];
};

static void *take(void *opaque, uInt items, uInt size)
{
    gunzip *g = opaque;
    size_t unit = alignof(max_align_t);
    if (size != 0 && items > ZLIB_BYTES / size)
        return NULL;
    size_t bytes = ((size_t)items * size + unit - 1) / unit * unit;
    if (bytes > ZLIB_BYTES - g->used_bytes)
        return NULL;
    void *p = g->heap + g->used_bytes;
    g->used_bytes += bytes;
    return p;
}

/* inflateReset() keeps its blocks, so nothing is ever given back. */
static void keep(void *opaque, void *address)
{
    (void)opaque;
    (void)address;
}

size_t gunzip_mem_bytes(void)
{
    return sizeof(gunzip);
}

gunzip *gunzip_init(void *mem)
{
    gunzip *g = mem;
    memset(g, 0, offsetof(gunzip, heap));
    g->z.zalloc = take;
    g->z.zfree = keep;
    g->z.opaque = g;
    if (inflateInit2(&g->z, 15 + 16) != Z_OK || ZLIB_BYTES - g->used_bytes < 32768)
        return NULL;
    return g;
}

void gunzip_start(gunzip *g)
{
    inflateReset2(&g->z, 15 + 16);
    g->state = BETWEEN_MEMBERS;
}

static gv_status damaged(gunzip *g, const char *why, gv_error *err)
{
    g->state = DAMAGED;
    return gv_fail(err, GV_CORRUPT, "the gzip stream is damaged: %s", why);
}

gv_status gunzip_run(gunzip *g, gv_span *in, gv_span *out, gv_error *err)
{
    *out = gv_span_of(g->out, 0);
    if (g->state == DAMAGED)
        return damaged(g, "it ended before", err);
    while (out->len == 0) {
        if (g->state == BETWEEN_MEMBERS) {
            if (in->len == 0)
                return GV_OK;
            inflateReset(&g->z);
            g->state = IN_MEMBER;
        }
        uInt offered = in->len < INT_MAX ? (uInt)in->len : INT_MAX;
        g->z.next_in = (z_const Bytef *)in->data;
        g->z.avail_in = offered;
        g->z.next_out = g->out;
        g->z.avail_out = sizeof g->out;
        int r = inflate(&g->z, Z_NO_FLUSH);
        size_t taken = offered - g->z.avail_in;
        *in = gv_span_of(in->len ? in->data + taken : in->data, in->len - taken);
        out->len = sizeof g->out - g->z.avail_out;
        if (r == Z_STREAM_END)
            g->state = BETWEEN_MEMBERS;
        else if (r == Z_BUF_ERROR && taken == 0 && out->len == 0)
            return GV_OK; /* nothing to do without more input */
        else if (r != Z_OK)
            return damaged(g, g->z.msg ? g->z.msg : zError(r), err);
    }
    return GV_OK;
}

bool gunzip_complete(const gunzip *g)
{
    return g->state == BETWEEN_MEMBERS;
}
