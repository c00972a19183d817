/* The ids that the registry client keeps on disk: over restarts, damage and full disks. */
#include "tests/unit/registry_world.h"

#include <fcntl.h>

#include "agent/registry/cache.h"

/* --- the cache --------------------------------------------------------------------------------- */
static void ids_survive_a_restart_without_a_registry(void **state)
{
    uint32_t id;
    (void)state;
    w.schema_count = 2;
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
    assert_string_equal(registry_state(w.reg), "all schema ids known");
    assert_true(registry_complete(w.reg) && registry_in_trouble(w.reg));
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
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (id != 7 && plat_mono_ms(&w.clock) < give_up) {
        turn();
        has_id(0, &id);
    }
    assert_int_equal(id, 7);
    assert_int_equal(w.announced, 2);
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
    w.urls[0] = "http://127.0.0.1:1";
    open_registry();
    assert_false(has_id(0, &id));
    close_registry();
    w.urls[0] = w.url_b; /* one of several addresses in common is enough */
    w.urls[1] = w.url_a;
    w.config.url_count = 2;
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
    gv_status (*rename_of)(void *, const char *, const char *, gv_error *) = w.fs.rename;
    w.fs.rename = no_rename;
    open_registry();
    wait_for_id(0);
    assert_int_not_equal(access(CACHE, F_OK), 0);
    assert_true(has_id(0, &id));
    w.fs.rename = rename_of;
    uint64_t give_up = plat_mono_ms(&w.clock) + 20000;
    while (access(CACHE, F_OK) != 0 && plat_mono_ms(&w.clock) < give_up)
        turn();
    assert_int_equal(access(CACHE, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_survive_a_restart_without_a_registry),
        TEST(a_registry_made_anew_gets_the_schema_again),
        TEST(another_registrys_ids_are_not_used),
        TEST(a_damaged_cache_is_set_aside_and_made_anew),
        TEST(a_flip_of_any_bit_is_found_or_changes_nothing),
        TEST(a_full_cache_evicts_nothing),
        TEST(a_cache_that_cannot_be_written_is_tried_again),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
