/* The store in MongoDB: the only file that includes libmongoc.
 *
 * Documents go in by unordered bulk inserts. Those whose _id is there already are looked up: most
 * are resends, with the position of the stored one. For the rest a second bulk of updates appends a
 * copy unless the document or one of its copies has the same position by then. All of it is
 * idempotent, and atomic for each document, so several sinks may write at once. Every write waits
 * for w majority and the journal.
 */
#include "agent/sink/store.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_TIMEOUT_MS 30000  /* an answer later than this is none; the URI may say otherwise */
#define SCAN_TIMEOUT_MS   600000 /* the same for a look at whole snapshots, which may be slow */
#define LOOK_UP_MANY      1000u  /* documents asked for at once, by _id */

/* MongoDB's limit, less room for what an update puts around a copy. */
#define DOCUMENT_MAX_BYTES (16u * 1024 * 1024 - 16u * 1024)

#define CODE_UNAUTHORIZED   13 /* this and all codes below: MongoDB's error_codes.yml */
#define CODE_AUTHENTICATION 18
#define CODE_DUPLICATE_KEY  11000

typedef struct {
    mongoc_client_t *client;
    mongoc_client_t *scanner; /* the same server, with more patience */
    mongoc_write_concern_t *concern;
    bson_t insert_opts;
    bson_t bulk_opts;
    bson_t update_opts;
    char *database;
    char *snapshots;
    char *host;   /* for messages: the URI without its secrets */
    bson_t *docs; /* scratch of one put(), these four, grown to the largest */
    const bson_t **pointers;
    size_t *map;
    size_t *again;
    size_t docs_cap;
    size_t look_up; /* LOOK_UP_MANY, or 1 where only a single _id is fast; 0: not known yet */
} mongo_store;

static gv_status away(mongo_store *s, gv_error *err, const char *doing, const bson_error_t *error)
{
    const char *hint = "";

    if ((error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
        error->code == CODE_AUTHENTICATION || error->code == CODE_UNAUTHORIZED) {
        hint = "; check the user, the password and its rights";
    }
    return gv_fail(err, GV_IO, "MongoDB %s: %s: %s%s", s->host, doing, error->message, hint);
}

/* Does an error that names one document mean that this document will never be taken? Anything not
 * listed is taken for a trouble of the server, which passes. */
static bool is_refusal(int32_t code)
{
    static const int32_t refusals[] = {
        2,     /* BadValue */
        9,     /* FailedToParse */
        14,    /* TypeMismatch */
        22,    /* InvalidBSON */
        52,    /* DollarPrefixedFieldName */
        53,    /* InvalidIdField */
        55,    /* InvalidDBRef */
        56,    /* EmptyFieldName */
        57,    /* DottedFieldName */
        121,   /* DocumentValidationFailure */
        10334, /* BSONObjectTooLarge */
        17280, /* KeyTooLong */
        17419, /* resulting document after update is larger than 16 MB */
        17420, /* document to upsert is larger than 16 MB */
        51075, /* text index language */
        16755, /* cannot extract geo keys */
        31250, /* path traverses an array of arrays */
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if (refusals[i] == code) {
            return true;
        }
    }
    return false;
}

static mongoc_collection_t *collection_of(mongo_store *s, const char *name)
{
    return mongoc_client_get_collection(s->client, s->database, name);
}

/* --- indexes --- */

/* One command for each: FerretDB 1.24 drops the connection on two indexes that exist already. */
static gv_status make_index(mongo_store *s, const char *collection, const char *name,
                            const char *const *keys, gv_error *err)
{
    bson_t command, indexes, index, key;
    bson_error_t error;

    bson_init(&command);
    BSON_APPEND_UTF8(&command, "createIndexes", collection);
    bson_append_array_begin(&command, "indexes", -1, &indexes);
    bson_append_document_begin(&indexes, "0", -1, &index);
    bson_append_document_begin(&index, "key", -1, &key);
    for (; *keys; keys++) {
        BSON_APPEND_INT32(&key, *keys, 1);
    }
    bson_append_document_end(&index, &key);
    BSON_APPEND_UTF8(&index, "name", name);
    bson_append_document_end(&indexes, &index);
    bson_append_array_end(&command, &indexes);
    bool ok =
        mongoc_client_write_command_with_opts(s->client, s->database, &command, NULL, NULL, &error);
    bson_destroy(&command);
    return ok ? GV_OK : away(s, err, "making indexes", &error);
}

static gv_status mongo_ensure(void *ctx, const char *collection, gv_error *err)
{
    static const char *const by_item[] = { "region", "realm", "item.id", "snapshot_at", NULL };
    static const char *const by_snapshot[] = { "snapshot", "position", NULL };
    static const char *const by_house[] = { "region", "realm", "house", "snapshot_at", NULL };
    mongo_store *s = ctx;

    gv_status status = make_index(s, collection, "by_item", by_item, err);
    if (status == GV_OK) {
        status = make_index(s, collection, "by_snapshot", by_snapshot, err);
    }
    if (status == GV_OK) {
        status = make_index(s, s->snapshots, "by_house", by_house, err);
    }
    return status;
}

/* --- writing documents --- */

static void reserve(mongo_store *s, size_t count)
{
    if (count > s->docs_cap) {
        s->docs = bson_realloc(s->docs, count * sizeof *s->docs);
        s->pointers = bson_realloc(s->pointers, count * sizeof *s->pointers);
        s->map = bson_realloc(s->map, count * sizeof *s->map);
        s->again = bson_realloc(s->again, count * sizeof *s->again);
        s->docs_cap = count;
    }
}

static bool has_elements(const bson_t *reply, const char *name)
{
    bson_iter_t it, child;

    return bson_iter_init_find(&it, reply, name) && BSON_ITER_HOLDS_ARRAY(&it) &&
           bson_iter_recurse(&it, &child) && bson_iter_next(&child);
}

typedef struct {
    bson_iter_t array;
    int32_t code;
    int64_t index;
    const char *message;
} write_error;

static bool first_error(write_error *e, const bson_t *reply)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY(&it) &&
           bson_iter_recurse(&it, &e->array);
}

static bool next_error(write_error *e)
{
    bson_iter_t it;

    if (!bson_iter_next(&e->array) || !bson_iter_recurse(&e->array, &it)) {
        return false;
    }
    e->code = 0;
    e->index = -1;
    e->message = "";
    while (bson_iter_next(&it)) {
        const char *key = bson_iter_key(&it);
        if (strcmp(key, "code") == 0) {
            e->code = (int32_t)bson_iter_as_int64(&it);
        } else if (strcmp(key, "index") == 0) {
            e->index = bson_iter_as_int64(&it);
        } else if (strcmp(key, "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(&it)) {
            e->message = bson_iter_utf8(&it, NULL);
        }
    }
    return true;
}

/* What a whole call answered, once the errors of single documents are taken out of it. `map` gives
 * the caller's index of each document of the call. Duplicates are collected in `again`, where the
 * caller wants them. */
typedef struct {
    store_refused_fn *refused;
    void *arg;
    size_t *map;
    size_t *again;
    size_t again_count;
} outcome;

static gv_status judge(mongo_store *s, const char *doing, size_t count, bool ok,
                       const bson_t *reply, const bson_error_t *error, outcome *o, gv_error *err)
{
    write_error e;
    bool explained = false;

    if (ok) {
        return GV_OK;
    }
    if (has_elements(reply, "writeConcernErrors") || !first_error(&e, reply)) {
        return away(s, err, doing, error);
    }
    while (next_error(&e)) {
        explained = true;
        if (e.index < 0 || (uint64_t)e.index >= count) {
            return away(s, err, doing, error);
        }
        size_t index = o->map[e.index];
        if (e.code == CODE_DUPLICATE_KEY && o->again) {
            o->again[o->again_count++] = index;
        } else if (is_refusal(e.code)) {
            o->refused(o->arg, index, e.message);
        } else {
            return away(s, err, doing, error);
        }
    }
    /* No single document is at fault, or the call broke off after some: repeat it all. */
    return explained && error->domain != MONGOC_ERROR_STREAM ? GV_OK : away(s, err, doing, error);
}

static gv_status insert_all(mongo_store *s, mongoc_collection_t *c, const store_doc *const *docs,
                            size_t count, outcome *o, store_counts *counts, gv_error *err)
{
    bson_error_t error;
    bson_t reply;
    bson_iter_t it;
    size_t sent = 0;

    for (size_t i = 0; i < count; i++) {
        if (docs[i]->bson.len > DOCUMENT_MAX_BYTES ||
            !bson_init_static(&s->docs[sent], docs[i]->bson.data, docs[i]->bson.len)) {
            o->refused(o->arg, i, "the document is larger than MongoDB takes (16 MiB)");
            continue;
        }
        s->pointers[sent] = &s->docs[sent];
        o->map[sent++] = i;
    }
    if (sent == 0) {
        return GV_OK;
    }
    bool ok = mongoc_collection_insert_many(c, s->pointers, sent, &s->insert_opts, &reply, &error);
    gv_status status = judge(s, "inserting", sent, ok, &reply, &error, o, err);
    if (status == GV_OK && bson_iter_init_find(&it, &reply, "insertedCount")) {
        counts->added += (uint64_t)bson_iter_as_int64(&it);
    }
    bson_destroy(&reply);
    return status;
}

/* --- which duplicates are copies --- */

/* FerretDB 1 finds one _id by its index, but reads the whole collection for $in. */
static gv_status ask_server_kind(mongo_store *s, gv_error *err)
{
    bson_t *command = BCON_NEW("buildInfo", BCON_INT32(1));
    bson_t reply;
    bson_error_t error;

    bool ok = mongoc_client_command_simple(s->client, "admin", command, NULL, &reply, &error);
    if (ok) {
        s->look_up = bson_has_field(&reply, "ferretdbVersion") ? 1 : LOOK_UP_MANY;
    }
    bson_destroy(&reply);
    bson_destroy(command);
    return ok ? GV_OK : away(s, err, "asking for its version", &error);
}

typedef struct {
    const char *id;
    size_t index; /* of the caller's document */
} duplicate;

/* By id, then in the order they came. */
static int by_id(const void *a, const void *b)
{
    const duplicate *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order != 0 ? order : x->index < y->index ? -1 : 1;
}

static bool holds_position(bson_iter_t *it, int64_t position)
{
    return BSON_ITER_HOLDS_INT(it) && bson_iter_as_int64(it) == position;
}

/* Does the stored document, or a copy in it, have this position? */
static bool has_position(const bson_t *stored, int64_t position)
{
    bson_iter_t it, copies, member;

    if (bson_iter_init_find(&it, stored, "position") && holds_position(&it, position)) {
        return true;
    }
    if (!bson_iter_init_find(&it, stored, "copies") || !BSON_ITER_HOLDS_ARRAY(&it) ||
        !bson_iter_recurse(&it, &copies)) {
        return false;
    }
    while (bson_iter_next(&copies)) {
        if (bson_iter_recurse(&copies, &member) && bson_iter_find(&member, "position") &&
            holds_position(&member, position)) {
            return true;
        }
    }
    return false;
}

static bson_t *look_up_filter(const duplicate *list, size_t count)
{
    bson_t in, ids, *filter = bson_new();
    const char *key;
    char text[16];

    if (count == 1) {
        BSON_APPEND_UTF8(filter, "_id", list[0].id);
        return filter;
    }
    bson_append_document_begin(filter, "_id", -1, &in);
    bson_append_array_begin(&in, "$in", -1, &ids);
    for (size_t i = 0; i < count; i++) {
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof text);
        BSON_APPEND_UTF8(&ids, key, list[i].id);
    }
    bson_append_array_end(&in, &ids);
    bson_append_document_end(filter, &in);
    return filter;
}

/* Takes out of a sorted list (id NULL) what the stored document shows to be a resend. */
static void strike_known(const bson_t *stored, const store_doc *const *docs, duplicate *list,
                         size_t count, size_t *struck)
{
    bson_iter_t it;
    size_t low = 0, high = count;

    if (!bson_iter_init_find(&it, stored, "_id") || !BSON_ITER_HOLDS_UTF8(&it)) {
        return;
    }
    const char *id = bson_iter_utf8(&it, NULL);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < count && strcmp(list[low].id, id) == 0; low++) {
        if (has_position(stored, docs[list[low].index]->position)) {
            struck[low] = 1;
        }
    }
}

static gv_status look_up(mongo_store *s, mongoc_collection_t *c, const store_doc *const *docs,
                         duplicate *list, size_t count, size_t *struck, gv_error *err)
{
    bson_t *filter = look_up_filter(list, count);
    bson_t *opts =
        BCON_NEW("projection", "{", "position", BCON_INT32(1), "copies", BCON_INT32(1), "}");
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, filter, opts, NULL);
    gv_status status = GV_OK;
    const bson_t *stored;
    bson_error_t error;

    memset(struck, 0, count * sizeof *struck);
    while (mongoc_cursor_next(cursor, &stored)) {
        strike_known(stored, docs, list, count, struck);
    }
    if (mongoc_cursor_error(cursor, &error)) {
        status = away(s, err, "looking documents up", &error);
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(opts);
    return status;
}

/* Leaves in o->again those that are to be stored as copies. */
static gv_status keep_copies(mongo_store *s, mongoc_collection_t *c, const store_doc *const *docs,
                             outcome *o, gv_error *err)
{
    duplicate *list = bson_malloc((o->again_count + 1) * sizeof *list);
    size_t *struck = bson_malloc((LOOK_UP_MANY + 1) * sizeof *struck);
    gv_status status = s->look_up ? GV_OK : ask_server_kind(s, err);
    size_t count = 0;

    for (size_t i = 0; i < o->again_count; i++) {
        if (docs[o->again[i]]->position != STORE_NO_POSITION) {
            list[count++] = (duplicate){ docs[o->again[i]]->id, o->again[i] };
        }
    }
    qsort(list, count, sizeof *list, by_id);
    o->again_count = 0;
    for (size_t at = 0; status == GV_OK && at < count;) {
        size_t n = count - at < s->look_up ? count - at : s->look_up;
        status = look_up(s, c, docs, list + at, n, struck, err);
        for (size_t i = 0; status == GV_OK && i < n; i++) {
            if (!struck[i]) {
                o->again[o->again_count++] = list[at + i].index;
            }
        }
        at += n;
    }
    bson_free(struck);
    bson_free(list);
    return status;
}

/* { $push: { copies: the document without what its first one says already } } unless known */
static bool append_copy(mongoc_bulk_operation_t *bulk, const store_doc *doc, bson_error_t *error)
{
    bson_t whole, selector, nor, known, update, push, copy;

    if (!bson_init_static(&whole, doc->bson.data, doc->bson.len)) {
        return false;
    }
    bson_init(&selector);
    BSON_APPEND_UTF8(&selector, "_id", doc->id);
    bson_append_array_begin(&selector, "$nor", -1, &nor); /* $ne on an array fails in FerretDB */
    bson_append_document_begin(&nor, "0", -1, &known);
    BSON_APPEND_INT64(&known, "position", doc->position);
    bson_append_document_end(&nor, &known);
    bson_append_document_begin(&nor, "1", -1, &known);
    BSON_APPEND_INT64(&known, "copies.position", doc->position);
    bson_append_document_end(&nor, &known);
    bson_append_array_end(&selector, &nor);

    bson_init(&update);
    bson_append_document_begin(&update, "$push", -1, &push);
    bson_append_document_begin(&push, "copies", -1, &copy);
    bson_copy_to_excluding_noinit(&whole, &copy, "_id", "snapshot", NULL);
    bson_append_document_end(&push, &copy);
    bson_append_document_end(&update, &push);

    bool ok = mongoc_bulk_operation_update_one_with_opts(bulk, &selector, &update, NULL, error);
    bson_destroy(&selector);
    bson_destroy(&update);
    return ok;
}

static gv_status push_copies(mongo_store *s, mongoc_collection_t *c, const store_doc *const *docs,
                             const outcome *inserted, store_counts *counts, gv_error *err)
{
    outcome o = { inserted->refused, inserted->arg, inserted->map, NULL, 0 };
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(c, &s->bulk_opts);
    bson_error_t error = { 0 };
    size_t count = 0;
    gv_status status = GV_OK;

    for (size_t i = 0; i < inserted->again_count; i++) {
        if (!append_copy(bulk, docs[inserted->again[i]], &error)) {
            o.refused(o.arg, inserted->again[i], error.message);
            continue;
        }
        o.map[count++] = inserted->again[i];
    }
    if (count != 0) {
        bson_t reply;
        bson_iter_t it;
        bool ok = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
        status = judge(s, "adding copies", count, ok, &reply, &error, &o, err);
        if (status == GV_OK && bson_iter_init_find(&it, &reply, "nModified")) {
            counts->copies += (uint64_t)bson_iter_as_int64(&it);
        }
        bson_destroy(&reply);
    }
    mongoc_bulk_operation_destroy(bulk);
    return status;
}

static gv_status mongo_put(void *ctx, const char *collection, const store_doc *const *docs,
                           size_t count, store_refused_fn *refused, void *arg, store_counts *counts,
                           gv_error *err)
{
    mongo_store *s = ctx;
    mongoc_collection_t *c = collection_of(s, collection);
    store_counts done = { 0, 0 };

    reserve(s, count);
    outcome o = { refused, arg, s->map, s->again, 0 };
    gv_status status = count == 0 ? GV_OK : insert_all(s, c, docs, count, &o, &done, err);
    if (status == GV_OK && o.again_count != 0) {
        status = keep_copies(s, c, docs, &o, err);
    }
    if (status == GV_OK && o.again_count != 0) {
        status = push_copies(s, c, docs, &o, &done, err);
    }
    if (status == GV_OK) {
        counts->added += done.added;
        counts->copies += done.copies;
    }
    mongoc_collection_destroy(c);
    return status;
}

/* --- reading a snapshot back --- */

typedef struct {
    const char *const *snapshots;
    size_t count;
    size_t last; /* the one found last: documents of a snapshot are neighbours */
    store_scan_fn *row;
    void *arg;
} scan_call;

static bool find_snapshot(scan_call *call, const char *name)
{
    for (size_t i = 0; i < call->count; i++) {
        size_t which = (call->last + i) % call->count;
        if (strcmp(call->snapshots[which], name) == 0) {
            call->last = which;
            return true;
        }
    }
    return false;
}

static gv_status scan_copies(const scan_call *call, bson_iter_t *copies)
{
    gv_status status = GV_OK;
    bson_iter_t copy;

    while (status == GV_OK && bson_iter_next(copies)) {
        int64_t position = STORE_NO_POSITION, digest = 0;
        if (bson_iter_recurse(copies, &copy) && bson_iter_find(&copy, "position")) {
            position = bson_iter_as_int64(&copy);
        }
        if (bson_iter_recurse(copies, &copy) && bson_iter_find(&copy, "digest")) {
            digest = bson_iter_as_int64(&copy);
        }
        status = call->row(call->arg, call->last, true, position, digest);
    }
    return status;
}

static gv_status scan_document(scan_call *call, const bson_t *doc)
{
    int64_t position = STORE_NO_POSITION, digest = 0;
    bson_iter_t it, copies = { 0 };
    bool has_copies = false, known = false;

    if (!bson_iter_init(&it, doc)) {
        return GV_OK;
    }
    while (bson_iter_next(&it)) {
        const char *key = bson_iter_key(&it);
        if (strcmp(key, "position") == 0) {
            position = bson_iter_as_int64(&it);
        } else if (strcmp(key, "digest") == 0) {
            digest = bson_iter_as_int64(&it);
        } else if (strcmp(key, "snapshot") == 0 && BSON_ITER_HOLDS_UTF8(&it)) {
            known = find_snapshot(call, bson_iter_utf8(&it, NULL));
        } else if (strcmp(key, "copies") == 0 && BSON_ITER_HOLDS_ARRAY(&it)) {
            has_copies = bson_iter_recurse(&it, &copies);
        }
    }
    if (!known) {
        return GV_OK;
    }
    gv_status status = call->row(call->arg, call->last, false, position, digest);
    return status == GV_OK && has_copies ? scan_copies(call, &copies) : status;
}

static bson_t *scan_filter(const char *const *snapshots, size_t count)
{
    bson_t in, list, *filter = bson_new();
    const char *key;
    char text[16];

    bson_append_document_begin(filter, "snapshot", -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < count; i++) {
        bson_uint32_to_string((uint32_t)i, &key, text, sizeof text);
        BSON_APPEND_UTF8(&list, key, snapshots[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
    return filter;
}

static gv_status mongo_scan(void *ctx, const char *collection, const char *const *snapshots,
                            size_t count, store_scan_fn *row, void *arg, gv_error *err)
{
    mongo_store *s = ctx;
    mongoc_collection_t *c = mongoc_client_get_collection(s->scanner, s->database, collection);
    bson_t *filter = scan_filter(snapshots, count);
    bson_t *opts =
        BCON_NEW("projection", "{", "_id", BCON_INT32(0), "snapshot", BCON_INT32(1), "position",
                 BCON_INT32(1), "digest", BCON_INT32(1), "copies", BCON_INT32(1), "}");
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, filter, opts, NULL);
    scan_call call = { snapshots, count, 0, row, arg };
    gv_status status = GV_OK;
    const bson_t *doc;
    bson_error_t error;

    while (status == GV_OK && mongoc_cursor_next(cursor, &doc)) {
        status = scan_document(&call, doc);
    }
    if (status == GV_OK && mongoc_cursor_error(cursor, &error)) {
        status = away(s, err, "reading a snapshot", &error);
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(opts);
    mongoc_collection_destroy(c);
    return status;
}

/* --- the collection of snapshots --- */

static gv_status update_snapshot(mongo_store *s, const char *operator, const char * id,
                                 gv_span fields, gv_error *err)
{
    mongoc_collection_t *c = collection_of(s, s->snapshots);
    bson_t members, *filter, update, opts;
    bson_error_t error;
    gv_status status = GV_OK;

    if (!bson_init_static(&members, fields.data, fields.len)) {
        mongoc_collection_destroy(c);
        return gv_fail(err, GV_INVAL, "the members of snapshot %s are not BSON", id);
    }
    filter = BCON_NEW("_id", BCON_UTF8(id));
    bson_init(&update);
    bson_append_document(&update, operator, - 1, &members);
    bson_copy_to(&s->update_opts, &opts);
    BSON_APPEND_BOOL(&opts, "upsert", true);
    /* Two sinks may upsert the same one at once: the second finds it on the next attempt. */
    for (int attempt = 0; attempt < 3; attempt++) {
        if (mongoc_collection_update_one(c, filter, &update, &opts, NULL, &error)) {
            status = GV_OK;
            break;
        }
        if (is_refusal((int32_t)error.code) && error.domain == MONGOC_ERROR_SERVER) {
            status = gv_fail(err, GV_INVAL, "MongoDB %s refused the document of snapshot %s: %s",
                             s->host, id, error.message);
            break;
        }
        if (error.code != CODE_DUPLICATE_KEY || attempt == 2) {
            status = away(s, err, "writing a snapshot", &error);
            break;
        }
    }
    bson_destroy(&opts);
    bson_destroy(&update);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    return status;
}

static gv_status mongo_snapshot_begin(void *ctx, const char *id, gv_span fields, gv_error *err)
{
    return update_snapshot(ctx, "$setOnInsert", id, fields, err);
}

static gv_status mongo_snapshot_set(void *ctx, const char *id, gv_span fields, gv_error *err)
{
    return update_snapshot(ctx, "$set", id, fields, err);
}

static gv_status find_snapshots(mongo_store *s, const bson_t *filter, const bson_t *opts,
                                store_snapshot_fn *each, void *arg, gv_error *err)
{
    mongoc_collection_t *c = collection_of(s, s->snapshots);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, filter, opts, NULL);
    gv_status status = GV_OK;
    const bson_t *doc;
    bson_error_t error;
    bson_iter_t it;

    while (status == GV_OK && mongoc_cursor_next(cursor, &doc)) {
        if (bson_iter_init_find(&it, doc, "_id") && BSON_ITER_HOLDS_UTF8(&it)) {
            status = each(arg, bson_iter_utf8(&it, NULL), gv_span_of(bson_get_data(doc), doc->len));
        }
    }
    if (status == GV_OK && mongoc_cursor_error(cursor, &error)) {
        status = away(s, err, "reading snapshots", &error);
    }
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(c);
    return status;
}

static gv_status mongo_snapshot_get(void *ctx, const char *id, store_snapshot_fn *each, void *arg,
                                    gv_error *err)
{
    bson_t *filter = BCON_NEW("_id", BCON_UTF8(id));
    gv_status status = find_snapshots(ctx, filter, NULL, each, arg, err);

    bson_destroy(filter);
    return status;
}

static gv_status mongo_snapshots(void *ctx, store_snapshot_fn *each, void *arg, gv_error *err)
{
    bson_t *filter = bson_new();
    bson_t *opts = BCON_NEW("sort", "{", "snapshot_at", BCON_INT32(1), "_id", BCON_INT32(1), "}");
    gv_status status = find_snapshots(ctx, filter, opts, each, arg, err);

    bson_destroy(filter);
    bson_destroy(opts);
    return status;
}

/* --- opening --- */

static void mongo_close(void *ctx)
{
    mongo_store *s = ctx;

    mongoc_client_destroy(s->client);
    mongoc_client_destroy(s->scanner);
    mongoc_write_concern_destroy(s->concern);
    bson_destroy(&s->insert_opts);
    bson_destroy(&s->bulk_opts);
    bson_destroy(&s->update_opts);
    bson_free(s->database);
    bson_free(s->snapshots);
    bson_free(s->host);
    bson_free(s->docs);
    bson_free(s->pointers);
    bson_free(s->map);
    bson_free(s->again);
    bson_free(s);
}

static void start_library(void)
{
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL); /* what matters comes back as an error, in our words */
    atexit(mongoc_cleanup);
}

static char *describe(const mongoc_uri_t *uri)
{
    const mongoc_host_list_t *hosts = mongoc_uri_get_hosts(uri);

    return bson_strdup(hosts ? hosts->host_and_port : "(from DNS)");
}

static void set_default(mongoc_uri_t *uri, const char *option, int32_t value)
{
    if (mongoc_uri_get_option_as_int32(uri, option, -1) == -1) {
        mongoc_uri_set_option_as_int32(uri, option, value);
    }
}

static mongoc_client_t *open_client(const mongoc_uri_t *uri, int32_t patience_ms,
                                    bson_error_t *error)
{
    mongoc_uri_t *own = mongoc_uri_copy(uri);

    set_default(own, MONGOC_URI_SOCKETTIMEOUTMS, patience_ms);
    mongoc_client_t *client = mongoc_client_new_from_uri_with_error(own, error);
    mongoc_uri_destroy(own);
    if (client) {
        mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
        mongoc_client_set_appname(client, "gavel-sink");
    }
    return client;
}

gv_status store_mongo_open(const store_mongo_config *config, store *out, gv_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bson_error_t error;

    pthread_once(&once, start_library);
    mongoc_uri_t *uri = mongoc_uri_new_with_error(config->uri, &error);
    if (!uri) {
        return gv_fail(err, GV_INVAL, "mongo.uri is not a MongoDB connection string: %s",
                       error.message);
    }
    int32_t away_after =
        config->away_after_ms < INT32_MAX ? (int32_t)config->away_after_ms : INT32_MAX;
    set_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, away_after);
    set_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, away_after);

    mongo_store *s = bson_malloc0(sizeof *s);
    s->host = describe(uri);
    s->database = bson_strdup(config->database);
    s->snapshots = bson_strdup(config->snapshots);
    s->concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(s->concern, 0);
    mongoc_write_concern_set_journal(s->concern, true);
    bson_init(&s->insert_opts);
    BSON_APPEND_BOOL(&s->insert_opts, "ordered", false);
    BSON_APPEND_BOOL(&s->insert_opts, "validate", false); /* to_bson.c did */
    mongoc_write_concern_append(s->concern, &s->insert_opts);
    bson_init(&s->bulk_opts);
    BSON_APPEND_BOOL(&s->bulk_opts, "ordered", false);
    mongoc_write_concern_append(s->concern, &s->bulk_opts);
    bson_init(&s->update_opts);
    mongoc_write_concern_append(s->concern, &s->update_opts);
    s->client = open_client(uri, SOCKET_TIMEOUT_MS, &error);
    s->scanner = s->client ? open_client(uri, SCAN_TIMEOUT_MS, &error) : NULL;
    mongoc_uri_destroy(uri);
    if (!s->scanner) {
        mongo_close(s);
        return gv_fail(err, GV_INVAL, "mongo.uri: %s", error.message);
    }
    *out = (store){ mongo_ensure,         mongo_put,          mongo_scan,
                    mongo_snapshot_begin, mongo_snapshot_set, mongo_snapshot_get,
                    mongo_snapshots,      mongo_close,        s };
    return GV_OK;
}

void store_mongo_version(char *text, size_t cap)
{
    snprintf(text, cap, "libmongoc %s", mongoc_get_version());
}
