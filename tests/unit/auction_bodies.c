#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/auction_bodies.h"

#include "agent/codec/avro_in.h"
#include "agent/codec/digest.h"

#include <stdio.h>
#include <stdlib.h>

/* --- making ----------------------------------------------------------------------------------- */

bool body_row_is_bad(const body_spec *spec, unsigned i)
{
    return spec->reject_every && i % spec->reject_every == spec->reject_every - 1;
}

int64_t body_row_id(unsigned i)
{
    return 279667730 + (int64_t)i * 7;
}

unsigned body_rejects(const body_spec *spec)
{
    return spec->reject_every ? spec->rows / spec->reject_every : 0;
}

size_t body_row(const body_spec *spec, unsigned i, char text[BODY_ROW_MAX])
{
    char note[2048] = "";
    if (spec->long_every && i % spec->long_every == 0) {
        memset(note, 'n', sizeof note - 1);
        note[100 + i * 37 % 1900] = '\0';
    }
    int len = snprintf(text, BODY_ROW_MAX,
                       "{\"id\":%lld,\"item\":{\"id\":%u,\"context\":22,\"bonus_lists\":[6654,%u],"
                       "\"modifiers\":[{\"type\":9,\"value\":%u}]},\"buyout\":%llu,%s"
                       "%s%s%s\"time_left\":\"VERY_LONG\"}",
                       (long long)body_row_id(i), 1000 + i % 97, i % 13, i % 80, 50000000000ull + i,
                       body_row_is_bad(spec, i) ? "\"quantity\":\"many\"," : "\"quantity\":3,",
                       note[0] ? "\"note\":\"" : "", note, note[0] ? "\"," : "");
    assert_in_range(len, 1, BODY_ROW_MAX - 1);
    return (size_t)len;
}

char *body_make(const body_spec *spec, size_t *len)
{
    static const char link[] =
        "\"connected_realm\":{\"href\":\"https://eu.api.example/data/wow/connected-realm/%u"
        "?namespace=dynamic-eu\"}";
    size_t cap = 1024 + (size_t)spec->rows * BODY_ROW_MAX;
    char *text = malloc(cap), realm[256];
    assert_non_null(text);
    snprintf(realm, sizeof realm, link, spec->realm);
    if (spec->where == REALM_NO_LINK)
        snprintf(realm, sizeof realm, "\"connected_realm\":{\"id\":%u}", spec->realm);
    size_t at =
        (size_t)snprintf(text, cap, "{\"_links\":{\"self\":{\"href\":\"x\"}},%s%s\"auctions\":[",
                         spec->where == REALM_FIRST || spec->where == REALM_NO_LINK ? realm : "",
                         spec->where == REALM_FIRST || spec->where == REALM_NO_LINK ? "," : "");
    for (unsigned i = 0; i < spec->rows; i++) {
        if (i > 0)
            text[at++] = ',';
        at += body_row(spec, i, text + at);
    }
    at += (size_t)snprintf(text + at, cap - at, "]%s%s,\"commodities\":{\"href\":\"y\"}}",
                           spec->where == REALM_LAST ? "," : "",
                           spec->where == REALM_LAST ? realm : "");
    *len = at;
    return text;
}

char *body_load(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    *len = (size_t)size;
    return text;
}

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct {
    body_fields *out;
    unsigned depth;
    bool in_item, in_extra;
} decoding;

static bool is(gv_span name, const char *text)
{
    return gv_span_equal(name, gv_span_str(text));
}

static gv_status on_null(void *ctx, gv_span name, uint32_t index, gv_error *err)
{
    (void)ctx, (void)name, (void)index, (void)err;
    return GV_OK;
}

static gv_status on_boolean(void *ctx, gv_span name, uint32_t index, bool v, gv_error *err)
{
    decoding *d = ctx;
    (void)index, (void)err;
    if (is(name, "raw_cut"))
        d->out->raw_cut = v;
    return GV_OK;
}

static gv_status on_integer(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                            int64_t v, gv_error *err)
{
    decoding *d = ctx;
    body_fields *o = d->out;
    struct {
        const char *name;
        int64_t *to;
    } fields[] = {
        { "realm", &o->realm },       { "house", &o->house }, { "snapshot_at", &o->snapshot_at },
        { "position", &o->position }, { "id", &o->id },       { "quantity", &o->quantity },
        { "buyout", &o->buyout },     { "row", &o->row }
    };
    (void)index, (void)type, (void)err;
    if (d->depth == 2 && d->in_item && is(name, "id"))
        o->item_id = v;
    for (size_t i = 0; d->depth == 1 && i < sizeof fields / sizeof fields[0]; i++)
        if (is(name, fields[i].name))
            *fields[i].to = v;
    return GV_OK;
}

static gv_status on_floating(void *ctx, gv_span name, uint32_t index, double v, gv_error *err)
{
    (void)ctx, (void)name, (void)index, (void)v, (void)err;
    return GV_OK;
}

static void copy(char *to, size_t cap, gv_span v)
{
    assert_true(v.len < cap);
    if (v.len)
        memcpy(to, v.data, v.len);
    to[v.len] = '\0';
}

static gv_status on_text(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                         gv_span v, gv_error *err)
{
    decoding *d = ctx;
    (void)index, (void)type, (void)err;
    if (d->in_extra)
        d->out->extras++;
    if (d->depth != 1)
        return GV_OK;
    if (is(name, "region"))
        copy(d->out->region, sizeof d->out->region, v);
    else if (is(name, "reason"))
        copy(d->out->reason, sizeof d->out->reason, v);
    else if (is(name, "path"))
        copy(d->out->path, sizeof d->out->path, v);
    else if (is(name, "raw")) {
        d->out->raw_len = v.len;
        memcpy(d->out->raw, v.data, v.len < BODY_ROW_MAX ? v.len : BODY_ROW_MAX);
    }
    return GV_OK;
}

static gv_status on_begin(void *ctx, gv_span name, uint32_t index, const schema_node *type,
                          gv_error *err)
{
    decoding *d = ctx;
    (void)index, (void)type, (void)err;
    if (d->depth == 1) {
        d->in_item = is(name, "item");
        d->in_extra = is(name, "extra");
    }
    d->depth++;
    return GV_OK;
}

static gv_status on_end(void *ctx, const schema_node *type, gv_error *err)
{
    decoding *d = ctx;
    (void)type, (void)err;
    if (--d->depth == 1)
        d->in_item = d->in_extra = false;
    return GV_OK;
}

void body_decode(const schema *s, gv_span avro, body_fields *out)
{
    *out = (body_fields){ .raw_len = 0 };
    decoding d = { .out = out };
    gv_error err = { 0, "" };
    const avro_visitor visitor = { on_null, on_boolean, on_integer, on_floating,
                                   on_text, on_begin,   on_end,     &d };
    if (avro_in_walk(s->root, avro, &visitor, &err) != GV_OK)
        fail_msg("not by its schema: %s", err.text);
}

/* --- comparing -------------------------------------------------------------------------------- */

static void expect_auction(const forwarded *f, const body_spec *spec, unsigned row,
                           uint64_t position, const schema *s)
{
    body_fields got;
    body_decode(s, f->body, &got);
    assert_true(f->fingerprint == s->fingerprint);
    assert_int_equal(f->key, body_row_id(row));
    assert_int_equal(got.id, body_row_id(row));
    assert_int_equal(got.position, position);
    assert_int_equal(got.item_id, 1000 + row % 97);
    assert_true(got.buyout == INT64_C(50000000000) + row);
    assert_int_equal(got.quantity, 3);
    assert_int_equal(got.extras, spec->long_every && row % spec->long_every == 0);
    assert_string_equal(got.region, "eu");
    assert_int_equal(got.realm, spec->realm);
    assert_int_equal(got.house, 0);
    assert_int_equal(got.snapshot_at, f->snapshot.time_ms);
}

static void expect_reject(const forwarded *f, const body_spec *spec, unsigned row, const schema *s)
{
    body_fields got;
    char text[BODY_ROW_MAX];
    body_decode(s, f->body, &got);
    assert_true(f->fingerprint == s->fingerprint);
    assert_int_equal(f->key, row);
    assert_int_equal(got.row, row);
    assert_string_equal(got.path, "quantity");
    assert_true(got.reason[0] != '\0');
    assert_int_equal(got.raw_len, body_row(spec, row, text));
    assert_memory_equal(got.raw, text, got.raw_len);
    assert_false(got.raw_cut);
    assert_string_equal(got.region, "eu");
    assert_int_equal(got.realm, spec->realm);
    assert_int_equal(got.snapshot_at, f->snapshot.time_ms);
}

body_tally body_expect_rows(const forwarder *f, const body_spec *spec, int64_t time_ms,
                            const schema *auction, const schema *reject)
{
    body_tally t = { 0, 0, 0 };
    unsigned good = 0, bad = 0; /* the rows that come next */
    for (size_t n = 0; n < forwarder_double_count(f); n++) {
        const forwarded *r = forwarder_double_record(f, n);
        if (r->snapshot.realm != spec->realm || r->snapshot.time_ms != time_ms ||
            r->kind == BATCH_LEDGER)
            continue;
        if (r->kind == BATCH_AUCTIONS) {
            while (body_row_is_bad(spec, good))
                good++;
            expect_auction(r, spec, good++, t.records++, auction);
            t.digest += codec_digest(r->body);
        } else {
            while (!body_row_is_bad(spec, bad))
                bad++;
            expect_reject(r, spec, bad++, reject);
            t.rejects++;
        }
    }
    assert_int_equal(t.records, spec->rows - body_rejects(spec));
    assert_int_equal(t.rejects, body_rejects(spec));
    return t;
}
