/* transcode_help.h - the auction schema's transcoder, fed with odd, wrong or cut text, and its records
 * read back. Every text is fed whole, byte by byte and in random pieces, and must say the same each
 * time.
 *
 * Ownership: open_schema() and close_schema() frame the whole test program; a run is the test's, which
 *            calls run_free() on it.
 * Memory:    body_text() answers from a buffer of its own, good until it is called again.
 * Threads:   one.
 * Errors:    runs that differ and a body that cannot be read fail the test at once.
 */
#ifndef GAVEL_TESTS_TRANSCODE_HELP_H
#define GAVEL_TESTS_TRANSCODE_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/codec_help.h"

#define ROW(rest) "{\"id\":1,\"item\":{\"id\":2},\"quantity\":3,\"time_left\":\"LONG\"" rest "}"
#define DOC(rows) "{\"auctions\":[" rows "]}"

extern codec auction;

int open_schema(void **state);
int close_schema(void **state);

/* In every chunking; limits may be NULL. feed() is for the auction schema and its usual limits. */
void feed_limited(const codec *c, gv_span text, const transcode_limits *limits, codec_run *run);
void feed(const char *text, codec_run *run);

/* A record's Avro body as text, member by member: "{ id=1 item={ id=2 } extra={ } } ". */
const char *body_text(const codec *c, gv_span body);

#endif
