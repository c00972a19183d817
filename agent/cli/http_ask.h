/* http_ask.h - one small document from an HTTP server, waited for: for commands, never for the agent.
 *
 * Units:  bytes.
 * Memory: the caller's buffer, which the body is appended to.
 * Errors: GV_FULL: larger than the buffer; GV_IO: no answer within ten seconds, or not 200; else as
 *         http_start() and a transfer's end. */
#ifndef GAVEL_CLI_HTTP_ASK_H
#define GAVEL_CLI_HTTP_ASK_H

#include "platform/err.h"
#include "platform/span.h"

gv_status http_ask(const char *url, gv_buf *body, gv_error *err);

#endif
