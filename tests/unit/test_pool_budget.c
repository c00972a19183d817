#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pipeline/budget.h"
#include "agent/pipeline/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void every_batch_has_its_own_bytes_and_comes_back(void **state)
{
    (void)state;
    enum { COUNT = 7, BYTES = 1000 };
    batch *taken[COUNT];
    batch_pool *pool = calloc(1, sizeof *pool);
    uint8_t *mem = malloc(pool_mem_needed(COUNT, BYTES));
    assert_non_null(mem);
    pool_init(pool, mem, COUNT, BYTES);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            taken[i] = pool_take(pool);
            assert_non_null(taken[i]);
            assert_int_equal(taken[i]->bytes.cap, BYTES);
            memset(taken[i]->bytes.data, i, BYTES);
        }
        assert_null(pool_take(pool));
        assert_int_equal(pool->free_count, 0);
        for (int i = 0; i < COUNT; i++) {
            for (int k = 0; k < BYTES; k++)
                assert_int_equal(taken[i]->bytes.data[k], i);
            taken[i]->owner = pool;
            pool_give(pool, taken[i]);
            assert_null(taken[i]->owner);
        }
        assert_int_equal(pool->free_count, COUNT);
    }
    free(mem);
    free(pool);
}

static void reserved_batches_are_for_those_who_may(void **state)
{
    (void)state;
    batch_pool *pool = calloc(1, sizeof *pool);
    uint8_t mem[4 * 16];
    pool_init(pool, mem, 4, 16);
    pool->reserved = 2;
    assert_int_equal(pool_available(pool), 2);
    assert_non_null(pool_take(pool));
    assert_non_null(pool_take(pool));
    assert_null(pool_take(pool));
    assert_int_equal(pool->free_count, 2);
    batch *b = pool_take_reserved(pool);
    assert_non_null(b);
    assert_int_equal(pool_available(pool), 0); /* fewer are free than reserved */
    assert_non_null(pool_take_reserved(pool));
    assert_null(pool_take_reserved(pool));
    pool_give(pool, b);
    assert_null(pool_take(pool));
    pool->reserved = 0;
    assert_ptr_equal(pool_take(pool), b);
    free(pool);
}

static void pool_that_cannot_be_has_no_size(void **state)
{
    (void)state;
    assert_int_equal(pool_mem_needed(0, 1000), 0);
    assert_int_equal(pool_mem_needed(4, 1000), 4000);
    assert_int_equal(pool_mem_needed(4, SIZE_MAX / 4), SIZE_MAX / 4 * 4);
    assert_true(pool_mem_needed(4, SIZE_MAX / 4 + 1) == SIZE_MAX);
}

static void parts_of_the_budget_are_its_sum_and_no_more(void **state)
{
    (void)state;
    for (size_t total_kib = 4096; total_kib <= 65536; total_kib += 64)
        for (unsigned transfers = 1; transfers <= 4; transfers++) {
            memory_budget b;
            gv_error err = { 0, "" };
            gv_status st =
                budget_divide(total_kib * 1024, transfers, 100000, 200000, 50000, 90000, &b, &err);
            if (st != GV_OK) {
                assert_int_equal(st, GV_FULL);
                continue;
            }
            assert_int_equal(b.program + b.http + b.kafka + b.source + b.spool + b.status +
                                 b.update + b.pipeline,
                             b.total);
            assert_int_equal(b.total, total_kib * 1024);
            assert_true(b.pipeline > 0);
            assert_true(b.kafka_queue_bytes > 0 && b.kafka_queue_bytes <= b.kafka);
            assert_true(b.kafka_queue_records > 0);
        }
}

static void default_budget_is_enough_for_the_default_transfers(void **state)
{
    (void)state;
    memory_budget b;
    gv_error err = { 0, "" };
    assert_int_equal(
        budget_divide(12288 * 1024, 4, 128 * 1024, 384 * 1024, 64 * 1024, 96 * 1024, &b, &err),
        GV_OK);
    assert_true(b.pipeline >= 4 * 128 * 1024);
}

static void budget_that_is_too_small_says_how_much_is_needed(void **state)
{
    (void)state;
    memory_budget b;
    gv_error err = { 0, "" };
    assert_int_equal(budget_divide(4096 * 1024, 4, 100000, 200000, 50000, 90000, &b, &err),
                     GV_FULL);
    assert_non_null(strstr(err.text, "memory.budget_kib is 4096"));
    assert_non_null(strstr(err.text, "raise it, or lower api.max_transfers"));
    /* What it names is just not enough, and one KiB more is. */
    unsigned needed_kib = 0;
    assert_int_equal(sscanf(strstr(err.text, "but "), "but %u", &needed_kib), 1);
    gv_error again = { 0, "" };
    assert_int_equal(
        budget_divide((size_t)needed_kib * 1024, 4, 100000, 200000, 50000, 90000, &b, &again),
        GV_FULL);
    assert_int_equal(
        budget_divide(((size_t)needed_kib + 1) * 1024, 4, 100000, 200000, 50000, 90000, &b, &err),
        GV_OK);
    err.text[0] = '\0';
    assert_int_equal(budget_divide(1 << 30, 4, SIZE_MAX / 2, 0, 0, 0, &b, &err), GV_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch_has_its_own_bytes_and_comes_back),
        cmocka_unit_test(reserved_batches_are_for_those_who_may),
        cmocka_unit_test(pool_that_cannot_be_has_no_size),
        cmocka_unit_test(parts_of_the_budget_are_its_sum_and_no_more),
        cmocka_unit_test(default_budget_is_enough_for_the_default_transfers),
        cmocka_unit_test(budget_that_is_too_small_says_how_much_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
