/* schema_shelf.h - keeps the texts of the schemas that spooled records may be in.
 *
 * A record in the spool has its schema's fingerprint, and its id is asked for late. After an upgrade
 * only this shelf still has the text that the registry must be shown for it. One file a schema,
 * <name>-<generation>-<fingerprint>.avsc, is written once, before the first batch in that schema can be
 * spooled; a start that finds it writes nothing.
 * Files come from outside: a text counts only if it is a record's schema with the fingerprint that its
 * name says. A damaged one is set aside with .damaged-N after its name, and named in the log.
 *
 * Units:     bytes, monotonic milliseconds.
 * Ownership: fs, clock, dir and what the current schemas point to are borrowed until
 *            schema_shelf_close(); the list's texts are the shelf's.
 * Memory:    schema_shelf_memory_bytes(), allocated in schema_shelf_open().
 * Threads:   the loop's. Open and tick wait for the disk.
 * Errors:    no trouble with the disk keeps anything from starting: it is said, and what could not be
 *            written is tried again.
 */
#ifndef GAVEL_REGISTRY_SCHEMA_SHELF_H
#define GAVEL_REGISTRY_SCHEMA_SHELF_H

#include "agent/registry/registry.h"

#define SHELF_CURRENT_MAX 2    /* schemas that are written now */
#define SHELF_OLDER_MAX   6    /* the newest ones; more are not handed on, and that is logged */
#define SHELF_TEXT_MAX    8192 /* without the final NUL */
#define SHELF_NAME_MAX    200  /* of a record's full name, with the final NUL */

typedef struct {
    const plat_fs *fs;
    const plat_clock *clock;
    const char *dir;
    const char *const *names; /* begin the files' names, one for each current schema */
    const registry_schema *current;
    size_t count;
    bool waiting; /* records may wait in older schemas; if not, their files are removed */
} schema_shelf_config;

typedef struct schema_shelf schema_shelf;

size_t schema_shelf_memory_bytes(void);

/* Puts the current schemas on the shelf, and reads or removes the others. GV_FULL: no memory. */
gv_status schema_shelf_open(const schema_shelf_config *config, schema_shelf **out, gv_error *err);

/* The current schemas, as they were given, then the older ones of which records may wait. */
const registry_schema *schema_shelf_list(const schema_shelf *s, size_t *count);

/* Writes what could not be written before, when due; returns the next deadline, UINT64_MAX for none. */
uint64_t schema_shelf_tick(schema_shelf *s);

void schema_shelf_close(schema_shelf *s);

#endif
