#include "platform/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

static struct {
    gv_log_level level;
    gv_log_format format;
    int fd;
    gv_log_observer *observer;
    void *observer_ctx;
} conf = { .level = GV_LOG_INFO, .format = GV_LOG_LOGFMT, .fd = 2 };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

typedef struct {
    char text[LINE_BYTES];
    size_t len;
} line;

/* What is left, keeping room for the closing quote, brace and newline. */
static size_t room(const line *l)
{
    return l->len < LINE_BYTES - 3 ? LINE_BYTES - 3 - l->len : 0;
}

static void put(line *l, const char *text, size_t len)
{
    if (len > room(l))
        len = room(l);
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* Length of the UTF-8 sequence at p, 0 when it is not one; stops at the final NUL. */
static size_t utf8_len(const unsigned char *p)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] >= 0xF5)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    /* too long a form of a smaller code, a surrogate, beyond U+10FFFF */
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] >= 0x90))
        return 0;
    return len;
}

/* Puts one character of text as it may stand between quotes; how many bytes of it that was. */
static size_t escape(const char *text, char out[8])
{
    unsigned char c = (unsigned char)*text;
    size_t len = utf8_len((const unsigned char *)text);
    if (len == 0)
        snprintf(out, 8, "\xEF\xBF\xBD"); /* U+FFFD */
    else if (c == '"' || c == '\\')
        snprintf(out, 8, "\\%c", c);
    else if (c == '\n')
        snprintf(out, 8, "\\n");
    else if (c < 0x20 || c == 0x7f)
        snprintf(out, 8, "\\u%04x", c);
    else
        snprintf(out, 8, "%.*s", (int)len, text);
    return len ? len : 1;
}

static void put_quoted(line *l, const char *text)
{
    char esc[8];
    put_str(l, "\"");
    for (const char *p = text; *p;) {
        p += escape(p, esc);
        if (strlen(esc) > room(l))
            break; /* never half an escape or character */
        put_str(l, esc);
    }
    l->text[l->len++] = '"'; /* its place was kept */
}

static bool plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == '"' || *text == '=' || *text == '\\' ||
            (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

/* A number as text, "" for a value that is none. */
static void number_text(const gv_kv *kv, char text[24])
{
    text[0] = '\0';
    if (kv->kind == GV_KV_INT)
        snprintf(text, 24, "%lld", (long long)kv->i);
    else if (kv->kind == GV_KV_UINT)
        snprintf(text, 24, "%llu", (unsigned long long)kv->u);
}

static void put_pair(line *l, const gv_kv *kv)
{
    char number[24];
    bool json = conf.format == GV_LOG_JSON;
    number_text(kv, number);
    if (room(l) < strlen(kv->key) + strlen(number) + 8)
        return; /* a pair that has no room is left out; only a text may be cut */
    if (json)
        put_str(l, l->len > 1 ? ",\"" : "\"");
    else if (l->len)
        put_str(l, " ");
    put_str(l, kv->key);
    put_str(l, json ? "\":" : "=");
    if (number[0])
        put_str(l, number);
    else if (!json && plain(kv->str))
        put_str(l, kv->str);
    else
        put_quoted(l, kv->str);
}

static void put_time(line *l)
{
    struct timespec now;
    struct tm utc;
    char day[24], text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03ldZ", day, now.tv_nsec / 1000000);
    put_pair(l, &(gv_kv){ GV_KV_STR, "ts", text, 0, 0 });
}

void gv_log_configure(gv_log_level level, gv_log_format format, int fd)
{
    conf.level = level;
    conf.format = format;
    conf.fd = fd;
}

void gv_log_observe(gv_log_observer *observer, void *ctx)
{
    conf.observer = observer;
    conf.observer_ctx = ctx;
}

static bool is_observed(gv_log_level level)
{
    return conf.observer && level <= GV_LOG_WARN;
}

bool gv_log_enabled(gv_log_level level)
{
    return level <= conf.level || is_observed(level);
}

static void write_line(gv_log_level level, const gv_kv *pairs)
{
    /* sd-daemon(3): syslog priorities of error, warning, info, debug */
    static const char *const priorities[] = { "<3>", "<4>", "<6>", "<7>" };
    bool journal = getenv("JOURNAL_STREAM") != NULL;
    line l = { .len = 0 };
    if (conf.format == GV_LOG_JSON)
        put_str(&l, "{");
    if (!journal)
        put_time(&l);
    put_pair(&l, &(gv_kv){ GV_KV_STR, "level", level_names[level], 0, 0 });
    for (; pairs->kind != GV_KV_END; pairs++)
        put_pair(&l, pairs);
    if (conf.format == GV_LOG_JSON)
        l.text[l.len++] = '}';
    l.text[l.len++] = '\n';
    struct iovec parts[2] = { { NULL, 0 }, { l.text, l.len } };
    if (journal)
        parts[0] =
            (struct iovec){ (void *)(uintptr_t)priorities[level], strlen(priorities[level]) };
    ssize_t ignored = writev(conf.fd, parts, 2); /* a log that cannot be written is lost */
    (void)ignored;
}

void gv_log_write(gv_log_level level, const gv_kv *pairs)
{
    if (is_observed(level))
        conf.observer(conf.observer_ctx, level, pairs);
    if (level <= conf.level)
        write_line(level, pairs);
}

bool gv_log_level_parse(const char *name, gv_log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (gv_log_level)i;
            return true;
        }
    }
    return false;
}
