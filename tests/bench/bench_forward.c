/* bench_forward - what it costs to bring ready batches to Kafka.
 *
 *     bench_forward [--brokers host:port] [--records N] [--queue-kib N] [--queue-records N]
 *                   [--batches N] [--rtt-ms N] [name=value ...]
 *
 * Sends the same records (65-byte bodies, 3 partitions) twice, each time from a process of its own:
 * through the forwarder, and from a bare librdkafka loop with the same settings, which is the bar.
 * Without --brokers they go to a mock broker in a third process, which can answer late. name=value are librdkafka's
 * properties, for both. Prints records/s, CPU seconds per million records and peak resident memory.
 */
#include "agent/forward/forwarder.h"
#include "tests/doubles/kafka_mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOPIC       "bench.forward"
#define BODY_BYTES  65u
#define BATCH_BYTES (128u * 1024)
#define PROPERTIES  32

static struct {
    const char *brokers;
    uint64_t records;
    size_t queue_kib;
    uint32_t queue_records;
    size_t batches;
    int rtt_ms;
    kafka_property properties[PROPERTIES];
    size_t property_count;
} options = { .records = 1000000, .queue_kib = 256, .queue_records = 1000, .batches = 8 };

static void die(const char *what)
{
    fprintf(stderr, "bench_forward: %s\n", what);
    exit(1);
}

/* Much like an encoded auction: fixed words, small and large varints, few repeats. */
static void make_body(uint64_t key, uint8_t body[BODY_BYTES])
{
    static const uint8_t fixed[] = "\x04"
                                   "eu"
                                   "\xb8\x09\x00\x90\xd4\xcb\xa2\xbb\x51";
    uint64_t noise = key * UINT64_C(0x9e3779b97f4a7c15);

    memset(body, 0, BODY_BYTES);
    memcpy(body, fixed, sizeof fixed - 1);
    gv_put_le64(body + 12, key);
    for (size_t i = 0; i < 4; i++) {
        noise ^= noise >> 29;
        noise *= UINT64_C(0xbf58476d1ce4e5b9);
        gv_put_le32(body + 22 + i * 10, (uint32_t)(noise >> 40));
    }
}

/* --- the forwarder ------------------------------------------------------------------------------- */
typedef struct {
    forwarder *f;
    uint64_t made;
    uint64_t done;
} feed;

static gv_status schema_id(void *ctx, const char *topic, uint64_t fingerprint, uint32_t *id)
{
    (void)ctx, (void)topic, (void)fingerprint;
    *id = 1;
    return GV_OK;
}

static void fill(feed *d, batch *b)
{
    const snapshot_id snapshot = { "eu", 604, 0, 1404174601000 };
    uint8_t body[BODY_BYTES];

    batch_start(b, BATCH_AUCTIONS, &snapshot, 1);
    for (;;) {
        make_body(d->made, body);
        if (d->made == options.records || !batch_append(b, d->made, gv_span_of(body, sizeof body)))
            return;
        d->made++;
    }
}

static void refill(void *ctx, batch *b, uint32_t refused)
{
    feed *d = ctx;

    if (refused)
        die("the broker refused records");
    d->done += b->records;
    fill(d, b);
    if (b->records)
        forwarder_submit(d->f, b);
}

static void run_forwarder(void)
{
    gv_error err = { 0, "" };
    feed d = { .f = NULL };
    plat_clock clock = plat_clock_system(0);
    plat_loop *loop = plat_loop_open(&err);
    static const kafka_topic topic = { .name = TOPIC, .partitions = 3 };
    const forwarder_events events = { schema_id, refill, &d };
    const forwarder_config config = {
        .kafka = { .brokers = options.brokers,
                   .client_id = "bench",
                   .queue_bytes = options.queue_kib * 1024,
                   .queue_records = options.queue_records,
                   .properties = options.properties,
                   .property_count = options.property_count },
        .topics = { TOPIC, TOPIC, TOPIC },
        .ensure = &topic,
        .ensure_count = 1,
        .create_topics = true,
        .retry_min_ms = 100,
        .retry_max_ms = 1000,
    };
    batch *batches = calloc(options.batches, sizeof *batches);

    if (!loop || !batches || forwarder_open(&config, loop, &clock, &events, &d.f, &err) != GV_OK)
        die(err.text);
    for (size_t i = 0; i < options.batches; i++) {
        batches[i].bytes = gv_buf_of(malloc(BATCH_BYTES), BATCH_BYTES);
        fill(&d, &batches[i]);
        if (batches[i].records)
            forwarder_submit(d.f, &batches[i]);
    }
    for (;;) {
        uint64_t due = forwarder_tick(d.f), now = plat_mono_ms(&clock);

        if (d.done == options.records)
            break;
        plat_loop_wait(loop, due == UINT64_MAX ? 1000 : due > now ? (int64_t)(due - now) : 0, NULL);
    }
    forwarder_close(d.f);
    plat_loop_close(loop);
    for (size_t i = 0; i < options.batches; i++)
        free(batches[i].bytes.data);
    free(batches);
}

/* --- the bar ------------------------------------------------------------------------------------- */
static void count_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    uint64_t *reported = opaque;

    (void)rk;
    if (message->err)
        die(rd_kafka_err2str(message->err));
    ++*reported;
}

static void run_bare(void)
{
    char why[256], number[2][24];
    uint64_t reported = 0;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *settings[][2] = {
        { "bootstrap.servers", options.brokers },
        { "enable.idempotence", "true" },
        { "compression.codec", "lz4" },
        { "partitioner", "murmur2_random" },
        { "linger.ms", "25" },
        { "batch.size", "16384" },
        { "max.in.flight", "2" },
        { "queue.buffering.max.kbytes", number[0] },
        { "queue.buffering.max.messages", number[1] },
    };
    size_t value_bytes = BATCH_PREFIX_BYTES + BODY_BYTES;
    uint8_t *values = calloc(options.batches, BATCH_BYTES);
    size_t value_count = options.batches * BATCH_BYTES / value_bytes;

    snprintf(number[0], sizeof number[0], "%zu", options.queue_kib);
    snprintf(number[1], sizeof number[1], "%u", options.queue_records);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why))
            die(why);
    for (size_t i = 0; i < options.property_count; i++)
        if (rd_kafka_conf_set(conf, options.properties[i].name, options.properties[i].value, why,
                              sizeof why))
            die(why);
    rd_kafka_conf_set_dr_msg_cb(conf, count_report);
    rd_kafka_conf_set_opaque(conf, &reported);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk || !values)
        die(why);
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, TOPIC, NULL);
    for (uint64_t i = 0; i < options.records;) {
        uint8_t *value = values + i % value_count * value_bytes;
        char key[32];
        size_t len = (size_t)snprintf(key, sizeof key, "eu/604/%llu", (unsigned long long)i);
        rd_kafka_vu_t fields[] = {
            { .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = rkt },
            { .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { key, len } },
            { .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { value, value_bytes } },
            { .vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = 1404174601000 },
        };

        make_body(i, value + BATCH_PREFIX_BYTES);
        rd_kafka_error_t *error = rd_kafka_produceva(rk, fields, 4);
        if (error) {
            rd_kafka_error_destroy(error); /* the queue is full */
            rd_kafka_poll(rk, 100);
            continue;
        }
        if (++i % 100 == 0)
            rd_kafka_poll(rk, 0);
    }
    while (reported < options.records)
        rd_kafka_poll(rk, 100);
    rd_kafka_topic_destroy(rkt);
    rd_kafka_destroy(rk);
    free(values);
}

/* --- measuring ----------------------------------------------------------------------------------- */
static long peak_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static double seconds(struct timespec t)
{
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const char *name, void (*run)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        struct timespec wall[2], cpu[2];
        long before = peak_kib();

        clock_gettime(CLOCK_MONOTONIC, &wall[0]);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[0]);
        run();
        clock_gettime(CLOCK_MONOTONIC, &wall[1]);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[1]);
        double records = (double)options.records;
        printf("%-12s %8.0f records/s  %6.3f CPU s/million  peak %6ld KiB (%ld at start)\n", name,
               records / (seconds(wall[1]) - seconds(wall[0])),
               (seconds(cpu[1]) - seconds(cpu[0])) * 1e6 / records, peak_kib(), before);
        fflush(stdout);
        _exit(0);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("a measured process failed");
}

/* Lives until our end of the pipe closes. */
static const char *start_mock(void)
{
    static char brokers[128];
    int address[2], life[2];
    char byte;

    if (pipe(address) != 0 || pipe(life) != 0)
        die("no pipe");
    if (fork() == 0) {
        close(life[1]);
        kafka_mock mock = kafka_mock_open(1);
        kafka_mock_topic(&mock, TOPIC, 3);
        rd_kafka_mock_broker_set_rtt(mock.cluster, 1, options.rtt_ms);
        if (write(address[1], mock.brokers, strlen(mock.brokers) + 1) < 0 ||
            read(life[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    close(life[0]);
    if (read(address[0], brokers, sizeof brokers - 1) <= 0)
        die("the mock broker did not start");
    return brokers;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (equals && options.property_count < PROPERTIES) {
            *equals = '\0';
            options.properties[options.property_count++] = (kafka_property){ argv[i], equals + 1 };
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--brokers") == 0)
            options.brokers = value;
        else if (strcmp(argv[i - 1], "--records") == 0)
            options.records = strtoull(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--queue-kib") == 0)
            options.queue_kib = strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--queue-records") == 0)
            options.queue_records = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--rtt-ms") == 0)
            options.rtt_ms = (int)strtol(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--batches") == 0)
            options.batches = strtoul(value, NULL, 10);
        else
            die("see the comment at the top of bench_forward.c for its arguments");
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    if (!options.brokers)
        options.brokers = start_mock();
    measure("forwarder", run_forwarder);
    measure("librdkafka", run_bare);
    return 0;
}
