#include "agent/pipeline/ledger.h"

#include "gavel_version.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool add_hex(cJSON *root, const char *name, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return cJSON_AddStringToObject(root, name, text) != NULL;
}

/* What tells a complete entry from a gap. */
static bool add_outcome(cJSON *root, const ledger_entry *e)
{
    if (e->state == LEDGER_GAP)
        return cJSON_AddStringToObject(root, "reason", "quota") != NULL;
    return add_hex(root, "digest", e->digest);
}

gv_status ledger_write(const ledger_entry *e, char buf[LEDGER_BYTES_MAX], size_t *len,
                       gv_error *err)
{
    char name[SNAPSHOT_TEXT_MAX];
    snapshot_format(&e->snapshot, name);
    cJSON *root = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(root, "snapshot", name) &&
              cJSON_AddStringToObject(root, "region", e->snapshot.region) &&
              cJSON_AddNumberToObject(root, "realm", e->snapshot.realm) &&
              cJSON_AddNumberToObject(root, "house", e->snapshot.house) &&
              cJSON_AddNumberToObject(root, "snapshot_at", (double)e->snapshot.time_ms) &&
              cJSON_AddStringToObject(root, "state", e->state == LEDGER_GAP ? "gap" : "complete") &&
              cJSON_AddNumberToObject(root, "records", (double)e->records) &&
              cJSON_AddNumberToObject(root, "rejects", (double)e->rejects) &&
              add_outcome(root, e) && cJSON_AddStringToObject(root, "topic", e->topic) &&
              (e->fingerprint == 0 || add_hex(root, "schema", e->fingerprint)) &&
              cJSON_AddStringToObject(root, "device", e->device) &&
              cJSON_AddStringToObject(root, "agent", "gavel " GAVEL_VERSION) &&
              cJSON_PrintPreallocated(root, buf, LEDGER_BYTES_MAX - 1, 0);
    cJSON_Delete(root);
    if (!ok)
        return gv_fail(err, GV_FULL, "ledger entry of %s is larger than %d bytes", name,
                       LEDGER_BYTES_MAX);
    *len = strlen(buf);
    return GV_OK;
}
