/* What has happened to others who keep data on a disk until it can be sent: chunks lost whole for a torn
 * tail, queues that stop at a file that is missing, agents that do not start. It does not happen here. */
#include "spool/format.h"
#include "tests/powerloss/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KIB   1024u
#define FIRST WORLD_DIR "/0000000000000001.seg"

static spool_world w;

static int setup(void **state)
{
    (void)state;
    world_init(&w, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_free(&w);
    return 0;
}

static void live(const char *name, const char *steps)
{
    world_say("%s", name);
    world_open(&w);
    world_run(&w, steps);
}

static gv_span content_of(const char *path)
{
    gv_span content;

    assert_true(disk_double_look(w.disk, path, &content));
    return content;
}

/* The file with `extra` bytes of that value behind it. */
static void extend(const char *path, uint8_t value, size_t extra)
{
    gv_span was = content_of(path);
    uint8_t *bytes = malloc(was.len + extra);

    assert_non_null(bytes);
    memcpy(bytes, was.data, was.len);
    memset(bytes + was.len, value, extra);
    disk_double_put(w.disk, path, bytes, was.len + extra);
    free(bytes);
}

static void remove_file(const char *path)
{
    assert_int_equal(w.fs.remove(w.fs.ctx, path, NULL), GV_OK);
    assert_int_equal(w.fs.sync_dir(w.fs.ctx, WORLD_DIR, NULL), GV_OK);
}

/* --- ends of files ----------------------------------------------------------------------------------- */
static void zero_filled_tail_is_no_obstacle(void **state)
{
    (void)state;
    live("zeros behind", "aaac x");
    extend(FIRST, 0, 48 * KIB);
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_KEPT, 1);
    world_check(&w);
    assert_int_equal(w.events[SPOOL_TORN], 0);
}

static void garbage_behind_the_last_batch_costs_nothing(void **state)
{
    (void)state;
    live("garbage behind", "aaac x");
    extend(FIRST, 0xA5, 10 * KIB + 17);
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_KEPT, 1);
    world_check(&w);
    assert_int_equal(w.events[SPOOL_TORN], 1);
}

/* The last of four, promised or not: its first half is there. */
static void half_written_batch_costs_only_itself(void **state)
{
    (void)state;
    live("half a batch", "aac aa");
    w.disk->dead_at = w.disk->operations + 1;
    w.disk->dead_half = true;
    world_run(&w, "a");
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_KEPT, 1);
    world_open(&w);
    world_drain(&w);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(w.came[i], true);
    assert_int_equal(w.came[4], false);
    assert_int_equal(w.events[SPOOL_TORN], 1);
    world_close(&w);
}

/* --- files that are missing -------------------------------------------------------------------------- */
static void missing_cursor_file_orphans_nothing(void **state)
{
    (void)state;
    live("no cursor", "aaaaaaaaaaaaac nkt nn");
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_LOST, 1);
    remove_file(WORLD_DIR "/cursor");
    world_check(&w);
}

/* It is whole, and names a batch that stands elsewhere here. */
static void cursor_of_another_spool_orphans_nothing(void **state)
{
    spool_world other = { 0 };
    gv_span cursor;

    (void)state;
    world_init(&other, 0);
    world_say("another's cursor");
    world_open(&other);
    world_run(&other, "acacacac nnKkt nkt");
    live("another's cursor", "aaaaaaaaaaaaac");
    world_close(&w);
    assert_true(disk_double_look(other.disk, WORLD_DIR "/cursor", &cursor));
    disk_double_put(w.disk, WORLD_DIR "/cursor", cursor.data, cursor.len);
    world_close(&other);
    world_free(&other);
    world_check(&w);
}

static void missing_segment_in_the_middle_is_passed_over_and_reported(void **state)
{
    spool_header h;
    uint64_t missing = 0;

    (void)state;
    live("a segment is missing", "aaaaaaaaaaaaaaaaaaac");
    world_close(&w);
    char path[PLAT_PATH_MAX] = "";
    for (size_t i = 0; disk_double_name(w.disk, i); i++) {
        const char *name = disk_double_name(w.disk, i);
        if (strcmp(name, FIRST) > 0 && strstr(name, ".seg") &&
            (path[0] == '\0' || strcmp(name, path) < 0))
            snprintf(path, sizeof path, "%s", name);
    }
    gv_span content = content_of(path);
    for (size_t at = 0; at < content.len; at += SPOOL_ALIGN)
        if (spool_header_get(gv_span_of(content.data + at, SPOOL_ALIGN), &h) == SPOOL_HEADER_OK) {
            w.model.is[h.meta.fingerprint] |= BATCH_DAMAGED;
            missing++;
        }
    assert_true(missing > 1);
    remove_file(path);
    world_open(&w);
    world_drain(&w);
    assert_int_equal(w.events[SPOOL_MISSING], 1);
    assert_int_equal(spool_look(w.spool)->missing_batches, missing);
    world_close(&w);
}

/* --- starts ------------------------------------------------------------------------------------------ */
static void damaged_segment_does_not_stop_the_start(void **state)
{
    static uint8_t noise[64 * KIB];

    (void)state;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    live("noise in a segment", "aaac");
    world_close(&w);
    disk_double_put(w.disk, WORLD_DIR "/00000000000000ff.seg", noise, sizeof noise);
    disk_double_put(w.disk, WORLD_DIR "/0000000000000002.seg", noise, sizeof noise);
    w.model.damaged = 3;
    for (uint32_t i = 1; i < 3;
         i++) /* the file says that it begins at 2: they may be taken for its own */
        w.model.is[i] |= BATCH_DAMAGED;
    world_check(&w);
}

static void full_disk_does_not_stop_the_start(void **state)
{
    (void)state;
    live("a full disk", "aaaaaaaaac nkt");
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_LOST, 1);
    w.disk->capacity_bytes = 0;
    world_open(&w);
    assert_int_equal(world_append(&w, world_next_number(&w)), GV_FULL);
    world_drain(&w);
    w.disk->capacity_bytes = 64u << 20;
    world_close(&w);
    world_check(&w);
}

static void files_of_others_are_left_alone(void **state)
{
    static const char *const names[] = { WORLD_DIR "/README", WORLD_DIR "/0000000000000000.seg",
                                         WORLD_DIR "/00000000000000zz.seg",
                                         WORLD_DIR "/0000000000000001.seg.bak" };

    (void)state;
    live("others' files", "aaac");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        disk_double_put(w.disk, names[i], names[i], strlen(names[i]));
    world_run(&w, "x aac r t x");
    world_close(&w);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(gv_span_equal(content_of(names[i]), gv_span_str(names[i])));
}

/* --- segments that cannot be opened ------------------------------------------------------------------- */
/* Reads once; opening the segment fails, and what follows, too, when the disk is dead. */
static void read_in_vain(bool dead)
{
    static uint8_t room[WORLD_PAYLOAD];
    gv_buf payload = gv_buf_of(room, sizeof room);
    spool_meta meta;
    uint64_t seq;
    unsigned at = w.disk->operations + 2; /* behind the list of the directory */

    w.disk->fail_at = dead ? 0 : at;
    w.disk->dead_at = dead ? at : 0;
    gv_status st = spool_next(w.spool, &meta, &payload, &seq, NULL);
    assert_int_not_equal(st, GV_OK);
    w.disk->fail_at = w.disk->dead_at = 0;
}

/* Four in a segment that is given up, and what comes after them. */
static void first_four_are_given_up(void)
{
    for (uint32_t i = 0; i < 4; i++)
        w.model.is[i] |= BATCH_DAMAGED;
}

static void segment_that_cannot_be_opened_costs_no_batch_of_another(void **state)
{
    (void)state;
    live("the disk dies while a segment is given up", "aaaac x aaac");
    first_four_are_given_up();
    read_in_vain(false);
    read_in_vain(false);
    read_in_vain(true);
    world_drain(&w);
    for (uint32_t i = 4; i < 7; i++)
        assert_int_equal(w.came[i], true);
    world_close(&w);
}

static void written_segment_that_could_not_be_opened_is_read_on(void **state)
{
    (void)state;
    live("the written segment cannot be opened", "acacacac");
    first_four_are_given_up();
    read_in_vain(false);
    read_in_vain(false);
    read_in_vain(false);
    world_run(&w, "ac r t");
    assert_int_equal(w.came[4], true);
    content_of(WORLD_DIR "/quarantine/0000000000000001.seg");
    world_close(&w);
}

/* --- acknowledgements and room ----------------------------------------------------------------------- */
static void saved_acknowledgement_survives_a_power_cut(void **state)
{
    (void)state;
    live("acknowledged", "aaac nk nk t");
    world_abandon(&w);
    disk_double_cut(w.disk, DISK_LOST, 1);
    world_open(&w);
    world_drain(&w);
    assert_int_equal(w.came[0] || w.came[1], false);
    assert_int_equal(w.came[2], true);
    world_close(&w);
}

/* The power goes at each operation of the second save. */
static void half_saved_cursor_leaves_the_one_before(void **state)
{
    static spool_world cut;

    (void)state;
    for (unsigned at = 1; at <= 6; at++)
        for (unsigned seed = 0; seed < 20; seed++) {
            live("the cursor is being saved", "aaac nkt nk");
            w.disk->dead_at = w.disk->operations + at;
            world_run(&w, "t");
            world_abandon(&w);
            world_branch(&cut, &w);
            disk_double_cut(cut.disk, DISK_TRASHED, seed);
            world_open(&cut);
            world_drain(&cut);
            assert_int_equal(cut.came[0], false);
            world_close(&cut);
            world_free(&w);
            world_init(&w, 0);
        }
    world_free(&cut);
}

/* Nothing is read for so long that every segment was written after something had been dropped. */
static void giving_way_makes_room_however_long_nobody_reads(void **state)
{
    (void)state;
    w.config.quota_bytes = 512 * KIB;
    live("a long outage", "");
    for (unsigned i = 0; i < 100; i++)
        world_run(&w, "ac");
    unsigned waiting = 0;
    for (uint32_t i = 0; i < w.model.count; i++)
        waiting +=
            w.model.kind[i] != SPOOL_GAP && w.model.is[i] == (BATCH_APPENDED | BATCH_PROMISED);
    assert_true(waiting > 16);
    world_run(&w, "r");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(zero_filled_tail_is_no_obstacle, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_behind_the_last_batch_costs_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(half_written_batch_costs_only_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_cursor_file_orphans_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(cursor_of_another_spool_orphans_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_segment_in_the_middle_is_passed_over_and_reported,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_segment_does_not_stop_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_does_not_stop_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_others_are_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(segment_that_cannot_be_opened_costs_no_batch_of_another,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(written_segment_that_could_not_be_opened_is_read_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(saved_acknowledgement_survives_a_power_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(half_saved_cursor_leaves_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_way_makes_room_however_long_nobody_reads, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
