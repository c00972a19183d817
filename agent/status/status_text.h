/* status_text.h - /status.json of a running agent, for a terminal.
 *
 * The JSON is outside bytes: any of them are met with words. Members that are missing or of another
 * type are passed over, so that agents of other versions can be looked at. No byte of it reaches the terminal as
 * a control character.
 *
 * Memory: cJSON's tree while it runs; the text goes into the caller's buffer, and ends at a whole line when
 *         that is full.
 * Errors: GV_INVAL: it is no status of an agent.
 */
#ifndef GAVEL_STATUS_STATUS_TEXT_H
#define GAVEL_STATUS_STATUS_TEXT_H

#include "agent/status/conditions.h"
#include "platform/err.h"
#include "platform/span.h"

#define STATUS_URL_MAX 128

gv_status status_text(gv_span json, bool colours, gv_buf *out, status_state *state, gv_error *err);

/* Where this machine asks an agent that listens there ("[::]:9180" is "http://[::1]:9180/status.json").
 * False: the address is none, or its port is chosen at random. */
bool status_url(const char *listen, char url[STATUS_URL_MAX]);

#endif
