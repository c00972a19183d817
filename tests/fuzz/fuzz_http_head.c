/* fuzz_http_head.c - status lines, headers, dates and addresses from outside.
 *
 * Input: lines of a response's head; the whole of it is also taken as a date and as an address.
 * Invariants: never more than HTTP_HEAD_MAX_BYTES are taken; once complete, nothing changes; texts
 * end within their bounds and are printable; a date is between 1970 and 9999; a shown address fits,
 * is printable and holds nothing of what follows '?' or '#'.
 */
#include "agent/net/http_head.h"
#include "agent/net/http_url.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define YEAR_10000_S INT64_C(253402300800)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t cap)
{
    size_t len = strnlen(text, cap);
    CHECK(len < cap);
    for (size_t i = 0; i < len; i++)
        CHECK(text[i] >= ' ' && text[i] <= '~');
}

static void check_head(const http_head *head)
{
    const http_reply *reply = &head->reply;
    CHECK(head->bytes <= HTTP_HEAD_MAX_BYTES);
    CHECK(reply->status == 0 || (reply->status >= 100 && reply->status <= 999));
    CHECK(reply->last_modified >= -1 && reply->last_modified < YEAR_10000_S);
    CHECK(reply->date >= -1 && reply->date < YEAR_10000_S);
    CHECK(reply->retry_after_s >= -1 && head->content_length >= -1);
    CHECK(!head->complete || reply->status >= 200);
    check_text(reply->etag, sizeof reply->etag);
    check_text(head->location, sizeof head->location);
}

static void read_head(const uint8_t *data, size_t size)
{
    http_head head;
    http_head before;
    http_head_start(&head);
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t len = newline ? (size_t)(newline - data) + 1 - at : size - at;
        bool was_complete = head.complete;
        gv_error err = { 0 };
        before = head;
        gv_status status = http_head_line(&head, gv_span_of(data + at, len), &err);
        check_head(&head);
        if (status != GV_OK) {
            CHECK(err.text[0] && (status == GV_FULL || status == GV_CORRUPT));
            return;
        }
        if (was_complete) {
            before.bytes = head.bytes;
            CHECK(memcmp(&before, &head, sizeof head) == 0);
        }
        at += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_head(data, size);
    int64_t date = http_date_parse(gv_span_of(data, size));
    CHECK(date >= -1 && date < YEAR_10000_S);

    char *url = malloc(size + 1);
    CHECK(url);
    if (size)
        memcpy(url, data, size);
    url[size] = '\0';
    char shown[40];
    http_url_show(url, shown, sizeof shown);
    check_text(shown, sizeof shown);
    CHECK(!strchr(shown, '#') || !http_url_valid(url));
    if (http_url_valid(url))
        CHECK(strncmp(shown, url, 4) == 0 && !strchr(shown, '?'));
    free(url);
    return 0;
}
