/* note.c - one message beside the batches: the newest state of something, until a broker has it. */
#include "agent/forward/internal.h"

#include "platform/log.h"

#include <stdio.h>
#include <string.h>

#define TOPIC_TIMEOUT_MS 10000

static void wait(forwarder *f, uint64_t ms)
{
    f->note.at_ms = plat_mono_ms(f->clock) + ms;
}

static void on_topic(void *ctx, gv_status status, const gv_error *err)
{
    forwarder *f = ctx;
    f->note.topic_asked = false;
    f->note.topic_ready = status == GV_OK;
    if (status == GV_OK)
        return;
    wait(f, status == GV_INVAL ? f->config.retry_max_ms : f->config.retry_min_ms);
    if (status == GV_INVAL && !f->note.is_told)
        GV_LOG(GV_LOG_WARN, gv_kmsg("the state of updates is not published"),
               gv_kstr("reason", err->text));
    f->note.is_told = f->note.is_told || status == GV_INVAL;
}

/* Only one question about topics can be under way, and that of the batches comes first. */
static bool ask_topic(forwarder *f)
{
    gv_error err = { 0, "" };
    if (f->note.topic_ready || !f->config.create_topics)
        return true;
    if (f->note.topic_asked || f->topics_asked)
        return false;
    f->note.topic_asked = kafka_topics_ensure(f->producer, f->note.topic, 1, true, TOPIC_TIMEOUT_MS,
                                              on_topic, f, &err) == GV_OK;
    if (!f->note.topic_asked)
        wait(f, f->config.retry_min_ms);
    return false;
}

void note_drop_producer(forwarder *f)
{
    f->note.topic_asked = false;
    f->note.topic_ready = false;
}

bool note_delivered(forwarder *f, const void *opaque, bool acked, kafka_failure failure)
{
    if (opaque != &f->note)
        return false;
    f->note.in_flight = false;
    if (acked)
        return true;
    f->note.is_waiting = true;
    wait(f, failure == KAFKA_RETRY ? f->config.retry_min_ms : f->config.retry_max_ms);
    return true;
}

void note_send(forwarder *f, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    if (!f->note.is_waiting || f->note.in_flight || now_ms < f->note.at_ms || !f->link_up ||
        !f->topics_ready || !ask_topic(f))
        return;
    memcpy(f->note.sent, f->note.text, f->note.text_len); /* it is borrowed until delivered */
    gv_status status = kafka_produce(f->producer, f->note.topic->name, gv_span_str(f->note.key),
                                     gv_span_of(f->note.sent, f->note.text_len), 0, &f->note, &err);
    f->note.in_flight = status == GV_OK;
    f->note.is_waiting = status != GV_OK;
    if (status != GV_OK)
        wait(f, f->config.retry_min_ms);
}

uint64_t note_due_ms(const forwarder *f)
{
    bool is_due = f->note.is_waiting && !f->note.in_flight && f->link_up && f->topics_ready &&
                  !f->note.topic_asked && !f->topics_asked;
    return is_due ? f->note.at_ms : UINT64_MAX;
}

void forwarder_announce(forwarder *f, const kafka_topic *topic, const char *key, gv_span value)
{
    if (value.len > sizeof f->note.text)
        return;
    f->note.topic = topic;
    snprintf(f->note.key, sizeof f->note.key, "%s", key);
    memcpy(f->note.text, value.data, value.len);
    f->note.text_len = value.len;
    f->note.is_waiting = true;
    f->note.at_ms = 0;
}
