#include "agent/net/http_body.h"

#include <assert.h>
#include <inttypes.h>

void http_body_start(http_body *body, uint64_t max_bytes)
{
    *body = (http_body){ .gunzip = body->gunzip, .max_bytes = max_bytes };
    gunzip_start(body->gunzip);
}

/* Gives *data, and takes away from it what was taken. */
static gv_status pass(http_body *body, gv_span *data, http_body_give *give, void *ctx,
                      gv_error *err)
{
    size_t taken = 0;
    if (data->len == 0)
        return GV_OK;
    if (data->len > body->max_bytes - body->bytes)
        return gv_fail(err, GV_FULL, "the body is larger than the %" PRIu64 " bytes allowed",
                       body->max_bytes);
    gv_status status = give(ctx, *data, &taken);
    if (status == GV_OK)
        taken = data->len;
    else if (status != GV_AGAIN)
        return status;
    assert(taken <= data->len);
    body->bytes += taken;
    *data = gv_span_of(data->data + taken, data->len - taken);
    return status;
}

static gv_status pass_inflated(http_body *body, gv_span *in, http_body_give *give, void *ctx,
                               gv_error *err)
{
    for (;;) {
        gv_status status = pass(body, &body->plain, give, ctx, err);
        if (status == GV_OK)
            status = gunzip_run(body->gunzip, in, &body->plain, err);
        if (status != GV_OK || body->plain.len == 0)
            return status;
    }
}

gv_status http_body_take(http_body *body, gv_span piece, http_body_give *give, void *ctx,
                         gv_error *err)
{
    size_t skipped = body->skip < piece.len ? body->skip : piece.len;
    gv_span in = gv_span_of(piece.data + skipped, piece.len - skipped);
    gv_status status =
        body->gzip ? pass_inflated(body, &in, give, ctx, err) : pass(body, &in, give, ctx, err);
    if (status == GV_AGAIN)
        body->skip += piece.len - skipped - in.len;
    else
        body->skip -= skipped;
    return status;
}

bool http_body_whole(const http_body *body)
{
    return !body->gzip || gunzip_complete(body->gunzip);
}
