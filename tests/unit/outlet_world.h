/* outlet_world.h - the outlet between doubles of forwarder, spool and clock. Each record that is handed
 * in has a number of its own, so that it can be found again.
 */
#ifndef GAVEL_TESTS_OUTLET_WORLD_H
#define GAVEL_TESTS_OUTLET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pipeline/outlet.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/forwarder_double.h"
#include "tests/doubles/log_double.h"
#include "tests/doubles/spool_double.h"

#define BATCH_BYTES 2048u
#define NOBODY      UINT32_MAX
#define TEST(name)  cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

typedef struct {
    clock_double now;
    plat_clock clock;
    log_double said;
    outlet_config config;
    batch_pool pool;
    uint8_t *memory;
    forwarder *f;
    outlet *o;
    uint64_t next_key;           /* of the next record */
    uint32_t live;               /* batches handed in and not yet back */
    uint32_t forwarded, spooled; /* batches that came back so */
    uint32_t refused;
    uint32_t rooms;
    bool held_back; /* nothing new is to be fetched */
    unsigned holds;
    uint32_t in_use;      /* the realm whose snapshot is arriving; NOBODY */
    uint64_t patience_ms; /* when somebody has waited too long */
} outlet_world;

extern outlet_world w;

int world_setup(void **state);
int world_teardown(void **state);

void world_open(uint32_t batches);
void world_close(void);

/* Hands in a batch of so many records of the realm's snapshot; false: no batch is available. */
bool give(batch_kind kind, uint32_t realm, uint32_t records);
void must_give(batch_kind kind, uint32_t realm, uint32_t records);

uint64_t tick(void);         /* until nothing more happens by itself; when it wants to go on */
void pass_time(uint64_t ms); /* and tick */
void stall(void);            /* as long as it takes until batches are spooled */

void release(size_t index); /* the broker acknowledges that batch */
void release_all(void);     /* and all that follow from it, until nothing is left */

/* All records have been handed to the forwarder, once, in order. */
void expect_all_once(void);

#endif
