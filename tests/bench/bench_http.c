/* bench_http - what HTTP downloads cost in memory and time.
 *
 *     bench_http [--mib N] [--transfers N] [--plain] [--system-ca]
 *
 * Downloads N MiB (100) with each of N transfers (4) at once, gzip over HTTPS unless --plain, from
 * the double in tests/doubles: at full speed, then again with a pause after every 128 KiB, then
 * paused for five seconds. Prints the resident memory after each step, and its peak.
 * --system-ca also parses the system's bundle of authorities, as a connection to a public server does.
 */
#include "agent/net/http.h"
#include "tests/unit/double.h"

#include <inttypes.h>
#include <sys/resource.h>

#define CA          GAVEL_SOURCE_DIR "/tests/doubles/tls/ca.pem"
#define MOST        16
#define BATCH_BYTES (128u * 1024)

static plat_loop *loop;
static plat_clock the_clock;
static http_client *client;

typedef struct {
    http_transfer *transfer;
    uint64_t bytes;
    uint64_t batch_bytes; /* since the last pause */
    bool pausing;
    bool paused;
    bool done;
} download;

static void die(const char *what)
{
    fprintf(stderr, "bench_http: %s\n", what);
    exit(1);
}

static gv_status on_data(void *ctx, gv_span data, size_t *taken, gv_error *err)
{
    download *d = ctx;
    (void)err;
    size_t n = data.len;
    if (d->pausing && n > BATCH_BYTES - d->batch_bytes)
        n = (size_t)(BATCH_BYTES - d->batch_bytes);
    d->bytes += n;
    d->batch_bytes += n;
    *taken = n;
    if (!d->pausing || d->batch_bytes < BATCH_BYTES)
        return GV_OK;
    d->paused = true;
    return GV_AGAIN;
}

static void on_done(void *ctx, gv_status status, const http_reply *reply, const gv_error *err)
{
    download *d = ctx;
    (void)reply;
    d->done = true;
    if (status != GV_OK)
        die(err->text);
}

static void turn(uint64_t longest_ms)
{
    uint64_t next = http_tick(client);
    uint64_t now = plat_mono_ms(&the_clock);
    uint64_t wait = next <= now ? 0 : next - now;
    plat_loop_wait(loop, (int64_t)(wait < longest_ms ? wait : longest_ms), NULL);
}

static long kib_of(const char *field)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = atol(line + strlen(field) + 1);
    if (f)
        fclose(f);
    return kib;
}

static void report(const char *step)
{
    printf("%-34s resident %5ld KiB   peak %5ld KiB\n", step, kib_of("VmRSS"), kib_of("VmHWM"));
    fflush(stdout);
}

static void start(download *d, const char *url, const char *ca)
{
    gv_error err = { 0 };
    http_request request = { .method = "GET",
                             .url = url,
                             .ca_file = ca,
                             .accept_gzip = true,
                             .max_body_bytes = UINT64_MAX,
                             .connect_timeout_ms = 10000,
                             .stall_timeout_ms = 60000,
                             .on_data = on_data,
                             .on_done = on_done,
                             .ctx = d };
    if (http_start(client, &request, &d->transfer, &err) != GV_OK)
        die(err.text);
}

/* All of them at once; those that pause are resumed in the next turn of the loop. */
static void download_all(const char *url, int transfers, bool pausing, const char *step)
{
    download d[MOST];
    uint64_t began = plat_mono_ms(&the_clock);
    uint64_t bytes = 0;
    memset(d, 0, sizeof d);
    for (int i = 0; i < transfers; i++) {
        d[i].pausing = pausing;
        start(&d[i], url, CA);
    }
    for (int over = 0; over < transfers;) {
        bool paused = false;
        over = 0;
        for (int i = 0; i < transfers; i++) {
            over += d[i].done;
            if (d[i].paused) {
                paused = true;
                d[i].paused = false;
                d[i].batch_bytes = 0;
                http_resume(d[i].transfer);
            }
        }
        turn(paused ? 0 : 1000);
    }
    for (int i = 0; i < transfers; i++)
        bytes += d[i].bytes;
    report(step);
    printf("%34s %.0f MB/s\n", "",
           (double)bytes / 1000 / (double)(plat_mono_ms(&the_clock) - began));
}

static void pause_all(const char *url, int transfers)
{
    download d[MOST];
    struct rusage use;
    memset(d, 0, sizeof d);
    for (int i = 0; i < transfers; i++) {
        d[i].pausing = true;
        start(&d[i], url, CA);
    }
    for (int i = 0; i < transfers; i++)
        while (!d[i].paused)
            turn(1000);
    report("paused");
    getrusage(RUSAGE_SELF, &use);
    double before = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6;
    unsigned turns = 0;
    for (uint64_t until = plat_mono_ms(&the_clock) + 5000; plat_mono_ms(&the_clock) < until;
         turns++)
        turn(500);
    getrusage(RUSAGE_SELF, &use);
    report("after five seconds of pause");
    printf("%34s %u turns of the loop, %.3f s CPU\n", "", turns,
           (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6 - before);
    for (int i = 0; i < transfers; i++)
        http_cancel(d[i].transfer);
}

int main(int argc, char **argv)
{
    long mib = 100;
    int transfers = 4;
    bool plain = false;
    bool system_ca = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mib") == 0 && i + 1 < argc)
            mib = atol(argv[++i]);
        else if (strcmp(argv[i], "--transfers") == 0 && i + 1 < argc)
            transfers = atoi(argv[++i]);
        else if (strcmp(argv[i], "--plain") == 0)
            plain = true;
        else if (strcmp(argv[i], "--system-ca") == 0)
            system_ca = true;
        else
            die("usage: bench_http [--mib N] [--transfers N] [--plain] [--system-ca]");
    }
    if (mib < 1 || transfers < 1 || transfers > MOST)
        die("--mib from 1, --transfers from 1 to 16");
    char url[128];
    gv_error err = { 0 };
    test_double server = double_start("http_faults.py", NULL);
    snprintf(url, sizeof url, "%s://127.0.0.1:%d/gzip/%ld", plain ? "http" : "https",
             double_port(&server, plain ? "http" : "https"), mib * 1024 * 1024);
    the_clock = plat_clock_system(0);
    loop = plat_loop_open(&err);
    report("start");
    client = http_open(loop, &the_clock, (unsigned)transfers, "gavel-bench", &err);
    if (!client)
        die(err.text);
    report("client open");
    if (system_ca) {
        download none = { 0 };
        start(&none, "https://127.0.0.1:1/", NULL);
        http_cancel(none.transfer);
        report("system's authorities parsed");
    }
    download_all(url, transfers, false, "downloaded");
    download_all(url, transfers, false, "downloaded again");
    download_all(url, transfers, true, "downloaded with pauses");
    pause_all(url, transfers);
    http_close(client);
    plat_loop_close(loop);
    double_stop(&server);
    return 0;
}
