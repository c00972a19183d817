#include "agent/sink/to_bson.h"

#include "agent/codec/avro_in.h"
#include "agent/codec/digest.h"
#include "agent/codec/snapshot.h"

#include <bson/bson.h>
#include <inttypes.h>
#include <stdio.h>

#define DEPTH_MAX (AVRO_IN_DEPTH_MAX + 2)
#define ID_MAX    512 /* a topic's name is at most 249 bytes */

/* Longest search for a key that is in a map twice; a map with more keys is left to the store. */
#define UNIQUE_KEYS_MAX 4096

#define MILLIS_PER_DAY INT64_C(86400000)

static const char *const reserved[] = { "_id", "snapshot", "kafka", "digest", "copies" };

typedef struct {
    bson_t *doc;
    schema_kind kind;
    uint32_t count; /* of members so far, for a map */
} level;

struct to_bson {
    bson_t root;
    bson_t children[DEPTH_MAX];
    level levels[DEPTH_MAX];
    size_t depth; /* of open levels; levels[depth - 1] is the innermost */
    size_t bytes; /* about how long the document is */
    char *key;    /* scratch for a key that had to be changed */
};

/* --- identity --- */

static bool has_field(const schema_node *record, const char *name, const char *kinds)
{
    for (uint32_t i = 0; i < record->count; i++) {
        const schema_node *type = record->fields[i].type;
        if (strcmp(record->fields[i].name, name) != 0) {
            continue;
        }
        switch (kinds[0]) {
        case 's':
            return type->kind == SCHEMA_STRING;
        case 't':
            return type->kind == SCHEMA_LONG && type->logical == SCHEMA_TIMESTAMP_MILLIS;
        default:
            return type->kind == SCHEMA_INT || type->kind == SCHEMA_LONG;
        }
    }
    return false;
}

record_shape record_shape_of(const schema *writer)
{
    const schema_node *root = writer->root;

    if (root->kind != SCHEMA_RECORD || !has_field(root, "region", "s") ||
        !has_field(root, "realm", "i") || !has_field(root, "house", "i") ||
        !has_field(root, "snapshot_at", "t")) {
        return RECORD_OTHER;
    }
    if (has_field(root, "id", "i")) {
        return RECORD_AUCTION;
    }
    return has_field(root, "row", "i") ? RECORD_REJECT : RECORD_OTHER;
}

enum { SEEN_REGION = 1, SEEN_REALM = 2, SEEN_HOUSE = 4, SEEN_AT = 8, SEEN_KEY = 16, SEEN_ALL = 31 };

typedef struct {
    snapshot_id snapshot;
    int64_t key;
    int64_t position;
    const char *key_name;
    unsigned seen;
    bool wants_position;
    unsigned depth;
    bool odd; /* a value is out of the range of an identity */
} identity;

static bool named(gv_span name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

/* Ends the walk as soon as all is known: these are the first members of our own schemas. */
static gv_status enough(const identity *id)
{
    return id->seen == SEEN_ALL && (!id->wants_position || id->position >= 0) ? GV_AGAIN : GV_OK;
}

static uint32_t to_u32(identity *id, int64_t v)
{
    id->odd = id->odd || v < 0 || v > UINT32_MAX;
    return (uint32_t)(v & UINT32_MAX);
}

static gv_status id_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                            int64_t v, gv_error *err)
{
    identity *id = ctx;

    (void)index, (void)type, (void)err;
    if (id->depth != 1) {
        return GV_OK;
    }
    if (named(name, "realm")) {
        id->snapshot.realm = to_u32(id, v);
        id->seen |= SEEN_REALM;
    } else if (named(name, "house")) {
        id->snapshot.house = to_u32(id, v);
        id->seen |= SEEN_HOUSE;
    } else if (named(name, "snapshot_at")) {
        id->snapshot.time_ms = v;
        id->odd = id->odd || v % 1000 != 0;
        id->seen |= SEEN_AT;
    } else if (named(name, id->key_name)) {
        id->key = v;
        id->seen |= SEEN_KEY;
    } else if (id->wants_position && named(name, "position")) {
        id->position = v;
        id->odd = id->odd || v < 0;
    }
    return enough(id);
}

static gv_status id_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                         gv_span v, gv_error *err)
{
    identity *id = ctx;

    (void)index, (void)type, (void)err;
    if (id->depth == 1 && named(name, "region")) {
        id->odd = id->odd || v.len == 0 || v.len >= sizeof id->snapshot.region ||
                  memchr(v.data, '\0', v.len) || memchr(v.data, '/', v.len);
        if (!id->odd) {
            memcpy(id->snapshot.region, v.data, v.len);
        }
        id->seen |= SEEN_REGION;
    }
    return enough(id);
}

static gv_status id_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                          gv_error *err)
{
    (void)name, (void)index, (void)type, (void)err;
    ((identity *)ctx)->depth++;
    return GV_OK;
}

static gv_status id_end(void *ctx, const schema_node *type, gv_error *err)
{
    (void)type, (void)err;
    ((identity *)ctx)->depth--;
    return GV_OK;
}

static gv_status id_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    (void)ctx, (void)name, (void)index, (void)err;
    return GV_OK;
}

static gv_status id_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    (void)v;
    return id_null(ctx, name, index, err);
}

static gv_status id_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    (void)v;
    return id_null(ctx, name, index, err);
}

/* Fills id, snapshot and out->position; the texts are as long as their arrays. */
static gv_status identify(const schema *writer, record_shape shape, gv_span body,
                          const record_origin *origin, char *id_out, char *snapshot, store_doc *out,
                          gv_error *err)
{
    identity id = { .position = STORE_NO_POSITION,
                    .key_name = shape == RECORD_AUCTION ? "id" : "row",
                    .wants_position =
                        shape == RECORD_AUCTION && has_field(writer->root, "position", "i") };
    const avro_visitor visitor = { id_null, id_boolean, id_integer, id_floating,
                                   id_text, id_begin,   id_end,     &id };

    snapshot[0] = '\0';
    out->position = STORE_NO_POSITION;
    if (shape != RECORD_OTHER) {
        gv_status status = avro_in_walk(writer->root, body, &visitor, err);
        if (status != GV_OK && status != GV_AGAIN) {
            return status;
        }
        if (id.seen == SEEN_ALL && !id.odd) {
            snapshot_format(&id.snapshot, snapshot);
            snprintf(id_out, ID_MAX, shape == RECORD_AUCTION ? "%s/%" PRId64 : "%s/row/%" PRId64,
                     snapshot, id.key);
            out->position = id.position;
            return GV_OK;
        }
    }
    snprintf(id_out, ID_MAX, "%s/%" PRId32 "/%" PRId64, origin->topic, origin->partition,
             origin->offset);
    return GV_OK;
}

/* --- the document --- */

static level *top(to_bson *t)
{
    return &t->levels[t->depth - 1];
}

static bool has_key(const bson_t *doc, const char *key, size_t len)
{
    bson_iter_t it;

    return bson_iter_init(&it, doc) && bson_iter_find_w_len(&it, key, (int)len);
}

/* A map's key: most are fine as they are; the others are written anew into t->key. */
static void map_key(to_bson *t, gv_span name, const char **key, size_t *len)
{
    static const char dot[] = "\xef\xbc\x8e", dollar[] = "\xef\xbc\x84", nul[] = "\xef\xbf\xbd";
    level *l = top(t);
    bool fine = name.len == 0 || (name.data[0] != '$' && !memchr(name.data, '.', name.len) &&
                                  !memchr(name.data, '\0', name.len));

    if (fine && (l->count > UNIQUE_KEYS_MAX || !has_key(l->doc, *key, *len))) {
        return;
    }
    bson_free(t->key);
    t->key = bson_malloc(3 * name.len + 16);
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        const char *other = name.data[i] == '.'             ? dot
                            : name.data[i] == '\0'          ? nul
                            : name.data[i] == '$' && i == 0 ? dollar
                                                            : NULL;
        if (other) {
            memcpy(t->key + n, other, 3);
            n += 3;
        } else {
            t->key[n++] = (char)name.data[i];
        }
    }
    size_t end = n;
    for (uint32_t i = 2; l->count <= UNIQUE_KEYS_MAX && has_key(l->doc, t->key, end); i++) {
        end = n + (size_t)snprintf(t->key + n, 16, "#%" PRIu32, i);
    }
    *key = t->key;
    *len = end;
}

/* Where the next value goes, and under which key. `scratch` holds a number or a changed name. */
static gv_status place(to_bson *t, gv_span name, uint32_t index, size_t value_bytes,
                       char scratch[16], const char **key, size_t *len, gv_error *err)
{
    level *l = top(t);

    *key = (const char *)name.data;
    *len = name.len;
    if (t->depth == 1 && l->kind != SCHEMA_RECORD) {
        *key = "value";
        *len = 5;
    } else if (l->kind == SCHEMA_ARRAY) {
        *len = bson_uint32_to_string(index, key, scratch, 16);
    } else if (l->kind == SCHEMA_MAP) {
        map_key(t, name, key, len);
        l->count++;
    }
    t->bytes += *len + value_bytes + 8;
    if (t->bytes > TO_BSON_MAX_BYTES) {
        return gv_fail(err, GV_FULL, "the document is larger than %zu MiB",
                       TO_BSON_MAX_BYTES / (1024 * 1024));
    }
    if (t->depth == 1 && l->kind == SCHEMA_RECORD) {
        for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
            if (named(name, reserved[i])) {
                *len = (size_t)snprintf(scratch, 16, "%s_", reserved[i]);
                *key = scratch;
            }
        }
    }
    return GV_OK;
}

#define PLACE(bytes)                                                                               \
    to_bson *t = ctx;                                                                              \
    char scratch[16];                                                                              \
    const char *key;                                                                               \
    size_t len;                                                                                    \
    gv_status placed = place(t, name, index, (bytes), scratch, &key, &len, err);                   \
    if (placed != GV_OK) {                                                                         \
        return placed;                                                                             \
    }                                                                                              \
    bson_t *doc = top(t)->doc

static gv_status appended(bool ok, gv_error *err)
{
    return ok ? GV_OK : gv_fail(err, GV_FULL, "the document cannot hold another member");
}

static gv_status put_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    if (top(ctx)->kind == SCHEMA_RECORD) {
        return GV_OK;
    }
    PLACE(0);
    return appended(bson_append_null(doc, key, (int)len), err);
}

static gv_status put_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    PLACE(1);
    return appended(bson_append_bool(doc, key, (int)len, v), err);
}

static gv_status put_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                             int64_t v, gv_error *err)
{
    PLACE(8);
    bool ok;

    if (type->logical == SCHEMA_TIMESTAMP_MILLIS) {
        ok = bson_append_date_time(doc, key, (int)len, v);
    } else if (type->logical == SCHEMA_DATE && v >= INT32_MIN && v <= INT32_MAX) {
        ok = bson_append_date_time(doc, key, (int)len, v * MILLIS_PER_DAY);
    } else if (type->kind == SCHEMA_INT) {
        ok = bson_append_int32(doc, key, (int)len, (int32_t)v);
    } else {
        ok = bson_append_int64(doc, key, (int)len, v);
    }
    return appended(ok, err);
}

static gv_status put_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    PLACE(8);
    return appended(bson_append_double(doc, key, (int)len, v), err);
}

static gv_status put_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                          gv_span v, gv_error *err)
{
    PLACE(v.len);
    const char *text = v.len ? (const char *)v.data : "";

    if (type->kind == SCHEMA_BYTES || type->kind == SCHEMA_FIXED) {
        return appended(bson_append_binary(doc, key, (int)len, BSON_SUBTYPE_BINARY,
                                           (const uint8_t *)text, (uint32_t)v.len),
                        err);
    }
    return appended(bson_append_utf8(doc, key, (int)len, text, (int)v.len), err);
}

static gv_status put_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                           gv_error *err)
{
    to_bson *at = ctx;

    if (at->depth == 1 && top(at)->doc == &at->root && top(at)->kind == SCHEMA_NULL &&
        type->kind == SCHEMA_RECORD) {
        top(at)->kind = SCHEMA_RECORD; /* the record itself: its members are the document's */
        return GV_OK;
    }
    PLACE(8);
    if (t->depth == DEPTH_MAX) {
        return gv_fail(err, GV_FULL, "the record is nested too deeply");
    }
    bson_t *child = &t->children[t->depth];
    bool ok = type->kind == SCHEMA_ARRAY ? bson_append_array_begin(doc, key, (int)len, child)
                                         : bson_append_document_begin(doc, key, (int)len, child);
    if (!ok) {
        return appended(false, err);
    }
    t->levels[t->depth++] = (level){ child, type->kind, 0 };
    return GV_OK;
}

static void close_level(to_bson *t)
{
    level *l = top(t);

    t->depth--;
    if (l->kind == SCHEMA_ARRAY) {
        bson_append_array_end(top(t)->doc, l->doc);
    } else {
        bson_append_document_end(top(t)->doc, l->doc);
    }
}

static gv_status put_end(void *ctx, const schema_node *type, gv_error *err)
{
    to_bson *t = ctx;

    (void)type, (void)err;
    if (t->depth > 1) {
        close_level(t);
    }
    return GV_OK;
}

to_bson *to_bson_open(void)
{
    to_bson *t = bson_malloc0(sizeof *t);

    bson_init(&t->root);
    return t;
}

void to_bson_close(to_bson *t)
{
    if (t) {
        bson_destroy(&t->root);
        bson_free(t->key);
        bson_free(t);
    }
}

static void append_origin(bson_t *doc, const record_origin *origin)
{
    bson_t kafka;

    bson_append_document_begin(doc, "kafka", -1, &kafka);
    BSON_APPEND_UTF8(&kafka, "topic", origin->topic);
    BSON_APPEND_INT32(&kafka, "partition", origin->partition);
    BSON_APPEND_INT64(&kafka, "offset", origin->offset);
    BSON_APPEND_INT64(&kafka, "schema_id", origin->schema_id);
    bson_append_document_end(doc, &kafka);
}

gv_status to_bson_document(to_bson *t, const schema *writer, record_shape shape, gv_span body,
                           const record_origin *origin, store_doc *out, gv_error *err)
{
    char id[ID_MAX], snapshot[SNAPSHOT_TEXT_MAX];
    const avro_visitor visitor = { put_null, put_boolean, put_integer, put_floating,
                                   put_text, put_begin,   put_end,     t };

    gv_status status = identify(writer, shape, body, origin, id, snapshot, out, err);
    if (status != GV_OK) {
        return status;
    }
    out->digest = (int64_t)codec_digest(body);
    bson_reinit(&t->root);
    BSON_APPEND_UTF8(&t->root, "_id", id);
    if (snapshot[0]) {
        BSON_APPEND_UTF8(&t->root, "snapshot", snapshot);
    }
    t->depth = 1;
    t->bytes = 1024;
    t->levels[0] = (level){ &t->root, SCHEMA_NULL, 0 };
    status = avro_in_walk(writer->root, body, &visitor, err);
    while (t->depth > 1) {
        close_level(t); /* only after an error: leaves the buffer in order */
    }
    if (status != GV_OK) {
        return status;
    }
    append_origin(&t->root, origin);
    BSON_APPEND_INT64(&t->root, "digest", out->digest);
    to_bson_relocate(out, gv_span_of(bson_get_data(&t->root), t->root.len));
    return GV_OK;
}

void to_bson_relocate(store_doc *doc, gv_span bson)
{
    bson_t b;
    bson_iter_t it;

    doc->bson = bson;
    doc->id = doc->snapshot = "";
    if (bson_init_static(&b, bson.data, bson.len) && bson_iter_init(&it, &b) &&
        bson_iter_next(&it)) {
        doc->id = bson_iter_utf8(&it, NULL);
        if (bson_iter_next(&it) && strcmp(bson_iter_key(&it), "snapshot") == 0) {
            doc->snapshot = bson_iter_utf8(&it, NULL);
        }
    }
}
