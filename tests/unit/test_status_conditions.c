/* What a person is told, since when, and whether it is an outage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "tests/unit/status_world.h"

#define SECOND 1000
#define HOUR   (3600 * SECOND)

static status_world world;

static const condition *find(const char *name)
{
    const conditions *c = &world.conditions;
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->all[i].name, name) == 0)
            return &c->all[i];
    fail_msg("no condition %s", name);
    return NULL;
}

static bool told(const char *name)
{
    return find(name)->told;
}

static unsigned told_in_all(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < world.conditions.count; i++)
        n += world.conditions.all[i].told;
    return n;
}

static int healthy(void **state)
{
    (void)state;
    status_world_healthy(&world);
    return 0;
}

static void healthy_agent_has_nothing_to_tell(void **state)
{
    (void)state;
    assert_int_equal(told_in_all(), 0);
    assert_int_equal(conditions_state(&world.conditions), STATUS_OK);
}

static void broker_is_away_only_after_its_grace_and_since_it_began(void **state)
{
    (void)state;
    world.facts.broker.up = false;
    uint64_t began_ms = world.facts.now_mono_ms + SECOND;
    status_world_tick(&world, SECOND);
    status_world_tick(&world, 9 * SECOND);
    assert_int_equal(conditions_state(&world.conditions), STATUS_OK);
    status_world_tick(&world, SECOND);
    assert_true(told("broker_away"));
    assert_int_equal(find("broker_away")->since_ms, began_ms);
    assert_int_equal(conditions_state(&world.conditions), STATUS_OUTAGE);
    world.facts.broker.up = true;
    status_world_tick(&world, SECOND);
    assert_int_equal(told_in_all(), 0);
    world.facts.broker.up = false; /* and its grace begins anew */
    status_world_tick(&world, SECOND);
    assert_false(told("broker_away"));
}

static void detail_is_kept_when_the_facts_are_gone(void **state)
{
    char text[400];
    (void)state;
    world.facts.broker.up = false;
    snprintf(world.facts.broker.text, sizeof world.facts.broker.text, "nobody at kafka:9092");
    status_world_tick(&world, 0);
    memset(&world.facts, 0, sizeof world.facts);
    conditions_text(&world.conditions, CONDITION_BROKER_AWAY, text, sizeof text);
    assert_string_equal(text, "nothing gets to Kafka: nobody at kafka:9092");
    conditions_text(&world.conditions, CONDITION_SPOOL_FULL, text, sizeof text);
    assert_string_equal(text, "the spool is full: nothing new is fetched until there is room");
}

static void one_stale_feed_needs_attention_and_all_of_them_are_an_outage(void **state)
{
    (void)state;
    world.facts.feeds_stale = 1;
    status_world_tick(&world, SECOND);
    assert_true(told("feed_stale") && !told("no_new_data"));
    assert_int_equal(conditions_state(&world.conditions), STATUS_ATTENTION);
    world.facts.feeds_stale = (uint32_t)world.facts.feed_count;
    status_world_tick(&world, SECOND);
    assert_true(!told("feed_stale") && told("no_new_data"));
    assert_int_equal(conditions_state(&world.conditions), STATUS_OUTAGE);
    world.facts.feed_count = world.facts.feeds_stale = 0;
    status_world_tick(&world, SECOND);
    assert_int_equal(told_in_all(), 0);
}

static void spool_fills_above_four_fifths_and_then_is_full(void **state)
{
    (void)state;
    world.facts.spool.bytes = world.facts.spool.quota_bytes / 5 * 4;
    status_world_tick(&world, SECOND);
    assert_int_equal(told_in_all(), 0);
    world.facts.spool.bytes++;
    status_world_tick(&world, SECOND);
    assert_true(told("spool_filling"));
    assert_int_equal(conditions_state(&world.conditions), STATUS_ATTENTION);
    world.facts.spool.full = true;
    status_world_tick(&world, SECOND);
    assert_true(told("spool_full") && !told("spool_filling"));
    assert_int_equal(conditions_state(&world.conditions), STATUS_OUTAGE);
}

static void what_happened_is_told_for_a_day_from_the_last_time(void **state)
{
    (void)state;
    world.facts.counters.damaged_batches = 1;
    status_world_tick(&world, SECOND);
    assert_true(told("damaged_batches"));
    status_world_tick(&world, 23 * HOUR);
    world.facts.counters.damaged_batches = 3;
    status_world_tick(&world, 0);
    uint64_t again_ms = world.facts.now_mono_ms;
    status_world_tick(&world, 24 * HOUR - 1);
    assert_true(told("damaged_batches"));
    assert_int_equal(find("damaged_batches")->since_ms, again_ms);
    assert_int_equal(conditions_state(&world.conditions), STATUS_ATTENTION);
    status_world_tick(&world, 1);
    assert_int_equal(told_in_all(), 0);
}

static void refused_key_is_told_as_such_and_not_as_an_api_that_is_away(void **state)
{
    (void)state;
    world.facts.api_trouble = "the API refused the client id or secret (HTTP 401)";
    world.facts.api_key_refused = true;
    status_world_tick(&world, SECOND);
    status_world_tick(&world, HOUR);
    assert_true(told("api_key_refused") && !told("api_away"));
    world.facts.api_key_refused = false;
    world.facts.api_trouble = "no answer";
    status_world_tick(&world, SECOND);
    status_world_tick(&world, HOUR);
    assert_true(!told("api_key_refused") && told("api_away"));
    assert_int_equal(conditions_state(&world.conditions), STATUS_OUTAGE);
}

static void registry_matters_only_while_records_wait_for_it(void **state)
{
    (void)state;
    world.facts.registry.up = false;
    status_world_tick(&world, SECOND);
    status_world_tick(&world, HOUR);
    assert_int_equal(told_in_all(), 0);
    world.facts.registry_matters = true;
    status_world_tick(&world, SECOND);
    status_world_tick(&world, HOUR);
    assert_true(told("registry_needed"));
}

static void each_outcome_of_an_update_has_its_condition(void **state)
{
    static const char *const outcomes[][2] = { { "refused", "update_refused" },
                                               { "reverted", "update_reverted" },
                                               { "postponed", "update_postponed" },
                                               { "trial", "update_on_trial" } };
    (void)state;
    world.facts.update.attempted_version = 4;
    for (size_t i = 0; i < 4; i++) {
        world.facts.update.outcome = outcomes[i][0];
        status_world_tick(&world, SECOND);
        assert_true(told(outcomes[i][1]));
        assert_int_equal(told_in_all(), 1);
    }
    world.facts.update.outcome = "committed";
    status_world_tick(&world, SECOND);
    assert_int_equal(told_in_all(), 0);
}

static void machines_own_troubles_are_warnings_in_its_words(void **state)
{
    char text[400];
    (void)state;
    world.troubles[1].holds = true;
    status_world_tick(&world, SECOND);
    assert_true(told("hot") && !told("under_voltage"));
    conditions_text(&world.conditions, CONDITIONS + 1, text, sizeof text);
    assert_string_equal(text, "the board is hot, and will slow itself down");
    assert_int_equal(conditions_state(&world.conditions), STATUS_ATTENTION);
}

static void memory_that_is_not_known_is_not_too_much(void **state)
{
    (void)state;
    world.facts.memory.resident_bytes = STATUS_UNKNOWN;
    status_world_tick(&world, SECOND);
    assert_int_equal(told_in_all(), 0);
    world.facts.memory.resident_bytes = (int64_t)world.facts.memory.budget_bytes + 1;
    status_world_tick(&world, SECOND);
    assert_true(told("memory_above_budget"));
}

static void every_condition_has_a_name_of_its_own_words_and_advice(void **state)
{
    const conditions *c = &world.conditions;
    (void)state;
    for (size_t i = 0; i < CONDITIONS; i++) {
        assert_true(strlen(c->all[i].words) > 15 && strlen(c->all[i].advice) > 30);
        assert_int_equal(strspn(c->all[i].name, "abcdefghijklmnopqrstuvwxyz_"),
                         strlen(c->all[i].name));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(c->all[i].name, c->all[k].name);
    }
}

static void counters_of_earlier_agents_are_added_and_never_go_back(void **state)
{
    (void)state;
    status_counters before, sum = { .records = 1 };
    memset(&before, 0, sizeof before);
    before.records = 7;
    before.syncs = UINT64_C(1) << 40;
    before.updates_refused[STATUS_REASONS_MAX - 1] = 3;
    status_counters_add(&sum, &before);
    assert_int_equal(sum.records, 8);
    assert_int_equal(sum.syncs, UINT64_C(1) << 40);
    assert_int_equal(sum.updates_refused[STATUS_REASONS_MAX - 1], 3);
    /* No counter is forgotten: all of them are ones, and become twos. */
    uint64_t *all = (uint64_t *)&sum;
    for (size_t i = 0; i < sizeof sum / sizeof *all; i++)
        all[i] = 1;
    before = sum;
    status_counters_add(&sum, &before);
    for (size_t i = 0; i < sizeof sum / sizeof *all; i++)
        assert_int_equal(all[i], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(healthy_agent_has_nothing_to_tell, healthy),
        cmocka_unit_test_setup(broker_is_away_only_after_its_grace_and_since_it_began, healthy),
        cmocka_unit_test_setup(detail_is_kept_when_the_facts_are_gone, healthy),
        cmocka_unit_test_setup(one_stale_feed_needs_attention_and_all_of_them_are_an_outage,
                               healthy),
        cmocka_unit_test_setup(spool_fills_above_four_fifths_and_then_is_full, healthy),
        cmocka_unit_test_setup(what_happened_is_told_for_a_day_from_the_last_time, healthy),
        cmocka_unit_test_setup(refused_key_is_told_as_such_and_not_as_an_api_that_is_away, healthy),
        cmocka_unit_test_setup(registry_matters_only_while_records_wait_for_it, healthy),
        cmocka_unit_test_setup(each_outcome_of_an_update_has_its_condition, healthy),
        cmocka_unit_test_setup(machines_own_troubles_are_warnings_in_its_words, healthy),
        cmocka_unit_test_setup(memory_that_is_not_known_is_not_too_much, healthy),
        cmocka_unit_test_setup(every_condition_has_a_name_of_its_own_words_and_advice, healthy),
        cmocka_unit_test_setup(counters_of_earlier_agents_are_added_and_never_go_back, healthy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
