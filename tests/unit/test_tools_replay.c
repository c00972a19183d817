/* The order in which a spool is replayed, with a forwarder that acknowledges as the test wants. */
#include "agent/forward/forwarder.h"
#include "agent/tools/replay.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR_NAME "replayed-spool"
#define SEEN_MAX 64

/* --- a forwarder that gives batches back last first, one each tick ----------------------------------- */

struct forwarder {
    forwarder_events events;
    forwarder_status status;
    batch *held[REPLAY_BATCHES];
    size_t count;
};

static struct {
    batch_kind kind;
    uint64_t key;
} seen[SEEN_MAX];
static size_t seen_count;
static size_t most_held;
static uint32_t refuse_each; /* records of each batch of auctions */
static size_t stop_after;    /* batches; not 0: then somebody presses Ctrl-C */

gv_status forwarder_open(const forwarder_config *config, plat_loop *loop, const plat_clock *clock,
                         const forwarder_events *events, forwarder **out, gv_error *err)
{
    (void)loop, (void)clock, (void)err;
    assert_string_equal(config->topics[BATCH_LEDGER], "there.snapshots");
    *out = calloc(1, sizeof **out);
    (*out)->events = *events;
    return GV_OK;
}

void forwarder_submit(forwarder *f, batch *b)
{
    batch_entry entry;
    size_t offset = 0;

    assert_true(f->count < REPLAY_BATCHES && seen_count < SEEN_MAX);
    if (b->kind == BATCH_LEDGER)
        assert_int_equal(f->count, 0); /* it would prove what has not arrived */
    assert_true(batch_next(b, &offset, &entry));
    seen[seen_count].kind = b->kind;
    seen[seen_count++].key = entry.key;
    f->held[f->count++] = b;
    most_held = f->count > most_held ? f->count : most_held;
}

uint64_t forwarder_tick(forwarder *f)
{
    if (stop_after && seen_count >= stop_after)
        raise(SIGINT);
    else if (f->count) {
        batch *b = f->held[--f->count];
        uint32_t refused = b->kind == BATCH_AUCTIONS ? refuse_each : 0;
        f->status.records_acked += b->records - refused;
        f->events.done(f->events.ctx, b, refused);
    }
    return 0;
}

const forwarder_status *forwarder_state(const forwarder *f)
{
    return &f->status;
}

void forwarder_close(forwarder *f)
{
    free(f);
}

/* --- a spool ------------------------------------------------------------------------------------------ */

static uint64_t auction_fingerprint(void)
{
    scan s;
    gv_error err = { 0, "" };

    assert_int_equal(scan_open(&s, ".", SCAN_SEGMENTS, &err), GV_OK);
    uint64_t fingerprint = s.schemas[SCAN_AUCTION].fingerprint;
    scan_close(&s);
    return fingerprint;
}

static void append(spool *out, spool_kind kind, uint64_t fingerprint, uint64_t key, int64_t hour)
{
    int64_t time_ms = 1404174601000 + hour * 3600000;
    spool_meta meta = { { "eu", 604, 0, time_ms }, fingerprint, 2, kind };
    uint8_t room[256];
    batch b = { .bytes = gv_buf_of(room, sizeof room) };

    assert_true(batch_append(&b, key, gv_span_str("{}")) &&
                batch_append(&b, key, gv_span_str("{}")));
    assert_int_equal(spool_append(out, &meta, gv_span_of(room, b.bytes.len), NULL), GV_OK);
}

/* A batch for each letter: Auctions, Ledger, Gap, or of an unknown schema (?). */
static void make_spool(const char *letters, bool one_snapshot)
{
    plat_fs fs = plat_fs_system();
    plat_clock clock = plat_clock_system(0);
    spool_config config = { .fs = &fs,
                            .clock = &clock,
                            .dir = DIR_NAME,
                            .payload_bytes = 4096,
                            .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                            .quota_bytes = 1u << 24,
                            .window = 1 };
    uint64_t ours = auction_fingerprint();
    spool *out;

    assert_int_equal(system("rm -rf " DIR_NAME), 0);
    config.mem_bytes = spool_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    assert_int_equal(spool_open(&config, &out, NULL), GV_OK);
    for (uint64_t i = 0; letters[i]; i++)
        append(out,
               letters[i] == 'L'   ? SPOOL_LEDGER
               : letters[i] == 'G' ? SPOOL_GAP
                                   : SPOOL_AUCTIONS,
               letters[i] == 'A'   ? ours
               : letters[i] == '?' ? 1
                                   : 0,
               i, one_snapshot ? 0 : (int64_t)i);
    assert_int_equal(spool_commit(out, NULL), GV_OK);
    spool_close(out);
    free(config.mem);
}

static gv_status run(replay_counts *counts, bool *is_all)
{
    config_case *c = config_read(CONFIG_AGENT, agent_text(""));
    gv_error err = { 0, "" };
    filter f = filter_all();

    seen_count = most_held = 0;
    memset(counts, 0, sizeof *counts);
    assert_int_equal(c->status, GV_OK);
    c->config.kafka_topic_prefix = "there";
    gv_status status = replay_run(&c->config, DIR_NAME, &f, counts, is_all, &err);
    config_done(c);
    return status;
}

/* --- promises ----------------------------------------------------------------------------------------- */

static void a_ledger_entry_goes_out_when_all_before_it_is_acknowledged(void **state)
{
    static const char letters[] = "AAAAAAAAAAAAALAAGLA";
    replay_counts counts;
    bool is_all;

    (void)state;
    make_spool(letters, false);
    assert_int_equal(run(&counts, &is_all), GV_OK);
    assert_true(is_all);
    assert_int_equal(seen_count, strlen(letters));
    for (size_t i = 0; i < seen_count; i++) {
        assert_int_equal(seen[i].key, i);
        assert_int_equal(seen[i].kind, letters[i] == 'A' ? BATCH_AUCTIONS : BATCH_LEDGER);
    }
    assert_int_equal(most_held,
                     REPLAY_BATCHES); /* else nothing would be gained by having several */
    assert_int_equal(counts.batches, strlen(letters));
    assert_int_equal(counts.records[BATCH_AUCTIONS], 2 * 16);
    assert_int_equal(counts.records[BATCH_LEDGER], 2 * 3);
}

static void small_batches_of_a_snapshot_travel_together_and_are_all_counted(void **state)
{
    replay_counts counts;
    bool is_all;

    (void)state;
    make_spool("AAAAAA?AALAAG", true);
    assert_int_equal(run(&counts, &is_all), GV_OK);
    assert_true(is_all);
    assert_int_equal(seen_count, 4); /* auctions, ledger, auctions, gap */
    assert_int_equal(seen[2].key, 10);
    assert_int_equal(counts.batches, 12);
    assert_int_equal(counts.records[BATCH_AUCTIONS], 2 * 10);
    assert_int_equal(counts.records[BATCH_LEDGER], 2 * 2);
    assert_int_equal(counts.other_schema, 2);
}

static void refused_records_are_not_counted_as_acknowledged(void **state)
{
    replay_counts counts;
    bool is_all;

    (void)state;
    make_spool("AAL", false);
    refuse_each = 1;
    assert_int_equal(run(&counts, &is_all), GV_OK);
    refuse_each = 0;
    assert_int_equal(counts.records[BATCH_AUCTIONS], 2);
    assert_int_equal(counts.refused, 2);
}

static void a_batch_without_a_known_schema_holds_up_nothing(void **state)
{
    replay_counts counts;
    bool is_all;

    (void)state;
    make_spool("A?L??", false);
    assert_int_equal(run(&counts, &is_all), GV_OK);
    assert_true(is_all);
    assert_int_equal(seen_count, 2);
    assert_int_equal(counts.other_schema, 6);
}

static void who_is_stopped_says_so_and_counts_what_was_acknowledged(void **state)
{
    replay_counts counts;
    bool is_all = true;

    (void)state;
    make_spool("ALAAAAAAAAAAAAAA", false);
    stop_after = 3;
    assert_int_equal(run(&counts, &is_all), GV_OK);
    stop_after = 0;
    assert_false(is_all);
    assert_int_equal(counts.batches, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ledger_entry_goes_out_when_all_before_it_is_acknowledged),
        cmocka_unit_test(small_batches_of_a_snapshot_travel_together_and_are_all_counted),
        cmocka_unit_test(refused_records_are_not_counted_as_acknowledged),
        cmocka_unit_test(a_batch_without_a_known_schema_holds_up_nothing),
        cmocka_unit_test(who_is_stopped_says_so_and_counts_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
