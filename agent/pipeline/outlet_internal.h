/* outlet_internal.h - what the files of the outlet share; nobody else includes it. */
#ifndef GAVEL_PIPELINE_OUTLET_INTERNAL_H
#define GAVEL_PIPELINE_OUTLET_INTERNAL_H

#include "agent/pipeline/outlet.h"

#define OUTLET_RETRY_MIN_MS 1000u /* after a second failure of the disk: doubled from this ... */
#define OUTLET_RETRY_MAX_MS 30000u
#define OUTLET_FULL_MS      3000u /* how often a full spool is asked again */

typedef struct {
    batch *first;
    batch **last_next;
    uint32_t count;
} batch_queue;

struct outlet {
    outlet_config config;
    batch_pool *pool;
    forwarder *forwarder;
    outlet_events events;
    outlet_counts counts;
    spool *spool; /* NULL while it cannot be opened */
    spool_config spool_config;
    uint64_t open_at_ms;
    char open_trouble[sizeof((gv_error *)0)->text]; /* said last */
    bool worked;                                    /* in this tick: others want to look */
    bool leaving;
    uint32_t with_forwarder; /* live batches */
    batch_queue held;        /* ledger entries that wait for their snapshot's drained batches */

    /* To the spool. */
    batch_queue to_spool; /* the first `appended` ones are appended, none is durable */
    batch *to_append;     /* the first that is not */
    uint32_t appended;
    uint64_t appended_ms; /* when the first of them was */
    bool hurry;
    uint32_t failures;    /* of the disk, in a row */
    uint64_t store_at_ms; /* not earlier, after a failure or while full */

    /* From the spool. */
    batch *window[SPOOL_WINDOW_MAX]; /* read and not acknowledged; held or with the forwarder */
    uint32_t window_count, window_max;
    uint64_t drain_at_ms; /* not earlier, after a failure */
    uint32_t drain_failures;
    uint64_t progress_mark; /* of the forwarder when spooling began */
};

/* --- outlet.c --- */
void outlet_push(batch_queue *q, batch *b);
batch *outlet_pop(batch_queue *q);
/* To the forwarder, or to those held. */
void outlet_forward(outlet *o, batch *b);
uint64_t outlet_backoff(uint32_t failures); /* 0 after the first: that one is tried again at once */
bool outlet_has_unread(const outlet *o);
void outlet_keep_reserve(outlet *o); /* whenever the window has changed */

/* --- outlet_store.c: to the spool --- */
void outlet_store(outlet *o, uint64_t now_ms);
uint64_t outlet_store_due(const outlet *o);
/* reason: what the spool says; NULL when it is not full any more. */
void outlet_set_full(outlet *o, const char *reason);

/* --- outlet_drain.c: from the spool --- */
void outlet_drain(outlet *o, uint64_t now_ms);
uint64_t outlet_drain_due(const outlet *o);
/* A ledger entry that must wait for what the window holds of its snapshot. */
bool outlet_must_hold(const outlet *o, const batch *b);
void outlet_drained(outlet *o, batch *b, uint32_t refused);

/* --- outlet_words.c: what the log says --- */
void outlet_say_event(void *ctx, const spool_event *event);
void outlet_say_spooling(const outlet *o, bool stalled);
void outlet_say_direct(const outlet *o);
void outlet_say_full(const outlet *o, const char *reason);
void outlet_say_batch(const batch *b, const char *message, uint32_t records);

#endif
