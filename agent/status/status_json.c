#include "agent/status/json_out.h"
#include "agent/status/status.h"

#include <stdio.h>

#define SECOND_MS 1000

/* What must still fit behind the feeds: "],\"feeds_left_out\":N}". */
#define TAIL_BYTES 64u

static const char *const clock_names[] = { "unknown", "not synchronised", "synchronised" };

static void put_conditions(json_out *j, const status_facts *f)
{
    char text[CONDITION_DETAIL_MAX + 160];
    const conditions *c = f->conditions;
    json_begin(j, "conditions", '[');
    for (size_t i = 0; i < c->count; i++) {
        const condition *x = &c->all[i];
        if (!x->told)
            continue;
        conditions_text(c, i, text, sizeof text);
        json_begin(j, NULL, '{');
        json_text(j, "name", x->name);
        json_text(j, "severity", x->severity == CONDITION_ERROR ? "error" : "warning");
        json_uint(j, "since_s", (f->now_mono_ms - x->since_ms) / SECOND_MS);
        json_text(j, "words", text);
        json_text(j, "advice", x->advice);
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void put_links(json_out *j, const status_facts *f)
{
    json_begin(j, "broker", '{');
    json_bool(j, "up", f->broker.up);
    json_text(j, "text", f->broker.text);
    json_uint(j, "records_acked", f->counters.records_acked);
    json_uint(j, "records_refused", f->counters.records_refused);
    json_uint(j, "records_resent", f->counters.records_resent);
    json_end(j, '}');
    json_begin(j, "registry", '{');
    json_bool(j, "up", f->registry.up);
    json_text(j, "text", f->registry.text);
    json_end(j, '}');
}

static void put_spool(json_out *j, const status_facts *f)
{
    const status_spool *s = &f->spool;
    json_begin(j, "spool", '{');
    json_bool(j, "enabled", s->enabled);
    json_bool(j, "usable", s->usable);
    json_bool(j, "spooling", s->spooling);
    json_bool(j, "full", s->full);
    json_uint(j, "batches", s->batches);
    json_uint(j, "records", s->records);
    json_uint(j, "bytes", s->bytes);
    json_uint(j, "quota_bytes", s->quota_bytes);
    json_int_or_null(j, "oldest_age_s", s->oldest_age_s);
    json_uint(j, "damaged_batches", f->counters.damaged_batches);
    json_uint(j, "given_up_snapshots", f->counters.given_up_snapshots);
    json_uint(j, "given_up_records", f->counters.given_up_records);
    json_end(j, '}');
}

static void put_memory_and_disk(json_out *j, const status_facts *f)
{
    json_begin(j, "memory", '{');
    json_uint(j, "budget_bytes", f->memory.budget_bytes);
    json_int_or_null(j, "resident_bytes", f->memory.resident_bytes);
    json_int_or_null(j, "peak_bytes", f->memory.peak_bytes);
    json_end(j, '}');
    json_begin(j, "disk", '{');
    json_uint(j, "written_bytes", f->counters.written_bytes);
    json_uint(j, "syncs", f->counters.syncs);
    json_int_or_null(j, "card_bytes_per_day", f->disk.card_bytes_per_day);
    json_int_or_null(j, "card_lasts_years", f->disk.card_lasts_years);
    json_int_or_null(j, "free_bytes", f->disk.free_bytes);
    json_end(j, '}');
}

static void put_answer(json_out *j, const char *name, status_answer answer)
{
    if (answer == STATUS_NOT_KNOWN)
        json_null(j, name);
    else
        json_bool(j, name, answer == STATUS_YES);
}

static void put_board(json_out *j, const status_board *b)
{
    char degrees[32] = "null";
    if (b->temperature_mc != STATUS_UNKNOWN)
        snprintf(degrees, sizeof degrees, "%.1f", (double)b->temperature_mc / 1000.0);
    json_begin(j, "board", '{');
    json_text_or_null(j, "model", b->model);
    json_text(j, "profile", b->profile);
    json_raw(j, "temperature_c", degrees);
    put_answer(j, "under_voltage", b->under_voltage);
    put_answer(j, "throttled", b->throttled);
    json_int_or_null(j, "wear_percent", b->wear_percent);
    json_text(j, "clock", clock_names[b->clock]);
    json_end(j, '}');
}

static void put_attempt(json_out *j, const status_update *u)
{
    if (u->attempted_version == 0) {
        json_null(j, "attempted");
        return;
    }
    json_begin(j, "attempted", '{');
    json_uint(j, "version", u->attempted_version);
    json_text(j, "outcome", u->outcome);
    json_text(j, "reason", u->reason);
    json_time(j, "at", u->attempted_at_ms);
    json_end(j, '}');
}

static void put_update(json_out *j, const status_facts *f)
{
    const status_update *u = &f->update;
    json_begin(j, "update", '{');
    json_uint(j, "version", u->version);
    json_text_or_null(j, "sha256", u->sha256);
    json_text(j, "from", u->version > 0 ? "update" : "file");
    put_attempt(j, u);
    json_begin(j, "refused", '{');
    for (size_t i = 0; i < u->reason_count; i++)
        json_uint(j, u->reasons[i], f->counters.updates_refused[i]);
    json_end(j, '}');
    json_uint(j, "trials_failed", f->counters.trials_failed);
    json_int_or_null(j, "next_poll_s", u->next_poll_s);
    json_text(j, "trouble", u->trouble);
    json_end(j, '}');
}

/* One array for each figure, so that a page can draw it as it is. */
typedef enum { SHOW_AT, SHOW_RECORDS, SHOW_SPOOL_RECORDS, SHOW_SPOOL_BYTES, SHOW_RESIDENT } figure;

typedef struct {
    json_out *j;
    figure which;
} figure_list;

static void put_point(void *ctx, const history_shown *p)
{
    const figure_list *l = ctx;
    const uint64_t values[] = { 0, p->records, p->spool_records, p->spool_bytes,
                                p->resident_bytes };
    if (l->which == SHOW_AT)
        json_time(l->j, NULL, p->at_ms);
    else
        json_uint(l->j, NULL, values[l->which]);
}

static void no_point(void *ctx, const history_shown *p)
{
    (void)ctx;
    (void)p;
}

static void put_history(json_out *j, const status_facts *f)
{
    static const char *const names[] = { "at", "records", "spool_records", "spool_bytes",
                                         "resident_bytes" };
    uint32_t step_s = HISTORY_STEP_S;
    if (f->history)
        history_show(f->history, f->now_ms, &step_s, no_point, NULL);
    json_begin(j, "history", '{');
    json_uint(j, "step_s", step_s);
    for (int i = SHOW_AT; i <= SHOW_RESIDENT; i++) {
        figure_list l = { j, (figure)i };
        json_begin(j, names[i], '[');
        if (f->history)
            history_show(f->history, f->now_ms, &step_s, put_point, &l);
        json_end(j, ']');
    }
    json_end(j, '}');
}

static void put_recent(json_out *j, const status_facts *f)
{
    const recent_event *e;
    json_begin(j, "recent", '[');
    for (size_t i = 0; f->recent && (e = recent_look(f->recent, i)); i++) {
        json_begin(j, NULL, '{');
        json_time(j, "at", e->at_ms);
        json_text(j, "level", e->level == GV_LOG_ERROR ? "error" : "warn");
        json_text(j, "text", e->text);
        json_text(j, "advice", e->advice);
        json_uint(j, "times", e->times);
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void put_feed(json_out *j, const status_feed *d)
{
    json_begin(j, NULL, '{');
    json_text(j, "name", d->name);
    json_text(j, "region", d->region);
    json_uint(j, "realm", d->realm);
    json_uint(j, "house", d->house);
    json_time(j, "snapshot_at", d->snapshot_ms);
    json_int_or_null(j, "snapshot_age_s", d->snapshot_age_s);
    json_int_or_null(j, "records", d->records);
    json_int_or_null(j, "next_fetch_s", d->next_fetch_s);
    json_bool(j, "fetching", d->fetching);
    json_bool(j, "stale", d->stale);
    json_text(j, "trouble", d->trouble);
    json_end(j, '}');
}

/* Last of all, because they alone may be cut: as many as fit, then how many did not. */
static void put_feeds(json_out *j, const status_facts *f)
{
    size_t cap = j->buf->cap, shown = 0;
    json_begin(j, "feeds", '[');
    if (j->failed || cap - j->buf->len < TAIL_BYTES) {
        j->failed = true;
        return;
    }
    j->buf->cap = cap - TAIL_BYTES;
    for (; shown < f->feed_count; shown++) {
        status_feed d;
        json_mark_at mark = json_mark(j);
        f->feed(f->feed_ctx, shown, &d);
        put_feed(j, &d);
        if (j->failed) {
            json_back(j, mark);
            break;
        }
    }
    j->buf->cap = cap;
    json_end(j, ']');
    json_uint(j, "feeds_left_out", f->feed_count - shown);
}

gv_status status_json(const status_facts *facts, gv_buf *out)
{
    json_out j = { out, false, false };
    size_t begin = out->len;
    json_begin(&j, NULL, '{');
    json_text(&j, "gavel", facts->version);
    json_text(&j, "device", facts->device);
    json_time(&j, "now", facts->now_ms);
    json_uint(&j, "uptime_s", facts->uptime_s);
    json_text(&j, "state", status_state_name(conditions_state(facts->conditions)));
    put_conditions(&j, facts);
    put_links(&j, facts);
    put_spool(&j, facts);
    put_memory_and_disk(&j, facts);
    put_board(&j, &facts->board);
    put_update(&j, facts);
    put_history(&j, facts);
    put_recent(&j, facts);
    put_feeds(&j, facts);
    json_end(&j, '}');
    if (!j.failed)
        return GV_OK;
    out->len = begin;
    return GV_FULL;
}
