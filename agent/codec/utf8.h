/* utf8.h - tells well-formed UTF-8 from the rest.
 *
 * What is ill-formed is replaced by U+FFFD, one for each maximal subpart, as Unicode recommends.
 * Source: The Unicode Standard 15, table 3-7 and section 3.9, U+FFFD Substitution.
 */
#ifndef GAVEL_CODEC_UTF8_H
#define GAVEL_CODEC_UTF8_H

#include "platform/span.h"

#define UTF8_REPLACEMENT 0xFFFDu

/* Length of the well-formed sequence at p (p < end), 1 to 4; else 0, and *bad says how many bytes
 * one replacement stands for. */
size_t utf8_sequence(const uint8_t *p, const uint8_t *end, size_t *bad);

/* Writes a code point that is no surrogate; 1 to 4 bytes. */
size_t utf8_write(uint32_t code_point, uint8_t out[4]);

/* Length of the longest well-formed prefix. */
size_t utf8_valid_prefix(gv_span text);

/* Appends text, ill-formed parts replaced and added to *replaced; false when it does not fit: a
 * part may then have been appended. */
bool utf8_put_clean(gv_buf *out, gv_span text, uint32_t *replaced);

#endif
