#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/codec/schema.h"
#include "agent/registry/schema_shelf.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"
#include "tests/unit/codec_help.h"

#define DIR         "state/schemas"
#define GENERATIONS 9
#define REJECTS     "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"

static const char *const names[] = { "auctions", "rejects" };
static char texts[GENERATIONS][160]; /* of the auctions' schema */

typedef struct {
    disk_double *disk;
    plat_fs fs;
    clock_double time;
    plat_clock clock;
    registry_schema current[2];
    schema_shelf *shelf;
    log_double log;
} rig;

static uint64_t fingerprint(const char *text)
{
    static uint8_t block[16 * 1024];
    gv_arena arena;
    schema found;
    gv_arena_init(&arena, block, sizeof block);
    assert_int_equal(schema_parse(gv_span_str(text), &arena, &found, NULL), GV_OK);
    return found.fingerprint;
}

static void path_of(char out[PLAT_PATH_MAX], const char *name, unsigned generation,
                    const char *text)
{
    snprintf(out, PLAT_PATH_MAX, DIR "/%s-%04u-%016" PRIx64 ".avsc", name, generation,
             fingerprint(text));
}

/* Starts with the n-th schema of auctions. */
static void start(rig *r, unsigned n, bool waiting)
{
    gv_error err = { 0 };
    schema_shelf_close(r->shelf);
    r->current[0] = (registry_schema){ fingerprint(texts[n]), texts[n], "A", "auctions.raw", NULL };
    r->current[1] =
        (registry_schema){ fingerprint(REJECTS), REJECTS, "R", "auctions.rejects", NULL };
    schema_shelf_config config = { &r->fs, &r->clock, DIR, names, r->current, 2, waiting };
    assert_int_equal(schema_shelf_open(&config, &r->shelf, &err), GV_OK);
}

/* How many older ones are handed on. */
static size_t older(const rig *r)
{
    size_t count;
    const registry_schema *list = schema_shelf_list(r->shelf, &count);
    assert_true(count >= 2);
    assert_string_equal(list[0].text, r->current[0].text);
    assert_string_equal(list[1].text, REJECTS);
    return count - 2;
}

static void expect_older(const rig *r, size_t i, unsigned n)
{
    size_t count;
    const registry_schema *list = schema_shelf_list(r->shelf, &count);
    assert_true(2 + i < count);
    assert_string_equal(list[2 + i].text, texts[n]);
    assert_int_equal(list[2 + i].fingerprint, fingerprint(texts[n]));
    assert_string_equal(list[2 + i].record_name, "org.A");
    assert_string_equal(list[2 + i].topic, "auctions.raw");
    assert_true(disk_double_look(r->disk, list[2 + i].file, &(gv_span){ 0 }));
}

static size_t files(const rig *r)
{
    size_t n = 0;
    while (disk_double_name(r->disk, n))
        n++;
    return n;
}

static int begin(void **state)
{
    rig *r = calloc(1, sizeof *r);
    for (int n = 0; n < GENERATIONS; n++)
        snprintf(texts[n], sizeof texts[n],
                 "{\"type\":\"record\",\"namespace\":\"org\",\"name\":\"A\",\n"
                 "\"fields\":[{\"name\":\"x%d\",\"type\":\"long\",\"doc\":\"kept\"}]}",
                 n);
    r->disk = disk_double_new(1u << 20);
    r->fs = disk_double_table(r->disk);
    r->clock = clock_double_table(&r->time);
    log_double_open(&r->log);
    *state = r;
    return 0;
}

static int end(void **state)
{
    rig *r = *state;
    schema_shelf_close(r->shelf);
    assert_int_equal(disk_double_open_files(r->disk), 0);
    disk_double_free(r->disk);
    log_double_close(&r->log);
    free(r);
    return 0;
}

static void a_schema_is_written_once_and_a_healthy_start_writes_nothing(void **state)
{
    rig *r = *state;
    start(r, 0, false);
    assert_int_equal(files(r), 2);
    assert_int_equal(schema_shelf_tick(r->shelf), UINT64_MAX);
    uint64_t written = r->disk->written_bytes;
    unsigned syncs = r->disk->syncs + r->disk->dir_syncs;
    start(r, 0, false);
    start(r, 0, true);
    assert_int_equal(r->disk->written_bytes, written);
    assert_int_equal(r->disk->syncs + r->disk->dir_syncs, syncs);
    assert_int_equal(older(r), 0);
}

static void after_an_upgrade_spooled_records_find_their_schema(void **state)
{
    rig *r = *state;
    start(r, 0, false);
    disk_double_cut(r->disk, DISK_LOST, 1);
    start(r, 1, true);
    assert_int_equal(older(r), 1);
    expect_older(r, 0, 0);
    start(r, 2, true);
    assert_int_equal(older(r), 2);
    expect_older(r, 0, 1); /* the newest first */
    expect_older(r, 1, 0);
    start(r, 0, true); /* back again: its file is there */
    assert_int_equal(older(r), 2);
    expect_older(r, 0, 2);
    assert_int_equal(files(r), 4);
}

static void older_schemas_go_when_nothing_waits(void **state)
{
    rig *r = *state;
    start(r, 0, false);
    start(r, 1, true);
    start(r, 2, false);
    assert_int_equal(older(r), 0);
    assert_int_equal(files(r), 2);
    disk_double_cut(r->disk, DISK_LOST, 1);
    assert_int_equal(files(r), 2);
    start(r, 2, true);
    assert_int_equal(older(r), 0);
}

static void no_more_than_the_newest_are_handed_on_and_the_rest_is_said_and_kept(void **state)
{
    rig *r = *state;
    for (unsigned n = 0; n < GENERATIONS; n++)
        start(r, n, true);
    assert_int_equal(older(r), SHELF_OLDER_MAX);
    for (unsigned i = 0; i < SHELF_OLDER_MAX; i++)
        expect_older(r, i, GENERATIONS - 2 - i);
    assert_int_equal(files(r), GENERATIONS + 1);
    assert_true(log_double_count(&r->log, "more older schemas than there is room for") > 0);
}

static void expect_set_aside(rig *r, const char *path)
{
    char aside[PLAT_PATH_MAX];
    snprintf(aside, sizeof aside, "%s.damaged-1", path);
    assert_false(disk_double_look(r->disk, path, &(gv_span){ 0 }));
    assert_true(disk_double_look(r->disk, aside, &(gv_span){ 0 }));
    assert_int_equal(log_double_count(&r->log, "damaged file of a schema set aside"), 1);
    assert_int_equal(log_double_count(&r->log, "are kept and wait"), 1);
}

static void a_damaged_file_is_set_aside_and_the_others_are_used(void **state)
{
    rig *r = *state;
    char path[PLAT_PATH_MAX];
    start(r, 0, true);
    start(r, 1, true);
    path_of(path, "auctions", 2, texts[1]);
    disk_double_flip(r->disk, path, 3, 0x20);
    start(r, 2, true);
    assert_int_equal(older(r), 1);
    expect_older(r, 0, 0);
    expect_set_aside(r, path);
}

static void a_text_with_another_fingerprint_than_its_name_is_never_used(void **state)
{
    rig *r = *state;
    char path[PLAT_PATH_MAX];
    path_of(path, "auctions", 1, texts[0]);
    disk_double_put(r->disk, path, texts[1], strlen(texts[1]));
    start(r, 2, true);
    assert_int_equal(older(r), 0);
    expect_set_aside(r, path);
}

static void texts_that_are_too_long_or_no_record_are_set_aside(void **state)
{
    rig *r = *state;
    char path[PLAT_PATH_MAX];
    static char longest[SHELF_TEXT_MAX + 2];
    memset(longest, ' ', sizeof longest);
    memcpy(longest, texts[0], strlen(texts[0]));
    path_of(path, "auctions", 1, texts[0]);
    disk_double_put(r->disk, path, longest, SHELF_TEXT_MAX + 1);
    path_of(path, "rejects", 1, "\"long\"");
    disk_double_put(r->disk, path, "\"long\"", 6);
    disk_double_put(r->disk, DIR "/holiday.jpg", "x", 1);
    disk_double_put(r->disk, DIR "/auctions-1-0000000000000001.avsc", "x", 1);
    start(r, 2, true);
    assert_int_equal(older(r), 0);
    assert_int_equal(log_double_count(&r->log, "damaged file of a schema set aside"), 2);
    assert_true(disk_double_look(r->disk, DIR "/holiday.jpg", &(gv_span){ 0 }));
}

static void a_damaged_file_of_a_current_schema_is_written_anew(void **state)
{
    rig *r = *state;
    char path[PLAT_PATH_MAX];
    start(r, 0, true);
    path_of(path, "auctions", 1, texts[0]);
    disk_double_flip(r->disk, path, 3, 0x20);
    start(r, 0, true);
    assert_int_equal(log_double_count(&r->log, "damaged file of a schema set aside"), 1);
    start(r, 1, true);
    expect_older(r, 0, 0);
}

/* Whenever the power goes, a start later has what an earlier one has promised. */
static void a_kept_schema_survives_any_power_cut_while_the_next_is_written(void **state)
{
    rig *r = *state;
    start(r, 0, false);
    disk_double *before = r->disk;
    unsigned last = 1;
    for (unsigned at = 1; at <= last; at++)
        for (uint64_t seed = 0; seed < 10 * DISK_CUTS; seed++) {
            r->disk = disk_double_copy(before);
            r->fs = disk_double_table(r->disk);
            unsigned first = r->disk->operations;
            r->disk->dead_at = first + at;
            r->disk->dead_half = seed % 2;
            start(r, 1, true);
            last = r->disk->operations - first > last ? r->disk->operations - first : last;
            bool kept = schema_shelf_tick(r->shelf) == UINT64_MAX;
            disk_double_cut(r->disk, (disk_cut)(seed % DISK_CUTS), seed);
            start(r, 2, true);
            assert_int_equal(log_double_count(&r->log, "damaged"), 0);
            expect_older(r, older(r) - 1, 0);
            if (kept)
                expect_older(r, 0, 1);
            assert_int_equal(schema_shelf_tick(r->shelf), UINT64_MAX);
            disk_double_free(r->disk);
        }
    assert_true(last > 5);
    r->disk = before;
    r->fs = disk_double_table(r->disk);
}

static void what_could_not_be_written_is_written_later(void **state)
{
    rig *r = *state;
    r->disk->fail_at = 1;
    r->disk->fault = DISK_READ_ONLY;
    start(r, 0, false);
    assert_int_equal(older(r), 0);
    uint64_t due_ms = schema_shelf_tick(r->shelf);
    assert_true(due_ms > r->time.mono_ms && due_ms != UINT64_MAX);
    assert_int_equal(files(r), 0);
    r->disk->fail_at = 0;
    clock_double_advance(&r->time, due_ms - r->time.mono_ms);
    assert_int_equal(schema_shelf_tick(r->shelf), UINT64_MAX);
    assert_int_equal(files(r), 2);
}

static void the_schemas_of_this_program_fit_on_the_shelf(void **state)
{
    static const char *const paths[] = { GAVEL_SOURCE_DIR "/schemas/auction.avsc",
                                         GAVEL_SOURCE_DIR "/schemas/reject.avsc" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t len;
        free(load_file(paths[i], &len));
        assert_in_range(len, 1, SHELF_TEXT_MAX);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_schema_is_written_once_and_a_healthy_start_writes_nothing),
        T(after_an_upgrade_spooled_records_find_their_schema),
        T(older_schemas_go_when_nothing_waits),
        T(no_more_than_the_newest_are_handed_on_and_the_rest_is_said_and_kept),
        T(a_damaged_file_is_set_aside_and_the_others_are_used),
        T(a_text_with_another_fingerprint_than_its_name_is_never_used),
        T(texts_that_are_too_long_or_no_record_are_set_aside),
        T(a_damaged_file_of_a_current_schema_is_written_anew),
        T(a_kept_schema_survives_any_power_cut_while_the_next_is_written),
        T(what_could_not_be_written_is_written_later),
        T(the_schemas_of_this_program_fit_on_the_shelf),
    };
    return cmocka_run_group_tests_name("schema_shelf", tests, NULL, NULL);
}
