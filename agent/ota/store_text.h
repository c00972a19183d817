/* store_text.h - the state of updates as the bytes of a file.
 *
 * Form:   one line, "gavel-updates 1 " and the 64-bit digest (codec/digest.h) of all that follows, as 16
 *         hex digits; then one JSON object, for a person who looks for what happened.
 * Errors: GV_CORRUPT with words, when the digest or the form does not hold.
 */
#ifndef GAVEL_OTA_STORE_TEXT_H
#define GAVEL_OTA_STORE_TEXT_H

#include "agent/ota/store.h"

#define STORE_TEXT_MAX ((size_t)64 * 1024)

/* Heap memory, `*len` bytes; NULL: there is none. */
char *store_print(const store_state *state, size_t *len);

gv_status store_parse(gv_span text, store_state *state, gv_error *err);

#endif
