#include "tests/conformance/tcp_proxy.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS_MAX 32

static int connect_to(const char *server)
{
    char host[128] = { 0 };
    char port[8] = { 0 };
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
    int fd = -1;

    if (sscanf(server, "%127[^:/]:%7[0-9]", host, port) != 2 ||
        getaddrinfo(host, port, &hints, &list) != 0) {
        return -1;
    }
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

static bool pass(int from, int to)
{
    char buf[65536];
    ssize_t got = read(from, buf, sizeof buf);

    for (ssize_t done = 0; done < got;) {
        ssize_t n = write(to, buf + done, (size_t)(got - done));
        if (n <= 0) {
            return false;
        }
        done += n;
    }
    return got > 0;
}

static void serve(int listener, const char *server)
{
    struct pollfd fds[1 + 2 * PAIRS_MAX] = { { .fd = listener, .events = POLLIN } };
    nfds_t count = 1;

    while (poll(fds, count, -1) > 0) {
        for (nfds_t i = 1; i < count; i++) {
            nfds_t twin = ((i - 1) ^ 1) + 1;
            if (fds[i].fd >= 0 && fds[i].revents && !pass(fds[i].fd, fds[twin].fd)) {
                close(fds[i].fd);
                close(fds[twin].fd);
                fds[i].fd = fds[twin].fd = -1;
            }
        }
        if (fds[0].revents) {
            int in = accept(listener, NULL, NULL);
            int out = in < 0 ? -1 : connect_to(server);
            nfds_t slot = 1;
            while (slot < count && fds[slot].fd >= 0) {
                slot += 2;
            }
            if (out < 0 || slot + 1 >= 1 + 2 * PAIRS_MAX) {
                close(in);
                continue;
            }
            fds[slot] = (struct pollfd){ .fd = in, .events = POLLIN };
            fds[slot + 1] = (struct pollfd){ .fd = out, .events = POLLIN };
            count = slot + 2 > count ? slot + 2 : count;
        }
    }
}

static int listen_on(int *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port) };
    socklen_t len = sizeof address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

bool tcp_proxy_start(tcp_proxy *p, const char *server)
{
    int probe = connect_to(server);
    int listener = probe < 0 ? -1 : listen_on(&p->port);

    if (probe >= 0) {
        close(probe);
    }
    if (listener < 0) {
        return false;
    }
    fflush(NULL);
    p->child = fork();
    if (p->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        serve(listener, server);
        _exit(0);
    }
    close(listener);
    return p->child > 0;
}

void tcp_proxy_stop(tcp_proxy *p)
{
    if (p->child > 0) {
        kill(p->child, SIGKILL);
        waitpid(p->child, NULL, 0);
        p->child = 0;
    }
}
