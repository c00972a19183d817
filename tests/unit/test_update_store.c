#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/ota/store.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#include <stdio.h>

static disk_double *disk;
static plat_fs fs;
static log_double said;
static store *s;

static void open_again(void)
{
    gv_error err = { 0, "" };
    store_close(s);
    assert_int_equal(store_open(&fs, "state", true, &s, &err), GV_OK);
}

static int setup(void **state)
{
    (void)state;
    disk = disk_double_new(1 << 20);
    fs = disk_double_table(disk);
    log_double_open(&said);
    s = NULL;
    open_again();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(s);
    assert_int_equal(disk_double_open_files(disk), 0);
    log_double_close(&said);
    disk_double_free(disk);
    return 0;
}

static store_ref ref_of(uint64_t version)
{
    store_ref ref = { version, "" };
    snprintf(ref.sha256, sizeof ref.sha256, "%064llx", (unsigned long long)version);
    return ref;
}

static void begin(uint64_t version)
{
    store_ref ref = ref_of(version);
    assert_int_equal(store_keep(s, version, gv_span_str("bundle"), NULL), GV_OK);
    assert_int_equal(store_begin(s, &ref, 1000, NULL), GV_OK);
}

static void commit(uint64_t version)
{
    begin(version);
    assert_int_equal(store_commit(s, 2000, NULL), GV_OK);
}

static bool there(const char *path)
{
    gv_span content;
    return disk_double_look(disk, path, &content);
}

static void everything_is_there_after_a_restart(void **state)
{
    (void)state;
    store_ref broken = ref_of(4);
    trial_record record = { TRIAL_OF_GOOD, 3, 1 };
    commit(2);
    commit(3);
    assert_int_equal(store_refuse(s, &broken, "\"kafka.broker\" is unknown", 3000, NULL), GV_OK);
    begin(9);
    assert_int_equal(store_record(s, &record, "the broker did not answer", NULL), GV_OK);
    open_again();
    const store_state *now = store_look(s);
    assert_int_equal(now->highest, 9);
    assert_int_equal(now->good.version, 3);
    assert_int_equal(now->previous.version, 2);
    assert_int_equal(now->trial.version, 9);
    assert_string_equal(now->trial.sha256, ref_of(9).sha256);
    assert_int_equal(now->record.stage, TRIAL_OF_GOOD);
    assert_int_equal(now->record.starts, 3);
    assert_int_equal(now->record.postponed, 1);
    assert_string_equal(now->missing, "the broker did not answer");
    const char *reason;
    assert_true(store_is_refused(s, &broken, &reason));
    assert_string_equal(reason, "\"kafka.broker\" is unknown");
    assert_int_equal(now->history_count, 6);
    assert_int_equal(now->history[4].outcome, UPDATE_REFUSED);
    assert_int_equal(now->history[4].at_ms, 3000);
}

static void only_bundles_that_matter_stay_on_the_disk(void **state)
{
    (void)state;
    commit(1);
    commit(2);
    commit(3);
    assert_false(there("state/config/v1.gavel"));
    assert_true(there("state/config/v2.gavel"));
    assert_true(there("state/config/v3.gavel"));
    assert_int_equal(store_keep(s, 7, gv_span_str("never begun"), NULL), GV_OK);
    disk_double_put(disk, "state/config/note.txt", "mine", 4);
    open_again();
    assert_false(there("state/config/v7.gavel"));
    assert_true(there("state/config/note.txt"));
}

static void nothing_is_tried_whose_bundle_is_not_there(void **state)
{
    (void)state;
    store_ref ref = ref_of(5);
    gv_error err = { 0, "" };
    assert_int_equal(store_begin(s, &ref, 1, &err), GV_IO);
    assert_int_equal(store_look(s)->trial.version, 0);
    assert_int_equal(store_look(s)->highest, 0);
}

static void damaged_state_is_set_aside_and_the_highest_version_survives(void **state)
{
    static const uint64_t places[] = { 3, 20, 60, 200 };
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char aside[64];
        commit(40 + i);
        disk_double_flip(disk, "state/config/state", places[i], 0x10);
        open_again();
        assert_int_equal(store_look(s)->highest, 40 + i);
        assert_int_equal(store_look(s)->good.version, 0);
        snprintf(aside, sizeof aside, "state/config/state.damaged-%zu", i + 1);
        assert_true(there(aside));
        open_again(); /* the bundles are gone by now */
        assert_int_equal(store_look(s)->highest, 40 + i);
    }
    assert_int_equal(log_double_count(&said, "the state of updates is damaged"), 4);
}

static void unreadable_or_cut_or_lost_state_keeps_nothing_from_starting(void **state)
{
    (void)state;
    commit(11);
    disk_double_unreadable(disk, "state/config/state", 0, 10);
    open_again();
    assert_int_equal(store_look(s)->highest, 11);
    assert_int_equal(store_look(s)->good.version, 0);
    disk_double_unreadable(disk, "state/config/state", 0, 0);
    open_again(); /* it was the disk, and nothing is lost */
    assert_int_equal(store_look(s)->good.version, 11);
    disk_double_put(disk, "state/config/state", "gavel", 5);
    open_again();
    assert_int_equal(store_look(s)->good.version, 0);
    disk_double_put(disk, "state/config/state", "", 0);
    open_again();
    assert_int_equal(store_look(s)->history_count, 0);
}

static void reverted_version_gives_way_to_the_one_before_it(void **state)
{
    (void)state;
    store_ref three = ref_of(3), two = ref_of(2);
    commit(2);
    commit(3);
    assert_int_equal(store_revert(s, 3, false, 5, NULL), GV_OK);
    assert_int_equal(store_look(s)->good.version, 2);
    assert_int_equal(store_look(s)->highest, 3);
    assert_true(store_is_refused(s, &three, NULL));
    assert_false(store_is_refused(s, &two, NULL));
    assert_int_equal(store_revert(s, 2, false, 6, NULL), GV_OK);
    assert_int_equal(store_look(s)->good.version, 0);
    gv_error err = { 0, "" };
    assert_int_equal(store_revert(s, 2, false, 7, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "version 2"));
}

static void revert_down_to_the_own_file_leaves_no_update(void **state)
{
    (void)state;
    commit(2);
    commit(3);
    assert_int_equal(store_revert(s, 3, true, 5, NULL), GV_OK);
    assert_int_equal(store_look(s)->good.version, 0);
    assert_int_equal(store_look(s)->previous.version, 0);
}

static void update_on_trial_can_be_reverted_alone(void **state)
{
    (void)state;
    commit(2);
    begin(3);
    assert_int_equal(store_revert(s, 3, false, 5, NULL), GV_OK);
    assert_int_equal(store_look(s)->trial.version, 0);
    assert_int_equal(store_look(s)->good.version, 2);
}

static void newer_update_takes_the_place_of_a_postponed_one(void **state)
{
    (void)state;
    store_ref two = ref_of(2);
    trial_record waiting = { TRIAL_WAITING, 0, 1 };
    begin(2);
    assert_int_equal(store_postpone(s, &waiting, "no network", 5, NULL), GV_OK);
    begin(3);
    assert_int_equal(store_look(s)->trial.version, 3);
    assert_int_equal(store_look(s)->record.stage, TRIAL_OF_UPDATE);
    assert_true(store_is_refused(s, &two, NULL));
}

static void lists_keep_the_newest(void **state)
{
    (void)state;
    for (uint64_t v = 1; v <= 40; v++) {
        store_ref ref = ref_of(v);
        assert_int_equal(store_refuse(s, &ref, "no", (int64_t)v, NULL), GV_OK);
    }
    open_again();
    const store_state *now = store_look(s);
    assert_int_equal(now->refused_count, STORE_REFUSED_MAX);
    assert_int_equal(now->refused[0].update.version, 33);
    assert_int_equal(now->history_count, STORE_HISTORY_MAX);
    assert_int_equal(now->history[0].update.version, 9);
    assert_int_equal(now->history[STORE_HISTORY_MAX - 1].update.version, 40);
}

static void longest_state_can_be_written_and_read(void **state)
{
    char reason[STORE_REASON_MAX];
    (void)state;
    memset(reason, '"', sizeof reason); /* each is two bytes in JSON */
    reason[sizeof reason - 1] = '\0';
    for (uint64_t v = 1; v <= 40; v++) {
        store_ref ref = ref_of(v + 9007199254740000);
        assert_int_equal(store_refuse(s, &ref, reason, INT64_C(1) << 52, NULL), GV_OK);
    }
    open_again();
    assert_int_equal(store_look(s)->highest, UINT64_C(9007199254740040));
    assert_string_equal(store_look(s)->refused[7].reason, reason);
}

static void second_agent_is_told_and_a_reader_changes_nothing(void **state)
{
    (void)state;
    store *other;
    gv_error err = { 0, "" };
    assert_int_equal(store_open(&fs, "state", true, &other, &err), GV_AGAIN);
    commit(2);
    disk_double_flip(disk, "state/config/state", 60, 1);
    uint64_t written = disk->written_bytes;
    unsigned renames = disk->renames;
    assert_int_equal(store_open(&fs, "state", false, &other, &err), GV_OK);
    assert_int_equal(store_look(other)->highest, 2);
    store_close(other);
    assert_int_equal(disk->written_bytes, written);
    assert_int_equal(disk->renames, renames);
    assert_false(there("state/config/state.damaged-1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_is_there_after_a_restart),
        TEST(only_bundles_that_matter_stay_on_the_disk),
        TEST(nothing_is_tried_whose_bundle_is_not_there),
        TEST(damaged_state_is_set_aside_and_the_highest_version_survives),
        TEST(unreadable_or_cut_or_lost_state_keeps_nothing_from_starting),
        TEST(reverted_version_gives_way_to_the_one_before_it),
        TEST(revert_down_to_the_own_file_leaves_no_update),
        TEST(update_on_trial_can_be_reverted_alone),
        TEST(newer_update_takes_the_place_of_a_postponed_one),
        TEST(lists_keep_the_newest),
        TEST(longest_state_can_be_written_and_read),
        TEST(second_agent_is_told_and_a_reader_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
