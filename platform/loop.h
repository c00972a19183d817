/* loop.h - waits for descriptors and signals on one thread, and calls back.
 *
 * There are no timers here: each state machine names its next deadline, and the caller passes the
 * nearest one to plat_loop_wait().
 * Threads:  everything on the thread that made the loop.
 * Memory:   a fixed number of watches, PLAT_LOOP_WATCHES.
 */
#ifndef GAVEL_PLATFORM_LOOP_H
#define GAVEL_PLATFORM_LOOP_H

#include "platform/err.h"

#include <stdint.h>

#define PLAT_LOOP_WATCHES 64 /* curl sockets and the resolver's, librdkafka, signals, HTTP server */

enum { PLAT_LOOP_IN = 1, PLAT_LOOP_OUT = 2 };

typedef struct plat_loop plat_loop;
typedef void plat_fd_fn(void *arg, int fd, unsigned events);
typedef void plat_signal_fn(void *arg, int signal_number);

plat_loop *plat_loop_open(gv_error *err);
void plat_loop_close(plat_loop *loop);

/* Watches fd, or changes what is watched for; events 0 forgets it (before the fd is closed). */
gv_status plat_loop_watch(plat_loop *loop, int fd, unsigned events, plat_fd_fn *fn, void *arg,
                          gv_error *err);

/* From now on these signals are delivered here and nowhere else; call before threads start. */
gv_status plat_loop_signals(plat_loop *loop, const int *signals, int count, plat_signal_fn *fn,
                            void *arg, gv_error *err);

/* Waits up to timeout_ms (negative: for ever) for something to do, calls back, returns. A callback
 * may change any watch. */
gv_status plat_loop_wait(plat_loop *loop, int64_t timeout_ms, gv_error *err);

#endif
