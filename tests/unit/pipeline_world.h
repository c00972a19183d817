/* pipeline_world.h - the pipeline between the real source and codec, and doubles of everything
 * outside: server, disk, clock and broker. No time passes but the clock's.
 */
#ifndef GAVEL_TESTS_PIPELINE_WORLD_H
#define GAVEL_TESTS_PIPELINE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pipeline/pipeline.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/http_double.h"
#include "tests/doubles/log_double.h"
#include "tests/doubles/spool_double.h"
#include "tests/unit/auction_bodies.h"

#define WORLD_REALMS 12
#define WORLD_TIME_S INT64_C(1404174601) /* Last-Modified of all that is served */
#define TEST(name)   cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* What the server has of one realm. */
typedef struct {
    body_spec spec; /* realm 0: commodities */
    char *text;
    size_t len;
    http_answer how;  /* chunks, delay, end; status and body are filled in */
    size_t cut_at;    /* not 0: the body ends early, with how.end */
    unsigned spoiled; /* so many answers are like this, later ones are whole */
    unsigned asked;
} world_realm;

typedef struct {
    clock_double now;
    plat_clock clock;
    disk_double *disk;
    plat_fs fs;
    log_double said;
    http_client *http;
    source *source;
    pipeline *pipeline;
    forwarder *forwarder;
    outlet *outlet;
    source_config source_config;
    source_list list;
    pipeline_config config;
    outlet_config outlet_config; /* without a spool, unless a test enables it */
    char *schema_text[2];
    gv_span schema_span[2];
    schema auction, reject; /* to read what came out */
    void *schema_memory;
    world_realm realms[WORLD_REALMS];
    uint32_t realm_ids[WORLD_REALMS];
    size_t realm_count;
} pipeline_world;

extern pipeline_world w;

int world_setup(void **state);
int world_teardown(void **state);

/* Adds a realm, before world_open(). */
world_realm *world_add(body_spec spec);
void world_serve(world_realm *r, body_spec spec); /* something else from now on */
void world_open(void);
void world_close(void);

/* Everything that can be done without time passing and without a batch coming back. */
void world_settle(void);
void world_pass_time(uint64_t ms); /* and does what is due */

schedule_random seeded(uint64_t seed);

/* Gives batches back, by chance, until nothing is held and nothing more comes. */
void world_acknowledge_all(schedule_random *chance);

const source_counts *world_counts(void);
size_t world_count(batch_kind kind); /* records of that kind handed to the forwarder */

/* All rows of the realm went out once, then exactly one ledger entry that proves it. */
void world_expect_proved(const world_realm *r);
bool world_has_cursor(uint32_t realm);

#endif
