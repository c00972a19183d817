/* Syntax: what is refused, where the message points, and that comments change nothing else. */
#include "agent/config/internal.h"
#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void wrong_syntax_is_refused_with_line_and_column(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        { "", "gavel.json:1:1: the file is empty: it needs at least { }" },
        { " // nothing\n", "gavel.json:2:1: the file is empty: it needs at least { }" },
        { "{", "gavel.json:1:2: the file ends too early: expected a key in double quotes" },
        { "{\n  \"a\" 1}", "gavel.json:2:7: expected a colon after the key, found 1" },
        { "{\"a\": }", "gavel.json:1:7: expected a value (a text in double quotes, a number, true, "
                       "false, [ or {), found }" },
        { "{\"log\": {},\n}", "gavel.json:1:11: nothing follows this comma: take it away" },
        { "{\"a\": [1, 2, ]}", "gavel.json:1:12: nothing follows this comma: take it away" },
        { "{\"a\": [1 2]}", "gavel.json:1:10: expected a comma or ] after the value, found 2" },
        { "{\"a\": 1 \"b\": 2}",
          "gavel.json:1:9: expected a comma or } after the value, found \"" },
        { "{a: 1}", "gavel.json:1:2: expected a key in double quotes, found a" },
        { "{'a': 1}", "gavel.json:1:2: expected a key in double quotes, found ': texts are written "
                      "with double quotes" },
        { "{\"a\": \"x\n\"}", "gavel.json:1:7: this text is not closed: \" is missing at its end" },
        { "{\"a\": \"x\ty\"}",
          "gavel.json:1:9: a control character (or tab) in a text: write it as an escape" },
        { "{\"a\": \"C:\\dir\"}",
          "gavel.json:1:10: unknown escape in a text: a backslash is written as \\\\" },
        { "{\"a\": \"\\u00g0\"}", "gavel.json:1:8: \\u needs four hexadecimal digits" },
        { "{\"a\": \"\\u0000\"}", "gavel.json:1:8: a text cannot hold the character \\u0000" },
        { "{\"a\": \"\\ud83d\\ude00\"}",
          "gavel.json:1:8: write the character itself instead of a surrogate pair" },
        { "{\"a\": \"\xff\"}",
          "gavel.json:1:8: the file is not UTF-8 here: save it with that encoding" },
        { "{\"a\": \"\xed\xa0\x80\"}",
          "gavel.json:1:8: the file is not UTF-8 here: save it with that encoding" },
        { "{\"a\": \"\xe0\x80\xaf\"}",
          "gavel.json:1:8: the file is not UTF-8 here: save it with that encoding" },
        { "{\"\xc3\xa4\": 01}", "gavel.json:1:7: a number does not start with 0" },
        { "{\"a\": +1}",
          "gavel.json:1:7: expected a value (a text in double quotes, a number, true, "
          "false, [ or {), found +" },
        { "{\"a\": 1.}", "gavel.json:1:9: expected a digit, found }" },
        { "{\"a\": -}", "gavel.json:1:8: expected a digit, found }" },
        { "{\"a\": 1e}", "gavel.json:1:9: expected a digit, found }" },
        { "{\"a\": nul}",
          "gavel.json:1:7: expected a value (a text in double quotes, a number, true, "
          "false, [ or {), found n" },
        { "{} {}", "gavel.json:1:4: something follows the end of the configuration" },
        { "{ /* open\n\n }", "gavel.json:1:3: this comment is never closed: */ is missing" },
        { "{ / comment\n }",
          "gavel.json:1:3: a comment starts with // or /*, not with a single /" },
        { "# comment\n{}", "gavel.json:1:1: a comment starts with // or /*, not with #" },
        { "\x01{}",
          "gavel.json:1:1: expected a value (a text in double quotes, a number, true, false, "
          "[ or {), found a character that does not belong here" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_problem(CONFIG_SINK, cases[i].text, cases[i].problem);
}

static void a_nul_byte_is_refused(void **state)
{
    config_case *c = config_read_span(CONFIG_SINK, "{ \0}", 4);

    (void)state;
    assert_string_equal(c->said, "gavel.json:1:3: a NUL byte: this is not a text file\n");
    config_done(c);
}

static void comments_and_a_byte_order_mark_are_space(void **state)
{
    config_case *c =
        config_read(CONFIG_SINK, "\xEF\xBB\xBF// first\r\n{ /* a \" \xff { */ \"log\": // level\n"
                                 " {\"level\" /**/ : /* * / */ \"debug\"} }// end");
    (void)state;
    assert_string_equal(c->said, "");
    assert_int_equal(c->config.log_level, 3);
    config_done(c);
}

static void a_comment_within_a_text_is_text(void **state)
{
    config_case *c = config_read(CONFIG_SINK, "{\"sink\": {\"group\": \"a // b /* c */\"}}");

    (void)state;
    assert_string_equal(c->config.sink_group, "a // b /* c */");
    config_done(c);
}

static void escapes_are_read(void **state)
{
    config_case *c = config_read(
        CONFIG_SINK, "{\"sink\": {\"group\": \"\\\"\\\\\\/\\u00e4\\u20AC\xf0\x9f\x98\x80\"}}");

    (void)state;
    assert_string_equal(c->config.sink_group, "\"\\/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    config_done(c);
}

static void a_deep_file_is_refused(void **state)
{
    char text[64] = "{\"a\": ";

    (void)state;
    memset(text + 6, '[', 40);
    expect_problem(CONFIG_SINK, text, "gavel.json:1:22: nested more than 16 levels deep");
}

static void a_large_file_is_refused(void **state)
{
    size_t len = CONFIG_FILE_MAX_BYTES + 1;
    char *text = malloc(len);
    config_case *c;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', len);
    memcpy(text, "{}", 2);
    c = config_read_span(CONFIG_SINK, text, len);
    assert_string_equal(c->said, "gavel.json: larger than 256 KiB: this is no configuration\n");
    config_done(c);
    c = config_read_span(CONFIG_SINK, text, len - 1);
    assert_string_equal(c->said, "");
    config_done(c);
    free(text);
}

static void a_file_of_very_many_values_is_refused(void **state)
{
    size_t len = 2 * 8192 + 1;
    char *text = malloc(len);
    config_case *c;

    (void)state;
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 1; i < len; i++)
        text[i] = i % 2 ? '1' : ',';
    c = config_read_span(CONFIG_SINK, text, len);
    assert_non_null(strstr(c->said, ": more than 8192 values: this is no configuration\n"));
    config_done(c);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_syntax_is_refused_with_line_and_column),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(comments_and_a_byte_order_mark_are_space),
        cmocka_unit_test(a_comment_within_a_text_is_text),
        cmocka_unit_test(escapes_are_read),
        cmocka_unit_test(a_deep_file_is_refused),
        cmocka_unit_test(a_large_file_is_refused),
        cmocka_unit_test(a_file_of_very_many_values_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
