/* How the registry client finds and registers schemas, today's and older ones, and fetches them. */
#include "tests/unit/registry_world.h"

#include <time.h>

#include "tests/doubles/log_double.h"

/* --- finding and registering ------------------------------------------------------------------- */
static void an_unknown_schema_is_checked_registered_and_announced(void **state)
{
    uint32_t id;
    (void)state;
    w.schema_count = 2;
    open_registry();
    assert_false(has_id(0, &id) || registry_complete(w.reg) || registry_in_trouble(w.reg));
    assert_non_null(strstr(registry_state(w.reg), "2 of 2 schema ids missing"));
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(wait_for_id(1), 42);
    assert_int_equal(w.announced, 2);
    assert_string_equal(registry_state(w.reg), "all schema ids known");
    assert_true(registry_complete(w.reg) && !registry_in_trouble(w.reg));
    const char *told = control(NULL);
    assert_int_equal(times(told, "/compatibility/subjects/auctions-value/versions/latest"), 1);
    assert_int_equal(times(told, "\"/subjects/auctions-value/versions\""), 1);
    assert_non_null(strstr(told, "\"auctions-value\": [41]"));
    assert_non_null(strstr(told, "\"rejects-value\": [42]"));
    /* Another fingerprint or topic has no id. */
    assert_int_equal(registry_id(w.reg, "auctions", 7, &id), GV_AGAIN);
    assert_int_equal(registry_id(w.reg, "rejects", schemas[0].fingerprint, &id), GV_AGAIN);
}

static void a_known_schema_is_only_looked_up(void **state)
{
    (void)state;
    w.config.cache_path = NULL;
    open_registry();
    wait_for_id(0);
    close_registry();
    control("{}");
    w.config.may_register = false;
    open_registry();
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(times(control(NULL), "\"method\""), 1);
}

static void subjects_follow_the_strategy(void **state)
{
    static const char *const expected[] = { "\"auctions-value\": [", "\"org.example.A\": [",
                                            "\"auctions-org.example.A\": [" };
    (void)state;
    w.config.cache_path = NULL;
    for (int i = 0; i < 3; i++) {
        control("{\"forget\":true}");
        w.config.strategy = (registry_strategy)i;
        open_registry();
        wait_for_id(0);
        assert_non_null(strstr(control(NULL), expected[i]));
        close_registry();
    }
}

static void without_permission_a_schema_is_never_registered(void **state)
{
    uint32_t id;
    (void)state;
    w.config.may_register = false;
    open_registry();
    wait_for_state("registry.register");
    wait_for_requests("\"/subjects/auctions-value\"", 3); /* it keeps asking */
    assert_false(has_id(0, &id));
    assert_int_equal(times(control(NULL), "/versions"), 0);
    close_registry();
    w.config.may_register = true; /* somebody registers it */
    w.config.cache_path = NULL;
    open_registry();
    wait_for_id(0);
    close_registry();
    w.config.may_register = false;
    open_registry();
    wait_for_id(0);
}

static void an_incompatible_schema_is_not_registered_and_the_reason_is_shown(void **state)
{
    uint32_t id;
    (void)state;
    open_registry();
    wait_for_id(0);
    close_registry();
    control("{\"incompatible\":\"reader field y has no default\"}");
    static const registry_schema changed[] = { { 99, AVSC_B, "org.example.A", "auctions", NULL } };
    assert_int_equal(
        registry_open(&w.config, w.client, &w.fs, &w.clock, changed, 1, NULL, NULL, &w.reg, NULL),
        GV_OK);
    wait_for_state("reader field y has no default");
    assert_int_equal(times(control(NULL), "auctions-value/versions\""), 0);
    assert_int_equal(registry_id(w.reg, "auctions", 99, &id), GV_AGAIN);
    /* What was found before stays good: spooled records need it. */
    assert_int_equal(registry_id(w.reg, "auctions", schemas[0].fingerprint, &id), GV_OK);
    assert_int_equal(id, 41);
    control("{\"incompatible\":null}");
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(w.reg, "auctions", 99, &id), GV_OK);
    assert_int_equal(id, 42);
}

/* --- older schemas, of which records wait ------------------------------------------------------- */
/* Written first, never registered; the schema of today is. */
static const registry_schema with_older[] = {
    { 0xa5, AVSC, "org.example.A", "auctions", NULL },
    { 0xb5, AVSC_B, "org.example.B", "auctions", "schemas/auctions-0001.avsc" },
};

static void open_with_older(void)
{
    assert_int_equal(registry_open(&w.config, w.client, &w.fs, &w.clock, with_older, 2, NULL, NULL,
                                   &w.reg, NULL),
                     GV_OK);
}

static void wait_for_older(uint32_t expected)
{
    uint32_t id;
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(w.reg, "auctions", 0xb5, &id), GV_OK);
    assert_int_equal(id, expected);
}

static void an_older_schema_gets_its_id_though_it_is_not_compatible_any_more(void **state)
{
    (void)state;
    open_one(&with_older[0]);
    wait_for_state("all schema ids known");
    close_registry();
    control("{\"incompatible\":\"field x was removed\"}");
    open_with_older();
    wait_for_older(42);
    const char *told = control(NULL);
    assert_non_null(strstr(told, "\"auctions-value\": [41]")); /* its latest is today's */
    assert_non_null(strstr(told, "\"auctions-value.00000000000000b5\": [42]"));
    close_registry();
    control("{\"faults\":[{\"kind\":\"close\"}]}"); /* found again without a registry */
    open_with_older();
    wait_for_older(42);
}

static void an_older_schema_that_was_registered_in_its_time_has_that_id(void **state)
{
    registry_schema in_its_time = with_older[1];
    (void)state;
    in_its_time.file = NULL;
    w.config.cache_path = NULL;
    open_one(&in_its_time);
    wait_for_state("all schema ids known");
    close_registry();
    open_with_older();
    wait_for_older(41);
    assert_null(strstr(control(NULL), "00b5"));
}

static void without_permission_an_older_schema_waits_for_a_person_and_only_that_one(void **state)
{
    log_double log;
    uint32_t id;
    (void)state;
    w.config.cache_path = NULL;
    open_one(&with_older[0]);
    wait_for_state("all schema ids known");
    close_registry();
    w.config.may_register = false;
    log_double_open(&log);
    open_with_older();
    wait_for_state("1 of 2 schema ids missing: the schema is not registered");
    while (registry_id(w.reg, "auctions", 0xa5, &id) != GV_OK)
        turn();
    assert_int_equal(registry_id(w.reg, "auctions", 0xb5, &id), GV_AGAIN);
    wait_for_requests("auctions-value\"", 3); /* asks for both subjects, again and again */
    wait_for_requests("auctions-value.00000000000000b5\"", 3);
    assert_int_equal(log_double_count(&log, "level=error"), 1);
    assert_int_equal(log_double_count(&log, "file=schemas/auctions-0001.avsc"), 1);
    log_double_close(&log);
    close_registry();
    w.config.may_register = true; /* a person registers it, and the agent only looks */
    open_one(&with_older[1]);
    wait_for_state("all schema ids known");
    close_registry();
    w.config.may_register = false;
    open_with_older();
    wait_for_older(42);
}

/* --- the sink's side --------------------------------------------------------------------------- */
typedef struct {
    int dones;
    gv_status status;
    char text[512];
    char words[320];
} fetched;

static void on_fetched(void *ctx, gv_status status, const char *text, const gv_error *err)
{
    fetched *f = ctx;
    f->dones++;
    f->status = status;
    snprintf(f->text, sizeof f->text, "%s", text ? text : "");
    snprintf(f->words, sizeof f->words, "%s", err->text);
}

static fetched fetch(uint32_t id)
{
    fetched f = { 0 };
    fetched other = { 0 };
    assert_int_equal(registry_fetch(w.reg, id, on_fetched, &f, NULL), GV_OK);
    assert_int_equal(registry_fetch(w.reg, id, on_fetched, &other, NULL), GV_AGAIN);
    assert_int_equal(f.dones, 0);
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (!f.dones && plat_mono_ms(&w.clock) < give_up)
        turn();
    assert_int_equal(f.dones, 1);
    assert_int_equal(other.dones, 0);
    return f;
}

static void a_schema_is_fetched_by_its_id(void **state)
{
    (void)state;
    w.config.url_count = 2;
    open_registry();
    wait_for_id(0);
    close_registry();
    w.config.cache_path = NULL;
    w.schema_count = 0;
    open_registry();
    fetched f = fetch(41);
    assert_int_equal(f.status, GV_OK);
    assert_string_equal(f.text, AVSC);
    f = fetch(4000000000u);
    assert_int_equal(f.status, GV_INVAL);
    assert_non_null(strstr(f.words, "4000000000"));
    control("{\"faults\":[{\"kind\":\"close\",\"at\":\"a\"}]}");
    assert_int_equal(fetch(41).status, GV_OK);
    control("{\"faults\":[{\"kind\":\"close\"}]}");
    f = fetch(41);
    assert_int_equal(f.status, GV_IO);
    assert_non_null(strstr(f.words, "none of the 2 registries answers"));
    control("{\"faults\":[{\"kind\":\"garbage\"}]}");
    assert_int_equal(fetch(41).status, GV_IO);
    control("{\"faults\":[{\"kind\":\"status\",\"status\":200,\"body\":{\"schema\":\"x\","
            "\"schemaType\":\"JSON\"}}]}");
    f = fetch(41);
    assert_int_equal(f.status, GV_INVAL);
    assert_non_null(strstr(f.words, "JSON"));
}

/* --- a real registry, where there is one -------------------------------------------------------- */
static void a_real_registry_answers_the_same_way(void **state)
{
    static const char *const v1 =
        "{\"type\":\"record\",\"name\":\"A\",\n \"fields\":[{\"name\":\"x\",\"type\":\"long\"}]}";
    static const char *const v2 =
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\",\"type\":"
        "\"long\"},{\"name\":\"y\",\"type\":\"int\",\"default\":0}]}";
    static const char *const broken =
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"x\","
        "\"type\":\"string\"}]}";
    const char *url = getenv("GAVEL_REGISTRY_URL");
    char topic[64];
    uint32_t first;
    uint32_t id;
    (void)state;
    if (!url) {
        print_message("GAVEL_REGISTRY_URL is not set\n");
        skip();
    }
    w.urls[0] = url;
    w.config.cache_path = NULL;
    snprintf(topic, sizeof topic, "gavel-test-%lld-%d", (long long)time(NULL), (int)getpid());
    registry_schema schema = { 1, v1, "A", topic, NULL };

    w.config.may_register = false;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("registry.register");
    close_registry();
    w.config.may_register = true;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(w.reg, topic, 1, &first), GV_OK);
    fetched f = fetch(first);
    assert_int_equal(f.status, GV_OK);
    assert_non_null(strstr(f.text, "\"long\""));
    f = fetch(2000000000);
    assert_int_equal(f.status, GV_INVAL);
    close_registry();

    w.config.may_register = false; /* it is found again */
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(w.reg, topic, 1, &id), GV_OK);
    assert_int_equal(id, first);
    close_registry();

    w.config.may_register = true; /* a version that readers of the old one's data understand */
    schema.text = v2;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(w.reg, topic, 1, &id), GV_OK);
    assert_int_not_equal(id, first);
    close_registry();

    schema.text = broken; /* and one that they do not */
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("not compatible");
    print_message("%s\n", registry_state(w.reg));
    close_registry();
    schema.text = "{\"type\":\"nonsense\"}";
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("missing: the");
    print_message("%s\n", registry_state(w.reg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unknown_schema_is_checked_registered_and_announced),
        TEST(a_known_schema_is_only_looked_up),
        TEST(subjects_follow_the_strategy),
        TEST(without_permission_a_schema_is_never_registered),
        TEST(an_incompatible_schema_is_not_registered_and_the_reason_is_shown),
        TEST(an_older_schema_gets_its_id_though_it_is_not_compatible_any_more),
        TEST(an_older_schema_that_was_registered_in_its_time_has_that_id),
        TEST(without_permission_an_older_schema_waits_for_a_person_and_only_that_one),
        TEST(a_schema_is_fetched_by_its_id),
        TEST(a_real_registry_answers_the_same_way),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
