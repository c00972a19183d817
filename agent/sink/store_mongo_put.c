/* Writing documents to MongoDB.
 *
 * Documents go in by unordered bulk inserts. Those whose _id is there already are looked up: most
 * are resends, with the position of the stored one. For the rest a second bulk of updates appends a
 * copy unless the document or one of its copies has the same position by then. All of it is
 * idempotent, and atomic for each document, so several sinks may write at once. Every write waits
 * for w majority and the journal.
 */
#include "agent/sink/store_mongo.h"

#include <stdlib.h>
#include <string.h>

/* MongoDB's limit, less room for what an update puts around a copy. */
#define DOCUMENT_MAX_BYTES (16u * 1024 * 1024 - 16u * 1024)

#define LOOK_UP_MANY 1000u /* documents asked for at once, by _id */

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
        return mongo_away(s, err, doing, error);
    }
    while (next_error(&e)) {
        explained = true;
        if (e.index < 0 || (uint64_t)e.index >= count) {
            return mongo_away(s, err, doing, error);
        }
        size_t index = o->map[e.index];
        if (e.code == CODE_DUPLICATE_KEY && o->again) {
            o->again[o->again_count++] = index;
        } else if (mongo_refuses(e.code)) {
            o->refused(o->arg, index, e.message);
        } else {
            return mongo_away(s, err, doing, error);
        }
    }
    /* No single document is at fault, or the call broke off after some: repeat it all. */
    return explained && error->domain != MONGOC_ERROR_STREAM ? GV_OK
                                                             : mongo_away(s, err, doing, error);
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
    return ok ? GV_OK : mongo_away(s, err, "asking for its version", &error);
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
        status = mongo_away(s, err, "looking documents up", &error);
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

gv_status mongo_put(void *ctx, const char *collection, const store_doc *const *docs, size_t count,
                    store_refused_fn *refused, void *arg, store_counts *counts, gv_error *err)
{
    mongo_store *s = ctx;
    mongoc_collection_t *c = mongo_collection(s, collection);
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
