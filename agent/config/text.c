/* text.c - JSON with comments: a strict check that says line and column, and blanks the comments.
 *
 * cJSON makes the tree afterwards; it is lenient (control characters, NULs in strings, "01") and
 * says of an error only where it stopped, so what it gets to see is checked here first.
 */
#include "agent/config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX  16
#define VALUES_MAX 8192 /* bounds the memory of the tree and the time for it */

typedef struct {
    char *text;
    size_t len;
    size_t pos;
    size_t values;
    config_syntax *problem;
} scanner;

static bool scan_value(scanner *s, int depth);

static bool fault(scanner *s, size_t at, const char *fmt, ...) GV_PRINTF(3, 4);

static bool fault(scanner *s, size_t at, const char *fmt, ...)
{
    va_list args;
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)s->text[i] & 0xC0) != 0x80) {
            column++; /* characters, not bytes: this is what an editor shows */
        }
    }
    s->problem->line = line;
    s->problem->column = column;
    va_start(args, fmt);
    vsnprintf(s->problem->text, sizeof s->problem->text, fmt, args);
    va_end(args);
    return false;
}

/* The byte at pos; 0 at the end (a real NUL is refused before anything is scanned). */
static char at(const scanner *s)
{
    return s->pos < s->len ? s->text[s->pos] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool skip_comment(scanner *s)
{
    size_t start = s->pos, end;

    if (s->pos + 1 < s->len && s->text[s->pos + 1] == '/') {
        for (end = s->pos; end < s->len && s->text[end] != '\n';)
            end++;
    } else if (s->pos + 1 < s->len && s->text[s->pos + 1] == '*') {
        for (end = s->pos + 2;; end++) {
            if (end + 1 >= s->len)
                return fault(s, start, "this comment is never closed: */ is missing");
            if (s->text[end] == '*' && s->text[end + 1] == '/')
                break;
        }
        end += 2;
    } else {
        return fault(s, start, "a comment starts with // or /*, not with a single /");
    }
    for (size_t i = start; i < end; i++) {
        /* Line ends stay where they are, for the line number. */
        if (s->text[i] != '\n' && s->text[i] != '\r')
            s->text[i] = ' ';
    }
    s->pos = end;
    return true;
}

static bool skip_space(scanner *s)
{
    for (;;) {
        char c = at(s);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            s->pos++;
        } else if (c == '/') {
            if (!skip_comment(s))
                return false;
        } else if (c == '#') {
            return fault(s, s->pos, "a comment starts with // or /*, not with #");
        } else {
            return true;
        }
    }
}

/* Says what is there instead of what should be. */
static bool unexpected(scanner *s, const char *expected)
{
    char c = at(s);

    if (s->pos >= s->len)
        return fault(s, s->pos, "the file ends too early: expected %s", expected);
    if (c == '\'')
        return fault(s, s->pos, "expected %s, found ': texts are written with double quotes",
                     expected);
    if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7F)
        return fault(s, s->pos, "expected %s, found a character that does not belong here",
                     expected);
    return fault(s, s->pos, "expected %s, found %c", expected, c);
}

static bool scan_escape(scanner *s)
{
    static const char simple[] = "\"\\/bfnrt";
    size_t start = s->pos++;
    char c = at(s);
    unsigned unit = 0;

    if (c != '\0' && strchr(simple, c)) {
        s->pos++;
        return true;
    }
    if (c != 'u')
        return fault(s, start, "unknown escape in a text: a backslash is written as \\\\");
    s->pos++;
    for (int i = 0; i < 4; i++, s->pos++) {
        c = at(s);
        if (is_digit(c))
            unit = unit << 4 | (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            unit = unit << 4 | (unsigned)((c | 0x20) - 'a' + 10);
        else
            return fault(s, start, "\\u needs four hexadecimal digits");
    }
    if (unit == 0)
        return fault(s, start, "a text cannot hold the character \\u0000");
    if (unit >= 0xD800 && unit < 0xE000)
        return fault(s, start, "write the character itself instead of a surrogate pair");
    return true;
}

/* Length of the UTF-8 sequence at pos, 0 when it is not one. */
static size_t utf8_len(const scanner *s)
{
    const unsigned char *p = (const unsigned char *)s->text + s->pos;
    size_t left = s->len - s->pos, len;
    uint32_t code;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] < 0xE0)
        len = 2;
    else if (p[0] >= 0xE0 && p[0] < 0xF0)
        len = 3;
    else if (p[0] >= 0xF0 && p[0] < 0xF5)
        len = 4;
    else
        return 0;
    if (len > left)
        return 0;
    code = p[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    if ((len == 3 && code < 0x800) || (len == 4 && (code < 0x10000 || code > 0x10FFFF)) ||
        (code >= 0xD800 && code < 0xE000))
        return 0;
    return len;
}

static bool scan_string(scanner *s, const char *expected)
{
    size_t start = s->pos;

    if (at(s) != '"')
        return unexpected(s, expected);
    s->pos++;
    for (;;) {
        char c = at(s);
        if (s->pos >= s->len || c == '\n' || c == '\r')
            return fault(s, start, "this text is not closed: \" is missing at its end");
        if (c == '"') {
            s->pos++;
            return true;
        }
        if (c == '\\') {
            if (!scan_escape(s))
                return false;
        } else if ((unsigned char)c < 0x20) {
            return fault(s, s->pos,
                         "a control character (or tab) in a text: write it as an escape");
        } else {
            size_t len = utf8_len(s);
            if (len == 0)
                return fault(s, s->pos, "the file is not UTF-8 here: save it with that encoding");
            s->pos += len;
        }
    }
}

static bool scan_digits(scanner *s)
{
    if (!is_digit(at(s)))
        return unexpected(s, "a digit");
    while (is_digit(at(s)))
        s->pos++;
    return true;
}

static bool scan_number(scanner *s)
{
    size_t start = s->pos;

    if (at(s) == '-')
        s->pos++;
    if (at(s) == '0' && s->pos + 1 < s->len && is_digit(s->text[s->pos + 1]))
        return fault(s, start, "a number does not start with 0");
    if (!scan_digits(s))
        return false;
    if (at(s) == '.') {
        s->pos++;
        if (!scan_digits(s))
            return false;
    }
    if (at(s) == 'e' || at(s) == 'E') {
        s->pos++;
        if (at(s) == '+' || at(s) == '-')
            s->pos++;
        if (!scan_digits(s))
            return false;
    }
    return true;
}

static bool scan_word(scanner *s)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t len = strlen(words[i]);
        if (s->len - s->pos >= len && memcmp(s->text + s->pos, words[i], len) == 0) {
            s->pos += len;
            return true;
        }
    }
    return unexpected(s, "a value (a text in double quotes, a number, true, false, [ or {)");
}

/* The members of a list or an object, up to and with the closing bracket. */
static bool scan_members(scanner *s, int depth, char close)
{
    bool object = close == '}';

    s->pos++;
    if (!skip_space(s))
        return false;
    if (at(s) == close) {
        s->pos++;
        return true;
    }
    for (;;) {
        if (object) {
            if (!scan_string(s, "a key in double quotes") || !skip_space(s))
                return false;
            if (at(s) != ':')
                return unexpected(s, "a colon after the key");
            s->pos++;
        }
        if (!scan_value(s, depth + 1) || !skip_space(s))
            return false;
        if (at(s) == close) {
            s->pos++;
            return true;
        }
        if (at(s) != ',')
            return unexpected(s, object ? "a comma or } after the value"
                                        : "a comma or ] after the value");
        size_t comma = s->pos++;
        if (!skip_space(s))
            return false;
        if (at(s) == '}' || at(s) == ']')
            return fault(s, comma, "nothing follows this comma: take it away");
    }
}

static bool scan_value(scanner *s, int depth)
{
    char c;

    if (!skip_space(s))
        return false;
    c = at(s);
    if (++s->values > VALUES_MAX)
        return fault(s, s->pos, "more than %d values: this is no configuration", VALUES_MAX);
    if (c == '{' || c == '[') {
        if (depth >= DEPTH_MAX)
            return fault(s, s->pos, "nested more than %d levels deep", DEPTH_MAX);
        return scan_members(s, depth, c == '{' ? '}' : ']');
    }
    if (c == '"')
        return scan_string(s, "a text");
    if (c == '-' || is_digit(c))
        return scan_number(s);
    return scan_word(s);
}

bool config_text_clean(char *text, size_t len, config_syntax *problem)
{
    scanner s = { text, len, 0, 0, problem };
    const char *nul = len ? memchr(text, '\0', len) : NULL;

    if (nul)
        return fault(&s, (size_t)(nul - text), "a NUL byte: this is not a text file");
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        memcpy(text, "   ", 3); /* the mark some editors put in front of UTF-8 */
    if (!skip_space(&s))
        return false;
    if (s.pos >= len)
        return fault(&s, s.pos, "the file is empty: it needs at least { }");
    if (!scan_value(&s, 0) || !skip_space(&s))
        return false;
    if (s.pos < len)
        return fault(&s, s.pos, "something follows the end of the configuration");
    return true;
}
