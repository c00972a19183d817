#include "agent/net/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HOST_MAX 64

/* Takes "host:port", "[host]:port" apart; a port is optional in a Host header. */
static bool split(const char *text, char host[HOST_MAX], const char **port)
{
    bool has_brackets = text[0] == '[';
    const char *start = text + has_brackets;
    size_t len = strcspn(start, has_brackets ? "]" : ":");
    if (len == 0 || len >= HOST_MAX || (has_brackets && start[len] != ']'))
        return false;
    const char *rest = start + len + has_brackets;
    memcpy(host, start, len);
    host[len] = '\0';
    *port = rest[0] == ':' ? rest + 1 : NULL;
    return rest[0] == ':' || rest[0] == '\0';
}

static bool parse_port(const char *text, in_port_t *out)
{
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    long port = strtol(text, NULL, 10);
    *out = htons((in_port_t)port);
    return port <= 65535;
}

static bool is_local_v4(const struct in_addr *a)
{
    return ntohl(a->s_addr) >> 24 == 127;
}

gv_status http_address_parse(const char *text, http_address *out, gv_error *err)
{
    char host[HOST_MAX];
    const char *port_text;
    in_port_t port = 0;
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    *out = (http_address){ .len = 0 };
    bool good = split(text, host, &port_text) && parse_port(port_text, &port);
    if (good && strcasecmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    if (good && text[0] != '[' && inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        v4.sin_port = port;
        out->len = sizeof v4;
        out->local = is_local_v4(&v4.sin_addr);
        memcpy(&out->at, &v4, sizeof v4);
    } else if (good && text[0] == '[' && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        v6.sin6_port = port;
        out->len = sizeof v6;
        out->local = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        memcpy(&out->at, &v6, sizeof v6);
    }
    if (out->len > 0)
        return GV_OK;
    return gv_fail(err, GV_INVAL,
                   "'%s' is no address to listen on: write a number and a port, such as "
                   "127.0.0.1:9180 (this machine alone) or [::]:9180 (the whole network)",
                   text);
}

static void explain(const char *text, int os_errno, gv_error *err)
{
    if (os_errno == EADDRINUSE)
        gv_fail_errno(err, os_errno, "cannot listen on %s: another program has this port", text);
    else if (os_errno == EADDRNOTAVAIL)
        gv_fail_errno(err, os_errno, "cannot listen on %s: this machine has no such address", text);
    else if (os_errno == EACCES)
        gv_fail_errno(err, os_errno,
                      "cannot listen on %s: not allowed; ports from 1024 need no permission", text);
    else
        gv_fail_errno(err, os_errno, "cannot listen on %s", text);
}

int http_listen(const char *text, const http_address *address, int backlog, gv_error *err)
{
    const int yes = 1, no = 0;
    int family = address->at.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0) &&
        bind(fd, &address->at.any, address->len) == 0 && listen(fd, backlog) == 0)
        return fd;
    explain(text, errno, err);
    if (fd >= 0)
        close(fd);
    return -1;
}

unsigned http_listen_port(int fd)
{
    http_address bound;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    bound.len = sizeof bound.at;
    if (getsockname(fd, &bound.at.any, &bound.len) != 0)
        return 0;
    memcpy(&v4, &bound.at, sizeof v4);
    memcpy(&v6, &bound.at, sizeof v6);
    return ntohs(bound.at.any.sa_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

bool http_host_is_local(const char *host)
{
    char name[HOST_MAX];
    const char *port_text;
    in_port_t port;
    struct in_addr v4;
    struct in6_addr v6;
    if (!split(host, name, &port_text) || (port_text && !parse_port(port_text, &port)))
        return false;
    if (host[0] == '[')
        return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(name, "localhost") == 0 ||
           (inet_pton(AF_INET, name, &v4) == 1 && is_local_v4(&v4));
}
