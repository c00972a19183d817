/* err.h - the few results a function may return, and the message that goes with a failure.
 *
 * A status says what the caller can do next; the text says what happened, where, and what a person
 * can do about it. The first failure wins: a gv_error that holds a message keeps it.
 * Threads: none; a gv_error belongs to its owner.
 */
#ifndef GAVEL_PLATFORM_ERR_H
#define GAVEL_PLATFORM_ERR_H

#include <stddef.h>

typedef enum {
    GV_OK = 0,
    GV_AGAIN,   /* nothing happened yet: call again when told */
    GV_FULL,    /* a budget was reached: the caller decides what gives way */
    GV_CORRUPT, /* stored or received bytes are damaged: set aside, never deleted */
    GV_IO,      /* the system refused; errno is in gv_error.os_errno */
    GV_INVAL    /* input broke a documented rule */
} gv_status;

typedef struct {
    int os_errno;   /* 0 when no system call was involved */
    char text[320]; /* one sentence, without a final newline; "" when nothing failed */
} gv_error;

#if defined(__GNUC__)
#define GV_PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))
#else
#define GV_PRINTF(fmt_index, first)
#endif

/* Stores the message unless one is there already, and returns `status`. `err` may be NULL. */
gv_status gv_fail(gv_error *err, gv_status status, const char *fmt, ...) GV_PRINTF(3, 4);

/* The same, with ": <strerror>" appended and errno kept. */
gv_status gv_fail_errno(gv_error *err, int os_errno, const char *fmt, ...) GV_PRINTF(3, 4);

const char *gv_status_name(gv_status status);

#endif
