/* What the HTTP client bears from its user: callbacks that refuse, cancel, start and close. */
#include "tests/unit/transfer_world.h"

/* --- callbacks that interfere ------------------------------------------------------------------ */
static void callbacks_may_refuse_the_answer(void **state)
{
    probe p;
    (void)state;
    aim(&p, "http", "/plain/100000");
    p.head_answer = GV_INVAL;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_INVAL);
    assert_said(&p, "not wanted");
    assert_int_equal(p.got, 0);
    aim(&p, "https", "/gzip/100000");
    p.data_answer = GV_CORRUPT;
    start(&p);
    run(&p);
    assert_int_equal(p.status, GV_CORRUPT);
    assert_said(&p, "data not wanted");
}

static void turn_until_quiet(void)
{
    for (int i = 0; i < 20; i++) {
        http_tick(w.client);
        assert_int_equal(plat_loop_wait(w.loop, 5, NULL), GV_OK);
    }
}

static void cancelling_is_safe_everywhere(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        probe p;
        probe other;
        aim(&p, "http", "/gzip/3000000");
        p.cancel_in_head = true;
        start(&p);
        turn_until_quiet();
        assert_int_equal(p.heads, 1);
        assert_int_equal(p.got + (unsigned)p.dones, 0);

        aim(&p, "https", "/gzip/3000000");
        p.cancel_in_data = true;
        start(&p);
        while (p.cancel_in_data)
            turn();
        turn_until_quiet();
        assert_int_equal(p.got + (unsigned)p.dones, 0);

        aim(&other, "http", "/stall/1");
        start(&other);
        aim(&p, "http", "/plain/1000000");
        p.cancel_other = &other;
        start(&p);
        run(&p);
        assert_int_equal(p.status, GV_OK);
        assert_int_equal(other.dones, 0);

        aim(&p, "http", "/plain/1"); /* before it began, and while paused */
        start(&p);
        http_cancel(p.transfer);
        aim(&p, "http", "/plain/1000000");
        p.take_at_most = 10;
        start(&p);
        while (!p.paused)
            turn();
        http_resume(p.transfer);
        http_cancel(p.transfer);
        turn_until_quiet();
        assert_int_equal(p.dones, 0);
    }
    probe p[SLOTS]; /* no slot was lost */
    for (int i = 0; i < SLOTS; i++) {
        aim(&p[i], "http", "/plain/10");
        start(&p[i]);
    }
    for (int i = 0; i < SLOTS; i++) {
        run(&p[i]);
        assert_int_equal(p[i].got, 10);
    }
}

static void the_next_request_may_start_in_on_done(void **state)
{
    probe busy[SLOTS - 1];
    probe p;
    probe second;
    (void)state;
    for (int i = 0; i < SLOTS - 1; i++) { /* so that there is but one slot */
        aim(&busy[i], "http", "/silent/1");
        start(&busy[i]);
    }
    aim(&p, "http", "/plain/10");
    aim(&second, "https", "/gzip/100000");
    p.then = &second;
    start(&p);
    run(&p);
    run(&second);
    assert_int_equal(second.got, 100000);
    assert_true(second.same);
    for (int i = 0; i < SLOTS - 1; i++)
        http_cancel(busy[i].transfer);
}

static void closing_with_transfers_under_way_is_clean(void **state)
{
    probe p[SLOTS];
    (void)state;
    for (int i = 0; i < SLOTS; i++) {
        aim(&p[i], i % 2 ? "http" : "https", "/gzip/3000000");
        p[i].take_at_most = i < 2 ? 100 : 0;
        start(&p[i]);
    }
    for (int i = 0; i < 5; i++)
        turn();
    http_reopen();
    turn_until_quiet();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_may_refuse_the_answer),
        cmocka_unit_test(cancelling_is_safe_everywhere),
        cmocka_unit_test(the_next_request_may_start_in_on_done),
        cmocka_unit_test(closing_with_transfers_under_way_is_clean),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
