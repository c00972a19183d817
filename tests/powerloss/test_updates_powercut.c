/* The power goes at every operation of the disk while updates come, are tried, and end, in every way that a
 * disk may take it, and again while the store opens: afterwards it is as before or as after the change
 * that was under way, and every bundle that it names is whole. */
#include "agent/ota/store.h"
#include "agent/ota/store_text.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS        4u
#define BUNDLE_BYTES 1500u /* several blocks of the disk */

/* Versions 1 to 9: 'k' keeps the next one, 'b' begins its trial, 's' counts a start, 'g' goes back for
 * the control run, 'p' postpones, 'c' commits, 'r' refuses, 'v' reverts what is good, 'o' does so down
 * to the board's own file, 'x' refuses what never came so far. */
static const char life[] = "kbsc kbsc kbsgr kbsssgpsc v kbsgp kbsc x kbs kbsc o kbsc";

static unsigned long cuts;
static log_double said;

typedef struct {
    disk_double *disk;
    plat_fs fs;
    store *store;
    uint64_t kept; /* the newest version */
} world;

static gv_span bundle_of(uint64_t version)
{
    static uint8_t bytes[BUNDLE_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(version * 31 + i * i / 7);
    return gv_span_of(bytes, sizeof bytes - (size_t)version);
}

static store_ref ref_of(uint64_t version)
{
    store_ref ref = { version, "" };
    snprintf(ref.sha256, sizeof ref.sha256, "%064llx", (unsigned long long)version * 77);
    return ref;
}

static gv_status go_on(world *w, trial_decision decision, gv_error *err)
{
    trial_record next = trial_after(&store_look(w->store)->record, decision);
    return decision == TRIAL_POSTPONE
               ? store_postpone(w->store, &next, "no network", 5, err)
               : store_record(w->store, &next, decision == TRIAL_BACK ? "no broker" : NULL, err);
}

static gv_status step(world *w, char what, gv_error *err)
{
    store *s = w->store;
    store_ref next = ref_of(w->kept + 1), last = ref_of(w->kept);
    switch (what) {
    case 'k':
        return store_keep(s, next.version, bundle_of(next.version), err);
    case 'b':
        return store_begin(s, &last, 1, err);
    case 's':
        return go_on(w, TRIAL_START, err);
    case 'g':
        return go_on(w, TRIAL_BACK, err);
    case 'p':
        return go_on(w, TRIAL_POSTPONE, err);
    case 'c':
        return store_commit(s, 2, err);
    case 'r':
        return store_refuse(s, &store_look(s)->trial, "it is broken", 3, err);
    case 'x':
        return store_refuse(s, &next, "an option that there is not", 3, err);
    case 'v':
    case 'o':
        return store_revert(s, store_look(s)->good.version, what == 'o', 4, err);
    default:
        return GV_OK;
    }
}

/* One step that has to work; 'k' and 'x' use up a version. */
static gv_status take(world *w, char what)
{
    gv_error err = { 0, "" };
    gv_status status = step(w, what, &err);
    if (status == GV_OK && (what == 'k' || what == 'x'))
        w->kept++;
    return status;
}

static gv_status open_world(world *w)
{
    gv_error err = { 0, "" };
    w->fs = disk_double_table(w->disk);
    return store_open(&w->fs, "state", true, &w->store, &err);
}

static bool same(const store_state *a, const store_state *b)
{
    size_t a_len, b_len;
    char *a_text = store_print(a, &a_len), *b_text = store_print(b, &b_len);
    assert_true(a_text && b_text);
    bool is_same = a_len == b_len && memcmp(a_text, b_text, a_len) == 0;
    free(a_text);
    free(b_text);
    return is_same;
}

/* What is named is there, byte for byte. */
static void check_bundle(const world *w, uint64_t version)
{
    static uint8_t bytes[BUNDLE_BYTES];
    gv_error err = { 0, "" };
    size_t len;
    if (version == 0)
        return;
    assert_int_equal(store_read(w->store, version, bytes, sizeof bytes, &len, &err), GV_OK);
    assert_true(gv_span_equal(gv_span_of(bytes, len), bundle_of(version)));
}

static void check(const world *w, const store_state *before, const store_state *after)
{
    const store_state *now = store_look(w->store);
    assert_true(same(now, before) || same(now, after));
    check_bundle(w, now->good.version);
    check_bundle(w, now->previous.version);
    check_bundle(w, now->trial.version);
}

/* The power goes, and a second time at operation `again` of the start that follows; false: that start was
 * over before. */
static bool cut_and_look(const world *dead, disk_cut cut, uint64_t seed, unsigned again,
                         const store_state *before, const store_state *after)
{
    world w = { .disk = disk_double_copy(dead->disk) };
    disk_double_cut(w.disk, cut, seed);
    w.disk->dead_at = w.disk->operations + again;
    bool is_cut_again = open_world(&w) != GV_OK || w.disk->operations >= w.disk->dead_at;
    if (is_cut_again) {
        store_close(w.store);
        disk_double_cut(w.disk, (disk_cut)((seed + again) % DISK_CUTS), seed);
        w.disk->dead_at = 0;
        assert_int_equal(open_world(&w), GV_OK);
    }
    w.disk->dead_at = 0;
    check(&w, before, after);
    store_close(w.store);
    disk_double_free(w.disk);
    cuts++;
    return is_cut_again;
}

static void cut_in_all_ways(const world *dead, unsigned at, const store_state *before,
                            const store_state *after)
{
    for (disk_cut cut = DISK_LOST; cut < DISK_CUTS; cut++)
        for (unsigned seed = 0; seed < SEEDS; seed++)
            for (unsigned again = 1;
                 cut_and_look(dead, cut, (uint64_t)at * 100 + seed, again, before, after); again++)
                ;
}

/* Lives until operation `at`, which is not carried out, or half of it; answers whether it came to that,
 * and how the store was before and would have been after the step in which it did. */
static bool live_until(world *w, unsigned at, bool half, store_state *before, store_state *after)
{
    *w = (world){ .disk = disk_double_new(1 << 20) };
    world well = { .disk = disk_double_new(1 << 20) };
    assert_int_equal(open_world(&well), GV_OK);
    w->disk->dead_at = at;
    w->disk->dead_half = half;
    *before = *after = *store_look(well.store);
    bool is_dead = open_world(w) != GV_OK;
    for (const char *c = life; *c && !is_dead; c++) {
        *before = *store_look(well.store);
        assert_int_equal(take(&well, *c), GV_OK);
        *after = *store_look(well.store);
        is_dead = take(w, *c) != GV_OK;
        if (is_dead) /* the store believes in what was before */
            assert_true(same(store_look(w->store), before));
        is_dead = is_dead || w->disk->operations >= at;
    }
    store_close(well.store);
    disk_double_free(well.disk);
    store_close(w->store);
    return is_dead;
}

static void state_is_before_or_after_at_any_power_cut(void **state)
{
    static store_state before, after;
    (void)state;
    bool is_dead = true;
    for (unsigned at = 1; is_dead; at++)
        for (int half = 0; half < 2; half++) {
            world w;
            is_dead = live_until(&w, at, half, &before, &after);
            cut_in_all_ways(&w, at, &before, &after);
            disk_double_free(w.disk);
        }
}

/* A failing operation is an error, or of no importance; never something between. */
static void failing_disk_leaves_before_or_after(void **state)
{
    static const disk_fault faults[] = { DISK_EIO, DISK_FULL, DISK_SHORT_WRITE, DISK_SYNC_LOSES };
    static store_state before, after;
    (void)state;
    for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++)
        for (unsigned at = 8; at < 400; at++) {
            world w = { .disk = disk_double_new(1 << 20) };
            assert_int_equal(open_world(&w), GV_OK);
            w.disk->fault = faults[f];
            w.disk->fail_at = at;
            for (const char *c = life; *c; c++) {
                before = *store_look(w.store);
                gv_status status = take(&w, *c);
                after = *store_look(w.store);
                if (status == GV_OK)
                    continue;
                assert_true(same(&before, &after));
                assert_int_equal(take(&w, *c), GV_OK); /* the fault is over */
            }
            after = *store_look(w.store);
            store_close(w.store);
            disk_double_cut(w.disk, DISK_LOST, at);
            assert_int_equal(open_world(&w), GV_OK);
            check(&w, &after, &after);
            store_close(w.store);
            disk_double_free(w.disk);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_is_before_or_after_at_any_power_cut),
        cmocka_unit_test(failing_disk_leaves_before_or_after),
    };
    log_double_open(&said);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unsigned damage = log_double_count(&said, "damaged");
    log_double_close(&said);
    printf("%lu power cuts\n", cuts);
    return failed || damage > 0; /* a cut is no damage */
}
