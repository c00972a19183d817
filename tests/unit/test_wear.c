/* What a card has to take is counted with what the file system adds, and never looks better than it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/main/wear.h"

static void rate_is_of_a_day_and_counts_what_a_sync_costs(void **state)
{
    (void)state;
    assert_int_equal(wear_bytes_per_day(1000, 0, 86400000), 1000);
    assert_int_equal(wear_bytes_per_day(1000, 0, 86400000 / 4), 4000);
    assert_int_equal(wear_bytes_per_day(1000, 2, 86400000), 1000 + 2 * 16384);
    assert_int_equal(wear_bytes_per_day(1000, 2, 0), 0);
    assert_true(wear_bytes_per_day(UINT64_C(1) << 50, UINT64_C(1) << 30, 3600000) >
                UINT64_C(1) << 54); /* without overflow */
}

static void twice_the_rate_is_half_the_life(void **state)
{
    (void)state;
    /* 32 GB, 500 cycles, four times what is written: 4 TB, which is a year of 10.96 GB a day. */
    assert_int_equal(wear_card_years(UINT64_C(10958904109)), 1);
    assert_int_equal(wear_card_years(UINT64_C(10958904110)), 0);
    assert_int_equal(wear_card_years(UINT64_C(1095890410)), 10);
    assert_true(wear_card_years(0) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_is_of_a_day_and_counts_what_a_sync_costs),
        cmocka_unit_test(twice_the_rate_is_half_the_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
