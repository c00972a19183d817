#include "agent/codec/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

void snapshot_format(const snapshot_id *id, char text[SNAPSHOT_TEXT_MAX])
{
    snprintf(text, SNAPSHOT_TEXT_MAX, "%.7s/%" PRIu32 "/%" PRIu32 "/%" PRId64, id->region,
             id->realm, id->house, id->time_ms / 1000);
}
