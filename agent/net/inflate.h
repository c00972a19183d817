/* inflate.h - gzip in, plain bytes out, in memory of a fixed size.
 *
 * Curl's own decoder would hand on 16 KiB pieces that cannot be paused exactly; this one makes
 * plain bytes only as fast as they are taken.
 *
 * Memory:    all of it is what gunzip_init() was given; nothing is allocated later.
 * Errors:    GV_CORRUPT once means GV_CORRUPT until gunzip_start().
 * Source:    RFC 1952; several members in a row are one stream (section 2.2).
 */
#ifndef GAVEL_NET_INFLATE_H
#define GAVEL_NET_INFLATE_H

#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>

#define GUNZIP_OUT_BYTES 8192 /* most plain bytes that one call gives */

typedef struct gunzip gunzip;

size_t gunzip_mem_bytes(void);

/* `mem` holds gunzip_mem_bytes(), aligned as malloc() aligns. NULL: zlib wants more than that. */
gunzip *gunzip_init(void *mem);

/* Begins a new stream. */
void gunzip_start(gunzip *g);

/* Takes from the front of *in, gives up to GUNZIP_OUT_BYTES in *out (valid until the next call).
 * With an empty *out all of *in is taken; call again with more. Otherwise call again even when *in
 * is empty: there may be more to give. */
gv_status gunzip_run(gunzip *g, gv_span *in, gv_span *out, gv_error *err);

/* The stream may end here: nothing came yet, or a member has just ended, checksum and all. */
bool gunzip_complete(const gunzip *g);

#endif
