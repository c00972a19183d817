/* Which path shows what of an agent, as a browser, Prometheus and a probe see it. */
#include "agent/status/routes.h"
#include "tests/unit/http_client.h"
#include "tests/unit/status_world.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

static http_world world;
static status_world board;
static http_client_end client;
static size_t answer_bytes;

static void look(void *ctx, status_facts *out)
{
    *out = ((const status_world *)ctx)->facts;
}

static gv_status show_config(void *ctx, gv_buf *out)
{
    static const char config[] = "{ \"log\": { \"level\": \"warn\" } }\n";
    assert_ptr_equal(ctx, &board);
    return gv_buf_put(out, config, sizeof config - 1) ? GV_OK : GV_FULL;
}

static const routes shown = { look, show_config, &board };

static int open_world(void **state)
{
    http_server_config config = routes_server_config("127.0.0.1:0", 8);
    (void)state;
    if (answer_bytes)
        config.answer_bytes = answer_bytes;
    status_world_healthy(&board);
    world_open(&world, &config, routes_answer, (void *)(uintptr_t)&shown);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

static const char *ask(const char *path)
{
    char question[128];
    snprintf(question, sizeof question, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    client_ask(&world, &client, question);
    return client_body(&client);
}

static void the_page_may_run_its_own_script_and_nothing_else(void **state)
{
    (void)state;
    const char *page = ask("/");
    assert_int_equal(client_status(&client), 200);
    assert_non_null(strstr(client.text, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(page, "</html>"));
    assert_non_null(strstr(client.text, "default-src 'none'; style-src 'sha256-"));
    assert_non_null(strstr(client.text, "; script-src 'sha256-"));
    assert_non_null(strstr(client.text, "; connect-src 'self'; "));
    assert_null(strstr(client.text, "unsafe"));
}

static void status_json_is_the_board_as_it_is_now(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        cJSON *json = cJSON_Parse(ask("/status.json"));
        assert_non_null(json);
        assert_non_null(strstr(client.text, "Content-Type: application/json\r\n"));
        assert_int_equal(
            cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "broker"), "up")), i == 0);
        cJSON_Delete(json);
        status_world_outage(&board);
    }
}

static void metrics_are_in_the_form_that_prometheus_reads(void **state)
{
    (void)state;
    const char *text = ask("/metrics");
    assert_int_equal(client_status(&client), 200);
    assert_non_null(
        strstr(client.text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "\n# TYPE gavel_uptime_seconds gauge\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void config_json_is_what_the_agent_has_in_force(void **state)
{
    (void)state;
    assert_string_equal(ask("/config.json"), "{ \"log\": { \"level\": \"warn\" } }\n");
    assert_int_equal(client_status(&client), 200);
    assert_non_null(strstr(client.text, "Content-Type: application/json\r\n"));
}

static void expect_health(int status, const char *words)
{
    const char *text = ask("/healthz");
    if (client_status(&client) != status || !strstr(text, words))
        fail_msg("/healthz: %s", client.text);
}

static void health_is_whether_what_is_fetched_has_somewhere_to_go(void **state)
{
    (void)state;
    expect_health(200, "ok\n");
    status_world_outage(&board);
    board.facts.spool.full = false;
    assert_false(board.facts.broker.up);
    expect_health(200, "ok\n"); /* the spool has it */
    board.facts.spool.full = true;
    expect_health(503, "The spool is full and the broker is away");
    board.facts.broker.up = true;
    expect_health(200, "ok\n");
    board.facts.spool.usable = false;
    expect_health(503, "The spool cannot be used");
    board.facts.spool.enabled = false; /* as somebody wanted it */
    expect_health(200, "ok\n");
}

static void other_paths_say_which_there_are(void **state)
{
    static const char *const paths[] = { "/else",       "/status.json/", "//", "/../etc/passwd",
                                         "/metrics%00", "/METRICS",      "*" };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *text = ask(paths[i]);
        if (client_status(&client) != 404 ||
            !strstr(text, "/status.json, /metrics, /config.json and /healthz"))
            fail_msg("%s: %s", paths[i], client.text);
    }
}

static int open_small_world(void **state)
{
    answer_bytes = 64;
    return open_world(state);
}

static void what_does_not_fit_is_an_error_and_no_half_text(void **state)
{
    (void)state;
    answer_bytes = 0;
    assert_string_equal(ask("/status.json"), "The answer does not fit into its buffer.\n");
    assert_int_equal(client_status(&client), 500);
    assert_string_equal(ask("/metrics"), "The answer does not fit into its buffer.\n");
    expect_health(200, "ok\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_page_may_run_its_own_script_and_nothing_else),
        TEST(status_json_is_the_board_as_it_is_now),
        TEST(metrics_are_in_the_form_that_prometheus_reads),
        TEST(config_json_is_what_the_agent_has_in_force),
        TEST(health_is_whether_what_is_fetched_has_somewhere_to_go),
        TEST(other_paths_say_which_there_are),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_an_error_and_no_half_text,
                                        open_small_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
