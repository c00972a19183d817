/* The store in MongoDB: opening, indexes, and the collection of snapshots. */
#include "agent/sink/store_mongo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_TIMEOUT_MS 30000  /* an answer later than this is none; the URI may say otherwise */
#define SCAN_TIMEOUT_MS   600000 /* the same for a look at whole snapshots, which may be slow */

/* libmongoc's own words for "nobody answers" are about its settings; the cause is in brackets. */
static gv_status nobody(const mongo_store *s, gv_error *err, const char *doing, const char *message)
{
    const char *open = strrchr(message, '[');
    const char *close = open ? strchr(open, ']') : NULL;

    if (!close) {
        return gv_fail(err, GV_IO, "MongoDB %s: %s: no server answers; is it running?", s->host,
                       doing);
    }
    return gv_fail(err, GV_IO, "MongoDB %s: %s: no server answers (%.*s); is it running?", s->host,
                   doing, (int)(close - open - 1), open + 1);
}

gv_status mongo_away(const mongo_store *s, gv_error *err, const char *doing,
                     const bson_error_t *error)
{
    const char *hint = "";

    if (error->domain == MONGOC_ERROR_SERVER_SELECTION) {
        return nobody(s, err, doing, error->message);
    }
    if ((error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
        error->code == CODE_AUTHENTICATION || error->code == CODE_UNAUTHORIZED) {
        hint = "; check the user, the password and its rights";
    }
    return gv_fail(err, GV_IO, "MongoDB %s: %s: %s%s", s->host, doing, error->message, hint);
}

bool mongo_refuses(int32_t code)
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

mongoc_collection_t *mongo_collection(const mongo_store *s, const char *name)
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
    return ok ? GV_OK : mongo_away(s, err, "making indexes", &error);
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

/* --- the collection of snapshots --- */

/* Finds the document at this revision alone; at none, an upsert makes it or meets its _id. */
static bson_t *filter_for(const char *id, int64_t revision)
{
    return revision != 0
               ? BCON_NEW("_id", BCON_UTF8(id), "revision", BCON_INT64(revision))
               : BCON_NEW("_id", BCON_UTF8(id), "revision", "{", "$exists", BCON_BOOL(false), "}");
}

static bool has_matched(const bson_t *reply)
{
    bson_iter_t it;
    bool matched = bson_iter_init_find(&it, reply, "matchedCount") && bson_iter_as_int64(&it) != 0;

    return matched || bson_iter_init_find(&it, reply, "upsertedId");
}

static gv_status mongo_snapshot_set(void *ctx, const char *id, int64_t revision, gv_span fields,
                                    gv_error *err)
{
    mongo_store *s = ctx;
    bson_t members, set, update, opts, reply;
    bson_error_t error;
    gv_status status = GV_OK;

    if (!bson_init_static(&members, fields.data, fields.len)) {
        return gv_fail(err, GV_INVAL, "the members of snapshot %s are not BSON", id);
    }
    mongoc_collection_t *c = mongo_collection(s, s->snapshots);
    bson_t *filter = filter_for(id, revision);
    bson_copy_to(&members, &set);
    BSON_APPEND_INT64(&set, "revision", revision + 1);
    bson_init(&update);
    BSON_APPEND_DOCUMENT(&update, "$set", &set);
    bson_copy_to(&s->update_opts, &opts);
    BSON_APPEND_BOOL(&opts, "upsert", revision == 0);
    bool done = mongoc_collection_update_one(c, filter, &update, &opts, &reply, &error);
    if (done ? !has_matched(&reply) : error.code == CODE_DUPLICATE_KEY) {
        status = GV_AGAIN;
    } else if (!done && mongo_refuses((int32_t)error.code) && error.domain == MONGOC_ERROR_SERVER) {
        status = gv_fail(err, GV_INVAL, "MongoDB %s refused the document of snapshot %s: %s",
                         s->host, id, error.message);
    } else if (!done) {
        status = mongo_away(s, err, "writing a snapshot", &error);
    }
    bson_destroy(&reply);
    bson_destroy(&opts);
    bson_destroy(&update);
    bson_destroy(&set);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    return status;
}

static gv_status find_snapshots(mongo_store *s, const bson_t *filter, const bson_t *opts,
                                store_snapshot_fn *each, void *arg, gv_error *err)
{
    mongoc_collection_t *c = mongo_collection(s, s->snapshots);
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
        status = mongo_away(s, err, "reading snapshots", &error);
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
    *out = (store){ mongo_ensure,       mongo_put,       mongo_scan,  mongo_snapshot_set,
                    mongo_snapshot_get, mongo_snapshots, mongo_close, s };
    return GV_OK;
}

void store_mongo_version(char *text, size_t cap)
{
    snprintf(text, cap, "libmongoc %s", mongoc_get_version());
}
