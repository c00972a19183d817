/* What a configuration may say, and the words for what it may not. */
#include "agent/config/internal.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PUBLIC_KEY                                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuXbbm2n/XDOQg0SQN1+qs+/IRIuOXm2lzfwDNAkueckn6sVjH9pp3Mby" \
    "ZHX8rs5rIi+NHpred2Y5AVACjw1ykA=="

typedef struct {
    const char *text, *problem;
} sample;

static void expect_problems(config_program program, const sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_problem(program, samples[i].text, samples[i].problem);
}
#define EXPECT(program, samples)                                                                   \
    expect_problems(program, samples, sizeof samples / sizeof samples[0])

/* --- keys ------------------------------------------------------------------------------------- */
static void unknown_key_names_the_nearest_known_one(void **state)
{
    static const sample samples[] = {
        { "{\"kafka\": {\"broker\": 1}}",
          "gavel.json: kafka.broker: unknown option; did you mean kafka.brokers?" },
        { "{\"kafka\": {\"creat_topics\": 1}}",
          "gavel.json: kafka.creat_topics: unknown option; did you mean kafka.create_topics?" },
        { "{\"kafka\": {\"Topic-Prefix\": 1}}",
          "gavel.json: kafka.Topic-Prefix: unknown option; did you mean kafka.topic_prefix?" },
        { "{\"kafka\": {\"urls\": 1}}",
          "gavel.json: kafka.urls: unknown option; did you mean registry.urls?" },
        { "{\"kafak\": {}}", "gavel.json: kafak: unknown option; did you mean kafka?" },
        { "{\"lgo\": {}}", "gavel.json: lgo: unknown option; did you mean log?" },
        { "{\"source\": []}", "gavel.json: source: unknown option; did you mean sources?" },
        { "{\"brokers\": 1}", "gavel.json: brokers: unknown option; did you mean kafka.brokers?" },
        { "{\"kafka_brokers\": 1}",
          "gavel.json: kafka_brokers: unknown option; did you mean kafka.brokers?" },
        { "{\"kafka.brokers\": \"x\"}",
          "gavel.json: kafka.brokers: write it as \"kafka\": { \"brokers\": ... }" },
        { "{\"zzzzzzzz\": 1}",
          "gavel.json: zzzzzzzz: unknown option; \"config options\" lists all that there are" },
        { "{\"\": 1}", "gavel.json: unknown option; \"config options\" lists all that there are" },
        { "{\"a\\u0007\\u001b[2J\": 1}", "gavel.json: a??[2J: unknown option; \"config options\" "
                                         "lists all that there are" },
        { "{\"sources\": [{\"region\": \"eu\", \"realm\": [1], \"commodities\": true}]}",
          "gavel.json: sources[0].realm: unknown option; did you mean realms?" },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
}

static void duplicate_keys_are_refused_wherever_they_are(void **state)
{
    static const sample samples[] = {
        { "{\"log\": {}, \"log\": {}}", "gavel.json: log: this key is given twice: take one away" },
        { "{\"log\": {\"level\": \"info\", \"level\": \"info\"}}",
          "gavel.json: log.level: this key is given twice: take one away" },
        { "{\"kafka\": {\"properties\": {\"acks\": 1, \"acks\": 1}}}",
          "gavel.json: kafka.properties[\"acks\"]: this key is given twice: take one away" },
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"region\": \"us\"}]}",
          "gavel.json: sources[0].region: this key is given twice: take one away" },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
}

static void wrong_values_are_named_with_what_was_expected_and_found(void **state)
{
    static const sample samples[] = {
        { "[]", "gavel.json: expected an object with options in { }, found a list" },
        { "{\"log\": \"x\"}", "gavel.json: log: expected an object with options in { }, found a "
                              "plain text (not shown)" },
        { "{\"kafka\": {\"partitions\": 0}}", "gavel.json: kafka.partitions: expected a whole "
                                              "number from 1 to 1000, found the number 0" },
        { "{\"shutdown_timeout_ms\": 2.5}",
          "gavel.json: shutdown_timeout_ms: expected a whole number "
          "from 0 to 600000 (ms), found the number 2.5" },
        { "{\"kafka\": {\"create_topics\": \"yes\"}}",
          "gavel.json: kafka.create_topics: expected true or false, found the text \"yes\"" },
        { "{\"kafka\": {\"security\": \"tls\"}}",
          "gavel.json: kafka.security: expected one of plaintext, ssl, sasl_plaintext or sasl_ssl, "
          "found the text \"tls\"" },
        { "{\"registry\": {\"urls\": \"http://a\"}}",
          "gavel.json: registry.urls: expected a list of 1 to 8 texts, found the text "
          "\"http://a\"" },
        { "{\"registry\": {\"urls\": [\"http://a\", 5]}}",
          "gavel.json: registry.urls[1]: expected a text of 1 to 1024 bytes, found the number 5" },
        { "{\"kafka\": {\"brokers\": \"a\\nb\"}}",
          "gavel.json: kafka.brokers: the text holds a line end or control character" },
        { "{\"kafka\": {\"properties\": {\"acks\": []}}}",
          "gavel.json: kafka.properties[\"acks\"]: expected a text, a number, true or false, found "
          "a "
          "list" },
        { "{\"spool\": {\"policy\": \"newest\"}}", "gavel.json: spool.policy: expected one of "
                                                   "pause, drop-oldest-snapshot or thin, found the "
                                                   "text \"newest\"" },
        { "{\"spool\": {\"quota_mib\": 64, \"segment_kib\": 65537}}",
          "gavel.json: spool.segment_kib: 65537 KiB are more than spool.quota_mib, which is 64 "
          "MiB" },
        { "{\"memory\": {\"batches\": 3}}", "gavel.json: memory.batches: expected 0 or a whole "
                                            "number from 4 to 64, found the number 3" },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
}

static void every_problem_of_a_file_is_reported_and_the_first_is_in_err(void **state)
{
    config_case *c = config_read(
        CONFIG_AGENT, "{\"log\": {\"level\": 1, \"formt\": 2}, \"kafka\": {\"partitions\": -1}}");
    (void)state;
    assert_int_equal(c->status, GV_INVAL);
    /* Three that are written there, three that are not: client id, client secret, sources. */
    assert_int_equal(c->problems, 6);
    assert_string_equal(c->err.text, "gavel.json: log.level: expected one of error, warn, info or "
                                     "debug, found the number 1");
    config_done(c);
}

static void a_flood_of_problems_is_cut(void **state)
{
    char text[8192] = "{";
    config_case *c;

    (void)state;
    for (int i = 0; i < 200; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "\"zzzzzzz%d\": 1,", i);
    memcpy(text + strlen(text) - 1, "}", 2);
    c = config_read(CONFIG_SINK, text);
    assert_int_equal(c->problems, 51);
    assert_non_null(strstr(c->said, "\nthere are more problems, which are not shown\n"));
    config_done(c);
}

static void a_full_arena_is_said_once(void **state)
{
    char memory[64];
    gv_arena arena;
    gv_config config;
    gv_error err = { 0 };
    config_reader reader = { CONFIG_SINK, "gavel.json", &arena, NULL, NULL, NULL };

    (void)state;
    gv_arena_init(&arena, memory, sizeof memory);
    assert_int_equal(
        config_parse(&reader,
                     gv_span_str("{\"kafka\": {\"brokers\": \"0123456789012345678901234"
                                 "5678901234567890123456789\", \"username\": \"x\"}}"),
                     &config, &err),
        GV_FULL);
    assert_string_equal(err.text, "gavel.json: the configuration needs more than 0 KiB of memory");
}

/* --- sources ---------------------------------------------------------------------------------- */
static void sources_are_read(void **state)
{
    config_case *c = config_read(
        CONFIG_SINK,
        "{\"sources\": [{\"region\": \"eu\", \"realms\": [604, 1305], \"commodities\": true},"
        "{\"region\": \"kr\", \"game\": \"classic1x\", \"realms\": \"all\"},"
        "{\"region\": \"us\", \"game\": \"classicann\", \"realms\": [7], \"houses\": [6, 2]}]}");
    const config_source *s = c->config.sources;

    (void)state;
    assert_string_equal(c->said, "");
    assert_int_equal(c->config.source_count, 3);
    assert_true(s[0].region == CONFIG_REGION_EU && s[0].game == CONFIG_RETAIL && s[0].commodities);
    assert_true(s[0].realm_count == 2 && s[0].realms[0] == 604 && s[0].realms[1] == 1305);
    assert_true(s[0].house_count == 0 && !s[0].all_realms);
    assert_true(s[1].region == CONFIG_REGION_KR && s[1].game == CONFIG_CLASSIC1X &&
                s[1].all_realms);
    assert_int_equal(s[1].house_count, 3);
    assert_memory_equal(s[1].houses, "\2\6\7", 3);
    assert_true(s[2].game == CONFIG_CLASSICANN && s[2].house_count == 2 && !s[2].commodities);
    assert_memory_equal(s[2].houses, "\6\2", 2);
    config_done(c);
}

#define SOURCES(text) "{\"sources\": [" text "]}"

static void wrong_sources_are_refused_with_their_place(void **state)
{
    static const sample samples[] = {
        { "{\"sources\": {}}",
          "gavel.json: sources: expected a list of up to 64 sources, found an object" },
        { SOURCES("5"), "gavel.json: sources[0]: expected an object such as { \"region\": \"eu\", "
                        "\"realms\": [604] }, found the number 5" },
        { SOURCES("{\"realms\": [1]}"),
          "gavel.json: sources[0]: region is missing: us, eu, kr or tw" },
        { SOURCES("{\"region\": \"cn\", \"realms\": [1]}"),
          "gavel.json: sources[0].region: expected one of us, eu, kr or tw, found the text "
          "\"cn\"" },
        { SOURCES("{\"region\": \"eu\"}"),
          "gavel.json: sources[0]: this source fetches nothing: give it realms or commodities" },
        { SOURCES("{\"region\": \"eu\", \"game\": \"classic\"}"),
          "gavel.json: sources[0]: this source fetches nothing: give it realms" },
        { SOURCES("{\"region\": \"eu\", \"realms\": [1], \"houses\": [2]}"),
          "gavel.json: sources[0].houses: only Classic games have several houses" },
        { SOURCES("{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], \"houses\": [3]}"),
          "gavel.json: sources[0].houses[0]: expected house 2, 6 or 7, found the number 3" },
        { SOURCES(
              "{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], \"houses\": [2, 2]}"),
          "gavel.json: sources[0].houses[1]: house 2 is given twice" },
        { SOURCES("{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], \"houses\": []}"),
          "gavel.json: sources[0].houses: expected a list of the houses 2, 6 and 7, found a list" },
        { SOURCES("{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], \"commodities\": "
                  "true}"),
          "gavel.json: sources[0].commodities: only retail has commodities" },
        { SOURCES("{\"region\": \"eu\", \"realms\": [604, 604]}"),
          "gavel.json: sources[0].realms[1]: realm 604 is given twice" },
        { SOURCES("{\"region\": \"eu\", \"realms\": [0]}"),
          "gavel.json: sources[0].realms[0]: expected a connected realm id (a whole number from "
          "1), "
          "found the number 0" },
        { SOURCES("{\"region\": \"eu\", \"realms\": [2147483648]}"),
          "gavel.json: sources[0].realms[0]: expected a connected realm id (a whole number from "
          "1), "
          "found the number 2147483648" },
        { SOURCES("{\"region\": \"eu\", \"realms\": \"some\"}"),
          "gavel.json: sources[0].realms: expected a list of up to 512 connected realm ids, or "
          "\"all\", found the text \"some\"" },
        { SOURCES(
              "{\"region\": \"eu\", \"realms\": [1]}, {\"region\": \"eu\", \"realms\": [2, 1]}"),
          "gavel.json: sources[1]: realm 1 is already fetched by sources[0]" },
        { SOURCES(
              "{\"region\": \"eu\", \"realms\": [1]}, {\"region\": \"eu\", \"realms\": \"all\"}"),
          "gavel.json: sources[1]: sources[0] and this one fetch the same realms (\"all\")" },
        { SOURCES("{\"region\": \"eu\", \"commodities\": true, \"realms\": [1]},"
                  "{\"region\": \"eu\", \"commodities\": true}"),
          "gavel.json: sources[1]: these commodities are already fetched by sources[0]" },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
    expect_fine(CONFIG_SINK, SOURCES("{\"region\": \"eu\", \"realms\": [1]},"
                                     "{\"region\": \"us\", \"realms\": [1]},"
                                     "{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], "
                                     "\"houses\": [2]},"
                                     "{\"region\": \"eu\", \"game\": \"classic\", \"realms\": [1], "
                                     "\"houses\": [6, 7]},"
                                     "{\"region\": \"eu\", \"commodities\": true}"));
}

/* "{"sources": [...]}" of `sources` objects with `realms` ids each, all different. */
static char *many_sources(int sources, int realms)
{
    size_t cap = 64 + (size_t)sources * (64 + (size_t)realms * 8), used;
    char *text = malloc(cap);
    int id = 1;

    assert_non_null(text);
    used = (size_t)snprintf(text, cap, "{\"sources\": [");
    for (int s = 0; s < sources; s++) {
        used += (size_t)snprintf(text + used, cap - used, "%s{\"region\": \"eu\", \"realms\": [",
                                 s ? "," : "");
        for (int i = 0; i < realms; i++)
            used += (size_t)snprintf(text + used, cap - used, "%s%d", i ? "," : "", id++);
        used += (size_t)snprintf(text + used, cap - used, "]}");
    }
    snprintf(text + used, cap - used, "]}");
    return text;
}

static void numbers_of_sources_and_realms_are_bounded(void **state)
{
    static const struct {
        int sources, realms;
        const char *problem;
    } cases[] = {
        { 64, 8, NULL },
        { 1, 512, NULL },
        { 65, 1, "gavel.json: sources: expected a list of up to 64 sources, found a list" },
        { 57, 9, "gavel.json: sources: 513 realms in all; 512 at most" },
        { 1, 513,
          "gavel.json: sources[0].realms: expected a list of up to 512 connected realm ids, or "
          "\"all\", found a list" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = many_sources(cases[i].sources, cases[i].realms);
        config_case *c = config_read(CONFIG_SINK, text);
        if (cases[i].problem)
            assert_string_equal(c->err.text, cases[i].problem);
        else
            assert_string_equal(c->said, "");
        config_done(c);
        free(text);
    }
}

/* --- what goes together ----------------------------------------------------------------------- */
static void the_agent_needs_a_key_and_a_source_and_the_sink_does_not(void **state)
{
    config_case *c = config_read(CONFIG_AGENT, "{}");

    (void)state;
    assert_int_equal(c->problems, 3);
    assert_non_null(strstr(c->said, "gavel.json: api.client_id: it must be set"));
    assert_non_null(strstr(c->said, "gavel.json: api.client_secret: it must be set"));
    assert_non_null(strstr(c->said, "gavel.json: sources: at least one must be given"));
    config_done(c);
    expect_fine(CONFIG_SINK, "{}");
    expect_fine(CONFIG_AGENT, agent_text(""));
}

static void one_file_serves_both_programs(void **state)
{
    const char *more = ", \"mongo\": {\"uri\": \"file:/uri\"}, \"sink\": {\"store\": \"sqlite\"}";
    config_case *agent = config_read(CONFIG_AGENT, agent_text(more));
    config_case *sink;

    (void)state;
    assert_string_equal(agent->said, "");
    assert_int_equal(agent->secrets_read, 2); /* client id and secret; not the sink's */
    assert_string_equal(agent->config.api_client_id, SECRET_VALUE);
    assert_string_equal(agent->config.mongo_uri, "");
    config_done(agent);
    /* The sink may not be allowed to read the agent's secrets, and does not. */
    sink = config_read(CONFIG_SINK, agent_text(", \"sink\": {\"store\": \"sqlite\"}"));
    assert_string_equal(sink->said, "");
    assert_int_equal(sink->secrets_read, 0);
    assert_string_equal(sink->config.api_client_id, "");
    config_done(sink);
    /* But what is wrong there is wrong. */
    expect_problem(
        CONFIG_AGENT, agent_text(", \"sink\": {\"batch_records\": 0}"),
        "gavel.json: sink.batch_records: expected a whole number from 1 to 100000, found "
        "the number 0");
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    static const sample samples[] = {
        { "{\"api\": {\"retry_min_ms\": 5000, \"retry_max_ms\": 4000}}",
          "gavel.json: api.retry_min_ms: 5000 is more than api.retry_max_ms, which is 4000" },
        { "{\"api\": {\"late_poll_min_ms\": 700000}}",
          "gavel.json: api.late_poll_min_ms: 700000 is more than api.late_poll_max_ms, which is "
          "600000" },
        { "{\"registry\": {\"retry_max_ms\": 10}}",
          "gavel.json: registry.retry_min_ms: 1000 is more than registry.retry_max_ms, which is "
          "10" },
        { "{\"kafka\": {\"security\": \"sasl_ssl\", \"password\": \"env:P\"}}",
          "gavel.json: kafka.username: it must be set because kafka.security says sasl" },
        { "{\"kafka\": {\"security\": \"sasl_ssl\", \"username\": \"u\"}}",
          "gavel.json: kafka.password: it must be set because kafka.security says sasl" },
        { "{\"registry\": {\"username\": \"u\"}}",
          "gavel.json: registry.password: it must be set because registry.username is set" },
        { "{\"registry\": {\"password\": \"env:P\"}}",
          "gavel.json: registry.username: it must be set because registry.password is set" },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
    expect_fine(CONFIG_SINK, "{\"api\": {\"retry_min_ms\": 5000, \"retry_max_ms\": 5000}}");
    expect_fine(CONFIG_SINK, "{\"kafka\": {\"security\": \"sasl_ssl\", \"username\": \"u\", "
                             "\"password\": \"env:P\"}}");
}

static void an_unprotected_or_unused_password_is_a_warning(void **state)
{
    config_case *c = config_read(
        CONFIG_SINK, "{\"kafka\": {\"security\": \"sasl_plaintext\", \"username\": \"u\", "
                     "\"password\": \"env:P\"}}");
    (void)state;
    assert_int_equal(c->status, GV_OK);
    assert_int_equal(c->warnings, 1);
    assert_non_null(
        strstr(c->said, "kafka.security: the password goes over the network unprotected"));
    config_done(c);
    c = config_read(CONFIG_SINK, "{\"kafka\": {\"username\": \"u\"}}");
    assert_int_equal(c->status, GV_OK);
    assert_string_equal(c->said, "gavel.json: kafka.username: user name and password are not used: "
                                 "kafka.security says no sasl\n");
    config_done(c);
}

static void names_and_addresses_have_forms(void **state)
{
    static const sample samples[] = {
        { "{\"api\": {\"base_url\": \"ftp://x\"}}",
          "gavel.json: api.base_url: an address must start with http:// or https://" },
        { "{\"api\": {\"base_url\": \"https://{realm}.x\"}}",
          "gavel.json: api.base_url: the only thing in braces can be {region}" },
        { "{\"api\": {\"token_url\": \"https:///token\"}}",
          "gavel.json: api.token_url: this address names no host" },
        { "{\"registry\": {\"urls\": [\"http://a\", \"https://u:" SECRET_VALUE "@b\"]}}",
          "gavel.json: registry.urls: an address must not hold a user name or password: there are "
          "options for them" },
        { "{\"kafka\": {\"topic_prefix\": \"a b\"}}",
          "gavel.json: kafka.topic_prefix: names of topics have only letters, digits, '.', '_' and "
          "'-'" },
        { "{\"device_id\": \"pi 1\"}",
          "gavel.json: device_id: it may have only letters, digits, '.', '_' and '-'" },
        { "{\"ota\": {\"url\": \"ftp://h\", \"keys\": [\"" PUBLIC_KEY "\"]}}",
          "gavel.json: ota.url: an address must start with http:// or https://" },
        { "{\"ota\": {\"keys\": [\"" PUBLIC_KEY "\", \"MFkw\"]}}",
          "gavel.json: ota.keys[1]: this is no public key: copy the whole text that `gavel config "
          "keygen` printed, 124 characters that start with MFkw" },
        { "{\"ota\": {\"groups\": [\"attic\", \"../attic\"]}}",
          "gavel.json: ota.groups[1]: a group's name has 1 to 64 letters, digits, '.', '_' and "
          "'-', "
          "and does not start with '.'" },
        { "{\"mongo\": {\"database\": \"a.b\"}}",
          "gavel.json: mongo.database: a database's name has no /\\. \"$*<>:|?" },
        { "{\"mongo\": {\"uri\": \"http://localhost\"}}",
          "gavel.json: mongo.uri: the address must start with mongodb:// or mongodb+srv://" },
        { "{\"sink\": {\"collections\": {\"t\": \"system.x\"}}}",
          "gavel.json: sink.collections: a collection's name has 1 to 200 bytes, no $, and does "
          "not "
          "start with system." },
    };
    (void)state;
    EXPECT(CONFIG_SINK, samples);
}

static void librdkafka_properties_may_be_texts_numbers_and_booleans(void **state)
{
    config_case *c =
        config_read(CONFIG_SINK, "{\"kafka\": {\"properties\": {\"a\": \"x\", \"linger.ms\": 5, "
                                 "\"half\": 0.5, \"keepalive\": true, \"neg\": -1}}}");
    static const char *const values[] = { "x", "5", "0.5", "true", "-1" };
    const config_map *map = &c->config.kafka_properties;

    (void)state;
    assert_string_equal(c->said, "");
    assert_int_equal(map->count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(map->items[i].value, values[i]);
    assert_string_equal(map->items[1].name, "linger.ms");
    config_done(c);
}

/* --- printing and comparing ------------------------------------------------------------------- */
static const char everything[] =
    ", \"kafka\": {\"security\": \"sasl_ssl\", \"username\": \"u \\\"\\\\\", \"password\": "
    "\"env:P\","
    "\"properties\": {\"ssl.key.password\": \"credential:k\", \"linger.ms\": 5}, "
    "\"create_topics\": "
    "false}, \"registry\": {\"urls\": [\"http://a\", \"http://b\"]}, \"mongo\": {\"uri\": "
    "\"file:/uri\"}, \"sink\": {\"collections\": {\"auctions.raw\": \"a\"}, \"dead_letter_topic\": "
    "\"d\"}, \"log\": {\"level\": \"debug\"}";

static void nothing_changed(void *ctx, const char *path)
{
    print_error("%s differs\n", path);
    *(int *)ctx += 1;
}

static void expect_round_trip(config_program program, const char *text)
{
    config_case *a = config_read(program, text), *b;
    char *first = printed(&a->config, program, CONFIG_PRINT_PLAIN), *second;
    char *with_origins = printed(&a->config, program, CONFIG_PRINT_ORIGINS);
    int differences = 0;

    assert_string_equal(a->err.text, "");
    assert_null(strstr(first, " // "));
    b = config_read(program, with_origins);
    assert_string_equal(b->err.text, "");
    second = printed(&b->config, program, CONFIG_PRINT_PLAIN);
    assert_string_equal(first, second);
    assert_int_equal(config_diff(&a->config, &b->config, program, nothing_changed, &differences),
                     0);
    assert_int_equal(differences, 0);
    config_done(a);
    config_done(b);
    free(first);
    free(second);
    free(with_origins);
}

static void what_is_printed_reads_as_the_same_configuration(void **state)
{
    (void)state;
    expect_round_trip(CONFIG_SINK, "{}");
    expect_round_trip(CONFIG_AGENT, agent_text(""));
    expect_round_trip(CONFIG_AGENT, agent_text(everything));
    expect_round_trip(CONFIG_SINK, "{\"sink\": {\"store\": \"sqlite\"}, \"mongo\": {\"uri\": "
                                   "\"mongodb://a,b/?replicaSet=r\"}}");
}

typedef struct {
    char text[1024];
} seen_changes;

static void note_change(void *ctx, const char *path)
{
    seen_changes *seen = ctx;
    size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof seen->text - used, "%s ", path);
}

static void differences_are_named(void **state)
{
    config_case *a = config_read(CONFIG_AGENT, agent_text(""));
    config_case *b = config_read(CONFIG_AGENT, agent_text(everything));
    seen_changes seen = { "" };

    (void)state;
    assert_string_equal(a->said, "");
    assert_string_equal(b->said, "");
    b->config.source_count = 0;
    b->config.api_client_secret = "renewed";
    assert_int_equal(config_diff(&a->config, &b->config, CONFIG_AGENT, note_change, &seen), 9);
    assert_string_equal(seen.text,
                        "api.client_secret kafka.security kafka.username kafka.password "
                        "kafka.create_topics kafka.properties registry.urls log.level sources ");
    config_done(a);
    config_done(b);
}

static void a_change_of_any_part_of_a_value_is_seen(void **state)
{
    static const char *const pairs[][2] = {
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1]}]}",
          "{\"sources\": [{\"region\": \"us\", \"realms\": [1]}]}" },
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1]}]}",
          "{\"sources\": [{\"region\": \"eu\", \"realms\": [2]}]}" },
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1]}]}",
          "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"commodities\": true}]}" },
        { "{\"sources\": [{\"region\": \"eu\", \"commodities\": true}]}",
          "{\"sources\": [{\"region\": \"eu\", \"commodities\": true, \"realms\": \"all\"}]}" },
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"game\": \"classic\"}]}",
          "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"game\": \"classic1x\"}]}" },
        { "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"game\": \"classic\"}]}",
          "{\"sources\": [{\"region\": \"eu\", \"realms\": [1], \"game\": \"classic\", "
          "\"houses\": [2, 7, 6]}]}" },
        { "{\"kafka\": {\"properties\": {\"a\": 1}}}",
          "{\"kafka\": {\"properties\": {\"a\": 2}}}" },
        { "{\"kafka\": {\"properties\": {\"a\": 1}}}",
          "{\"kafka\": {\"properties\": {\"b\": 1}}}" },
        { "{\"registry\": {\"urls\": [\"http://a\"]}}",
          "{\"registry\": {\"urls\": [\"http://b\"]}}" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        config_case *a = config_read(CONFIG_SINK, pairs[i][0]);
        config_case *b = config_read(CONFIG_SINK, pairs[i][1]);
        seen_changes seen = { "" };
        assert_string_equal(a->said, "");
        assert_string_equal(b->said, "");
        assert_int_equal(config_diff(&a->config, &b->config, CONFIG_BOTH, note_change, &seen), 1);
        assert_int_equal(config_diff(&a->config, &a->config, CONFIG_BOTH, note_change, &seen), 0);
        config_done(a);
        config_done(b);
    }
}

static void ignore_change(void *ctx, const char *path)
{
    (void)ctx;
    (void)path;
}

static void only_what_the_program_uses_is_compared(void **state)
{
    config_case *a = config_read(CONFIG_SINK, "{}");
    config_case *b = config_read(CONFIG_SINK, agent_text(", \"state_dir\": \"/x\""));

    (void)state;
    assert_int_equal(config_diff(&a->config, &b->config, CONFIG_SINK, ignore_change, NULL), 0);
    assert_true(config_diff(&a->config, &b->config, CONFIG_AGENT, ignore_change, NULL) >= 2);
    config_done(a);
    config_done(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_key_names_the_nearest_known_one),
        cmocka_unit_test(duplicate_keys_are_refused_wherever_they_are),
        cmocka_unit_test(wrong_values_are_named_with_what_was_expected_and_found),
        cmocka_unit_test(every_problem_of_a_file_is_reported_and_the_first_is_in_err),
        cmocka_unit_test(a_flood_of_problems_is_cut),
        cmocka_unit_test(a_full_arena_is_said_once),
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(wrong_sources_are_refused_with_their_place),
        cmocka_unit_test(numbers_of_sources_and_realms_are_bounded),
        cmocka_unit_test(the_agent_needs_a_key_and_a_source_and_the_sink_does_not),
        cmocka_unit_test(one_file_serves_both_programs),
        cmocka_unit_test(options_that_contradict_each_other_are_refused),
        cmocka_unit_test(an_unprotected_or_unused_password_is_a_warning),
        cmocka_unit_test(names_and_addresses_have_forms),
        cmocka_unit_test(librdkafka_properties_may_be_texts_numbers_and_booleans),
        cmocka_unit_test(what_is_printed_reads_as_the_same_configuration),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(a_change_of_any_part_of_a_value_is_seen),
        cmocka_unit_test(only_what_the_program_uses_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
