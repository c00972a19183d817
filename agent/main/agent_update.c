/* agent_update.c - the updater among the agent's parts: what the present configuration has shown, and
 * when another one is to be in force. */
#include "agent/cli/cli_update.h"
#include "agent/main/agent_internal.h"
#include "agent/main/agent_updates.h"
#include "gavel_version.h"
#include "platform/process.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <time.h>

static updater *updater_of(const agent *a)
{
    return a->setup.updates ? agent_updates_updater(a->setup.updates) : NULL;
}

size_t agent_update_memory_bytes(const gv_config *config)
{
    if (!cli_takes_updates(config))
        return 0;
    return updater_memory_bytes() + (config->ota_kafka ? TOPIC_LOOK_BYTES : 0);
}

/* After the forwarder, whose properties it shares. */
static gv_status open_topic_look(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    const topic_look_config config = { .kafka = cli_kafka_config(c, a->device, a->properties),
                                       .topic = a->config_topic,
                                       .recipient = &a->recipient,
                                       .poll_ms = (uint64_t)c->ota_poll_ms };
    if (snprintf(a->config_topic, sizeof a->config_topic, "%s.config", c->kafka_topic_prefix) >=
        (int)sizeof a->config_topic)
        return gv_fail(err, GV_INVAL, "kafka.topic_prefix is too long");
    return topic_look_open(&config, a->setup.clock, &a->topic_look, err);
}

gv_status agent_update_start(agent *a, gv_error *err)
{
    const gv_config *c = a->config;
    updater *u = updater_of(a);
    if (!u)
        return GV_OK;
    a->recipient = cli_recipient(c, a->device);
    const updater_config config = {
        .url = cli_or_null(c->ota_url),
        .recipient = a->recipient,
        .ca_file = cli_or_null(c->ota_ca_file),
        .poll_ms = (uint64_t)c->ota_poll_ms,
        .trial_ms = (uint64_t)c->ota_trial_ms,
        .connect_timeout_ms = (uint32_t)c->api_connect_timeout_ms,
        .stall_timeout_ms = (uint32_t)c->api_stall_timeout_ms,
        .check = agent_updates_check,
        .ctx = a->setup.updates,
    };
    updater_start(u, &config, a->http);
    return c->ota_kafka ? open_topic_look(a, err) : GV_OK;
}

/* --- what has been shown ------------------------------------------------------------------------ */
static void tell(trial_signs *signs, trial_sign sign, bool is_shown, const char *trouble)
{
    signs->shown[sign] = is_shown;
    snprintf(signs->trouble[sign], sizeof signs->trouble[sign], "%.159s", trouble);
}

/* Whether any feed has an answer; else why one has none. */
static void look_at_feeds(const agent *a, trial_signs *signs)
{
    const source_counts *s = source_state(a->source);
    bool is_answered = s->snapshots + s->not_modified > 0;
    const char *trouble = source_trouble(a->source);
    source_feed f = { .trouble = "" };
    for (uint32_t i = 0; i < s->feeds && !is_answered; i++) {
        source_look(a->source, i, &f);
        is_answered = f.has_age;
        if (!trouble[0] && f.trouble[0])
            trouble = f.trouble;
    }
    tell(signs, TRIAL_SIGN_TOKEN, s->tokens > 0, source_trouble(a->source));
    tell(signs, TRIAL_SIGN_API, is_answered, trouble);
}

static void look_for_signs(const agent *a, trial_signs *signs)
{
    const forwarder_status *f = forwarder_state(a->forwarder);
    uint64_t resident_bytes = plat_memory_kib() * 1024;
    char used[64];
    look_at_feeds(a, signs);
    tell(signs, TRIAL_SIGN_BROKER, f->up, f->text);
    tell(signs, TRIAL_SIGN_REGISTRY, registry_complete(a->registry), registry_state(a->registry));
    snprintf(used, sizeof used, "%llu KiB are resident",
             (unsigned long long)(resident_bytes / 1024));
    tell(signs, TRIAL_SIGN_MEMORY, resident_bytes <= a->budget.total, used);
}

/* --- what is told to the owner ------------------------------------------------------------------ */
static bool add_outcome(cJSON *root, const update_state *s)
{
    char at[32];
    time_t seconds = (time_t)(s->attempted_at_ms / 1000);
    struct tm utc;
    if (s->attempted_version == 0)
        return cJSON_AddNullToObject(root, "attempted_version") &&
               cJSON_AddNullToObject(root, "outcome") && cJSON_AddNullToObject(root, "reason") &&
               cJSON_AddNullToObject(root, "at");
    gmtime_r(&seconds, &utc);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return cJSON_AddNumberToObject(root, "attempted_version", (double)s->attempted_version) &&
           cJSON_AddStringToObject(root, "outcome", update_outcome_name(s->outcome)) &&
           cJSON_AddStringToObject(root, "reason", s->reason) &&
           cJSON_AddStringToObject(root, "at", at);
}

/* At the start and with each change; the forwarder sees to it that it arrives. */
static void announce(agent *a, const update_state *s)
{
    char text[FORWARDER_NOTE_MAX];
    cJSON *root = cJSON_CreateObject();
    bool is_whole = root && cJSON_AddStringToObject(root, "device", a->device) &&
                    cJSON_AddStringToObject(root, "agent", GAVEL_VERSION) &&
                    cJSON_AddNumberToObject(root, "version", (double)s->running_version) &&
                    cJSON_AddStringToObject(root, "sha256", s->running_sha256) &&
                    add_outcome(root, s) &&
                    cJSON_PrintPreallocated(root, text, (int)sizeof text, 0);
    cJSON_Delete(root);
    if (is_whole)
        forwarder_announce(a->forwarder, &a->status_shape, a->device, gv_span_str(text));
    a->announced = s->changes;
}

uint64_t agent_update_tick(agent *a)
{
    updater *u = updater_of(a);
    trial_signs signs;
    if (!u)
        return UINT64_MAX;
    bool is_wanted = updater_wants_signs(u);
    if (is_wanted)
        look_for_signs(a, &signs);
    uint64_t due_ms = updater_tick(u, is_wanted ? &signs : NULL);
    uint64_t look_ms = a->topic_look ? topic_look_tick(a->topic_look, u) : UINT64_MAX;
    due_ms = look_ms < due_ms ? look_ms : due_ms;
    if (updater_state(u)->changes != a->announced)
        announce(a, updater_state(u));
    if (updater_wants_restart(u))
        a->setup.wishes->reload = true;
    return due_ms;
}

/* --- what it shows ------------------------------------------------------------------------------ */
static const char *const *refusals(void)
{
    static const char *names[BUNDLE_VERDICTS - 1];
    for (int i = 0; i < BUNDLE_VERDICTS - 1; i++)
        names[i] = bundle_verdict_name((bundle_verdict)(BUNDLE_GOOD + 1 + i));
    return names;
}

/* What the updater counts is of the whole process, whatever agents there were in it. */
void agent_update_facts(const agent *a, status_facts *out)
{
    const updater *u = updater_of(a);
    status_update *to = &out->update;
    *to = (status_update){ .sha256 = "",
                           .outcome = update_outcome_name(UPDATE_NONE),
                           .reason = "",
                           .attempted_at_ms = STATUS_UNKNOWN,
                           .reasons = refusals(),
                           .reason_count = BUNDLE_VERDICTS - 1,
                           .next_poll_s = STATUS_UNKNOWN,
                           .trouble = "" };
    if (!u)
        return;
    const update_state *s = updater_state(u);
    to->version = s->running_version;
    to->sha256 = s->running_sha256;
    to->attempted_version = s->attempted_version;
    to->outcome = update_outcome_name(s->outcome);
    to->reason = s->reason;
    to->trouble = s->poll_trouble;
    if (s->attempted_version)
        to->attempted_at_ms = s->attempted_at_ms;
    if (s->next_poll_ms != UINT64_MAX)
        to->next_poll_s = s->next_poll_ms > out->now_mono_ms
                              ? (int64_t)((s->next_poll_ms - out->now_mono_ms) / 1000)
                              : 0;
    out->counters.trials_failed = s->trials_failed;
    for (int i = 0; i < BUNDLE_VERDICTS - 1; i++)
        out->counters.updates_refused[i] = s->refused[BUNDLE_GOOD + 1 + i];
}

void agent_update_stop(agent *a)
{
    updater *u = updater_of(a);
    topic_look_close(a->topic_look);
    if (u)
        updater_stop(u);
}
