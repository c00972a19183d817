/* The small contracts of platform/: errors, memory, spans, clocks, sd_notify. */
#include "gavel_version.h"
#include "platform/clock.h"
#include "platform/err.h"
#include "platform/fs.h"
#include "platform/mem.h"
#include "platform/notify.h"
#include "platform/process.h"
#include "platform/span.h"

#include <errno.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* --- err.h ------------------------------------------------------------------------------------ */
static void the_first_failure_wins(void **state)
{
    gv_error err = { 0 };

    (void)state;
    assert_int_equal(gv_fail(&err, GV_CORRUPT, "first %d", 1), GV_CORRUPT);
    assert_int_equal(gv_fail(&err, GV_FULL, "second"), GV_FULL);
    assert_int_equal(gv_fail_errno(&err, EIO, "third"), GV_IO);
    assert_string_equal(err.text, "first 1");
    assert_int_equal(err.os_errno, 0);
}

static void a_system_failure_keeps_errno_and_its_words(void **state)
{
    gv_error err = { 0 };

    (void)state;
    assert_int_equal(gv_fail_errno(&err, ENOENT, "cannot open %s", "/x"), GV_IO);
    assert_int_equal(err.os_errno, ENOENT);
    assert_string_equal(err.text, "cannot open /x: No such file or directory");
}

static void nobody_has_to_listen_to_a_failure(void **state)
{
    (void)state;
    assert_int_equal(gv_fail(NULL, GV_AGAIN, "%s", "x"), GV_AGAIN);
    assert_int_equal(gv_fail_errno(NULL, EIO, "%s", "x"), GV_IO);
}

static void a_long_message_is_cut(void **state)
{
    char lengthy[1000];
    gv_error err = { 0 };

    (void)state;
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    gv_fail(&err, GV_INVAL, "%s", lengthy);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err = (gv_error){ 0 };
    gv_fail_errno(&err, EIO, "%s", lengthy);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(err.os_errno, EIO);
}

static void every_status_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (gv_status a = GV_OK; a <= GV_INVAL; a++) {
        for (gv_status b = GV_OK; b < a; b++)
            assert_string_not_equal(gv_status_name(a), gv_status_name(b));
    }
    assert_string_equal(gv_status_name(GV_OK), "ok");
}

/* --- mem.h ------------------------------------------------------------------------------------ */
static void an_arena_gives_aligned_zeroed_memory_until_it_is_used_up(void **state)
{
    alignas(max_align_t) uint8_t block[257];
    gv_arena arena;
    size_t pieces = 0, used;
    uint8_t *p, *end = block;

    (void)state;
    memset(block, 0xAA, sizeof block);
    gv_arena_init(&arena, block + 1, sizeof block - 1); /* a block may start anywhere */
    while ((p = gv_arena_alloc(&arena, 5))) {
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        assert_true(p >= end && p + 5 <= block + sizeof block);
        assert_memory_equal(p, "\0\0\0\0\0", 5);
        memset(p, 0xFF, 5);
        end = p + 5;
        pieces++;
    }
    assert_true(pieces >= 256 / alignof(max_align_t) - 1);
    used = arena.used_bytes;
    assert_null(gv_arena_alloc(&arena, SIZE_MAX));
    assert_null(gv_arena_alloc(&arena, SIZE_MAX - 8));
    assert_int_equal(arena.used_bytes, used); /* nothing has changed */
}

static void an_arena_copies_texts(void **state)
{
    alignas(max_align_t) uint8_t block[64];
    gv_arena arena;
    char *copy;

    (void)state;
    gv_arena_init(&arena, block, sizeof block);
    copy = gv_arena_strndup(&arena, "hello", 4);
    assert_string_equal(copy, "hell");
    assert_string_equal(gv_arena_strndup(&arena, "", 0), "");
    assert_null(gv_arena_strndup(&arena, "x", SIZE_MAX));
    assert_string_equal(copy, "hell");
}

/* --- span.h ----------------------------------------------------------------------------------- */
static void bytes_are_in_the_order_that_is_named(void **state)
{
    uint8_t p[8];

    (void)state;
    gv_put_be32(p, 0x01020384);
    assert_memory_equal(p, "\x01\x02\x03\x84", 4);
    assert_true(gv_get_be32(p) == 0x01020384);
    gv_put_le32(p, 0x01020384);
    assert_memory_equal(p, "\x84\x03\x02\x01", 4);
    assert_true(gv_get_le32(p) == 0x01020384);
    gv_put_le64(p, UINT64_C(0xF102030405060784));
    assert_memory_equal(p, "\x84\x07\x06\x05\x04\x03\x02\xF1", 8);
    assert_true(gv_get_le64(p) == UINT64_C(0xF102030405060784));
}

static void a_buffer_takes_all_or_nothing(void **state)
{
    uint8_t bytes[4];
    gv_buf buf = gv_buf_of(bytes, sizeof bytes);
    volatile size_t huge = SIZE_MAX; /* the compiler must not see it */

    (void)state;
    assert_true(gv_buf_put(&buf, "abc", 3));
    assert_false(gv_buf_put(&buf, "de", 2));
    assert_false(gv_buf_put(&buf, "de", huge)); /* no sum of sizes that wraps */
    assert_int_equal(buf.len, 3);
    assert_true(gv_buf_put(&buf, NULL, 0));
    assert_true(gv_buf_put(&buf, "d", 1));
    assert_memory_equal(bytes, "abcd", 4);
    assert_true(gv_span_equal(gv_span_of(bytes, 4), gv_span_str("abcd")));
    assert_false(gv_span_equal(gv_span_of(bytes, 3), gv_span_str("abcd")));
    assert_true(gv_span_equal(gv_span_of(NULL, 0), gv_span_str("")));
}

/* --- clock.h ---------------------------------------------------------------------------------- */
static int64_t stopped_wall(void *ctx)
{
    return *(int64_t *)ctx;
}

static void the_wall_clock_is_never_below_its_floor(void **state)
{
    int64_t now = 1000;
    plat_clock clock = { .wall_ms = stopped_wall, .ctx = &now };

    (void)state;
    assert_int_equal(plat_wall_ms(&clock), 1000);
    plat_clock_raise_floor(&clock, 5000);
    assert_int_equal(plat_wall_ms(&clock), 5000);
    plat_clock_raise_floor(&clock, 4000); /* a lower one changes nothing */
    assert_int_equal(plat_wall_ms(&clock), 5000);
    now = 6000;
    assert_int_equal(plat_wall_ms(&clock), 6000);
    now = -1;
    assert_int_equal(plat_wall_ms(&clock), 5000);
}

static void the_systems_clocks_run(void **state)
{
    const int64_t far = INT64_C(4342327872000); /* the year 2107 */
    plat_clock clock = plat_clock_system(GAVEL_BUILD_TIME_S * 1000);
    uint64_t before = plat_mono_ms(&clock), now = before;

    (void)state;
    assert_true(plat_wall_ms(&clock) >= GAVEL_BUILD_TIME_S * 1000);
    while (now == before)
        now = plat_mono_ms(&clock);
    assert_true(now > before);
    assert_false(plat_clock_is_behind(&clock));
    assert_in_range(plat_clock_sync(&clock), PLAT_SYNC_UNKNOWN, PLAT_SYNC_YES);
    clock = plat_clock_system(far);
    assert_int_equal(plat_wall_ms(&clock), far);
    assert_true(plat_clock_is_behind(&clock));
    clock.sync = NULL;
    assert_int_equal(plat_clock_sync(&clock), PLAT_SYNC_UNKNOWN);
}

/* --- files of the system ------------------------------------------------------------------------ */
static void what_is_made_is_for_this_user_alone(void **state)
{
    plat_fs fs = plat_fs_system();
    struct stat st;
    mode_t before = umask(0);

    (void)state;
    assert_int_equal(plat_fs_replace(&fs, "private", "x", 1, NULL), GV_OK);
    assert_int_equal(fs.make_dir(fs.ctx, "private-dir", NULL), GV_OK);
    umask(before);
    assert_int_equal(stat("private", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat("private-dir", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    remove("private");
    remove("private-dir");
}

/* --- notify.h --------------------------------------------------------------------------------- */
static int listen_on(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval limit = { 5, 0 };
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    size_t len = strlen(path);

    assert_true(fd >= 0);
    memcpy(addr.sun_path, path, len);
    if (path[0] == '@')
        addr.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&addr,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void expect_notified(const char *path)
{
    int fd = listen_on(path);
    char got[64] = "";

    setenv("NOTIFY_SOCKET", path, 1);
    plat_notify("READY=1\nSTATUS=fetching");
    plat_notify("WATCHDOG=1");
    assert_int_equal(recv(fd, got, sizeof got - 1, 0), 23);
    assert_string_equal(got, "READY=1\nSTATUS=fetching");
    assert_int_equal(recv(fd, got, sizeof got - 1, 0), 10);
    close(fd);
    plat_notify("WATCHDOG=1"); /* nobody listens: no harm */
    unsetenv("NOTIFY_SOCKET");
}

static void systemd_hears_each_notification(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "/tmp/gavel-notify-%ld", (long)getpid());
    unlink(path);
    expect_notified(path);
    unlink(path);
    snprintf(path, sizeof path, "@gavel-notify-%ld", (long)getpid());
    expect_notified(path);
}

static void without_a_notify_socket_nothing_is_said(void **state)
{
    char long_path[300];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    plat_notify("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    plat_notify("READY=1");
    memset(long_path, '/', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    setenv("NOTIFY_SOCKET", long_path, 1);
    plat_notify("READY=1");
    unsetenv("NOTIFY_SOCKET");
    /* Still here, and no descriptor was left open. */
    int fd = dup(0);
    assert_true(fd >= 0 && fd < 16);
    close(fd);
}

static void the_watchdog_is_fed_twice_as_often_as_it_asks(void **state)
{
    char pid[24];

    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_int_equal(plat_notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(plat_notify_watchdog_ms(), 15000);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(plat_notify_watchdog_ms(), 15000);
    setenv("WATCHDOG_PID", "1", 1); /* it is for another process */
    assert_int_equal(plat_notify_watchdog_ms(), 0);
    setenv("WATCHDOG_PID", pid, 1);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(plat_notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* --- process.h -------------------------------------------------------------------------------- */
static void peak_memory_counts_what_was_touched(void **state)
{
    const size_t grown_kib = 8 * 1024;
    uint64_t before = plat_peak_memory_kib();
    char *block = malloc(grown_kib * 1024);

    (void)state;
    assert_non_null(block);
    memset(block, 1, grown_kib * 1024);
    assert_int_equal(block[grown_kib * 1024 - 1], 1); /* keeps the block */
    uint64_t grown = plat_peak_memory_kib();
    free(block);
    assert_true(before > 0);
    assert_true(grown >= before + grown_kib / 2);
    /* A peak does not go down; the kernel counts pages in small lots. */
    assert_true(plat_peak_memory_kib() + 1024 >= grown);
}

static void memory_now_grows_with_what_is_touched(void **state)
{
    const size_t grown_kib = 16 * 1024;
    uint64_t before = plat_memory_kib();
    char *block = malloc(grown_kib * 1024);

    (void)state;
    assert_non_null(block);
    memset(block, 1, grown_kib * 1024);
    assert_int_equal(block[grown_kib * 1024 - 1], 1); /* keeps the block */
    uint64_t grown = plat_memory_kib();
    assert_true(before > 0 && grown >= before + grown_kib / 2);
    assert_true(grown <= plat_peak_memory_kib() + 1024);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_wins),
        cmocka_unit_test(a_system_failure_keeps_errno_and_its_words),
        cmocka_unit_test(nobody_has_to_listen_to_a_failure),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(an_arena_gives_aligned_zeroed_memory_until_it_is_used_up),
        cmocka_unit_test(an_arena_copies_texts),
        cmocka_unit_test(bytes_are_in_the_order_that_is_named),
        cmocka_unit_test(a_buffer_takes_all_or_nothing),
        cmocka_unit_test(the_wall_clock_is_never_below_its_floor),
        cmocka_unit_test(the_systems_clocks_run),
        cmocka_unit_test(what_is_made_is_for_this_user_alone),
        cmocka_unit_test(systemd_hears_each_notification),
        cmocka_unit_test(without_a_notify_socket_nothing_is_said),
        cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_it_asks),
        cmocka_unit_test(peak_memory_counts_what_was_touched),
        cmocka_unit_test(memory_now_grows_with_what_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
