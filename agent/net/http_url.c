#include "agent/net/http_url.h"

#include <string.h>
#include <strings.h>

static const char *after_scheme(const char *url)
{
    if (strncasecmp(url, "https://", 8) == 0)
        return url + 8;
    if (strncasecmp(url, "http://", 7) == 0)
        return url + 7;
    return NULL;
}

bool http_url_valid(const char *url)
{
    const char *host = after_scheme(url);
    if (!host || strchr("/?#", *host)) /* strchr finds the final NUL, too */
        return false;
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return false;
    return true;
}

static size_t put(char *out, size_t cap, size_t at, const char *text, size_t len)
{
    for (size_t i = 0; i < len && at + 1 < cap; i++)
        out[at++] = text[i] > ' ' && text[i] < 0x7f ? text[i] : '?';
    out[at] = '\0';
    return at;
}

void http_url_show(const char *url, char *out, size_t cap)
{
    const char *host = after_scheme(url);
    if (!host)
        host = url;
    size_t authority = strcspn(host, "/?#");
    const char *end = host + authority + strcspn(host + authority, "?#");
    size_t scheme = (size_t)(host - url);
    for (const char *p = host + authority; p > host; p--)
        if (p[-1] == '@') {
            host = p;
            break;
        }
    size_t wanted = scheme + (size_t)(end - host);
    size_t at = put(out, cap, 0, url, scheme);
    at = put(out, cap, at, host, (size_t)(end - host));
    if (at < wanted && cap > 3)
        memcpy(out + cap - 4, "...", 4);
}
