#include "agent/codec/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool snapshot_equal(const snapshot_id *a, const snapshot_id *b)
{
    return a->realm == b->realm && a->house == b->house && a->time_ms == b->time_ms &&
           strcmp(a->region, b->region) == 0;
}

void snapshot_format(const snapshot_id *id, char text[SNAPSHOT_TEXT_MAX])
{
    snprintf(text, SNAPSHOT_TEXT_MAX, "%.7s/%" PRIu32 "/%" PRIu32 "/%" PRId64, id->region,
             id->realm, id->house, id->time_ms / 1000);
}
