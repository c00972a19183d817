/* What every store adapter promises, asked of each of them: SQLite always, MongoDB when
 * GAVEL_MONGO_URL names a server (host:port or a mongodb:// URL); test_store_mongo.py does that. */
#include "agent/sink/store.h"
#include "tests/conformance/tcp_proxy.h"

#include <mongoc/mongoc.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DOCS_MAX 6000
#define SNAPSHOT "eu/604/0/1404174601"
#define OTHER    "eu/604/0/1404178201"
#define AWAY_MS  300

typedef struct {
    bool mongo;
    int number; /* of databases made so far */
    char name[64];
    store s;
    sqlite3 *locker;
    tcp_proxy proxy;
    store_doc docs[DOCS_MAX];
    const store_doc *pointers[DOCS_MAX];
    bson_t *bodies[DOCS_MAX];
    size_t count;
    size_t refused;
} fixture;

static fixture fix;

static const char *mongo_server(void)
{
    const char *url = getenv("GAVEL_MONGO_URL");

    if (url && strncmp(url, "mongodb://", 10) == 0) {
        url += 10;
    }
    return url;
}

static void open_store(fixture *f, store *out)
{
    gv_error err = { 0 };
    gv_status status;

    if (f->mongo) {
        char uri[128];
        snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%d/?directConnection=true", f->proxy.port);
        status = store_mongo_open(&(store_mongo_config){ uri, f->name, "snapshots", AWAY_MS }, out,
                                  &err);
    } else {
        status = store_sqlite_open(&(store_sqlite_config){ f->name, "snapshots", AWAY_MS, false },
                                   out, &err);
    }
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
}

static void remove_sqlite(const char *name)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    char path[96];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", name, ends[i]);
        unlink(path);
    }
}

static int set_up(void **state)
{
    fixture *f = &fix;
    const char *format = f->mongo ? "gavel_test_%d_%d" : "store_%d_%d.db";

    snprintf(f->name, sizeof f->name, format, (int)getpid(), f->number++);
    f->count = 0;
    f->refused = 0;
    open_store(f, &f->s);
    *state = f;
    return 0;
}

static void drop_docs(fixture *f)
{
    for (size_t i = 0; i < f->count; i++) {
        bson_destroy(f->bodies[i]);
    }
    f->count = 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    drop_docs(f);
    f->s.close(f->s.ctx);
    if (f->mongo) {
        char uri[128];
        snprintf(uri, sizeof uri, "mongodb://127.0.0.1:%d/?directConnection=true", f->proxy.port);
        mongoc_client_t *client = mongoc_client_new(uri);
        mongoc_database_t *db = mongoc_client_get_database(client, f->name);
        mongoc_database_drop(db, NULL);
        mongoc_database_destroy(db);
        mongoc_client_destroy(client);
    } else {
        remove_sqlite(f->name);
    }
    return 0;
}

/* --- helpers --- */

static bson_t *add_doc(fixture *f, const char *snapshot, int64_t id, int64_t position,
                       int64_t digest)
{
    char text[96];
    bson_t *b = bson_new();

    assert_true(f->count < DOCS_MAX);
    snprintf(text, sizeof text, "%s/%lld", snapshot, (long long)id);
    BSON_APPEND_UTF8(b, "_id", text);
    BSON_APPEND_UTF8(b, "snapshot", snapshot);
    BSON_APPEND_INT64(b, "position", position);
    BSON_APPEND_INT64(b, "digest", digest);
    f->bodies[f->count] = b;
    f->docs[f->count] = (store_doc){ .snapshot = snapshot, .position = position, .digest = digest };
    f->pointers[f->count] = &f->docs[f->count];
    f->count++;
    return b;
}

static void count_refused(void *arg, size_t index, const char *reason)
{
    fixture *f = arg;

    assert_true(index < f->count);
    assert_true(reason[0] != '\0');
    f->refused++;
}

static gv_status put_into(fixture *f, store *s, const char *collection, store_counts *counts,
                          gv_error *err)
{
    for (size_t i = 0; i < f->count; i++) {
        bson_iter_t it;
        assert_true(bson_iter_init_find(&it, f->bodies[i], "_id"));
        f->docs[i].id = bson_iter_utf8(&it, NULL);
        f->docs[i].bson = gv_span_of(bson_get_data(f->bodies[i]), f->bodies[i]->len);
    }
    return s->put(s->ctx, collection, f->pointers, f->count, count_refused, f, counts, err);
}

static store_counts put(fixture *f, const char *collection)
{
    store_counts counts = { 0, 0 };
    gv_error err = { 0 };

    gv_status status = f->s.ensure(f->s.ctx, collection, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    status = put_into(f, &f->s, collection, &counts, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    drop_docs(f);
    return counts;
}

typedef struct {
    uint64_t docs;
    uint64_t copies;
    uint64_t digests;
    uint64_t positions;
    int64_t last_copy;
} sums;

static gv_status add_row(void *arg, size_t which, bool copy, int64_t position, int64_t digest)
{
    sums *t = (sums *)arg + which;

    t->docs += !copy;
    t->copies += copy;
    t->digests += (uint64_t)digest;
    t->positions += (uint64_t)position;
    if (copy) {
        t->last_copy = position;
    }
    return GV_OK;
}

static sums scan(fixture *f, const char *collection, const char *snapshot)
{
    sums t = { 0 };
    gv_error err = { 0 };

    gv_status status = f->s.scan(f->s.ctx, collection, &snapshot, 1, add_row, &t, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, GV_OK);
    return t;
}

typedef struct {
    int count;
    char state[32];
    char extra[32];
    char last_id[64];
    int64_t records;
    int64_t at;
    int64_t revision;
} seen;

static gv_status see(void *arg, const char *id, gv_span bson)
{
    seen *t = arg;
    bson_t b;
    bson_iter_t it;

    t->count++;
    snprintf(t->last_id, sizeof t->last_id, "%s", id);
    assert_true(bson_init_static(&b, bson.data, bson.len));
    if (bson_iter_init_find(&it, &b, "state")) {
        snprintf(t->state, sizeof t->state, "%s", bson_iter_utf8(&it, NULL));
    }
    if (bson_iter_init_find(&it, &b, "extra")) {
        snprintf(t->extra, sizeof t->extra, "%s", bson_iter_utf8(&it, NULL));
    }
    if (bson_iter_init_find(&it, &b, "records")) {
        t->records = bson_iter_as_int64(&it);
    }
    if (bson_iter_init_find(&it, &b, "revision")) {
        t->revision = bson_iter_as_int64(&it);
    }
    if (bson_iter_init_find(&it, &b, "snapshot_at")) {
        t->at = bson_iter_date_time(&it);
    }
    return GV_OK;
}

static seen get_snapshot(fixture *f, const char *id)
{
    seen t = { 0 };
    gv_error err = { 0 };

    assert_int_equal(f->s.snapshot_get(f->s.ctx, id, see, &t, &err), GV_OK);
    return t;
}

static gv_span span_of(const bson_t *b)
{
    return gv_span_of(bson_get_data(b), b->len);
}

static void go_away(fixture *f)
{
    if (f->mongo) {
        tcp_proxy_stop(&f->proxy);
    } else {
        assert_int_equal(sqlite3_open(f->name, &f->locker), SQLITE_OK);
        assert_int_equal(sqlite3_exec(f->locker, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    }
}

static void come_back(fixture *f)
{
    if (f->mongo) {
        assert_true(tcp_proxy_start(&f->proxy, mongo_server()));
    } else {
        sqlite3_close(f->locker);
    }
}

/* --- the promises --- */

static void what_was_put_is_there(void **state)
{
    fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        add_doc(f, SNAPSHOT, 100 + i, i, 1000 + i);
    }
    add_doc(f, OTHER, 100, 0, 5);
    store_counts counts = put(f, "auctions.raw");
    assert_int_equal(counts.added, 4);

    sums t = scan(f, "auctions.raw", SNAPSHOT);
    assert_int_equal(t.docs, 3);
    assert_int_equal(t.copies, 0);
    assert_int_equal(t.digests, 3003);
    assert_int_equal(t.positions, 3);
    assert_int_equal(scan(f, "auctions.raw", OTHER).docs, 1);
    assert_int_equal(scan(f, "auctions.raw", "eu/1/0/1").docs, 0);
}

static void putting_again_changes_nothing(void **state)
{
    fixture *f = *state;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            add_doc(f, SNAPSHOT, i, i, 7 * i);
        }
        store_counts counts = put(f, "auctions.raw");
        assert_int_equal(counts.added, round == 0 ? 50 : 0);
        assert_int_equal(counts.copies, 0);
    }
    sums t = scan(f, "auctions.raw", SNAPSHOT);
    assert_int_equal(t.docs, 50);
    assert_int_equal(t.copies, 0);
    assert_int_equal(t.digests, 7 * 49 * 25);
}

static void a_second_position_is_kept_as_a_copy(void **state)
{
    fixture *f = *state;

    for (int round = 0; round < 3; round++) {
        /* in one call, and again in later ones: the same id at positions 0, 5 and 9 */
        add_doc(f, SNAPSHOT, 42, 0, 10);
        add_doc(f, SNAPSHOT, 43, 1, 20);
        add_doc(f, SNAPSHOT, 42, 5, 10);
        if (round > 0) {
            add_doc(f, SNAPSHOT, 42, 9, 30);
        }
        put(f, "auctions.raw");
        sums t = scan(f, "auctions.raw", SNAPSHOT);
        assert_int_equal(t.docs, 2);
        assert_int_equal(t.copies, round > 0 ? 2 : 1);
        assert_int_equal(t.digests, round > 0 ? 70 : 40);
        assert_int_equal(t.positions, round > 0 ? 15 : 6);
        assert_int_equal(t.last_copy, round > 0 ? 9 : 5);
    }
}

static void without_a_position_the_first_one_stays(void **state)
{
    fixture *f = *state;

    add_doc(f, "", 1, STORE_NO_POSITION, 10);
    put(f, "other");
    add_doc(f, "", 1, STORE_NO_POSITION, 11);
    add_doc(f, "", 2, STORE_NO_POSITION, 12);
    store_counts counts = put(f, "other");
    assert_int_equal(counts.added, 1);
    assert_int_equal(counts.copies, 0);
}

static void collections_do_not_touch_each_other(void **state)
{
    fixture *f = *state;

    add_doc(f, SNAPSHOT, 1, 0, 1);
    put(f, "auctions.raw");
    add_doc(f, SNAPSHOT, 1, 3, 2);
    put(f, "auctions.rejects");
    assert_int_equal(scan(f, "auctions.raw", SNAPSHOT).digests, 1);
    assert_int_equal(scan(f, "auctions.rejects", SNAPSHOT).digests, 2);
    assert_int_equal(scan(f, "auctions.rejects", SNAPSHOT).copies, 0);
}

static void odd_collection_names_work(void **state)
{
    fixture *f = *state;

    add_doc(f, SNAPSHOT, 1, 0, 1);
    put(f, "it's a table; drop");
    assert_int_equal(scan(f, "it's a table; drop", SNAPSHOT).docs, 1);
}

static void unusual_values_are_stored(void **state)
{
    fixture *f = *state;
    bson_t child, *b = add_doc(f, SNAPSHOT, INT64_MAX, 0, INT64_MIN);

    BSON_APPEND_INT64(b, "largest", INT64_MAX);
    BSON_APPEND_INT64(b, "smallest", INT64_MIN);
    BSON_APPEND_DATE_TIME(b, "snapshot_at", INT64_C(1404174601000));
    bson_append_utf8(b, "nul", -1, "a\0b", 3);
    BSON_APPEND_UTF8(b, "empty", "");
    BSON_APPEND_UTF8(b, "text", "\xc3\xa9 \xf0\x9f\x90\x89 \" \\ \n");
    BSON_APPEND_BINARY(b, "bytes", BSON_SUBTYPE_BINARY, (const uint8_t *)"\0\xff", 2);
    BSON_APPEND_BINARY(b, "no_bytes", BSON_SUBTYPE_BINARY, (const uint8_t *)"", 0);
    BSON_APPEND_DOUBLE(b, "pi", 3.25);
    bson_append_document_begin(b, "nothing", -1, &child);
    bson_append_document_end(b, &child);
    bson_append_array_begin(b, "none", -1, &child);
    bson_append_array_end(b, &child);
    b = add_doc(f, SNAPSHOT, INT64_MIN, 1, INT64_MAX);
    BSON_APPEND_NULL(b, "null");
    store_counts counts = put(f, "auctions.raw");
    assert_int_equal(f->refused, 0);
    assert_int_equal(counts.added, 2);
    sums t = scan(f, "auctions.raw", SNAPSHOT);
    assert_int_equal(t.docs, 2);
    assert_true(t.digests == UINT64_MAX);
}

static void a_large_batch_is_stored_whole(void **state)
{
    fixture *f = *state;

    for (int i = 0; i < 5000; i++) {
        bson_t item, *b = add_doc(f, SNAPSHOT, 1000000 + i, i, i);
        BSON_APPEND_UTF8(b, "region", "eu");
        BSON_APPEND_INT32(b, "realm", 604);
        bson_append_document_begin(b, "item", -1, &item);
        BSON_APPEND_INT64(&item, "id", i % 97);
        bson_append_document_end(b, &item);
        BSON_APPEND_UTF8(b, "text", "something to make it about as large as an auction really is");
    }
    assert_int_equal(put(f, "auctions.raw").added, 5000);
    sums t = scan(f, "auctions.raw", SNAPSHOT);
    assert_int_equal(t.docs, 5000);
    assert_int_equal(t.digests, 4999 * 2500);
}

static void an_empty_put_is_nothing(void **state)
{
    fixture *f = *state;

    assert_int_equal(put(f, "auctions.raw").added, 0);
}

static gv_status set_snapshot(fixture *f, const char *id, int64_t revision, const bson_t *members)
{
    gv_error err = { 0 };
    gv_status status = f->s.snapshot_set(f->s.ctx, id, revision, span_of(members), &err);

    assert_int_equal(err.text[0], '\0');
    return status;
}

static void snapshots_are_set_by_member(void **state)
{
    fixture *f = *state;
    gv_error err = { 0 };
    bson_t *first = BCON_NEW("state", BCON_UTF8("receiving"), "extra", BCON_UTF8("kept"),
                             "snapshot_at", BCON_DATE_TIME(1404174601000));
    bson_t *set = BCON_NEW("state", BCON_UTF8("complete"), "records", BCON_INT64(INT64_MAX));

    assert_int_equal(get_snapshot(f, SNAPSHOT).count, 0);
    assert_int_equal(set_snapshot(f, SNAPSHOT, 0, first), GV_OK);
    seen t = get_snapshot(f, SNAPSHOT);
    assert_int_equal(t.count, 1);
    assert_string_equal(t.state, "receiving");

    assert_int_equal(set_snapshot(f, SNAPSHOT, t.revision, set), GV_OK);
    t = get_snapshot(f, SNAPSHOT);
    assert_string_equal(t.state, "complete");
    assert_string_equal(t.extra, "kept");
    assert_true(t.records == INT64_MAX);
    assert_true(t.at == INT64_C(1404174601000));

    /* set() makes what is not there; the list is in order of time */
    bson_t *late =
        BCON_NEW("state", BCON_UTF8("pending"), "snapshot_at", BCON_DATE_TIME(1404178201000));
    assert_int_equal(set_snapshot(f, OTHER, 0, late), GV_OK);
    memset(&t, 0, sizeof t);
    assert_int_equal(f->s.snapshots(f->s.ctx, see, &t, &err), GV_OK);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.last_id, OTHER);
    bson_destroy(first);
    bson_destroy(set);
    bson_destroy(late);
}

static void a_snapshot_that_was_changed_meanwhile_is_not_overwritten(void **state)
{
    fixture *f = *state;
    bson_t *mine = BCON_NEW("state", BCON_UTF8("mine"));
    bson_t *theirs = BCON_NEW("state", BCON_UTF8("theirs"), "extra", BCON_UTF8("new"));

    assert_int_equal(set_snapshot(f, SNAPSHOT, 3, mine), GV_AGAIN); /* there is none */
    assert_int_equal(get_snapshot(f, SNAPSHOT).count, 0);
    assert_int_equal(set_snapshot(f, SNAPSHOT, 0, mine), GV_OK);
    assert_int_equal(set_snapshot(f, SNAPSHOT, 0, theirs), GV_AGAIN); /* both found none */
    assert_string_equal(get_snapshot(f, SNAPSHOT).state, "mine");
    int64_t both_read = get_snapshot(f, SNAPSHOT).revision;
    assert_int_equal(set_snapshot(f, SNAPSHOT, both_read, theirs), GV_OK);
    assert_int_equal(set_snapshot(f, SNAPSHOT, both_read, mine), GV_AGAIN);
    seen t = get_snapshot(f, SNAPSHOT);
    assert_string_equal(t.state, "theirs");
    assert_string_equal(t.extra, "new");
    assert_int_equal(t.revision, both_read + 1);
    assert_int_equal(set_snapshot(f, SNAPSHOT, t.revision, mine), GV_OK);
    assert_string_equal(get_snapshot(f, SNAPSHOT).state, "mine");
    bson_destroy(mine);
    bson_destroy(theirs);
}

static gv_status stop_at_once(void *arg, size_t which, bool copy, int64_t position, int64_t digest)
{
    (void)which, (void)copy, (void)position, (void)digest;
    ++*(int *)arg;
    return GV_FULL;
}

static void one_scan_reads_several_snapshots(void **state)
{
    fixture *f = *state;
    const char *const names[] = { SNAPSHOT, "eu/1/0/1", OTHER };
    sums t[3] = { 0 };

    for (int i = 0; i < 300; i++) {
        add_doc(f, i % 3 ? SNAPSHOT : OTHER, i, i, 1);
    }
    add_doc(f, OTHER, 3, 1000, 10); /* a copy */
    add_doc(f, "eu/2/0/2", 1, 0, 1);
    put(f, "auctions.raw");
    assert_int_equal(f->s.scan(f->s.ctx, "auctions.raw", names, 3, add_row, t, NULL), GV_OK);
    assert_int_equal(t[0].docs, 200);
    assert_int_equal(t[0].digests, 200);
    assert_int_equal(t[1].docs, 0);
    assert_int_equal(t[2].docs, 100);
    assert_int_equal(t[2].copies, 1);
    assert_int_equal(t[2].digests, 110);
}

static void a_scan_stops_when_told(void **state)
{
    fixture *f = *state;
    const char *const name = SNAPSHOT;
    int rows = 0;

    add_doc(f, SNAPSHOT, 1, 0, 1);
    add_doc(f, SNAPSHOT, 2, 1, 1);
    put(f, "auctions.raw");
    assert_int_equal(f->s.scan(f->s.ctx, "auctions.raw", &name, 1, stop_at_once, &rows, NULL),
                     GV_FULL);
    assert_int_equal(rows, 1);
}

static void away_is_said_and_over_when_it_is_back(void **state)
{
    fixture *f = *state;
    store_counts counts = { 0, 0 };
    gv_error err = { 0 };
    bson_t *fields = BCON_NEW("state", BCON_UTF8("pending"));

    add_doc(f, SNAPSHOT, 1, 0, 1);
    put(f, "auctions.raw");
    go_away(f);
    add_doc(f, SNAPSHOT, 1, 0, 1);
    add_doc(f, SNAPSHOT, 2, 1, 2);
    assert_int_equal(put_into(f, &f->s, "auctions.raw", &counts, &err), GV_IO);
    assert_non_null(strstr(err.text, f->mongo ? "MongoDB 127.0.0.1" : "SQLite store_"));
    assert_int_equal(f->refused, 0);
    assert_int_equal(counts.added, 0);
    assert_int_equal(f->s.snapshot_set(f->s.ctx, SNAPSHOT, 0, span_of(fields), NULL), GV_IO);
    come_back(f);
    time_t deadline = time(NULL) + 30; /* libmongoc asks a lost server again after some seconds */
    while (put_into(f, &f->s, "auctions.raw", &counts, NULL) != GV_OK) {
        assert_true(time(NULL) < deadline);
        usleep(50000);
    }
    assert_int_equal(counts.added, 1);
    assert_int_equal(set_snapshot(f, SNAPSHOT, 0, fields), GV_OK);
    assert_int_equal(scan(f, "auctions.raw", SNAPSHOT).digests, 3);
    bson_destroy(fields);
}

static void a_second_writer_does_no_harm(void **state)
{
    fixture *f = *state;
    store other;
    store_counts counts = { 0, 0 };
    gv_error err = { 0 };

    open_store(f, &other);
    assert_int_equal(f->s.ensure(f->s.ctx, "auctions.raw", &err), GV_OK);
    assert_int_equal(other.ensure(other.ctx, "auctions.raw", &err), GV_OK);
    for (int round = 0; round < 10; round++) {
        add_doc(f, SNAPSHOT, round, round, 1);
        add_doc(f, SNAPSHOT, 1000, 1000 + round, 1);
        assert_int_equal(put_into(f, round % 2 ? &other : &f->s, "auctions.raw", &counts, &err),
                         GV_OK);
        assert_int_equal(put_into(f, round % 2 ? &f->s : &other, "auctions.raw", &counts, &err),
                         GV_OK);
        drop_docs(f);
    }
    sums t = scan(f, "auctions.raw", SNAPSHOT);
    assert_int_equal(t.docs, 11);
    assert_int_equal(t.copies, 9);
    assert_int_equal(t.digests, 20);
    other.close(other.ctx);
}

static void what_was_put_survives_a_new_start(void **state)
{
    fixture *f = *state;

    add_doc(f, SNAPSHOT, 1, 0, 11);
    put(f, "auctions.raw");
    f->s.close(f->s.ctx);
    open_store(f, &f->s);
    add_doc(f, SNAPSHOT, 2, 1, 22);
    put(f, "auctions.raw");
    assert_int_equal(scan(f, "auctions.raw", SNAPSHOT).digests, 33);
}

static void a_document_that_is_too_large_is_refused_alone(void **state)
{
    fixture *f = *state;
    size_t size = 17 * 1024 * 1024;
    char *text = malloc(size + 1);

    if (!f->mongo) { /* SQLite takes it */
        free(text);
        skip();
    }
    memset(text, 'x', size);
    text[size] = '\0';
    add_doc(f, SNAPSHOT, 1, 0, 1);
    BSON_APPEND_UTF8(add_doc(f, SNAPSHOT, 2, 1, 1), "text", text);
    add_doc(f, SNAPSHOT, 3, 2, 1);
    free(text);
    store_counts counts = put(f, "auctions.raw");
    assert_int_equal(f->refused, 1);
    assert_int_equal(counts.added, 2);
}

static void a_newer_file_is_not_touched(void **state)
{
    fixture *f = *state;
    sqlite3 *db;
    store other;
    gv_error err = { 0 };

    if (f->mongo) {
        skip();
    }
    assert_int_equal(sqlite3_open(f->name, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    store_sqlite_config config = { f->name, "snapshots", AWAY_MS, false };
    assert_int_equal(store_sqlite_open(&config, &other, &err), GV_INVAL);
    assert_non_null(strstr(err.text, "newer gavel-sink"));
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Without an argument all tests; with one, the test of that name. */
int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        EACH(what_was_put_is_there),
        EACH(putting_again_changes_nothing),
        EACH(a_second_position_is_kept_as_a_copy),
        EACH(without_a_position_the_first_one_stays),
        EACH(collections_do_not_touch_each_other),
        EACH(odd_collection_names_work),
        EACH(unusual_values_are_stored),
        EACH(a_large_batch_is_stored_whole),
        EACH(an_empty_put_is_nothing),
        EACH(snapshots_are_set_by_member),
        EACH(a_snapshot_that_was_changed_meanwhile_is_not_overwritten),
        EACH(one_scan_reads_several_snapshots),
        EACH(a_scan_stops_when_told),
        EACH(away_is_said_and_over_when_it_is_back),
        EACH(a_second_writer_does_no_harm),
        EACH(what_was_put_survives_a_new_start),
        EACH(a_document_that_is_too_large_is_refused_alone),
        EACH(a_newer_file_is_not_touched),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    int failed = cmocka_run_group_tests_name("SQLite", tests, NULL, NULL);

    if (!mongo_server()) {
        print_message("MongoDB: GAVEL_MONGO_URL is not set, not asked\n");
        return failed;
    }
    fix.mongo = true;
    if (!tcp_proxy_start(&fix.proxy, mongo_server())) {
        print_error("MongoDB: no server at %s\n", mongo_server());
        return 1;
    }
    failed += cmocka_run_group_tests_name("MongoDB", tests, NULL, NULL);
    tcp_proxy_stop(&fix.proxy);
    return failed;
}
