/* http_client.h - clients of the HTTP server in the same thread: bytes go out and come in while the
 * server's loop turns, and time is the test's own where it is wanted.
 */
#ifndef GAVEL_TESTS_HTTP_CLIENT_H
#define GAVEL_TESTS_HTTP_CLIENT_H

#include "agent/net/http_server.h"
#include "tests/doubles/clock_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLIENT_BYTES    65536
#define WORLD_STEPS_MAX 5000

typedef struct {
    plat_loop *loop;
    clock_double time;
    plat_clock clock;
    http_server *server;

} http_world;

typedef struct {
    int fd;
    bool ended; /* the server has closed it */
    size_t len;
    char text[CLIENT_BYTES];
} http_client_end;

void world_open(http_world *w, const http_server_config *config, http_handler *handler, void *ctx);
void world_close(http_world *w);
/* One round of the loop: does what is due, then waits a little, in true time, for something to do. */
void world_step(http_world *w);
void world_pass(http_world *w, uint64_t ms);

/* Goes on until it is so. */
#define WORLD_UNTIL(w, condition)                                                                  \
    do {                                                                                           \
        for (int step_ = 0; !(condition); step_++) {                                               \
            if (step_ > WORLD_STEPS_MAX)                                                           \
                fail_msg("%s never came true", #condition);                                        \
            world_step(w);                                                                         \
        }                                                                                          \
    } while (0)

/* Connected, or about to be; -1 and errno when the system gives no descriptor. */
int client_connect(http_world *w);
void client_start(http_world *w, http_client_end *c);
/* Sends as much as the socket takes; how much that was. */
size_t client_send(http_client_end *c, const char *bytes, size_t len);
/* Takes what is there. */
void client_take(http_client_end *c);
/* Turns the loop until the server has ended the connection; fails when that never happens. */
void client_finish(http_world *w, http_client_end *c);
void client_stop(http_client_end *c);

/* One question from start to end. */
const char *client_ask(http_world *w, http_client_end *c, const char *question);
int client_status(const http_client_end *c);
const char *client_body(const http_client_end *c);

#endif
