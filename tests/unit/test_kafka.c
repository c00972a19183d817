/* The Kafka adapter: settings, words, producer and topics, against librdkafka's mock brokers. */
#include "agent/net/kafka_internal.h"
#include "gavel_version.h"
#include "platform/clock.h"
#include "tests/doubles/kafka_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TOPIC    "letters"
#define REPORTS  64
#define DEADLINE 30000

#ifdef GAVEL_DEP_OPENSSL
#define BEST_SECURITY KAFKA_SSL
#else
#define BEST_SECURITY KAFKA_PLAINTEXT
#endif

/* --- settings ------------------------------------------------------------------------------------ */
static const kafka_producer_events no_events;

static void expect_refusal(const kafka_config *config, const char *const *words, const char *never)
{
    gv_error err = { 0, "" };
    kafka_producer *p = NULL;

    assert_int_equal(kafka_producer_open(config, NULL, &no_events, &p, &err), GV_INVAL);
    assert_null(p);
    for (; *words; words++)
        if (!strstr(err.text, *words))
            fail_msg("\"%s\" is not in: %s", *words, err.text);
    if (never)
        assert_null(strstr(err.text, never));
}

static void property_that_breaks_a_promise_is_refused_with_the_reason(void **state)
{
    static const char *const names[] = { "acks",
                                         "enable.idempotence",
                                         "enable.auto.commit",
                                         "enable.auto.offset.store",
                                         "transactional.id",
                                         "auto.offset.reset" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const kafka_property property = { names[i], "1" };
        const kafka_config config = { .brokers = "localhost:1",
                                      .queue_bytes = 65536,
                                      .properties = &property,
                                      .property_count = 1 };

        expect_refusal(&config, (const char *[]){ names[i], "cannot be set: ", NULL }, NULL);
    }
}

static void wrong_property_is_named_and_a_secret_is_not_repeated(void **state)
{
    static const struct {
        kafka_property property;
        const char *words;
    } wrong[] = {
        { { "linger.msec", "5" }, "no such property" },
        { { "linger.ms", "five" }, "linger.ms" },
        { { "batch.size", "-1" }, "batch.size" },
        { { "ssl.key.password.callback", "hunter2" }, "ssl.key.password" },
        { { "ssl.key.pem", "hunter2" }, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const kafka_config config = { .brokers = "localhost:1",
                                      .queue_bytes = 65536,
                                      .security = BEST_SECURITY,
                                      .properties = &wrong[i].property,
                                      .property_count = 1 };

        expect_refusal(&config, (const char *[]){ wrong[i].property.name, wrong[i].words, NULL },
                       "hunter2");
    }
}

static void passed_through_property_wins(void **state)
{
    /* Accepted alone, but not beside a linger.ms that is longer: so ours was replaced. */
    const kafka_property properties[] = { { "message.timeout.ms", "1000" },
                                          { "linger.ms", "2000" } };
    const kafka_config config = { .brokers = "localhost:1",
                                  .queue_bytes = 65536,
                                  .properties = properties,
                                  .property_count = 2 };

    (void)state;
    expect_refusal(&config, (const char *[]){ "message.timeout.ms", "linger.ms", NULL }, NULL);
}

static void user_without_name_or_password_is_asked_for(void **state)
{
    kafka_config config = { .brokers = "localhost:1",
                            .queue_bytes = 65536,
                            .security = KAFKA_SASL_PLAINTEXT };

    (void)state;
    expect_refusal(&config, (const char *[]){ "kafka.username", NULL }, NULL);
    config.username = "u";
    expect_refusal(&config, (const char *[]){ "kafka.password", NULL }, NULL);
    config.password = "hunter2";
    config.sasl_mechanism = "plain-text";
    expect_refusal(&config, (const char *[]){ "PLAIN-TEXT", NULL }, "hunter2");
}

#ifdef GAVEL_DEP_OPENSSL
static void what_tls_and_scram_lack_is_named(void **state)
{
    kafka_config config = { .brokers = "localhost:1",
                            .queue_bytes = 65536,
                            .security = KAFKA_SASL_SSL,
                            .username = "u",
                            .password = "hunter2",
                            .sasl_mechanism = "scram-md5" };

    (void)state;
    expect_refusal(&config, (const char *[]){ "SCRAM-MD5", NULL }, "hunter2");
    config.sasl_mechanism = "scram-sha-256";
    config.ca_file = "/does/not/exist.pem";
    expect_refusal(&config, (const char *[]){ "/does/not/exist.pem", NULL }, "hunter2");
}
#else
static void what_this_build_lacks_is_refused_with_the_package_that_has_it(void **state)
{
    kafka_config config = { .brokers = "localhost:1",
                            .queue_bytes = 65536,
                            .security = KAFKA_SSL,
                            .username = "u",
                            .password = "hunter2" };

    (void)state;
    expect_refusal(&config, (const char *[]){ "kafka.security", "TLS", "toolchains/build", NULL },
                   NULL);
    config.security = KAFKA_SASL_PLAINTEXT;
    config.sasl_mechanism = "SCRAM-SHA-256";
    expect_refusal(&config,
                   (const char *[]){ "kafka.sasl_mechanism", "SCRAM", "toolchains/build", NULL },
                   "hunter2");
    config.security = KAFKA_PLAINTEXT;
    config.properties = &(kafka_property){ "ssl.ca.location", "/etc/ssl/certs" };
    config.property_count = 1;
    expect_refusal(&config, (const char *[]){ "ssl.ca.location", "toolchains/build", NULL }, NULL);
}
#endif

static void settings_are_checked_without_a_connection(void **state)
{
    const kafka_property property = { "linger.sm", "1" };
    kafka_config config = { .brokers = "localhost:1",
                            .queue_bytes = 65536,
                            .security = KAFKA_SASL_PLAINTEXT,
                            .username = "u",
                            .password = "p" };
    gv_error err = { 0, "" };

    (void)state;
    assert_int_equal(kafka_config_check(&config, &err), GV_OK);
    config.properties = &property;
    config.property_count = 1;
    assert_int_equal(kafka_config_check(&config, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "linger.sm"));
}

/* --- words --------------------------------------------------------------------------------------- */
static void every_trouble_is_told_as_a_person_understands_it(void **state)
{
    static const struct {
        rd_kafka_resp_err_t code;
        const char *reason, *topic, *words;
        kafka_failure failure;
    } known[] = {
        { RD_KAFKA_RESP_ERR__TRANSPORT,
          "kafka.home:9092/bootstrap: Connect to ipv4#10.0.0.2:9092 failed: Connection refused "
          "(after 0ms in state CONNECT, 5 identical error(s) suppressed)",
          NULL, "no broker answers at kafka.home:9092: connection refused", KAFKA_RETRY },
        { RD_KAFKA_RESP_ERR__TRANSPORT, "[::1]:9092/3: Disconnected (after 12345ms in state UP)",
          NULL, "the connection to the broker at [::1]:9092 broke: Disconnected", KAFKA_RETRY },
        { RD_KAFKA_RESP_ERR__RESOLVE,
          "kafka.hmoe:9092/bootstrap: Failed to resolve 'kafka.hmoe:9092': Name or service not "
          "known",
          NULL,
          "the name of the broker at kafka.hmoe:9092 cannot be resolved: check kafka.brokers and "
          "this machine's DNS",
          KAFKA_RETRY },
        { RD_KAFKA_RESP_ERR__AUTHENTICATION,
          "sasl_ssl://kafka.home:9094/bootstrap: SASL authentication error: Authentication failed "
          "(after 302ms in state AUTH_REQ)",
          NULL,
          "the broker at kafka.home:9094 refused the user name or password: check kafka.username, "
          "kafka.password and kafka.sasl_mechanism",
          KAFKA_DENIED },
        { RD_KAFKA_RESP_ERR__SSL,
          "ssl://kafka.home:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::"
          "certificate verify failed: broker certificate could not be verified",
          NULL,
          "TLS: the certificate of the broker at kafka.home:9093 is not trusted: check "
          "kafka.ca_file",
          KAFKA_DENIED },
        { RD_KAFKA_RESP_ERR__SSL,
          "ssl://kafka.home:9092/bootstrap: SSL handshake failed: error:0A00010B:SSL "
          "routines::wrong version number",
          NULL,
          "TLS: the listener at kafka.home:9092 does not speak TLS: check kafka.security and the "
          "port",
          KAFKA_DENIED },
        { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL, "t",
          "not allowed to write topic t: grant WRITE on it to the user of kafka.username",
          KAFKA_DENIED },
        { RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, NULL, "t", "topic t does not exist",
          KAFKA_NO_TOPIC },
        { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, NULL, "t",
          "topic t does not take this record: Broker: Message size too large (see "
          "max.message.bytes of the topic)",
          KAFKA_BAD_RECORD },
        { RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, NULL, "t",
          "topic t: Broker: Not enough in-sync replicas", KAFKA_RETRY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[KAFKA_TEXT_MAX];

        kafka_describe(known[i].code, known[i].reason, known[i].topic, "write", text);
        assert_string_equal(text, known[i].words);
        assert_int_equal(kafka_classify(known[i].code), known[i].failure);
    }
}

static void words_of_any_length_fit(void **state)
{
    char reason[2000], text[KAFKA_TEXT_MAX];

    (void)state;
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    memcpy(reason + 900, "/1: ", 4);
    kafka_describe(RD_KAFKA_RESP_ERR__TRANSPORT, reason, NULL, "write", text);
    assert_true(strlen(text) > 10);
    kafka_describe(RD_KAFKA_RESP_ERR__TRANSPORT, "", NULL, "write", text);
    assert_true(strlen(text) > 10);
    kafka_describe(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL, reason, "write", text);
    assert_true(strlen(text) < sizeof text);
}

typedef struct {
    int count;
    bool up;
    char text[KAFKA_TEXT_MAX];
} told;

static void note_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    told *t = ctx;

    (void)failure;
    t->count++;
    t->up = up;
    snprintf(t->text, sizeof t->text, "%s", text);
}

static void state_is_told_once_for_each_change(void **state)
{
    kafka_link link = { .told = false };
    told t = { 0, false, "" };
    const rd_kafka_resp_err_t transport = RD_KAFKA_RESP_ERR__TRANSPORT;
    const rd_kafka_resp_err_t all_down = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;

    (void)state;
    kafka_link_up(&link, note_state, &t);
    kafka_link_up(&link, note_state, &t);
    assert_int_equal(t.count, 1);
    kafka_link_error(&link, all_down, "1/1 brokers are down", note_state, &t);
    assert_int_equal(t.count, 1); /* only an idle connection was closed */
    kafka_link_up(&link, note_state, &t);
    kafka_link_error(&link, transport, "a:1/1: Disconnected", note_state, &t);
    assert_int_equal(t.count, 1); /* one broker of several */
    kafka_link_error(&link, all_down, "2/2 brokers are down", note_state, &t);
    assert_int_equal(t.count, 2);
    assert_false(t.up);
    kafka_link_error(&link, all_down, "2/2 brokers are down", note_state, &t);
    kafka_link_error(&link, transport, "a:1/1: Disconnected (after 7ms in state UP)", note_state,
                     &t);
    assert_int_equal(t.count, 2);
    kafka_link_error(&link, RD_KAFKA_RESP_ERR__AUTHENTICATION, "a:1/1: no", note_state, &t);
    assert_int_equal(t.count, 3);
    kafka_link_error(&link, transport, "a:1/1: Disconnected", note_state, &t);
    assert_int_equal(t.count, 3); /* being refused is the better reason */
    kafka_link_up(&link, note_state, &t);
    assert_int_equal(t.count, 4);
    assert_true(t.up);
}

/* --- producer ------------------------------------------------------------------------------------ */
typedef struct {
    size_t count;
    struct {
        void *opaque;
        bool acked;
        kafka_failure failure;
    } report[REPORTS];
    told link;
} reports;

static void note_delivery(void *ctx, void *opaque, bool acked, kafka_failure failure,
                          const char *reason)
{
    reports *r = ctx;

    assert_true(acked ? reason == NULL : reason != NULL && reason[0] != '\0');
    assert_true(r->count < REPORTS);
    r->report[r->count].opaque = opaque;
    r->report[r->count].acked = acked;
    r->report[r->count++].failure = failure;
}

static void note_link(void *ctx, bool up, kafka_failure failure, const char *text)
{
    note_state(&((reports *)ctx)->link, up, failure, text);
}

static kafka_producer *open_producer_on(plat_loop *loop, const kafka_mock *mock,
                                        uint32_t timeout_ms, reports *r)
{
    const kafka_producer_events events = { note_delivery, note_link, r };
    const kafka_config config = { .brokers = mock->brokers,
                                  .client_id = "test",
                                  .queue_bytes = 65536,
                                  .queue_records = REPORTS,
                                  .delivery_timeout_ms = timeout_ms };
    gv_error err = { 0, "" };
    kafka_producer *p = NULL;

    if (kafka_producer_open(&config, loop, &events, &p, &err) != GV_OK)
        fail_msg("%s", err.text);
    return p;
}

static kafka_producer *open_producer(const kafka_mock *mock, uint32_t timeout_ms, reports *r)
{
    return open_producer_on(NULL, mock, timeout_ms, r);
}

static void send_text(kafka_producer *p, const char *text)
{
    gv_error err = { 0, "" };

    if (kafka_produce(p, TOPIC, gv_span_str("k"), gv_span_str(text), 1000, (void *)(uintptr_t)text,
                      &err) != GV_OK)
        fail_msg("%s", err.text);
}

static void unacknowledged_record_is_reported_with_what_to_do(void **state)
{
    static const struct {
        rd_kafka_resp_err_t code;
        kafka_failure failure;
    } known[] = {
        { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, KAFKA_DENIED },
        { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, KAFKA_BAD_RECORD },
        { RD_KAFKA_RESP_ERR_INVALID_RECORD, KAFKA_BAD_RECORD },
        { RD_KAFKA_RESP_ERR_POLICY_VIOLATION, KAFKA_RETRY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        kafka_mock mock = kafka_mock_open(1);
        reports r = { .count = 0 };
        kafka_producer *p;

        kafka_mock_topic(&mock, TOPIC, 1);
        p = open_producer(&mock, 0, &r);
        kafka_mock_errors(&mock, KAFKA_MOCK_PRODUCE, &known[i].code, 1);
        send_text(p, "one");
        assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
        assert_int_equal(r.count, 1);
        assert_false(r.report[0].acked);
        assert_int_equal(r.report[0].failure, known[i].failure);
        assert_string_equal(r.report[0].opaque, "one");
        kafka_producer_close(p);
        kafka_mock_close(&mock);
    }
}

static void record_without_answer_is_reported_after_the_delivery_timeout(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reports r = { .count = 0 };
    kafka_producer *p;

    (void)state;
    kafka_mock_topic(&mock, TOPIC, 1);
    kafka_mock_down(&mock);
    p = open_producer(&mock, 300, &r);
    send_text(p, "one");
    assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
    assert_int_equal(r.count, 1);
    assert_false(r.report[0].acked);
    assert_int_equal(r.report[0].failure, KAFKA_RETRY);
    kafka_producer_close(p);
    kafka_mock_close(&mock);
}

static void closing_reports_what_is_unreported(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reports r = { .count = 0 };
    kafka_producer *p;

    (void)state;
    kafka_mock_topic(&mock, TOPIC, 1);
    kafka_mock_down(&mock);
    p = open_producer(&mock, 0, &r);
    for (int i = 0; i < 5; i++)
        send_text(p, "one");
    assert_int_equal(kafka_producer_flush(p, 50), GV_AGAIN);
    kafka_producer_close(p);
    assert_int_equal(r.count, 5);
    for (size_t i = 0; i < r.count; i++)
        assert_true(!r.report[i].acked && r.report[i].failure == KAFKA_RETRY);
    kafka_mock_close(&mock);
}

static void full_queue_is_told_and_takes_more_after_a_delivery(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reports r = { .count = 0 };
    kafka_producer *p;
    gv_error err = { 0, "" };

    (void)state;
    kafka_mock_topic(&mock, TOPIC, 1);
    p = open_producer(&mock, 0, &r);
    for (int i = 0; i < REPORTS; i++)
        send_text(p, "one");
    assert_int_equal(kafka_produce(p, TOPIC, gv_span_str("k"), gv_span_str("more"), 0, NULL, &err),
                     GV_FULL);
    assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
    assert_int_equal(r.count, REPORTS);
    assert_true(r.link.up);
    r.count = 0;
    send_text(p, "more");
    assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
    assert_int_equal(r.count, 1);
    kafka_producer_close(p);
    kafka_mock_close(&mock);
}

static void see_headers(void *ctx, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t len;

    (void)ctx;
    assert_int_equal(rd_kafka_message_headers(message, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_header_cnt(headers), 2);
    assert_int_equal(rd_kafka_header_get_last(headers, "why", &value, &len), 0);
    assert_int_equal(len, 5);
    assert_memory_equal(value, "wrong", 5);
    assert_int_equal(rd_kafka_header_get_last(headers, "empty", &value, &len), 0);
    assert_int_equal(len, 0);
}

static void headers_arrive(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reports r = { .count = 0 };
    const kafka_header headers[] = { { "why", gv_span_str("wrong") }, { "empty", { NULL, 0 } } };
    gv_error err = { 0, "" };
    kafka_producer *p;

    (void)state;
    kafka_mock_topic(&mock, TOPIC, 1);
    p = open_producer(&mock, 0, &r);
    assert_int_equal(kafka_produce_with_headers(p, TOPIC, gv_span_str("k"), gv_span_str("v"), 5,
                                                headers, 2, NULL, &err),
                     GV_OK);
    assert_int_equal(kafka_producer_flush(p, DEADLINE), GV_OK);
    assert_int_equal(kafka_mock_read(&mock, TOPIC, see_headers, NULL), 1);
    kafka_producer_close(p);
    kafka_mock_close(&mock);
}

/* --- topics -------------------------------------------------------------------------------------- */
typedef struct {
    bool is_done;
    gv_status status;
    gv_error err;
} outcome;

static void note_outcome(void *ctx, gv_status status, const gv_error *err)
{
    outcome *o = ctx;

    assert_false(o->is_done);
    *o = (outcome){ true, status, *err };
}

/* Waits on the loop: to poll or flush without a pause would keep librdkafka's threads from their work. */
static outcome ensure(plat_loop *loop, kafka_producer *p, const char *name, bool create,
                      uint32_t timeout_ms)
{
    const kafka_topic topic = { .name = name, .partitions = 2 };
    outcome o = { .is_done = false };
    gv_error err = { 0, "" };
    int64_t end = kafka_now_ms() + DEADLINE;

    assert_int_equal(kafka_topics_ensure(p, &topic, 1, create, timeout_ms, note_outcome, &o, &err),
                     GV_OK);
    assert_int_equal(kafka_topics_ensure(p, &topic, 1, create, timeout_ms, note_outcome, &o, &err),
                     GV_AGAIN);
    while (!o.is_done) {
        assert_true(kafka_now_ms() < end);
        kafka_producer_poll(p);
        assert_int_equal(plat_loop_wait(loop, 100, &err), GV_OK);
    }
    return o;
}

static void topics_are_checked_and_a_broker_that_is_away_is_no_error(void **state)
{
    kafka_mock mock = kafka_mock_open(1);
    reports r = { .count = 0 };
    gv_error err = { 0, "" };
    plat_loop *loop = plat_loop_open(&err);
    kafka_producer *p;
    outcome o;

    (void)state;
    assert_non_null(loop);
    kafka_mock_topic(&mock, TOPIC, 1);
    kafka_mock_down(&mock);
    p = open_producer_on(loop, &mock, 0, &r);
    o = ensure(loop, p, TOPIC, false, 100);
    assert_int_equal(o.status, GV_IO);
    kafka_mock_up(&mock);
    o = ensure(loop, p, TOPIC, false, DEADLINE / 2);
    assert_int_equal(o.status, GV_OK);
    assert_string_equal(o.err.text, "");
    assert_true(r.link.up);
    o = ensure(loop, p, "nowhere", false, DEADLINE / 2);
    assert_int_equal(o.status, GV_INVAL);
    assert_non_null(strstr(o.err.text, "topic nowhere does not exist"));
    o = ensure(loop, p, "nowhere", true, DEADLINE / 2);
    assert_int_equal(o.status, GV_OK);
    assert_non_null(strstr(o.err.text, "creates no topics on request"));
    kafka_producer_close(p);
    plat_loop_close(loop);
    kafka_mock_close(&mock);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(property_that_breaks_a_promise_is_refused_with_the_reason),
        cmocka_unit_test(wrong_property_is_named_and_a_secret_is_not_repeated),
        cmocka_unit_test(passed_through_property_wins),
        cmocka_unit_test(user_without_name_or_password_is_asked_for),
#ifdef GAVEL_DEP_OPENSSL
        cmocka_unit_test(what_tls_and_scram_lack_is_named),
#else
        cmocka_unit_test(what_this_build_lacks_is_refused_with_the_package_that_has_it),
#endif
        cmocka_unit_test(settings_are_checked_without_a_connection),
        cmocka_unit_test(every_trouble_is_told_as_a_person_understands_it),
        cmocka_unit_test(words_of_any_length_fit),
        cmocka_unit_test(state_is_told_once_for_each_change),
        cmocka_unit_test(unacknowledged_record_is_reported_with_what_to_do),
        cmocka_unit_test(record_without_answer_is_reported_after_the_delivery_timeout),
        cmocka_unit_test(closing_reports_what_is_unreported),
        cmocka_unit_test(full_queue_is_told_and_takes_more_after_a_delivery),
        cmocka_unit_test(headers_arrive),
        cmocka_unit_test(topics_are_checked_and_a_broker_that_is_away_is_no_error),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
