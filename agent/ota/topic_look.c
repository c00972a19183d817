#include "agent/ota/topic_look.h"

#include "platform/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS  100u
#define QUIET_MS 2000u  /* so long nothing came: that was all */
#define LONG_MS  60000u /* a look takes no longer */
#define A_TICK   8      /* messages */

struct topic_look {
    topic_look_config config;
    const plat_clock *clock;
    char group[BUNDLE_NAME_MAX + 32];
    kafka_consumer *consumer; /* NULL: no look under way */
    uint64_t due_ms;
    uint64_t began_ms;
    uint64_t heard_ms; /* of the last message, or the assignment; 0: not assigned yet */
    char why[160];     /* what stood in the way of this look; "": nothing */
    bool is_told;      /* that it cannot look */
};

static void on_rebalance(void *ctx, bool assigned, bool lost, const kafka_position *partitions,
                         size_t count)
{
    topic_look *t = ctx;
    (void)lost, (void)partitions;
    if (assigned && count > 0)
        t->heard_ms = plat_mono_ms(t->clock);
}

gv_status topic_look_open(const topic_look_config *config, const plat_clock *clock,
                          topic_look **out, gv_error *err)
{
    topic_look *t = calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return gv_fail(err, GV_FULL, "no memory to look for updates in Kafka");
    t->config = *config;
    t->config.kafka.queue_bytes = (size_t)256 * 1024;
    t->config.kafka.queue_records = 16;
    t->clock = clock;
    t->due_ms = plat_mono_ms(clock);
    /* Each board reads all of it, so each has a group of its own; nothing is ever committed. */
    snprintf(t->group, sizeof t->group, "gavel-config-%.*s", BUNDLE_NAME_MAX,
             config->recipient->device);
    return GV_OK;
}

static void tell(topic_look *t)
{
    if (!t->is_told)
        GV_LOG(GV_LOG_WARN, gv_kmsg("no look for updates in Kafka"),
               gv_kstr("topic", t->config.topic), gv_kstr("group", t->group),
               gv_kstr("reason", t->why));
    t->is_told = true;
}

static void end_look(topic_look *t, uint64_t now_ms)
{
    if (t->heard_ms)
        t->is_told = false; /* the next trouble is news */
    else
        tell(t);
    kafka_consumer_close(t->consumer);
    t->consumer = NULL;
    t->due_ms = now_ms + t->config.poll_ms;
}

void topic_look_close(topic_look *t)
{
    if (!t)
        return;
    if (t->consumer)
        kafka_consumer_close(t->consumer);
    free(t);
}

static void begin_look(topic_look *t, uint64_t now_ms)
{
    gv_error err = { 0, "" };
    t->began_ms = now_ms;
    t->heard_ms = 0;
    snprintf(t->why, sizeof t->why, "no broker has given it to this board to read");
    if (kafka_consumer_open(&t->config.kafka, t->group, &t->config.topic, 1, on_rebalance, t,
                            &t->consumer, &err) == GV_OK)
        return;
    snprintf(t->why, sizeof t->why, "%.150s", err.text);
    tell(t);
    t->due_ms = now_ms + t->config.poll_ms;
}

static bool is_key(gv_span key, bundle_target target, const char *name)
{
    char text[BUNDLE_PATH_MAX];
    bundle_record_key(target, name, text);
    return gv_span_equal(key, gv_span_str(text));
}

/* Whether the record is for this board. */
static bool is_ours(const bundle_recipient *r, gv_span key)
{
    bool is = is_key(key, BUNDLE_FOR_ALL, "") ||
              (bundle_name_ok(r->device) && is_key(key, BUNDLE_FOR_DEVICE, r->device));
    for (size_t i = 0; i < r->group_count && !is; i++)
        is = bundle_name_ok(r->groups[i]) && is_key(key, BUNDLE_FOR_GROUP, r->groups[i]);
    return is;
}

static void take(topic_look *t, updater *u, kafka_message *m)
{
    char from[BUNDLE_PATH_MAX + 8];
    if (!m->tombstone && is_ours(t->config.recipient, m->key)) {
        snprintf(from, sizeof from, "kafka:%.*s", (int)m->key.len, (const char *)m->key.data);
        updater_offer(u, from, m->value);
    }
    kafka_message_free(m);
}

uint64_t topic_look_tick(topic_look *t, updater *u)
{
    uint64_t now_ms = plat_mono_ms(t->clock);
    kafka_message m;
    gv_error err = { 0, "" };
    if (!t->consumer && (now_ms < t->due_ms || !updater_may_look(u)))
        return t->due_ms > now_ms ? t->due_ms : UINT64_MAX;
    if (!t->consumer)
        begin_look(t, now_ms);
    if (!t->consumer)
        return t->due_ms;
    gv_status status = GV_OK;
    for (int i = 0; i < A_TICK && status == GV_OK; i++) {
        status = kafka_consume(t->consumer, 0, &m, &err);
        if (status != GV_OK)
            break;
        t->heard_ms = now_ms;
        take(t, u, &m);
    }
    if (status == GV_IO || status == GV_INVAL)
        snprintf(t->why, sizeof t->why, "%.150s", err.text);
    bool is_all = t->heard_ms && now_ms - t->heard_ms >= QUIET_MS;
    if (!is_all && now_ms - t->began_ms < LONG_MS)
        return now_ms + TICK_MS;
    end_look(t, now_ms);
    updater_offered(u);
    return t->due_ms;
}
