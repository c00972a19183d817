#include "agent/main/agent_internal.h"
#include "agent/main/progress.h"
#include "platform/log.h"
#include "platform/notify.h"

#include <stdlib.h>

#define WAKE_MS 1000u /* for the watchdog, the progress line and stale warnings */

static uint64_t earlier(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

/* Everything that is due; returns for how long nothing will be. */
static uint64_t tick_all(agent *a)
{
    uint64_t due_ms;
    do {
        due_ms = http_tick(a->http);
        due_ms = earlier(due_ms, registry_tick(a->registry));
        due_ms = earlier(due_ms, schema_shelf_tick(a->shelf));
        due_ms = earlier(due_ms, forwarder_tick(a->forwarder));
        due_ms = earlier(due_ms, source_tick(a->source));
        due_ms = earlier(due_ms, agent_update_tick(a));
        due_ms = earlier(due_ms, http_tick(a->http)); /* of what the others have started */
        due_ms = earlier(due_ms, outlet_tick(a->outlet));
    } while (pipeline_tick(a->pipeline));
    due_ms = earlier(due_ms, agent_web_tick(a));
    uint64_t now_ms = plat_mono_ms(a->setup.clock);
    agent_report(a, now_ms);
    return due_ms <= now_ms ? 0 : earlier(due_ms - now_ms, WAKE_MS);
}

/* Does what is due, then waits, unless done() says that there is nothing to wait for. */
static bool work_once(agent *a, bool (*done)(const agent *a), gv_error *err)
{
    uint64_t wait_ms = tick_all(a);
    if (a->setup.progress)
        progress_draw(source_state(a->source), pipeline_state(a->pipeline),
                      forwarder_state(a->forwarder), outlet_state(a->outlet),
                      plat_mono_ms(a->setup.clock));
    return done(a) || plat_loop_wait(a->setup.loop, (int64_t)wait_ms, err) == GV_OK;
}

/* --- ends ------------------------------------------------------------------------------------- */

static bool is_settled(const agent *a)
{
    return !source_busy(a->source);
}

/* Ends what arrives, waits until what is complete is acknowledged or spooled, within the limit. */
static void wind_down(agent *a, gv_error *err)
{
    uint64_t limit_ms = (uint64_t)a->config->shutdown_timeout_ms;
    uint64_t deadline_ms = plat_mono_ms(a->setup.clock) + limit_ms;
    plat_notify(a->setup.wishes->reload ? "RELOADING=1" : "STOPPING=1");
    source_stop(a->source);
    outlet_hasten(a->outlet, (uint32_t)(limit_ms / 4));
    while (!is_settled(a) && plat_mono_ms(a->setup.clock) < deadline_ms)
        if (!work_once(a, is_settled, err))
            break;
    if (source_busy(a->source))
        GV_LOG(GV_LOG_WARN, gv_kmsg("not everything was acknowledged in time; it is fetched again"),
               gv_kuint("limit_ms", limit_ms));
}

static bool never(const agent *a)
{
    (void)a;
    return false;
}

static bool is_through(const agent *a)
{
    return source_finished(a->source);
}

static uint64_t spooled_batches(const agent *a)
{
    const spool_state *s = outlet_spool(a->outlet);
    return s ? s->batches : 0;
}

/* Nothing more will leave the spool for now. */
static bool is_drained(const agent *a)
{
    return spooled_batches(a) == 0 || outlet_state(a->outlet)->stalled || a->setup.wishes->stop;
}

/* A single pass that cannot end: neither the broker nor the spool takes anything. */
static bool is_stuck(const agent *a)
{
    const outlet_counts *o = outlet_state(a->outlet);
    return o->full && (o->stalled || !forwarder_state(a->forwarder)->up);
}

/* All feeds are through: waits for the spool while that gets on, and says what is left. */
static agent_end end_pass(agent *a, gv_error *err)
{
    while (!is_drained(a))
        if (!work_once(a, is_drained, err))
            return AGENT_FAILED;
    uint64_t left = spooled_batches(a);
    if (left > 0)
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("what was fetched is safe, but batches wait in the spool for the broker; "
                       "the next run sends them"),
               gv_kuint("batches", left), gv_kstr("broker", forwarder_state(a->forwarder)->text));
    bool is_whole = left == 0 && source_state(a->source)->feeds_failed == 0 &&
                    outlet_state(a->outlet)->refused == 0;
    return is_whole ? AGENT_FINISHED : AGENT_PARTLY;
}

static agent_end work(agent *a, gv_error *err)
{
    const agent_wishes *wishes = a->setup.wishes;
    agent_report_start(a);
    while (!wishes->stop && !wishes->reload) {
        if (!work_once(a, a->setup.single_pass ? is_through : never, err))
            return AGENT_FAILED;
        if (!a->setup.single_pass)
            continue;
        if (is_through(a))
            return end_pass(a, err);
        if (is_stuck(a)) {
            GV_LOG(GV_LOG_ERROR,
                   gv_kmsg("the spool is full and no broker takes anything: what is not safe is "
                           "fetched again by the next run"));
            return AGENT_PARTLY;
        }
    }
    wind_down(a, err);
    return wishes->stop ? AGENT_STOPPED : AGENT_RELOAD;
}

agent_end agent_run(const agent_setup *setup, gv_error *err)
{
    agent *a = calloc(1, sizeof *a);
    agent_end end = AGENT_FAILED;
    if (!a) {
        gv_fail(err, GV_FULL, "no memory for the agent");
        return end;
    }
    a->setup = *setup;
    a->config = setup->config;
    if (agent_open_parts(a, err) == GV_OK) {
        end = work(a, err);
        if (setup->progress)
            progress_end(source_state(a->source), pipeline_state(a->pipeline),
                         forwarder_state(a->forwarder), outlet_state(a->outlet));
        agent_report_stop(a);
    }
    agent_close_parts(a);
    free(a);
    return end;
}
