/* registry_world.h - the registry client beside a registry that misbehaves on demand
 * (tests/doubles/registry.py, which listens at two addresses and one with TLS).
 *
 * Units:     milliseconds, as the names say.
 * Ownership: server, loop, HTTP client and clock are the test program's, from world_setup() to
 *            world_teardown(); the configuration and the registry client are each test's, from
 *            registry_begin() to registry_end().
 * Memory:    control() answers from a buffer of its own, good until it is called again.
 * Threads:   one.
 * Errors:    what must not happen in any test fails the test at once, and so does what does not
 *            happen within 20 seconds.
 */
#ifndef GAVEL_TESTS_REGISTRY_WORLD_H
#define GAVEL_TESTS_REGISTRY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/registry/registry.h"
#include "tests/unit/double.h"

#define CACHE "registry.cache"
#define AVSC                                                                                       \
    "{\"type\":\"record\",\"name\":\"A\",\n "                                                      \
    "\"fields\":[{\"name\":\"x\\u00e9\",\"type\":\"long\"}]}"
#define AVSC_B     "{\"type\":\"record\",\"name\":\"B\",\"fields\":[]}"
#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_begin, registry_end)

typedef struct {
    test_double server;
    char url_a[64], url_b[64], url_tls[64];
    plat_loop *loop;
    plat_clock clock;
    plat_fs fs;
    http_client *client; /* with two slots */
    /* of the test */
    const char *urls[3];
    registry_config config;
    size_t schema_count; /* so many of `schemas` are asked for */
    registry *reg;
    unsigned announced; /* ids */
} registry_world;

extern registry_world w;
extern const registry_schema schemas[2];

/* Of the whole program. */
int world_setup(void **state);
int world_teardown(void **state);

/* Of each test: a registry that knows nothing and gives ids from 41 on, one address, one schema, no
 * cache. */
int registry_begin(void **state);
int registry_end(void **state);

/* Sends JSON to the double's control path (NULL: nothing) and answers what it tells: what it was asked
 * since it was last sent some, and what it knows. */
const char *control(const char *json);
int times(const char *text, const char *word);

/* As the configuration says, for the first of `schemas`, or for one schema. */
void open_registry(void);
gv_status open_one(const registry_schema *schema);
void close_registry(void);

/* One round of the loop, of 20 ms at most. */
void turn(void);

/* Of the i-th of `schemas`. */
bool has_id(size_t i, uint32_t *id);
uint32_t wait_for_id(size_t i);
void wait_for_state(const char *words);
/* Until the double has been asked for `path` so many times. */
void wait_for_requests(const char *path, int count);

#endif
