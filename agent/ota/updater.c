#include "agent/ota/updater_internal.h"

#include "platform/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WISH_EACH_MS  1000u
#define TRIAL_EACH_MS 250u

size_t updater_memory_bytes(void)
{
    return sizeof(updater) + store_memory_bytes();
}

int64_t updater_now_ms(const updater *u)
{
    return plat_wall_ms(u->clock);
}

/* --- what is told ------------------------------------------------------------------------------ */
void updater_refresh(updater *u)
{
    const store_state *s = store_look(u->store);
    update_state *out = &u->state;
    out->changes++;
    if (s->history_count == 0)
        return;
    const store_event *last = &s->history[s->history_count - 1];
    bool is_control = s->trial.version == last->update.version && last->outcome == UPDATE_TRIAL &&
                      s->record.stage == TRIAL_OF_GOOD;
    out->attempted_version = last->update.version;
    out->outcome = last->outcome;
    out->attempted_at_ms = last->at_ms;
    snprintf(out->reason, sizeof out->reason, "%s", is_control ? s->missing : last->reason);
}

void updater_store_failed(updater *u, const gv_error *err)
{
    if (!u->store_failed)
        GV_LOG(GV_LOG_ERROR, gv_kmsg("what became of an update cannot be written to the disk"),
               gv_kstr("error", err->text));
    u->store_failed = true;
}

static void say(gv_log_level level, const char *what, const store_ref *update, const char *reason)
{
    GV_LOG(level, gv_kmsg(what), gv_kuint("version", update->version),
           gv_kstr("sha256", update->sha256), gv_kstr("reason", reason));
}

/* --- life -------------------------------------------------------------------------------------- */
gv_status updater_open(const plat_fs *fs, const plat_clock *clock, const char *state_dir,
                       updater **out, gv_error *err)
{
    updater *u = calloc(1, sizeof *u);
    *out = NULL;
    if (!u)
        return gv_fail(err, GV_FULL, "no memory for updates");
    u->fs = fs;
    u->clock = clock;
    u->place = UPDATER_PLACES_MAX;
    u->state.next_poll_ms = UINT64_MAX;
    gv_status status = store_open(fs, state_dir, true, &u->store, err);
    if (status != GV_OK) {
        free(u);
        return status;
    }
    updater_refresh(u);
    *out = u;
    return GV_OK;
}

void updater_close(updater *u)
{
    if (!u)
        return;
    store_close(u->store);
    free(u);
}

/* --- which one --------------------------------------------------------------------------------- */
/* Reads and verifies a bundle that was taken before. */
static bool open_kept(updater *u, const store_ref *update, const bundle_recipient *recipient,
                      gv_span *config, gv_error *err)
{
    bundle opened;
    bundle_recipient again = *recipient;
    again.seen_version = 0; /* it was taken already */
    if (store_read(u->store, update->version, u->bytes, sizeof u->bytes, &u->len, err) != GV_OK ||
        bundle_open(gv_span_of(u->bytes, u->len), &again, &opened, err) != BUNDLE_GOOD)
        return false;
    if (opened.version != update->version || strcmp(opened.sha256, update->sha256) != 0) {
        gv_fail(err, GV_CORRUPT, "the bundle on the disk is another one");
        return false;
    }
    *config = opened.config;
    return true;
}

static void set_running(updater *u, const store_ref *update)
{
    u->state.running_version = update ? update->version : 0;
    snprintf(u->state.running_sha256, sizeof u->state.running_sha256, "%s",
             update ? update->sha256 : "");
    updater_refresh(u);
}

/* One more start of the update on trial, if it may have one. */
static bool pick_trial(updater *u, const bundle_recipient *recipient, gv_span *config)
{
    const store_state *s = store_look(u->store);
    gv_error err = { 0, "" };
    trial_decision decision = trial_begin(&s->record);
    trial_record next = trial_after(&s->record, decision);
    if (decision == TRIAL_KEEP)
        return false;
    char ended[STORE_REASON_MAX];
    snprintf(ended, sizeof ended, "the agent ended %u times while it was being tried%s%.180s",
             TRIAL_STARTS_MAX, s->missing[0] ? "; " : "", s->missing);
    if (store_record(u->store, &next, decision == TRIAL_BACK ? ended : NULL, &err) != GV_OK) {
        updater_store_failed(u, &err); /* a start that is not counted could be made for ever */
        return false;
    }
    if (decision == TRIAL_BACK) {
        u->state.trials_failed++;
        say(GV_LOG_WARN, "the last good configuration is back in force, to see whether it works",
            &s->trial, ended);
        return false;
    }
    if (open_kept(u, &s->trial, recipient, config, &err))
        return true;
    say(GV_LOG_ERROR, "an update cannot be tried and is refused", &s->trial, err.text);
    if (store_refuse(u->store, &s->trial, err.text, updater_now_ms(u), &err) != GV_OK)
        updater_store_failed(u, &err);
    return false;
}

static bool pick_good(updater *u, const bundle_recipient *recipient, gv_span *config)
{
    const store_ref *good = &store_look(u->store)->good;
    gv_error err = { 0, "" };
    if (good->version == 0 || good->version == u->unusable_good)
        return false;
    if (open_kept(u, good, recipient, config, &err))
        return true;
    say(GV_LOG_ERROR, "the update in force cannot be used: the board's own file is in force", good,
        err.text);
    return false;
}

/* What a person on the board wishes. */
static void take_wish(updater *u)
{
    store_wish wish;
    gv_error err = { 0, "" };
    if (!store_wish_look(u->store, &wish))
        return;
    store_ref was = { u->state.running_version, "" };
    gv_status status =
        store_revert(u->store, wish.version, wish.to_own_file, updater_now_ms(u), &err);
    if (status == GV_OK) {
        u->wants_restart = u->wants_restart || was.version == wish.version;
        u->is_given_up = false;
        GV_LOG(GV_LOG_WARN, gv_kmsg("an update is reverted"), gv_kuint("version", wish.version));
    } else if (status != GV_INVAL) {
        updater_store_failed(u, &err); /* the wish stays, and is looked at again */
        return;
    }
    store_wish_done(u->store);
    updater_refresh(u);
}

bool updater_pick(updater *u, const bundle_recipient *recipient, gv_span *config)
{
    const store_state *s = store_look(u->store);
    take_wish(u); /* perhaps because what would be picked does not run */
    u->wants_restart = false;
    u->is_trying = s->trial.version != 0 && !u->is_given_up && pick_trial(u, recipient, config);
    if (u->is_trying) {
        say(GV_LOG_INFO, "an update is being tried", &s->trial, "");
        set_running(u, &s->trial);
        return true;
    }
    bool is_update = pick_good(u, recipient, config);
    set_running(u, is_update ? &s->good : NULL);
    return is_update;
}

/* The end of the update's own time. */
static void go_back(updater *u, const char *missing)
{
    const store_state *s = store_look(u->store);
    gv_error err = { 0, "" };
    trial_record next = trial_after(&s->record, TRIAL_BACK);
    u->state.trials_failed++;
    u->wants_restart = true;
    say(GV_LOG_WARN, "the last good configuration is back in force, to see whether it works",
        &s->trial, missing);
    if (store_record(u->store, &next, missing, &err) != GV_OK) {
        updater_store_failed(u, &err);
        u->is_given_up = true;
    }
    updater_refresh(u);
}

void updater_unusable(updater *u, const char *reason)
{
    const store_state *s = store_look(u->store);
    if (u->is_trying) {
        go_back(u, reason);
        return;
    }
    u->unusable_good = s->good.version;
    say(GV_LOG_ERROR, "the update in force cannot be used: the board's own file is in force",
        &s->good, reason);
}

/* --- while it runs ------------------------------------------------------------------------------ */
void updater_start(updater *u, const updater_config *config, http_client *http)
{
    u->config = *config;
    u->http = http;
    u->started_ms = plat_mono_ms(u->clock);
    u->wish_due_ms = u->started_ms;
    u->random ^= u->started_ms * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (const char *c = config->recipient.device; *c; c++) /* boards that start together differ */
        u->random = (u->random ^ (uint8_t)*c) * UINT64_C(0x100000001B3);
    poll_start(u);
}

void updater_stop(updater *u)
{
    const store_state *s = store_look(u->store);
    gv_error err = { 0, "" };
    poll_stop(u);
    u->http = NULL;
    if (!u->is_trying || s->trial.version == 0 || s->record.stage != TRIAL_OF_UPDATE ||
        s->record.starts == 0 || u->is_given_up)
        return;
    trial_record next = s->record;
    next.starts--;
    if (store_record(u->store, &next, NULL, &err) != GV_OK)
        updater_store_failed(u, &err);
}

bool updater_wants_signs(const updater *u)
{
    const store_state *s = store_look(u->store);
    return s->trial.version != 0 && !u->wants_restart && !u->is_given_up &&
           (u->is_trying || s->record.stage != TRIAL_OF_UPDATE);
}

static gv_status commit(updater *u, gv_error *err)
{
    gv_status status = store_commit(u->store, updater_now_ms(u), err);
    if (status != GV_OK)
        return status;
    u->is_trying = false;
    u->unusable_good = 0;
    say(GV_LOG_INFO, "an update works and is in force from now on", &store_look(u->store)->good,
        "");
    return GV_OK;
}

/* What the update did not show, although the good configuration did (or never could). */
static gv_status refuse(updater *u, gv_error *err)
{
    const store_state *s = store_look(u->store);
    store_ref update = s->trial;
    char reason[STORE_REASON_MAX];
    snprintf(reason, sizeof reason, "%s", s->missing);
    gv_status status = store_refuse(u->store, &update, reason, updater_now_ms(u), err);
    if (status == GV_OK)
        say(GV_LOG_ERROR, "an update is refused for good; publish a higher version", &update,
            reason);
    return status;
}

static gv_status postpone(updater *u, const trial_record *next, const trial_signs *signs,
                          gv_error *err)
{
    const store_state *s = store_look(u->store);
    char reason[STORE_REASON_MAX], missing[STORE_REASON_MAX / 2];
    trial_missing(signs, missing, sizeof missing);
    snprintf(reason, sizeof reason, "without the update it is no better: %s", missing);
    gv_status status = store_postpone(u->store, next, reason, updater_now_ms(u), err);
    if (status == GV_OK)
        say(GV_LOG_WARN, "an update is postponed until the last good configuration works again",
            &s->trial, reason);
    return status;
}

static gv_status retry(updater *u, const trial_record *next, gv_error *err)
{
    gv_status status = store_record(u->store, next, NULL, err);
    u->wants_restart = status == GV_OK;
    if (status == GV_OK)
        say(GV_LOG_INFO, "an update that was postponed is tried again",
            &store_look(u->store)->trial, "");
    return status;
}

static void drive_trial(updater *u, const trial_signs *signs, uint64_t now_ms)
{
    const trial_record *record = &store_look(u->store)->record;
    gv_error err = { 0, "" };
    gv_status status = GV_OK;
    trial_decision d = trial_decide(record, signs, now_ms - u->started_ms, u->config.trial_ms);
    trial_record next = trial_after(record, d);
    char missing[STORE_REASON_MAX];
    switch (d) {
    case TRIAL_KEEP:
    case TRIAL_START: /* not from trial_decide() */
        return;
    case TRIAL_BACK:
        trial_missing(signs, missing, sizeof missing);
        go_back(u, missing);
        return;
    case TRIAL_COMMIT:
        status = commit(u, &err);
        break;
    case TRIAL_REFUSE:
        status = refuse(u, &err);
        break;
    case TRIAL_POSTPONE:
        status = postpone(u, &next, signs, &err);
        break;
    case TRIAL_RETRY:
        status = retry(u, &next, &err);
        break;
    }
    if (status != GV_OK) /* asked again at the next tick */
        updater_store_failed(u, &err);
    updater_refresh(u);
}

uint64_t updater_tick(updater *u, const trial_signs *signs)
{
    uint64_t now_ms = plat_mono_ms(u->clock), due_ms;
    if (now_ms >= u->wish_due_ms) {
        take_wish(u);
        u->wish_due_ms = now_ms + WISH_EACH_MS;
    }
    if (signs && updater_wants_signs(u))
        drive_trial(u, signs, now_ms);
    due_ms = poll_tick(u, now_ms);
    if (updater_wants_signs(u) && now_ms + TRIAL_EACH_MS < due_ms)
        due_ms = now_ms + TRIAL_EACH_MS;
    return due_ms < u->wish_due_ms ? due_ms : u->wish_due_ms;
}

bool updater_wants_restart(const updater *u)
{
    return u->wants_restart;
}

const update_state *updater_state(const updater *u)
{
    return &u->state;
}
