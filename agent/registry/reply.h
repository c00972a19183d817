/* reply.h - what a registry's JSON replies say; pure, and strict about what matters.
 *
 * Memory:  cJSON allocates while a reply is read; a reply is bounded by who fetched it.
 * Errors:  GV_CORRUPT when a reply is not what the API promises, with words.
 * Source:  Confluent Schema Registry REST API v1.
 */
#ifndef GAVEL_REGISTRY_REPLY_H
#define GAVEL_REGISTRY_REPLY_H

#include "platform/err.h"
#include "platform/span.h"

/* {"id": N, ...} of a look-up or registration. */
gv_status reply_id(gv_span body, uint32_t *id, gv_error *err);

/* {"is_compatible": bool, "messages": [...]}; `why` gets the first message, cut, or "". */
gv_status reply_compatible(gv_span body, bool *compatible, char *why, size_t cap, gv_error *err);

/* {"schema": "..."} of an id; *text is for free(). GV_INVAL: no Avro, or not whole by itself. */
gv_status reply_schema(gv_span body, char **text, gv_error *err);

/* {"error_code": N, "message": "..."}: answers N, and the message, cut and printable. 0: no such. */
int reply_error(gv_span body, char *message, size_t cap);

#endif
