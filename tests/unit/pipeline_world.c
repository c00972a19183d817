#include "tests/unit/pipeline_world.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (128u * 1024u)

pipeline_world w;

/* --- the server ------------------------------------------------------------------------------- */

static world_realm *realm_of(const char *url)
{
    for (size_t i = 0; i < w.realm_count; i++) {
        char part[64];
        if (w.realms[i].spec.realm)
            snprintf(part, sizeof part, "connected-realm/%u/", w.realm_ids[i]);
        else
            snprintf(part, sizeof part, "/commodities");
        if (strstr(url, part))
            return &w.realms[i];
    }
    fail_msg("nobody serves %s", url);
    return NULL;
}

static void serve(void *ctx, const http_call *call, http_answer *answer)
{
    static const char token[] = "{\"access_token\":\"T\",\"expires_in\":86399}";
    (void)ctx;
    if (strstr(call->url, "oauth")) {
        answer->reply.status = 200;
        answer->body = gv_span_str(token);
        return;
    }
    world_realm *r = realm_of(call->url);
    if (http_call_header(call, "If-Modified-Since")) {
        answer->reply.status = 304;
        return;
    }
    bool spoiled = r->asked++ < r->spoiled;
    int64_t absent = answer->reply.retry_after_s;
    *answer = r->how;
    answer->reply = (http_reply){ .status = 200,
                                  .last_modified = WORLD_TIME_S,
                                  .date = WORLD_TIME_S + 60,
                                  .retry_after_s = absent };
    answer->body = gv_span_of(r->text, r->len);
    if (spoiled && r->cut_at)
        answer->body.len = r->cut_at;
    if (!spoiled && r->spoiled) {
        answer->end = GV_OK;
        answer->stall_at = 0;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void load_schemas(void)
{
    static const char *const paths[] = { GAVEL_SOURCE_DIR "/schemas/auction.avsc",
                                         GAVEL_SOURCE_DIR "/schemas/reject.avsc" };
    gv_arena arena;
    gv_error err = { 0, "" };
    w.schema_memory = malloc(ARENA_BYTES);
    gv_arena_init(&arena, w.schema_memory, ARENA_BYTES);
    for (int i = 0; i < 2; i++) {
        size_t len;
        w.schema_text[i] = body_load(paths[i], &len);
        w.schema_span[i] = gv_span_of(w.schema_text[i], len);
        assert_int_equal(schema_parse(w.schema_span[i], &arena, i ? &w.reject : &w.auction, &err),
                         GV_OK);
    }
}

int world_setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.now = (clock_double){ 1000, WORLD_TIME_S * 1000 };
    w.clock = clock_double_table(&w.now);
    w.disk = disk_double_new(1 << 20);
    w.fs = disk_double_table(w.disk);
    spool_double_reset();
    log_double_open(&w.said);
    load_schemas();
    w.config = (pipeline_config){
        .auction_schema = w.schema_span[0],
        .reject_schema = w.schema_span[1],
        .topics = { "auctions.raw", "auctions.rejects", "auctions.snapshots" },
        .device = "attic",
        .memory_bytes = 4u << 20,
        .batch_count = PIPELINE_BATCHES_MIN,
        .batch_bytes = PIPELINE_BATCH_BYTES_MIN,
        .max_transfers = 4,
    };
    w.outlet_config = (outlet_config){
        .clock = &w.clock,
        .dir = "spool",
        .after_ms = 5000,
        .backpressure_ms = 30000,
        .commit_ms = 200,
        .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
        .topic = "auctions.raw",
        .device = "attic",
    };
    w.source_config = (source_config){
        .base_url = "https://{region}.api.example",
        .token_url = "https://oauth.example/token",
        .client_id = "id",
        .client_secret = "secret",
        .cursor_dir = "cursors",
        .lists = &w.list,
        .list_count = 1,
        .max_transfers = 4,
        .requests_per_s = 100,
        .requests_per_hour = 36000,
        .max_body_bytes = 1u << 30,
        .schedule = { .interval_ms = 3600000,
                      .late_poll_min_ms = 30000,
                      .late_poll_max_ms = 600000,
                      .retry_min_ms = 1000,
                      .retry_max_ms = 60000,
                      .stale_after_ms = 86400000 },
    };
    return 0;
}

void world_serve(world_realm *r, body_spec spec)
{
    free(r->text);
    r->spec = spec;
    r->text = body_make(&spec, &r->len);
}

world_realm *world_add(body_spec spec)
{
    assert_true(w.realm_count < WORLD_REALMS);
    w.realm_ids[w.realm_count] = spec.realm;
    world_realm *r = &w.realms[w.realm_count++];
    world_serve(r, spec);
    return r;
}

static void on_batch_done(void *ctx, batch *b, uint32_t refused)
{
    (void)ctx;
    outlet_on_batch_done(w.outlet, b, refused);
}

static void open_outlet(gv_error *err)
{
    const outlet_events events = pipeline_outlet_events(w.pipeline);
    w.forwarder = forwarder_double_open(on_batch_done, NULL);
    forwarder_double_clock(w.forwarder, &w.clock);
    w.outlet_config.batch_bytes = w.config.batch_bytes;
    if (outlet_open(&w.outlet_config, pipeline_pool(w.pipeline), w.forwarder, &events, &w.outlet,
                    err) != GV_OK)
        fail_msg("%s", err->text);
}

void world_open(void)
{
    gv_error err = { 0, "" };
    static uint32_t ids[WORLD_REALMS];
    size_t count = 0;
    w.list = (source_list){ .region = "eu", .realms = ids };
    for (size_t i = 0; i < w.realm_count; i++) {
        if (w.realm_ids[i])
            ids[count++] = w.realm_ids[i];
        else
            w.list.commodities = true;
    }
    w.list.realm_count = count;
    w.source_config.max_transfers = w.config.max_transfers;
    w.http = http_open(NULL, &w.clock, w.config.max_transfers + 2, "test", NULL);
    http_double_serve(w.http, serve, NULL);
    if (pipeline_open(&w.config, &w.clock, &w.pipeline, &err) != GV_OK)
        fail_msg("%s", err.text);
    open_outlet(&err);
    const source_events events = pipeline_source_events(w.pipeline);
    assert_int_equal(
        source_open(&w.source_config, w.http, &w.fs, &w.clock, &events, &w.source, &err), GV_OK);
    pipeline_attach(w.pipeline, w.source, w.outlet);
}

void world_close(void)
{
    if (w.source)
        source_stop(w.source);
    outlet_close(w.outlet);
    forwarder_double_close(w.forwarder);
    source_close(w.source);
    http_close(w.http);
    pipeline_close(w.pipeline);
    w.forwarder = NULL;
    w.outlet = NULL;
    w.source = NULL;
    w.http = NULL;
    w.pipeline = NULL;
}

int world_teardown(void **state)
{
    (void)state;
    world_close();
    for (size_t i = 0; i < WORLD_REALMS; i++)
        free(w.realms[i].text);
    free(w.schema_text[0]);
    free(w.schema_text[1]);
    free(w.schema_memory);
    spool_double_reset();
    log_double_close(&w.said);
    disk_double_free(w.disk);
    return 0;
}

/* --- what happens ----------------------------------------------------------------------------- */

/* Changes whenever anything has happened. */
static uint64_t activity(void)
{
    const source_counts *c = world_counts();
    const pipeline_counts *p = pipeline_state(w.pipeline);
    return c->requests * 7 + c->snapshots + c->broken + c->failures + c->not_modified + c->tokens +
           p->bytes_in * 31 + http_double_calls(w.http) * 5 + http_double_active(w.http) +
           forwarder_double_count(w.forwarder) * 3;
}

void world_settle(void)
{
    uint64_t before;
    unsigned rounds = 0;
    bool worked;
    do {
        assert_true(rounds++ < 1000000);
        before = activity();
        http_tick(w.http);
        source_tick(w.source);
        http_tick(w.http);
        worked = outlet_tick(w.outlet) <= w.now.mono_ms;
        worked = pipeline_tick(w.pipeline) || worked;
    } while (worked || before != activity());
}

void world_pass_time(uint64_t ms)
{
    clock_double_advance(&w.now, ms);
    world_settle();
}

schedule_random seeded(uint64_t seed)
{
    schedule_random r;
    schedule_seed(&r, seed);
    return r;
}

void world_acknowledge_all(schedule_random *chance)
{
    world_settle();
    for (size_t held; (held = forwarder_double_held(w.forwarder)) > 0; world_settle())
        forwarder_double_release(w.forwarder, (size_t)schedule_below(chance, held), 0);
}

const source_counts *world_counts(void)
{
    return source_state(w.source);
}

size_t world_count(batch_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < forwarder_double_count(w.forwarder); i++)
        n += forwarder_double_record(w.forwarder, i)->kind == kind;
    return n;
}

bool world_has_cursor(uint32_t realm)
{
    char path[64];
    gv_span unused;
    snprintf(path, sizeof path, "cursors/eu-%u-0.cursor", realm);
    return disk_double_look(w.disk, path, &unused);
}

/* --- the ledger ------------------------------------------------------------------------------- */

static void expect_entry(const forwarded *f, const body_tally *t, uint32_t realm)
{
    char name[64], digest[17], fingerprint[17];
    cJSON *root = cJSON_ParseWithLength((const char *)f->body.data, f->body.len);
    const struct {
        const char *name, *text;
    } texts[] = { { "snapshot", name },        { "digest", digest },  { "schema", fingerprint },
                  { "topic", "auctions.raw" }, { "device", "attic" }, { "state", "complete" } };
    snprintf(name, sizeof name, "eu/%u/0/%" PRId64, realm, WORLD_TIME_S);
    snprintf(digest, sizeof digest, "%016" PRIx64, t->digest);
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, w.auction.fingerprint);
    assert_non_null(root);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, texts[i].name)->valuestring,
                            texts[i].text);
    assert_true(cJSON_GetObjectItemCaseSensitive(root, "records")->valuedouble ==
                (double)t->records);
    assert_true(cJSON_GetObjectItemCaseSensitive(root, "rejects")->valuedouble ==
                (double)t->rejects);
    cJSON_Delete(root);
}

void world_expect_proved(const world_realm *r)
{
    body_tally t =
        body_expect_rows(w.forwarder, &r->spec, WORLD_TIME_S * 1000, &w.auction, &w.reject);
    unsigned entries = 0;
    for (size_t i = 0; i < forwarder_double_count(w.forwarder); i++) {
        const forwarded *f = forwarder_double_record(w.forwarder, i);
        if (f->snapshot.realm != r->spec.realm)
            continue;
        assert_int_equal(entries, 0); /* the entry comes last */
        if (f->kind == BATCH_LEDGER) {
            expect_entry(f, &t, r->spec.realm);
            assert_int_equal(f->fingerprint, 0);
            entries++;
        }
    }
    assert_int_equal(entries, 1);
}
