/* The power goes at every operation of every scenario, in every way that a disk may take it, and again at
 * every operation of the recovery: what was promised comes out, nothing is invented.
 *
 *   test_spool_powercut          a few hundred cuts
 *   test_spool_powercut sweep    all of them
 *   test_spool_powercut sparse   every eleventh, for sanitizers
 */
#include "tests/powerloss/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KIB 1024u

typedef struct {
    const char *name;
    uint64_t quota_bytes;
    const char *steps;
} scenario;

static const scenario scenarios[] = {
    { "commits of one and of many", 0, "c aac aaac c a c aaaac nk n nKk aac" },
    { "segments follow each other", 0, "aaaaaaaaaac aaaaaaaaaaaaac a" },
    { "acknowledged in order", 0, "aaaaaac nknknk t nnkk t nk ac r t ac" },
    { "acknowledged out of order", 0, "aaaaaaaaac nnnKKK t nnnnKkKk t nnK ac r t" },
    { "drained and begun again", 0, "aac r t aac r t ac r x ac r t aac nk" },
    { "the cursor is saved often", 0, "aaaaaaaaac nktnktnkt aac nktnktnktnktnkt aac r t" },
    { "closed and opened", 0, "aaac x aac nk x nk a x c aac n x r x aaaaaaac nkt x aac nnK x r" },
    { "the oldest gives way", 0, "aaaaaaaaaaaac d nk aac d r t" },
    { "the oldest gives way while it is read", 0, "aaaaaaaaaaaaaaaac nnk d nkd nk nk a d c t r" },
    { "the quota is reached", 256 * KIB, "aaaaaaaaaaaaaaaaaaaaaaaaaaaac nknk aaaaaaaac x r t" },
    { "every second hour gives way", 0, "aaaaaaaaaaaaaaaaaaaaaaaaac D D nk D D t aac D x r" },
    { "a batch is damaged", 0, "aaaaaaaaaaaaac q nkn aac t k r t ac r" },
    { "a segment cannot be read", 0, "aaaaaaaaaaaaaaaac nk u aac t r t ac r" },
};

/* How thoroughly. */
static unsigned op_stride = 23, again_stride = 7, seeds = 1;
static unsigned long operations, cuts, recoveries, recovery_cuts;

static const char *const cut_names[DISK_CUTS] = { "lost", "kept", "torn", "reordered", "trashed" };

static uint64_t seed_of(unsigned at, unsigned seed)
{
    return (uint64_t)at * 1000 + seed;
}

static unsigned seeds_of(disk_cut cut)
{
    return cut <= DISK_KEPT ? 1 : seeds;
}

/* --- the second cut --------------------------------------------------------------------------------- */
/* Cuts at operation `again` of the recovery; false: it was over before. */
static bool cut_recovery_at(const spool_world *dead, disk_cut cut, uint64_t seed, unsigned again)
{
    static spool_world w, second;

    world_branch(&w, dead);
    disk_double_cut(w.disk, cut, seed);
    w.disk->dead_at = w.disk->operations + again;
    world_open(&w);
    world_run(&w, "nnKnk aac nkt r t aacx");
    if (!world_is_dead(&w))
        return false;
    world_branch(&second, &w);
    disk_double_cut(second.disk, (disk_cut)((unsigned)(seed + again) % DISK_CUTS), seed + again);
    world_check(&second);
    recovery_cuts++;
    return true;
}

static void cut_recovery(const spool_world *dead, const char *name, unsigned at)
{
    disk_cut cut = (disk_cut)(at % DISK_CUTS);
    uint64_t seed = seed_of(at, 77);
    unsigned again = 1 + at % again_stride;

    recoveries++;
    do {
        world_say("%s, operation %u, %s; then recovery's operation %u", name, at, cut_names[cut],
                  again);
        again += again_stride;
    } while (cut_recovery_at(dead, cut, seed, again - again_stride));
}

/* --- the first cut ---------------------------------------------------------------------------------- */
static void cut_in_all_ways(const spool_world *dead, const char *name, unsigned at)
{
    static spool_world w;

    for (disk_cut cut = DISK_LOST; cut < DISK_CUTS; cut++)
        for (unsigned seed = 0; seed < seeds_of(cut); seed++) {
            world_say("%s, operation %u, %s, seed %u", name, at, cut_names[cut], seed);
            world_branch(&w, dead);
            disk_double_cut(w.disk, cut, seed_of(at, seed));
            world_check(&w);
            cuts++;
        }
}

/* Lives until operation `at`; false: the scenario was over before. */
static bool live_until(spool_world *w, const scenario *s, unsigned at, bool half)
{
    world_say("%s, until operation %u", s->name, at);
    world_init(w, s->quota_bytes);
    w->disk->dead_at = at;
    w->disk->dead_half = half;
    world_open(w);
    world_run(w, s->steps);
    return world_is_dead(w);
}

static void sweep_scenario(const scenario *s)
{
    spool_world w;
    unsigned at = op_stride / 2 + 1;

    for (bool dead = true; dead; at += op_stride) {
        dead = live_until(&w, s, at, false);
        uint64_t written = w.disk->written_bytes;
        cut_in_all_ways(&w, s->name, at); /* after the last operation, too */
        cut_recovery(&w, s->name, at);
        world_free(&w);
        operations++;
        if (!dead || !live_until(&w, s, at, true)) {
            continue;
        }
        if (w.disk->written_bytes != written) /* it was a write */
            cut_in_all_ways(&w, s->name, at);
        world_free(&w);
    }
}

static void promised_batch_survives_any_power_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        sweep_scenario(&scenarios[i]);
}

/* --- a disk that fails before ------------------------------------------------------------------------ */
/* Operation `fault_at` fails, then the power goes; false: nothing failed, or the scenario was over. */
static bool fail_then_cut(disk_fault fault, unsigned fault_at, unsigned at)
{
    char name[64];
    spool_world w;
    bool goes_on;

    snprintf(name, sizeof name, "fault %d at operation %u", (int)fault, fault_at);
    world_say("%s, until operation %u", name, at);
    world_init(&w, 0);
    w.may_fail = true;
    w.disk->fault = fault;
    w.disk->fail_at = fault_at;
    w.disk->dead_at = at;
    world_open(&w);
    world_run(&w, "aac aaac nk aac n aa x aaaaaac nk t r t aac");
    goes_on = world_is_dead(&w);
    w.may_fail = false;
    w.model.damaged = WORLD_BATCHES; /* what is left of a segment that was given up may look so */
    cut_in_all_ways(&w, name, at);
    world_free(&w);
    return goes_on;
}

static void promised_batch_survives_a_failing_disk_and_a_power_cut(void **state)
{
    static const disk_fault faults[] = { DISK_EIO, DISK_SHORT_WRITE, DISK_SYNC_LOSES };
    unsigned stride = 2 * op_stride + 1;

    (void)state;
    for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++)
        for (unsigned fault_at = 1 + op_stride / 2; fault_at < 180; fault_at += stride)
            for (unsigned at = fault_at + 1; fail_then_cut(faults[f], fault_at, at); at += stride)
                operations++;
}

static int read_mode(const char *mode)
{
    bool is_sweep = strcmp(mode, "sweep") == 0;

    if (!is_sweep && strcmp(mode, "sparse") != 0) {
        fprintf(stderr, "usage: test_spool_powercut [sweep|sparse]\n");
        return -1;
    }
    op_stride = is_sweep ? 1 : 11;
    again_stride = is_sweep ? 3 : 7;
    seeds = is_sweep ? 3 : 2;
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promised_batch_survives_any_power_cut),
        cmocka_unit_test(promised_batch_survives_a_failing_disk_and_a_power_cut),
    };

    if (argc > 1 && read_mode(argv[1]) != 0)
        return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%zu scenarios, %lu operations at which the power went, %lu cuts;\n"
           "%lu recoveries cut in their turn, %lu cuts there\n",
           sizeof scenarios / sizeof scenarios[0], operations, cuts, recoveries, recovery_cuts);
    return failed;
}
