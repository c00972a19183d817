/* json_frame.h - finds the end of a JSON value that arrives piece by piece.
 *
 * Looks at brackets and quotes only, at each byte once, in a few bytes of state; whether the value
 * is well-formed is for json_scan.h to say, once all of it is there. For a well-formed value the
 * end is exact; for any other it is no earlier than its first fault.
 */
#ifndef GAVEL_CODEC_JSON_FRAME_H
#define GAVEL_CODEC_JSON_FRAME_H

#include "platform/span.h"

typedef struct {
    uint64_t depth; /* open brackets */
    bool in_string;
    bool escaped; /* the last byte was a backslash */
    bool scalar;  /* a number or a word: ends before the first byte that cannot belong to it */
} json_frame;

/* Begins a value by its first byte, which json_frame_scan() is then given, too. */
void json_frame_start(json_frame *f, uint8_t first);

/* Answers how many of the bytes belong to the value; *done when it ends there. */
size_t json_frame_scan(json_frame *f, gv_span bytes, bool *done);

#endif
