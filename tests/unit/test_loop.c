/* The event loop: watches, signals, time-outs. */
#include "platform/clock.h"
#include "platform/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static plat_loop *loop;

static int open_loop(void **state)
{
    (void)state;
    loop = plat_loop_open(NULL);
    return loop ? 0 : -1;
}

static int close_loop(void **state)
{
    (void)state;
    plat_loop_close(loop);
    return 0;
}

#define OK(call) assert_int_equal(call, GV_OK)

typedef struct {
    int calls;
    int fd;
    unsigned events;
} seen;

static void note(void *arg, int fd, unsigned events)
{
    seen *s = arg;

    s->calls++;
    s->fd = fd;
    s->events = events;
}

static void make_pipe(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void put_byte(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void a_readable_descriptor_is_called_back_until_it_is_read(void **state)
{
    int ends[2];
    char byte;
    seen s = { 0 };

    (void)state;
    make_pipe(ends);
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_IN, note, &s, NULL));
    OK(plat_loop_wait(loop, 0, NULL));
    assert_int_equal(s.calls, 0);
    put_byte(ends[1]);
    OK(plat_loop_wait(loop, -1, NULL));
    OK(plat_loop_wait(loop, -1, NULL));
    assert_int_equal(s.calls, 2);
    assert_int_equal(s.fd, ends[0]);
    assert_int_equal(s.events, PLAT_LOOP_IN);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    OK(plat_loop_wait(loop, 0, NULL));
    assert_int_equal(s.calls, 2);
    close(ends[0]);
    close(ends[1]);
}

static void what_is_watched_for_can_be_changed_and_forgotten(void **state)
{
    int ends[2];
    seen in = { 0 }, out = { 0 };

    (void)state;
    make_pipe(ends);
    put_byte(ends[1]);
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_IN, note, &in, NULL));
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_OUT, note, &out, NULL));
    OK(plat_loop_wait(loop, -1, NULL));
    assert_int_equal(in.calls, 0);
    assert_int_equal(out.events, PLAT_LOOP_OUT);
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_IN | PLAT_LOOP_OUT, note, &in, NULL));
    OK(plat_loop_wait(loop, -1, NULL));
    assert_int_equal(in.events, PLAT_LOOP_IN | PLAT_LOOP_OUT);
    OK(plat_loop_watch(loop, ends[0], 0, NULL, NULL, NULL));
    OK(plat_loop_watch(loop, ends[0], 0, NULL, NULL, NULL)); /* nothing to forget: no error */
    OK(plat_loop_wait(loop, 0, NULL));
    assert_int_equal(in.calls, 1);
    assert_int_equal(out.calls, 1);
    close(ends[0]);
    close(ends[1]);
}

static void a_hang_up_wakes_whoever_waits(void **state)
{
    int ends[2];
    seen s = { 0 };

    (void)state;
    make_pipe(ends);
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_IN, note, &s, NULL));
    close(ends[1]);
    OK(plat_loop_wait(loop, -1, NULL));
    assert_true(s.events & PLAT_LOOP_IN);
    OK(plat_loop_watch(loop, ends[0], 0, NULL, NULL, NULL));
    close(ends[0]);
}

typedef struct {
    int calls;
    int other;
} dropper;

static void drop_other(void *arg, int fd, unsigned events)
{
    dropper *d = arg;

    (void)fd;
    (void)events;
    d->calls++;
    OK(plat_loop_watch(loop, d->other, 0, NULL, NULL, NULL));
}

/* Both are ready in the same round, and each forgets the other: only one may be called. */
static void a_watch_that_a_callback_forgets_is_not_called(void **state)
{
    int a[2], b[2];
    dropper first, second;

    (void)state;
    make_pipe(a);
    make_pipe(b);
    first = (dropper){ 0, b[0] };
    second = (dropper){ 0, a[0] };
    OK(plat_loop_watch(loop, a[0], PLAT_LOOP_IN, drop_other, &first, NULL));
    OK(plat_loop_watch(loop, b[0], PLAT_LOOP_IN, drop_other, &second, NULL));
    put_byte(a[1]);
    put_byte(b[1]);
    OK(plat_loop_wait(loop, -1, NULL));
    assert_int_equal(first.calls + second.calls, 1);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void a_number_that_is_used_again_can_be_watched_again(void **state)
{
    int ends[2], again[2];
    seen old = { 0 }, s = { 0 };

    (void)state;
    make_pipe(ends);
    OK(plat_loop_watch(loop, ends[0], PLAT_LOOP_IN, note, &old, NULL));
    close(ends[0]); /* without telling the loop, as a library may */
    close(ends[1]);
    make_pipe(again);
    assert_int_equal(again[0], ends[0]);
    OK(plat_loop_watch(loop, again[0], PLAT_LOOP_IN, note, &s, NULL));
    put_byte(again[1]);
    OK(plat_loop_wait(loop, -1, NULL));
    assert_int_equal(old.calls, 0);
    assert_int_equal(s.calls, 1);
    close(again[0]);
    close(again[1]);
}

static void every_ready_descriptor_is_served_and_the_number_is_bounded(void **state)
{
    int ends[PLAT_LOOP_WATCHES + 1][2];
    seen s[PLAT_LOOP_WATCHES + 1] = { { 0 } };
    gv_error err = { 0 };
    char byte;

    (void)state;
    for (int i = 0; i <= PLAT_LOOP_WATCHES; i++)
        make_pipe(ends[i]);
    for (int i = 0; i < PLAT_LOOP_WATCHES; i++) {
        OK(plat_loop_watch(loop, ends[i][0], PLAT_LOOP_IN, note, &s[i], NULL));
        put_byte(ends[i][1]);
    }
    assert_int_equal(plat_loop_watch(loop, ends[PLAT_LOOP_WATCHES][0], PLAT_LOOP_IN, note,
                                     &s[PLAT_LOOP_WATCHES], &err),
                     GV_FULL);
    assert_true(err.text[0] != '\0');
    for (int round = 0; round < PLAT_LOOP_WATCHES; round++) {
        OK(plat_loop_wait(loop, 0, NULL));
        for (int i = 0; i < PLAT_LOOP_WATCHES; i++) {
            if (s[i].calls == 1)
                (void)!recv(ends[i][0], &byte, 1, MSG_DONTWAIT);
        }
    }
    for (int i = 0; i < PLAT_LOOP_WATCHES; i++)
        assert_true(s[i].calls >= 1);
    /* One goes, and its place can be taken. */
    OK(plat_loop_watch(loop, ends[0][0], 0, NULL, NULL, NULL));
    OK(plat_loop_watch(loop, ends[PLAT_LOOP_WATCHES][0], PLAT_LOOP_IN, note, &s[PLAT_LOOP_WATCHES],
                       NULL));
    for (int i = 0; i <= PLAT_LOOP_WATCHES; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
    }
}

static void a_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
    gv_error err = { 0 };
    seen s = { 0 };

    (void)state;
    assert_int_equal(plat_loop_watch(loop, 9999, PLAT_LOOP_IN, note, &s, &err), GV_IO);
    assert_true(err.os_errno != 0 && err.text[0] != '\0');
    OK(plat_loop_wait(loop, 0, NULL));
    assert_int_equal(s.calls, 0);
}

static void a_wait_ends_at_its_time_out(void **state)
{
    plat_clock clock = plat_clock_system(0);
    uint64_t before = plat_mono_ms(&clock);

    (void)state;
    OK(plat_loop_wait(loop, 30, NULL));
    assert_true(plat_mono_ms(&clock) - before >= 29);
    OK(plat_loop_wait(loop, 0, NULL));
}

typedef struct {
    int usr1, usr2;
} signals_seen;

static void note_signal(void *arg, int number)
{
    signals_seen *s = arg;

    s->usr1 += number == SIGUSR1;
    s->usr2 += number == SIGUSR2;
}

static void signals_arrive_in_the_loop_and_nowhere_else(void **state)
{
    static const int numbers[] = { SIGUSR1, SIGUSR2 };
    signals_seen s = { 0, 0 };
    sigset_t set;

    (void)state;
    OK(plat_loop_signals(loop, numbers, 2, note_signal, &s, NULL));
    assert_int_equal(kill(getpid(), SIGUSR1), 0); /* would end the program otherwise */
    assert_int_equal(kill(getpid(), SIGUSR2), 0);
    assert_true(s.usr1 == 0 && s.usr2 == 0);
    for (int i = 0; i < 2 && (s.usr1 == 0 || s.usr2 == 0); i++)
        OK(plat_loop_wait(loop, 5000, NULL));
    assert_true(s.usr1 == 1 && s.usr2 == 1);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    OK(plat_loop_wait(loop, 5000, NULL));
    assert_true(s.usr1 == 2 && s.usr2 == 1);
    OK(plat_loop_wait(loop, 0, NULL));
    assert_true(s.usr1 == 2);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_readable_descriptor_is_called_back_until_it_is_read),
        TEST(what_is_watched_for_can_be_changed_and_forgotten),
        TEST(a_hang_up_wakes_whoever_waits),
        TEST(a_watch_that_a_callback_forgets_is_not_called),
        TEST(a_number_that_is_used_again_can_be_watched_again),
        TEST(every_ready_descriptor_is_served_and_the_number_is_bounded),
        TEST(a_descriptor_that_cannot_be_watched_is_an_error),
        TEST(a_wait_ends_at_its_time_out),
        TEST(signals_arrive_in_the_loop_and_nowhere_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
