/* check.c - what one option alone cannot tell: forms of names and addresses, and what must go
 * together. Forms are checked for both programs, needs only for the one that reads. */
#include "agent/config/internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *path_of(config_option option)
{
    return config_infos[option].path;
}

static bool is_sasl(const gv_config *c)
{
    return c->kafka_security == CONFIG_SASL_PLAINTEXT || c->kafka_security == CONFIG_SASL_SSL;
}

static bool only(const char *text, const char *also)
{
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && !strchr(also, *text))
            return false;
    }
    return true;
}

/* --- forms ------------------------------------------------------------------------------------ */
/* The address itself is not shown: it may hold a password. */
static void check_url(config_reading *r, const char *path, const char *url)
{
    const char *host = strncasecmp(url, "https://", 8) == 0  ? url + 8
                       : strncasecmp(url, "http://", 7) == 0 ? url + 7
                                                             : NULL;

    if (!host)
        config_problem(r, GV_INVAL, path, "an address must start with http:// or https://");
    else if (strchr(host, '@'))
        config_problem(
            r, GV_INVAL, path,
            "an address must not hold a user name or password: there are options for them");
    else if (host[0] == '\0' || host[0] == '/' || strchr(host, ' '))
        config_problem(r, GV_INVAL, path, "this address names no host");
}

static void check_urls(config_reading *r, const gv_config *c)
{
    const char *brace = strchr(c->api_base_url, '{');

    check_url(r, path_of(CONFIG_OPTION_api_base_url), c->api_base_url);
    if (brace && strncmp(brace, "{region}", 8) != 0)
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_api_base_url),
                       "the only thing in braces can be {region}");
    check_url(r, path_of(CONFIG_OPTION_api_token_url), c->api_token_url);
    for (size_t i = 0; i < c->registry_urls.count; i++) {
        if (c->registry_urls.items[i][0]) /* else reported already */
            check_url(r, path_of(CONFIG_OPTION_registry_urls), c->registry_urls.items[i]);
    }
}

static void check_topic(config_reading *r, config_option option, const char *name)
{
    if (!only(name, "._-") || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        config_problem(r, GV_INVAL, path_of(option),
                       "names of topics have only letters, digits, '.', '_' and '-'");
}

static void check_collections(config_reading *r, const gv_config *c)
{
    for (size_t i = 0; i < c->sink_collections.count; i++) {
        const char *name = c->sink_collections.items[i].value;
        if (name[0] == '\0' || strchr(name, '$') || strncmp(name, "system.", 7) == 0 ||
            strlen(name) > 200)
            config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_sink_collections),
                           "a collection's name has 1 to 200 bytes, no $, and does not start with "
                           "system.");
    }
}

/* SubjectPublicKeyInfo of P-256 as base64: the same beginning and length in all of them. */
static bool is_public_key(const char *text)
{
    static const char head[] = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    const size_t len = 124;

    return strlen(text) == len && strncmp(text, head, sizeof head - 1) == 0 && only(text, "+/=") &&
           strchr(text, '=') == text + len - 2;
}

static void check_ota(config_reading *r, const gv_config *c)
{
    char path[CONFIG_PATH_MAX];

    if (c->ota_url[0])
        check_url(r, path_of(CONFIG_OPTION_ota_url), c->ota_url);
    for (size_t i = 0; i < c->ota_keys.count; i++) {
        config_path(path, "%s[%zu]", path_of(CONFIG_OPTION_ota_keys), i);
        if (!is_public_key(c->ota_keys.items[i]))
            config_problem(r, GV_INVAL, path,
                           "this is no public key: copy the whole text that `gavel config keygen` "
                           "printed, 124 characters that start with MFkw");
    }
    for (size_t i = 0; i < c->ota_groups.count; i++) {
        const char *name = c->ota_groups.items[i];
        config_path(path, "%s[%zu]", path_of(CONFIG_OPTION_ota_groups), i);
        if (!only(name, "._-") || name[0] == '.' || strlen(name) > 64)
            config_problem(r, GV_INVAL, path,
                           "a group's name has 1 to 64 letters, digits, '.', '_' and '-', and does "
                           "not start with '.'");
    }
    if ((c->ota_url[0] || c->ota_kafka) && c->ota_keys.count == 0)
        config_warning(r, path_of(CONFIG_OPTION_ota_keys),
                       "not set, so no update will be taken: put your public key here");
}

static void check_forms(config_reading *r, const gv_config *c)
{
    const char *uri = c->mongo_uri;

    check_urls(r, c);
    check_ota(r, c);
    check_topic(r, CONFIG_OPTION_kafka_topic_prefix, c->kafka_topic_prefix);
    check_topic(r, CONFIG_OPTION_sink_dead_letter_topic, c->sink_dead_letter_topic);
    check_collections(r, c);
    if (!only(c->device_id, "._-"))
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_device_id),
                       "it may have only letters, digits, '.', '_' and '-'");
    if (strpbrk(c->mongo_database, "/\\. \"$*<>:|?"))
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_mongo_database),
                       "a database's name has no /\\. \"$*<>:|?");
    /* Empty: a secret that is not read, or that was reported. */
    if (uri[0] && strncmp(uri, "mongodb://", 10) != 0 && strncmp(uri, "mongodb+srv://", 14) != 0)
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_mongo_uri),
                       "the address must start with mongodb:// or mongodb+srv://");
    if (c->memory_batches > 0 && c->memory_batches < 4)
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_memory_batches),
                       "expected 0 or a whole number from 4 to 64, found the number %d",
                       (int)c->memory_batches);
}

/* --- what goes together ----------------------------------------------------------------------- */
static void check_order(config_reading *r, config_option low, config_option high)
{
    int64_t min = *CONFIG_FIELD(int64_t, r->out, &config_infos[low]);
    int64_t max = *CONFIG_FIELD(int64_t, r->out, &config_infos[high]);

    if (min > max)
        config_problem(r, GV_INVAL, path_of(low), "%lld is more than %s, which is %lld",
                       (long long)min, path_of(high), (long long)max);
}

static void check_spool(config_reading *r, const gv_config *c)
{
    if (c->spool_segment_kib > c->spool_quota_mib * 1024)
        config_problem(r, GV_INVAL, path_of(CONFIG_OPTION_spool_segment_kib),
                       "%lld KiB are more than spool.quota_mib, which is %lld MiB",
                       (long long)c->spool_segment_kib, (long long)c->spool_quota_mib);
}

static bool has_secret(const gv_config *c, config_option option)
{
    return c->references[option] != NULL;
}

static void check_kafka_login(config_reading *r, const gv_config *c)
{
    const config_option user = CONFIG_OPTION_kafka_username,
                        password = CONFIG_OPTION_kafka_password;

    if (is_sasl(c) && c->kafka_username[0] == '\0')
        config_problem(r, GV_INVAL, path_of(user),
                       "it must be set because kafka.security says sasl");
    /* Given but wrong is reported already. */
    if (is_sasl(c) && !c->given[password])
        config_problem(r, GV_INVAL, path_of(password),
                       "it must be set because kafka.security says sasl");
    if (!is_sasl(c) && (c->kafka_username[0] || has_secret(c, password)))
        config_warning(r, path_of(user),
                       "user name and password are not used: kafka.security says no sasl");
    if (c->kafka_security == CONFIG_SASL_PLAINTEXT && c->kafka_sasl_mechanism == CONFIG_SASL_PLAIN)
        config_warning(r, path_of(CONFIG_OPTION_kafka_security),
                       "the password goes over the network unprotected; sasl_ssl protects it");
}

static void check_registry_login(config_reading *r, const gv_config *c)
{
    const config_option user = CONFIG_OPTION_registry_username;
    const config_option password = CONFIG_OPTION_registry_password;

    if (c->registry_username[0] && !c->given[password])
        config_problem(r, GV_INVAL, path_of(password),
                       "it must be set because registry.username is set");
    if (!c->registry_username[0] && has_secret(c, password))
        config_problem(r, GV_INVAL, path_of(user),
                       "it must be set because registry.password is set");
}

static void check_agent(config_reading *r, const gv_config *c)
{
    static const config_option key[] = { CONFIG_OPTION_api_client_id,
                                         CONFIG_OPTION_api_client_secret };

    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++) {
        if (!c->given[key[i]])
            config_problem(r, GV_INVAL, path_of(key[i]),
                           "it must be set: a reference to a secret, such as "
                           "\"file:/etc/gavel/%s\" (the game's developer portal gives you one)",
                           path_of(key[i]) + 4);
    }
    if (c->source_count == 0)
        config_problem(
            r, GV_INVAL, "sources",
            "at least one must be given, such as [{ \"region\": \"eu\", \"realms\": [604] }]");
}

static void finish_defaults(config_reading *r)
{
    static const char ending[] = ".dead-letters";
    size_t len = strlen(r->out->kafka_topic_prefix);
    char *name;

    if (r->out->sink_dead_letter_topic[0])
        return;
    name = config_alloc(r, len + sizeof ending);
    if (!name)
        return;
    memcpy(name, r->out->kafka_topic_prefix, len);
    memcpy(name + len, ending, sizeof ending);
    r->out->sink_dead_letter_topic = name;
}

void config_check(config_reading *r)
{
    const gv_config *c = r->out;

    check_forms(r, c);
    check_order(r, CONFIG_OPTION_api_late_poll_min_ms, CONFIG_OPTION_api_late_poll_max_ms);
    check_order(r, CONFIG_OPTION_api_retry_min_ms, CONFIG_OPTION_api_retry_max_ms);
    check_order(r, CONFIG_OPTION_registry_retry_min_ms, CONFIG_OPTION_registry_retry_max_ms);
    check_spool(r, c);
    check_kafka_login(r, c);
    check_registry_login(r, c);
    if (r->reader->program & CONFIG_AGENT)
        check_agent(r, c);
    finish_defaults(r);
}
