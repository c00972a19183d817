/* routes.h - which path shows what of the running agent.
 *
 *   /             the status page, for a browser
 *   /status.json  what the page shows, and more
 *   /metrics      the same for Prometheus
 *   /config.json  the configuration in force, as far as an update may set it: nothing secret
 *   /healthz      "ok", or 503 and why not
 *
 * Healthy: the loop turns (else nobody would answer here at all) and what is fetched has somewhere to go.
 * A broker, registry or API that is away is no reason: that is what the spool is for, and a restart
 * would not bring them back. A spool that cannot be used is one, and so is a full one while the broker is
 * away: nothing gets on then, and a person has to come.
 *
 * Ownership: everything in `routes` is borrowed for as long as questions may come.
 */
#ifndef GAVEL_STATUS_ROUTES_H
#define GAVEL_STATUS_ROUTES_H

#include "agent/net/http_server.h"
#include "agent/status/status.h"

typedef struct {
    void (*look)(void *ctx, status_facts *out); /* all at this instant */
    /* Appends /config.json. GV_FULL: it does not fit. */
    gv_status (*config)(void *ctx, gv_buf *out);
    void *ctx;
} routes;

/* What a server for this takes, where there are at most so many feeds. */
http_server_config routes_server_config(const char *listen, size_t feeds);

/* An http_handler; ctx is a `routes`. */
void routes_answer(void *ctx, const http_question *question, http_answer *answer);

#endif
