/* Two levels: the envelope is walked here, byte by byte as it comes; each value in it is framed
 * (json_frame.h), then read as a whole by record.c or json_scan.c. DESIGN.md says why. */
#include "agent/codec/transcode.h"

#include "agent/codec/json_frame.h"
#include "agent/codec/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define ENVELOPE_DEPTH 1 /* levels open around a member of the envelope, and around a record */
#define RECORD_DEPTH   2

typedef enum {
    AT_START,
    AT_FIRST_NAME,
    AT_NAME,
    AT_COLON,
    AT_VALUE,
    AFTER_VALUE,
    AT_FIRST_RECORD,
    AT_RECORD,
    AFTER_RECORD,
    AT_END
} place;

typedef enum { FRAME_NONE, FRAME_NAME, FRAME_MEMBER, FRAME_RECORD } frame_kind;
typedef enum { PENDING_NONE, PENDING_RECORD, PENDING_REJECT } pending_kind;

struct transcoder {
    transcode_events events;
    transcode_limits limits;
    transcode_counts counts;
    record_encoder encoder;
    place place;
    bool failed;

    frame_kind framing; /* the value under way, if it did not come in one piece */
    json_frame frame;
    gv_buf carry; /* its bytes so far */
    bool too_long;
    gv_buf name; /* the envelope member's, unescaped */

    /* The bytes in hand, for the place of a fault. */
    gv_span text;
    uint64_t text_at; /* offset of text.data[0] in the document */

    pending_kind pending; /* an event to raise, for the first time or again */
    transcode_record record;
    transcode_reject reject;
};

transcode_limits transcode_default_limits(void)
{
    return (transcode_limits){
        .record_bytes = 64 * 1024, .envelope_bytes = 1024, .depth = 32, .array_items = 4096
    };
}

static size_t carry_bytes(const transcode_limits *limits)
{
    return limits->record_bytes > limits->envelope_bytes ? limits->record_bytes
                                                         : limits->envelope_bytes;
}

size_t transcoder_mem_needed(const plan *p, const transcode_limits *limits)
{
    size_t alignment = 4 * 16;

    return sizeof(transcoder) + record_mem_needed(p, limits) + carry_bytes(limits) + 1 +
           limits->envelope_bytes + alignment;
}

transcoder *transcoder_init(void *mem, size_t mem_bytes, const plan *p,
                            const transcode_limits *limits, const transcode_events *events)
{
    gv_arena arena;

    assert(limits->depth > RECORD_DEPTH && limits->depth <= TRANSCODE_DEPTH_MAX);
    assert(limits->record_bytes >= 64 && limits->record_bytes <= TRANSCODE_RECORD_MAX_BYTES);
    assert(limits->envelope_bytes >= 64);
    gv_arena_init(&arena, mem, mem_bytes);
    transcoder *t = gv_arena_alloc(&arena, sizeof *t);
    assert(t);
    t->events = *events;
    t->limits = *limits;
    record_init(&t->encoder, &arena, p, limits);
    /* One byte more: what follows a number tells its end. */
    t->carry = gv_buf_of(gv_arena_alloc(&arena, carry_bytes(limits) + 1), carry_bytes(limits));
    t->name = gv_buf_of(gv_arena_alloc(&arena, limits->envelope_bytes), limits->envelope_bytes);
    assert(t->carry.data && t->name.data);
    return t;
}

void transcoder_begin(transcoder *t, const plan_value *values)
{
    record_bind(&t->encoder, values);
    t->counts = (transcode_counts){ 0 };
    t->place = AT_START;
    t->failed = false;
    t->framing = FRAME_NONE;
    t->pending = PENDING_NONE;
}

const transcode_counts *transcoder_counts(const transcoder *t)
{
    return &t->counts;
}

/* --- faults --------------------------------------------------------------------------------- */

static gv_status not_json(const transcoder *t, const uint8_t *at, const char *expected,
                          gv_error *err)
{
    uint64_t offset = t->text_at + (uint64_t)(at - t->text.data);
    char found[8];

    if (*at > ' ' && *at < 0x7F)
        snprintf(found, sizeof found, "'%c'", *at);
    else
        snprintf(found, sizeof found, "0x%02X", *at);
    return gv_fail(err, GV_INVAL, "not JSON at byte %" PRIu64 ": expected %s, found %s", offset,
                   expected, found);
}

static gv_status too_deep(const transcoder *t, gv_error *err)
{
    return gv_fail(err, GV_INVAL,
                   "member \"%.*s\" at byte %" PRIu64 " is nested deeper than %u levels",
                   (int)(t->name.len < 80 ? t->name.len : 80), (const char *)t->name.data,
                   t->text_at, (unsigned)t->limits.depth);
}

/* --- events --------------------------------------------------------------------------------- */

/* Raises the pending event. What it refers to is kept when it cannot be taken yet. */
static gv_status raise_pending(transcoder *t, gv_error *err)
{
    gv_status st;

    if (t->pending == PENDING_RECORD) {
        st = t->events.record(t->events.ctx, &t->record, err);
        if (st != GV_OK)
            return st;
        t->counts.records++;
        t->counts.unknown_members += t->encoder.unknown;
        t->counts.replaced_utf8 += t->encoder.replaced;
    } else if (t->pending == PENDING_REJECT) {
        st = t->events.reject(t->events.ctx, &t->reject, err);
        if (st == GV_AGAIN && t->reject.raw.data != t->carry.data) {
            memcpy(t->carry.data, t->reject.raw.data, t->reject.raw.len);
            t->reject.raw.data = t->carry.data;
        }
        if (st != GV_OK)
            return st;
        t->counts.rejects++;
    }
    t->pending = PENDING_NONE;
    return GV_OK;
}

static gv_status accept_record(transcoder *t, gv_error *err)
{
    t->record =
        (transcode_record){ gv_span_of(t->encoder.body.data, t->encoder.body.len), t->encoder.key };
    t->pending = PENDING_RECORD;
    return raise_pending(t, err);
}

static gv_status reject_record(transcoder *t, const char *reason, const char *path, gv_span raw,
                               gv_error *err)
{
    t->reject = (transcode_reject){ .row = t->counts.records + t->counts.rejects,
                                    .reason = reason,
                                    .path = path,
                                    .raw = raw,
                                    .raw_cut = t->too_long };
    t->pending = PENDING_REJECT;
    return raise_pending(t, err);
}

/* A reason with a number in it. */
static gv_status reject_limit(transcoder *t, const char *format, size_t limit, gv_span raw,
                              gv_error *err)
{
    char *reason = t->encoder.reason;

    snprintf(reason, sizeof t->encoder.reason, format, limit);
    return reject_record(t, reason, "", raw, err);
}

/* --- values --------------------------------------------------------------------------------- */

/* Checks the syntax of the value that t->text begins with. */
static const uint8_t *check_value(transcoder *t, uint32_t depth)
{
    json_reader *in = &t->encoder.in;

    in->end = t->text.data + t->text.len;
    in->depth_left = t->limits.depth - depth;
    return json_scan_value(in, t->text.data);
}

/* Encodes the object that t->text begins with. GV_OK with *end NULL: the text is too short or too
 * deep, and nothing was raised. */
static gv_status take_object(transcoder *t, const uint8_t **end, gv_error *err)
{
    record_encoder *e = &t->encoder;
    const uint8_t *after = record_encode(e, t->text, RECORD_DEPTH, (int64_t)t->counts.records);

    *end = after;
    if (after)
        return accept_record(t, err);
    if (e->in.stop == JSON_REFUSED) {
        after = check_value(t, RECORD_DEPTH);
        *end = after;
        if (after) {
            gv_span raw = gv_span_of(t->text.data, (size_t)(after - t->text.data));
            return reject_record(t, e->reason, e->path, raw, err);
        }
    }
    return e->in.stop == JSON_BAD ? not_json(t, e->in.at, e->in.expected, err) : GV_OK;
}

/* A record whose bytes are all in t->text, or its beginning when it is too long. */
static gv_status take_framed_record(transcoder *t, gv_span raw, gv_error *err)
{
    const uint8_t *end;

    t->place = AFTER_RECORD;
    if (t->too_long)
        return reject_limit(t, "longer than %zu bytes", t->limits.record_bytes, raw, err);
    if (raw.data[0] == '{') {
        gv_status st = take_object(t, &end, err);
        if (st != GV_OK || end)
            return st;
        assert(t->encoder.in.stop == JSON_DEEP);
    } else {
        end = check_value(t, RECORD_DEPTH);
        if (end && end != raw.data + raw.len)
            return not_json(t, end, "a comma or ]", err);
        if (!end && t->encoder.in.stop == JSON_BAD)
            return not_json(t, t->encoder.in.at, t->encoder.in.expected, err);
        if (end) {
            snprintf(t->encoder.reason, sizeof t->encoder.reason, "expected an object, found %s",
                     json_kind_name[json_kind_of[raw.data[0]]]);
            return reject_record(t, t->encoder.reason, "", raw, err);
        }
    }
    return reject_limit(t, "nested deeper than %zu levels", t->limits.depth, raw, err);
}

static gv_status take_member(transcoder *t, gv_span json, gv_error *err)
{
    t->place = AFTER_VALUE;
    if (t->too_long)
        return GV_OK;
    const uint8_t *end = check_value(t, ENVELOPE_DEPTH);
    if (!end && t->encoder.in.stop == JSON_DEEP)
        return too_deep(t, err);
    if (!end)
        return not_json(t, t->encoder.in.at, t->encoder.in.expected, err);
    if (end != json.data + json.len)
        return not_json(t, end, "a comma or }", err);
    if (!t->events.member)
        return GV_OK;
    return t->events.member(t->events.ctx, gv_span_of(t->name.data, t->name.len), json, err);
}

static gv_status take_name(transcoder *t, gv_error *err)
{
    json_reader *in = &t->encoder.in;
    json_text name;
    uint32_t replaced = 0;

    t->place = AT_COLON;
    in->end = t->text.data + t->text.len;
    if (!t->too_long && !json_scan_string(in, t->text.data, &name))
        return not_json(t, in->at, in->expected, err);
    t->name.len = 0;
    if (t->too_long || !json_put_text(&t->name, &name, &replaced))
        return gv_fail(err, GV_INVAL,
                       "the member name at byte %" PRIu64 " is longer than %zu bytes", t->text_at,
                       t->limits.envelope_bytes);
    return GV_OK;
}

/* --- framing -------------------------------------------------------------------------------- */

static void start_frame(transcoder *t, frame_kind kind, uint8_t first)
{
    t->framing = kind;
    t->carry.len = 0;
    t->too_long = false;
    json_frame_start(&t->frame, first);
}

/* Text that will never be read as a whole is at least JSON as far as it was kept. */
static gv_status check_beginning(transcoder *t, gv_error *err)
{
    const uint8_t *end = check_value(t, t->framing == FRAME_RECORD ? RECORD_DEPTH : ENVELOPE_DEPTH);

    if (!end && t->encoder.in.stop == JSON_BAD)
        return not_json(t, t->encoder.in.at, t->encoder.in.expected, err);
    if (end && end != t->text.data + t->text.len)
        return not_json(t, end, "the end of the value", err);
    return GV_OK;
}

/* Keeps bytes of the value under way, up to its limit. */
static gv_status carry_bytes_on(transcoder *t, const uint8_t *p, size_t count, gv_error *err)
{
    size_t limit = t->framing == FRAME_RECORD ? t->limits.record_bytes : t->limits.envelope_bytes;
    size_t room = limit - t->carry.len;

    if (t->too_long)
        return GV_OK;
    memcpy(t->carry.data + t->carry.len, p, count < room ? count : room);
    t->carry.len += count < room ? count : room;
    if (count <= room)
        return GV_OK;
    t->too_long = true;
    t->text = gv_span_of(t->carry.data, t->carry.len);
    return check_beginning(t, err);
}

static gv_status take_framed(transcoder *t, gv_span value, gv_error *err)
{
    frame_kind kind = t->framing;

    t->framing = FRAME_NONE;
    if (kind == FRAME_NAME)
        return take_name(t, err);
    return kind == FRAME_MEMBER ? take_member(t, value, err) : take_framed_record(t, value, err);
}

/* Goes on with the value under way; p < end. */
static gv_status continue_frame(transcoder *t, const uint8_t **p, const uint8_t *end, gv_error *err)
{
    bool done;
    size_t count = json_frame_scan(&t->frame, gv_span_of(*p, (size_t)(end - *p)), &done);
    size_t limit = t->framing == FRAME_RECORD ? t->limits.record_bytes : t->limits.envelope_bytes;
    gv_span value = gv_span_of(*p, count);

    if (t->carry.len == 0)
        t->text_at = t->counts.bytes_in;
    *p += count;
    t->counts.bytes_in += count;
    if (!done || t->carry.len != 0 || count > limit) {
        gv_status st = carry_bytes_on(t, value.data, count, err);
        if (st != GV_OK || !done)
            return st;
        value = gv_span_of(t->carry.data, t->carry.len);
        if (t->frame.scalar)
            t->carry.data[t->carry.len] = **p;
    }
    t->text = value;
    t->text.len += t->frame.scalar; /* a number is read up to the byte that ends it */
    return take_framed(t, value, err);
}

/* --- the envelope --------------------------------------------------------------------------- */

static gv_status start_value(transcoder *t, const uint8_t **p, gv_error *err)
{
    if (json_kind_of[**p] == JSON_NOTHING)
        return not_json(t, *p, "a value", err);
    if (!gv_span_equal(gv_span_of(t->name.data, t->name.len),
                       gv_span_str(TRANSCODE_RECORDS_MEMBER))) {
        start_frame(t, FRAME_MEMBER, **p);
        return GV_OK;
    }
    if (**p != '[' || t->counts.saw_records)
        return gv_fail(err, GV_INVAL,
                       "member \"" TRANSCODE_RECORDS_MEMBER "\" at byte %" PRIu64 " %s",
                       t->counts.bytes_in, **p != '[' ? "is no array" : "is there twice");
    t->counts.saw_records = true;
    t->place = AT_FIRST_RECORD;
    ++*p;
    t->counts.bytes_in++;
    return t->events.begin ? t->events.begin(t->events.ctx, err) : GV_OK;
}

/* Nearly every record lies whole in the bytes at hand and is read where it is. */
static gv_status start_record(transcoder *t, const uint8_t **p, const uint8_t *end, gv_error *err)
{
    const uint8_t *begin = *p, *after = NULL;
    size_t have = (size_t)(end - begin);

    if (json_kind_of[*begin] == JSON_NOTHING)
        return not_json(t, begin, "a value", err);
    t->too_long = false;
    if (*begin == '{') {
        t->text = gv_span_of(begin, have < t->limits.record_bytes ? have : t->limits.record_bytes);
        t->text_at = t->counts.bytes_in;
        gv_status st = take_object(t, &after, err);
        if (after) {
            t->place = AFTER_RECORD;
            t->counts.bytes_in += (uint64_t)(after - begin);
            *p = after;
        }
        if (st != GV_OK || after)
            return st;
    }
    start_frame(t, FRAME_RECORD, *begin);
    return GV_OK;
}

/* One byte of the envelope's own: `close` ends the container, `more` goes on with it. */
static gv_status punctuation(transcoder *t, const uint8_t **p, uint8_t more, place after_more,
                             uint8_t close, place after_close, const char *expected, gv_error *err)
{
    if (**p == more)
        t->place = after_more;
    else if (**p == close)
        t->place = after_close;
    else
        return not_json(t, *p, expected, err);
    ++*p;
    t->counts.bytes_in++;
    return GV_OK;
}

/* Goes one step on; p < end. */
static gv_status step(transcoder *t, const uint8_t **p, const uint8_t *end, gv_error *err)
{
    if (t->framing != FRAME_NONE)
        return continue_frame(t, p, end, err);

    t->text = gv_span_of(*p, (size_t)(end - *p));
    t->text_at = t->counts.bytes_in;
    switch (t->place) {
    case AT_START:
        return punctuation(t, p, '{', AT_FIRST_NAME, '{', AT_FIRST_NAME, "an object", err);
    case AT_FIRST_NAME:
        if (**p == '}')
            return punctuation(t, p, '}', AT_END, '}', AT_END, "", err);
        /* fall through */
    case AT_NAME:
        if (**p != '"')
            return not_json(t, *p, "a member's name in quotes", err);
        start_frame(t, FRAME_NAME, '"');
        return GV_OK;
    case AT_COLON:
        return punctuation(t, p, ':', AT_VALUE, ':', AT_VALUE, "a colon", err);
    case AT_VALUE:
        return start_value(t, p, err);
    case AFTER_VALUE:
        return punctuation(t, p, ',', AT_NAME, '}', AT_END, "a comma or }", err);
    case AT_FIRST_RECORD:
        if (**p == ']')
            return punctuation(t, p, ']', AFTER_VALUE, ']', AFTER_VALUE, "", err);
        /* fall through */
    case AT_RECORD:
        return start_record(t, p, end, err);
    case AFTER_RECORD:
        return punctuation(t, p, ',', AT_RECORD, ']', AFTER_VALUE, "a comma or ]", err);
    case AT_END:
        return not_json(t, *p, "nothing after the document", err);
    }
    assert(false && "a place that is none");
    return GV_INVAL;
}

gv_status transcoder_feed(transcoder *t, gv_span bytes, size_t *consumed, gv_error *err)
{
    const uint8_t *p = bytes.data, *end = p + bytes.len;
    gv_status st;

    *consumed = 0;
    if (t->failed)
        return gv_fail(err, GV_INVAL, "the document has failed before");
    st = raise_pending(t, err);
    while (st == GV_OK && p != end) {
        if (t->framing == FRAME_NONE && json_is_space(*p)) {
            p++;
            t->counts.bytes_in++;
        } else {
            st = step(t, &p, end, err);
        }
    }
    t->counts.finished = t->place == AT_END && st == GV_OK;
    t->failed = st != GV_OK && st != GV_AGAIN;
    *consumed = (size_t)(p - bytes.data);
    return st;
}

gv_status transcoder_end(transcoder *t, gv_error *err)
{
    size_t consumed;
    gv_status st = transcoder_feed(t, gv_span_of("", 0), &consumed, err);

    if (st != GV_OK)
        return st;
    if (t->framing != FRAME_NONE && !t->too_long) {
        t->text = gv_span_of(t->carry.data, t->carry.len);
        st = check_beginning(t, err);
        if (st != GV_OK)
            return st;
    }
    if (t->counts.bytes_in == 0)
        return gv_fail(err, GV_INVAL, "the document is empty");
    if (!t->counts.finished)
        return gv_fail(err, GV_INVAL, "the document ends too early, after %" PRIu64 " bytes",
                       t->counts.bytes_in);
    if (!t->counts.saw_records)
        return gv_fail(err, GV_INVAL, "the document has no array \"" TRANSCODE_RECORDS_MEMBER "\"");
    return GV_OK;
}
