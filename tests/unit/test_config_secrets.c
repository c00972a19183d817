/* Secrets: only by reference, read from three places, and shown nowhere. */
#include "agent/config/internal.h"
#include "tests/unit/config_help.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void write_file(const char *path, const void *data, size_t len, mode_t mode)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static const char *here(const char *name)
{
    static char path[4][1024];
    static int next;
    char dir[512];

    next = (next + 1) % 4;
    assert_non_null(getcwd(dir, sizeof dir));
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

static gv_status read_value(const char *reference, char *value, size_t cap, gv_error *err)
{
    plat_fs fs = plat_fs_system();

    *err = (gv_error){ 0 };
    return config_secret_read(&fs, reference, value, cap, err);
}

static const char *file_reference(const char *name)
{
    static char reference[1100];

    snprintf(reference, sizeof reference, "file:%s", here(name));
    return reference;
}

static void a_file_gives_its_contents_without_one_line_end(void **state)
{
    static const struct {
        const char *contents, *value;
    } cases[] = {
        { "pass", "pass" },
        { "pass\n", "pass" },
        { "pass\r\n", "pass" },
        { "pass\n\n", "pass\n" },
        { " pass ", " pass " },
        { "\n", "" },
        { "", "" },
    };
    char value[64];
    gv_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file("secret", cases[i].contents, strlen(cases[i].contents), 0600);
        assert_int_equal(read_value(file_reference("secret"), value, sizeof value, &err), GV_OK);
        assert_string_equal(value, cases[i].value);
        assert_string_equal(err.text, "");
    }
}

static void a_file_that_others_may_read_is_a_warning(void **state)
{
    char value[64];
    gv_error err;

    (void)state;
    write_file("open", "pass", 4, 0640);
    assert_int_equal(read_value(file_reference("open"), value, sizeof value, &err), GV_OK);
    assert_string_equal(value, "pass");
    assert_non_null(strstr(err.text, "other users may read "));
    assert_non_null(strstr(err.text, "/open: chmod 600 it"));
}

static void a_file_that_is_no_secret_is_refused(void **state)
{
    char value[64], large[65];
    gv_error err;

    (void)state;
    memset(large, 'x', sizeof large);
    write_file("large", large, sizeof large, 0600);
    assert_int_equal(read_value(file_reference("large"), value, sizeof value, &err), GV_FULL);
    assert_non_null(strstr(err.text, "/large is larger than 63 bytes"));
    write_file("binary", "a\0b", 3, 0600);
    assert_int_equal(read_value(file_reference("binary"), value, sizeof value, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "holds a NUL byte"));
    assert_int_equal(read_value("file:/nowhere/at/all", value, sizeof value, &err), GV_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all: No such file or directory"));
}

static void the_environment_gives_a_secret(void **state)
{
    char value[16];
    gv_error err;

    (void)state;
    setenv("GAVEL_TEST_SECRET", "pass", 1);
    assert_int_equal(read_value("env:GAVEL_TEST_SECRET", value, sizeof value, &err), GV_OK);
    assert_string_equal(value, "pass");
    setenv("GAVEL_TEST_SECRET", "0123456789012345", 1);
    assert_int_equal(read_value("env:GAVEL_TEST_SECRET", value, sizeof value, &err), GV_FULL);
    unsetenv("GAVEL_TEST_SECRET");
    assert_int_equal(read_value("env:GAVEL_TEST_SECRET", value, sizeof value, &err), GV_IO);
    assert_string_equal(err.text, "the environment variable GAVEL_TEST_SECRET is not set");
}

static void systemd_gives_a_credential(void **state)
{
    char value[64];
    gv_error err;

    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_int_equal(read_value("credential:key", value, sizeof value, &err), GV_IO);
    assert_non_null(strstr(err.text, "LoadCredential=key:"));
    setenv("CREDENTIALS_DIRECTORY", here("."), 1);
    write_file("key", "pass\n", 5, 0644); /* systemd guards the directory, not the file */
    assert_int_equal(read_value("credential:key", value, sizeof value, &err), GV_OK);
    assert_string_equal(value, "pass");
    assert_string_equal(err.text, "");
    unsetenv("CREDENTIALS_DIRECTORY");
}

#define HIDDEN_FOUND                                                                               \
    ": put it into a file that only the program's user may read, and write \"file:/path/of/it\" "  \
    "here (or \"env:NAME\", \"credential:NAME\")"

static void a_plain_secret_is_refused_and_not_shown(void **state)
{
    static const struct {
        const char *path, *value, *problem;
    } cases[] = {
        { "kafka.password", "\"" SECRET_VALUE "\"",
          "expected a reference to a secret, found a plain text (not shown)" HIDDEN_FOUND },
        { "kafka.password", "123456",
          "expected a reference to a secret, found a number (not shown)" HIDDEN_FOUND },
        { "kafka.password", "\"file:relative\"", "file: needs a path that starts with /" },
        { "kafka.password", "\"env:\"", "env: needs the name of an environment variable" },
        { "kafka.password", "\"env:A-B\"", "env: needs the name of an environment variable" },
        { "kafka.password", "\"credential:../x\"", "credential: needs the name of a credential" },
        { "kafka.password", "\"credential:a/b\"", "credential: needs the name of a credential" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512], problem[512];
        config_wrap(text, sizeof text, cases[i].path, cases[i].value);
        snprintf(problem, sizeof problem, "gavel.json: %s: %s", cases[i].path, cases[i].problem);
        expect_problem(CONFIG_SINK, text, problem);
    }
}

static void a_mongodb_address_with_a_password_is_refused(void **state)
{
    static const char *const refused[] = {
        "mongodb://u:" SECRET_VALUE "@host/x",
        "mongodb+srv://u:" SECRET_VALUE "@host",
        "mongodb://u:p/w@host",
        "mongodb://u:p?w@host",
        "mongodb://host/?tlsCertificateKeyFilePassword=" SECRET_VALUE,
        "mongodb://host/?authMechanismProperties=AWS_SESSION_TOKEN:" SECRET_VALUE,
    };
    static const char *const taken[] = { "mongodb://a:1,b:2/?replicaSet=r",
                                         "mongodb://user@host:27017",
                                         "mongodb+srv://cluster.example/db?w=majority" };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(text, sizeof text, "{\"mongo\": {\"uri\": \"%s\"}}", refused[i]);
        expect_problem(
            CONFIG_SINK, text,
            "gavel.json: mongo.uri: this address holds a password: put the whole address "
            "into a file that only the program's user may read, and write "
            "\"file:/path/of/it\" here");
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        snprintf(text, sizeof text, "{\"mongo\": {\"uri\": \"%s\"}}", taken[i]);
        expect_fine(CONFIG_SINK, text);
    }
}

static void passwords_among_librdkafka_properties_are_secrets_too(void **state)
{
    static const char *const names[] = { "sasl.password", "ssl.keystore.password", "ssl.key.pem",
                                         "sasl.oauthbearer.client.secret" };
    config_case *c;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"kafka\": {\"properties\": {\"%s\": \"%s\"}}}", names[i],
                 SECRET_VALUE);
        c = config_read(CONFIG_SINK, text);
        assert_int_equal(c->problems, 1);
        assert_non_null(strstr(c->said, "found a plain text (not shown)"));
        assert_null(strstr(c->said, SECRET_VALUE));
        config_done(c);
    }
    c = config_read(CONFIG_SINK,
                    "{\"kafka\": {\"properties\": {\"ssl.key.password\": \"env:K\"}}}");
    assert_string_equal(c->config.kafka_properties.items[0].value, SECRET_VALUE);
    assert_string_equal(c->config.kafka_properties.items[0].reference, "env:K");
    config_done(c);
}

/* Every secret is set, and the file is broken in every way that quotes a value. */
static void no_output_ever_holds_a_secret(void **state)
{
    const char *more =
        ", \"kafka\": {\"security\": \"sasl_ssl\", \"username\": \"u\", \"password\": "
        "\"env:P\", \"properties\": {\"ssl.key.password\": \"env:Q\", \"x\": "
        "\"credential:Y\"}}, \"registry\": {\"username\": \"u\", \"password\": "
        "\"file:/p\"}, \"mongo\": {\"uri\": \"env:URI\"}";
    config_case *c = config_read(CONFIG_AGENT, agent_text(more));
    char *text;

    (void)state;
    assert_int_equal(c->status, GV_OK);
    assert_int_equal(c->secrets_read, 6);
    assert_string_equal(c->config.registry_password, SECRET_VALUE);
    text = printed(&c->config, CONFIG_BOTH, CONFIG_PRINT_ORIGINS);
    assert_null(strstr(text, SECRET_VALUE));
    assert_non_null(strstr(text, "\"client_id\": \"env:ID\""));
    assert_non_null(strstr(text, "\"ssl.key.password\": \"env:Q\""));
    assert_non_null(strstr(text, "\"uri\": \"env:URI\""));
    free(text);
    config_done(c);
    /* As an address of MongoDB the value is wrong; the message must not quote it. */
    c = config_read(CONFIG_SINK, "{\"mongo\": {\"uri\": \"env:URI\"}}");
    assert_int_equal(c->status, GV_INVAL);
    assert_null(strstr(c->said, SECRET_VALUE));
    config_done(c);
}

static void a_file_is_loaded_with_the_secrets_it_names(void **state)
{
    static char memory[CONFIG_ARENA_BYTES];
    plat_fs fs = plat_fs_system();
    gv_arena arena;
    gv_config config;
    gv_error err = { 0 };
    char text[4096];

    (void)state;
    write_file("id", "the id\n", 7, 0600);
    write_file("key", "the key\n", 8, 0600);
    snprintf(text, sizeof text,
             "{\"sources\": [{\"region\": \"eu\", \"realms\": [604]}], \"api\": {\"client_id\": "
             "\"file:%s\", \"client_secret\": \"file:%s\"}}",
             here("id"), here("key"));
    write_file("gavel.json", text, strlen(text), 0644);
    gv_arena_init(&arena, memory, sizeof memory);
    assert_int_equal(
        config_load("gavel.json", CONFIG_AGENT, &fs, &arena, NULL, NULL, &config, &err), GV_OK);
    assert_string_equal(config.api_client_id, "the id");
    assert_string_equal(config.api_client_secret, "the key");
    unlink("key");
    assert_int_equal(
        config_load("gavel.json", CONFIG_AGENT, &fs, &arena, NULL, NULL, &config, &err), GV_IO);
    assert_non_null(strstr(err.text, "gavel.json: api.client_secret: the secret cannot be read: "));
}

static void an_empty_or_many_lined_secret_is_refused(void **state)
{
    static char memory[CONFIG_ARENA_BYTES];
    plat_fs fs = plat_fs_system();
    gv_arena arena;
    gv_config config;
    gv_error err = { 0 };
    char text[2048];

    (void)state;
    write_file("empty", "\n", 1, 0600);
    write_file("lines", "a\nb\n", 4, 0600);
    gv_arena_init(&arena, memory, sizeof memory);
    snprintf(text, sizeof text, "{\"registry\": {\"username\": \"u\", \"password\": \"file:%s\"}}",
             here("empty"));
    write_file("sink.json", text, strlen(text), 0644);
    assert_int_equal(config_load("sink.json", CONFIG_SINK, &fs, &arena, NULL, NULL, &config, &err),
                     GV_INVAL);
    assert_non_null(strstr(err.text, "/empty names is empty"));
    snprintf(text, sizeof text, "{\"registry\": {\"username\": \"u\", \"password\": \"file:%s\"}}",
             here("lines"));
    write_file("sink.json", text, strlen(text), 0644);
    err = (gv_error){ 0 };
    assert_int_equal(config_load("sink.json", CONFIG_SINK, &fs, &arena, NULL, NULL, &config, &err),
                     GV_INVAL);
    assert_non_null(strstr(err.text, "registry.password: the secret holds a line end"));
}

static void a_missing_or_unreadable_file_is_said_plainly(void **state)
{
    static char memory[CONFIG_ARENA_BYTES];
    plat_fs fs = plat_fs_system();
    gv_arena arena;
    gv_config config;
    gv_error err = { 0 };

    (void)state;
    gv_arena_init(&arena, memory, sizeof memory);
    assert_int_equal(config_load("no.json", CONFIG_SINK, &fs, &arena, NULL, NULL, &config, &err),
                     GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    assert_string_equal(err.text, "no.json: there is no such file; name another one, or start from "
                                  "gavel.example.json");
    err = (gv_error){ 0 };
    assert_int_equal(config_load(".", CONFIG_SINK, &fs, &arena, NULL, NULL, &config, &err), GV_IO);
    assert_non_null(strstr(err.text, ".: the configuration cannot be read: "));
}

static gv_status any_secret(void *ctx, const char *reference, char *value, size_t cap,
                            gv_error *err)
{
    (void)ctx;
    (void)reference;
    (void)err;
    snprintf(value, cap, "x");
    return GV_OK;
}

static void say_problem(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    (void)warning;
    print_error("%s\n", text);
}

static void the_example_is_a_valid_configuration_of_both_programs(void **state)
{
    static char memory[CONFIG_ARENA_BYTES], text[16384];
    gv_arena arena;
    gv_config config;
    FILE *file = fopen(GAVEL_SOURCE_DIR "/agent/config/gavel.example.json", "rb");
    size_t len;

    (void)state;
    assert_non_null(file);
    len = fread(text, 1, sizeof text, file);
    fclose(file);
    for (int program = CONFIG_AGENT; program <= CONFIG_SINK; program++) {
        config_reader reader = {
            (config_program)program, "example", &arena, say_problem, any_secret, NULL
        };
        gv_arena_init(&arena, memory, sizeof memory);
        assert_int_equal(config_parse(&reader, gv_span_of(text, len), &config, NULL), GV_OK);
        assert_int_equal(config.source_count, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_its_contents_without_one_line_end),
        cmocka_unit_test(a_file_that_others_may_read_is_a_warning),
        cmocka_unit_test(a_file_that_is_no_secret_is_refused),
        cmocka_unit_test(the_environment_gives_a_secret),
        cmocka_unit_test(systemd_gives_a_credential),
        cmocka_unit_test(a_plain_secret_is_refused_and_not_shown),
        cmocka_unit_test(a_mongodb_address_with_a_password_is_refused),
        cmocka_unit_test(passwords_among_librdkafka_properties_are_secrets_too),
        cmocka_unit_test(no_output_ever_holds_a_secret),
        cmocka_unit_test(a_file_is_loaded_with_the_secrets_it_names),
        cmocka_unit_test(an_empty_or_many_lined_secret_is_refused),
        cmocka_unit_test(a_missing_or_unreadable_file_is_said_plainly),
        cmocka_unit_test(the_example_is_a_valid_configuration_of_both_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
