#include "tests/unit/status_world.h"

#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000
#define STEP_MS ((int64_t)HISTORY_STEP_S * 1000)

static const char *const reasons[] = { "too_large",     "broken",   "unknown_key",
                                       "bad_signature", "bad_hash", "not_for_us",
                                       "needs_agent",   "old",      "bad_config" };

static void give_feed(void *ctx, size_t i, status_feed *out)
{
    *out = ((const status_world *)ctx)->feeds[i];
}

static void add_feed(status_world *w, uint32_t realm, uint32_t house, int64_t age_s,
                     int64_t records)
{
    status_feed *d = &w->feeds[w->facts.feed_count++];
    *d = (status_feed){ .region = "eu",
                        .realm = realm,
                        .house = house,
                        .snapshot_ms = WORLD_NOW_MS - age_s * 1000,
                        .snapshot_age_s = age_s,
                        .records = records,
                        .next_fetch_s = age_s < 3600 ? 3600 - age_s : 30 };
    snprintf(d->name, sizeof d->name, "eu/%u/%u", realm, house);
}

/* Three days of it, with a night when the board was off. */
static void fill_history(status_world *w, int64_t away_ms)
{
    history_sample s = { .resident_bytes = 9500u * 1024 };
    history_init(&w->history, 0);
    for (int64_t at = WORLD_NOW_MS - 72 * HOUR_MS; at < WORLD_NOW_MS; at += STEP_MS) {
        int64_t before_ms = WORLD_NOW_MS - at, step = at / STEP_MS;
        bool is_away = before_ms <= away_ms,
             is_off = before_ms > 50 * HOUR_MS && before_ms < 44 * HOUR_MS + 12 * HOUR_MS;
        if (is_off)
            continue;
        uint64_t fetched = step % 4 == 1 ? 340000 + (uint64_t)(step % 17) * 3100 : 0;
        s.records_total += is_away ? 0 : fetched;
        s.spool_records += is_away ? fetched : 0;
        s.spool_bytes = s.spool_records * 34;
        s.resident_bytes = (9500u + (uint64_t)(step % 7) * 60) * 1024;
        history_note(&w->history, at, &s);
    }
}

static void set_machine(status_world *w)
{
    w->troubles[0] = (status_trouble){
        "under_voltage", "the board gets too little voltage: it may crash or write wrong data",
        "use the board's own power supply and a short cable, and unplug what draws power over USB",
        false
    };
    w->troubles[1] =
        (status_trouble){ "hot", "the board is hot, and will slow itself down",
                          "give it air or a heat sink, out of the sun and out of a closed box",
                          false };
    w->facts.board = (status_board){ .model = "Raspberry Pi 3 Model B Plus Rev 1.3",
                                     .profile = "rpi3",
                                     .temperature_mc = 48312,
                                     .under_voltage = STATUS_NO,
                                     .throttled = STATUS_NO,
                                     .wear_percent = STATUS_UNKNOWN,
                                     .clock = PLAT_SYNC_YES,
                                     .troubles = w->troubles,
                                     .trouble_count = 2 };
}

static void set_counters(status_counters *c)
{
    *c = (status_counters){ .requests = 1740,
                            .snapshots = 426,
                            .not_modified = 1302,
                            .fetch_failures = 12,
                            .tokens = 4,
                            .body_bytes = UINT64_C(41523345678),
                            .records = 24117310,
                            .rejects = 2,
                            .records_acked = 24117738,
                            .pauses = 31,
                            .written_bytes = 912384,
                            .syncs = 870 };
}

void status_world_healthy(status_world *w)
{
    memset(w, 0, sizeof *w);
    status_facts *f = &w->facts;
    w->time = (clock_double){ 72 * HOUR_MS, WORLD_NOW_MS };
    w->clock = clock_double_table(&w->time);
    *f = (status_facts){ .version = "0.1.0",
                         .device = "attic",
                         .now_ms = WORLD_NOW_MS,
                         .now_mono_ms = w->time.mono_ms,
                         .uptime_s = 72 * 3600,
                         .feed = give_feed,
                         .feed_ctx = w,
                         .broker = { true, "a broker answers" },
                         .registry = { true, "all schema ids known" },
                         .api_trouble = "",
                         .spool = { .enabled = true,
                                    .usable = true,
                                    .quota_bytes = 512u << 20,
                                    .oldest_age_s = STATUS_UNKNOWN },
                         .memory = { 12u << 20, 9876480, 10764288 },
                         .disk = { 304128, 1200, INT64_C(11811160064) },
                         .update = { .sha256 = "",
                                     .outcome = "none",
                                     .reason = "",
                                     .attempted_at_ms = STATUS_UNKNOWN,
                                     .reasons = reasons,
                                     .reason_count = sizeof reasons / sizeof reasons[0],
                                     .next_poll_s = STATUS_UNKNOWN,
                                     .trouble = "" },
                         .conditions = &w->conditions,
                         .history = &w->history,
                         .recent = &w->recent };
    set_counters(&f->counters);
    set_machine(w);
    add_feed(w, 0, 0, 1500, 312744);
    add_feed(w, 1305, 0, 1804, 41823);
    add_feed(w, 1084, 0, 1213, 58110);
    add_feed(w, 3674, 0, 745, 12021);
    add_feed(w, 4440, 2, 2450, 22871);
    add_feed(w, 4440, 6, 2450, 19002);
    fill_history(w, 0);
    recent_init(&w->recent, &w->clock);
    conditions_init(&w->conditions);
    conditions_update(&w->conditions, f);
}

static void log_outage(status_world *w)
{
    const gv_kv spooling[] = { gv_kmsg("batches go to the spool"),
                               gv_kstr("reason",
                                       "no broker answers at 192.168.1.10:9092: connection "
                                       "refused"),
                               gv_kuint("batches", 6),
                               { GV_KV_END, 0, 0, 0, 0 } };
    const gv_kv failed[] = { gv_kmsg("snapshot not fetched"),
                             gv_kstr("feed", "eu/1084/0"),
                             gv_kstr("reason", "HTTP 503: the API is in trouble"),
                             gv_kuint("failures", 5),
                             gv_kuint("next_try_ms", 61000),
                             { GV_KV_END, 0, 0, 0, 0 } };
    const gv_kv voltage[] = { gv_kmsg(w->troubles[0].words),
                              gv_kstr("now", "too low"),
                              gv_kstr("advice", w->troubles[0].advice),
                              { GV_KV_END, 0, 0, 0, 0 } };
    w->time.wall_ms = WORLD_NOW_MS - 5 * HOUR_MS;
    recent_observe(&w->recent, GV_LOG_WARN, spooling);
    w->time.wall_ms += 4 * HOUR_MS;
    recent_observe(&w->recent, GV_LOG_WARN, voltage);
    for (int i = 0; i < 5; i++)
        recent_observe(&w->recent, GV_LOG_WARN, failed);
    w->time.wall_ms = WORLD_NOW_MS;
}

void status_world_outage(status_world *w)
{
    status_world_healthy(w);
    status_facts *f = &w->facts;
    f->broker.up = false;
    snprintf(f->broker.text, sizeof f->broker.text,
             "no broker answers at 192.168.1.10:9092: connection refused");
    f->spool.spooling = true;
    f->spool.batches = 5412;
    f->spool.records = 1709211;
    f->spool.bytes = 447u << 20;
    f->spool.oldest_age_s = 5 * 3600 + 940;
    f->counters.spool_switches = 1;
    f->counters.spooled_records = 1709211;
    f->board.under_voltage = STATUS_YES;
    w->troubles[0].holds = true;
    f->feeds_failing = 1;
    f->feeds_stale = 1;
    w->feeds[2].stale = true;
    w->feeds[2].failures = 5;
    w->feeds[2].snapshot_age_s = 9123;
    w->feeds[2].snapshot_ms = WORLD_NOW_MS - 9123000;
    w->feeds[2].next_fetch_s = 61;
    snprintf(w->feeds[2].trouble, sizeof w->feeds[2].trouble, "HTTP 503: the API is in trouble");
    w->feeds[3].fetching = true;
    w->feeds[3].next_fetch_s = STATUS_UNKNOWN;
    fill_history(w, 5 * HOUR_MS);
    log_outage(w);
    conditions_init(&w->conditions);
    f->now_mono_ms -= 5 * HOUR_MS;
    conditions_update(&w->conditions, f);
    status_world_tick(w, 5 * HOUR_MS);
}

void status_world_update_failed(status_world *w)
{
    status_world_healthy(w);
    status_update *u = &w->facts.update;
    u->version = 7;
    u->sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    u->attempted_version = 8;
    u->outcome = "refused";
    u->reason =
        "version 8 is signed by a key that this board does not know (3b1f00c5d2a94e77): add it "
        "to ota.keys, or sign with a key that is there";
    u->attempted_at_ms = WORLD_NOW_MS - 400000;
    u->next_poll_s = 512;
    w->facts.counters.updates_refused[2] = 2;
    const gv_kv refused[] = { gv_kmsg("update refused"),
                              gv_kstr("reason", u->reason),
                              gv_kuint("version", 8),
                              { GV_KV_END, 0, 0, 0, 0 } };
    w->time.wall_ms = u->attempted_at_ms;
    recent_observe(&w->recent, GV_LOG_WARN, refused);
    w->time.wall_ms = WORLD_NOW_MS;
    w->facts.now_mono_ms -= 400000;
    conditions_update(&w->conditions, &w->facts);
    status_world_tick(w, 400000);
}

void status_world_feeds(status_world *w, size_t count)
{
    status_world_healthy(w);
    w->facts.feed_count = 0;
    for (size_t i = 0; i < count; i++)
        add_feed(w, (uint32_t)(100000 + i), 0, 1800, 54321);
}

void status_world_tick(status_world *w, uint64_t ms)
{
    w->facts.now_mono_ms += ms;
    conditions_update(&w->conditions, &w->facts);
}

#define FILL(array, text) snprintf(array, sizeof array, "%s", text)

void status_world_hostile(status_world *w, const char *text)
{
    status_facts *f = &w->facts;
    f->version = f->device = f->board.profile = text;
    f->update.attempted_version = 1;
    f->update.sha256 = f->update.reason = f->update.trouble = f->api_trouble = text;
    FILL(f->broker.text, text);
    FILL(f->registry.text, text);
    FILL(f->board.model, text);
    for (size_t i = 0; i < f->feed_count; i++) {
        FILL(w->feeds[i].name, text);
        FILL(w->feeds[i].region, text);
        FILL(w->feeds[i].trouble, text);
    }
    for (int i = 0; i < RECENT_MAX; i++) {
        char other[RECENT_TEXT_MAX * 2];
        snprintf(other, sizeof other, "%d%s", i, text);
        const gv_kv pairs[] = { gv_kmsg(other),
                                gv_kstr("advice", text),
                                { GV_KV_END, 0, 0, 0, 0 } };
        recent_observe(&w->recent, GV_LOG_ERROR, pairs);
    }
    /* Everything that can be wrong is. */
    f->broker.up = f->registry.up = false;
    f->registry_matters = f->api_key_refused = f->spool.full = true;
    f->spool.usable = false;
    f->feeds_stale = 1;
    f->feeds_failing = 1;
    f->memory.resident_bytes = INT64_MAX;
    f->counters.given_up_snapshots = f->counters.damaged_batches = f->counters.records_refused = 1;
    f->update.outcome = "refused";
    w->troubles[0] = w->troubles[1] = (status_trouble){ "trouble", text, text, true };
    conditions_update(&w->conditions, f);
    status_world_tick(w, HOUR_MS);
}
