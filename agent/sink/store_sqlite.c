/* The store in one SQLite file: a table for each collection, documents as JSON text (MongoDB's
 * relaxed extended JSON, good for json_extract()) beside the columns that are searched by.
 *
 * A copy is a row of its own: (id, position) is the key, so a resend conflicts and a copy does not.
 * WAL lets readers read while the sink writes; synchronous=FULL makes each commit durable.
 */
#include "agent/sink/store.h"

#include <bson/bson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_VERSION  1
#define COLLECTIONS_MAX 16
#define SQL_MAX         1024

typedef struct {
    char *name;
    sqlite3_stmt *insert;
} table;

typedef struct {
    sqlite3 *db;
    char *path;
    char *snapshots;
    table tables[COLLECTIONS_MAX];
    size_t table_count;
} sqlite_store;

static gv_status fail(sqlite_store *s, gv_error *err, const char *doing)
{
    int code = sqlite3_errcode(s->db);
    const char *hint = "";

    if (code == SQLITE_FULL) {
        hint = "; make room on that disk";
    } else if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
        hint = "; another program holds a lock on it";
    } else if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
        hint = "; is this the right file?";
    }
    return gv_fail(err, GV_IO, "SQLite %s: %s: %s%s", s->path, doing, sqlite3_errmsg(s->db), hint);
}

static gv_status run(sqlite_store *s, const char *sql, const char *doing, gv_error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? GV_OK : fail(s, err, doing);
}

/* Formats with SQLite's own printf, which quotes names by %w and text by %Q. */
static gv_status prepare(sqlite_store *s, sqlite3_stmt **out, gv_error *err, const char *format,
                         const char *name)
{
    char sql[SQL_MAX];

    sqlite3_snprintf(sizeof sql, sql, format, name);
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK) {
        return fail(s, err, "preparing a statement");
    }
    return GV_OK;
}

static gv_status begin(sqlite_store *s, gv_error *err)
{
    return run(s, "BEGIN IMMEDIATE", "starting to write", err);
}

static void roll_back(sqlite_store *s)
{
    if (!sqlite3_get_autocommit(s->db)) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
}

/* Ends a transaction well or not at all; the first error is kept. */
static gv_status finish(sqlite_store *s, gv_status status, gv_error *err)
{
    if (status == GV_OK) {
        status = run(s, "COMMIT", "committing", err);
    }
    if (status != GV_OK) {
        roll_back(s);
    }
    return status;
}

static table *find_table(sqlite_store *s, const char *name)
{
    for (size_t i = 0; i < s->table_count; i++) {
        if (strcmp(s->tables[i].name, name) == 0) {
            return &s->tables[i];
        }
    }
    return NULL;
}

static gv_status sqlite_ensure(void *ctx, const char *collection, gv_error *err)
{
    static const char *const make[] = {
        "CREATE TABLE IF NOT EXISTS \"%w\" ("
        "id TEXT NOT NULL, position INTEGER NOT NULL, snapshot TEXT, digest INTEGER NOT NULL, "
        "region TEXT, realm INTEGER, item_id INTEGER, snapshot_at INTEGER, doc TEXT NOT NULL, "
        "UNIQUE (id, position))",
        "CREATE INDEX IF NOT EXISTS \"%w by item\" ON \"%w\" (region, realm, item_id, snapshot_at)",
        "CREATE INDEX IF NOT EXISTS \"%w by snapshot\" ON \"%w\" (snapshot, position)",
    };
    sqlite_store *s = ctx;
    char sql[SQL_MAX];

    if (find_table(s, collection)) {
        return GV_OK;
    }
    if (s->table_count == COLLECTIONS_MAX) {
        return gv_fail(err, GV_FULL, "SQLite %s: more than %d collections", s->path,
                       COLLECTIONS_MAX);
    }
    gv_status status = begin(s, err);
    for (size_t i = 0; status == GV_OK && i < sizeof make / sizeof *make; i++) {
        sqlite3_snprintf(sizeof sql, sql, make[i], collection, collection);
        status = run(s, sql, "making a table", err);
    }
    status = finish(s, status, err);
    if (status != GV_OK) {
        return status;
    }
    table *t = &s->tables[s->table_count];
    status = prepare(s, &t->insert, err,
                     "INSERT INTO \"%w\" (id, position, snapshot, digest, region, realm, item_id, "
                     "snapshot_at, doc) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9) "
                     "ON CONFLICT (id, position) DO NOTHING",
                     collection);
    if (status == GV_OK) {
        t->name = bson_strdup(collection);
        s->table_count++;
    }
    return status;
}

static void bind_member(sqlite3_stmt *stmt, int slot, const bson_t *doc, const char *path)
{
    bson_iter_t top, it;
    uint32_t len;

    sqlite3_bind_null(stmt, slot);
    if (!bson_iter_init(&top, doc) || !bson_iter_find_descendant(&top, path, &it)) {
        return;
    }
    if (BSON_ITER_HOLDS_UTF8(&it)) {
        const char *text = bson_iter_utf8(&it, &len);
        sqlite3_bind_text64(stmt, slot, text, len, SQLITE_STATIC, SQLITE_UTF8);
    } else if (BSON_ITER_HOLDS_DATE_TIME(&it)) {
        sqlite3_bind_int64(stmt, slot, bson_iter_date_time(&it));
    } else if (BSON_ITER_HOLDS_INT(&it)) {
        sqlite3_bind_int64(stmt, slot, bson_iter_as_int64(&it));
    }
}

static gv_status insert(sqlite_store *s, sqlite3_stmt *stmt, const store_doc *doc, bool *refused,
                        gv_error *err)
{
    bson_t b;
    size_t len;
    char *json = NULL;

    *refused = !bson_init_static(&b, doc->bson.data, doc->bson.len) ||
               !(json = bson_as_relaxed_extended_json(&b, &len));
    if (*refused) {
        return GV_OK;
    }
    sqlite3_bind_text(stmt, 1, doc->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, doc->position);
    if (doc->snapshot[0]) {
        sqlite3_bind_text(stmt, 3, doc->snapshot, -1, SQLITE_STATIC);
    } else {
        sqlite3_bind_null(stmt, 3);
    }
    sqlite3_bind_int64(stmt, 4, doc->digest);
    bind_member(stmt, 5, &b, "region");
    bind_member(stmt, 6, &b, "realm");
    bind_member(stmt, 7, &b, "item.id");
    bind_member(stmt, 8, &b, "snapshot_at");
    sqlite3_bind_text64(stmt, 9, json, len, SQLITE_STATIC, SQLITE_UTF8);
    int code = sqlite3_step(stmt);
    gv_status status = code == SQLITE_DONE ? GV_OK : fail(s, err, "inserting");
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    bson_free(json);
    return status;
}

static gv_status sqlite_put(void *ctx, const char *collection, const store_doc *const *docs,
                            size_t count, store_refused_fn *refused, void *arg,
                            store_counts *counts, gv_error *err)
{
    sqlite_store *s = ctx;
    table *t = find_table(s, collection);
    uint64_t added = 0;

    if (!t) {
        return gv_fail(err, GV_INVAL, "SQLite %s: no collection %s", s->path, collection);
    }
    gv_status status = begin(s, err);
    for (size_t i = 0; status == GV_OK && i < count; i++) {
        bool no = false;
        status = insert(s, t->insert, docs[i], &no, err);
        if (no) {
            refused(arg, i, "the document has no JSON form");
        } else if (status == GV_OK) {
            added += (uint64_t)sqlite3_changes(s->db);
        }
    }
    status = finish(s, status, err);
    if (status == GV_OK) {
        counts->added += added;
    }
    return status;
}

static gv_status scan_one(sqlite_store *s, sqlite3_stmt *stmt, const char *snapshot, size_t which,
                          store_scan_fn *row, void *arg, gv_error *err)
{
    gv_status status = GV_OK;
    int code;

    sqlite3_bind_text(stmt, 1, snapshot, -1, SQLITE_STATIC);
    while (status == GV_OK && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            status = fail(s, err, "reading a snapshot");
        } else {
            status = row(arg, which, sqlite3_column_int64(stmt, 2) > 1,
                         sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1));
        }
    }
    sqlite3_reset(stmt);
    return status;
}

static gv_status sqlite_scan(void *ctx, const char *collection, const char *const *snapshots,
                             size_t count, store_scan_fn *row, void *arg, gv_error *err)
{
    sqlite_store *s = ctx;
    sqlite3_stmt *stmt;

    /* The first row of an id is the document, later ones are copies. */
    gv_status status = prepare(s, &stmt, err,
                               "SELECT position, digest, row_number() OVER (PARTITION BY id ORDER "
                               "BY rowid) FROM \"%w\" WHERE snapshot = ?1 ORDER BY id, rowid",
                               collection);
    if (status != GV_OK) {
        return status;
    }
    for (size_t i = 0; status == GV_OK && i < count; i++) {
        status = scan_one(s, stmt, snapshots[i], i, row, arg, err);
    }
    sqlite3_finalize(stmt);
    return status;
}

/* --- the table of snapshots --- */

static gv_status read_snapshot(const char *text, const char *id, bson_t *out, gv_error *err)
{
    bson_error_t error;

    if (!bson_init_from_json(out, text, -1, &error)) {
        return gv_fail(err, GV_CORRUPT, "SQLite: the document of snapshot %s is damaged: %s", id,
                       error.message);
    }
    return GV_OK;
}

static gv_status write_snapshot(sqlite_store *s, const char *id, const bson_t *doc, gv_error *err)
{
    sqlite3_stmt *stmt;
    bson_iter_t it;
    size_t len;
    char *json = bson_as_relaxed_extended_json(doc, &len);

    if (!json) {
        return gv_fail(err, GV_INVAL, "the document of snapshot %s is not valid", id);
    }
    gv_status status =
        prepare(s, &stmt, err,
                "INSERT INTO \"%w\" (id, state, snapshot_at, doc) VALUES (?1,?2,?3,?4)"
                " ON CONFLICT (id) DO UPDATE SET state = ?2, snapshot_at = ?3, doc = ?4",
                s->snapshots);
    if (status == GV_OK) {
        sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
        if (bson_iter_init_find(&it, doc, "state") && BSON_ITER_HOLDS_UTF8(&it)) {
            sqlite3_bind_text(stmt, 2, bson_iter_utf8(&it, NULL), -1, SQLITE_STATIC);
        }
        if (bson_iter_init_find(&it, doc, "snapshot_at") && BSON_ITER_HOLDS_DATE_TIME(&it)) {
            sqlite3_bind_int64(stmt, 3, bson_iter_date_time(&it));
        }
        sqlite3_bind_text64(stmt, 4, json, len, SQLITE_STATIC, SQLITE_UTF8);
        if (sqlite3_step(stmt) != SQLITE_DONE) {
            status = fail(s, err, "writing a snapshot");
        }
        sqlite3_finalize(stmt);
    }
    bson_free(json);
    return status;
}

/* `target` gets the members of `from` that `over` does not have. */
static void append_missing(bson_t *target, const bson_t *from, const bson_t *over)
{
    bson_iter_t it, found;

    if (bson_iter_init(&it, from)) {
        while (bson_iter_next(&it)) {
            if (!bson_iter_init_find(&found, over, bson_iter_key(&it))) {
                bson_append_iter(target, bson_iter_key(&it), -1, &it);
            }
        }
    }
}

typedef struct {
    bson_t doc;
    bool found;
} snapshot_copy;

static gv_status keep_snapshot(void *arg, const char *id, gv_span bson)
{
    snapshot_copy *copy = arg;
    bson_t b;

    (void)id;
    copy->found = bson_init_static(&b, bson.data, bson.len);
    if (copy->found) {
        bson_destroy(&copy->doc);
        bson_copy_to(&b, &copy->doc);
    }
    return GV_OK;
}

static gv_status select_snapshots(sqlite_store *s, const char *format, const char *id,
                                  store_snapshot_fn *each, void *arg, gv_error *err)
{
    sqlite3_stmt *stmt;
    int code;
    gv_status status = prepare(s, &stmt, err, format, s->snapshots);

    if (status != GV_OK) {
        return status;
    }
    if (id) {
        sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
    }
    while (status == GV_OK && (code = sqlite3_step(stmt)) != SQLITE_DONE) {
        bson_t doc;
        if (code != SQLITE_ROW) {
            status = fail(s, err, "reading snapshots");
            break;
        }
        const char *key = (const char *)sqlite3_column_text(stmt, 0);
        const char *json = (const char *)sqlite3_column_text(stmt, 1);
        status = read_snapshot(json ? json : "", key ? key : "", &doc, err);
        if (status == GV_OK) {
            status = each(arg, key, gv_span_of(bson_get_data(&doc), doc.len));
            bson_destroy(&doc);
        }
    }
    sqlite3_finalize(stmt);
    return status;
}

static gv_status sqlite_snapshot_get(void *ctx, const char *id, store_snapshot_fn *each, void *arg,
                                     gv_error *err)
{
    return select_snapshots(ctx, "SELECT id, doc FROM \"%w\" WHERE id = ?1", id, each, arg, err);
}

static gv_status sqlite_snapshots(void *ctx, store_snapshot_fn *each, void *arg, gv_error *err)
{
    return select_snapshots(ctx, "SELECT id, doc FROM \"%w\" ORDER BY snapshot_at, id", NULL, each,
                            arg, err);
}

static int64_t revision_of(const bson_t *doc)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, "revision") ? bson_iter_as_int64(&it) : 0;
}

static gv_status sqlite_snapshot_set(void *ctx, const char *id, int64_t revision, gv_span fields,
                                     gv_error *err)
{
    sqlite_store *s = ctx;
    bson_t add, merged;
    snapshot_copy old = { .found = false };

    if (!bson_init_static(&add, fields.data, fields.len)) {
        return gv_fail(err, GV_INVAL, "the members of snapshot %s are not BSON", id);
    }
    gv_status status = begin(s, err);
    if (status != GV_OK) {
        return status;
    }
    bson_init(&old.doc);
    bson_init(&merged);
    status = sqlite_snapshot_get(s, id, keep_snapshot, &old, err);
    if (status == GV_OK && revision_of(&old.doc) != revision) {
        status = GV_AGAIN;
    }
    if (status == GV_OK) {
        BSON_APPEND_UTF8(&merged, "_id", id);
        BSON_APPEND_INT64(&merged, "revision", revision + 1);
        append_missing(&merged, &add, &merged);
        append_missing(&merged, &old.doc, &merged);
        status = write_snapshot(s, id, &merged, err);
    }
    bson_destroy(&merged);
    bson_destroy(&old.doc);
    return finish(s, status, err);
}

/* --- opening --- */

static gv_status check_version(sqlite_store *s, gv_error *err)
{
    sqlite3_stmt *stmt;
    int version = -1;

    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK) {
        return fail(s, err, "opening");
    }
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        version = sqlite3_column_int(stmt, 0);
    }
    sqlite3_finalize(stmt);
    if (version < 0) {
        return fail(s, err, "opening");
    }
    if (version > SCHEMA_VERSION) {
        return gv_fail(
            err, GV_INVAL,
            "SQLite %s was written by a newer gavel-sink (version %d of its tables, this "
            "one knows %d): install that one, or name another file",
            s->path, version, SCHEMA_VERSION);
    }
    return GV_OK;
}

static gv_status set_up(sqlite_store *s, gv_error *err)
{
    char sql[SQL_MAX];

    gv_status status = run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", "opening", err);
    if (status == GV_OK) {
        status = check_version(s, err);
    }
    if (status != GV_OK) {
        return status;
    }
    sqlite3_snprintf(sizeof sql, sql,
                     "BEGIN IMMEDIATE; PRAGMA user_version=%d; CREATE TABLE IF NOT EXISTS \"%w\" ("
                     "id TEXT PRIMARY KEY NOT NULL, state TEXT, snapshot_at INTEGER, doc TEXT NOT "
                     "NULL) WITHOUT ROWID; COMMIT",
                     SCHEMA_VERSION, s->snapshots);
    status = run(s, sql, "making its tables", err);
    if (status != GV_OK) {
        roll_back(s);
    }
    return status;
}

static void sqlite_close(void *ctx)
{
    sqlite_store *s = ctx;

    for (size_t i = 0; i < s->table_count; i++) {
        sqlite3_finalize(s->tables[i].insert);
        bson_free(s->tables[i].name);
    }
    sqlite3_close(s->db);
    bson_free(s->path);
    bson_free(s->snapshots);
    bson_free(s);
}

gv_status store_sqlite_open(const store_sqlite_config *config, store *out, gv_error *err)
{
    sqlite_store *s = bson_malloc0(sizeof *s);
    int flags = SQLITE_OPEN_READWRITE | (config->must_exist ? 0 : SQLITE_OPEN_CREATE);
    gv_status status = GV_OK;

    s->path = bson_strdup(config->path);
    s->snapshots = bson_strdup(config->snapshots);
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) {
        status = fail(s, err, "opening");
    } else {
        sqlite3_busy_timeout(s->db, (int)config->away_after_ms);
        status = set_up(s, err);
    }
    if (status != GV_OK) {
        sqlite_close(s);
        return status;
    }
    *out = (store){ sqlite_ensure,       sqlite_put,       sqlite_scan,  sqlite_snapshot_set,
                    sqlite_snapshot_get, sqlite_snapshots, sqlite_close, s };
    return GV_OK;
}

void store_sqlite_version(char *text, size_t cap)
{
    snprintf(text, cap, "SQLite %s", sqlite3_libversion());
}
