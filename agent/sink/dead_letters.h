/* dead_letters.h - sends what the sink cannot store to the dead-letter topic, with the reason.
 *
 * Key and value are the message's own; headers: reason, error, topic, partition, offset, and
 * schema_id where the message had one. A message the broker will not take with these around it goes
 * without its value (header value_omitted=true): the headers say where it still is.
 * Threads: one owner. Nothing is under way between two calls.
 */
#ifndef GAVEL_SINK_DEAD_LETTERS_H
#define GAVEL_SINK_DEAD_LETTERS_H

#include "agent/sink/sink.h"

typedef struct dead_letters dead_letters;

/* `config` and `topic` are borrowed. */
gv_status dead_letters_open(const kafka_config *config, const char *topic, dead_letters **out,
                            gv_error *err);
void dead_letters_close(dead_letters *d);

/* As sink_outside.dead_letters. */
gv_status dead_letters_send(dead_letters *d, sink_dead_letter *letters, size_t count,
                            gv_error *err);

/* The producer, for checking topics; valid until the next dead_letters_send(). */
kafka_producer *dead_letters_producer(dead_letters *d);

#endif
