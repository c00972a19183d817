/* snapshot.h - the identity of a snapshot, and its one text form.
 *
 * A snapshot is what one house of one connected realm held at one moment; the moment is the
 * server's Last-Modified. Commodities are realm 0. House 0 is retail; 2, 6 and 7 are the Classic
 * Alliance, Horde and neutral houses.
 * Text form: region/realm/house/seconds, for example eu/604/0/1404174601.
 */
#ifndef GAVEL_CODEC_SNAPSHOT_H
#define GAVEL_CODEC_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_TEXT_MAX 64 /* longest text form with its NUL, rounded up */

typedef struct {
    char region[8]; /* "us", "eu", "kr", "tw"; NUL-terminated */
    uint32_t realm;
    uint32_t house;
    int64_t time_ms; /* since 1970-01-01 UTC; whole seconds */
} snapshot_id;

bool snapshot_equal(const snapshot_id *a, const snapshot_id *b);

/* Writes the text form, NUL-terminated. */
void snapshot_format(const snapshot_id *id, char text[SNAPSHOT_TEXT_MAX]);

#endif
