/* log_double.h - catches what is logged, so that a test can count lines and look for words. */
#ifndef GAVEL_TESTS_LOG_DOUBLE_H
#define GAVEL_TESTS_LOG_DOUBLE_H

#include "platform/log.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    int fd;
    char text[64 * 1024];
} log_double;

static inline void log_double_open(log_double *l)
{
    l->fd = memfd_create("log", 0);
    gv_log_configure(GV_LOG_DEBUG, GV_LOG_LOGFMT, l->fd);
}

/* How often `words` were logged so far (as far as the first 64 KiB go). */
static inline unsigned log_double_count(log_double *l, const char *words)
{
    unsigned n = 0;
    ssize_t got = pread(l->fd, l->text, sizeof l->text - 1, 0);
    l->text[got > 0 ? got : 0] = '\0';
    for (const char *p = l->text; (p = strstr(p, words)); p += strlen(words))
        n++;
    return n;
}

static inline void log_double_close(log_double *l)
{
    gv_log_configure(GV_LOG_INFO, GV_LOG_LOGFMT, 2);
    close(l->fd);
}

#endif
