/* codec_help.h - runs a transcoder over a text, in any chunking, and keeps all that it says.
 *
 * Every chunk is fed from memory of exactly its size, so that a sanitizer sees a read past its end.
 * Shared by the codec's unit tests and fuzzers; a helper that cannot go on aborts.
 */
#ifndef GAVEL_TESTS_CODEC_HELP_H
#define GAVEL_TESTS_CODEC_HELP_H

#include "agent/codec/transcode.h"

typedef struct {
    schema schema;
    const plan *plan;
    const plan_value *values;
    gv_arena arena;
    void *block;
} codec;

/* How the bytes are cut, and how willing the receiver is. */
typedef struct {
    size_t chunk_bytes;   /* 0: all at once */
    uint32_t seed;        /* not 0: chunks of random size up to chunk_bytes */
    uint32_t again_times; /* how often each event is answered with GV_AGAIN before it is taken */
} feeding;

typedef struct {
    gv_status status;
    gv_error err;
    transcode_counts counts;
    /* Every event, written one after the other; two equal runs have equal logs. */
    uint8_t *log;
    size_t log_len, log_cap;
    /* Accepted records, for closer looks. */
    struct {
        size_t at, len; /* of the body, in the log */
        int64_t key;
    } * records;
    size_t record_count, record_cap;
    /* The last reject. */
    char reason[256], path[256];
    uint8_t *raw;
    size_t raw_len;
    bool raw_cut;
    uint64_t row;
    /* The last member. */
    char member_name[128], member_json[1200];
    uint32_t again_times, again_left;
} codec_run;

/* The plan for the auction schema's bound fields, or for any other schema without bound ones. */
void codec_open(codec *c, const char *avsc, bool auction);
void codec_open_auction(codec *c, const char *source_dir);
void codec_close(codec *c);

/* Runs a whole document; run_free() afterwards. limits may be NULL. */
void codec_feed(const codec *c, gv_span text, const feeding *how, const transcode_limits *limits,
                codec_run *run);
gv_span run_body(const codec_run *run, size_t record);
void run_free(codec_run *run);
bool runs_equal(const codec_run *a, const codec_run *b);

/* A small generator of numbers, the same on every machine. */
uint32_t next_random(uint32_t *state);

char *load_file(const char *path, size_t *len);

#endif
