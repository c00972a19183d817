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
    get_text(whole, "reason", out->reason, sizeof out->reason);
    get_text(whole, "device", out->device, sizeof out->device);
    out->is_gap = strcmp(out->claim.state, "gap") == 0;
    if (!parse_snapshot(out->snapshot, &id)) {
        return gv_fail(err, GV_CORRUPT,
                       "ledger entry: \"snapshot\" is not of the form region/realm/house/seconds");
    }
    if (!out->claim.state[0]) {
        return gv_fail(err, GV_CORRUPT, "ledger entry: \"state\" is missing or too long");
    }
    bool counted = find(whole, "records", &it) && is_whole_number(&it);
    if (!counted && out->is_gap) {
        return gv_fail(err, GV_CORRUPT,
                       "ledger entry: a gap needs \"records\" (the number of those dropped)");
    }
    bool has_digest = parse_digest(digest, &out->claim.digest);
    if (!(counted && has_digest) && strcmp(out->claim.state, "complete") == 0) {
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

static void append_place(const char *name, const ledger_place *at, bson_t *out)
{
    bson_t place;

    bson_append_document_begin(out, name, -1, &place);
    BSON_APPEND_UTF8(&place, "topic", at->topic);
    BSON_APPEND_INT32(&place, "partition", at->partition);
    BSON_APPEND_INT64(&place, "offset", at->offset);
    bson_append_document_end(out, &place);
}

gv_status snapshot_doc_ledger(const ledger_change *change, bson_t *out, gv_error *err)
{
    const ledger *entry = change->entry;
    gv_status status = append_identity(entry->snapshot, out, err);

    if (change->pending) {
        BSON_APPEND_UTF8(out, "state", "pending");
        BSON_APPEND_UTF8(out, "reason", "");
    }
    if (!entry->is_gap) {
        BSON_APPEND_INT64(out, "records", (int64_t)entry->claim.records);
        BSON_APPEND_INT64(out, "rejects", (int64_t)entry->claim.rejects);
    }
    bson_append_document(out, entry->is_gap ? "gap" : "ledger", -1, change->whole);
    append_place(entry->is_gap ? "gap_at" : "ledger_at", change->at, out);
    BSON_APPEND_BOOL(out, "gap_last", change->gap_last);
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
    BSON_APPEND_UTF8(out, "state", verdict_state_name(v->state));
    BSON_APPEND_UTF8(out, "reason", v->reason);
    BSON_APPEND_BOOL(out, "recheck", false);
    BSON_APPEND_INT64(out, "stored", (int64_t)v->stored);
    BSON_APPEND_INT64(out, "copies", (int64_t)v->copies);
    BSON_APPEND_INT64(out, "rejects_stored", (int64_t)v->rejects);
    BSON_APPEND_INT64(out, "dropped", (int64_t)v->dropped);
    append_missing(v, out);
    BSON_APPEND_DATE_TIME(out, "verified_at", now_ms);
}

/* --- reading documents --- */

static bool get_document(const bson_t *doc, const char *name, bson_t *out)
{
    bson_iter_t it;
    const uint8_t *data;
    uint32_t len;

    if (!find(doc, name, &it) || !BSON_ITER_HOLDS_DOCUMENT(&it)) {
        return false;
    }
    bson_iter_document(&it, &len, &data);
    return bson_init_static(out, data, len);
}

static bool read_ledger(const bson_t *doc, const char *name, ledger *out)
{
    bson_t whole;

    return get_document(doc, name, &whole) && read_entry(&whole, out, NULL) == GV_OK;
}

static void read_place(const bson_t *doc, const char *name, ledger_place *out)
{
    bson_t place;

    if (get_document(doc, name, &place)) {
        get_text(&place, "topic", out->topic, sizeof out->topic);
        out->partition = (int32_t)get_count(&place, "partition");
        out->offset = (int64_t)get_count(&place, "offset");
    }
}

bool snapshot_doc_read(const char *id, gv_span bson, snapshot_doc *out)
{
    bson_t doc;
    bson_iter_t it, child;

    memset(out, 0, sizeof *out);
    if (!bson_init_static(&doc, bson.data, bson.len)) {
        return false;
    }
    snprintf(out->id, sizeof out->id, "%s", id);
    out->has_ledger = read_ledger(&doc, "ledger", &out->entry);
    out->has_gap = read_ledger(&doc, "gap", &out->gap);
    out->gap_last = find(&doc, "gap_last", &it) && bson_iter_as_bool(&it);
    read_place(&doc, "ledger_at", &out->entry_at);
    read_place(&doc, "gap_at", &out->gap_at);
    out->revision = (int64_t)get_count(&doc, "revision");
    get_text(&doc, "state", out->state, sizeof out->state);
    get_text(&doc, "reason", out->reason, sizeof out->reason);
    out->recheck = find(&doc, "recheck", &it) && bson_iter_as_bool(&it);
    out->stored = get_count(&doc, "stored");
    out->copies = get_count(&doc, "copies");
    out->rejects_stored = get_count(&doc, "rejects_stored");
    out->dropped = get_count(&doc, "dropped");
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
