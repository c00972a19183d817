#include "tests/unit/registry_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

registry_world w;

const registry_schema schemas[2] = {
    { UINT64_C(0xa000000000000001), AVSC, "org.example.A", "auctions", NULL },
    { UINT64_C(0xb000000000000002), AVSC_B, "org.example.B", "rejects", NULL },
};

/* --- the double -------------------------------------------------------------------------------- */
const char *control(const char *json)
{
    static char told[65536];
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_port = htons((uint16_t)double_port(&w.server, "a"));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    dprintf(fd, "%s /_control HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
            json ? "POST" : "GET", json ? strlen(json) : 0, json ? json : "");
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, told + len, sizeof told - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    told[len] = '\0';
    assert_non_null(strstr(told, "200 OK"));
    return told;
}

int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

/* --- the client -------------------------------------------------------------------------------- */
static void on_id(void *ctx)
{
    assert_ptr_equal(ctx, &w.reg);
    w.announced++;
}

void open_registry(void)
{
    gv_error err = { 0 };
    if (registry_open(&w.config, w.client, &w.fs, &w.clock, schemas, w.schema_count, on_id, &w.reg,
                      &w.reg, &err) != GV_OK)
        fail_msg("%s", err.text);
}

gv_status open_one(const registry_schema *schema)
{
    return registry_open(&w.config, w.client, &w.fs, &w.clock, schema, 1, NULL, NULL, &w.reg, NULL);
}

void close_registry(void)
{
    registry_close(w.reg);
    w.reg = NULL;
}

void turn(void)
{
    uint64_t next = registry_tick(w.reg);
    uint64_t http = http_tick(w.client);
    uint64_t now = plat_mono_ms(&w.clock);
    next = http < next ? http : next;
    int64_t wait = next <= now ? 0 : next - now > 20 ? 20 : (int64_t)(next - now);
    assert_int_equal(plat_loop_wait(w.loop, wait, NULL), GV_OK);
}

bool has_id(size_t i, uint32_t *id)
{
    return registry_id(w.reg, schemas[i].topic, schemas[i].fingerprint, id) == GV_OK;
}

uint32_t wait_for_id(size_t i)
{
    uint32_t id = 0;
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (!has_id(i, &id) && plat_mono_ms(&w.clock) < give_up)
        turn();
    if (id == 0)
        fail_msg("no id: %s", registry_state(w.reg));
    return id;
}

void wait_for_state(const char *words)
{
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (!strstr(registry_state(w.reg), words) && plat_mono_ms(&w.clock) < give_up)
        turn();
    if (!strstr(registry_state(w.reg), words))
        fail_msg("\"%s\" does not say \"%s\"", registry_state(w.reg), words);
}

void wait_for_requests(const char *path, int count)
{
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (times(control(NULL), path) < count && plat_mono_ms(&w.clock) < give_up)
        turn();
    assert_true(times(control(NULL), path) >= count);
}

/* --- the world --------------------------------------------------------------------------------- */
int registry_begin(void **state)
{
    (void)state;
    control("{\"forget\":true,\"faults\":[],\"auth\":null,\"incompatible\":null,\"next_id\":41}");
    w.config = (registry_config){ .urls = w.urls,
                                  .url_count = 1,
                                  .may_register = true,
                                  .cache_path = CACHE,
                                  .retry_min_ms = 20,
                                  .retry_max_ms = 60 };
    w.urls[0] = w.url_a;
    w.urls[1] = w.url_b;
    w.schema_count = 1;
    w.announced = 0;
    if (system("rm -rf registry.cache*") != 0)
        return -1;
    return 0;
}

int registry_end(void **state)
{
    (void)state;
    close_registry();
    return 0;
}

int world_setup(void **state)
{
    (void)state;
    unsetenv("http_proxy"), unsetenv("https_proxy"), unsetenv("all_proxy");
    w.server = double_start("registry.py", NULL);
    snprintf(w.url_a, sizeof w.url_a, "http://127.0.0.1:%d", double_port(&w.server, "a"));
    snprintf(w.url_b, sizeof w.url_b, "http://127.0.0.1:%d/", double_port(&w.server, "b"));
    snprintf(w.url_tls, sizeof w.url_tls, "https://localhost:%d", double_port(&w.server, "tls"));
    w.clock = plat_clock_system(0);
    w.fs = plat_fs_system();
    w.loop = plat_loop_open(NULL);
    w.client = http_open(w.loop, &w.clock, 2, "gavel-test/1", NULL);
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
