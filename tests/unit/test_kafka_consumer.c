/* The Kafka adapter's consumer against librdkafka's mock brokers. */
#include "agent/net/kafka_internal.h"
#include "tests/doubles/kafka_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TOPIC    "letters"
#define GROUP    "readers"
#define RECORDS  300
#define DEADLINE 30000

/* --- a topic with numbered records --------------------------------------------------------------- */
static void ignore_delivery(void *ctx, void *opaque, bool acked, kafka_failure failure,
                            const char *reason)
{
    (void)ctx, (void)opaque, (void)failure, (void)reason;
    assert_true(acked);
}

static void write_records(kafka_mock *mock, uint32_t from, uint32_t count)
{
    const kafka_producer_events events = { ignore_delivery, NULL, NULL };
    const kafka_config config = { .brokers = mock->brokers, .queue_bytes = 1 << 20 };
    uint8_t(*values)[4] = calloc(count, sizeof *values);
    gv_error err = { 0, "" };
    kafka_producer *p = NULL;

    assert_int_equal(kafka_producer_open(&config, NULL, &events, &p, &err), GV_OK);
    for (uint32_t i = 0; i < count; i++) {
        char key[16];

        snprintf(key, sizeof key, "%u", from + i);
        gv_put_le32(values[i], from + i);
        assert_int_equal(kafka_produce(p, TOPIC, gv_span_str(key), gv_span_of(values[i], 4),
                                       1000 + from + i, NULL, &err),
                         GV_OK);
    }
    assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
    kafka_producer_close(p);
    free(values);
}

static kafka_mock open_mock(int partitions)
{
    kafka_mock mock = kafka_mock_open(1);

    rd_kafka_mock_group_initial_rebalance_delay_ms(mock.cluster, 0);
    kafka_mock_topic(&mock, TOPIC, partitions);
    return mock;
}

/* --- a reader ------------------------------------------------------------------------------------ */
typedef struct {
    kafka_consumer *c;
    uint32_t times[RECORDS];
    uint32_t total;
    kafka_position next[8]; /* by partition */
    size_t assigned, revoked;
    bool commit_when_revoked;
    unsigned commits_late;
} reader;

static void note_rebalance(void *ctx, bool assigned, bool lost, const kafka_position *partitions,
                           size_t count)
{
    reader *r = ctx;
    gv_error err = { 0, "" };

    for (size_t i = 0; i < count; i++)
        assert_string_equal(partitions[i].topic, TOPIC);
    if (assigned) {
        r->assigned += count;
        return;
    }
    r->revoked += count;
    assert_false(lost);
    for (size_t i = 0; i < count && r->commit_when_revoked; i++) {
        const kafka_position *next = &r->next[partitions[i].partition];

        /* The mock group takes no commit while members join, a real one does
         * (tests/integration): then the next owner reads it again. */
        if (next->topic && kafka_commit(r->c, next, 1, &err) != GV_OK)
            r->commits_late++;
    }
}

static void reader_open(reader *r, const kafka_mock *mock)
{
    static const char *const topics[] = { TOPIC };
    static const kafka_property quick[] = { { "heartbeat.interval.ms", "100" } };
    const kafka_config config = { .brokers = mock->brokers,
                                  .client_id = "test",
                                  .queue_bytes = 1 << 20,
                                  .properties = quick,
                                  .property_count = 1 };
    gv_error err = { 0, "" };

    if (kafka_consumer_open(&config, GROUP, topics, 1, note_rebalance, r, &r->c, &err) != GV_OK)
        fail_msg("%s", err.text);
}

/* Reads one message if there is one within timeout_ms. */
static bool read_one(reader *r, uint32_t timeout_ms)
{
    kafka_message message;
    gv_error err = { 0, "" };
    gv_status status = kafka_consume(r->c, timeout_ms, &message, &err);

    if (status != GV_OK) {
        assert_true(status == GV_AGAIN ? err.text[0] == '\0' : status == GV_IO);
        return false;
    }
    assert_int_equal(message.value.len, 4);
    uint32_t number = gv_get_le32(message.value.data);
    char key[16];
    snprintf(key, sizeof key, "%u", number);
    assert_int_equal(message.key.len, strlen(key));
    assert_memory_equal(message.key.data, key, strlen(key));
    assert_true(message.timestamp_ms == 1000 + (int64_t)number);
    assert_false(message.tombstone);
    assert_string_equal(message.topic, TOPIC);
    assert_true(number < RECORDS && message.partition < 8);
    r->times[number]++;
    r->total++;
    r->next[message.partition] = (kafka_position){ TOPIC, message.partition, message.offset + 1 };
    kafka_message_free(&message);
    return true;
}

static void read_until(reader *r, uint32_t total)
{
    int64_t end = kafka_now_ms() + DEADLINE;

    while (r->total < total) {
        if (kafka_now_ms() > end)
            fail_msg("%u of %u records after 30 s", r->total, total);
        read_one(r, 50);
    }
}

static gv_status commit_all(reader *r, gv_error *err)
{
    kafka_position positions[8];
    size_t count = 0;

    for (size_t i = 0; i < 8; i++)
        if (r->next[i].topic)
            positions[count++] = r->next[i];
    return kafka_commit(r->c, positions, count, err);
}

static void expect_once(const reader *r, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (r->times[i] != 1)
            fail_msg("record %u was read %u times", i, r->times[i]);
}

/* --- the promises -------------------------------------------------------------------------------- */
static void what_is_committed_is_not_read_again_and_the_rest_is(void **state)
{
    kafka_mock mock = open_mock(3);
    reader first = { .total = 0 }, second = { .total = 0 };
    gv_error err = { 0, "" };

    (void)state;
    write_records(&mock, 0, 100);
    reader_open(&first, &mock);
    read_until(&first, 100);
    expect_once(&first, 0, 100);
    assert_int_equal(first.assigned, 3);
    assert_int_equal(commit_all(&first, &err), GV_OK);
    write_records(&mock, 100, 100);
    read_until(&first, 200); /* and not committed */
    kafka_consumer_close(first.c);
    assert_int_equal(first.revoked, 3);

    reader_open(&second, &mock);
    read_until(&second, 100);
    expect_once(&second, 100, 200);
    kafka_consumer_close(second.c);
    kafka_mock_close(&mock);
}

static void revoked_partitions_can_be_committed_and_go_on_elsewhere(void **state)
{
    kafka_mock mock = open_mock(4);
    reader first = { .commit_when_revoked = true }, second = { .total = 0 };
    int64_t end = kafka_now_ms() + DEADLINE;

    (void)state;
    write_records(&mock, 0, 200);
    reader_open(&first, &mock);
    read_until(&first, 200);
    reader_open(&second, &mock);
    while (first.revoked == 0 || second.assigned == 0) {
        assert_true(kafka_now_ms() < end);
        read_one(&first, 10);
        read_one(&second, 10);
    }
    write_records(&mock, 200, 100);
    for (uint32_t seen = 0; seen < 300;) {
        assert_true(kafka_now_ms() < end);
        read_one(&first, 10);
        read_one(&second, 10);
        seen = 0;
        for (uint32_t i = 0; i < 300; i++)
            seen += first.times[i] + second.times[i] > 0;
    }
    assert_true(second.total > 0);
    for (uint32_t i = 0; i < 300 && first.commits_late == 0; i++)
        assert_int_equal(first.times[i] + second.times[i], 1);
    kafka_consumer_close(second.c);
    kafka_consumer_close(first.c);
    kafka_mock_close(&mock);
}

static void idling_takes_nothing_and_loses_nothing(void **state)
{
    kafka_mock mock = open_mock(2);
    reader r = { .total = 0 };
    gv_error err = { 0, "" };

    (void)state;
    write_records(&mock, 0, 100);
    reader_open(&r, &mock);
    read_until(&r, 50); /* the others have been fetched */
    for (int i = 0; i < 20; i++) {
        gv_status status = kafka_consumer_idle(r.c, 20, &err);

        assert_int_equal(status, GV_AGAIN);
        if (i == 10)
            write_records(&mock, 100, 100);
    }
    read_until(&r, 200);
    expect_once(&r, 0, 200);
    assert_false(read_one(&r, 200));
    kafka_consumer_close(r.c);
    kafka_mock_close(&mock);
}

static void partition_taken_away_while_idling_is_read_on_when_it_comes_back(void **state)
{
    kafka_mock mock = open_mock(2);
    reader first = { .total = 0 }, second = { .total = 0 };
    int64_t end = kafka_now_ms() + DEADLINE;
    gv_error err = { 0, "" };

    (void)state;
    write_records(&mock, 0, 100);
    reader_open(&first, &mock);
    read_until(&first, 100);
    assert_int_equal(commit_all(&first, &err), GV_OK);
    reader_open(&second, &mock);
    while (first.revoked == 0) {
        assert_true(kafka_now_ms() < end);
        kafka_consumer_idle(first.c, 10, &err);
        read_one(&second, 10);
    }
    write_records(&mock, 100, 100); /* for both of them */
    while (first.total + second.total < 200) {
        assert_true(kafka_now_ms() < end);
        read_one(&first, 10);
        read_one(&second, 10);
    }
    assert_true(first.total > 100 && second.total > 0);
    kafka_consumer_close(second.c);
    kafka_consumer_close(first.c);
    kafka_mock_close(&mock);
}

static void progress_of_the_group_is_seen_for_every_partition(void **state)
{
    kafka_mock mock = open_mock(3);
    reader r = { .total = 0 };
    kafka_partition partitions[8];
    gv_error err = { 0, "" };
    size_t count = 0;
    int64_t high = 0, committed = 0;

    (void)state;
    write_records(&mock, 0, 100);
    reader_open(&r, &mock);
    assert_int_equal(kafka_partitions(r.c, TOPIC, DEADLINE, partitions, 8, &count, &err), GV_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(partitions[i].partition, i);
        assert_int_equal(partitions[i].low, 0);
        assert_int_equal(partitions[i].committed, -1);
        high += partitions[i].high;
    }
    assert_int_equal(high, 100);
    read_until(&r, 100);
    assert_int_equal(commit_all(&r, &err), GV_OK);
    assert_int_equal(kafka_partitions(r.c, TOPIC, DEADLINE, partitions, 2, &count, &err), GV_OK);
    assert_int_equal(count, 3); /* of which two were stored */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(partitions[i].committed, partitions[i].high);
        committed += partitions[i].committed;
    }
    assert_true(committed <= 100);
    assert_int_equal(kafka_partitions(r.c, "nowhere", 1000, partitions, 8, &count, &err), GV_IO);
    assert_non_null(strstr(err.text, "nowhere"));
    kafka_consumer_close(r.c);
    kafka_mock_close(&mock);
}

static void broker_that_is_away_is_told_once_and_reading_goes_on(void **state)
{
    kafka_mock mock = open_mock(2);
    reader r = { .total = 0 };
    kafka_message message;
    gv_error err = { 0, "" };
    int64_t end = kafka_now_ms() + DEADLINE;

    (void)state;
    write_records(&mock, 0, 100);
    kafka_mock_down(&mock);
    reader_open(&r, &mock);
    while (kafka_consume(r.c, 50, &message, &err) == GV_AGAIN)
        assert_true(kafka_now_ms() < end);
    assert_non_null(strstr(err.text, "no broker answers at"));
    err.text[0] = '\0';
    assert_int_equal(kafka_consume(r.c, 500, &message, &err), GV_AGAIN);
    kafka_mock_up(&mock);
    read_until(&r, 100);
    expect_once(&r, 0, 100);
    kafka_consumer_close(r.c);
    kafka_mock_close(&mock);
}

static void topic_that_is_not_there_yet_is_told_and_waited_for(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reader r = { .total = 0 };
    kafka_message message;
    gv_error err = { 0, "" };
    int64_t end = kafka_now_ms() + DEADLINE;

    (void)state;
    rd_kafka_mock_group_initial_rebalance_delay_ms(mock.cluster, 0);
    reader_open(&r, &mock);
    while (kafka_consume(r.c, 50, &message, &err) == GV_AGAIN)
        assert_true(kafka_now_ms() < end);
    assert_non_null(strstr(err.text, "topic " TOPIC " does not exist"));
    kafka_mock_topic(&mock, TOPIC, 1);
    write_records(&mock, 0, 10);
    read_until(&r, 10);
    kafka_consumer_close(r.c);
    kafka_mock_close(&mock);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_not_read_again_and_the_rest_is),
        cmocka_unit_test(revoked_partitions_can_be_committed_and_go_on_elsewhere),
        cmocka_unit_test(idling_takes_nothing_and_loses_nothing),
        cmocka_unit_test(partition_taken_away_while_idling_is_read_on_when_it_comes_back),
        cmocka_unit_test(progress_of_the_group_is_seen_for_every_partition),
        cmocka_unit_test(broker_that_is_away_is_told_once_and_reading_goes_on),
        cmocka_unit_test(topic_that_is_not_there_yet_is_told_and_waited_for),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
