/* Every byte of a segment is damaged in its turn, and the file ends at every length: only what is damaged is
 * lost, it is told, and it is kept in quarantine/.
 *
 *   test_spool_damage [sweep|sparse]     some of the bytes, all, every seventh
 */
#include "spool/format.h"
#include "tests/powerloss/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define FIRST  WORLD_DIR "/0000000000000001.seg"
#define ASIDE  WORLD_DIR "/quarantine/0000000000000001.seg"
#define SECOND WORLD_DIR "/0000000000000005.seg"
#define COUNT  4u /* batches in the first segment */

typedef struct {
    uint64_t at, bytes; /* where the batch is, with padding ... */
    uint64_t used;      /* ... and without */
} place;

static spool_world good;
static place places[COUNT];
static unsigned stride = 61;
static unsigned long flips, lengths;

/* Four batches in a segment, and more in the next. */
static int setup(void **state)
{
    spool_header h;
    gv_span content;
    uint64_t at = 0;

    (void)state;
    world_say("four batches");
    world_init(&good, 0);
    world_open(&good);
    world_run(&good, "acacacac x aac"); /* after a start, writing goes on in a new segment */
    world_close(&good);
    if (!disk_double_look(good.disk, FIRST, &content) ||
        !disk_double_look(good.disk, SECOND, &content))
        return -1;
    disk_double_look(good.disk, FIRST, &content);
    for (uint32_t i = 0; i < COUNT; i++) {
        if (spool_header_get(gv_span_of(content.data + at, (size_t)(content.len - at)), &h) !=
            SPOOL_HEADER_OK)
            return -1;
        places[i] = (place){ at, spool_batch_bytes(&h), h.header_bytes + h.stored_bytes };
        at += places[i].bytes;
    }
    return at == content.len ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    world_free(&good);
    return 0;
}

static spool_event told[COUNT];
static unsigned told_count;

static void on_event(void *ctx, const spool_event *event)
{
    (void)ctx;
    assert_int_equal(event->kind, SPOOL_DAMAGED);
    assert_true(told_count < COUNT);
    told[told_count++] = *event;
}

/* Reads all of it; the batches of that set (a bit each) are damaged, the others come. */
static void check(spool_world *w, unsigned damaged)
{
    gv_span content;

    told_count = 0;
    w->config.event = on_event;
    for (uint32_t i = 0; i < COUNT; i++)
        if (damaged >> i & 1)
            w->model.is[i] |= BATCH_DAMAGED;
    world_open(w);
    world_drain(w);
    for (uint32_t i = 0; i < COUNT + 2; i++)
        world_hold(w, w->came[i] == !(damaged >> i & 1), "batch %u %s", i,
                   w->came[i] ? "comes" : "does not come");
    unsigned sum = 0;
    for (unsigned i = 0; i < told_count; i++)
        for (uint64_t seq = told[i].first_seq; seq <= told[i].last_seq; seq++)
            sum |= 1u << (seq - 1);
    world_hold(w, sum == damaged, "told are the batches %x, not %x", sum, damaged);
    world_run(w, "t");
    world_hold(w, disk_double_look(w->disk, ASIDE, &content) == (damaged != 0),
               "quarantine/ is not as it should be");
    w->config.event = NULL;
    world_close(w);
}

static void one_flipped_bit_costs_one_batch(void **state)
{
    static spool_world w;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++)
        for (uint64_t at = 0; at < places[i].bytes; at += at < SPOOL_HEADER_BYTES ? 1 : stride) {
            gv_span before, after;
            world_say("bit flipped in byte %llu of batch %u", (unsigned long long)at, i);
            world_branch(&w, &good);
            disk_double_flip(w.disk, FIRST, places[i].at + at, (uint8_t)(1u << (at % 8)));
            check(&w, at < places[i].used ? 1u << i : 0);
            if (at <
                places[i].used) { /* its bytes are all there, the flipped one as it was found */
                assert_true(disk_double_look(good.disk, FIRST, &before) &&
                            disk_double_look(w.disk, ASIDE, &after));
                assert_int_equal(before.len, after.len);
                assert_memory_equal(before.data + places[i].at, after.data + places[i].at,
                                    (size_t)at);
            }
            flips++;
        }
    world_free(&w);
}

static void shorter_file_costs_what_is_cut_off(void **state)
{
    static spool_world w;
    gv_span content;

    (void)state;
    assert_true(disk_double_look(good.disk, FIRST, &content));
    for (uint64_t len = 0; len < content.len; len += stride) {
        unsigned lost = 0, kept = 0;
        world_say("the file ends after %llu bytes", (unsigned long long)len);
        world_branch(&w, &good);
        disk_double_put(w.disk, FIRST, content.data, (size_t)len);
        for (uint32_t i = 0; i < COUNT; i++)
            if (places[i].at + places[i].bytes > len)
                lost |= 1u << i;
            else
                kept |= 1u << i;
        for (uint32_t i = 0; i < COUNT; i++)
            if (lost >> i & 1)
                w.model.is[i] |= BATCH_DAMAGED;
        world_open(&w);
        world_drain(&w);
        for (uint32_t i = 0; i < COUNT; i++)
            world_hold(&w, w.came[i] || !(kept >> i & 1), "batch %u is lost", i);
        const spool_state *s = spool_look(w.spool);
        unsigned missing = 0;
        for (uint32_t i = 0; i < COUNT; i++)
            missing += !w.came[i];
        world_hold(&w, s->damaged_batches + s->missing_batches == missing,
                   "%u batches did not come, %llu are told", missing,
                   (unsigned long long)(s->damaged_batches + s->missing_batches));
        world_run(&w, "ac r t");
        world_close(&w);
        lengths++;
    }
    world_free(&w);
}

/* The last segment of a spool that was closed: what was promised there is known, too. */
static void damage_at_the_end_is_no_torn_tail(void **state)
{
    static spool_world w;
    gv_span content;

    (void)state;
    for (uint64_t at = 0; at < 3000; at += 1 + stride) {
        world_say("byte %llu of the last batch", (unsigned long long)at);
        world_init(&w, 0);
        world_open(&w);
        world_run(&w, "aaaac");
        world_close(&w);
        disk_double_flip(w.disk, FIRST, places[COUNT - 1].at + at % places[COUNT - 1].used, 1);
        w.model.is[COUNT - 1] |= BATCH_DAMAGED;
        world_open(&w);
        world_drain(&w);
        world_hold(&w, w.events[SPOOL_DAMAGED] == 1 && w.events[SPOOL_TORN] == 0,
                   "%llu damaged, %llu torn", (unsigned long long)w.events[SPOOL_DAMAGED],
                   (unsigned long long)w.events[SPOOL_TORN]);
        world_run(&w, "t");
        assert_true(disk_double_look(w.disk, ASIDE, &content));
        world_close(&w);
        world_free(&w);
        flips++;
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flipped_bit_costs_one_batch),
        cmocka_unit_test(shorter_file_costs_what_is_cut_off),
        cmocka_unit_test(damage_at_the_end_is_no_torn_tail),
    };

    if (argc > 1)
        stride = strcmp(argv[1], "sweep") == 0 ? 1 : 7;
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    printf("%lu bits flipped, %lu lengths\n", flips, lengths);
    return failed;
}
