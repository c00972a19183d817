/* topic_look.h - looks for updates in a compacted Kafka topic: a short-lived reader, which reads it from its
 * beginning every poll_ms and goes again.
 *
 * Why:       a standing consumer would cost a board memory and connections all day for a message a month.
 * Blocking:  nothing waits for a broker but the end of a look, which leaves its group (a message there
 *            and back; it does not wait for a broker that is away for longer than a second or so).
 * Units:     monotonic milliseconds.
 * Ownership: the configuration is borrowed until topic_look_close().
 * Memory:    TOPIC_LOOK_BYTES while it reads, in librdkafka.
 * Threads:   the loop's; librdkafka's own below its adapter.
 */
#ifndef GAVEL_OTA_TOPIC_LOOK_H
#define GAVEL_OTA_TOPIC_LOOK_H

#include "agent/net/kafka.h"
#include "agent/ota/updater.h"

/* Connections and threads take most of it; measured: 300 KiB in all. */
#define TOPIC_LOOK_BYTES ((size_t)384 * 1024)

typedef struct {
    kafka_config kafka; /* queue caps are set here */
    const char *topic;
    const bundle_recipient *recipient; /* whose keys are looked at */
    uint64_t poll_ms;
} topic_look_config;

typedef struct topic_look topic_look;

gv_status topic_look_open(const topic_look_config *config, const plat_clock *clock,
                          topic_look **out, gv_error *err);
void topic_look_close(topic_look *t); /* NULL is fine */

/* Hands what it finds to the updater; returns when to be called next. */
uint64_t topic_look_tick(topic_look *t, updater *u);

#endif
