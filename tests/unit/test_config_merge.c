/* What an update from over the air may set, and what of a board's own file stays beside it. */
#include "agent/config/internal.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OWN                                                                                        \
    "{ // of the board\n \"state_dir\": \"/data\", \"device_id\": \"attic\",\n"                    \
    "  \"api\": { \"client_id\": \"env:ID\", \"client_secret\": \"file:/s\", \"base_url\": "       \
    "\"http://old\" },\n"                                                                          \
    "  \"kafka\": { \"brokers\": \"old:9092\", \"username\": \"me\", \"password\": \"env:P\",\n"   \
    "    \"properties\": { \"linger.ms\": 5, \"ssl.key.password\": \"env:K\", "                    \
    "\"ssl.key.location\": \"/k\" } },\n"                                                          \
    "  \"ota\": { \"url\": \"http://here\", \"keys\": [\"k\"] }, \"board\": { \"led\": \"ACT\" "   \
    "},\n"                                                                                         \
    "  \"log\": { \"level\": \"warn\" }, \"sources\": [] }"

static char text[4096];
static gv_error err;

static gv_status merge(const char *own, const char *update)
{
    size_t len = 0;

    memset(text, 'x', sizeof text);
    err = (gv_error){ 0, "" };
    gv_status status =
        config_merge(gv_span_str(own), gv_span_str(update), text, sizeof text - 1, &len, &err);
    assert_int_equal(status == GV_OK, err.text[0] == '\0');
    if (status == GV_OK)
        assert_int_equal(strlen(text), len);
    return status;
}

static void refused(const char *update, const char *words)
{
    gv_error alone = { 0, "" };

    assert_int_equal(merge(OWN, update), GV_INVAL);
    if (!strstr(err.text, words))
        fail_msg("%s", err.text);
    assert_int_equal(config_check_update(gv_span_str(update), &alone), GV_INVAL);
    assert_string_equal(alone.text, err.text); /* the owner's desk sees what a board would */
}

static bool has(const char *piece)
{
    return strstr(text, piece) != NULL;
}

static void the_boards_own_options_stay_and_all_else_is_the_updates(void **state)
{
    (void)state;
    assert_int_equal(merge(OWN, "{ \"kafka\": { \"brokers\": \"new:9092\" }, // moved\n"
                                "\"log\": { \"format\": \"json\" } }"),
                     GV_OK);
    assert_true(has("new:9092") && !has("old:9092") && !has("http://old") && !has("warn"));
    assert_true(has("\"json\"") && !has("moved") && !has("linger.ms") && !has("sources"));
    assert_true(has("/data") && has("attic") && has("env:ID") && has("file:/s") && has("\"me\""));
    assert_true(has("env:P") && has("http://here") && has("ACT") && has("env:K") && has("\"/k\""));
    config_syntax problem;
    assert_true(config_text_clean(text, strlen(text), &problem));
    assert_int_equal(merge("{}", "{ \"log\": {} }"), GV_OK);
    assert_string_equal(text, "{\n\t\"log\":\t{\n\t}\n}");
}

/* Whatever the table says now or later: an option is either the board's or the update's. */
static void no_option_of_the_board_can_be_set_from_afar(void **state)
{
    (void)state;
    size_t owned = 0;
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const char *path = config_infos[i].path;
        size_t len = config_group_len(path);
        char update[256], own[256];
        snprintf(update, sizeof update,
                 len ? "{\"%.*s\":{\"%s\":\"from afar\"}}" : "{\"%.*s%s\":\"from afar\"}", (int)len,
                 path, path + len + (len > 0));
        snprintf(own, sizeof own,
                 len ? "{\"%.*s\":{\"%s\":\"at home\"}}" : "{\"%.*s%s\":\"at home\"}", (int)len,
                 path, path + len + (len > 0));
        if (config_board_owned(&config_infos[i])) {
            owned++;
            refused(update, path);
            refused(update, config_board_owned(&config_infos[i]));
            assert_int_equal(merge(own, "{}"), GV_OK);
            assert_true(has("at home"));
        } else if (config_infos[i].kind != CONFIG_KIND_MAP) {
            assert_int_equal(merge(own, update), GV_OK);
            assert_true(has("from afar") && !has("at home"));
        }
    }
    assert_int_equal(owned, 24);
}

static void secrets_never_travel(void **state)
{
    (void)state;
    refused("{\"api\":{\"client_id\":\"my-id\"}}", "api.client_id: it belongs to the board");
    refused("{\"mongo\":{\"uri\":\"mongodb://u:p@h\"}}", "mongo.uri");
    refused("{\"kafka\":{\"properties\":{\"client.id\":\"env:X\"}}}", "refers to them");
    refused("{\"kafka\":{\"properties\":{\"ssl.key.password\":\"file:/x\"}}}", "refers to them");
    refused("{\"registry\":{\"urls\":[\"http://h\",\"credential:x\"]}}", "registry.urls");
    refused("{\"sources\":[{\"region\":\"env:HOME\"}]}", "sources");
    refused("{\"nobody\":{\"knows\":{\"this\":[\"file:/x\"]}}}", "nobody");
    refused("{\"kafka\":{},\"kafka\":{\"\\u0070assword\":\"x\"}}", "kafka.password");
    refused("{\"kafka\":{\"linger\":1,\"password\":\"x\",\"password\":1}}", "kafka.password");
}

static void an_update_names_nothing_on_the_board(void **state)
{
    (void)state;
    refused("{\"kafka\":{\"properties\":{\"ssl.ca.location\":\"/tmp/ca\"}}}", "ssl.ca.location");
    refused("{\"kafka\":{\"properties\":{\"plugin.library.paths\":\"x\"}}}",
            "plugin.library.paths");
    refused("{\"kafka\":{\"properties\":{\"sasl.kerberos.kinit.cmd\":\"rm\"}}}", "kinit");
    refused("{\"kafka\":{\"properties\":{\"SASL.Username\":\"you\"}}}", "SASL.Username");
    assert_int_equal(merge("{\"kafka\":{\"properties\":{\"client.id\":\"env:X\"}}}",
                           "{\"kafka\":{\"properties\":{\"client.id\":\"y\"}}}"),
                     GV_INVAL);
    assert_non_null(strstr(err.text, "client.id"));
    assert_int_equal(merge(OWN, "{\"kafka\":{\"properties\":{\"linger.ms\":50}}}"), GV_OK);
    assert_true(has("\"linger.ms\":\t50") && has("env:K"));
}

static void what_is_no_object_is_refused(void **state)
{
    char small[8];
    size_t len = 99;

    (void)state;
    refused("[]", "update is no object");
    refused("", "update, line 1, column 1");
    refused("{\"log\":{}", "ends too early");
    refused("{} {}", "something follows");
    assert_int_equal(merge("7", "{}"), GV_INVAL);
    assert_non_null(strstr(err.text, "board's own file"));
    assert_int_equal(merge(OWN, "{\"api\":7}"), GV_INVAL);
    assert_string_equal(err.text, "api: expected an object with options in { }");
    assert_int_equal(merge(OWN, "{\"kafka\":{\"properties\":7}}"), GV_INVAL);
    err = (gv_error){ 0, "" };
    assert_int_equal(
        config_merge(gv_span_str(OWN), gv_span_str("{}"), small, sizeof small, &len, &err),
        GV_FULL);
    assert_int_equal(len, 99);
}

static void differs(void *ctx, const char *path)
{
    (void)ctx;
    fail_msg("%s differs", path);
}

/* What a running board shows of itself is fit to be sent to it, and to be edited and sent. */
static void what_is_in_force_is_an_update_that_changes_nothing(void **state)
{
    static const char own[] =
        "{ \"state_dir\": \"/data\", \"device_id\": \"attic\",\n"
        "  \"api\": { \"client_id\": \"env:ID\", \"client_secret\": \"file:/s\" },\n"
        "  \"kafka\": { \"brokers\": \"a:9092,b:9092\", \"security\": \"sasl_plaintext\",\n"
        "    \"username\": \"me\", \"password\": \"env:P\", \"properties\": { \"linger.ms\": 5,\n"
        "    \"sasl.oauthbearer.client.secret\": \"env:K\", \"ssl.key.location\": \"/k\" } },\n"
        "  \"ota\": { \"url\": \"http://here\" }, \"board\": { \"led\": \"ACT\" },\n"
        "  \"sink\": { \"store\": \"sqlite\" }, \"log\": { \"level\": \"warn\" },\n"
        "  \"sources\": [{ \"region\": \"eu\", \"realms\": [604, 1305] }] }";
    static const char *const hidden[] = { "/data",      "attic",  "env:", "file:", "\"me\"",
                                          SECRET_VALUE, "sqlite", "/k",   "here",  "ACT" };
    config_case *before = config_read(CONFIG_AGENT, own), *after;

    (void)state;
    assert_int_equal(before->status, GV_OK);
    char *update = printed(&before->config, CONFIG_AGENT, CONFIG_PRINT_UPDATE);
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (strstr(update, hidden[i]))
            fail_msg("%s is shown in %s", hidden[i], update);
    assert_non_null(strstr(update, "linger.ms"));
    assert_null(strstr(update, "\"format\"")); /* nobody set it: a default may change */
    assert_int_equal(merge(own, update), GV_OK);
    after = config_read(CONFIG_AGENT, text);
    assert_int_equal(after->status, GV_OK);
    assert_int_equal(config_diff(&before->config, &after->config, CONFIG_AGENT, differs, NULL), 0);
    config_done(before);
    config_done(after);
    free(update);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_boards_own_options_stay_and_all_else_is_the_updates),
        cmocka_unit_test(no_option_of_the_board_can_be_set_from_afar),
        cmocka_unit_test(secrets_never_travel),
        cmocka_unit_test(an_update_names_nothing_on_the_board),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(what_is_in_force_is_an_update_that_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
