#include "agent/source/internal.h"

#include <stdio.h>

http_request request_of(const source *s, const char *url, const char **headers)
{
    headers[0] = s->token.header;
    return (http_request){
        .method = "GET",
        .url = url,
        .headers = headers,
        .header_count = 1,
        .ca_file = s->config.ca_file,
        .accept_gzip = true,
        .connect_timeout_ms = s->config.connect_timeout_ms,
        .stall_timeout_ms = s->config.stall_timeout_ms,
    };
}

bool request_retry_token(source *s, uint64_t token_sent, bool *retried)
{
    if (*retried)
        return false;
    *retried = true;
    if (token_sent == s->token.fetched) /* else it was an older one that was refused */
        token_drop(&s->token);
    return true;
}

void request_refused(source *s, const http_reply *reply, char *text, size_t cap)
{
    static const struct {
        int status;
        const char *means;
    } known[] = {
        { 401, "the API refused a fresh token: check the client's permissions" },
        { 403, "the API forbids it: check api.client_id" },
        { 404, "the API knows no such realm or namespace, or is under maintenance" },
        { 429, "the API asks for fewer requests" },
    };
    const char *means = reply->status >= 500 ? "the API is in trouble" : "unexpected answer";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == reply->status)
            means = known[i].means;
    snprintf(text, cap, "HTTP %d: %s", reply->status, means);
    if (reply->status == 429) {
        uint64_t wait_ms = schedule_asked_ms(reply);
        rate_block(&s->rate, plat_mono_ms(s->clock), wait_ms ? wait_ms : 1000);
    }
}
