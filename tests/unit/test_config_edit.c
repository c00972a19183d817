/* Changing single values in the text of a configuration. */
#include "agent/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define CAP 400

static char text[CAP + 1];

static gv_status edit(const char *before, const char *path, const char *value, gv_error *err)
{
    size_t len = strlen(before);
    memset(text, 'x', sizeof text);
    memcpy(text, before, len);
    *err = (gv_error){ 0, "" };
    gv_status status = config_edit(text, &len, CAP, path, value, err);
    assert_true(len <= CAP);
    assert_int_equal(text[CAP], 'x'); /* nothing beyond */
    text[len] = '\0';
    return status;
}

static void a_value_is_changed_and_nothing_else(void **state)
{
    static const struct {
        const char *before, *path, *value, *after;
    } cases[] = {
        { "{\"a\":{\"b\":1}}", "a.b", "22", "{\"a\":{\"b\":22}}" },
        { "{ // \"a\": no\n \"a\" : { /* } */ \"b\" : \"x,}\\\"\" , \"c\": 3 } }\n", "a.b", "\"y\"",
          "{ // \"a\": no\n \"a\" : { /* } */ \"b\" : \"y\" , \"c\": 3 } }\n" },
        { "{\"list\":[1,[2],{\"b\":3}],\"b\":4}", "b", "5",
          "{\"list\":[1,[2],{\"b\":3}],\"b\":5}" },
        { "{\"sources\":[ {\"x\":\"]\"} ] /*z*/}", "sources", "[]", "{\"sources\":[] /*z*/}" },
        { "{\"ab\":{\"c\":1},\"a\":{\"c\":2}}", "a.c", "true",
          "{\"ab\":{\"c\":1},\"a\":{\"c\":true}}" },
    };
    gv_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(edit(cases[i].before, cases[i].path, cases[i].value, &err), GV_OK);
        assert_string_equal(text, cases[i].after);
    }
}

static void what_is_not_there_is_added(void **state)
{
    gv_error err;

    (void)state;
    assert_int_equal(edit("{}", "a.b", "1", &err), GV_OK);
    assert_string_equal(text, "{\n  \"a\": { \"b\": 1 }\n}");
    assert_int_equal(edit("{ \"z\": 0 }", "a", "1", &err), GV_OK);
    assert_string_equal(text, "{\n  \"a\": 1, \"z\": 0 }");
    assert_int_equal(edit("{ \"a\": { // none\n } }", "a.b", "1", &err), GV_OK);
    assert_string_equal(text, "{ \"a\": {\n    \"b\": 1\n // none\n } }");
}

static void after_an_error_nothing_has_changed(void **state)
{
    static const char full[] = "{\"a\":\"01234567890123456789\"}";
    char large[CAP];
    gv_error err;

    (void)state;
    assert_int_equal(edit("{\"a\": }", "a", "1", &err), GV_INVAL);
    assert_string_equal(text, "{\"a\": }");
    assert_non_null(strstr(err.text, "line 1, column 7"));
    assert_int_equal(edit("[1]", "a", "1", &err), GV_INVAL);
    assert_string_equal(text, "[1]");
    assert_int_equal(edit("{\"a\":5}", "a.b", "1", &err), GV_INVAL);
    assert_string_equal(text, "{\"a\":5}");
    assert_string_equal(err.text, "a is no object");
    memset(large, '1', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_int_equal(edit(full, "a", large, &err), GV_FULL);
    assert_string_equal(text, full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_changed_and_nothing_else),
        cmocka_unit_test(what_is_not_there_is_added),
        cmocka_unit_test(after_an_error_nothing_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
