/* A week of figures: what is shown of it, what a clock that jumps does to it, and what is left of its file
 * after damage or a power cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/status/history.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#define STEP_MS  ((int64_t)HISTORY_STEP_S * 1000)
#define BEGIN_MS (INT64_C(1795740000) / HISTORY_STEP_S * STEP_MS)
#define PATH     "state/history"

static history h, other;
static history_shown shown[HISTORY_SHOWN + 1];
static size_t shown_count;
static uint32_t shown_step_s;
static uint64_t total;
static log_double said;

static void take(void *ctx, const history_shown *p)
{
    (void)ctx;
    assert_in_range(shown_count, 0, HISTORY_SHOWN - 1);
    shown[shown_count++] = *p;
}

static void look(const history *of, int64_t wall_ms)
{
    shown_count = 0;
    history_show(of, wall_ms, &shown_step_s, take, NULL);
}

static void note(int64_t wall_ms, uint64_t records, uint64_t spool_records)
{
    total += records;
    const history_sample s = { total, spool_records, spool_records * 2048, 9u << 20 };
    history_note(&h, wall_ms, &s);
}

static int setup(void **state)
{
    (void)state;
    total = 1000; /* what the counter was before does not belong to the history */
    history_init(&h, 0);
    note(BEGIN_MS, 0, 0);
    log_double_open(&said);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_double_close(&said);
    return 0;
}

static void records_of_a_step_add_up_and_gauges_are_the_largest(void **state)
{
    (void)state;
    note(BEGIN_MS + 1000, 10, 5);
    note(BEGIN_MS + 2000, 7, 3);
    note(BEGIN_MS + STEP_MS, 1, 0);
    look(&h, BEGIN_MS + STEP_MS);
    assert_int_equal(shown_count, 2);
    assert_int_equal(shown_step_s, HISTORY_STEP_S);
    assert_int_equal(shown[0].at_ms, BEGIN_MS);
    assert_int_equal(shown[0].records, 17);
    assert_int_equal(shown[0].spool_records, 5);
    assert_int_equal(shown[0].spool_bytes, 10240);
    assert_int_equal(shown[0].resident_bytes, 9u << 20);
    assert_int_equal(shown[1].records, 1);
}

static void time_without_the_agent_is_a_gap(void **state)
{
    (void)state;
    note(BEGIN_MS + 10 * STEP_MS, 4, 0);
    look(&h, BEGIN_MS + 10 * STEP_MS);
    assert_int_equal(shown_count, 2);
    assert_int_equal(shown[1].at_ms - shown[0].at_ms, 10 * STEP_MS);
}

static void week_is_thinned_and_nothing_of_it_is_lost(void **state)
{
    (void)state;
    for (int64_t week = 0; week < 3; week++) { /* the ring goes round */
        for (int i = 1; i <= (int)HISTORY_POINTS; i++) {
            int64_t at_ms = BEGIN_MS + (week * HISTORY_POINTS + i) * STEP_MS;
            note(at_ms, 3, i == 400 ? 77 : 1);
            look(&h, at_ms);
            uint64_t records = 0, most = 0;
            for (size_t k = 0; k < shown_count; k++) {
                records += shown[k].records;
                most = shown[k].spool_records > most ? shown[k].spool_records : most;
                assert_true(k == 0 ||
                            shown[k].at_ms - shown[k - 1].at_ms == (int64_t)shown_step_s * 1000);
            }
            assert_int_equal(records, week == 0 ? (uint64_t)i * 3 : HISTORY_POINTS * 3);
            assert_int_equal(most, i >= 400 || week > 0 ? 77 : 1);
        }
    }
    assert_int_equal(shown_step_s, 4 * HISTORY_STEP_S);
    assert_in_range(shown_count, 160, HISTORY_SHOWN);
}

static void what_is_older_than_a_week_is_not_shown_with_what_is_not(void **state)
{
    (void)state;
    note(BEGIN_MS + 1000, 50, 0);
    note(BEGIN_MS + STEP_MS, 3, 0); /* a week before the end, in one group with the one above */
    look(&h, BEGIN_MS + HISTORY_POINTS * STEP_MS);
    assert_int_equal(shown_step_s, 4 * HISTORY_STEP_S);
    assert_int_equal(shown_count, 1);
    assert_int_equal(shown[0].records, 3);
}

static void clock_that_jumps_ahead_leaves_a_gap_and_back_again_shows_what_was(void **state)
{
    (void)state;
    note(BEGIN_MS + STEP_MS, 5, 0);
    note(BEGIN_MS + 9000 * STEP_MS, 6, 0); /* months ahead */
    look(&h, BEGIN_MS + 9000 * STEP_MS);
    assert_int_equal(shown_count, 1);
    assert_int_equal(shown[0].records, 6);
    note(BEGIN_MS + 2 * STEP_MS, 7, 0); /* and set right */
    look(&h, BEGIN_MS + 2 * STEP_MS);
    assert_int_equal(shown_count, 3);
    assert_int_equal(shown[1].records, 5);
    assert_int_equal(shown[2].records, 7);
    note(-5, 1, 0); /* no time at all is one, too */
    look(&h, INT64_MAX);
    assert_int_equal(shown_count, 0);
}

static void counter_that_went_back_is_no_records(void **state)
{
    (void)state;
    total = 10;
    note(BEGIN_MS + 1000, 0, 0);
    note(BEGIN_MS + 2000, 2, 0);
    look(&h, BEGIN_MS + 2000);
    assert_int_equal(shown[0].records, 2);
}

/* --- the file ---------------------------------------------------------------------------------- */

static void expect_same(int64_t wall_ms)
{
    history_shown before[HISTORY_SHOWN + 1];
    look(&h, wall_ms);
    size_t count = shown_count;
    memcpy(before, shown, sizeof before);
    look(&other, wall_ms);
    assert_int_equal(shown_count, count);
    assert_memory_equal(shown, before, count * sizeof shown[0]);
}

static void saved_history_is_loaded_and_saved_only_when_due(void **state)
{
    (void)state;
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    fs.make_dir(fs.ctx, "state", NULL);
    for (int i = 0; i < 900; i++)
        note(BEGIN_MS + i * STEP_MS, (uint64_t)i, (uint64_t)i % 5);
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS - 1, false);
    assert_int_equal(disk->renames, 0);
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS, false);
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS + 1, true); /* nothing is new */
    assert_int_equal(disk->renames, 1);
    assert_in_range(disk->written_bytes, 1000, HISTORY_FILE_MAX);
    history_init(&other, 0);
    history_load(&other, &fs, PATH);
    expect_same(BEGIN_MS + 899 * STEP_MS);
    assert_int_equal(log_double_count(&said, "history"), 0);
    note(BEGIN_MS + 900 * STEP_MS, 1, 0);
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS + 1, true);
    assert_int_equal(disk->renames, 2);
    disk_double_free(disk);
}

static void missing_file_is_an_empty_history_without_a_word(void **state)
{
    (void)state;
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    history_init(&other, 0);
    history_load(&other, &fs, PATH);
    look(&other, BEGIN_MS);
    assert_int_equal(shown_count, 0);
    assert_int_equal(log_double_count(&said, "history"), 0);
    disk_double_free(disk);
}

static void any_damage_starts_the_history_anew_and_says_so(void **state)
{
    (void)state;
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    gv_span file;
    fs.make_dir(fs.ctx, "state", NULL);
    note(BEGIN_MS + STEP_MS, 5, 1);
    history_save(&h, &fs, PATH, 0, true);
    assert_true(disk_double_look(disk, PATH, &file));
    size_t len = file.len;
    unsigned complaints = 0;
    for (size_t i = 0; i < len * 8; i++) {
        disk_double_flip(disk, PATH, i / 8, (uint8_t)(1u << i % 8));
        history_init(&other, 0);
        history_load(&other, &fs, PATH);
        look(&other, BEGIN_MS + STEP_MS);
        assert_int_equal(shown_count, 0);
        disk_double_flip(disk, PATH, i / 8, (uint8_t)(1u << i % 8));
    }
    complaints = log_double_count(&said, "the history of the status page starts anew");
    assert_true(complaints > 100);
    uint8_t whole[512];
    memcpy(whole, file.data, len);
    for (size_t cut = 0; cut < len; cut++) {
        disk_double_put(disk, PATH, whole, cut);
        history_init(&other, 0);
        history_load(&other, &fs, PATH);
        look(&other, BEGIN_MS + STEP_MS);
        assert_int_equal(shown_count, 0);
    }
    disk_double_free(disk);
}

static void power_cut_while_saving_leaves_the_old_history_or_the_new_one(void **state)
{
    (void)state;
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    fs.make_dir(fs.ctx, "state", NULL);
    history_save(&h, &fs, PATH, 0, true);
    note(BEGIN_MS + STEP_MS, 5, 1);
    unsigned old_ones = 0, new_ones = 0;
    for (unsigned dead_at = 1; dead_at < 12; dead_at++)
        for (int cut = 0; cut < DISK_CUTS; cut++) {
            disk_double *copy = disk_double_copy(disk);
            plat_fs copy_fs = disk_double_table(copy);
            history saved = h;
            copy->dead_at = copy->operations + dead_at;
            history_save(&saved, &copy_fs, PATH, 0, true);
            disk_double_cut(copy, (disk_cut)cut, dead_at * 31 + (unsigned)cut);
            copy->dead_at = 0;
            history_init(&other, 0);
            history_load(&other, &copy_fs, PATH);
            look(&other, BEGIN_MS + STEP_MS);
            assert_in_range(shown_count, 1, 2);
            old_ones += shown_count == 1;
            new_ones += shown_count == 2;
            disk_double_free(copy);
        }
    assert_true(old_ones > 5 && new_ones > 5);
    disk_double_free(disk);
}

static void full_disk_is_said_and_tried_again_when_due(void **state)
{
    (void)state;
    disk_double *disk = disk_double_new(1 << 20);
    plat_fs fs = disk_double_table(disk);
    fs.make_dir(fs.ctx, "state", NULL);
    disk->fault = DISK_FULL;
    disk->fail_at = disk->operations + 1;
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS, false);
    assert_int_equal(log_double_count(&said, "is not saved"), 1);
    history_save(&h, &fs, PATH, HISTORY_SAVE_MS + 1000, false);
    assert_int_equal(disk->renames, 0);
    history_save(&h, &fs, PATH, 2 * HISTORY_SAVE_MS, false);
    assert_int_equal(disk->renames, 1);
    disk_double_free(disk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_of_a_step_add_up_and_gauges_are_the_largest),
        TEST(time_without_the_agent_is_a_gap),
        TEST(week_is_thinned_and_nothing_of_it_is_lost),
        TEST(what_is_older_than_a_week_is_not_shown_with_what_is_not),
        TEST(clock_that_jumps_ahead_leaves_a_gap_and_back_again_shows_what_was),
        TEST(counter_that_went_back_is_no_records),
        TEST(saved_history_is_loaded_and_saved_only_when_due),
        TEST(missing_file_is_an_empty_history_without_a_word),
        TEST(any_damage_starts_the_history_anew_and_says_so),
        TEST(power_cut_while_saving_leaves_the_old_history_or_the_new_one),
        TEST(full_disk_is_said_and_tried_again_when_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
