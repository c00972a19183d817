/* log.h - one line for each event, as logfmt or JSON, to one descriptor.
 *
 * What to log: states and counts; never secrets or payloads.
 * Memory:      each line is built on the stack and cut at 1 KiB; nothing is allocated.
 * Threads:     a line is one write(2) and so is not torn; configure before threads start. The observer
 *              is called on the thread that logs.
 *
 *     GV_LOG(GV_LOG_INFO, gv_kmsg("snapshot forwarded"), gv_kstr("snapshot", id), gv_kuint("records", n));
 */
#ifndef GAVEL_PLATFORM_LOG_H
#define GAVEL_PLATFORM_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { GV_LOG_ERROR, GV_LOG_WARN, GV_LOG_INFO, GV_LOG_DEBUG } gv_log_level;
typedef enum { GV_LOG_LOGFMT, GV_LOG_JSON } gv_log_format;

typedef enum { GV_KV_END, GV_KV_STR, GV_KV_INT, GV_KV_UINT } gv_kv_kind;

typedef struct {
    gv_kv_kind kind;
    const char *key;
    const char *str;
    int64_t i;
    uint64_t u;
} gv_kv;

static inline gv_kv gv_kstr(const char *key, const char *value)
{
    return (gv_kv){ GV_KV_STR, key, value ? value : "", 0, 0 };
}
static inline gv_kv gv_kmsg(const char *text)
{
    return gv_kstr("msg", text);
}
static inline gv_kv gv_kint(const char *key, int64_t value)
{
    return (gv_kv){ GV_KV_INT, key, 0, value, 0 };
}
static inline gv_kv gv_kuint(const char *key, uint64_t value)
{
    return (gv_kv){ GV_KV_UINT, key, 0, 0, value };
}

/* Lines above `level` are dropped. Default: info, logfmt, descriptor 2. Under systemd
 * (JOURNAL_STREAM set) the time stamp is left out and a <priority> prefix is written. */
void gv_log_configure(gv_log_level level, gv_log_format format, int fd);
bool gv_log_enabled(gv_log_level level);
void gv_log_write(gv_log_level level, const gv_kv *pairs);
bool gv_log_level_parse(const char *name, gv_log_level *level);

/* Is told of warnings and errors, whatever the level of the log, before they are written. It must not
 * log. NULL: nobody. The pairs are its to look at until it returns. */
typedef void gv_log_observer(void *ctx, gv_log_level level, const gv_kv *pairs);
void gv_log_observe(gv_log_observer *observer, void *ctx);

#define GV_LOG(level, ...)                                                                         \
    do {                                                                                           \
        if (gv_log_enabled(level))                                                                 \
            gv_log_write(level, (const gv_kv[]){ __VA_ARGS__, { GV_KV_END, 0, 0, 0, 0 } });        \
    } while (0)

#endif
