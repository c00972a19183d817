/* internal.h - what the files of the forwarder share; nobody else includes it. */
#ifndef GAVEL_FORWARD_INTERNAL_H
#define GAVEL_FORWARD_INTERNAL_H

#include "agent/forward/forwarder.h"

/* batch.send_state: */
enum {
    SEND_AGAIN = 1, /* some entry failed: start over when nothing of the batch is under way */
    SEND_ALONE = 2  /* ... one by one, to find the entry the broker does not take */
};

#define NOTE_KEY_MAX 128

/* What forwarder_announce() was told last. */
typedef struct {
    const kafka_topic *topic;
    char key[NOTE_KEY_MAX];
    uint8_t text[FORWARDER_NOTE_MAX]; /* the newest */
    uint8_t sent[FORWARDER_NOTE_MAX]; /* what is under way */
    size_t text_len;
    bool is_waiting, in_flight;
    bool topic_ready, topic_asked;
    bool is_told; /* that it cannot be published */
    uint64_t at_ms;
} forwarder_note;

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
    forwarder_note note;
};

/* --- forwarder.c: what is told of, and when to go on --- */

void forwarder_tell(forwarder *f, bool up, kafka_failure failure, const char *text);
void forwarder_pause(forwarder *f, kafka_failure failure);
/* The entry will be missing; says so. */
void forwarder_refuse(forwarder *f, batch *b, size_t offset, const char *reason);

/* --- note.c --- */
void note_send(forwarder *f, uint64_t now_ms);
uint64_t note_due_ms(const forwarder *f);
/* False: the report is about something else. */
bool note_delivered(forwarder *f, const void *opaque, bool acked, kafka_failure failure);
void note_drop_producer(forwarder *f);

/* --- send.c --- */

bool send_is_over(const batch *b); /* nothing of it is left to be handed to the producer */
/* In order; a batch without its schema id holds up only those of its schema. */
void send_all(forwarder *f);

#endif
