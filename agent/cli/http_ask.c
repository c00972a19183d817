#include "agent/cli/http_ask.h"

#include "agent/net/http.h"
#include "gavel_version.h"

#define PATIENCE_MS 10000u

typedef struct {
    gv_buf *body;
    bool is_done;
    gv_status status;
    gv_error why;
} answer;

static gv_status take_body(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    answer *a = ctx;
    if (!gv_buf_put(a->body, data.data, data.len))
        return gv_fail(err, GV_FULL, "the answer is larger than %zu bytes", a->body->cap);
    *taken = data.len;
    return GV_OK;
}

static void take_end(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    answer *a = ctx;
    a->is_done = true;
    a->why = *err;
    a->status = status;
    if (status == GV_OK && reply->status != 200)
        a->status = gv_fail(&a->why, GV_IO, "it answered HTTP %d", reply->status);
}

static gv_status wait_for(answer *a, http_client *http, plat_loop *loop, const plat_clock *clock,
                          gv_error *err)
{
    uint64_t until_ms = plat_mono_ms(clock) + PATIENCE_MS;
    for (;;) {
        uint64_t due_ms = http_tick(http), now_ms = plat_mono_ms(clock);
        if (a->is_done)
            return a->status == GV_OK ? GV_OK : gv_fail(err, a->status, "%s", a->why.text);
        if (now_ms >= until_ms)
            return gv_fail(err, GV_IO, "it did not answer within %u s", PATIENCE_MS / 1000);
        due_ms = due_ms < until_ms ? due_ms : until_ms;
        gv_status st = plat_loop_wait(loop, due_ms > now_ms ? (int64_t)(due_ms - now_ms) : 0, err);
        if (st != GV_OK)
            return st;
    }
}

gv_status http_ask(const char *url, gv_buf *body, gv_error *err)
{
    answer a = { .body = body };
    plat_clock clock = plat_clock_system(0);
    plat_loop *loop = plat_loop_open(err);
    if (!loop)
        return GV_IO;
    http_client *http = http_open(loop, &clock, 1, "gavel/" GAVEL_VERSION, err);
    gv_status st = http ? GV_OK : GV_FULL;
    http_transfer *transfer;
    const http_request request = { .method = "GET",
                                   .url = url,
                                   .max_body_bytes = body->cap,
                                   .connect_timeout_ms = PATIENCE_MS,
                                   .stall_timeout_ms = PATIENCE_MS,
                                   .on_data = take_body,
                                   .on_done = take_end,
                                   .ctx = &a };
    if (st == GV_OK)
        st = http_start(http, &request, &transfer, err);
    if (st == GV_OK)
        st = wait_for(&a, http, loop, &clock, err);
    if (http)
        http_close(http);
    plat_loop_close(loop);
    return st;
}
