/* Reading the records of whole snapshots back from MongoDB, for verdicts. */
#include "agent/sink/store_mongo.h"

#include <string.h>

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

gv_status mongo_scan(void *ctx, const char *collection, const char *const *snapshots, size_t count,
                     store_scan_fn *row, void *arg, gv_error *err)
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
        status = mongo_away(s, err, "reading a snapshot", &error);
    }
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(opts);
    mongoc_collection_destroy(c);
    return status;
}
