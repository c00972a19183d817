/* transfer_world.h - an HTTP client of ours beside a server that misbehaves on demand
 * (tests/doubles/http_faults.py), and probes: one request each, with all that came of it.
 *
 * Units:     bytes and milliseconds, as the names say.
 * Ownership: the world is one and the test program's, from world_setup() to world_teardown(); a probe
 *            is the test's and must outlive its transfer.
 * Threads:   one; only the C library's resolver runs beside it.
 * Errors:    what must not happen in any test fails the test at once.
 */
#ifndef GAVEL_TESTS_TRANSFER_WORLD_H
#define GAVEL_TESTS_TRANSFER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/net/http.h"
#include "tests/unit/double.h"

#define CA    GAVEL_SOURCE_DIR "/tests/doubles/tls/ca.pem" /* vouches for the server */
#define SLOTS 4

typedef struct {
    test_double server;
    plat_loop *loop;
    plat_clock clock;
    http_client *client; /* with SLOTS slots */
} transfer_world;

extern transfer_world w;

/* Of the whole program: all its tests share one server and, unless they reopen it, one client. */
int world_setup(void **state);
int world_teardown(void **state);

/* Another client, without kept connections and sessions. */
void http_reopen(void);

/* One round of the loop, of 50 ms at most. */
void turn(void);

/* --- one request and what came of it --- */

typedef struct probe {
    http_request request;
    http_transfer *transfer;
    char url[256];
    uint64_t got;
    bool same;       /* every byte was pattern(k) so far */
    char text[4096]; /* the body's beginning */
    int heads, dones;
    gv_status status;
    http_reply reply;
    gv_error err;
    size_t take_at_most; /* and then pause; 0: take all */
    unsigned pauses;
    bool paused;
    gv_status head_answer, data_answer;
    bool cancel_in_head, cancel_in_data;
    struct probe *cancel_other;
    struct probe *then; /* started by on_done */
} probe;

/* A GET of `path` from the server's `port` ("http", "https", "elsewhere"), to be changed before it
 * starts. */
void aim(probe *p, const char *port, const char *path);
void start(probe *p);
/* Until it is done; resumes it whenever it has paused. */
void run(probe *p);
/* All three. */
void get(probe *p, const char *port, const char *path);
void assert_said(const probe *p, const char *words);

#endif
