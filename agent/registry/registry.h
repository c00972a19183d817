/* registry.h - schema fingerprint to Schema Registry id, and id to schema.
 *
 * For the agent: each schema it writes is looked up under its subject, registered when that is
 * allowed (after a compatibility check), and its id is kept on disk. An id found once stays good:
 * no failure evicts it, and no failure is ever cached. A first boot without a registry is no error;
 * registry_id() answers GV_AGAIN until it is back.
 * For the sink: registry_fetch() brings the schema text of an id.
 *
 * Units:     monotonic milliseconds.
 * Ownership: config and schema texts are borrowed until registry_close().
 * Threads:   the loop's.
 * Source:    Confluent Schema Registry REST API v1 (also spoken by Apicurio's ccompat, Karapace).
 */
#ifndef GAVEL_REGISTRY_REGISTRY_H
#define GAVEL_REGISTRY_REGISTRY_H

#include "agent/net/http.h"
#include "platform/clock.h"
#include "platform/fs.h"

typedef enum {
    REGISTRY_TOPIC_NAME, /* <topic>-value */
    REGISTRY_RECORD_NAME, /* <record full name> */
    REGISTRY_TOPIC_RECORD_NAME /* <topic>-<record full name> */
} registry_strategy;

typedef struct {
    const char *const *urls; /* tried in order; the one that worked last goes first */
    size_t url_count;
    const char *username; /* NULL: no authentication */
    const char *password;
    const char *ca_file;
    registry_strategy strategy;
    bool may_register;
    const char *cache_path; /* file on disk; NULL: memory only */
    uint32_t retry_min_ms;
    uint32_t retry_max_ms;
} registry_config;

typedef struct {
    uint64_t fingerprint;
    const char *text;        /* the .avsc */
    const char *record_name; /* full name */
    const char *topic;
} registry_schema;

typedef struct registry registry;

/* Loads the cache (a damaged one is set aside and named in the log, not an error). on_id is called
 * whenever an id becomes known. */
gv_status registry_open(const registry_config *config, http_client *http, const plat_fs *fs,
                        const plat_clock *clock, const registry_schema *schemas, size_t count,
                        void (*on_id)(void *ctx), void *ctx, registry **out, gv_error *err);
void registry_close(registry *r);

/* The id for that schema on that topic; GV_AGAIN while it is not known. Pure look-up: asks nobody. */
gv_status registry_id(const registry *r, const char *topic, uint64_t fingerprint, uint32_t *id);

/* Asks for what is missing when due; returns the next deadline, UINT64_MAX for none. */
uint64_t registry_tick(registry *r);

/* One line for a person: "all ids known", or what is in the way. */
const char *registry_state(const registry *r);

/* Fetches the schema text of an id; exactly one call of done: GV_OK with the text (NUL-terminated,
 * valid during the call), GV_INVAL when the registry does not know the id, GV_IO when it cannot be
 * reached. GV_AGAIN from this function: one is already under way. */
gv_status registry_fetch(registry *r, uint32_t id,
                         void (*done)(void *ctx, gv_status status, const char *text,
                                      const gv_error *err),
                         void *ctx, gv_error *err);

#endif
