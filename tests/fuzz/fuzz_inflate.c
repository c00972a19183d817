/* fuzz_inflate.c - gzip streams from outside, cut in any way.
 *
 * Input: one byte that says how to cut, then the stream.
 * Invariants: no call gives more than GUNZIP_OUT_BYTES, and every call that is not the last moves
 * forward; the bytes and the verdict are the same in one piece and cut; damage stays damage; what
 * zlib itself unpacks from the same stream is what we gave.
 */
#include "agent/net/inflate.h"

#include <stdlib.h>
#include <zlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define LIMIT_BYTES (1 << 20) /* of a stream that inflates to much */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    gv_status status;
    bool complete;
    size_t bytes;
    uint8_t *plain;
} result;

static void unpack(gunzip *g, const uint8_t *data, size_t size, size_t step, result *r)
{
    r->status = GV_OK;
    r->bytes = 0;
    gunzip_start(g);
    for (size_t at = 0; at < size && r->status == GV_OK; at += step) {
        gv_span in = gv_span_of(data + at, size - at < step ? size - at : step);
        gv_span out;
        do {
            size_t before = in.len;
            gv_error err = { 0 };
            r->status = gunzip_run(g, &in, &out, &err);
            CHECK(out.len <= GUNZIP_OUT_BYTES && in.len <= before);
            if (r->status != GV_OK) {
                CHECK(r->status == GV_CORRUPT && err.text[0]);
                CHECK(gunzip_run(g, &in, &out, NULL) == GV_CORRUPT && !gunzip_complete(g));
                break;
            }
            CHECK(out.len > 0 || in.len == 0);
            if (r->bytes + out.len > LIMIT_BYTES)
                return;
            memcpy(r->plain + r->bytes, out.data, out.len);
            r->bytes += out.len;
        } while (out.len > 0);
    }
    r->complete = gunzip_complete(g);
}

/* The first member, by zlib's own means. */
static void compare_with_zlib(const uint8_t *data, size_t size, const result *ours)
{
    static uint8_t plain[LIMIT_BYTES];
    z_stream z = { 0 };
    CHECK(inflateInit2(&z, 15 + 16) == Z_OK);
    z.next_in = (z_const Bytef *)data;
    z.avail_in = (uInt)size;
    z.next_out = plain;
    z.avail_out = sizeof plain;
    int r = inflate(&z, Z_FINISH);
    if (r == Z_STREAM_END) {
        size_t bytes = sizeof plain - z.avail_out;
        CHECK(ours->bytes >= bytes && memcmp(ours->plain, plain, bytes) == 0);
        if (z.avail_in == 0)
            CHECK(ours->status == GV_OK && ours->complete && ours->bytes == bytes);
    } else if (size > 0) {
        CHECK(ours->status != GV_OK || !ours->complete);
    }
    inflateEnd(&z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gunzip *g;
    static result whole, cut;
    if (!g) {
        g = gunzip_init(malloc(gunzip_mem_bytes()));
        whole.plain = malloc(LIMIT_BYTES);
        cut.plain = malloc(LIMIT_BYTES);
        CHECK(g && whole.plain && cut.plain);
    }
    if (size == 0)
        return 0;
    unpack(g, data + 1, size - 1, size, &whole);
    if (whole.bytes + GUNZIP_OUT_BYTES > LIMIT_BYTES)
        return 0;
    unpack(g, data + 1, size - 1, (size_t)data[0] % 61 + 1, &cut);
    CHECK(cut.status == whole.status);
    if (whole.status ==
        GV_OK) /* damage may be seen before or after the bytes around it are given */
        CHECK(cut.bytes == whole.bytes && cut.complete == whole.complete);
    size_t both = cut.bytes < whole.bytes ? cut.bytes : whole.bytes;
    CHECK(memcmp(cut.plain, whole.plain, both) == 0);
    compare_with_zlib(data + 1, size - 1, &whole);
    return 0;
}
