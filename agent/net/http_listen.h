/* http_listen.h - from the text of an address to a socket that listens there.
 *
 * Addresses are numbers, as nothing here may wait for a resolver; "localhost" is 127.0.0.1.
 */
#ifndef GAVEL_NET_HTTP_LISTEN_H
#define GAVEL_NET_HTTP_LISTEN_H

#include "platform/err.h"

#include <stdbool.h>
#include <sys/socket.h>

typedef struct {
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
    } at;
    socklen_t len;
    bool local; /* only this machine can reach it */
} http_address;

/* GV_INVAL: no such form. */
gv_status http_address_parse(const char *text, http_address *out, gv_error *err);

/* Bound and listening, not blocking; at an address that was in use a moment ago, too. -1 with words. */
int http_listen(const char *text, const http_address *address, int backlog, gv_error *err);

/* The port that it was given. */
unsigned http_listen_port(int fd);

/* Whether the value of a Host header names this machine itself: no other name can lead here but one
 * that somebody else has pointed at it. */
bool http_host_is_local(const char *host);

#endif
