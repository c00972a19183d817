#include "tests/unit/transfer_world.h"

transfer_world w;

/* --- one request and what came of it ----------------------------------------------------------- */

static uint8_t pattern(uint64_t k)
{
    uint64_t i = k % 65521;
    return (uint8_t)((i * i * 31 + i * 7 + 3) >> 3);
}

static gv_status on_headers(void *ctx, const http_reply *reply, gv_error *err)
{
    probe *p = ctx;
    p->heads++;
    p->reply = *reply;
    assert_int_equal(p->got, 0);
    assert_int_equal(p->dones, 0);
    if (p->cancel_in_head)
        http_cancel(p->transfer);
    return p->head_answer == GV_OK ? GV_OK : gv_fail(err, p->head_answer, "not wanted");
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    probe *p = ctx;
    assert_int_equal(p->heads, 1);
    assert_int_equal(p->dones, 0);
    assert_false(p->paused);
    assert_true(data.len > 0);
    if (p->cancel_in_data) {
        http_cancel(p->transfer);
        p->cancel_in_data = false;
        return GV_OK;
    }
    if (p->cancel_other) {
        http_cancel(p->cancel_other->transfer);
        p->cancel_other = NULL;
    }
    if (p->data_answer != GV_OK)
        return gv_fail(err, p->data_answer, "data not wanted");
    size_t n = data.len;
    if (p->take_at_most && n > p->take_at_most)
        n = p->take_at_most;
    for (size_t i = 0; i < n; i++) {
        if (data.data[i] != pattern(p->got + i))
            p->same = false;
        if (p->got + i < sizeof p->text - 1)
            p->text[p->got + i] = (char)data.data[i];
    }
    p->got += n;
    *taken = n;
    if (!p->take_at_most)
        return GV_OK;
    p->paused = true;
    p->pauses++;
    return GV_AGAIN;
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    probe *p = ctx;
    assert_int_equal(p->dones, 0);
    p->dones++;
    p->status = status;
    p->reply = *reply;
    p->err = *err;
    p->transfer = NULL;
    assert_int_equal(status == GV_OK, err->text[0] == '\0');
    if (p->then)
        start(p->then);
}

void aim(probe *p, const char *port, const char *path)
{
    *p = (probe){ .same = true };
    snprintf(p->url, sizeof p->url, "%s://127.0.0.1:%d%s", strcmp(port, "http") ? "https" : "http",
             double_port(&w.server, port), path);
    p->request = (http_request){ .method = "GET",
                                 .url = p->url,
                                 .accept_gzip = true,
                                 .max_body_bytes = UINT64_C(1) << 40,
                                 .connect_timeout_ms = 5000,
                                 .stall_timeout_ms = 5000,
                                 .ca_file = CA,
                                 .on_headers = on_headers,
                                 .on_data = on_data,
                                 .on_done = on_done,
                                 .ctx = p };
}

void start(probe *p)
{
    gv_error err = { 0 };
    assert_int_equal(http_start(w.client, &p->request, &p->transfer, &err), GV_OK);
    assert_int_equal(p->dones, 0);
}

void turn(void)
{
    uint64_t next = http_tick(w.client);
    uint64_t now = plat_mono_ms(&w.clock);
    int64_t wait = next <= now ? 0 : next - now > 50 ? 50 : (int64_t)(next - now);
    assert_int_equal(plat_loop_wait(w.loop, wait, NULL), GV_OK);
}

void http_reopen(void)
{
    gv_error err = { 0 };
    http_close(w.client);
    w.client = http_open(w.loop, &w.clock, SLOTS, "gavel-test/1", &err);
    assert_non_null(w.client);
}

void run(probe *p)
{
    uint64_t give_up = plat_mono_ms(&w.clock) + 30000;
    while (!p->dones && plat_mono_ms(&w.clock) < give_up) {
        if (p->paused) {
            p->paused = false;
            http_resume(p->transfer);
            http_tick(w.client);
        } else {
            turn();
        }
    }
    assert_int_equal(p->dones, 1);
}

void get(probe *p, const char *port, const char *path)
{
    aim(p, port, path);
    start(p);
    run(p);
}

void assert_said(const probe *p, const char *words)
{
    if (!strstr(p->err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", p->err.text, words);
}

/* --- the world --------------------------------------------------------------------------------- */

int world_setup(void **state)
{
    gv_error err = { 0 };
    (void)state;
    unsetenv("http_proxy"), unsetenv("https_proxy"), unsetenv("all_proxy");
    w.server = double_start("http_faults.py", NULL);
    w.clock = plat_clock_system(0);
    w.loop = plat_loop_open(&err);
    w.client = http_open(w.loop, &w.clock, SLOTS, "gavel-test/1", &err);
    return w.client ? 0 : -1;
}

int world_teardown(void **state)
{
    (void)state;
    http_close(w.client);
    plat_loop_close(w.loop);
    double_stop(&w.server);
    return 0;
}
