#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/registry/cache.h"
#include "agent/registry/registry.h"
#include "agent/registry/reply.h"
#include "tests/doubles/log_double.h"
#include "tests/unit/double.h"

#define CA    GAVEL_SOURCE_DIR "/tests/doubles/tls/ca.pem"
#define CACHE "registry.cache"
#define AVSC                                                                                       \
    "{\"type\":\"record\",\"name\":\"A\",\n "                                                      \
    "\"fields\":[{\"name\":\"x\\u00e9\",\"type\":\"long\"}]}"
#define AVSC_B "{\"type\":\"record\",\"name\":\"B\",\"fields\":[]}"

static test_double server;
static plat_loop *loop;
static plat_clock the_clock;
static plat_fs fs;
static http_client *client;
static registry *reg;
static unsigned announced;

static char url_a[64], url_b[64], url_tls[64];
static const char *urls[3];
static registry_config config;
static const registry_schema schemas[] = {
    { UINT64_C(0xa000000000000001), AVSC, "org.example.A", "auctions", NULL },
    { UINT64_C(0xb000000000000002), AVSC_B, "org.example.B", "rejects", NULL },
};
static size_t schema_count;

/* --- the double -------------------------------------------------------------------------------- */
/* Sends JSON to the double's control path and answers what it tells. */
static const char *control(const char *json)
{
    static char told[65536];
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_port = htons((uint16_t)double_port(&server, "a"));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    dprintf(fd, "%s /_control HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
            json ? "POST" : "GET", json ? strlen(json) : 0, json ? json : "");
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, told + len, sizeof told - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    told[len] = '\0';
    assert_non_null(strstr(told, "200 OK"));
    return told;
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

/* --- the client -------------------------------------------------------------------------------- */
static void on_id(void *ctx)
{
    assert_ptr_equal(ctx, &reg);
    announced++;
}

static void open_registry(void)
{
    gv_error err = { 0 };
    if (registry_open(&config, client, &fs, &the_clock, schemas, schema_count, on_id, &reg, &reg,
                      &err) != GV_OK)
        fail_msg("%s", err.text);
}

static gv_status open_one(const registry_schema *schema)
{
    return registry_open(&config, client, &fs, &the_clock, schema, 1, NULL, NULL, &reg, NULL);
}

static void close_registry(void)
{
    registry_close(reg);
    reg = NULL;
}

static void turn(void)
{
    uint64_t next = registry_tick(reg);
    uint64_t http = http_tick(client);
    uint64_t now = plat_mono_ms(&the_clock);
    next = http < next ? http : next;
    int64_t wait = next <= now ? 0 : next - now > 20 ? 20 : (int64_t)(next - now);
    assert_int_equal(plat_loop_wait(loop, wait, NULL), GV_OK);
}

static bool has_id(size_t i, uint32_t *id)
{
    return registry_id(reg, schemas[i].topic, schemas[i].fingerprint, id) == GV_OK;
}

static uint32_t wait_for_id(size_t i)
{
    uint32_t id = 0;
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (!has_id(i, &id) && plat_mono_ms(&the_clock) < give_up)
        turn();
    if (id == 0)
        fail_msg("no id: %s", registry_state(reg));
    return id;
}

static void wait_for_state(const char *words)
{
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (!strstr(registry_state(reg), words) && plat_mono_ms(&the_clock) < give_up)
        turn();
    if (!strstr(registry_state(reg), words))
        fail_msg("\"%s\" does not say \"%s\"", registry_state(reg), words);
}

/* Until it has asked so many times. */
static void wait_for_requests(const char *path, int count)
{
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (times(control(NULL), path) < count && plat_mono_ms(&the_clock) < give_up)
        turn();
    assert_true(times(control(NULL), path) >= count);
}

static int begin(void **state)
{
    (void)state;
    control("{\"forget\":true,\"faults\":[],\"auth\":null,\"incompatible\":null,\"next_id\":41}");
    config = (registry_config){ .urls = urls,
                                .url_count = 1,
                                .may_register = true,
                                .cache_path = CACHE,
                                .retry_min_ms = 20,
                                .retry_max_ms = 60 };
    urls[0] = url_a;
    urls[1] = url_b;
    schema_count = 1;
    announced = 0;
    if (system("rm -rf registry.cache*") != 0)
        return -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    close_registry();
    return 0;
}

/* --- finding and registering ------------------------------------------------------------------- */
static void an_unknown_schema_is_checked_registered_and_announced(void **state)
{
    uint32_t id;
    (void)state;
    schema_count = 2;
    open_registry();
    assert_false(has_id(0, &id) || registry_complete(reg) || registry_in_trouble(reg));
    assert_non_null(strstr(registry_state(reg), "2 of 2 schema ids missing"));
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(wait_for_id(1), 42);
    assert_int_equal(announced, 2);
    assert_string_equal(registry_state(reg), "all schema ids known");
    assert_true(registry_complete(reg) && !registry_in_trouble(reg));
    const char *told = control(NULL);
    assert_int_equal(times(told, "/compatibility/subjects/auctions-value/versions/latest"), 1);
    assert_int_equal(times(told, "\"/subjects/auctions-value/versions\""), 1);
    assert_non_null(strstr(told, "\"auctions-value\": [41]"));
    assert_non_null(strstr(told, "\"rejects-value\": [42]"));
    /* Another fingerprint or topic has no id. */
    assert_int_equal(registry_id(reg, "auctions", 7, &id), GV_AGAIN);
    assert_int_equal(registry_id(reg, "rejects", schemas[0].fingerprint, &id), GV_AGAIN);
}

static void a_known_schema_is_only_looked_up(void **state)
{
    (void)state;
    config.cache_path = NULL;
    open_registry();
    wait_for_id(0);
    close_registry();
    control("{}");
    config.may_register = false;
    open_registry();
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(times(control(NULL), "\"method\""), 1);
}

static void subjects_follow_the_strategy(void **state)
{
    static const char *const expected[] = { "\"auctions-value\": [", "\"org.example.A\": [",
                                            "\"auctions-org.example.A\": [" };
    (void)state;
    config.cache_path = NULL;
    for (int i = 0; i < 3; i++) {
        control("{\"forget\":true}");
        config.strategy = (registry_strategy)i;
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
    config.may_register = false;
    open_registry();
    wait_for_state("registry.register");
    wait_for_requests("\"/subjects/auctions-value\"", 3); /* it keeps asking */
    assert_false(has_id(0, &id));
    assert_int_equal(times(control(NULL), "/versions"), 0);
    close_registry();
    config.may_register = true; /* somebody registers it */
    config.cache_path = NULL;
    open_registry();
    wait_for_id(0);
    close_registry();
    config.may_register = false;
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
        registry_open(&config, client, &fs, &the_clock, changed, 1, NULL, NULL, &reg, NULL), GV_OK);
    wait_for_state("reader field y has no default");
    assert_int_equal(times(control(NULL), "auctions-value/versions\""), 0);
    assert_int_equal(registry_id(reg, "auctions", 99, &id), GV_AGAIN);
    /* What was found before stays good: spooled records need it. */
    assert_int_equal(registry_id(reg, "auctions", schemas[0].fingerprint, &id), GV_OK);
    assert_int_equal(id, 41);
    control("{\"incompatible\":null}");
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(reg, "auctions", 99, &id), GV_OK);
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
    assert_int_equal(
        registry_open(&config, client, &fs, &the_clock, with_older, 2, NULL, NULL, &reg, NULL),
        GV_OK);
}

static void wait_for_older(uint32_t expected)
{
    uint32_t id;
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(reg, "auctions", 0xb5, &id), GV_OK);
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
    config.cache_path = NULL;
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
    config.cache_path = NULL;
    open_one(&with_older[0]);
    wait_for_state("all schema ids known");
    close_registry();
    config.may_register = false;
    log_double_open(&log);
    open_with_older();
    wait_for_state("1 of 2 schema ids missing: the schema is not registered");
    while (registry_id(reg, "auctions", 0xa5, &id) != GV_OK)
        turn();
    assert_int_equal(registry_id(reg, "auctions", 0xb5, &id), GV_AGAIN);
    wait_for_requests("auctions-value\"", 3); /* asks for both subjects, again and again */
    wait_for_requests("auctions-value.00000000000000b5\"", 3);
    assert_int_equal(log_double_count(&log, "level=error"), 1);
    assert_int_equal(log_double_count(&log, "file=schemas/auctions-0001.avsc"), 1);
    log_double_close(&log);
    close_registry();
    config.may_register = true; /* a person registers it, and the agent only looks */
    open_one(&with_older[1]);
    wait_for_state("all schema ids known");
    close_registry();
    config.may_register = false;
    open_with_older();
    wait_for_older(42);
}

/* --- trouble ----------------------------------------------------------------------------------- */
static void a_first_boot_without_a_registry_waits_and_gets_its_ids_later(void **state)
{
    uint32_t id;
    (void)state;
    schema_count = 2;
    control("{\"faults\":[{\"kind\":\"close\"}]}");
    open_registry();
    wait_for_requests("\"method\"", 4);
    assert_false(has_id(0, &id));
    assert_int_equal(announced, 0);
    assert_int_not_equal(access(CACHE, F_OK), 0); /* no failure is ever cached */
    assert_non_null(strstr(registry_state(reg), "2 of 2"));
    assert_true(!registry_complete(reg) && registry_in_trouble(reg));
    control("{\"faults\":[]}");
    assert_int_equal(wait_for_id(0), 41);
    assert_int_equal(wait_for_id(1), 42);
    assert_int_equal(announced, 2);
}

static void an_address_that_is_away_is_passed_over_and_the_good_one_remembered(void **state)
{
    (void)state;
    config.url_count = 2;
    schema_count = 2;
    urls[0] = "http://user:pw@127.0.0.1:1/";
    open_registry();
    wait_for_id(0);
    wait_for_id(1);
    assert_int_equal(times(control(NULL), "\"at\": \"b\""), 6);
    close_registry();

    urls[0] = url_a;
    config.cache_path = NULL;
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
        begin(NULL);
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
    config.username = "user";
    config.password = "wrong";
    open_registry();
    wait_for_state("registry.username and registry.password");
    assert_null(strstr(registry_state(reg), "wrong"));
    close_registry();
    config.password = "s3cret";
    open_registry();
    wait_for_id(0);
}

static void tls_takes_the_ca_file(void **state)
{
    (void)state;
    urls[0] = url_tls;
    open_registry();
    wait_for_state("no trusted authority");
    close_registry();
    config.ca_file = CA;
    open_registry();
    wait_for_id(0);
    close_registry();
    begin(NULL);
    urls[0] = url_tls;
    config.ca_file = "/nonexistent/ca.pem";
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
    uint64_t since = plat_mono_ms(&the_clock);
    wait_for_id(0);
    assert_true(plat_mono_ms(&the_clock) - since >= 800); /* and not the 60 ms of the back-off */
}

static void full_slots_are_waited_for(void **state)
{
    http_transfer *busy[2];
    char url[128];
    (void)state;
    control("{\"faults\":[{\"kind\":\"hang\",\"match\":\"/hang\"}]}");
    snprintf(url, sizeof url, "%s/hang", url_a);
    http_request request = {
        .method = "GET", .url = url, .connect_timeout_ms = 30000, .stall_timeout_ms = 30000
    };
    for (int i = 0; i < 2; i++)
        assert_int_equal(http_start(client, &request, &busy[i], NULL), GV_OK);
    open_registry();
    for (int i = 0; i < 5; i++)
        turn();
    assert_int_equal(times(control(NULL), "/subjects"), 0);
    http_cancel(busy[0]);
    wait_for_id(0);
    http_cancel(busy[1]);
}

/* --- the cache --------------------------------------------------------------------------------- */
static void ids_survive_a_restart_without_a_registry(void **state)
{
    uint32_t id;
    (void)state;
    schema_count = 2;
    open_registry();
    wait_for_id(0);
    wait_for_id(1);
    close_registry();
    control("{\"faults\":[{\"kind\":\"close\"}]}");
    open_registry();
    assert_true(has_id(0, &id));
    assert_int_equal(id, 41);
    assert_true(has_id(1, &id));
    assert_int_equal(id, 42);
    wait_for_requests("\"method\"", 5); /* it tries to confirm, fails, and keeps what it has */
    assert_true(has_id(0, &id));
    assert_int_equal(id, 41);
    assert_string_equal(registry_state(reg), "all schema ids known");
    assert_true(registry_complete(reg) && registry_in_trouble(reg));
    close_registry();
    open_registry();
    assert_true(has_id(1, &id));
}

static void a_registry_made_anew_gets_the_schema_again(void **state)
{
    uint32_t id;
    (void)state;
    open_registry();
    wait_for_id(0);
    close_registry();
    control("{\"forget\":true,\"next_id\":7}");
    open_registry();
    assert_true(has_id(0, &id));
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (id != 7 && plat_mono_ms(&the_clock) < give_up) {
        turn();
        has_id(0, &id);
    }
    assert_int_equal(id, 7);
    assert_int_equal(announced, 2);
    close_registry();
    control("{\"faults\":[{\"kind\":\"close\"}]}");
    open_registry();
    assert_true(has_id(0, &id));
    assert_int_equal(id, 7);
}

static void another_registrys_ids_are_not_used(void **state)
{
    uint32_t id;
    (void)state;
    open_registry();
    wait_for_id(0);
    close_registry();
    urls[0] = "http://127.0.0.1:1";
    open_registry();
    assert_false(has_id(0, &id));
    close_registry();
    urls[0] = url_b; /* one of several addresses in common is enough */
    urls[1] = url_a;
    config.url_count = 2;
    open_registry();
    assert_true(has_id(0, &id));
}

static void a_damaged_cache_is_set_aside_and_made_anew(void **state)
{
    uint8_t bytes[4096];
    char name[64];
    uint32_t id;
    int damaged = 0;
    (void)state;
    open_registry();
    wait_for_id(0);
    close_registry();
    int fd = open(CACHE, O_RDONLY);
    ssize_t len = read(fd, bytes, sizeof bytes);
    close(fd);
    assert_true(len > 100 && len < (ssize_t)sizeof bytes);
    for (ssize_t at = 0; at < len; at += 23) {
        bytes[at] ^= 1;
        fd = open(CACHE, O_WRONLY | O_TRUNC | O_CREAT, 0600);
        assert_int_equal(write(fd, bytes, (size_t)len), len);
        close(fd);
        bytes[at] ^= 1;
        open_registry();
        if (has_id(0, &id)) {
            assert_int_equal(id, 41); /* the flip made other white space: the same content */
        } else {
            damaged++;
            snprintf(name, sizeof name, CACHE ".damaged-%d", damaged);
            assert_int_equal(access(name, F_OK), 0);
        }
        assert_int_equal(wait_for_id(0), 41);
        close_registry();
        open_registry(); /* whole again */
        assert_true(has_id(0, &id));
        close_registry();
    }
    assert_true(damaged > 5);
}

static void a_flip_of_any_bit_is_found_or_changes_nothing(void **state)
{
    static registry_cache cache;
    static registry_cache again;
    (void)state;
    memset(&cache, 0, sizeof cache);
    strcpy(cache.origins[cache.origin_count++], "https://registry.example:8081/apis/ccompat/v7");
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(cache_put(&cache, 0x1111111111111111u * i, "auctions-value", i), GV_OK);
    char *text = cache_print(&cache);
    size_t len = strlen(text);
    assert_int_equal(cache_parse(&again, gv_span_of(text, len), NULL), GV_OK);
    assert_memory_equal(&again, &cache, sizeof cache);
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        gv_error err = { 0 };
        if (cache_parse(&again, gv_span_of(text, len), &err) == GV_OK)
            assert_memory_equal(&again, &cache, sizeof cache);
        else
            assert_int_equal(again.count, 0);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(cache_parse(&again, gv_span_of(text, cut), NULL), GV_CORRUPT);
    free(text);
}

static void a_full_cache_evicts_nothing(void **state)
{
    static registry_cache cache;
    (void)state;
    memset(&cache, 0, sizeof cache);
    for (uint32_t i = 1; i <= CACHE_ENTRIES; i++)
        assert_int_equal(cache_put(&cache, i, "s", i), GV_OK);
    assert_int_equal(cache_put(&cache, 1000, "s", 1), GV_FULL);
    assert_int_equal(cache_put(&cache, 5, "s", 50), GV_OK);
    assert_int_equal(cache_find(&cache, 5, "s")->id, 50);
    assert_int_equal(cache_find(&cache, 1, "s")->id, 1);
    assert_int_equal(cache.count, CACHE_ENTRIES);
}

static gv_status no_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    (void)ctx, (void)from, (void)to;
    return gv_fail(err, GV_FULL, "the disk is full");
}

static void a_cache_that_cannot_be_written_is_tried_again(void **state)
{
    uint32_t id;
    (void)state;
    gv_status (*rename_of)(void *, const char *, const char *, gv_error *) = fs.rename;
    fs.rename = no_rename;
    open_registry();
    wait_for_id(0);
    assert_int_not_equal(access(CACHE, F_OK), 0);
    assert_true(has_id(0, &id));
    fs.rename = rename_of;
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (access(CACHE, F_OK) != 0 && plat_mono_ms(&the_clock) < give_up)
        turn();
    assert_int_equal(access(CACHE, F_OK), 0);
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
    assert_int_equal(registry_fetch(reg, id, on_fetched, &f, NULL), GV_OK);
    assert_int_equal(registry_fetch(reg, id, on_fetched, &other, NULL), GV_AGAIN);
    assert_int_equal(f.dones, 0);
    uint64_t give_up = plat_mono_ms(&the_clock) + 20000;
    while (!f.dones && plat_mono_ms(&the_clock) < give_up)
        turn();
    assert_int_equal(f.dones, 1);
    assert_int_equal(other.dones, 0);
    return f;
}

static void a_schema_is_fetched_by_its_id(void **state)
{
    (void)state;
    config.url_count = 2;
    open_registry();
    wait_for_id(0);
    close_registry();
    config.cache_path = NULL;
    schema_count = 0;
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
    urls[0] = url;
    config.cache_path = NULL;
    snprintf(topic, sizeof topic, "gavel-test-%lld-%d", (long long)time(NULL), (int)getpid());
    registry_schema schema = { 1, v1, "A", topic, NULL };

    config.may_register = false;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("registry.register");
    close_registry();
    config.may_register = true;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(reg, topic, 1, &first), GV_OK);
    fetched f = fetch(first);
    assert_int_equal(f.status, GV_OK);
    assert_non_null(strstr(f.text, "\"long\""));
    f = fetch(2000000000);
    assert_int_equal(f.status, GV_INVAL);
    close_registry();

    config.may_register = false; /* it is found again */
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(reg, topic, 1, &id), GV_OK);
    assert_int_equal(id, first);
    close_registry();

    config.may_register = true; /* a version that readers of the old one's data understand */
    schema.text = v2;
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("all schema ids known");
    assert_int_equal(registry_id(reg, topic, 1, &id), GV_OK);
    assert_int_not_equal(id, first);
    close_registry();

    schema.text = broken; /* and one that they do not */
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("not compatible");
    print_message("%s\n", registry_state(reg));
    close_registry();
    schema.text = "{\"type\":\"nonsense\"}";
    assert_int_equal(open_one(&schema), GV_OK);
    wait_for_state("missing: the");
    print_message("%s\n", registry_state(reg));
}

/* --- pure parts, and configuration ------------------------------------------------------------- */
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
        urls[0] = wrong[i];
        assert_int_equal(
            registry_open(&config, client, &fs, &the_clock, schemas, 1, NULL, NULL, &reg, &err),
            GV_INVAL);
    }
    begin(NULL);
    assert_int_equal(
        registry_open(&config, client, &fs, &the_clock, odd, 1, NULL, NULL, &reg, NULL), GV_INVAL);
    config.url_count = 0;
    assert_int_equal(
        registry_open(&config, client, &fs, &the_clock, schemas, 1, NULL, NULL, &reg, NULL),
        GV_INVAL);
    reg = NULL;
}

static int open_all(void **state)
{
    (void)state;
    unsetenv("http_proxy"), unsetenv("https_proxy"), unsetenv("all_proxy");
    server = double_start("registry.py", NULL);
    snprintf(url_a, sizeof url_a, "http://127.0.0.1:%d", double_port(&server, "a"));
    snprintf(url_b, sizeof url_b, "http://127.0.0.1:%d/", double_port(&server, "b"));
    snprintf(url_tls, sizeof url_tls, "https://localhost:%d", double_port(&server, "tls"));
    the_clock = plat_clock_system(0);
    fs = plat_fs_system();
    loop = plat_loop_open(NULL);
    client = http_open(loop, &the_clock, 2, "gavel-test/1", NULL);
    return client ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    http_close(client);
    plat_loop_close(loop);
    double_stop(&server);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

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
        TEST(a_first_boot_without_a_registry_waits_and_gets_its_ids_later),
        TEST(an_address_that_is_away_is_passed_over_and_the_good_one_remembered),
        TEST(every_kind_of_bad_reply_is_an_error_with_words_and_passes),
        TEST(wrong_credentials_are_named_and_right_ones_work),
        TEST(tls_takes_the_ca_file),
        TEST(a_slow_reply_is_waited_for),
        TEST(a_retry_after_is_kept),
        TEST(full_slots_are_waited_for),
        TEST(ids_survive_a_restart_without_a_registry),
        TEST(a_registry_made_anew_gets_the_schema_again),
        TEST(another_registrys_ids_are_not_used),
        TEST(a_damaged_cache_is_set_aside_and_made_anew),
        TEST(a_flip_of_any_bit_is_found_or_changes_nothing),
        TEST(a_full_cache_evicts_nothing),
        TEST(a_cache_that_cannot_be_written_is_tried_again),
        TEST(a_schema_is_fetched_by_its_id),
        TEST(a_real_registry_answers_the_same_way),
        TEST(replies_are_read_strictly),
        TEST(a_configuration_that_cannot_work_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
