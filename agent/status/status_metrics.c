#include "agent/status/metrics.h"

#include "agent/codec/utf8.h"

#include <math.h>

#define LEFT_OUT                                                                                   \
    "# HELP gavel_feeds_left_out Feeds for which this text had no room.\n"                         \
    "# TYPE gavel_feeds_left_out gauge\n"                                                          \
    "gavel_feeds_left_out %zu\n"
#define LEFT_OUT_BYTES 256u

static double known(int64_t value)
{
    return value == STATUS_UNKNOWN ? NAN : (double)value;
}

static double answer(status_answer value)
{
    return value == STATUS_NOT_KNOWN ? NAN : value == STATUS_YES;
}

/* The expressions of the table, as functions. */
#define KNOWN  known
#define ANSWER answer
#define METRIC_GROUP(...)
#define METRIC(name, type, unit, labels, panel, expression, help)                                  \
    static double value_##name(const status_facts *f, const status_feed *d, size_t i)              \
    {                                                                                              \
        (void)f;                                                                                   \
        (void)d;                                                                                   \
        (void)i;                                                                                   \
        return (double)(expression);                                                               \
    }
#include "agent/status/metrics.def"

const metric metrics[] = {
#define METRIC_GROUP(title, text) { .group = title, .about = text },
#define METRIC(id, kind, base, by, title, expression, text)                                        \
    { .name = #id,                                                                                 \
      .type = METRIC_##kind,                                                                       \
      .unit = METRIC_##base,                                                                       \
      .labels = METRIC_##by,                                                                       \
      .panel = title,                                                                              \
      .help = text,                                                                                \
      .value = value_##id },
#include "agent/status/metrics.def"
};
const size_t metric_count = sizeof metrics / sizeof metrics[0];

void metric_name(const metric *m, char name[METRIC_NAME_MAX])
{
    static const char *const units[] = { "", "_seconds", "_bytes", "_celsius", "_ratio", "_info" };
    snprintf(name, METRIC_NAME_MAX, "gavel_%s%s%s", m->name, units[m->unit],
             m->type == METRIC_COUNTER ? "_total" : "");
}

const char *metric_type_name(const metric *m)
{
    return m->type == METRIC_COUNTER ? "counter" : "gauge";
}

const char *metric_label_names(const metric *m)
{
    static const char *const names[] = { "", "version, device", "condition, severity", "reason",
                                         "feed" };
    return names[m->labels];
}

/* --- the text ---------------------------------------------------------------------------------- */

static bool put(gv_buf *out, const char *text)
{
    return gv_buf_put(out, text, strlen(text));
}

/* name="value", escaped as the format wants it. */
static bool put_label(gv_buf *out, const char *name, const char *value)
{
    uint8_t room[256];
    gv_buf clean = gv_buf_of(room, sizeof room);
    uint32_t replaced = 0;
    (void)utf8_put_clean(&clean, gv_span_str(value), &replaced); /* what does not fit is cut */
    size_t len = utf8_valid_prefix(gv_span_of(room, clean.len));
    bool ok = put(out, name) && put(out, "=\"");
    for (size_t i = 0; i < len && ok; i++) {
        if (room[i] == '\n')
            ok = put(out, "\\n");
        else if (room[i] == '"' || room[i] == '\\')
            ok = put(out, "\\") && gv_buf_put(out, &room[i], 1);
        else
            ok = gv_buf_put(out, &room[i], 1);
    }
    return ok && put(out, "\"");
}

static bool put_labels(gv_buf *out, const metric *m, const status_facts *f, const status_feed *d,
                       size_t i)
{
    const condition *c;
    switch (m->labels) {
    case METRIC_ONE:
        return true;
    case METRIC_BUILD:
        return put(out, "{") && put_label(out, "version", f->version) && put(out, ",") &&
               put_label(out, "device", f->device) && put(out, "}");
    case METRIC_CONDITION:
        c = &f->conditions->all[i];
        return put(out, "{") && put_label(out, "condition", c->name) && put(out, ",") &&
               put_label(out, "severity", c->severity == CONDITION_ERROR ? "error" : "warning") &&
               put(out, "}");
    case METRIC_REASON:
        return put(out, "{") && put_label(out, "reason", f->update.reasons[i]) && put(out, "}");
    case METRIC_FEED:
        return put(out, "{") && put_label(out, "feed", d->name) && put(out, "}");
    }
    return false;
}

static bool put_sample(gv_buf *out, const metric *m, const char *name, const status_facts *f,
                       const status_feed *d, size_t i)
{
    char number[40];
    double value = m->value(f, d, i);
    if (isnan(value))
        return true;
    snprintf(number, sizeof number, " %.15g\n", value);
    return put(out, name) && put_labels(out, m, f, d, i) && put(out, number);
}

static size_t lines_of(const metric *m, const status_facts *f, size_t feeds)
{
    switch (m->labels) {
    case METRIC_CONDITION:
        return f->conditions->count;
    case METRIC_REASON:
        return f->update.reason_count;
    case METRIC_FEED:
        return feeds;
    case METRIC_ONE:
    case METRIC_BUILD:
        break;
    }
    return 1;
}

static bool put_metric(gv_buf *out, const metric *m, const status_facts *f, size_t feeds)
{
    char name[METRIC_NAME_MAX];
    status_feed d = { .name = "" };
    metric_name(m, name);
    bool ok = put(out, "# HELP ") && put(out, name) && put(out, " ") && put(out, m->help) &&
              put(out, "\n# TYPE ") && put(out, name) && put(out, " ") &&
              put(out, metric_type_name(m)) && put(out, "\n");
    for (size_t i = 0; i < lines_of(m, f, feeds) && ok; i++) {
        if (m->labels == METRIC_FEED)
            f->feed(f->feed_ctx, i, &d);
        ok = put_sample(out, m, name, f, &d, i);
    }
    return ok;
}

/* Those with a line for each feed, or all others. */
static bool put_metrics(gv_buf *out, const status_facts *f, bool by_feed, size_t feeds)
{
    bool ok = true;
    for (size_t i = 0; i < metric_count && ok; i++)
        if (metrics[i].name && (metrics[i].labels == METRIC_FEED) == by_feed)
            ok = put_metric(out, &metrics[i], f, feeds);
    return ok;
}

/* All feeds, or as many as there is room for: each of their metrics must have the same ones. */
static bool put_feeds(gv_buf *out, const status_facts *f, size_t *shown)
{
    size_t begin = out->len;
    *shown = f->feed_count;
    while (!put_metrics(out, f, true, *shown)) {
        out->len = begin;
        if (*shown == 0)
            return false;
        *shown -= *shown / 8 + 1;
    }
    return true;
}

gv_status status_metrics(const status_facts *facts, gv_buf *out)
{
    char text[LEFT_OUT_BYTES];
    size_t begin = out->len, shown = 0;
    if (out->cap - begin < LEFT_OUT_BYTES)
        return GV_FULL;
    gv_buf most = { out->data, begin, out->cap - LEFT_OUT_BYTES };
    if (!put_metrics(&most, facts, false, 0) || !put_feeds(&most, facts, &shown))
        return GV_FULL;
    out->len = most.len;
    snprintf(text, sizeof text, LEFT_OUT, facts->feed_count - shown);
    return put(out, text) ? GV_OK : GV_FULL;
}
