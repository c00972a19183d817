/* What the registry client does when a registry is away, slow or wrong, and which replies and
 * configurations it refuses. */
#include "tests/unit/registry_world.h"

#include "agent/registry/reply.h"

#define CA GAVEL_SOURCE_DIR "/tests/doubles/tls/ca.pem"

/* --- trouble ----------------------------------------------------------------------------------- */
static void a_first_boot_without_a_registry_waits_and_gets_its_ids_later(void **state)
{
    uint32_t id;
    (void)state;
    w.schema_count = 2;
    control("{\"faults\":[{\"kind\":\"close\"}]}");
    open_registry();
    wait_for_requests("\"method\"", 4);
    assert_false(has_id(0, &id));
    assert_int_equal(w.announced, 0);
    assert_int_not_equal(access(CACHE, F_OK), 0); /* no failure is ever cached */
    assert_non_null(strstr(registry_state(w.reg), "2 of 2"));
    assert_true(!registry_complete(w.reg) && registry_in_trouble(w.reg));
    control("{\"faults\":[]}");
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(wait_for_id(1), 42);
    assert_int_equal(w.announced, 2);
}

static void an_address_that_is_away_is_passed_over_and_the_good_one_remembered(void **state)
{
    (void)state;
    w.config.url_count = 2;
    w.schema_count = 2;
    w.urls[0] = "http://user:pw@127.0.0.1:1/";
    open_registry();
    wait_for_id(0);
    wait_for_id(1);
    assert_int_equal(times(control(NULL), "\"at\": \"b\""), 6);
    close_registry();

    w.urls[0] = w.url_a;
    w.config.cache_path = NULL;
    control("{\"faults\":[{\"kind\":\"status\",\"status\":503,\"at\":\"a\"}]}");
    open_registry();
    wait_for_id(0);
    wait_for_id(1);
    const char *told = control(NULL);
    assert_int_equal(times(told, "\"at\": \"a\""), 1); /* then b, which answered, is asked first */
    assert_int_equal(times(told, "\"at\": \"b\""), 2);
}

static void every_kind_of_bad_reply_is_an_error_with_words_and_passes(void **state)
{
    static const struct {
        const char *fault, *words;
    } cases[] = {
        { "{\"kind\":\"garbage\"}", "not a JSON object" },
        { "{\"kind\":\"status\",\"status\":200,\"body\":{\"id\":\"5\"}}", "no \\\"id\\\"" },
        { "{\"kind\":\"status\",\"status\":200,\"body\":{\"id\":1.5}}", "no \\\"id\\\"" },
        { "{\"kind\":\"status\",\"status\":200,\"body\":{\"id\":0}}", "no \\\"id\\\"" },
        { "{\"kind\":\"status\",\"status\":200,\"body\":{\"id\":9999999999}}", "no \\\"id\\\"" },
        { "{\"kind\":\"html\"}", "not the address of a Schema Registry" },
        { "{\"kind\":\"html\",\"status\":502}", "status 502" },
        { "{\"kind\":\"huge\"}", "65536" },
        { "{\"kind\":\"status\",\"status\":500,\"body\":{\"error_code\":50001,\"message\":\"no "
          "store\"}}",
          "no store" },
        { "{\"kind\":\"status\",\"status\":422,\"body\":{\"error_code\":42201,\"message\":\"bad "
          "avro\"}}",
          "bad avro" },
    };
    char json[512];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        registry_begin(NULL);
        snprintf(json, sizeof json, "{\"faults\":[%s]}", cases[i].fault);
        control(json);
        open_registry();
        char words[64];
        size_t n = 0;
        for (const char *p = cases[i].words; *p; p++)
            if (*p != '\\')
                words[n++] = *p;
        words[n] = '\0';
        wait_for_state(words);
        control("{\"faults\":[]}");
        assert_int_equal(wait_for_id(0), 41);
        close_registry();
    }
}

static void wrong_credentials_are_named_and_right_ones_work(void **state)
{
    (void)state;
    control("{\"auth\":[\"user\",\"s3cret\"]}");
    w.config.username = "user";
    w.config.password = "wrong";
    open_registry();
    wait_for_state("registry.username and registry.password");
    assert_null(strstr(registry_state(w.reg), "wrong"));
    close_registry();
    w.config.password = "s3cret";
    open_registry();
    wait_for_id(0);
}

static void tls_takes_the_ca_file(void **state)
{
    (void)state;
    w.urls[0] = w.url_tls;
    open_registry();
    wait_for_state("no trusted authority");
    close_registry();
    w.config.ca_file = CA;
    open_registry();
    wait_for_id(0);
    close_registry();
    registry_begin(NULL);
    w.urls[0] = w.url_tls;
    w.config.ca_file = "/nonexistent/ca.pem";
    open_registry();
    wait_for_state("/nonexistent/ca.pem");
}

static void a_slow_reply_is_waited_for(void **state)
{
    (void)state;
    control("{\"faults\":[{\"kind\":\"slow\",\"ms\":150}]}");
    open_registry();
    wait_for_id(0);
    assert_int_equal(times(control(NULL), "\"method\""), 3);
}

static void a_retry_after_is_kept(void **state)
{
    (void)state;
    control("{\"faults\":[{\"kind\":\"status\",\"status\":503,\"retry_after\":1,\"times\":1}]}");
    open_registry();
    wait_for_requests("\"method\"", 1);
    uint64_t since = plat_mono_ms(&w.clock);
    wait_for_id(0);
    assert_true(plat_mono_ms(&w.clock) - since >= 800); /* and not the 60 ms of the back-off */
}

static void full_slots_are_waited_for(void **state)
{
    http_transfer *busy[2];
    char url[128];
    (void)state;
    control("{\"faults\":[{\"kind\":\"hang\",\"match\":\"/hang\"}]}");
    snprintf(url, sizeof url, "%s/hang", w.url_a);
    http_request request = {
        .method = "GET", .url = url, .connect_timeout_ms = 30000, .stall_timeout_ms = 30000
    };
    for (int i = 0; i < 2; i++)
        assert_int_equal(http_start(w.client, &request, &busy[i], NULL), GV_OK);
    open_registry();
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(times(control(NULL), "/subjects"), 0);
    http_cancel(busy[0]);
    wait_for_id(0);
    http_cancel(busy[1]);
}

/* --- replies and configuration ----------------------------------------------------------------- */
static void replies_are_read_strictly(void **state)
{
    static const char *const good[] = { "{\"id\":7}", " {\"id\" : 7.0, \"x\":[1]} \n",
                                        "{\"id\":7,\"id\":9}" };
    static const char *const bad[] = { "",
                                       "7",
                                       "[{\"id\":7}]",
                                       "{\"id\":7}x",
                                       "{\"id\":-7}",
                                       "{\"id\":1e99}",
                                       "{\"ID\":7}",
                                       "{\"id\":true}",
                                       "{\"id\":null}" };
    uint32_t id;
    bool compatible;
    char text[8];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(reply_id(gv_span_str(good[i]), &id, NULL), GV_OK);
        assert_int_equal(id, 7);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(reply_id(gv_span_str(bad[i]), &id, NULL), GV_CORRUPT);
    assert_int_equal(
        reply_error(gv_span_str("{\"error_code\":40401,\"message\":\"a\\nb\\u00e9 long\"}"), text,
                    sizeof text),
        40401);
    assert_string_equal(text, "a?b?? l");
    assert_int_equal(reply_error(gv_span_str("{}"), text, sizeof text), 0);
    assert_int_equal(reply_compatible(gv_span_str("{\"is_compatible\":1}"), &compatible, text,
                                      sizeof text, NULL),
                     GV_CORRUPT);
}

static void a_configuration_that_cannot_work_is_refused(void **state)
{
    static const char *const wrong[] = { "localhost:8081", "http://", "ftp://x", "http://x/?a=b" };
    static const registry_schema odd[] = { { 1, AVSC, "A", "topic/../x", NULL } };
    gv_error err = { 0 };
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        w.urls[0] = wrong[i];
        assert_int_equal(registry_open(&w.config, w.client, &w.fs, &w.clock, schemas, 1, NULL, NULL,
                                       &w.reg, &err),
                         GV_INVAL);
    }
    registry_begin(NULL);
    assert_int_equal(
        registry_open(&w.config, w.client, &w.fs, &w.clock, odd, 1, NULL, NULL, &w.reg, NULL),
        GV_INVAL);
    w.config.url_count = 0;
    assert_int_equal(
        registry_open(&w.config, w.client, &w.fs, &w.clock, schemas, 1, NULL, NULL, &w.reg, NULL),
        GV_INVAL);
    w.reg = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_first_boot_without_a_registry_waits_and_gets_its_ids_later),
        TEST(an_address_that_is_away_is_passed_over_and_the_good_one_remembered),
        TEST(every_kind_of_bad_reply_is_an_error_with_words_and_passes),
        TEST(wrong_credentials_are_named_and_right_ones_work),
        TEST(tls_takes_the_ca_file),
        TEST(a_slow_reply_is_waited_for),
        TEST(a_retry_after_is_kept),
        TEST(full_slots_are_waited_for),
        TEST(replies_are_read_strictly),
        TEST(a_configuration_that_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
