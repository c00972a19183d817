/* gavel spool replay: sends what a spool holds to Kafka, as the agent does; the spool keeps it. */
#include "agent/tools/replay.h"

#include "agent/cli/cli.h"
#include "agent/tools/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Counts what would be sent; asks nobody. */
static gv_status count_only(const char *dir, const filter *f, replay_counts *counts, bool *is_lossy,
                            gv_error *err)
{
    gv_status status;
    spool_item item;
    batch b;
    scan s;

    status = scan_open(&s, dir, SCAN_SEGMENTS, err);
    while (status == GV_OK && (status = scan_next_batch(&s, f, &item, &b, err)) == GV_OK) {
        if (!replay_can_send(&s, &b, counts))
            continue;
        counts->batches++;
        counts->records[b.kind] += b.records;
    }
    bar_clear(&s.bar);
    *is_lossy = status == GV_AGAIN && scan_tell_losses(&s);
    scan_close(&s);
    return status == GV_AGAIN ? GV_OK : status;
}

static void print_counts(const replay_counts *c, bool is_dry)
{
    printf("%s: %" PRIu64 " auctions, %" PRIu64 " rejects, %" PRIu64
           " ledger and gap entries, in %" PRIu64 " batches\n",
           is_dry ? "would be sent" : "acknowledged", c->records[BATCH_AUCTIONS],
           c->records[BATCH_REJECTS], c->records[BATCH_LEDGER], c->batches);
    if (c->refused)
        fprintf(stderr, "gavel: %" PRIu64 " records were refused by the broker\n", c->refused);
    if (c->other_schema)
        fprintf(stderr,
                "gavel: %" PRIu64 " records are left out: they are of a schema that this program "
                "does not know\n",
                c->other_schema);
}

static int replay_all(const tools_call *call, const filter *f, const char *topic,
                      const char *broker)
{
    gv_error err = { 0, "" };
    replay_counts counts = { { 0 }, 0, 0, 0 };
    bool is_all = false;
    cli_config *config = cli_load_in_force(call->config_path);

    if (!config)
        return CLI_USAGE;
    if (topic)
        config->config.kafka_topic_prefix = topic;
    if (broker)
        config->config.kafka_brokers = broker;
    fprintf(stderr,
            "What the agent has sent already, or sends as well, arrives twice; that changes "
            "nothing in the store.\n");
    gv_status status = replay_run(&config->config, call->dir, f, &counts, &is_all, &err);
    free(config);
    if (status != GV_OK)
        return tools_fail(&err);
    print_counts(&counts, false);
    if (!tools_output_ok())
        return CLI_USAGE;
    return is_all && counts.refused + counts.other_schema == 0 ? CLI_OK : CLI_NOT_ALL_WELL;
}

int tools_replay(tools_call *call)
{
    bool is_dry = cli_take_flag(&call->argc, call->argv, "--dry-run");
    const char *topic = cli_take_option(&call->argc, call->argv, "--topic");
    const char *broker = cli_take_option(&call->argc, call->argv, "--broker");
    replay_counts counts = { { 0 }, 0, 0, 0 };
    gv_error err = { 0, "" };
    bool is_lossy;
    filter f;

    if (!tools_take_filter(call, &f) || !tools_words_left(call, 0) || !tools_find_dir(call))
        return CLI_USAGE;
    if (!is_dry)
        return replay_all(call, &f, topic, broker);
    if (count_only(call->dir, &f, &counts, &is_lossy, &err) != GV_OK)
        return tools_fail(&err);
    print_counts(&counts, true);
    if (!tools_output_ok())
        return CLI_USAGE;
    return is_lossy || counts.other_schema ? CLI_NOT_ALL_WELL : CLI_OK;
}
