/* gavel-sink - loads what arrives in Kafka into MongoDB or SQLite; wiring only. */
#include "agent/cli/cli.h"
#include "agent/sink/audit.h"
#include "agent/sink/run.h"
#include "gavel_version.h"
#include "platform/log.h"
#include "platform/process.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_CONFIG   "/etc/gavel/gavel-sink.json"
#define TOPIC_NAME_MAX   256
#define STORE_AWAY_MS    3000u
#define REGISTRY_WAIT_MS 20000u /* for one schema, all of the registry's addresses tried */

enum { TOPIC_RAW, TOPIC_REJECTS, TOPIC_LEDGER, TOPIC_DEAD, TOPICS };

typedef struct {
    const char *path;
    cli_config *config;
    plat_loop *loop;
    plat_clock clock;
    plat_fs fs;
    http_client *http;
    registry *registry;
    store store;
    bool stop;
    char names[TOPICS][TOPIC_NAME_MAX];
    sink_topic topics[TOPIC_DEAD];
    kafka_topic ensure[TOPICS];
    kafka_property *properties;
    bool asking; /* a schema is being fetched */
    void (*take)(void *arg, const char *text);
    void *take_arg;
    gv_status fetched;
    gv_error fetch_error;
} program;

static int usage(FILE *out)
{
    fprintf(
        out,
        "usage: gavel-sink COMMAND [--config FILE]      (default: " DEFAULT_CONFIG ")\n"
        "  run [--until-idle]  load what arrives, for ever or until there is nothing left\n"
        "  audit [--json]      print what is known of each snapshot\n"
        "  config              check | show | options | reference\n"
        "  --version           versions of gavel-sink and its libraries\n"
        "  --help              this text\n"
        "Signals: TERM and INT stop after what is taken in is stored, HUP reads the log level\n"
        "again.\n"
        "Exit codes: 0 done (audit: all complete); 1 not all is well; 2 usage, configuration or\n"
        "a failure.\n");
    return out == stdout ? CLI_OK : CLI_USAGE;
}

static void configure_log(const gv_config *config)
{
    gv_log_configure((gv_log_level)config->log_level, (gv_log_format)config->log_format, 2);
}

static void on_signal(void *arg, int signal_number)
{
    program *p = arg;

    if (signal_number == SIGHUP) {
        cli_config *fresh = cli_reload(p->path, CONFIG_SINK);
        if (fresh) {
            configure_log(&fresh->config);
            GV_LOG(GV_LOG_INFO, gv_kmsg("log level read again; the rest needs a restart"));
            free(fresh);
        }
        return;
    }
    if (p->stop) {
        _exit(CLI_NOT_ALL_WELL); /* asked twice: at once; what is lost is read again */
    }
    p->stop = true;
}

/* --- the store -------------------------------------------------------------------------------- */

static const char *collection_for(const gv_config *c, const char *topic, const char *otherwise)
{
    for (size_t i = 0; i < c->sink_collections.count; i++) {
        if (strcmp(c->sink_collections.items[i].name, topic) == 0) {
            return c->sink_collections.items[i].value;
        }
    }
    return otherwise;
}

static gv_status open_store(program *p, bool must_exist, gv_error *err)
{
    const gv_config *c = &p->config->config;
    const char *snapshots = collection_for(c, p->names[TOPIC_LEDGER], "snapshots");

    if (c->sink_store == CONFIG_STORE_SQLITE) {
        return store_sqlite_open(
            &(store_sqlite_config){ c->sqlite_path, snapshots, STORE_AWAY_MS, must_exist },
            &p->store, err);
    }
    return store_mongo_open(
        &(store_mongo_config){ c->mongo_uri, c->mongo_database, snapshots, STORE_AWAY_MS },
        &p->store, err);
}

/* --- schemas ---------------------------------------------------------------------------------- */

static void on_schema(void *ctx, gv_status status, const char *text, const gv_error *err)
{
    program *p = ctx;

    p->asking = false;
    p->fetched = status;
    p->fetch_error = *err;
    if (status == GV_OK && p->take) {
        p->take(p->take_arg, text);
    }
}

static gv_status fetch_schema(void *ctx, uint32_t id, void (*take)(void *arg, const char *text),
                              void *arg, gv_error *err)
{
    program *p = ctx;
    uint64_t until = plat_mono_ms(&p->clock) + REGISTRY_WAIT_MS;
    gv_status status = GV_OK;

    if (!p->asking) {
        p->take = take;
        p->take_arg = arg;
        p->fetched = GV_AGAIN;
        p->asking = true;
        status = registry_fetch(p->registry, id, on_schema, p, err);
        p->asking = p->asking && status == GV_OK;
    } else {
        status = GV_AGAIN; /* one that was given up still runs */
    }
    while (status == GV_OK && p->asking && !p->stop && plat_mono_ms(&p->clock) < until) {
        uint64_t now = plat_mono_ms(&p->clock);
        uint64_t next = http_tick(p->http);
        uint64_t tick = registry_tick(p->registry);
        next = tick < next ? tick : next;
        plat_loop_wait(p->loop,
                       next <= now        ? 0
                       : next - now < 200 ? (int64_t)(next - now)
                                          : 200,
                       NULL);
    }
    p->take = NULL; /* a late answer finds nobody */
    if (status != GV_OK || p->asking) {
        return gv_fail(err, GV_IO, "the registry does not answer");
    }
    if (p->fetched != GV_OK) {
        return gv_fail(err, p->fetched, "%s", p->fetch_error.text);
    }
    return GV_OK;
}

/* --- topics ----------------------------------------------------------------------------------- */

static gv_status name_topics(program *p, gv_error *err)
{
    static const char *const suffixes[TOPICS] = { "raw", "rejects", "snapshots", "dead-letters" };
    static const sink_topic_kind kinds[TOPIC_DEAD] = { SINK_RECORDS, SINK_REJECTS, SINK_LEDGER };
    const gv_config *c = &p->config->config;

    for (int i = 0; i < TOPICS; i++) {
        int len = i == TOPIC_DEAD && c->sink_dead_letter_topic[0]
                      ? snprintf(p->names[i], TOPIC_NAME_MAX, "%s", c->sink_dead_letter_topic)
                      : snprintf(p->names[i], TOPIC_NAME_MAX, "%s.%s", c->kafka_topic_prefix,
                                 suffixes[i]);
        if (len >= TOPIC_NAME_MAX) {
            return gv_fail(err, GV_INVAL, "kafka.topic_prefix is too long");
        }
        /* The same shapes as the agent asks for: whichever starts first makes them. */
        p->ensure[i] = (kafka_topic){ .name = p->names[i],
                                      .partitions = (int)c->kafka_partitions,
                                      .replication = (int)c->kafka_replication,
                                      .retention_ms = c->kafka_retention_ms,
                                      .retention_mib = c->kafka_retention_mib,
                                      .compacted = i == TOPIC_LEDGER };
    }
    p->ensure[TOPIC_LEDGER].partitions = 1;
    p->ensure[TOPIC_LEDGER].retention_ms = p->ensure[TOPIC_LEDGER].retention_mib = -1;
    p->ensure[TOPIC_DEAD].partitions = 1;
    for (int i = 0; i < TOPIC_DEAD; i++) {
        p->topics[i] =
            (sink_topic){ p->names[i], kinds[i], collection_for(c, p->names[i], p->names[i]) };
    }
    return GV_OK;
}

/* --- commands --------------------------------------------------------------------------------- */

static gv_status open_registry(program *p, gv_error *err)
{
    registry_config config = cli_registry_config(&p->config->config);

    config.may_register = false;
    p->http = http_open(p->loop, &p->clock, 1, "gavel-sink/" GAVEL_VERSION, err);
    if (!p->http) {
        return GV_IO;
    }
    return registry_open(&config, p->http, &p->fs, &p->clock, NULL, 0, NULL, NULL, &p->registry,
                         err);
}

static gv_status load(program *p, bool until_idle, sink_counts *counts, gv_error *err)
{
    const gv_config *c = &p->config->config;
    const sink_run_config config = {
        .kafka = cli_kafka_config(c, "gavel-sink", p->properties),
        .group = c->sink_group,
        .topics = p->topics,
        .topic_count = TOPIC_DEAD,
        .dead_letter_topic = p->names[TOPIC_DEAD],
        .ensure = p->ensure,
        .ensure_count = TOPICS,
        .create_topics = c->kafka_create_topics,
        .batch_records = (size_t)c->sink_batch_records,
        .batch_bytes = (size_t)c->sink_batch_kib * 1024,
        .store = &p->store,
        .schema = fetch_schema,
        .schema_ctx = p,
        .loop = p->loop,
        .clock = &p->clock,
        .stop = &p->stop,
        .until_idle = until_idle,
    };
    return sink_run(&config, counts, err);
}

static void print_summary(const program *p, const sink_counts *c)
{
    const char *where = p->config->config.sink_store == CONFIG_STORE_SQLITE
                            ? p->config->config.sqlite_path
                            : p->config->config.mongo_database;

    printf("%" PRIu64 " messages read, %" PRIu64 " documents added to %s, %" PRIu64
           " copies, %" PRIu64 " dead letters\n"
           "%" PRIu64 " ledger entries, %" PRIu64 " snapshots found complete, %" PRIu64
           " incomplete, %" PRIu64 " with a gap\n"
           "peak memory %" PRIu64 " KiB\n",
           c->messages, c->added, where, c->copies, c->dead_letters, c->ledgers, c->complete,
           c->incomplete, c->gaps, plat_peak_memory_kib());
}

static void close_all(program *p)
{
    if (p->registry) {
        registry_close(p->registry);
    }
    if (p->http) {
        http_close(p->http);
    }
    if (p->store.close) {
        p->store.close(p->store.ctx);
    }
    if (p->loop) {
        plat_loop_close(p->loop);
    }
    free(p->properties);
    free(p->config);
}

static int run(program *p, bool until_idle)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    gv_error err = { 0, "" };
    sink_counts counts = { 0 };

    configure_log(&p->config->config);
    p->properties = calloc(p->config->config.kafka_properties.count + 1, sizeof *p->properties);
    p->loop = plat_loop_open(&err);
    gv_status status = p->loop && p->properties ? GV_OK : GV_IO;
    if (status == GV_OK) {
        status = plat_loop_signals(p->loop, signals, 3, on_signal, p, &err);
    }
    if (status == GV_OK) {
        status = open_registry(p, &err);
    }
    if (status == GV_OK) {
        status = open_store(p, false, &err);
    }
    if (status == GV_OK) {
        status = load(p, until_idle, &counts, &err);
    }
    if (status != GV_OK) {
        GV_LOG(GV_LOG_ERROR, gv_kmsg("cannot go on"), gv_kstr("error", err.text));
    } else if (until_idle) {
        print_summary(p, &counts);
    }
    return status == GV_OK ? CLI_OK : CLI_USAGE;
}

static int audit(program *p, bool json)
{
    gv_error err = { 0, "" };
    bool all_complete = false;

    gv_status status = open_store(p, true, &err);
    if (status == GV_OK) {
        status = audit_print(&p->store, stdout, json, &all_complete, &err);
    }
    if (status != GV_OK) {
        fprintf(stderr, "gavel-sink: %s\n", err.text);
        return CLI_USAGE;
    }
    return all_complete ? CLI_OK : CLI_NOT_ALL_WELL;
}

static int with_config(const char *path, const char *command, bool until_idle, bool json)
{
    gv_error err = { 0, "" };
    program *p = calloc(1, sizeof *p);
    int code = CLI_USAGE;

    if (!p || !(p->config = cli_load(path, CONFIG_SINK))) {
        free(p);
        return CLI_USAGE;
    }
    p->path = path;
    p->clock = plat_clock_system(GAVEL_BUILD_TIME_S * 1000);
    p->fs = plat_fs_system();
    if (name_topics(p, &err) != GV_OK) {
        fprintf(stderr, "gavel-sink: %s\n", err.text);
    } else {
        code = strcmp(command, "run") == 0 ? run(p, until_idle) : audit(p, json);
    }
    close_all(p);
    free(p);
    return code;
}

static int print_version(void)
{
    char text[64];

    cli_print_version("gavel-sink");
    store_mongo_version(text, sizeof text);
    printf("%s", text);
    store_sqlite_version(text, sizeof text);
    printf(", %s\n", text);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        return usage(stderr);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return print_version();
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        return usage(stdout);
    }
    if (strcmp(argv[1], "config") == 0) {
        return cli_config_command(argc - 1, argv + 1, CONFIG_SINK, DEFAULT_CONFIG);
    }
    const char *path = cli_take_option(&argc, argv, "--config");
    bool until_idle = cli_take_flag(&argc, argv, "--until-idle");
    bool json = cli_take_flag(&argc, argv, "--json");
    bool is_run = argc == 2 && strcmp(argv[1], "run") == 0 && !json;
    bool is_audit = argc == 2 && strcmp(argv[1], "audit") == 0 && !until_idle;
    if (!is_run && !is_audit) {
        return usage(stderr);
    }
    return with_config(path ? path : DEFAULT_CONFIG, argv[1], until_idle, json);
}
