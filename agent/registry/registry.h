/* registry.h - schema fingerprint to Schema Registry id, and id to schema.
 *
 * For the agent: each schema it writes is looked up under its subject, registered when that is
 * allowed (after a compatibility check), and its id is kept on disk. An id found once stays good:
 * no failure evicts it, and no failure is ever cached. A first boot without a registry is no error;
 * registry_id() answers GV_AGAIN until it is back. Ids from disk are used at once and confirmed when
 * the registry answers; a registry that was made anew gives new ones, and that is logged. A cache of
 * another registry (no address in common with the configured ones) is not used.
 * An older schema, of which records still wait, is looked up among all versions of its subject. One that
 * was never registered is too late for that subject: there it would become the latest version, or be
 * refused as incompatible with a newer one. So it gets a subject of its own, <subject>.<fingerprint>,
 * where nothing is in its way; readers find a schema by its id alone.
 * For the sink: registry_fetch() brings the schema text of an id.
 *
 * Calls:     the callbacks come from registry_tick(), http_tick() or plat_loop_wait(), never from
 *            another function here. Call http_tick() after these functions, before the next wait.
 *            It needs one HTTP slot of its own for ids and one for registry_fetch().
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
    REGISTRY_TOPIC_NAME,       /* <topic>-value */
    REGISTRY_RECORD_NAME,      /* <record full name> */
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
    uint32_t retry_min_ms;  /* first wait when nobody answers; doubles, with jitter, up to */
    uint32_t retry_max_ms;  /* this; also the wait after a refusal that only a person can change */
} registry_config;

typedef struct {
    uint64_t fingerprint;
    const char *text;        /* the .avsc */
    const char *record_name; /* full name */
    const char *topic;
    /* NULL: one that is written now. Else the file that keeps this text: an older schema, in which
     * records still wait. */
    const char *file;
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

bool registry_complete(const registry *r); /* every id is known, from this run or an earlier one */
bool registry_in_trouble(const registry *r); /* it did not answer as it should when last asked */

/* Fetches the schema text of an id; exactly one call of done: GV_OK with the text (NUL-terminated,
 * valid during the call), GV_INVAL when the registry does not know the id or it is no Avro, GV_IO
 * when it cannot be reached or does not answer sensibly (nothing is retried here). `done` may fetch
 * the next. GV_AGAIN from this function: one is already under way. */
gv_status registry_fetch(registry *r, uint32_t id,
                         void (*done)(void *ctx, gv_status status, const char *text,
                                      const gv_error *err),
                         void *ctx, gv_error *err);

#endif
