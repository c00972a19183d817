#include "platform/loop.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef struct {
    int fd; /* -1: free */
    plat_fd_fn *fn;
    void *arg;
} watch;

struct plat_loop {
    int epoll_fd;
    int signal_fd; /* -1: none */
    plat_signal_fn *on_signal;
    void *signal_arg;
    watch watches[PLAT_LOOP_WATCHES];
};

static watch *find(plat_loop *loop, int fd)
{
    for (int i = 0; i < PLAT_LOOP_WATCHES; i++)
        if (loop->watches[i].fd == fd)
            return &loop->watches[i];
    return NULL;
}

plat_loop *plat_loop_open(gv_error *err)
{
    plat_loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        gv_fail(err, GV_FULL, "no memory for the event loop");
        return NULL;
    }
    loop->signal_fd = -1;
    for (int i = 0; i < PLAT_LOOP_WATCHES; i++)
        loop->watches[i].fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        gv_fail_errno(err, errno, "cannot make an epoll instance");
        free(loop);
        return NULL;
    }
    return loop;
}

void plat_loop_close(plat_loop *loop)
{
    if (!loop)
        return;
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    close(loop->epoll_fd);
    free(loop);
}

gv_status plat_loop_watch(plat_loop *loop, int fd, unsigned events, plat_fd_fn *fn, void *arg,
                          gv_error *err)
{
    watch *w = find(loop, fd);
    if (events == 0) {
        if (w) {
            epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* the fd may be closed already */
            w->fd = -1;
        }
        return GV_OK;
    }
    int op = w ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (!w && !(w = find(loop, -1)))
        return gv_fail(err, GV_FULL, "more than %d descriptors to watch", PLAT_LOOP_WATCHES);
    struct epoll_event ev = { .data.fd = fd };
    if (events & PLAT_LOOP_IN)
        ev.events |= EPOLLIN;
    if (events & PLAT_LOOP_OUT)
        ev.events |= EPOLLOUT;
    int r = epoll_ctl(loop->epoll_fd, op, fd, &ev);
    if (r != 0 && op == EPOLL_CTL_MOD && errno == ENOENT) /* closed and opened anew under us */
        r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
    if (r != 0)
        return gv_fail_errno(err, errno, "cannot watch descriptor %d", fd);
    *w = (watch){ fd, fn, arg };
    return GV_OK;
}

static void read_signals(void *arg, int fd, unsigned events)
{
    plat_loop *loop = arg;
    (void)events;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        loop->on_signal(loop->signal_arg, (int)info.ssi_signo);
}

gv_status plat_loop_signals(plat_loop *loop, const int *signals, int count, plat_signal_fn *fn,
                            void *arg, gv_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++)
        sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return gv_fail_errno(err, errno, "cannot block signals");
    int fd = signalfd(loop->signal_fd, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return gv_fail_errno(err, errno, "cannot make a signalfd");
    loop->signal_fd = fd;
    loop->on_signal = fn;
    loop->signal_arg = arg;
    return plat_loop_watch(loop, fd, PLAT_LOOP_IN, read_signals, loop, err);
}

gv_status plat_loop_wait(plat_loop *loop, int64_t timeout_ms, gv_error *err)
{
    struct epoll_event ready[16];
    int timeout = timeout_ms < 0 ? -1 : timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms;
    int n = epoll_wait(loop->epoll_fd, ready, 16, timeout);
    if (n < 0 && errno != EINTR)
        return gv_fail_errno(err, errno, "cannot wait for events");
    for (int i = 0; i < n; i++) {
        watch *w = find(loop, ready[i].data.fd); /* an earlier callback may have dropped it */
        if (!w)
            continue;
        unsigned events = 0;
        if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            events |= PLAT_LOOP_IN;
        if (ready[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            events |= PLAT_LOOP_OUT;
        w->fn(w->arg, w->fd, events);
    }
    return GV_OK;
}
