#include "agent/forward/forwarder.h"

#include "platform/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_TIMEOUT_MS 10000
#define KEY_MAX           SNAPSHOT_TEXT_MAX

/* batch.send_state: */
enum {
    SEND_AGAIN = 1, /* some entry failed: start over when nothing of the batch is under way */
    SEND_ALONE = 2  /* ... one by one, to find the entry the broker does not take */
};

struct forwarder {
    forwarder_config config;
    plat_loop *loop;
    const plat_clock *clock;
    forwarder_events events;
    kafka_producer *producer; /* NULL while a new one is due */
    batch *first;
    batch **last_next;
    batch *recent;         /* where the last delivery report belonged */
    uint32_t in_flight;    /* of all batches */
    size_t alone_until;    /* of the first batch with SEND_ALONE: beyond, it is sent as usual */
    bool is_new;           /* something was submitted since the last look */
    bool is_fatal;         /* the producer must go */
    bool link_up;          /* a broker is connected */
    unsigned denied_kinds; /* bits: kinds whose topic cannot be written, as was seen last */
    bool topics_ready;     /* were found there; unset again by an error that says otherwise */
    bool topics_asked;     /* an answer is due */
    uint64_t topics_at_ms; /* when to ask, if not ready */
    uint64_t open_at_ms;   /* when to make a producer, if there is none */
    uint64_t send_at_ms;   /* not earlier, after a failure */
    uint32_t backoff_ms;   /* 0 after a success */
    forwarder_status status;
};

/* --- back-off ------------------------------------------------------------------------------------ */

/* When to try again after a failure; those that come together count once. */
static uint64_t retry_at(forwarder *f, kafka_failure failure)
{
    uint64_t now = plat_mono_ms(f->clock);

    if (now < f->send_at_ms)
        return f->send_at_ms;
    if (failure == KAFKA_DENIED)
        f->backoff_ms = f->config.retry_max_ms;
    else if (f->backoff_ms == 0)
        f->backoff_ms = f->config.retry_min_ms;
    else
        f->backoff_ms =
            f->backoff_ms > f->config.retry_max_ms / 2 ? f->config.retry_max_ms : f->backoff_ms * 2;
    return now + f->backoff_ms;
}

static void pause_after(forwarder *f, kafka_failure failure)
{
    f->send_at_ms = retry_at(f, failure);
    if ((failure == KAFKA_NO_TOPIC || failure == KAFKA_DENIED) && f->config.ensure_count) {
        f->topics_ready = false;
        f->topics_at_ms = f->send_at_ms;
    }
    if (failure == KAFKA_FATAL)
        f->is_fatal = true;
}

/* --- what the producer tells ---------------------------------------------------------------------- */
static void set_state(forwarder *f, bool up, kafka_failure failure, const char *text)
{
    bool is_news = f->status.up != up || strcmp(f->status.text, text) != 0;

    f->status.up = up;
    f->status.failure = failure;
    snprintf(f->status.text, sizeof f->status.text, "%s", text);
    if (is_news)
        GV_LOG(up ? GV_LOG_INFO : GV_LOG_WARN, gv_kmsg(text), gv_kstr("part", "forwarder"));
}

/* Up again, unless there is more than one trouble. */
static void settle(forwarder *f)
{
    if (!f->status.up && f->link_up && f->topics_ready && f->denied_kinds == 0)
        set_state(f, true, KAFKA_RETRY, "a broker answers");
}

static void on_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    forwarder *f = ctx;

    f->link_up = up;
    if (up) {
        settle(f);
        return;
    }
    set_state(f, false, failure, text);
    if (failure == KAFKA_FATAL)
        pause_after(f, KAFKA_FATAL);
    if (f->config.ensure_count) { /* it may come back as another, or as an empty one */
        f->topics_ready = false;
        f->topics_at_ms = 0;
    }
}

static void on_topics(void *ctx, gv_status status, const gv_error *err)
{
    forwarder *f = ctx;

    f->topics_asked = false;
    f->topics_ready = status == GV_OK;
    if (status == GV_OK) {
        if (err->text[0] != '\0')
            GV_LOG(GV_LOG_WARN, gv_kmsg(err->text), gv_kstr("part", "forwarder"));
        settle(f);
        return;
    }
    f->topics_at_ms = plat_mono_ms(f->clock) +
                      (status == GV_INVAL ? f->config.retry_max_ms : f->config.retry_min_ms);
    if (status == GV_INVAL || f->link_up) /* else it is known why nobody answers */
        set_state(f, false, status == GV_INVAL ? KAFKA_DENIED : KAFKA_RETRY, err->text);
}

static bool owns(const batch *b, const uint8_t *entry)
{
    uintptr_t at = (uintptr_t)entry, start = (uintptr_t)b->bytes.data;

    return at >= start && at - start < b->bytes.len;
}

/* A report names its entry by the entry's address; there are few batches to look through, and
 * reports come in runs. */
static batch *batch_of(forwarder *f, const uint8_t *entry)
{
    if (f->recent && owns(f->recent, entry))
        return f->recent;
    for (batch *b = f->first; b; b = b->next)
        if (owns(b, entry))
            return f->recent = b;
    return NULL;
}

static void refuse(forwarder *f, batch *b, size_t offset, const char *reason)
{
    char id[SNAPSHOT_TEXT_MAX];

    batch_mark_acked(b, offset);
    b->refused++;
    f->status.records_refused++;
    snapshot_format(&b->snapshot, id);
    GV_LOG(GV_LOG_ERROR, gv_kmsg("a record is refused and will be missing"),
           gv_kstr("snapshot", id), gv_kstr("reason", reason));
}

static void on_delivered(void *ctx, void *opaque, bool acked, kafka_failure failure,
                         const char *reason)
{
    forwarder *f = ctx;
    const uint8_t *entry = opaque;
    batch *b = batch_of(f, entry);

    assert(b && b->in_flight > 0 && f->in_flight > 0);
    size_t offset = (size_t)(entry - b->bytes.data);
    b->in_flight--;
    f->in_flight--;
    if (acked) {
        batch_mark_acked(b, offset);
        f->status.records_acked++;
        f->backoff_ms = 0;
        f->denied_kinds &= ~(1u << b->kind);
        if (!f->status.up)
            settle(f);
        return;
    }
    if (failure == KAFKA_BAD_RECORD && (b->send_state & SEND_ALONE) && offset < f->alone_until) {
        refuse(f, b, offset, reason);
        return;
    }
    f->status.resent++;
    b->send_state |= SEND_AGAIN;
    if (failure == KAFKA_BAD_RECORD)
        b->send_state |= SEND_ALONE;
    else
        pause_after(f, failure);
    if (failure == KAFKA_DENIED || failure == KAFKA_NO_TOPIC) {
        f->denied_kinds |= 1u << b->kind;
        set_state(f, false, failure, reason);
    }
    GV_LOG(GV_LOG_DEBUG, gv_kmsg("a record was not acknowledged and is sent again"),
           gv_kstr("kind", kafka_failure_name(failure)), gv_kstr("reason", reason));
}

/* --- producer and topics --------------------------------------------------------------------------- */
static gv_status open_producer(forwarder *f, gv_error *err)
{
    const kafka_producer_events events = { on_delivered, on_state, f };

    f->is_fatal = false;
    f->link_up = false;
    f->topics_asked = false;
    f->topics_ready = f->config.ensure_count == 0;
    f->topics_at_ms = 0;
    return kafka_producer_open(&f->config.kafka, f->loop, &events, &f->producer, err);
}

/* What was under way is reported as failed, and so sent again by the next producer. */
static void drop_producer(forwarder *f)
{
    kafka_producer_close(f->producer);
    f->producer = NULL;
    f->topics_asked = false;
    for (batch *b = f->first; b; b = b->next) {
        if (b->in_flight)
            b->send_state |= SEND_AGAIN;
        b->in_flight = 0;
    }
    f->in_flight = 0;
    f->open_at_ms = f->send_at_ms;
}

static void renew_producer(forwarder *f, uint64_t now)
{
    gv_error err = { 0, "" };

    if (f->producer && f->is_fatal)
        drop_producer(f);
    if (f->producer || now < f->open_at_ms)
        return;
    if (open_producer(f, &err) == GV_OK)
        return;
    set_state(f, false, KAFKA_FATAL, err.text);
    f->open_at_ms = now + f->config.retry_max_ms;
}

static void ask_topics(forwarder *f, uint64_t now)
{
    gv_error err = { 0, "" };

    if (f->topics_ready || f->topics_asked || now < f->topics_at_ms)
        return;
    f->topics_asked = true;
    if (kafka_topics_ensure(f->producer, f->config.ensure, f->config.ensure_count,
                            f->config.create_topics, TOPICS_TIMEOUT_MS, on_topics, f,
                            &err) == GV_OK)
        return;
    f->topics_asked = false;
    f->topics_at_ms = now + f->config.retry_max_ms;
}

/* --- sending --------------------------------------------------------------------------------------- */
static size_t put_decimal(char *out, uint64_t value)
{
    char digits[20];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

/* The part of the keys that all entries of the batch share; of a ledger entry it is all. */
static size_t start_key(const batch *b, char key[KEY_MAX])
{
    if (b->kind == BATCH_LEDGER) {
        snapshot_format(&b->snapshot, key);
        return strlen(key);
    }
    return (size_t)snprintf(key, KEY_MAX, "%s/%u/", b->snapshot.region, b->snapshot.realm);
}

static gv_status send_entry(forwarder *f, const batch *b, const batch_entry *entry,
                            const uint32_t *id, char *key, size_t shared, gv_error *err)
{
    uint8_t *framed = entry->framed;
    size_t skip = BATCH_PREFIX_BYTES, len = shared;

    if (id) {
        framed[0] = 0;
        gv_put_be32(framed + 1, *id);
        skip = 0;
    }
    if (b->kind != BATCH_LEDGER)
        len += put_decimal(key + shared, entry->key);
    return kafka_produce(f->producer, f->config.topics[b->kind], gv_span_of(key, len),
                         gv_span_of(framed + skip, entry->framed_len - skip), b->snapshot.time_ms,
                         b->bytes.data + entry->offset, err);
}

/* Sends on from where the batch stopped: GV_OK when its end is reached, GV_AGAIN when nothing more
 * can be sent now. */
static gv_status send_batch(forwarder *f, batch *b, const uint32_t *id)
{
    char key[KEY_MAX];
    size_t shared = start_key(b, key), next = b->send_offset;
    batch_entry entry;

    while (batch_next(b, &next, &entry)) {
        bool is_alone = entry.offset < f->alone_until;
        gv_error err = { 0, "" };
        gv_status status = GV_OK;

        if (b->send_state & SEND_ALONE) {
            if (f->in_flight && !entry.acked)
                return GV_AGAIN;
            if (!is_alone)
                b->send_state = 0;
        }
        if (!entry.acked)
            status = send_entry(f, b, &entry, id, key, shared, &err);
        if (status == GV_FULL)
            return GV_AGAIN;
        if (status == GV_AGAIN) {
            f->denied_kinds |= 1u << b->kind;
            set_state(f, false, KAFKA_NO_TOPIC, err.text);
            pause_after(f, KAFKA_NO_TOPIC);
            return GV_AGAIN;
        }
        if (status == GV_INVAL)
            refuse(f, b, entry.offset, err.text);
        else if (!entry.acked) {
            b->in_flight++;
            f->in_flight++;
        }
        b->send_offset = next;
    }
    return GV_OK;
}

static bool is_sent(const batch *b)
{
    return b->send_offset >= b->bytes.len && !(b->send_state & SEND_AGAIN);
}

/* In order; a batch without its schema id holds up its own kind only. */
static void send_all(forwarder *f)
{
    bool blocked[BATCH_KINDS] = { false };

    for (batch *b = f->first; b; b = b->next) {
        uint32_t id = 0;

        if ((b->send_state & SEND_ALONE) && b->in_flight)
            return;
        if (is_sent(b) || blocked[b->kind])
            continue;
        if (b->send_state & SEND_AGAIN) {
            if (b->in_flight)
                return;
            f->alone_until = b->send_offset;
            b->send_offset = 0;
            b->send_state = (uint8_t)(b->send_state & ~SEND_AGAIN);
        }
        if (b->fingerprint && f->events.schema_id(f->events.ctx, f->config.topics[b->kind],
                                                  b->fingerprint, &id) != GV_OK) {
            blocked[b->kind] = true;
            continue;
        }
        if (send_batch(f, b, b->fingerprint ? &id : NULL) != GV_OK)
            return;
    }
}

/* --- contract -------------------------------------------------------------------------------------- */
static void give_back(forwarder *f)
{
    batch **from = &f->first;

    while (*from) {
        batch *b = *from;

        if (b->acked < b->records || b->in_flight) {
            from = &b->next;
            continue;
        }
        *from = b->next;
        if (!*from)
            f->last_next = from;
        if (f->recent == b)
            f->recent = NULL;
        b->next = NULL;
        f->status.batches_waiting--;
        f->events.done(f->events.ctx, b, b->refused);
        from = &f->first; /* `done` may have submitted */
    }
}

gv_status forwarder_open(const forwarder_config *config, plat_loop *loop, const plat_clock *clock,
                         const forwarder_events *events, forwarder **out, gv_error *err)
{
    forwarder *f = calloc(1, sizeof *f);
    gv_status status;

    *out = NULL;
    if (!f)
        return gv_fail(err, GV_IO, "forwarder: out of memory");
    f->config = *config;
    f->loop = loop;
    f->clock = clock;
    f->events = *events;
    f->last_next = &f->first;
    snprintf(f->status.text, sizeof f->status.text, "no broker has answered yet");
    status = open_producer(f, err);
    if (status != GV_OK) {
        free(f);
        return status;
    }
    *out = f;
    return GV_OK;
}

void forwarder_submit(forwarder *f, batch *b)
{
    b->send_offset = 0;
    b->send_state = 0;
    b->in_flight = 0;
    b->refused = 0;
    b->next = NULL;
    *f->last_next = b;
    f->last_next = &b->next;
    f->status.batches_waiting++;
    f->is_new = true;
}

uint64_t forwarder_tick(forwarder *f)
{
    uint64_t now = plat_mono_ms(f->clock), due = UINT64_MAX;
    bool is_waiting = false;

    renew_producer(f, now);
    if (!f->producer)
        return f->open_at_ms;
    ask_topics(f, now);
    give_back(f);
    f->is_new = false;
    if (f->topics_ready && now >= f->send_at_ms)
        send_all(f);
    give_back(f); /* what was refused on the way */
    for (batch *b = f->first; b && !is_waiting; b = b->next)
        is_waiting = !is_sent(b);
    if (f->is_fatal || f->is_new)
        return now;
    if (!f->topics_ready && !f->topics_asked)
        due = f->topics_at_ms;
    if (is_waiting && f->send_at_ms > now && f->send_at_ms < due)
        due = f->send_at_ms;
    return due;
}

const forwarder_status *forwarder_state(const forwarder *f)
{
    return &f->status;
}

void forwarder_close(forwarder *f)
{
    if (!f)
        return;
    kafka_producer_close(f->producer);
    free(f);
}
