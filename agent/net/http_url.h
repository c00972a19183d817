/* http_url.h - what may be shown of a URL.
 *
 * Units: bytes. The result always is NUL-terminated printable ASCII.
 */
#ifndef GAVEL_NET_HTTP_URL_H
#define GAVEL_NET_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_URL_SHOWN_MAX 120

/* Scheme, host, port and path; user information, query and fragment are left out, because secrets
 * hide there. A longer one is cut and ends in "...". */
void http_url_show(const char *url, char *out, size_t cap);

/* Whether the scheme is http or https, and there is a host. */
bool http_url_valid(const char *url);

#endif
