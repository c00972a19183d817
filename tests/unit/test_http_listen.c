/* Addresses to listen on, and who may be asked for under which name. */
#include "agent/net/http_listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void every_form_of_an_address_is_understood(void **state)
{
    static const struct {
        const char *text;
        int family;
        bool local;
    } good[] = { { "127.0.0.1:9180", AF_INET, true },  { "127.8.0.1:0", AF_INET, true },
                 { "localhost:9180", AF_INET, true },  { "LocalHost:1", AF_INET, true },
                 { "0.0.0.0:65535", AF_INET, false },  { "192.168.1.5:80", AF_INET, false },
                 { "[::1]:9180", AF_INET6, true },     { "[::]:9180", AF_INET6, false },
                 { "[fd00::5]:9180", AF_INET6, false } };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        http_address a;
        assert_int_equal(http_address_parse(good[i].text, &a, NULL), GV_OK);
        assert_int_equal(a.at.any.sa_family, good[i].family);
        assert_int_equal(a.local, good[i].local);
    }
}

static void what_is_no_address_is_refused_with_an_example(void **state)
{
    static const char *const bad[] = { "",
                                       "9180",
                                       ":9180",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "::1:9180",
                                       "[::1]9180",
                                       "[::1:9180",
                                       "[]:1",
                                       "attic:9180",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:-1",
                                       "127.0.0.1:9180x",
                                       "127.0.0.1:000001",
                                       "[127.0.0.1]:9180",
                                       "127.0.0.1: 9180" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        http_address a;
        gv_error err = { 0, "" };
        if (http_address_parse(bad[i], &a, &err) != GV_INVAL)
            fail_msg("'%s' was taken", bad[i]);
        assert_non_null(strstr(err.text, "127.0.0.1:9180"));
    }
}

static void only_names_of_this_machine_are_local(void **state)
{
    static const char *const local[] = { "localhost",      "localhost:9180", "LOCALHOST:9180",
                                         "127.0.0.1:9180", "127.0.0.1",      "127.1.2.3",
                                         "[::1]",          "[::1]:9180" };
    static const char *const foreign[] = { "",
                                           "evil.example",
                                           "evil.example:9180",
                                           "localhost.evil.example",
                                           "127.0.0.1.evil.example:9180",
                                           "[::2]:9180",
                                           "[127.0.0.1]",
                                           "192.168.1.5",
                                           "localhost:port",
                                           "localhost:9180:80",
                                           "localhost@evil.example",
                                           "[::1",
                                           "2130706433" };
    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (!http_host_is_local(local[i]))
            fail_msg("'%s' is local", local[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (http_host_is_local(foreign[i]))
            fail_msg("'%s' is not local", foreign[i]);
}

static int listen_on(const char *text, gv_error *err)
{
    http_address a;
    assert_int_equal(http_address_parse(text, &a, NULL), GV_OK);
    return http_listen(text, &a, 4, err);
}

static void a_port_in_use_is_said_to_be_so_and_can_be_had_when_it_is_free(void **state)
{
    gv_error err = { 0, "" };
    char text[32];
    (void)state;
    int first = listen_on("127.0.0.1:0", &err);
    assert_true(first >= 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", http_listen_port(first));
    assert_int_equal(listen_on(text, &err), -1);
    assert_int_equal(err.os_errno, EADDRINUSE);
    assert_non_null(strstr(err.text, "another program has this port"));
    close(first);
    first = listen_on(text, &err);
    assert_true(first >= 0);
    close(first);
}

static void an_address_of_another_machine_is_said_to_be_so(void **state)
{
    gv_error err = { 0, "" };
    (void)state;
    assert_int_equal(listen_on("192.0.2.1:0", &err), -1);
    assert_non_null(strstr(err.text, "this machine has no such address"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_an_address_is_understood),
        cmocka_unit_test(what_is_no_address_is_refused_with_an_example),
        cmocka_unit_test(only_names_of_this_machine_are_local),
        cmocka_unit_test(a_port_in_use_is_said_to_be_so_and_can_be_had_when_it_is_free),
        cmocka_unit_test(an_address_of_another_machine_is_said_to_be_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
