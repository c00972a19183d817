#include "agent/forward/internal.h"

#include "platform/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPICS_TIMEOUT_MS 10000

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

void forwarder_pause(forwarder *f, kafka_failure failure)
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
void forwarder_tell(forwarder *f, bool up, kafka_failure failure, const char *text)
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
        forwarder_tell(f, true, KAFKA_RETRY, "a broker answers");
}

static void on_state(void *ctx, bool up, kafka_failure failure, const char *text)
{
    forwarder *f = ctx;

    f->link_up = up;
    if (up) {
        settle(f);
        return;
    }
    forwarder_tell(f, false, failure, text);
    if (failure == KAFKA_FATAL)
        forwarder_pause(f, KAFKA_FATAL);
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
        forwarder_tell(f, false, status == GV_INVAL ? KAFKA_DENIED : KAFKA_RETRY, err->text);
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

void forwarder_refuse(forwarder *f, batch *b, size_t offset, const char *reason)
{
    char id[SNAPSHOT_TEXT_MAX];

    batch_mark_acked(b, offset);
    b->refused++;
    f->status.last_progress_ms = plat_mono_ms(f->clock);
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

    if (note_delivered(f, opaque, acked, failure))
        return;
    batch *b = batch_of(f, entry);

    assert(b && b->in_flight > 0 && f->in_flight > 0);
    size_t offset = (size_t)(entry - b->bytes.data);
    b->in_flight--;
    f->in_flight--;
    if (acked) {
        batch_mark_acked(b, offset);
        f->status.records_acked++;
        f->status.last_progress_ms = plat_mono_ms(f->clock);
        f->backoff_ms = 0;
        f->denied_kinds &= ~(1u << b->kind);
        if (!f->status.up)
            settle(f);
        return;
    }
    if (failure == KAFKA_BAD_RECORD && (b->send_state & SEND_ALONE) && offset < f->alone_until) {
        forwarder_refuse(f, b, offset, reason);
        return;
    }
    f->status.resent++;
    b->send_state |= SEND_AGAIN;
    if (failure == KAFKA_BAD_RECORD)
        b->send_state |= SEND_ALONE;
    else
        forwarder_pause(f, failure);
    if (failure == KAFKA_DENIED || failure == KAFKA_NO_TOPIC) {
        f->denied_kinds |= 1u << b->kind;
        forwarder_tell(f, false, failure, reason);
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
    note_drop_producer(f);
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
    forwarder_tell(f, false, KAFKA_FATAL, err.text);
    f->open_at_ms = now + f->config.retry_max_ms;
}

static void ask_topics(forwarder *f, uint64_t now)
{
    gv_error err = { 0, "" };

    if (f->topics_ready || f->topics_asked || f->note.topic_asked || now < f->topics_at_ms)
        return;
    f->topics_asked = true;
    if (kafka_topics_ensure(f->producer, f->config.ensure, f->config.ensure_count,
                            f->config.create_topics, TOPICS_TIMEOUT_MS, on_topics, f,
                            &err) == GV_OK)
        return;
    f->topics_asked = false;
    f->topics_at_ms = now + f->config.retry_max_ms;
}

/* --- contract -------------------------------------------------------------------------------------- */
static bool is_done(const batch *b)
{
    return b->acked == b->records && b->in_flight == 0;
}

/* Takes *from out of the list; what follows is at *from then. */
static batch *take_out(forwarder *f, batch **from)
{
    batch *b = *from;

    *from = b->next;
    if (!*from)
        f->last_next = from;
    if (f->recent == b)
        f->recent = NULL;
    b->next = NULL;
    f->status.batches_waiting--;
    return b;
}

static void give_back(forwarder *f)
{
    batch **from = &f->first;

    while (*from) {
        if (!is_done(*from)) {
            from = &(*from)->next;
            continue;
        }
        batch *b = take_out(f, from);
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
    b->next = NULL;
    if (!f->first)
        f->status.last_progress_ms = plat_mono_ms(f->clock);
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
    note_send(f, now);
    give_back(f); /* what was refused on the way */
    for (batch *b = f->first; b && !is_waiting; b = b->next)
        is_waiting = !send_is_over(b);
    if (f->is_fatal || f->is_new)
        return now;
    due = note_due_ms(f);
    if (!f->topics_ready && !f->topics_asked && !f->note.topic_asked && f->topics_at_ms < due)
        due = f->topics_at_ms;
    if (is_waiting && f->send_at_ms > now && f->send_at_ms < due)
        due = f->send_at_ms;
    return due;
}

void forwarder_recall(forwarder *f)
{
    uint64_t send_at_ms = f->send_at_ms;
    uint32_t backoff_ms = f->backoff_ms;

    if (!f->producer || f->in_flight == 0)
        return;
    drop_producer(f);
    f->send_at_ms = send_at_ms; /* nothing has failed */
    f->backoff_ms = backoff_ms;
    f->open_at_ms = plat_mono_ms(f->clock);
}

batch *forwarder_withdraw(forwarder *f, bool (*is_wanted)(void *ctx, const batch *b), void *ctx)
{
    batch *out = NULL, **out_next = &out, **from = &f->first;

    while (*from) {
        if (is_done(*from) || !is_wanted(ctx, *from)) {
            from = &(*from)->next;
            continue;
        }
        *out_next = take_out(f, from);
        assert((*out_next)->in_flight == 0);
        out_next = &(*out_next)->next;
    }
    return out;
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
