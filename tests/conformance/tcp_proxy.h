/* tcp_proxy.h - stands between a test and a server, so that the test can take the server away.
 *
 * One child process passes bytes between its own port on loopback and the server's. Stopping it
 * resets all connections and refuses new ones; starting again takes the same port.
 */
#ifndef GAVEL_TESTS_TCP_PROXY_H
#define GAVEL_TESTS_TCP_PROXY_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    int port; /* ours; 0: chosen at the first start */
    pid_t child;
} tcp_proxy;

/* `server` is host:port, with whatever behind it. False when there is nobody or no port. */
bool tcp_proxy_start(tcp_proxy *p, const char *server);
void tcp_proxy_stop(tcp_proxy *p);

#endif
