#include "platform/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = { "ok", "again", "full", "corrupt", "io", "invalid" };

gv_status gv_fail(gv_error *err, gv_status status, const char *fmt, ...)
{
    if (err && !err->text[0]) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
    }
    return status;
}

gv_status gv_fail_errno(gv_error *err, int os_errno, const char *fmt, ...)
{
    if (err && !err->text[0]) {
        va_list args;
        va_start(args, fmt);
        int len = vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        if (len >= 0 && (size_t)len < sizeof err->text)
            snprintf(err->text + len, sizeof err->text - (size_t)len, ": %s", strerror(os_errno));
        err->os_errno = os_errno;
    }
    return GV_IO;
}

const char *gv_status_name(gv_status status)
{
    return (size_t)status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}
