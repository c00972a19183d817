#include "agent/main/agent_internal.h"

#include "agent/main/wear.h"
#include "gavel_version.h"
#include "platform/log.h"
#include "platform/notify.h"
#include "platform/process.h"

#include <stdio.h>

#define STATUS_EACH_MS 10000u
#define WEAR_EACH_MS   86400000u
#define WEAR_LEAST_MS  3600000u /* a rate from less than this would say nothing of a day */

/* How deep the spool is, for a person. */
static void describe_spool(const agent *a, char *text, size_t cap)
{
    const spool_state *s = outlet_spool(a->outlet);
    if (!s) {
        snprintf(text, cap, "%s", a->config->spool_enabled ? "cannot be opened" : "none");
        return;
    }
    if (s->batches == 0) {
        snprintf(text, cap, "empty");
        return;
    }
    int64_t age_ms = plat_wall_ms(a->setup.clock) - s->oldest_ms;
    snprintf(text, cap, "%llu batches, %llu records, %.1f MiB, the oldest of %.1f hours ago%s",
             (unsigned long long)s->batches, (unsigned long long)s->records,
             (double)s->bytes / 1048576.0, (double)(age_ms > 0 ? age_ms : 0) / 3.6e6,
             outlet_state(a->outlet)->full ? " (full)" : "");
}

static void notify_status(const agent *a)
{
    const forwarder_status *f = forwarder_state(a->forwarder);
    const source_counts *s = source_state(a->source);
    char text[768], spooled[160];
    describe_spool(a, spooled, sizeof spooled);
    snprintf(text, sizeof text,
             "STATUS=%llu snapshots and %llu records forwarded from %u feeds; spool: %s; "
             "broker: %s; registry: %s",
             (unsigned long long)s->snapshots, (unsigned long long)f->records_acked, s->feeds,
             spooled, f->text, registry_state(a->registry));
    plat_notify(text);
}

/* What the board's disk had to take, and for how long a card would. */
static void log_wear(const agent *a, uint64_t now_ms)
{
    const fs_count *w = &a->written;
    uint64_t elapsed_ms = now_ms - a->started_ms, syncs = w->file_syncs + w->dir_syncs;
    if (elapsed_ms < WEAR_LEAST_MS) {
        GV_LOG(GV_LOG_INFO, gv_kmsg("written to the disk"), gv_kuint("bytes", w->written_bytes),
               gv_kuint("syncs", syncs));
        return;
    }
    uint64_t per_day = wear_bytes_per_day(w->written_bytes, syncs, elapsed_ms);
    GV_LOG(GV_LOG_INFO, gv_kmsg("written to the disk"), gv_kuint("bytes", w->written_bytes),
           gv_kuint("syncs", syncs), gv_kuint("hours", elapsed_ms / 3600000),
           gv_kuint("card_bytes_per_day", per_day),
           gv_kuint("card_lasts_years", wear_card_years(per_day)));
}

static void open_board(agent *a)
{
    health_config config =
        health_config_for(a->config->profile, a->setup.fs, a->setup.clock, a->config->state_dir);
    health_open(&a->health, &config);
    led_open(&a->led, a->setup.fs, a->config->board_led);
}

/* Somebody should come and look: nothing goes out, or nothing comes in. */
static bool is_outage(const agent *a)
{
    return !forwarder_state(a->forwarder)->up || source_state(a->source)->feeds_stale > 0;
}

void agent_report_start(agent *a)
{
    open_board(a);
    agent_status_start(a);
    a->started_ms = plat_mono_ms(a->setup.clock);
    a->wear_due_ms = a->started_ms + WEAR_EACH_MS;
    a->watchdog_ms = plat_notify_watchdog_ms();
    GV_LOG(GV_LOG_INFO, gv_kmsg("started"), gv_kstr("version", GAVEL_VERSION),
           gv_kstr("device", a->device), gv_kuint("feeds", source_state(a->source)->feeds),
           gv_kuint("memory_budget_kib", a->budget.total / 1024),
           gv_kuint("pipeline_kib", pipeline_memory_bytes(a->pipeline) / 1024),
           gv_kuint("spool_kib", a->budget.spool / 1024));
    plat_notify("READY=1");
}

void agent_report(agent *a, uint64_t now_ms)
{
    health_tick(&a->health);
    led_alarm(&a->led, is_outage(a));
    agent_status_tick(a, now_ms);
    if (a->watchdog_ms && now_ms >= a->watchdog_due_ms) {
        plat_notify("WATCHDOG=1");
        a->watchdog_due_ms = now_ms + a->watchdog_ms;
    }
    if (now_ms >= a->wear_due_ms) {
        log_wear(a, now_ms);
        a->wear_due_ms = now_ms + WEAR_EACH_MS;
    }
    if (now_ms >= a->status_due_ms) {
        notify_status(a);
        a->status_due_ms = now_ms + STATUS_EACH_MS;
    }
}

static void log_spool(const agent *a)
{
    const outlet_counts *o = outlet_state(a->outlet);
    const spool_state *s = outlet_spool(a->outlet);
    if (!s)
        return;
    GV_LOG(GV_LOG_INFO, gv_kmsg("spool"), gv_kuint("batches_waiting", s->batches),
           gv_kuint("records_waiting", s->records), gv_kuint("bytes", s->bytes),
           gv_kuint("spooled_batches", o->spooled_batches),
           gv_kuint("spooled_records", o->spooled_records),
           gv_kuint("drained_batches", o->drained_batches),
           gv_kuint("drained_records", o->drained_records), gv_kuint("refused", o->refused),
           gv_kuint("given_up_records", o->given_up_records),
           gv_kuint("damaged_batches", s->damaged_batches),
           gv_kuint("payload_bytes", s->payload_bytes), gv_kuint("stored_bytes", s->stored_bytes),
           gv_kuint("commits", s->commits));
}

void agent_report_stop(agent *a)
{
    const source_counts *s = source_state(a->source);
    const pipeline_counts *p = pipeline_state(a->pipeline);
    const forwarder_status *f = forwarder_state(a->forwarder);
    led_close(&a->led);
    agent_status_stop(a);
    log_spool(a);
    log_wear(a, plat_mono_ms(a->setup.clock));
    GV_LOG(GV_LOG_INFO, gv_kmsg("stopped"), gv_kuint("requests", s->requests),
           gv_kuint("snapshots", s->snapshots), gv_kuint("not_modified", s->not_modified),
           gv_kuint("broken", s->broken), gv_kuint("failures", s->failures),
           gv_kuint("bytes_in", p->bytes_in), gv_kuint("records_acked", f->records_acked),
           gv_kuint("rejects", p->rejects), gv_kuint("refused", f->records_refused),
           gv_kuint("resent", f->resent), gv_kuint("pauses", p->pauses),
           gv_kuint("peak_memory_kib", plat_peak_memory_kib()));
}
