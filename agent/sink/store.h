/* store.h - where the sink keeps documents: a small table of functions, with two adapters.
 *
 * A collection holds documents by id. A second document under the same id is the same one, sent
 * again, when it has the same position: nothing changes. With another position it is a copy (a
 * snapshot may list one auction twice) and is kept beside the first. So every call may be repeated,
 * and after a failed one it must be: what it had done before it failed does no harm.
 *
 * Documents: BSON, made by to_bson.h or snapshot_doc.h. Valid UTF-8; keys without '.', '$', NUL.
 * Ownership: everything handed in is borrowed for the call; what a callback gets, for the callback.
 * Threads:   one owner.
 * Durable:   GV_OK from put() and snapshot_*() means on disk (MongoDB: w majority, journal).
 * Errors:    GV_IO: the store is away or refused the whole call; wait and repeat it. GV_INVAL: the
 *            store will never take this; err says why. The rest as in platform/err.h.
 */
#ifndef GAVEL_SINK_STORE_H
#define GAVEL_SINK_STORE_H

#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NO_POSITION INT64_C(-1)
#define STORE_SCAN_MAX    32

typedef struct {
    const char *id;
    const char *snapshot; /* text form; "" when the record belongs to none */
    int64_t position; /* within its snapshot; STORE_NO_POSITION: every further one is a resend */
    int64_t digest;
    gv_span bson; /* the document, with _id, snapshot, position and digest inside */
} store_doc;

typedef struct {
    uint64_t added;  /* documents under a new id */
    uint64_t copies; /* kept beside the first of their id (SQLite counts them as added) */
} store_counts;

/* Document `index` of the call will never be taken; the others are not touched by that. */
typedef void store_refused_fn(void *arg, size_t index, const char *reason);

/* One stored record of snapshot `which` of the call. A copy follows the document it belongs to at
 * once, copies in order of arrival. */
typedef gv_status store_scan_fn(void *arg, size_t which, bool copy, int64_t position,
                                int64_t digest);

typedef gv_status store_snapshot_fn(void *arg, const char *id, gv_span bson);

typedef struct store {
    /* Makes the collection and its indexes, where they are not there yet. */
    gv_status (*ensure)(void *ctx, const char *collection, gv_error *err);

    /* Stores `count` documents of one collection that was ensured before. */
    gv_status (*put)(void *ctx, const char *collection, const store_doc *const *docs, size_t count,
                     store_refused_fn *refused, void *arg, store_counts *counts, gv_error *err);

    /* Calls row() for every stored record of these snapshots (STORE_SCAN_MAX at most, each once); a
     * status other than GV_OK stops it and is returned. */
    gv_status (*scan)(void *ctx, const char *collection, const char *const *snapshots, size_t count,
                      store_scan_fn *row, void *arg, gv_error *err);

    /* The collection of snapshots, one document for each, by its text form. `fields` is a BSON
     * document without _id and revision. set() replaces these members, and makes the document when
     * there is none. Each change counts the member "revision" up by one; `revision` is what the
     * caller has read, 0 for a document without one or none at all. GV_AGAIN: the document was
     * changed since (or this is a repetition), nothing happened: read it again and decide anew. */
    gv_status (*snapshot_set)(void *ctx, const char *id, int64_t revision, gv_span fields,
                              gv_error *err);
    /* Calls each() with the one document, or with none when it is not there. */
    gv_status (*snapshot_get)(void *ctx, const char *id, store_snapshot_fn *each, void *arg,
                              gv_error *err);
    /* All of them, in order of time, then id. */
    gv_status (*snapshots)(void *ctx, store_snapshot_fn *each, void *arg, gv_error *err);

    void (*close)(void *ctx);
    void *ctx;
} store;

typedef struct {
    const char *uri;
    const char *database;
    const char *snapshots;  /* name of the collection of snapshots */
    uint32_t away_after_ms; /* how long a call looks for a server before it is GV_IO */
} store_mongo_config;

/* Does not connect: a server that is away is no error. GV_INVAL: the URI is not one. */
gv_status store_mongo_open(const store_mongo_config *config, store *out, gv_error *err);

typedef struct {
    const char *path;
    const char *snapshots;  /* name of the table of snapshots */
    uint32_t away_after_ms; /* how long a call waits for another writer before it is GV_IO */
    bool must_exist;        /* for readers: do not make a new file */
} store_sqlite_config;

gv_status store_sqlite_open(const store_sqlite_config *config, store *out, gv_error *err);

/* Versions of the libraries below, for --version. */
void store_mongo_version(char *text, size_t cap);
void store_sqlite_version(char *text, size_t cap);

#endif
