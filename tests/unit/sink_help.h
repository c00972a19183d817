/* sink_help.h - a world for the sink: a broker's topics, a registry, a dead-letter topic, and a store
 * (SQLite) that can all fail at a chosen call. Time is the test's. */
#ifndef GAVEL_TESTS_SINK_HELP_H
#define GAVEL_TESTS_SINK_HELP_H

#include "agent/codec/snapshot.h"
#include "agent/sink/sink.h"
#include "agent/sink/snapshot_doc.h"

#define WORLD_TOPICS     3
#define WORLD_PARTITIONS 2
#define WORLD_MESSAGES   4096
#define WORLD_LETTERS    256

enum { RAW, REJECTS, LEDGER };
enum { ID_AUCTION = 7, ID_REJECT = 8, ID_BROKEN = 9, ID_OTHER = 10 };

typedef struct {
    uint8_t *bytes; /* key, then value */
    size_t key_len;
    size_t value_len;
    bool tombstone;
} world_message;

typedef struct {
    world_message messages[WORLD_MESSAGES];
    int64_t low;
    int64_t high;
    int64_t committed; /* -1: never */
    int64_t next;      /* the consumer's position */
} world_partition;

typedef struct {
    char reason[16];
    char error[200];
    int64_t offset;
    size_t value_len;
    bool has_schema;
} world_letter;

typedef struct {
    world_partition partitions[WORLD_TOPICS][WORLD_PARTITIONS];
    world_letter letters[WORLD_LETTERS];
    size_t letter_count;
    store inner; /* SQLite, in memory: it outlives the sinks */
    store store; /* what the sink sees */
    plat_clock clock;
    uint64_t now_ms;
    sink *sink;
    size_t batch_records;
    size_t batch_bytes;
    size_t snapshots;      /* at hand; 0: the usual */
    const char *refuse_id; /* the store will never take this document */
    void (*at_scan)(void); /* somebody else's work while a scan goes on; once */
    /* Faults: calls of any kind are counted; call `fail_at` fails, before or after doing its work. */
    uint64_t calls;
    uint64_t fail_at; /* 0: never */
    bool fail_after;
    bool failed;
    bool registry_away;
    bool store_away;
    bool kafka_away;
    int fetches;
} world;

void world_open(world *w);
void world_close(world *w);

/* Puts messages into topics. */
void world_put(world *w, int topic, int partition, gv_span key, gv_span value, bool tombstone);
/* An auction row, framed; its digest is added to *sum when that is not NULL. */
void world_auction(world *w, int partition, const char *snapshot, int64_t id, int64_t position,
                   int64_t price, uint64_t *sum);
/* `count` rows over both partitions, from `first`; returns the sum of their digests. */
uint64_t world_rows(world *w, const char *snapshot, int64_t first, int64_t count);
void world_reject(world *w, int partition, const char *snapshot, int64_t row);
void world_ledger(world *w, const char *snapshot, uint64_t records, uint64_t rejects,
                  uint64_t digest);
void world_gap(world *w, const char *snapshot, uint64_t records, uint64_t rejects);
void world_json(world *w, const char *key, const char *json);

void world_start(world *w);   /* a new process, which starts where the group had committed */
void world_restart(world *w); /* kills the old one */

/* Reads, stores, commits and verifies until there is nothing left. False: something failed. */
bool world_drain(world *w);
bool world_turn(world *w, size_t messages); /* one batch of at most so many, and verdicts */

snapshot_doc world_snapshot(world *w, const char *snapshot); /* state "" when there is none */
/* Asserts that exactly these are there, by the store's own count. */
typedef struct {
    uint64_t docs;
    uint64_t copies;
    uint64_t digest;
} world_sum;
world_sum world_stored(world *w, int topic, const char *snapshot);

#endif
