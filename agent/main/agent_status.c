/* The parts' states as the facts that status pages are made of. */
#include "agent/main/agent_internal.h"
#include "agent/main/wear.h"
#include "gavel_version.h"
#include "platform/process.h"

#include <stdio.h>
#include <string.h>

#define LOOK_EACH_MS 2000u
#define WEAR_LEAST_S 3600u /* a rate from less than this would say nothing of a day */

/* --- what only ever grows ---------------------------------------------------------------------- */

static void count_spool(const agent *a, status_counters *c)
{
    const outlet_counts *o = outlet_state(a->outlet);
    const spool_state *s = outlet_spool(a->outlet);
    c->spool_switches = o->switches;
    c->spooled_records = o->spooled_records;
    c->drained_records = o->drained_records;
    c->drained_refused = o->refused;
    c->given_up_snapshots = o->given_up_snapshots;
    c->given_up_records = o->given_up_records;
    if (!s)
        return;
    c->damaged_batches = s->damaged_batches;
    c->damaged_records = s->damaged_records;
    c->missing_batches = s->missing_batches;
}

/* Of this agent and those before it in this process. */
static status_counters count_all(const agent *a)
{
    const source_counts *s = source_state(a->source);
    const pipeline_counts *p = pipeline_state(a->pipeline);
    const forwarder_status *f = forwarder_state(a->forwarder);
    status_counters c = { .requests = s->requests,
                          .snapshots = s->snapshots,
                          .snapshots_broken = s->broken,
                          .not_modified = s->not_modified,
                          .fetch_failures = s->failures,
                          .tokens = s->tokens,
                          .body_bytes = p->bytes_in,
                          .records = p->records,
                          .rejects = p->rejects,
                          .unknown_members = p->unknown_members,
                          .replaced_utf8 = p->replaced_utf8,
                          .pauses = p->pauses,
                          .records_acked = f->records_acked,
                          .records_refused = f->records_refused,
                          .records_resent = f->resent,
                          .written_bytes = a->written.written_bytes,
                          .syncs = a->written.file_syncs + a->written.dir_syncs };
    count_spool(a, &c);
    status_counters_add(&c, &a->setup.past->counters);
    return c;
}

/* --- what is so now ---------------------------------------------------------------------------- */

static int64_t known_kib(uint64_t kib)
{
    return kib ? (int64_t)kib * 1024 : STATUS_UNKNOWN;
}

static void look_at_feed(void *ctx, size_t i, status_feed *out)
{
    const agent *a = ctx;
    source_feed f;
    source_look(a->source, (uint32_t)i, &f);
    uint64_t wait_ms = f.next_ms > a->facts_ms ? f.next_ms - a->facts_ms : 0;
    *out =
        (status_feed){ .realm = f.realm,
                       .house = f.house,
                       .snapshot_ms = f.last_modified > 0 ? f.last_modified * 1000 : STATUS_UNKNOWN,
                       .snapshot_age_s = f.has_age ? (int64_t)(f.age_ms / 1000) : STATUS_UNKNOWN,
                       .records = f.records >= 0 ? f.records : STATUS_UNKNOWN,
                       .next_fetch_s = f.fetching ? STATUS_UNKNOWN : (int64_t)(wait_ms / 1000),
                       .failures = f.failures,
                       .fetching = f.fetching,
                       .stale = f.stale };
    snprintf(out->name, sizeof out->name, "%s", f.name);
    snprintf(out->region, sizeof out->region, "%s", f.region);
    snprintf(out->trouble, sizeof out->trouble, "%s", f.trouble);
}

static void look_at_servers(const agent *a, status_facts *out)
{
    const source_counts *s = source_state(a->source);
    const forwarder_status *f = forwarder_state(a->forwarder);
    out->feed_count = s->feeds;
    out->feeds_stale = s->feeds_stale;
    out->feeds_failing = s->feeds_failing;
    out->api_key_refused = s->key_refused;
    out->api_trouble = source_trouble(a->source);
    out->broker.up = f->up;
    snprintf(out->broker.text, sizeof out->broker.text, "%s", f->text);
    out->registry.up = !registry_in_trouble(a->registry);
    snprintf(out->registry.text, sizeof out->registry.text, "%s", registry_state(a->registry));
    out->registry_matters = !registry_complete(a->registry);
}

static void look_at_spool(const agent *a, status_facts *out)
{
    const outlet_counts *o = outlet_state(a->outlet);
    const spool_state *s = outlet_spool(a->outlet);
    out->spool = (status_spool){ .enabled = a->config->spool_enabled,
                                 .usable = s != NULL,
                                 .spooling = o->spooling,
                                 .full = o->full,
                                 .quota_bytes = (uint64_t)a->config->spool_quota_mib << 20,
                                 .oldest_age_s = STATUS_UNKNOWN };
    if (!s)
        return;
    out->spool.batches = s->batches;
    out->spool.records = s->records;
    out->spool.bytes = s->bytes;
    out->spool.quarantine_bytes = s->quarantine_bytes;
    if (s->batches > 0)
        out->spool.oldest_age_s =
            out->now_ms > s->oldest_ms ? (out->now_ms - s->oldest_ms) / 1000 : 0;
}

static status_answer answer_of(bool is_known, bool is_so)
{
    return !is_known ? STATUS_NOT_KNOWN : is_so ? STATUS_YES : STATUS_NO;
}

static void look_at_board(agent *a, status_facts *out)
{
    const uint32_t slow = HEALTH_CAPPED | HEALTH_THROTTLED | HEALTH_SOFT_LIMIT;
    const health_state *h = health_look(&a->health);
    for (size_t i = 0; i < HEALTH_TROUBLES; i++)
        a->troubles[i] =
            (status_trouble){ health_troubles[i].name, health_troubles[i].words,
                              health_troubles[i].advice, (h->troubles & 1u << i) != 0 };
    out->board = (status_board){
        .profile = a->config->profile ? a->config->profile : "generic",
        .temperature_mc = h->has_temperature ? h->temperature_mc : STATUS_UNKNOWN,
        .under_voltage = answer_of(h->has_power, (h->flags & HEALTH_UNDER_VOLTAGE) != 0),
        .throttled = answer_of(h->has_throttling, (h->flags & slow) != 0),
        .wear_percent = h->has_wear ? (int64_t)h->wear_percent : STATUS_UNKNOWN,
        .clock = h->clock_sync,
        .troubles = a->troubles,
        .trouble_count = HEALTH_TROUBLES,
    };
    snprintf(out->board.model, sizeof out->board.model, "%s", a->board_model);
    out->disk.free_bytes = h->has_free ? (int64_t)h->free_bytes : STATUS_UNKNOWN;
}

static void look_at_process(const agent *a, status_facts *out)
{
    const status_counters *c = &out->counters;
    out->memory = (status_process){ a->budget.total, known_kib(plat_memory_kib()),
                                    known_kib(plat_peak_memory_kib()) };
    out->disk.card_bytes_per_day = out->disk.card_lasts_years = STATUS_UNKNOWN;
    if (out->uptime_s < WEAR_LEAST_S)
        return;
    uint64_t per_day = wear_bytes_per_day(c->written_bytes, c->syncs, out->uptime_s * 1000);
    uint64_t years = wear_card_years(per_day);
    out->disk.card_bytes_per_day = (int64_t)per_day;
    if (years != UINT64_MAX)
        out->disk.card_lasts_years = (int64_t)years;
}

void agent_status_facts(agent *a, status_facts *out)
{
    status_past *past = a->setup.past;
    a->facts_ms = plat_mono_ms(a->setup.clock);
    *out = (status_facts){ .version = GAVEL_VERSION,
                           .device = a->device,
                           .now_ms = plat_wall_ms(a->setup.clock),
                           .now_mono_ms = a->facts_ms,
                           .uptime_s = (a->facts_ms - past->started_ms) / 1000,
                           .counters = count_all(a),
                           .feed = look_at_feed,
                           .feed_ctx = a,
                           .conditions = &past->conditions,
                           .history = &past->history,
                           .recent = &past->recent };
    agent_update_facts(a, out);
    look_at_servers(a, out);
    look_at_spool(a, out);
    look_at_process(a, out);
    look_at_board(a, out);
    conditions_update(&past->conditions, out);
}

/* --- in time ----------------------------------------------------------------------------------- */

/* A single pass is no part of the history: nobody watches it. */
static bool is_watched(const agent *a)
{
    return !a->setup.single_pass;
}

void agent_status_start(agent *a)
{
    history *h = &a->setup.past->history;
    board_model(a->setup.fs, a->board_model);
    if (is_watched(a) && !h->has_seen) /* else it is an earlier agent's of this process */
        history_load(h, &a->fs, a->history_path);
}

void agent_status_tick(agent *a, uint64_t now_ms)
{
    status_facts facts;
    if (!is_watched(a) || now_ms < a->look_due_ms)
        return;
    a->look_due_ms = now_ms + LOOK_EACH_MS;
    agent_status_facts(a, &facts);
    const history_sample sample = {
        .records_total = facts.counters.records_acked,
        .spool_records = facts.spool.records,
        .spool_bytes = facts.spool.bytes,
        .resident_bytes = facts.memory.resident_bytes != STATUS_UNKNOWN
                              ? (uint64_t)facts.memory.resident_bytes
                              : 0,
    };
    history_note(&a->setup.past->history, facts.now_ms, &sample);
    history_save(&a->setup.past->history, &a->fs, a->history_path, now_ms, false);
}

void agent_status_stop(agent *a)
{
    if (is_watched(a))
        history_save(&a->setup.past->history, &a->fs, a->history_path, plat_mono_ms(a->setup.clock),
                     true);
    a->setup.past->counters = count_all(a);
}
