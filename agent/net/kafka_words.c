#include "agent/net/kafka_internal.h"

#include <stdio.h>
#include <string.h>

const char *kafka_failure_name(kafka_failure failure)
{
    static const char *const names[] = { "retry", "denied", "no-topic", "bad-record", "fatal" };

    return names[failure];
}

kafka_failure kafka_classify(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
        return KAFKA_DENIED;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return KAFKA_NO_TOPIC;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        return KAFKA_BAD_RECORD;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
        return KAFKA_FATAL;
    default: /* all others pass, also what a newer broker may invent */
        return KAFKA_RETRY;
    }
}

/* librdkafka begins with the broker's name, such as "sasl_ssl://host:9093/bootstrap: ", and ends
 * with " (after 3ms in state CONNECT, 4 identical error(s) suppressed)". */
typedef struct {
    char broker[72];
    char what[120];
} broker_reason;

static void copy_part(char *out, size_t cap, const char *from, size_t len)
{
    if (len >= cap)
        len = cap - 1;
    memcpy(out, from, len);
    out[len] = '\0';
}

static broker_reason split_reason(const char *reason)
{
    broker_reason parts = { "", "" };
    const char *rest = reason;
    const char *after = strstr(reason, " (after ");
    const char *scheme = strstr(reason, "://");
    const char *name = scheme ? scheme + 3 : reason;
    const char *colon = strstr(name, ": ");

    if (colon) {
        size_t len = (size_t)(colon - name);
        const char *slash = memchr(name, '/', len);

        if (slash)
            copy_part(parts.broker, sizeof parts.broker, name, (size_t)(slash - name));
        else if (strncmp(name, "GroupCoordinator", 16) == 0 ||
                 strncmp(name, "TxnCoordinator", 14) == 0)
            copy_part(parts.broker, sizeof parts.broker, "the group's coordinator", 23);
        if (parts.broker[0] != '\0')
            rest = colon + 2;
    }
    if (after && after < rest)
        after = NULL;
    copy_part(parts.what, sizeof parts.what, rest, after ? (size_t)(after - rest) : strlen(rest));
    return parts;
}

static void describe_tls(const broker_reason *why, char text[KAFKA_TEXT_MAX])
{
    static const struct {
        const char *sign;
        const char *words;
    } known[] = {
        { "expired", "has expired, or this machine's clock is wrong" },
        { "not yet valid", "is not valid yet, or this machine's clock is wrong" },
        { "mismatch", "is for another host name: use the name that is in it in kafka.brokers" },
        { "verif", "is not trusted: check kafka.ca_file" },
        { "self-signed", "is not trusted: check kafka.ca_file" },
        { "self signed", "is not trusted: check kafka.ca_file" },
        { "unable to get", "is not trusted: check kafka.ca_file" },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(why->what, known[i].sign)) {
            snprintf(text, KAFKA_TEXT_MAX, "TLS: the certificate of the broker at %s %s",
                     why->broker, known[i].words);
            return;
        }
    if (strstr(why->what, "wrong version number") || strstr(why->what, "packet length too long") ||
        strstr(why->what, "record layer failure") || strstr(why->what, "PLAINTEXT broker"))
        snprintf(text, KAFKA_TEXT_MAX,
                 "TLS: the listener at %s does not speak TLS: check kafka.security and the port",
                 why->broker);
    else
        snprintf(text, KAFKA_TEXT_MAX, "TLS with the broker at %s failed: %s", why->broker,
                 why->what);
}

static void describe_transport(const broker_reason *why, char text[KAFKA_TEXT_MAX])
{
    const char *failed = strstr(why->what, " failed: ");
    char cause[64];

    if (strncmp(why->what, "Connect to ", 11) == 0 && failed) {
        snprintf(cause, sizeof cause, "%s", failed + 9);
        if (cause[0] >= 'A' && cause[0] <= 'Z')
            cause[0] = (char)(cause[0] + 'a' - 'A');
        snprintf(text, KAFKA_TEXT_MAX, "no broker answers at %s: %s", why->broker, cause);
    } else if (strstr(why->what, "SSL handshake")) {
        describe_tls(why, text);
    } else if (strstr(why->what, "ApiVersion")) {
        snprintf(
            text, KAFKA_TEXT_MAX,
            "%s hangs up before a word is said: check kafka.security (is that a TLS listener?) "
            "and the port",
            why->broker);
    } else if (strstr(why->what, "require SASL")) {
        snprintf(text, KAFKA_TEXT_MAX,
                 "the broker at %s hangs up: is it going down, or does kafka.security not fit it "
                 "(it may ask for a user)?",
                 why->broker);
    } else {
        snprintf(text, KAFKA_TEXT_MAX, "the connection to the broker at %s broke: %s", why->broker,
                 why->what);
    }
}

static void describe_topic(rd_kafka_resp_err_t code, const char *topic, const char *doing,
                           char text[KAFKA_TEXT_MAX])
{
    switch (kafka_classify(code)) {
    case KAFKA_DENIED:
        snprintf(text, KAFKA_TEXT_MAX,
                 "not allowed to %s topic %s: grant %s on it to the user of kafka.username", doing,
                 topic, strcmp(doing, "write") == 0 ? "WRITE" : "READ");
        break;
    case KAFKA_NO_TOPIC:
        if (code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
            snprintf(text, KAFKA_TEXT_MAX, "%s is no valid name for a topic", topic);
        else
            snprintf(text, KAFKA_TEXT_MAX, "topic %s does not exist", topic);
        break;
    case KAFKA_BAD_RECORD:
        snprintf(text, KAFKA_TEXT_MAX,
                 "topic %s does not take this record: %s (see max.message.bytes of the topic)",
                 topic, rd_kafka_err2str(code));
        break;
    default:
        snprintf(text, KAFKA_TEXT_MAX, "topic %s: %s", topic, rd_kafka_err2str(code));
    }
}

void kafka_describe(rd_kafka_resp_err_t code, const char *reason, const char *topic,
                    const char *doing, char text[KAFKA_TEXT_MAX])
{
    broker_reason why = split_reason(reason ? reason : rd_kafka_err2str(code));

    if (topic) {
        describe_topic(code, topic, doing, text);
        return;
    }
    if (why.broker[0] == '\0')
        snprintf(why.broker, sizeof why.broker, "kafka.brokers");
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        snprintf(text, KAFKA_TEXT_MAX,
                 "the broker at %s refused the user name or password: check kafka.username, "
                 "kafka.password and kafka.sasl_mechanism",
                 why.broker);
        break;
    case RD_KAFKA_RESP_ERR__SSL:
        describe_tls(&why, text);
        break;
    case RD_KAFKA_RESP_ERR__RESOLVE:
        snprintf(text, KAFKA_TEXT_MAX,
                 "the name of the broker at %s cannot be resolved: check kafka.brokers and this "
                 "machine's DNS",
                 why.broker);
        break;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
        describe_transport(&why, text);
        break;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        snprintf(text, KAFKA_TEXT_MAX, "no broker answers: check kafka.brokers");
        break;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        snprintf(text, KAFKA_TEXT_MAX,
                 "not allowed to write: grant WRITE on the topics (or IDEMPOTENT_WRITE on the "
                 "cluster) to the user of kafka.username");
        break;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        snprintf(text, KAFKA_TEXT_MAX,
                 "not allowed to use the consumer group: grant READ on it to the user of "
                 "kafka.username");
        break;
    default:
        snprintf(text, KAFKA_TEXT_MAX, "%s", why.what);
    }
}

static void tell_state(kafka_link *link, bool up, kafka_failure failure, const char *text,
                       kafka_link_fn *tell, void *ctx)
{
    if (link->told && link->up == up && link->failure == failure && strcmp(link->text, text) == 0)
        return;
    link->told = true;
    link->up = up;
    link->failure = failure;
    snprintf(link->text, sizeof link->text, "%s", text);
    if (tell)
        tell(ctx, up, failure, link->text);
}

void kafka_link_up(kafka_link *link, kafka_link_fn *tell, void *ctx)
{
    link->cause[0] = '\0';
    link->all_down = false;
    tell_state(link, true, KAFKA_RETRY, "a broker answers", tell, ctx);
}

void kafka_link_error(kafka_link *link, rd_kafka_resp_err_t code, const char *reason,
                      kafka_link_fn *tell, void *ctx)
{
    char text[KAFKA_TEXT_MAX];

    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        link->all_down = true;
        if (link->cause[0] != '\0')
            tell_state(link, false, link->cause_failure, link->cause, tell, ctx);
        return;
    }
    kafka_describe(code, reason, NULL, "", text);
    /* A broker that refuses us says more than the silence of another. */
    if (kafka_classify(code) != KAFKA_DENIED && link->cause[0] != '\0' &&
        link->cause_failure == KAFKA_DENIED)
        return;
    link->cause_failure = kafka_classify(code);
    snprintf(link->cause, sizeof link->cause, "%s", text);
    /* One broker of several that is away is no outage. */
    if (link->cause_failure == KAFKA_DENIED || link->all_down)
        tell_state(link, false, link->cause_failure, text, tell, ctx);
}
