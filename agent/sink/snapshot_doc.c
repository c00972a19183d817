#include "agent/sink/snapshot_doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reading members --- */

static bool find(const bson_t *doc, const char *name, bson_iter_t *it)
{
    return bson_iter_init_find(it, doc, name);
}

/* "" when it is not there, no text, or longer than any of ours: cut, it might not be UTF-8 any more. */
static void get_text(const bson_t *doc, const char *name, char *out, size_t cap)
{
    bson_iter_t it;
    const char *text = "";

    if (find(doc, name, &it) && BSON_ITER_HOLDS_UTF8(&it)) {
        text = bson_iter_utf8(&it, NULL);
    }
    snprintf(out, cap, "%s", strlen(text) < cap ? text : "");
}

static uint64_t get_count(const bson_t *doc, const char *name)
{
    bson_iter_t it;

    if (!find(doc, name, &it)) {
        return 0;
    }
    int64_t v = bson_iter_as_int64(&it);
    return v > 0 ? (uint64_t)v : 0;
}

static bool is_whole_number(const bson_iter_t *it)
{
    if (BSON_ITER_HOLDS_DOUBLE(it)) { /* 5e3 and 5.0 are numbers in JSON too */
        double v = bson_iter_double(it);
        return v >= 0 && v <= 9007199254740992.0 && v == (double)(uint64_t)v;
    }
    return BSON_ITER_HOLDS_INT(it) && bson_iter_as_int64(it) >= 0;
}

/* "eu/604/0/1404174601" taken apart, and nothing else. */
static bool parse_snapshot(const char *text, snapshot_id *out)
{
    char again[SNAPSHOT_TEXT_MAX];
    int64_t seconds;

    memset(out, 0, sizeof *out);
    if (sscanf(text, "%7[^/]/%" SCNu32 "/%" SCNu32 "/%" SCNd64, out->region, &out->realm,
               &out->house, &seconds) != 4 ||
        seconds > INT64_MAX / 1000 || seconds < INT64_MIN / 1000) {
        return false;
    }
    out->time_ms = seconds * 1000;
    snapshot_format(out, again);
    return strcmp(again, text) == 0;
}

/* --- ledger entries --- */

static bool parse_digest(const char *text, uint64_t *out)
{
    char *end;

    if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16) {
        return false;
    }
    *out = strtoull(text, &end, 16);
    return *end == '\0';
}

static gv_status read_entry(const bson_t *whole, ledger *out, gv_error *err)
{
    char digest[32];
    bson_iter_t it;
    snapshot_id id;

    memset(out, 0, sizeof *out);
    get_text(whole, "snapshot", out->snapshot, sizeof out->snapshot);
    get_text(whole, "state", out->claim.state, sizeof out->claim.state);
    get_text(whole, "topic", out->topic, sizeof out->topic);
    get_text(whole, "digest", digest, sizeof digest);
    if (!parse_snapshot(out->snapshot, &id)) {
        return gv_fail(err, GV_CORRUPT,
                       "ledger entry: \"snapshot\" is not of the form region/realm/house/seconds");
    }
    if (!out->claim.state[0]) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: \"state\" is missing or too long");
    }
    bool counted = parse_digest(digest, &out->claim.digest) && find(whole, "records", &it) &&
                   is_whole_number(&it);
    if (!counted && strcmp(out->claim.state, "complete") == 0) {
        return gv_fail(err, GV_CORRUPT,
                       "ledger entry: a complete snapshot needs \"records\" (a number) and "
                       "\"digest\" (16 hexadecimal digits)");
    }
    if (find(whole, "rejects", &it) && !is_whole_number(&it)) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: \"rejects\" is not a count");
    }
    out->claim.records = get_count(whole, "records");
    out->claim.rejects = get_count(whole, "rejects");
    return GV_OK;
}

gv_status ledger_decode(gv_span key, gv_span json, ledger *out, bson_t *whole, gv_error *err)
{
    bson_error_t error;

    if (json.len > LEDGER_JSON_MAX) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: longer than %zu bytes", LEDGER_JSON_MAX);
    }
    if (!bson_utf8_validate((const char *)json.data, json.len, false)) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: not UTF-8 text");
    }
    if (json.len == 0 ||
        !bson_init_from_json(whole, (const char *)json.data, (ssize_t)json.len, &error)) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: not JSON: %s",
                       json.len ? error.message : "it is empty");
    }
    gv_status status = read_entry(whole, out, err);
    if (status == GV_OK && !gv_span_equal(key, gv_span_str(out->snapshot))) {
        status = gv_fail(err, GV_CORRUPT, "ledger entry: the key is not its snapshot, %s",
                         out->snapshot);
    }
    if (status != GV_OK) {
        bson_destroy(whole);
    }
    return status;
}

/* --- making documents --- */

static gv_status append_identity(const char *snapshot, bson_t *out, gv_error *err)
{
    snapshot_id id;

    if (!parse_snapshot(snapshot, &id)) {
        return gv_fail(err, GV_INVAL, "%s does not name a snapshot", snapshot);
    }
    BSON_APPEND_UTF8(out, "region", id.region);
    BSON_APPEND_INT64(out, "realm", id.realm);
    BSON_APPEND_INT64(out, "house", id.house);
    BSON_APPEND_DATE_TIME(out, "snapshot_at", id.time_ms);
    return GV_OK;
}

gv_status snapshot_doc_receiving(const char *snapshot, bson_t *out, gv_error *err)
{
    gv_status status = append_identity(snapshot, out, err);

    BSON_APPEND_UTF8(out, "state", "receiving");
    BSON_APPEND_UTF8(out, "reason", "");
    return status;
}

gv_status snapshot_doc_pending(const ledger *entry, const bson_t *whole, bson_t *out, gv_error *err)
{
    gv_status status = append_identity(entry->snapshot, out, err);

    BSON_APPEND_UTF8(out, "state", "pending");
    BSON_APPEND_UTF8(out, "reason", "");
    BSON_APPEND_INT64(out, "records", (int64_t)entry->claim.records);
    BSON_APPEND_INT64(out, "rejects", (int64_t)entry->claim.rejects);
    BSON_APPEND_DOCUMENT(out, "ledger", whole);
    return status;
}

static void append_missing(const verdict *v, bson_t *out)
{
    bson_t missing, ranges, range;
    const char *key;
    char text[16];

    bson_append_document_begin(out, "missing", -1, &missing);
    BSON_APPEND_INT64(&missing, "count", (int64_t)v->missing);
    bson_append_array_begin(&missing, "ranges", -1, &ranges);
    for (uint32_t i = 0; i < v->range_count; i++) {
        bson_uint32_to_string(i, &key, text, sizeof text);
        bson_append_document_begin(&ranges, key, -1, &range);
        BSON_APPEND_INT64(&range, "first", (int64_t)v->ranges[i].first);
        BSON_APPEND_INT64(&range, "last", (int64_t)v->ranges[i].last);
        bson_append_document_end(&ranges, &range);
    }
    bson_append_array_end(&missing, &ranges);
    bson_append_document_end(out, &missing);
}

void snapshot_doc_verdict(const verdict *v, int64_t now_ms, bson_t *out)
{
    BSON_APPEND_UTF8(out, "state", v->complete ? "complete" : "incomplete");
    BSON_APPEND_UTF8(out, "reason", v->reason);
    BSON_APPEND_BOOL(out, "recheck", false);
    BSON_APPEND_INT64(out, "stored", (int64_t)v->stored);
    BSON_APPEND_INT64(out, "copies", (int64_t)v->copies);
    BSON_APPEND_INT64(out, "rejects_stored", (int64_t)v->rejects);
    append_missing(v, out);
    BSON_APPEND_DATE_TIME(out, "verified_at", now_ms);
}

/* --- reading documents --- */

static bool read_ledger(const bson_t *doc, ledger *out)
{
    bson_iter_t it;
    const uint8_t *data;
    uint32_t len;
    bson_t whole;

    if (!find(doc, "ledger", &it) || !BSON_ITER_HOLDS_DOCUMENT(&it)) {
        return false;
    }
    bson_iter_document(&it, &len, &data);
    return bson_init_static(&whole, data, len) && read_entry(&whole, out, NULL) == GV_OK;
}

bool snapshot_doc_read(const char *id, gv_span bson, snapshot_doc *out)
{
    bson_t doc;
    bson_iter_t it, child;

    memset(out, 0, sizeof *out);
    if (!bson_init_static(&doc, bson.data, bson.len)) {
        return false;
    }
    snprintf(out->entry.snapshot, sizeof out->entry.snapshot, "%s", id);
    out->has_ledger = read_ledger(&doc, &out->entry);
    get_text(&doc, "state", out->state, sizeof out->state);
    get_text(&doc, "reason", out->reason, sizeof out->reason);
    out->recheck = find(&doc, "recheck", &it) && bson_iter_as_bool(&it);
    out->stored = get_count(&doc, "stored");
    out->copies = get_count(&doc, "copies");
    out->rejects_stored = get_count(&doc, "rejects_stored");
    if (find(&doc, "missing", &it) && BSON_ITER_HOLDS_DOCUMENT(&it) &&
        bson_iter_recurse(&it, &child) && bson_iter_find(&child, "count")) {
        out->missing = (uint64_t)bson_iter_as_int64(&child);
    }
    out->verified = find(&doc, "verified_at", &it) && BSON_ITER_HOLDS_DATE_TIME(&it);
    if (out->verified) {
        out->verified_at_ms = bson_iter_date_time(&it);
    }
    return out->state[0] != '\0';
}
