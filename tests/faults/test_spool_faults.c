/* The disk fails at one operation after the other, in each way that it can: when it is well again the
 * spool goes on, and nothing that was promised is lost, not even when the power goes after that.
 *
 *   test_spool_faults [sweep|sparse]     a part of the operations, all, every fifth
 */
#include "tests/powerloss/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KIB 1024u

typedef struct {
    const char *name;
    uint64_t quota_bytes;
    const char *steps;
} scenario;

static const scenario scenarios[] = {
    { "commits and segments", 0, "aac aaac aaaaaaaaaac aaaaaaaac nk nnK aac" },
    { "reading and acknowledging", 0, "aaaaaaaaac nknk t nnnnKKkk ac nk t r t aac r t aac" },
    { "closing and opening", 0,
      "aaac x aac nk x nk aac aac nkt x r x aaaaaaaaaac nkt x aac nnK x" },
    { "the first cursor", 0, "aac r t t t t" },
    { "giving way", 256 * KIB, "aaaaaaaaaaaaaaaaaaaaaaaaaaac nknk d aaaaaaaac D nk aac x" },
    { "setting aside", 0, "aaaaaaaaaaaaac q nkn aac t k nknknknk nknknknknk t aac x" },
};

static const char *const fault_names[] = { "EIO", "disk full", "read-only", "short write",
                                           "lost sync" };
#define FAULTS (sizeof fault_names / sizeof fault_names[0])

static unsigned stride = 11;
static unsigned long struck, cuts;

/* --- the sweep --------------------------------------------------------------------------------------- */
static void cut_and_check(const spool_world *lived, disk_cut cut, unsigned seed, const char *name)
{
    static spool_world w;

    world_say("%s, cut %d, seed %u", name, (int)cut, seed);
    world_branch(&w, lived);
    w.may_fail = false;
    w.model.damaged = WORLD_BATCHES; /* what is left of a segment that was given up may look so */
    disk_double_cut(w.disk, cut, lived->disk->operations * 10 + seed);
    world_check(&w);
    cuts++;
}

/* The disk is well again, in the same life and after a new start. */
static void goes_on(spool_world *w, const char *name)
{
    w->disk->fail_at = 0;
    world_run(w, "c");
    for (disk_cut cut = DISK_LOST; cut < DISK_CUTS; cut++)
        for (unsigned seed = 0; seed < (cut <= DISK_KEPT ? 1 : 3); seed++)
            cut_and_check(w, cut, seed, name);
    world_say("%s, on the same disk", name);
    w->may_fail = false;
    world_run(w, "aac r t");
    world_hold(w, w->damaged_batches <= w->model.damaged, "%llu batches are damaged, the last: %s",
               (unsigned long long)w->damaged_batches, w->damage);
    world_close(w);
    world_check(w);
}

/* false: it came to its end before anything failed. */
static bool fail_at(const scenario *s, disk_fault fault, unsigned at)
{
    char name[80];
    spool_world w;
    bool has_struck;

    snprintf(name, sizeof name, "%s, %s at operation %u", s->name, fault_names[fault], at);
    world_say("%s", name);
    world_init(&w, s->quota_bytes);
    w.may_fail = true;
    w.disk->fault = fault;
    w.disk->fail_at = at;
    world_open(&w);
    world_run(&w, s->steps);
    has_struck = w.disk->fail_at == 0 || w.disk->operations >= at;
    goes_on(&w, name);
    world_free(&w);
    return has_struck;
}

static void a_disk_that_failed_costs_no_promised_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (unsigned fault = 0; fault < FAULTS; fault++)
            for (unsigned at = 1; fail_at(&scenarios[i], (disk_fault)fault, at); at += stride)
                struck++;
}

/* Whatever the disk refuses while the cursor is first saved: the sequences live on in it. */
static void sequences_never_begin_again(void **state)
{
    static spool_world w;
    spool_world lived;

    (void)state;
    for (unsigned at = 1; at < 50; at++) {
        world_init(&lived, 0);
        lived.may_fail = true;
        lived.disk->fail_at = at;
        world_open(&lived);
        world_run(&lived, "aac r t t t");
        for (unsigned seed = 0; seed < 40; seed++) {
            world_say("EIO at operation %u, seed %u", at, seed);
            world_branch(&w, &lived);
            w.may_fail = false;
            disk_double_cut(w.disk, DISK_REORDERED, seed);
            world_check(&w);
            cuts++;
        }
        world_free(&lived);
    }
    world_free(&w);
}

/* --- memory ------------------------------------------------------------------------------------------ */
static void too_little_memory_is_refused_and_nothing_is_left_open(void **state)
{
    spool_world w;
    spool *s;

    (void)state;
    world_say("too little memory");
    world_init(&w, 0);
    size_t needed = w.config.mem_bytes;
    for (size_t bytes = 0; bytes + 64 < needed; bytes += 1 + bytes / 512) {
        gv_error err = { 0, "" };
        w.config.mem_bytes = bytes;
        assert_int_equal(spool_open(&w.config, &s, &err), GV_INVAL);
        assert_null(s);
        assert_non_null(strstr(err.text, "are needed"));
        assert_int_equal(disk_double_open_files(w.disk), 0);
    }
    assert_int_equal(w.disk->operations, 0);
    w.config.mem_bytes = needed;
    world_free(&w);
}

/* Wherever the memory begins. */
static void what_is_said_to_be_needed_is_enough(void **state)
{
    static const size_t payloads[] = { 1, 3999, 4000, 4001, 65536, 131072, 1000003 };

    (void)state;
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        for (size_t shift = 0; shift < 17; shift++) {
            spool_world w;
            world_say("payloads of %zu bytes, memory shifted by %zu", payloads[i], shift);
            world_init(&w, 0);
            void *given = w.config.mem;
            w.config.payload_bytes = payloads[i];
            w.config.mem_bytes = spool_mem_needed(&w.config);
            uint8_t *mem = malloc(w.config.mem_bytes + shift);
            assert_non_null(mem);
            w.config.mem = mem + shift;
            world_open(&w);
            world_close(&w);
            free(mem);
            w.config.mem = given;
            world_free(&w);
        }
}

static void a_configuration_that_cannot_be_is_refused(void **state)
{
    spool_world w;

    (void)state;
    world_init(&w, 0);
    const spool_config good = w.config;
    spool_config bad[] = { good, good, good, good, good };
    bad[0].payload_bytes = 0;
    bad[1].payload_bytes = (size_t)1 << 31;
    bad[2].segment_bytes = SPOOL_SEGMENT_BYTES_MIN - 1;
    bad[3].window = 0;
    bad[4].window = SPOOL_WINDOW_MAX + 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gv_error err = { 0, "" };
        spool *s;
        assert_true(spool_mem_needed(&bad[i]) == SIZE_MAX);
        assert_int_equal(spool_open(&bad[i], &s, &err), GV_INVAL);
        assert_null(s);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(w.disk->operations, 0);
    world_free(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_failed_costs_no_promised_batch),
        cmocka_unit_test(sequences_never_begin_again),
        cmocka_unit_test(too_little_memory_is_refused_and_nothing_is_left_open),
        cmocka_unit_test(what_is_said_to_be_needed_is_enough),
        cmocka_unit_test(a_configuration_that_cannot_be_is_refused),
    };

    if (argc > 1)
        stride = strcmp(argv[1], "sweep") == 0 ? 1 : 5;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%zu scenarios, %zu faults: struck %lu operations, and %lu cuts after that\n",
           sizeof scenarios / sizeof scenarios[0], FAULTS, struck, cuts);
    return failed;
}
