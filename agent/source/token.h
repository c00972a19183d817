/* token.h - the OAuth2 access token of the API (client credentials), kept until shortly before it
 * expires.
 *
 * Threads: the loop's.
 * Secrets: neither the client's secret nor the token is ever logged.
 * Source:  RFC 6749 section 4.4; develop.battle.net "Client Credentials Flow".
 */
#ifndef GAVEL_SOURCE_TOKEN_H
#define GAVEL_SOURCE_TOKEN_H

#include "agent/net/http.h"
#include "agent/source/schedule.h"

#define TOKEN_TEXT_MAX  2048
#define TOKEN_REPLY_MAX 4096

typedef struct {
    const char *url;
    const char *client_id;
    const char *client_secret;
    const char *ca_file; /* NULL: the system's */
    uint32_t connect_timeout_ms;
    uint32_t stall_timeout_ms;
    schedule_config retry; /* retry_min_ms and retry_max_ms are used */
} token_config;

typedef struct {
    const token_config *config;
    http_client *http;
    const plat_clock *clock;
    schedule_random *random;
    char header[TOKEN_TEXT_MAX + 32]; /* "Authorization: Bearer ..." */
    bool valid;
    uint64_t expires_ms; /* monotonic */
    http_transfer *transfer;
    uint64_t due_ms; /* not before: back-off */
    uint32_t failures;
    bool refused;     /* the client id or secret, at the last try */
    uint64_t fetched; /* tokens received */
    gv_error why;     /* of the last failure */
    char reply[TOKEN_REPLY_MAX];
    size_t reply_len;
} token;

void token_init(token *t, const token_config *config, http_client *http, const plat_clock *clock,
                schedule_random *random);

/* True when `header` may be used now. */
bool token_usable(const token *t, uint64_t now_ms);

/* The API refused the token: get another one. */
void token_drop(token *t);

/* Fetches a token when there is none and it is time; returns when to call again, UINT64_MAX: when
 * the transfer under way has ended. */
uint64_t token_tick(token *t, uint64_t now_ms);

void token_stop(token *t); /* cancels what runs */

/* Reads a token reply; `bearer` gets the token. GV_INVAL with words, never with the reply's text. */
gv_status token_parse(gv_span json, char bearer[TOKEN_TEXT_MAX], uint64_t *expires_in_s,
                      gv_error *err);

#endif
