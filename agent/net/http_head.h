/* http_head.h - a response's status line and headers, line by line.
 *
 * Only what Gavel uses is kept; every value is bounded. Interim answers (1xx) and trailers pass by.
 * Source: RFC 9110 (dates: section 5.6.7), RFC 9112.
 */
#ifndef GAVEL_NET_HTTP_HEAD_H
#define GAVEL_NET_HTTP_HEAD_H

#include "agent/net/http.h"

#define HTTP_HEAD_MAX_BYTES 32768 /* status line and headers together */

typedef enum { HTTP_IDENTITY, HTTP_GZIP, HTTP_OTHER_ENCODING } http_encoding;

typedef struct {
    http_reply reply;
    http_encoding encoding;
    int64_t content_length; /* -1: not said */
    int64_t retry_at;       /* a Retry-After that is a date; -1 none */
    char location[96];      /* of a redirect, cut; "" none */
    size_t bytes;
    bool complete; /* the empty line after the headers of the final answer was there */
} http_head;

void http_head_start(http_head *head);

/* One line with or without its CRLF. GV_FULL: more than HTTP_HEAD_MAX_BYTES; GV_CORRUPT: no HTTP. */
gv_status http_head_line(http_head *head, gv_span line, gv_error *err);

/* Whether a complete head is one that the request can take. GV_INVAL: a redirect, or an encoding that
 * was not asked for; GV_FULL: more bytes announced than allowed. */
gv_status http_head_check(const http_head *head, const http_request *request, gv_error *err);

/* Seconds since 1970 UTC of an HTTP date in any of its three forms; -1 when it is none. */
int64_t http_date_parse(gv_span text);

/* Seconds since 1970 UTC of a civil date and time, in the proleptic Gregorian calendar. */
int64_t http_civil_to_s(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second);

#endif
