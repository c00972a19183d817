/* store_mongo.h - what the files of the MongoDB adapter share; store.h is its contract. They are the
 * only ones that include libmongoc. */
#ifndef GAVEL_SINK_STORE_MONGO_H
#define GAVEL_SINK_STORE_MONGO_H

#include "agent/sink/store.h"

#include <mongoc/mongoc.h>

/* Server error codes. Source: MongoDB's error_codes.yml. */
#define CODE_UNAUTHORIZED   13
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

/* Puts a failed call into our words; GV_IO. */
gv_status mongo_away(const mongo_store *s, gv_error *err, const char *doing,
                     const bson_error_t *error);

/* Does an error that names one document mean that this document will never be taken? Anything not
 * listed is taken for a trouble of the server, which passes. */
bool mongo_refuses(int32_t code);

mongoc_collection_t *mongo_collection(const mongo_store *s, const char *name);

/* store_mongo_put.c and store_mongo_scan.c: the functions of store.h by these names. */
gv_status mongo_put(void *ctx, const char *collection, const store_doc *const *docs, size_t count,
                    store_refused_fn *refused, void *arg, store_counts *counts, gv_error *err);
gv_status mongo_scan(void *ctx, const char *collection, const char *const *snapshots, size_t count,
                     store_scan_fn *row, void *arg, gv_error *err);

#endif
