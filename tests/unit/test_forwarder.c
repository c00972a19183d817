/* The forwarder against librdkafka's mock brokers. */
#include "agent/forward/forwarder.h"
#include "tests/doubles/kafka_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define RAW             "auctions.raw"
#define FINGERPRINT     0x1122334455667788u
#define OLD_FINGERPRINT 17u
#define SCHEMA_ID       77u
#define BODY_BYTES      65u
#define BATCH_BYTES     (128u * 1024)
#define MOST            20000u

/* --- one forwarder with all around it ---------------------------------------------------------- */
typedef struct {
    kafka_mock mock;
    plat_loop *loop;
    plat_clock clock;
    forwarder *f;
    forwarder_config config;
    bool id_known;
    bool old_id_known;
    size_t done;
    uint32_t refused;
    batch *batches[64];
    size_t batch_count;
    uint64_t next_key;
} rig;

static gv_status schema_id(void *ctx, const char *topic, uint64_t fingerprint, uint32_t *id)
{
    rig *r = ctx;

    assert_true(topic != NULL);
    assert_true(fingerprint == FINGERPRINT || fingerprint == OLD_FINGERPRINT);
    *id = SCHEMA_ID;
    return (fingerprint == FINGERPRINT ? r->id_known : r->old_id_known) ? GV_OK : GV_AGAIN;
}

static void done(void *ctx, batch *b, uint32_t refused)
{
    rig *r = ctx;

    assert_int_equal(b->acked, b->records);
    assert_int_equal(b->in_flight, 0);
    r->done++;
    r->refused += refused;
}

static rig rig_start(int brokers)
{
    rig r = { .mock = kafka_mock_open(brokers), .clock = plat_clock_system(0), .id_known = true };

    r.loop = plat_loop_open(NULL);
    r.config = (forwarder_config){
        .kafka = { .brokers = r.mock.brokers,
                   .client_id = "test",
                   .queue_bytes = 256 * 1024,
                   .queue_records = 1000 },
        .topics = { RAW, "auctions.rejects", "auctions.snapshots" },
        .retry_min_ms = 10,
        .retry_max_ms = 100,
    };
    return r;
}

static void rig_open(rig *r)
{
    gv_error err = { 0, "" };
    const forwarder_events events = { schema_id, done, r };

    if (forwarder_open(&r->config, r->loop, &r->clock, &events, &r->f, &err) != GV_OK)
        fail_msg("%s", err.text);
}

static void rig_stop(rig *r)
{
    forwarder_close(r->f);
    plat_loop_close(r->loop);
    kafka_mock_close(&r->mock);
    for (size_t i = 0; i < r->batch_count; i++) {
        free(r->batches[i]->bytes.data);
        free(r->batches[i]);
    }
}

/* A record's body tells its key, so that a mix-up is seen. */
static void make_body(uint64_t key, uint8_t body[BODY_BYTES])
{
    for (size_t i = 0; i < BODY_BYTES; i++)
        body[i] = (uint8_t)(key * 31 + i * 7);
    gv_put_le64(body, key);
}

static batch *make_batch(rig *r, batch_kind kind, uint32_t records)
{
    const snapshot_id snapshot = { "eu", 604, 0, 1404174601000 };
    batch *b = calloc(1, sizeof *b);

    b->bytes = gv_buf_of(malloc(BATCH_BYTES), BATCH_BYTES);
    batch_start(b, kind, &snapshot, kind == BATCH_LEDGER ? 0 : FINGERPRINT);
    for (uint32_t i = 0; i < records; i++) {
        uint8_t body[BODY_BYTES];

        make_body(r->next_key, body);
        assert_true(batch_append(b, r->next_key++, gv_span_of(body, sizeof body)));
    }
    r->batches[r->batch_count++] = b;
    return b;
}

static uint64_t now_ms(const rig *r)
{
    return plat_mono_ms(&r->clock);
}

/* One turn of an agent's loop, of at most cap_ms. */
static void turn(rig *r, uint64_t cap_ms)
{
    uint64_t due = forwarder_tick(r->f), now = now_ms(r);
    uint64_t wait = due <= now ? 0 : due - now;

    assert_int_equal(plat_loop_wait(r->loop, (int64_t)(wait < cap_ms ? wait : cap_ms), NULL),
                     GV_OK);
}

#define RUN_UNTIL(r, condition)                                                                    \
    do {                                                                                           \
        uint64_t end_ = now_ms(r) + 30000;                                                         \
        while (!(condition)) {                                                                     \
            if (now_ms(r) > end_)                                                                  \
                fail_msg("not within 30 s: %s (%s)", #condition, forwarder_state((r)->f)->text);   \
            turn(r, 50);                                                                           \
        }                                                                                          \
    } while (0)

/* --- what arrived ------------------------------------------------------------------------------ */
typedef struct {
    uint32_t times[MOST]; /* by key */
    int64_t last_of[16];  /* by partition: the last key */
    size_t out_of_order;
} seen;

static void see(void *ctx, const rd_kafka_message_t *message)
{
    seen *s = ctx;
    const uint8_t *value = message->payload;
    char key[64];
    uint8_t body[BODY_BYTES];
    rd_kafka_timestamp_type_t type;

    assert_int_equal(message->len, BATCH_PREFIX_BYTES + BODY_BYTES);
    assert_int_equal(value[0], 0);
    assert_int_equal(gv_get_be32(value + 1), SCHEMA_ID);
    uint64_t id = gv_get_le64(value + BATCH_PREFIX_BYTES);
    make_body(id, body);
    assert_memory_equal(value + BATCH_PREFIX_BYTES, body, BODY_BYTES);
    snprintf(key, sizeof key, "eu/604/%llu", (unsigned long long)id);
    assert_int_equal(message->key_len, strlen(key));
    assert_memory_equal(message->key, key, strlen(key));
    assert_true(rd_kafka_message_timestamp(message, &type) == 1404174601000);
    assert_true(id < MOST);
    s->times[id]++;
    if ((int64_t)id < s->last_of[message->partition])
        s->out_of_order++;
    s->last_of[message->partition] = (int64_t)id;
}

static seen *read_back(rig *r, const char *topic)
{
    seen *s = calloc(1, sizeof *s);

    kafka_mock_read(&r->mock, topic, see, s);
    return s;
}

/* Each key exactly `times` times (0: at least once). */
static void expect_all(rig *r, uint32_t times, bool in_order)
{
    seen *s = read_back(r, RAW);

    for (uint64_t key = 0; key < r->next_key; key++)
        if (times ? s->times[key] != times : s->times[key] == 0)
            fail_msg("record %llu arrived %u times", (unsigned long long)key, s->times[key]);
    if (in_order)
        assert_int_equal(s->out_of_order, 0);
    free(s);
}

/* --- the promises ------------------------------------------------------------------------------ */
static void every_record_arrives_once_with_key_framing_and_time(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 3);
    rig_open(&r);
    for (int i = 0; i < 5; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, r.done == 5);
    assert_int_equal(r.refused, 0);
    assert_true(forwarder_state(r.f)->up);
    assert_int_equal(forwarder_state(r.f)->records_acked, 5000);
    assert_int_equal(forwarder_state(r.f)->batches_waiting, 0);
    expect_all(&r, 1, true);
    rig_stop(&r);
}

static void batch_without_schema_id_waits_while_other_kinds_go_on(void **state)
{
    rig r = rig_start(1);

    (void)state;
    r.id_known = false;
    kafka_mock_topic(&r.mock, RAW, 1);
    kafka_mock_topic(&r.mock, "auctions.snapshots", 1);
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 10));
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 10));
    uint64_t auctions = r.next_key;
    forwarder_submit(r.f, make_batch(&r, BATCH_LEDGER, 1));
    RUN_UNTIL(&r, r.done == 1);
    assert_int_equal(forwarder_state(r.f)->batches_waiting, 2);
    r.id_known = true;
    RUN_UNTIL(&r, r.done == 3);
    r.next_key = auctions;
    expect_all(&r, 1, true);
    rig_stop(&r);
}

static void batch_in_an_older_schema_without_id_holds_up_no_newer_one(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    rig_open(&r);
    batch *old = make_batch(&r, BATCH_AUCTIONS, 10);
    old->fingerprint = OLD_FINGERPRINT;
    forwarder_submit(r.f, old);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 10));
    RUN_UNTIL(&r, r.done == 1);
    assert_int_equal(forwarder_state(r.f)->batches_waiting, 1);
    assert_int_equal(old->acked, 0);
    r.old_id_known = true;
    RUN_UNTIL(&r, r.done == 2);
    expect_all(&r, 1, false); /* the older ones after the newer */
    rig_stop(&r);
}

static void see_ledger(void *ctx, const rd_kafka_message_t *message)
{
    uint8_t body[BODY_BYTES];

    (void)ctx;
    make_body(0, body);
    assert_int_equal(message->len, BODY_BYTES);
    assert_memory_equal(message->payload, body, BODY_BYTES);
    assert_int_equal(message->key_len, strlen("eu/604/0/1404174601"));
    assert_memory_equal(message->key, "eu/604/0/1404174601", message->key_len);
}

static void ledger_entry_has_the_snapshot_as_key_and_no_prefix(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, "auctions.snapshots", 1);
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_LEDGER, 1));
    RUN_UNTIL(&r, r.done == 1);
    assert_int_equal(kafka_mock_read(&r.mock, "auctions.snapshots", see_ledger, NULL), 1);
    rig_stop(&r);
}

typedef struct {
    char last[64];
    size_t newer_than_old; /* how often "new" came */
} announced;

static void see_announced(void *ctx, const rd_kafka_message_t *message)
{
    announced *a = ctx;

    assert_int_equal(message->key_len, strlen("attic"));
    assert_memory_equal(message->key, "attic", message->key_len);
    snprintf(a->last, sizeof a->last, "%.*s", (int)message->len, (const char *)message->payload);
    a->newer_than_old += strcmp(a->last, "new") == 0;
}

static bool has_arrived(rig *r, const char *text)
{
    announced a = { "", 0 };

    kafka_mock_read(&r->mock, "gavel.status", see_announced, &a);
    return strcmp(a.last, text) == 0;
}

static void
newest_announcement_arrives_beside_the_batches_however_long_the_broker_is_away(void **state)
{
    const kafka_topic topic = { .name = "gavel.status", .partitions = 1 };
    rig r = rig_start(1);
    announced a = { "", 0 };

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 2);
    kafka_mock_topic(&r.mock, "gavel.status", 1);
    kafka_mock_down(&r.mock);
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 100));
    forwarder_announce(r.f, &topic, "attic", gv_span_str("old"));
    RUN_UNTIL(&r, strstr(forwarder_state(r.f)->text, "no broker answers at") != NULL);
    forwarder_announce(r.f, &topic, "attic", gv_span_str("new"));
    kafka_mock_up(&r.mock);
    RUN_UNTIL(&r, r.done == 1 && has_arrived(&r, "new"));
    forwarder_announce(r.f, &topic, "attic", gv_span_str("newer"));
    RUN_UNTIL(&r, has_arrived(&r, "newer"));
    assert_int_equal(kafka_mock_read(&r.mock, "gavel.status", see_announced, &a), 2);
    assert_int_equal(a.newer_than_old, 1);
    rig_stop(&r);
}

static void queue_smaller_than_a_batch_is_no_obstacle(void **state)
{
    rig r = rig_start(1);

    (void)state;
    r.config.kafka.queue_bytes = 4096;
    r.config.kafka.queue_records = 20;
    kafka_mock_topic(&r.mock, RAW, 2);
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 700));
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 700));
    while (r.done < 2) {
        uint32_t under_way = r.batches[0]->in_flight + r.batches[1]->in_flight;

        assert_true(under_way <= 20);
        turn(&r, 50);
    }
    expect_all(&r, 1, true);
    rig_stop(&r);
}

static void broker_away_at_start_and_in_between_loses_and_reorders_nothing(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 2);
    kafka_mock_down(&r.mock);
    rig_open(&r);
    for (int i = 0; i < 3; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, strstr(forwarder_state(r.f)->text, "no broker answers at") != NULL);
    assert_false(forwarder_state(r.f)->up);
    assert_int_equal(r.done, 0);
    kafka_mock_up(&r.mock);
    RUN_UNTIL(&r, r.done >= 1);
    kafka_mock_down(&r.mock);
    for (int i = 0; i < 3; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, !forwarder_state(r.f)->up);
    kafka_mock_up(&r.mock);
    RUN_UNTIL(&r, r.done == 6);
    assert_true(forwarder_state(r.f)->up);
    /* A request whose answer was lost is sent again by librdkafka under its old sequence number,
     * which a real broker recognises and this one stores twice. */
    expect_all(&r, 0, false);
    rig_stop(&r);
}

static void errors_that_pass_lose_nothing(void **state)
{
    static const rd_kafka_resp_err_t codes[] = {
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,      RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,      RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION,         RD_KAFKA_RESP_ERR_UNKNOWN,
    };

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        rig r = rig_start(1);

        kafka_mock_topic(&r.mock, RAW, 1);
        rig_open(&r);
        kafka_mock_errors(&r.mock, KAFKA_MOCK_PRODUCE, &codes[i], 1);
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
        RUN_UNTIL(&r, r.done == 1);
        assert_int_equal(r.refused, 0);
        expect_all(&r, 0, false);
        rig_stop(&r);
    }
}

static void only_what_was_not_acknowledged_is_sent_again(void **state)
{
    static const rd_kafka_resp_err_t second[] = { RD_KAFKA_RESP_ERR_NO_ERROR,
                                                  RD_KAFKA_RESP_ERR_POLICY_VIOLATION };
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    rig_open(&r);
    kafka_mock_errors(&r.mock, KAFKA_MOCK_PRODUCE, second, 2);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, r.done == 1);
    assert_true(forwarder_state(r.f)->resent > 0);
    assert_true(forwarder_state(r.f)->resent < 1000);
    assert_int_equal(forwarder_state(r.f)->records_acked, 1000);
    expect_all(&r, 1, false);
    rig_stop(&r);
}

static void denied_batch_is_kept_and_sent_once_it_is_allowed(void **state)
{
    static const rd_kafka_resp_err_t denied[] = { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED };
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    rig_open(&r);
    kafka_mock_errors(&r.mock, KAFKA_MOCK_PRODUCE, denied, 1);
    /* One record is one request: a second one would be allowed, and the word gone at once. */
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1));
    RUN_UNTIL(&r, strstr(forwarder_state(r.f)->text, "not allowed to write topic " RAW) != NULL);
    RUN_UNTIL(&r, r.done == 1);
    assert_int_equal(r.refused, 0);
    assert_true(forwarder_state(r.f)->up);
    expect_all(&r, 1, false);
    rig_stop(&r);
}

static void record_is_refused_only_when_it_was_alone(void **state)
{
    static const rd_kafka_resp_err_t once[] = { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE };
    static const rd_kafka_resp_err_t twice[] = { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                                                 RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE };

    (void)state;
    for (int refusals = 0; refusals < 2; refusals++) {
        rig r = rig_start(1);

        kafka_mock_topic(&r.mock, RAW, 1);
        rig_open(&r);
        /* A group is too large; then, the second time, the first of its records sent alone. */
        kafka_mock_errors(&r.mock, KAFKA_MOCK_PRODUCE, refusals ? twice : once, refusals ? 2 : 1);
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 60));
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 60));
        RUN_UNTIL(&r, r.done == 2);
        assert_int_equal(r.refused, refusals);
        assert_int_equal(forwarder_state(r.f)->records_refused, refusals);
        seen *s = read_back(&r, RAW);
        for (uint64_t key = 0; key < r.next_key; key++)
            assert_int_equal(s->times[key], refusals && key == 0 ? 0 : 1);
        free(s);
        rig_stop(&r);
    }
}

static void fatal_producer_is_replaced_and_nothing_is_lost(void **state)
{
    static const rd_kafka_resp_err_t fatal[] = { RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED };
    static const rd_kafka_resp_err_t order[] = { RD_KAFKA_RESP_ERR_NO_ERROR,
                                                 RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER };
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    kafka_mock_errors(&r.mock, KAFKA_MOCK_INIT_PRODUCER_ID, fatal, 1);
    rig_open(&r);
    for (int i = 0; i < 3; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, forwarder_state(r.f)->failure == KAFKA_FATAL);
    assert_true(strstr(forwarder_state(r.f)->text, "grant WRITE") != NULL);
    kafka_mock_errors(&r.mock, KAFKA_MOCK_PRODUCE, order, 2);
    RUN_UNTIL(&r, r.done == 3);
    assert_int_equal(r.refused, 0);
    expect_all(&r, 0, false);
    rig_stop(&r);
}

static void missing_topic_is_named_until_somebody_makes_it(void **state)
{
    static const kafka_topic wanted[] = { { .name = RAW, .partitions = 3 } };
    rig r = rig_start(1);

    (void)state;
    r.config.ensure = wanted;
    r.config.ensure_count = 1;
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 100));
    RUN_UNTIL(&r, strstr(forwarder_state(r.f)->text, "topic " RAW " does not exist") != NULL);
    assert_int_equal(r.batches[0]->in_flight, 0);
    kafka_mock_topic(&r.mock, RAW, 2);
    RUN_UNTIL(&r, r.done == 1);
    expect_all(&r, 1, true);
    rig_stop(&r);
}

static void broker_that_creates_no_topics_on_request_is_left_to_do_it_itself(void **state)
{
    static const kafka_topic wanted[] = { { .name = RAW, .partitions = 3 } };
    rig r = rig_start(1);

    (void)state;
    r.config.ensure = wanted;
    r.config.ensure_count = 1;
    r.config.create_topics = true;
    rig_open(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 100));
    RUN_UNTIL(&r, r.done == 1);
    expect_all(&r, 1, true);
    rig_stop(&r);
}

static void closing_with_batches_in_hand_is_clean(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_down(&r.mock);
    rig_open(&r);
    for (int i = 0; i < 3; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    RUN_UNTIL(&r, r.batches[0]->in_flight > 0);
    forwarder_close(r.f);
    r.f = NULL;
    assert_int_equal(r.done, 0);
    assert_int_equal(r.batches[0]->in_flight, 0);
    assert_int_equal(r.batches[0]->acked, 0);
    rig_stop(&r);
}

/* --- taking back ------------------------------------------------------------------------------- */
static bool is_in(void *ctx, const batch *b)
{
    const batch *const *wanted = ctx;

    return b == wanted[0] || b == wanted[1];
}

static void
withdrawn_batches_come_in_order_with_nothing_in_flight_and_the_rest_goes_on(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    kafka_mock_down(&r.mock);
    rig_open(&r);
    for (int i = 0; i < 4; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 100));
    RUN_UNTIL(&r, r.batches[3]->in_flight > 0);
    forwarder_recall(r.f);
    batch *wanted[] = { r.batches[1], r.batches[3] };
    batch *out = forwarder_withdraw(r.f, is_in, wanted);
    assert_ptr_equal(out, r.batches[1]);
    assert_ptr_equal(out->next, r.batches[3]);
    assert_null(out->next->next);
    for (int i = 0; i < 4; i++)
        assert_int_equal(r.batches[i]->in_flight, 0);
    assert_int_equal(forwarder_state(r.f)->batches_waiting, 2);
    assert_int_equal(r.done, 0);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 100)); /* behind what stayed */
    kafka_mock_up(&r.mock);
    RUN_UNTIL(&r, r.done == 3);
    assert_int_equal(r.batches[1]->acked + r.batches[3]->acked, 0);
    seen *s = read_back(&r, RAW);
    for (uint64_t key = 0; key < r.next_key; key++)
        assert_int_equal(s->times[key], key / 100 == 1 || key / 100 == 3 ? 0 : 1);
    assert_int_equal(s->out_of_order, 0);
    free(s);
    rig_stop(&r);
}

static void acknowledged_batch_is_not_withdrawn_and_a_part_of_one_is_known(void **state)
{
    rig r = rig_start(1);

    (void)state;
    r.config.kafka.queue_records = 50; /* the second batch is far from whole when the first is */
    kafka_mock_topic(&r.mock, RAW, 1);
    rig_open(&r);
    for (int i = 0; i < 2; i++)
        forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 1000));
    while (r.batches[0]->acked < r.batches[0]->records || r.batches[1]->acked == 0)
        turn(&r, 50);
    uint32_t acked_before = r.batches[1]->acked;
    forwarder_recall(r.f);
    batch *out = forwarder_withdraw(r.f, is_in, r.batches);
    assert_ptr_equal(out, r.batches[1]);
    assert_null(out->next);
    assert_true(out->acked >= acked_before && out->acked < out->records);
    uint32_t missing = out->records - out->acked;
    batch_drop_acked(out);
    forwarder_submit(r.f, out); /* may come again, and has nothing twice that was acknowledged */
    RUN_UNTIL(&r, r.done == 2);
    assert_int_equal(out->records, missing);
    expect_all(&r, 0, false);
    rig_stop(&r);
}

static void progress_is_told_from_waiting(void **state)
{
    rig r = rig_start(1);

    (void)state;
    kafka_mock_topic(&r.mock, RAW, 1);
    kafka_mock_down(&r.mock);
    rig_open(&r);
    uint64_t before = now_ms(&r);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 10));
    uint64_t since = forwarder_state(r.f)->last_progress_ms;
    assert_true(since >= before && since <= now_ms(&r));
    RUN_UNTIL(&r, now_ms(&r) > since + 20 && r.batches[0]->in_flight > 0);
    forwarder_submit(r.f, make_batch(&r, BATCH_AUCTIONS, 10)); /* changes nothing: one waits */
    forwarder_recall(r.f);
    assert_int_equal(forwarder_state(r.f)->last_progress_ms, since);
    kafka_mock_up(&r.mock);
    RUN_UNTIL(&r, r.done == 2);
    assert_true(forwarder_state(r.f)->last_progress_ms > since);
    rig_stop(&r);
}

/* The first argument, if any, is a pattern of the tests to run. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_arrives_once_with_key_framing_and_time),
        cmocka_unit_test(batch_without_schema_id_waits_while_other_kinds_go_on),
        cmocka_unit_test(batch_in_an_older_schema_without_id_holds_up_no_newer_one),
        cmocka_unit_test(ledger_entry_has_the_snapshot_as_key_and_no_prefix),
        cmocka_unit_test(
            newest_announcement_arrives_beside_the_batches_however_long_the_broker_is_away),
        cmocka_unit_test(queue_smaller_than_a_batch_is_no_obstacle),
        cmocka_unit_test(broker_away_at_start_and_in_between_loses_and_reorders_nothing),
        cmocka_unit_test(errors_that_pass_lose_nothing),
        cmocka_unit_test(only_what_was_not_acknowledged_is_sent_again),
        cmocka_unit_test(denied_batch_is_kept_and_sent_once_it_is_allowed),
        cmocka_unit_test(record_is_refused_only_when_it_was_alone),
        cmocka_unit_test(fatal_producer_is_replaced_and_nothing_is_lost),
        cmocka_unit_test(missing_topic_is_named_until_somebody_makes_it),
        cmocka_unit_test(broker_that_creates_no_topics_on_request_is_left_to_do_it_itself),
        cmocka_unit_test(closing_with_batches_in_hand_is_clean),
        cmocka_unit_test(
            withdrawn_batches_come_in_order_with_nothing_in_flight_and_the_rest_goes_on),
        cmocka_unit_test(acknowledged_batch_is_not_withdrawn_and_a_part_of_one_is_known),
        cmocka_unit_test(progress_is_told_from_waiting),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
