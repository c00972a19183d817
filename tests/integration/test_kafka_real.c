/* The Kafka adapter against a real broker with all its listeners: what mock brokers cannot show.
 *
 * Needs what `eval "$(board/mainhost/services env)"` sets after `board/mainhost/services up --secure
 * kafka`; without GAVEL_KAFKA_SASL_SSL everything is skipped.
 */
#include "agent/net/kafka_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED  77
#define DEADLINE 30000
#define RECORDS  300

/* A name that no other run has used. */
static const char *new_name(const char *what)
{
    static char name[4][64];
    static unsigned count;
    char *text = name[count++ % 4];

    snprintf(text, 64, "test.%s.%ld.%lld", what, (long)getpid(), (long long)kafka_now_ms());
    return text;
}

/* --- a producer and what it tells ----------------------------------------------------------------- */
typedef struct {
    kafka_producer *p;
    unsigned acked, failed;
    kafka_failure failure;
    bool up;
    char text[KAFKA_TEXT_MAX]; /* of the last state, or of the last failed record */
    bool topics_done;
    gv_status topics;
    gv_error topics_err;
} client;

static void on_delivered(void *ctx, void *opaque, bool acked, kafka_failure failure,
                         const char *reason)
{
    client *c = ctx;

    (void)opaque;
    if (acked) {
        c->acked++;
        return;
    }
    c->failed++;
    c->failure = failure;
    snprintf(c->text, sizeof c->text, "%s", reason);
}

static void on_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    client *c = ctx;

    c->up = up;
    c->failure = failure;
    snprintf(c->text, sizeof c->text, "%s", text);
}

static void on_topics(void *ctx, gv_status status, const gv_error *err)
{
    client *c = ctx;

    c->topics_done = true;
    c->topics = status;
    c->topics_err = *err;
}

static void client_open(client *c, const kafka_config *config)
{
    const kafka_producer_events events = { on_delivered, on_state, c };
    gv_error err = { 0, "" };

    *c = (client){ .p = NULL };
    if (kafka_producer_open(config, NULL, &events, &c->p, &err) != GV_OK)
        fail_msg("%s", err.text);
}

#define POLL_UNTIL(c, condition)                                                                   \
    do {                                                                                           \
        int64_t end_ = kafka_now_ms() + DEADLINE;                                                  \
        while (!(condition)) {                                                                     \
            if (kafka_now_ms() > end_)                                                             \
                fail_msg("not within 30 s: %s (%s)", #condition, (c)->text);                       \
            kafka_producer_poll((c)->p);                                                           \
            usleep(2000);                                                                          \
        }                                                                                          \
    } while (0)

static gv_status ensure(client *c, const kafka_topic *topic, bool create)
{
    gv_error err = { 0, "" };

    c->topics_done = false;
    assert_int_equal(kafka_topics_ensure(c->p, topic, 1, create, DEADLINE, on_topics, c, &err),
                     GV_OK);
    POLL_UNTIL(c, c->topics_done);
    return c->topics;
}

static void send_one(client *c, const char *topic, const char *value)
{
    gv_error err = { 0, "" };

    if (kafka_produce(c->p, topic, gv_span_str(value), gv_span_str(value), 1, NULL, &err) != GV_OK)
        fail_msg("%s", err.text);
}

/* --- listeners and users -------------------------------------------------------------------------- */
static kafka_config plain(void)
{
    return (kafka_config){ .brokers = getenv("GAVEL_KAFKA"),
                           .client_id = "test",
                           .queue_bytes = 1 << 20 };
}

static kafka_config with_tls(kafka_config config, const char *listener)
{
    config.brokers = getenv(listener);
    config.ca_file = getenv("GAVEL_KAFKA_CA");
    config.security = config.username ? KAFKA_SASL_SSL : KAFKA_SSL;
    return config;
}

static kafka_config with_user(kafka_config config, const char *mechanism)
{
    config.brokers = getenv("GAVEL_KAFKA_SASL_PLAINTEXT");
    config.security = KAFKA_SASL_PLAINTEXT;
    config.sasl_mechanism = mechanism;
    config.username = getenv("GAVEL_KAFKA_USER");
    config.password = getenv("GAVEL_KAFKA_PASSWORD");
    return config;
}

static void every_way_to_log_in_works(void **state)
{
    static const char *const mechanisms[] = { "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" };
    const char *topic = new_name("login");
    const kafka_topic wanted = { .name = topic, .partitions = 1, .retention_ms = -1 };
    kafka_config ways[8] = { plain(), with_tls(plain(), "GAVEL_KAFKA_SSL") };
    size_t count = 2;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ways[count++] = with_user(plain(), mechanisms[i]);
        ways[count++] = with_tls(with_user(plain(), mechanisms[i]), "GAVEL_KAFKA_SASL_SSL");
    }
    for (size_t i = 0; i < count; i++) {
        client c;

        client_open(&c, &ways[i]);
        if (ensure(&c, &wanted, true) != GV_OK)
            fail_msg("way %zu: %s", i, c.topics_err.text);
        assert_true(c.up);
        send_one(&c, topic, "hello");
        assert_int_equal(kafka_producer_flush(c.p, DEADLINE), GV_OK);
        assert_int_equal(c.acked, 1);
        kafka_producer_close(c.p);
    }
}

static void client_certificate_passes_through(void **state)
{
    const kafka_property properties[] = {
        { "ssl.certificate.location", getenv("GAVEL_KAFKA_CLIENT_CERT") },
        { "ssl.key.location", getenv("GAVEL_KAFKA_CLIENT_KEY") },
    };
    kafka_config config = with_tls(plain(), "GAVEL_KAFKA_SSL");
    client c;

    (void)state;
    config.properties = properties;
    config.property_count = 2;
    client_open(&c, &config);
    POLL_UNTIL(&c, c.up);
    kafka_producer_close(c.p);
}

static void each_trouble_is_told_for_what_it_is(void **state)
{
    kafka_config wrong_password = with_user(plain(), "SCRAM-SHA-256");
    kafka_config wrong_plain = with_user(plain(), "PLAIN");
    kafka_config unknown_ca = with_tls(plain(), "GAVEL_KAFKA_SSL");
    kafka_config tls_to_plain = with_tls(plain(), "GAVEL_KAFKA");
    kafka_config plain_to_tls = plain();
    kafka_config plain_to_sasl = plain();
    kafka_config nobody = plain();
    kafka_config no_name = plain();

    (void)state;
    wrong_password.password = wrong_plain.password = "wrong";
    unknown_ca.ca_file = NULL;
    plain_to_tls.brokers = getenv("GAVEL_KAFKA_SSL");
    plain_to_sasl.brokers = getenv("GAVEL_KAFKA_SASL_PLAINTEXT");
    nobody.brokers = "127.0.0.1:1";
    no_name.brokers = "no-such-host.invalid:9092";
    const struct {
        const kafka_config *config;
        const char *words;
        kafka_failure failure;
    } cases[] = {
        { &wrong_password, "refused the user name or password", KAFKA_DENIED },
        { &wrong_plain, "refused the user name or password", KAFKA_DENIED },
        { &unknown_ca, "is not trusted: check kafka.ca_file", KAFKA_DENIED },
        { &tls_to_plain, "does not speak TLS", KAFKA_RETRY },
        { &plain_to_tls, "check kafka.security", KAFKA_RETRY },
        { &plain_to_sasl, "kafka.security", KAFKA_RETRY },
        { &nobody, "no broker answers at 127.0.0.1:1: connection refused", KAFKA_RETRY },
        { &no_name, "cannot be resolved", KAFKA_RETRY },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client c;

        client_open(&c, cases[i].config);
        POLL_UNTIL(&c, c.text[0] != '\0' && strcmp(c.text, "a broker answers") != 0);
        if (!strstr(c.text, cases[i].words))
            fail_msg("case %zu: \"%s\" is not in: %s", i, cases[i].words, c.text);
        assert_int_equal(c.failure, cases[i].failure);
        assert_false(c.up);
        kafka_producer_close(c.p);
    }
}

/* --- topics --------------------------------------------------------------------------------------- */
static void topics_are_created_as_asked_and_a_mismatch_is_told(void **state)
{
    kafka_topic topic = { .name = new_name("topics"),
                          .partitions = 3,
                          .replication = 1,
                          .retention_ms = -1,
                          .compacted = true };
    kafka_config config = plain();
    client c;

    (void)state;
    client_open(&c, &config);
    assert_int_equal(ensure(&c, &topic, false), GV_INVAL);
    assert_non_null(strstr(c.topics_err.text, "does not exist and kafka.create_topics is off"));
    assert_int_equal(ensure(&c, &topic, true), GV_OK);
    assert_string_equal(c.topics_err.text, "");
    assert_int_equal(ensure(&c, &topic, true), GV_OK);
    assert_string_equal(c.topics_err.text, "");
    topic.compacted = false;
    assert_int_equal(ensure(&c, &topic, true), GV_OK);
    assert_non_null(strstr(c.topics_err.text, "has cleanup.policy=compact"));
    topic.name = new_name("replicas");
    topic.replication = 15;
    assert_int_equal(ensure(&c, &topic, true), GV_INVAL);
    assert_non_null(strstr(c.topics_err.text, "kafka.replication"));
    topic.name = "not a/topic";
    assert_int_equal(ensure(&c, &topic, true), GV_INVAL);
    assert_non_null(strstr(c.topics_err.text, "not a/topic"));
    kafka_producer_close(c.p);
}

static void stranger_is_told_which_right_is_missing(void **state)
{
    const char *topic = new_name("secret");
    const kafka_topic wanted = { .name = topic, .partitions = 1 };
    kafka_config owner = plain(), stranger = with_user(plain(), "PLAIN");
    client c;

    (void)state;
    stranger.username = getenv("GAVEL_KAFKA_STRANGER");
    stranger.password = getenv("GAVEL_KAFKA_STRANGER_PASSWORD");
    client_open(&c, &owner);
    assert_int_equal(ensure(&c, &wanted, true), GV_OK);
    kafka_producer_close(c.p);

    client_open(&c, &stranger);
    assert_int_equal(ensure(&c, &wanted, true), GV_INVAL);
    if (!strstr(c.topics_err.text, "not allowed to") || !strstr(c.topics_err.text, topic))
        fail_msg("%s", c.topics_err.text);
    /* Told at once where librdkafka knows already, else as the record's outcome. */
    gv_error err = { 0, "" };
    if (kafka_produce(c.p, topic, gv_span_str("k"), gv_span_str("v"), 1, NULL, &err) == GV_OK) {
        assert_int_equal(kafka_producer_flush(c.p, DEADLINE), GV_OK);
        assert_int_equal(c.failed, 1);
        gv_fail(&err, GV_AGAIN, "%s", c.text);
    }
    assert_non_null(strstr(err.text, "not allowed to write topic"));
    kafka_producer_close(c.p);
}

/* --- a real group --------------------------------------------------------------------------------- */
typedef struct {
    kafka_consumer *c;
    const char *topic;
    unsigned times[RECORDS];
    kafka_position next[8];
    unsigned assigned, revoked, late;
} reader;

static void on_rebalance(void *ctx, bool assigned, bool lost, const kafka_position *partitions,
                         size_t count)
{
    reader *r = ctx;
    gv_error err = { 0, "" };

    if (assigned)
        r->assigned += (unsigned)count;
    else
        r->revoked += (unsigned)count;
    for (size_t i = 0; i < count && !assigned; i++)
        if (lost || (r->next[partitions[i].partition].topic &&
                     kafka_commit(r->c, &r->next[partitions[i].partition], 1, &err) != GV_OK))
            r->late++;
}

static void reader_open(reader *r, const kafka_config *config, const char *group, const char *topic)
{
    gv_error err = { 0, "" };

    r->topic = topic;
    if (kafka_consumer_open(config, group, &r->topic, 1, on_rebalance, r, &r->c, &err) != GV_OK)
        fail_msg("%s", err.text);
}

static void read_some(reader *r)
{
    kafka_message message;
    gv_error err = { 0, "" };

    for (int i = 0; i < 50; i++) {
        if (kafka_consume(r->c, 10, &message, &err) != GV_OK)
            return;
        r->times[strtoul((const char *)message.value.data, NULL, 10)]++;
        r->next[message.partition] =
            (kafka_position){ r->topic, message.partition, message.offset + 1 };
        kafka_message_free(&message);
    }
}

static void write_numbers(const kafka_config *config, const char *topic, unsigned from, unsigned to)
{
    static char numbers[RECORDS][8];
    const kafka_topic wanted = { .name = topic, .partitions = 4, .retention_ms = -1 };
    client c;

    client_open(&c, config);
    assert_int_equal(ensure(&c, &wanted, true), GV_OK);
    for (unsigned i = from; i < to; i++) {
        snprintf(numbers[i], sizeof numbers[i], "%u", i);
        send_one(&c, topic, numbers[i]);
    }
    assert_int_equal(kafka_producer_flush(c.p, DEADLINE), GV_OK);
    assert_int_equal(c.acked, to - from);
    kafka_producer_close(c.p);
}

static unsigned seen(const reader *a, const reader *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < RECORDS; i++)
        count += a->times[i] + b->times[i] > 0;
    return count;
}

static void moved_partitions_are_committed_and_nothing_is_read_twice(void **state)
{
    const char *topic = new_name("group");
    kafka_config config = with_tls(with_user(plain(), "SCRAM-SHA-512"), "GAVEL_KAFKA_SASL_SSL");
    reader first = { .c = NULL }, second = { .c = NULL };
    int64_t end = kafka_now_ms() + 2 * DEADLINE;

    (void)state;
    write_numbers(&config, topic, 0, 200);
    reader_open(&first, &config, topic, topic);
    while (seen(&first, &second) < 200) {
        assert_true(kafka_now_ms() < end);
        read_some(&first);
    }
    reader_open(&second, &config, topic, topic);
    while (first.revoked == 0 || second.assigned == 0) {
        assert_true(kafka_now_ms() < end);
        read_some(&first);
        read_some(&second);
    }
    write_numbers(&config, topic, 200, RECORDS);
    while (seen(&first, &second) < RECORDS) {
        assert_true(kafka_now_ms() < end);
        read_some(&first);
        read_some(&second);
    }
    assert_int_equal(first.late, 0);
    for (unsigned i = 0; i < RECORDS; i++)
        assert_int_equal(first.times[i] + second.times[i], 1);
    kafka_consumer_close(second.c);
    kafka_consumer_close(first.c);
}

static void progress_of_a_real_group_is_seen(void **state)
{
    const char *topic = new_name("progress");
    kafka_config config = plain();
    reader r = { .c = NULL }, none = { .c = NULL };
    kafka_partition partitions[8];
    gv_error err = { 0, "" };
    size_t count = 0;
    int64_t high = 0;

    (void)state;
    write_numbers(&config, topic, 0, 100);
    reader_open(&r, &config, topic, topic);
    assert_int_equal(kafka_partitions(r.c, topic, DEADLINE, partitions, 8, &count, &err), GV_OK);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++)
        high += partitions[i].high;
    assert_int_equal(high, 100);
    while (seen(&r, &none) < 100)
        read_some(&r);
    for (size_t i = 0; i < 4; i++)
        if (r.next[i].topic)
            assert_int_equal(kafka_commit(r.c, &r.next[i], 1, &err), GV_OK);
    assert_int_equal(kafka_partitions(r.c, topic, DEADLINE, partitions, 8, &count, &err), GV_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(partitions[i].committed == -1 ? 0 : partitions[i].committed,
                         partitions[i].high);
    kafka_consumer_close(r.c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_log_in_works),
        cmocka_unit_test(client_certificate_passes_through),
        cmocka_unit_test(each_trouble_is_told_for_what_it_is),
        cmocka_unit_test(topics_are_created_as_asked_and_a_mismatch_is_told),
        cmocka_unit_test(stranger_is_told_which_right_is_missing),
        cmocka_unit_test(moved_partitions_are_committed_and_nothing_is_read_twice),
        cmocka_unit_test(progress_of_a_real_group_is_seen),
    };

    if (!getenv("GAVEL_KAFKA") || !getenv("GAVEL_KAFKA_SASL_SSL")) {
        printf("skipped: no broker with secured listeners in the environment\n");
        return SKIPPED;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
