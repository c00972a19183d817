#include "agent/pipeline/intake.h"

#include "agent/codec/digest.h"
#include "agent/codec/reject.h"
#include "agent/source/feed.h"

#include <assert.h>
#include <cjson/cJSON.h>

size_t intake_scratch_bytes(const transcode_limits *limits)
{
    return limits->record_bytes + INTAKE_REJECT_FRAME_BYTES;
}

size_t intake_mem_needed(const intake_shared *shared)
{
    return transcoder_mem_needed(shared->auction_plan, &shared->limits);
}

/* Closes the batch that is being filled, empty ones back to the pool. */
static void submit_open(intake *in, batch_kind kind)
{
    batch *b = in->open[kind];
    in->open[kind] = NULL;
    if (!b)
        return;
    if (b->records == 0) {
        pool_give(in->shared->pool, b);
        return;
    }
    in->pending++;
    in->shared->submit(in->shared->ctx, b);
}

/* The batch to fill with that kind; NULL when none is free. */
static batch *open_batch(intake *in, batch_kind kind)
{
    if (in->open[kind])
        return in->open[kind];
    batch *b = pool_take(in->shared->pool);
    if (!b)
        return NULL;
    uint64_t fingerprint =
        kind == BATCH_AUCTIONS ? in->shared->auction_fingerprint : in->shared->reject_fingerprint;
    batch_start(b, kind, &in->snapshot, fingerprint);
    b->owner = in;
    in->open[kind] = b;
    return b;
}

static gv_status append(intake *in, batch_kind kind, uint64_t key, gv_span body, gv_error *err)
{
    for (int tries = 0; tries < 2; tries++) {
        batch *b = open_batch(in, kind);
        if (!b)
            return GV_AGAIN;
        if (batch_append(b, key, body))
            return GV_OK;
        submit_open(in, kind);
    }
    return gv_fail(err, GV_FULL, "a record of %zu bytes does not fit in a batch", body.len);
}

/* The realm id of {"href":".../connected-realm/604?..."}; 0 when there is none. */
static uint32_t realm_of(gv_span json)
{
    uint32_t realm = 0;
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    const cJSON *href = cJSON_GetObjectItemCaseSensitive(root, "href");
    if (cJSON_IsString(href) && !feed_realm_of_href(gv_span_str(href->valuestring), &realm))
        realm = 0;
    cJSON_Delete(root);
    return realm;
}

static gv_status on_member(void *ctx, gv_span name, gv_span json, gv_error *err)
{
    intake *in = ctx;
    static const char realm_member[] = "connected_realm";
    if (!gv_span_equal(name, gv_span_str(realm_member)))
        return GV_OK;
    uint32_t realm = realm_of(json);
    if (realm != in->snapshot.realm)
        return gv_fail(err, GV_INVAL, "the body is of connected realm %u, asked was %u", realm,
                       in->snapshot.realm);
    in->realm_known = true;
    return GV_OK;
}

static gv_status on_begin(void *ctx, gv_error *err)
{
    intake *in = ctx;
    (void)err;
    in->dry = !in->realm_known;
    return GV_OK;
}

static gv_status on_record(void *ctx, const transcode_record *record, gv_error *err)
{
    intake *in = ctx;
    if (in->dry)
        return GV_OK;
    gv_status st = append(in, BATCH_AUCTIONS, (uint64_t)record->key, record->body, err);
    if (st == GV_OK)
        in->digest += codec_digest(record->body);
    return st;
}

static gv_status on_reject(void *ctx, const transcode_reject *reject, gv_error *err)
{
    intake *in = ctx;
    if (in->dry)
        return GV_OK;
    gv_buf scratch = in->shared->scratch;
    if (!reject_encode(&in->snapshot, reject, &scratch))
        return gv_fail(err, GV_FULL, "a reject of %zu bytes is too large", reject->raw.len);
    return append(in, BATCH_REJECTS, reject->row, gv_span_of(scratch.data, scratch.len), err);
}

void intake_init(intake *in, const intake_shared *shared, void *mem, size_t mem_bytes)
{
    const transcode_events events = { on_member, on_begin, on_record, on_reject, in };
    *in = (intake){ .shared = shared };
    in->transcoder =
        transcoder_init(mem, mem_bytes, shared->auction_plan, &shared->limits, &events);
}

void intake_begin(intake *in, const snapshot_id *snapshot, bool realm_known)
{
    assert(in->pending == 0 && !in->open[BATCH_AUCTIONS] && !in->open[BATCH_REJECTS]);
    in->snapshot = *snapshot;
    in->realm_known = realm_known || snapshot->realm == 0;
    in->dry = false;
    in->refused = 0;
    in->digest = 0;
    const plan_value values[] = {
        { .text = in->snapshot.region },
        { .number = in->snapshot.realm },
        { .number = in->snapshot.house },
        { .number = in->snapshot.time_ms },
        { .number = 0 },
    };
    transcoder_begin(in->transcoder, values);
}

gv_status intake_feed(intake *in, gv_span bytes, size_t *taken, gv_error *err)
{
    return transcoder_feed(in->transcoder, bytes, taken, err);
}

void intake_hand_over(intake *in)
{
    submit_open(in, BATCH_AUCTIONS);
    submit_open(in, BATCH_REJECTS);
}

intake_verdict intake_end(intake *in, gv_error *err)
{
    gv_status st = transcoder_end(in->transcoder, err);
    if (st == GV_AGAIN)
        return INTAKE_WAIT; /* the last record still waits for room */
    if (st == GV_OK && !in->realm_known)
        st = gv_fail(err, GV_INVAL, "the body names no connected realm, asked was %u",
                     in->snapshot.realm);
    if (st != GV_OK) {
        intake_abort(in);
        return INTAKE_BROKEN;
    }
    intake_hand_over(in);
    return in->dry ? INTAKE_LOOK_AGAIN : INTAKE_WHOLE;
}

void intake_abort(intake *in)
{
    for (int kind = BATCH_AUCTIONS; kind <= BATCH_REJECTS; kind++) {
        if (in->open[kind])
            pool_give(in->shared->pool, in->open[kind]);
        in->open[kind] = NULL;
    }
}

void intake_returned(intake *in, batch *b, uint32_t refused)
{
    assert(in->pending > 0);
    in->pending--;
    in->refused += refused;
    pool_give(in->shared->pool, b);
}

const transcode_counts *intake_counts(const intake *in)
{
    return transcoder_counts(in->transcoder);
}
