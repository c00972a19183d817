/* source_world.h - a server, a disk, a clock and a receiver around the source, all owned by the test:
 * no time passes but the clock's. Every test begins with world_setup() and ends with world_teardown().
 */
#ifndef GAVEL_TESTS_SOURCE_WORLD_H
#define GAVEL_TESTS_SOURCE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/source.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/http_double.h"
#include "tests/doubles/log_double.h"

#define SECOND     UINT64_C(1000)
#define MINUTE     (60 * SECOND)
#define HOUR       (60 * MINUTE)
#define DAY        (24 * HOUR)
#define EPOCH      1404174601 /* the server's time when the monotonic clock says 0 */
#define START_MS   (5 * MINUTE)
#define ANSWERS    8
#define CURSOR_604 "cursors/eu-604-0.cursor"

#define HREF(n)    "{\"href\":\"https://eu.api.example/data/wow/connected-realm/" #n "?namespace=x\"}"
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

typedef struct {
    http_answer answers[ANSWERS]; /* these first, one a request */
    size_t count, next;
    bool again; /* the last of them for ever */
} script;

typedef struct {
    bool busy;
    feed of;
    uint64_t bytes;
} receiver_slot;

typedef struct {
    clock_double now;
    plat_clock clock;
    disk_double *disk;
    plat_fs fs;
    log_double said;
    http_client *http;
    source *source;
    source_config config;
    source_list lists[4];
    /* the server */
    int64_t later_s;   /* its clock is ahead of EPOCH by so much */
    int64_t published; /* Last-Modified of what it has */
    bool hourly;       /* publishes on the hour of its own */
    const char *etag;
    const char *index;
    bool index_silent;
    script auctions, tokens, indexes;
    uint64_t delay_ms;
    uint64_t odd_delay_ms; /* more, for every second request */
    unsigned valid_token;  /* the one that the API accepts; 0: any */
    unsigned issued;
    const char *expires_in;
    /* the receiver */
    receiver_slot slots[SOURCE_TRANSFERS_MAX];
    unsigned opened, ended, ended_whole;
    bool hold;       /* settles only when the test says so */
    bool look_first; /* SETTLE_AGAIN for a body that was not looked through yet */
    bool starve;     /* takes one byte, then asks to wait */
    source_outcome outcome;
    gv_status refuse_open;
    unsigned renames_at_settle;
} source_world;

extern source_world w;

int world_setup(void **state);
int world_teardown(void **state);

extern const uint32_t thrall[1]; /* 604, what is watched to begin with */
extern const uint32_t twelve_realms[12];
void watch_realms(const uint32_t *realms, size_t count);
void watch_all(void);
void save_cursor(int64_t last_modified, const char *etag);
void open_source(void);
void close_source(void);

/* --- the server --- */

void serve(void *ctx, const http_call *call, http_answer *answer);
int64_t server_time(void);
void date_text(int64_t seconds, char *text, size_t cap);
http_answer status_only(int status);
http_answer snapshot_of(int64_t last_modified);
http_answer no_answer(const char *error);
void always(script *s, http_answer answer);
void once(script *s, http_answer answer);

/* --- what happens --- */

/* Everything that can be done without time passing; returns the next deadline. */
uint64_t settle_down(void);
void run_for(uint64_t ms); /* the source is looked at once a second at least */
void settle(unsigned slot, source_outcome outcome);
const source_counts *counts(void);

/* The n-th request (from 0) that has `part` in its URL; NULL when there were fewer. */
const http_call *call_of(const char *part, size_t n);
size_t calls_of(const char *part);

#endif
