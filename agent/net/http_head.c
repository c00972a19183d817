#include "agent/net/http_head.h"

#include "agent/net/http_url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void http_head_start(http_head *head)
{
    *head = (http_head){ .content_length = -1, .retry_at = -1 };
    head->reply.last_modified = head->reply.date = head->reply.retry_after_s = -1;
}

/* --- dates ------------------------------------------------------------------------------------- */
int64_t http_civil_to_s(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                        unsigned second)
{
    /* Years that begin in March put the leap day last; 400 of them are one whole cycle. */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t cycle = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_cycle = y - cycle * 400;
    int64_t day_of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;
    int64_t days = cycle * 146097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 +
                   day_of_year - 719468;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

int64_t http_date_parse(gv_span text)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char copy[48];
    char month_name[4] = "";
    unsigned day, year, hour, minute, second;
    int used = 0;

    if (text.len >= sizeof copy || memchr(text.data, '\0', text.len))
        return -1;
    if (text.len)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (sscanf(copy, "%*3[A-Za-z], %2u %3[A-Za-z] %4u %2u:%2u:%2u GMT%n", &day, month_name, &year,
               &hour, &minute, &second, &used) == 6 &&
        used) {
        /* Sun, 06 Nov 1994 08:49:37 GMT */
    } else if (sscanf(copy, "%*[A-Za-z], %2u-%3[A-Za-z]-%2u %2u:%2u:%2u GMT%n", &day, month_name,
                      &year, &hour, &minute, &second, &used) == 6 &&
               used) {
        year += year < 70 ? 2000 : 1900; /* Sunday, 06-Nov-94 08:49:37 GMT */
    } else if (sscanf(copy, "%*3[A-Za-z] %3[A-Za-z] %2u %2u:%2u:%2u %4u%n", month_name, &day, &hour,
                      &minute, &second, &year, &used) != 6 ||
               !used) {
        return -1; /* Sun Nov  6 08:49:37 1994 was the last chance */
    }
    const char *at = strlen(month_name) == 3 ? strstr(names, month_name) : NULL;
    if ((size_t)used != text.len || !at || (at - names) % 3 != 0 || day < 1 || day > 31 ||
        year < 1970 || year > 9999 || hour > 23 || minute > 59 || second > 60)
        return -1;
    return http_civil_to_s(year, (unsigned)((at - names) / 3) + 1, day, hour, minute, second);
}

/* --- header lines ------------------------------------------------------------------------------ */
static gv_span trim(gv_span s)
{
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = gv_span_of(s.data + 1, s.len - 1);
    return s;
}

static bool is(gv_span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.data, word, s.len) == 0;
}

/* A whole number up to 10^15; -1 when it is none. */
static int64_t number(gv_span s)
{
    int64_t n = 0;
    if (s.len == 0 || s.len > 15)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return -1;
        n = n * 10 + (s.data[i] - '0');
    }
    return n;
}

/* Copies what is printable; a longer value is cut or, when it must be whole, left out. */
static void copy_text(char *out, size_t cap, gv_span value, bool whole)
{
    out[0] = '\0';
    if (value.len >= cap) {
        if (whole)
            return;
        value.len = cap - 1;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < ' ' || value.data[i] > '~') {
            out[0] = '\0';
            return;
        }
        out[i] = (char)value.data[i];
    }
    out[value.len] = '\0';
}

static gv_status status_line(http_head *head, gv_span line, gv_error *err)
{
    const uint8_t *space = memchr(line.data, ' ', line.len);
    size_t at = space ? (size_t)(space - line.data) + 1 : line.len;
    if (line.len < at + 3 || (line.len > at + 3 && line.data[at + 3] != ' '))
        return gv_fail(err, GV_CORRUPT, "the answer has no HTTP status line");
    int64_t status = number(gv_span_of(line.data + at, 3));
    if (status < 100)
        return gv_fail(err, GV_CORRUPT, "the answer has no HTTP status line");
    size_t bytes = head->bytes;
    http_head_start(head);
    head->bytes = bytes;
    head->reply.status = (int)status;
    return GV_OK;
}

static void header(http_head *head, gv_span name, gv_span value)
{
    http_reply *reply = &head->reply;
    if (is(name, "last-modified")) {
        reply->last_modified = http_date_parse(value);
    } else if (is(name, "date")) {
        reply->date = http_date_parse(value);
    } else if (is(name, "etag")) {
        copy_text(reply->etag, sizeof reply->etag, value, true);
    } else if (is(name, "retry-after")) {
        reply->retry_after_s = number(value);
        head->retry_at = http_date_parse(value);
    } else if (is(name, "content-length")) {
        head->content_length = number(value);
    } else if (is(name, "location")) {
        copy_text(head->location, sizeof head->location, value, false);
    } else if (is(name, "content-encoding")) {
        head->encoding = is(value, "gzip") || is(value, "x-gzip")  ? HTTP_GZIP
                         : is(value, "identity") || value.len == 0 ? HTTP_IDENTITY
                                                                   : HTTP_OTHER_ENCODING;
    }
}

static void end_of_headers(http_head *head)
{
    http_reply *reply = &head->reply;
    if (reply->status < 200)
        return; /* interim: the next status line begins anew */
    /* Relative to the server's own clock, because ours may be wrong. */
    if (reply->retry_after_s < 0 && head->retry_at >= 0 && reply->date >= 0)
        reply->retry_after_s = head->retry_at > reply->date ? head->retry_at - reply->date : 0;
    head->complete = true;
}

gv_status http_head_line(http_head *head, gv_span line, gv_error *err)
{
    if (line.len > HTTP_HEAD_MAX_BYTES - head->bytes)
        return gv_fail(err, GV_FULL, "the answer's headers are larger than %d bytes",
                       HTTP_HEAD_MAX_BYTES);
    head->bytes += line.len;
    if (head->complete)
        return GV_OK; /* a trailer */
    while (line.len && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    if (line.len >= 5 && memcmp(line.data, "HTTP/", 5) == 0)
        return status_line(head, line, err);
    if (head->reply.status == 0)
        return gv_fail(err, GV_CORRUPT, "the answer has no HTTP status line");
    if (line.len == 0) {
        end_of_headers(head);
        return GV_OK;
    }
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (colon) {
        size_t at = (size_t)(colon - line.data);
        header(head, gv_span_of(line.data, at), trim(gv_span_of(colon + 1, line.len - at - 1)));
    }
    return GV_OK;
}

gv_status http_head_check(const http_head *head, const http_request *request, gv_error *err)
{
    int status = head->reply.status;
    if (status >= 300 && status < 400 && head->location[0]) {
        char place[sizeof head->location];
        http_url_show(head->location, place, sizeof place);
        return gv_fail(err, GV_INVAL,
                       "the server redirects (status %d) to %s, and no redirect is followed: "
                       "configure the address that answers by itself",
                       status, place);
    }
    if (head->encoding == HTTP_OTHER_ENCODING ||
        (head->encoding == HTTP_GZIP && !request->accept_gzip))
        return gv_fail(err, GV_INVAL, "the answer comes in an encoding that was not asked for");
    if (head->encoding == HTTP_IDENTITY && head->content_length >= 0 && status != 304 &&
        (uint64_t)head->content_length > request->max_body_bytes)
        return gv_fail(err, GV_FULL, "the body has %" PRId64 " bytes, and %" PRIu64 " are allowed",
                       head->content_length, request->max_body_bytes);
    return GV_OK;
}
