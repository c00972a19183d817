#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/ota/trial.h"

#include <string.h>

#define LIMIT 600000u

static trial_signs all_but(int missing)
{
    trial_signs signs = { .shown = { true, true, true, true, true } };
    if (missing >= 0)
        signs.shown[missing] = false;
    return signs;
}

/* One row for each fact that can be: the stage, what is missing, the time, what has been. */
static void every_fact_has_its_decision(void **state)
{
    static const struct {
        trial_stage stage;
        int missing; /* -1: nothing */
        uint64_t elapsed_ms;
        unsigned postponed;
        trial_decision decision;
    } facts[] = {
        { TRIAL_OF_UPDATE, -1, 0, 0, TRIAL_COMMIT },
        { TRIAL_OF_UPDATE, -1, LIMIT - 1, 0, TRIAL_COMMIT },
        { TRIAL_OF_UPDATE, -1, LIMIT, 0, TRIAL_COMMIT },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_TOKEN, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_TOKEN, LIMIT, 0, TRIAL_BACK },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_API, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_API, LIMIT, 0, TRIAL_BACK },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_BROKER, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_BROKER, LIMIT, 0, TRIAL_BACK },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_REGISTRY, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_REGISTRY, LIMIT, 0, TRIAL_BACK },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_MEMORY, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_MEMORY, LIMIT, 0, TRIAL_BACK },
        { TRIAL_OF_UPDATE, TRIAL_SIGN_BROKER, LIMIT, 3, TRIAL_BACK },
        { TRIAL_OF_GOOD, -1, 0, 0, TRIAL_REFUSE },
        { TRIAL_OF_GOOD, -1, LIMIT, 3, TRIAL_REFUSE },
        { TRIAL_OF_GOOD, TRIAL_SIGN_BROKER, LIMIT - 1, 0, TRIAL_KEEP },
        { TRIAL_OF_GOOD, TRIAL_SIGN_BROKER, LIMIT, 0, TRIAL_POSTPONE },
        { TRIAL_OF_GOOD, TRIAL_SIGN_TOKEN, LIMIT, 2, TRIAL_POSTPONE },
        { TRIAL_OF_GOOD, TRIAL_SIGN_TOKEN, LIMIT, 3, TRIAL_REFUSE },
        { TRIAL_WAITING, -1, 0, 1, TRIAL_RETRY },
        { TRIAL_WAITING, -1, 100 * LIMIT, 3, TRIAL_RETRY },
        { TRIAL_WAITING, TRIAL_SIGN_API, LIMIT, 1, TRIAL_KEEP },
        { TRIAL_WAITING, TRIAL_SIGN_API, 100 * LIMIT, 3, TRIAL_KEEP },
    };
    (void)state;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        trial_signs signs = all_but(facts[i].missing);
        trial_record record = { facts[i].stage, 1, facts[i].postponed };
        assert_int_equal(trial_decide(&record, &signs, facts[i].elapsed_ms, LIMIT),
                         facts[i].decision);
    }
}

static void start_that_ends_badly_is_not_made_for_ever(void **state)
{
    trial_record record = { 0 };
    (void)state;
    for (unsigned i = 0; i < TRIAL_STARTS_MAX; i++) {
        assert_int_equal(trial_begin(&record), TRIAL_START);
        record = trial_after(&record, TRIAL_START);
    }
    assert_int_equal(trial_begin(&record), TRIAL_BACK);
    record = trial_after(&record, TRIAL_BACK);
    assert_int_equal(trial_begin(&record), TRIAL_KEEP); /* in the control run */
}

static void control_run_goes_on_after_a_restart(void **state)
{
    trial_record record = { TRIAL_OF_GOOD, 1, 0 }, waiting = { TRIAL_WAITING, 0, 1 };
    (void)state;
    assert_int_equal(trial_begin(&record), TRIAL_KEEP);
    assert_int_equal(trial_begin(&waiting), TRIAL_KEEP);
}

/* Whatever happens, a trial comes to its end: all ways through the machine, to a depth that is enough. */
static unsigned long_ways;

static void walk(trial_record record, unsigned starts, unsigned depth)
{
    static const int missing[] = { -1, TRIAL_SIGN_BROKER };
    assert_true(starts <= TRIAL_STARTS_MAX * (TRIAL_POSTPONED_MAX + 1));
    assert_true(depth < 64);
    long_ways += depth > 15;
    trial_decision first = trial_begin(&record);
    if (first == TRIAL_START) { /* it crashes, or it goes on */
        record = trial_after(&record, first);
        starts++;
        walk(record, starts, depth + 1);
    } else if (first == TRIAL_BACK) {
        record = trial_after(&record, first);
    }
    for (size_t i = 0; i < 2; i++) {
        trial_signs signs = all_but(missing[i]);
        trial_decision d = trial_decide(&record, &signs, LIMIT, LIMIT);
        if (d != TRIAL_COMMIT && d != TRIAL_REFUSE && d != TRIAL_KEEP)
            walk(trial_after(&record, d), starts, depth + 1);
    }
}

static void every_trial_comes_to_an_end(void **state)
{
    (void)state;
    walk((trial_record){ 0 }, 0, 0);
    assert_true(long_ways > 0);
}

static void missing_signs_are_told_with_their_reasons(void **state)
{
    char text[256];
    trial_signs signs = all_but(TRIAL_SIGN_BROKER);
    (void)state;
    strcpy(signs.trouble[TRIAL_SIGN_BROKER], "nosuchhost:9092: cannot be resolved");
    trial_missing(&signs, text, sizeof text);
    assert_string_equal(text, "the broker did not answer (nosuchhost:9092: cannot be resolved)");
    signs.shown[TRIAL_SIGN_TOKEN] = false;
    trial_missing(&signs, text, sizeof text);
    assert_string_equal(text, "the API gave no access token; the broker did not answer "
                              "(nosuchhost:9092: cannot be resolved)");
    trial_missing(&signs, text, 20); /* cut, never beyond */
    assert_int_equal(strlen(text), 19);
    signs = all_but(-1);
    trial_missing(&signs, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fact_has_its_decision),
        cmocka_unit_test(start_that_ends_badly_is_not_made_for_ever),
        cmocka_unit_test(control_run_goes_on_after_a_restart),
        cmocka_unit_test(every_trial_comes_to_an_end),
        cmocka_unit_test(missing_signs_are_told_with_their_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
