#include "agent/net/kafka_internal.h"

#include "gavel_version.h"
#include "platform/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Properties that would break a promise, and why they are refused. */
static const struct {
    const char *name;
    const char *why;
} refused[] = {
    { "acks", "gavel always waits for all in-sync replicas (acks=all)" },
    { "request.required.acks", "gavel always waits for all in-sync replicas (acks=all)" },
    { "enable.idempotence", "without it a retry could store a record twice or out of order" },
    { "transactional.id", "gavel does not use transactions" },
    { "delivery.report.only.error", "every record's outcome must be reported" },
    { "queuing.strategy", "records are kept in order" },
    { "log.queue", "messages of the library are taken on gavel's own thread" },
    { "enable.auto.commit", "an offset is committed only when the store has its record" },
    { "auto.commit.enable", "an offset is committed only when the store has its record" },
    { "enable.auto.offset.store", "an offset is committed only when the store has its record" },
    { "auto.offset.reset", "a group without offsets starts at the earliest record" },
    { "group.id", "it has an option of its own: sink.group" },
    { "client.software.name", "it tells the broker's operator which program this is" },
};

/* Whose values are never repeated in a message. */
static bool is_secret(const char *name)
{
    return strstr(name, "password") || strstr(name, "secret") || strstr(name, "key.pem") ||
           strstr(name, "oauthbearer.config") || strstr(name, "jaas");
}

gv_status kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, gv_error *err)
{
    char why[256] = "";

    switch (rd_kafka_conf_set(conf, name, value, why, sizeof why)) {
    case RD_KAFKA_CONF_OK:
        return GV_OK;
    case RD_KAFKA_CONF_UNKNOWN:
        return gv_fail(err, GV_INVAL,
                       "Kafka property %s: librdkafka %s has no such property: check its spelling",
                       name, rd_kafka_version_str());
    default:
        return gv_fail(err, GV_INVAL, "Kafka property %s: %s", name,
                       is_secret(name) ? "its value is not accepted" : why);
    }
}

gv_status kafka_conf_set_int(rd_kafka_conf_t *conf, const char *name, uint64_t value, gv_error *err)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    return kafka_conf_set(conf, name, text, err);
}

/* Asked of librdkafka itself: its build decides, not ours. */
static bool has_feature(const rd_kafka_conf_t *conf, const char *feature)
{
    char have[512] = ",";
    char wanted[32];
    size_t size = sizeof have - 2;

    if (rd_kafka_conf_get(conf, "builtin.features", have + 1, &size) != RD_KAFKA_CONF_OK)
        return false;
    strcat(have, ",");
    snprintf(wanted, sizeof wanted, ",%s,", feature);
    return strstr(have, wanted) != NULL;
}

/* The small build for boards has no OpenSSL: neither TLS to brokers, nor SCRAM. `what` needs it. */
static gv_status require(const rd_kafka_conf_t *conf, const char *feature, const char *what,
                         gv_error *err)
{
    if (has_feature(conf, feature))
        return GV_OK;
    return gv_fail(err, GV_INVAL,
                   "%s: this build of gavel has no TLS and no SCRAM for Kafka: install the package "
                   "gavel, which has both, or build one (toolchains/build TARGET --tls)",
                   what);
}

gv_status kafka_conf_pass_through(rd_kafka_conf_t *conf, const kafka_config *config, gv_error *err)
{
    for (size_t i = 0; i < config->property_count; i++) {
        const kafka_property *property = &config->properties[i];

        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
            if (strcmp(property->name, refused[k].name) == 0)
                return gv_fail(err, GV_INVAL, "Kafka property %s cannot be set: %s", property->name,
                               refused[k].why);
        if (strncmp(property->name, "ssl.", 4) == 0 &&
            require(conf, "ssl", property->name, err) != GV_OK)
            return GV_INVAL;
        if (kafka_conf_set(conf, property->name, property->value, err) != GV_OK)
            return GV_INVAL;
    }
    return GV_OK;
}

/* What goes wrong with a connection is told as a state, in our own words. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    bool is_told = strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0 ||
                   strcmp(facility, "FATAL") == 0;

    (void)rk;
    GV_LOG(is_told || level > 4 ? GV_LOG_DEBUG : GV_LOG_WARN, gv_kmsg(text),
           gv_kstr("librdkafka", facility));
}

/* The configuration writes it in small letters, the protocol in capitals. */
static gv_status set_mechanism(rd_kafka_conf_t *conf, const char *mechanism, gv_error *err)
{
    char name[32];
    size_t i = 0;

    for (; mechanism[i] != '\0' && i < sizeof name - 1; i++)
        name[i] = (char)toupper((unsigned char)mechanism[i]);
    name[i] = '\0';
    return kafka_conf_set(conf, "sasl.mechanism", name, err);
}

static gv_status set_security(rd_kafka_conf_t *conf, const kafka_config *config, gv_error *err)
{
    static const char *const protocols[] = { "plaintext", "ssl", "sasl_plaintext", "sasl_ssl" };
    bool is_sasl = config->security == KAFKA_SASL_PLAINTEXT || config->security == KAFKA_SASL_SSL;
    bool is_tls = config->security == KAFKA_SSL || config->security == KAFKA_SASL_SSL;
    const char *mechanism = config->sasl_mechanism ? config->sasl_mechanism : "PLAIN";
    gv_status status = GV_OK;

    if (is_tls)
        status = require(conf, "ssl", "kafka.security", err);
    if (status == GV_OK && is_sasl && strncasecmp(mechanism, "scram", 5) == 0)
        status = require(conf, "sasl_scram", "kafka.sasl_mechanism", err);
    if (status == GV_OK)
        status = kafka_conf_set(conf, "security.protocol", protocols[config->security], err);
    if (status == GV_OK && is_sasl && !config->username)
        status = gv_fail(err, GV_INVAL, "kafka.security asks for a user: set kafka.username");
    if (status == GV_OK && is_sasl && !config->password)
        status = gv_fail(err, GV_INVAL, "kafka.security asks for a user: set kafka.password");
    if (status == GV_OK && is_sasl)
        status = set_mechanism(conf, mechanism, err);
    if (status == GV_OK && is_sasl)
        status = kafka_conf_set(conf, "sasl.username", config->username, err);
    if (status == GV_OK && is_sasl)
        status = kafka_conf_set(conf, "sasl.password", config->password, err);
    if (status == GV_OK && is_tls && config->ca_file && access(config->ca_file, R_OK) != 0)
        status = gv_fail(err, GV_INVAL, "kafka.ca_file: cannot read %s: %s", config->ca_file,
                         strerror(errno));
    if (status == GV_OK && is_tls && config->ca_file)
        status = kafka_conf_set(conf, "ssl.ca.location", config->ca_file, err);
    return status;
}

rd_kafka_conf_t *kafka_conf_new(const kafka_config *config, void *opaque, gv_error *err)
{
    static const kafka_property common[] = {
        { "client.software.name", "gavel" },
        { "client.software.version", GAVEL_VERSION },
        { "log.queue", "true" },
        /* Boards have one small link: no telemetry, no lookups and metadata that nobody needs. */
        { "statistics.interval.ms", "0" },
        { "enable.metrics.push", "false" },
        { "topic.metadata.refresh.sparse", "true" },
        { "broker.address.ttl", "30000" },
        { "socket.keepalive.enable", "true" },
        { "reconnect.backoff.ms", "100" },
        { "reconnect.backoff.max.ms", "10000" },
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    gv_status status = kafka_conf_set(conf, "bootstrap.servers", config->brokers, err);

    for (size_t i = 0; i < sizeof common / sizeof *common && status == GV_OK; i++)
        status = kafka_conf_set(conf, common[i].name, common[i].value, err);
    if (status == GV_OK && config->client_id)
        status = kafka_conf_set(conf, "client.id", config->client_id, err);
    if (status == GV_OK)
        status = set_security(conf, config, err);
    if (status != GV_OK) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_opaque(conf, opaque);
    return conf;
}

gv_status kafka_conf_fail(const char *client, const char *why, gv_error *err)
{
    return gv_fail(err, GV_INVAL, "%s: %s%s", client, why,
                   strstr(why, "ssl.ca") ? ": are there PEM certificates in kafka.ca_file?" : "");
}

gv_status kafka_config_check(const kafka_config *config, gv_error *err)
{
    rd_kafka_conf_t *conf = kafka_conf_new(config, NULL, err);
    gv_status status = conf ? kafka_conf_pass_through(conf, config, err) : GV_INVAL;

    if (conf)
        rd_kafka_conf_destroy(conf);
    return status;
}

void kafka_versions(char *text, size_t cap)
{
#ifdef GAVEL_DEP_OPENSSL
    static const char tls[] = "OpenSSL " GAVEL_DEP_OPENSSL;
#else
    static const char tls[] = "without TLS and SCRAM";
#endif
    snprintf(text, cap, "librdkafka %s, %s", rd_kafka_version_str(), tls);
}
