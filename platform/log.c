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
} conf = { GV_LOG_INFO, GV_LOG_LOGFMT, 2 };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

typedef struct {
    char text[LINE_BYTES];
    size_t len;
} line;

/* Leaves room for the closing quote, brace and newline. */
static void put(line *l, const char *text, size_t len)
{
    size_t room = sizeof l->text - 4 - l->len;
    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_str(line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_quoted(line *l, const char *text)
{
    put(l, "\"", 1);
    for (const char *p = text; *p; p++) {
        char esc[8] = { *p, '\0' };
        if (*p == '"' || *p == '\\')
            snprintf(esc, sizeof esc, "\\%c", *p);
        else if (*p == '\n')
            snprintf(esc, sizeof esc, "\\n");
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            snprintf(esc, sizeof esc, "\\u%04x", (unsigned)(unsigned char)*p);
        if (strlen(esc) > sizeof l->text - 4 - l->len)
            break; /* never half an escape */
        put_str(l, esc);
    }
    /* the reserve always holds the closing quote */
    l->text[l->len++] = '"';
}

static bool plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= 0x20 || *text == '"' || *text == '=' || *text == '\\' ||
            *text == 0x7f)
            return false;
    return true;
}

static void put_value(line *l, const gv_kv *kv)
{
    char number[24];
    switch (kv->kind) {
    case GV_KV_INT:
        snprintf(number, sizeof number, "%lld", (long long)kv->i);
        put_str(l, number);
        break;
    case GV_KV_UINT:
        snprintf(number, sizeof number, "%llu", (unsigned long long)kv->u);
        put_str(l, number);
        break;
    default:
        if (conf.format == GV_LOG_LOGFMT && plain(kv->str))
            put_str(l, kv->str);
        else
            put_quoted(l, kv->str);
    }
}

static void put_pair(line *l, const gv_kv *kv)
{
    if (sizeof l->text - 4 - l->len < strlen(kv->key) + 8)
        return; /* a pair that has no room is left out, not torn */
    if (conf.format == GV_LOG_JSON) {
        put_str(l, l->len > 1 ? ",\"" : "\"");
        put_str(l, kv->key);
        put_str(l, "\":");
    } else {
        if (l->len)
            put_str(l, " ");
        put_str(l, kv->key);
        put_str(l, "=");
    }
    put_value(l, kv);
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

bool gv_log_enabled(gv_log_level level)
{
    return level <= conf.level;
}

void gv_log_write(gv_log_level level, const gv_kv *pairs)
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
