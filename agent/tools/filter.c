#include "agent/tools/filter.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_MS INT64_C(86400000)

filter filter_all(void)
{
    return (filter){ NULL, INT64_MIN, INT64_MAX, { true, true, true, true } };
}

/* --- times -------------------------------------------------------------------------------------- */

/* Exactly `digits` of them; -1 when they are not there. */
static int take_digits(const char **p, int digits)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if ((*p)[i] < '0' || (*p)[i] > '9')
            return -1;
        value = value * 10 + ((*p)[i] - '0');
    }
    *p += digits;
    return value;
}

static bool take_char(const char **p, char c)
{
    if (**p != c)
        return false;
    ++*p;
    return true;
}

static bool parse_day(const char **p, struct tm *tm)
{
    int year = take_digits(p, 4);
    if (year < 1970 || !take_char(p, '-'))
        return false;
    int month = take_digits(p, 2);
    if (month < 1 || month > 12 || !take_char(p, '-'))
        return false;
    int day = take_digits(p, 2);
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return day >= 1 && day <= 31;
}

/* After the T: hours, minutes, and perhaps seconds. */
static bool parse_clock(const char **p, struct tm *tm)
{
    tm->tm_hour = take_digits(p, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || !take_char(p, ':'))
        return false;
    tm->tm_min = take_digits(p, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59)
        return false;
    if (take_char(p, ':'))
        tm->tm_sec = take_digits(p, 2);
    return tm->tm_sec >= 0 && tm->tm_sec <= 59;
}

static bool parse_moment(const char *text, int64_t *ms, bool *is_day)
{
    struct tm tm = { 0 };
    const char *p = text;

    if (!parse_day(&p, &tm))
        return false;
    int month = tm.tm_mon;
    *is_day = !take_char(&p, 'T');
    if (!*is_day) {
        if (!parse_clock(&p, &tm))
            return false;
        take_char(&p, 'Z');
    }
    *ms = (int64_t)timegm(&tm) * 1000;
    return *p == '\0' && tm.tm_mon == month; /* else there is no such day */
}

static bool parse_ago(const char *text, int64_t now_ms, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = { { 'm', 60000 }, { 'h', 3600000 }, { 'd', DAY_MS } };
    size_t digits = strspn(text, "0123456789");
    int64_t count = 0;

    if (digits == 0 || digits > 6 || text[digits] == '\0' || text[digits + 1] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        count = count * 10 + (text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (units[i].unit == text[digits]) {
            *ms = now_ms - count * units[i].ms;
            return true;
        }
    }
    return false;
}

static gv_status parse_time(const char *text, int64_t now_ms, int64_t *ms, bool *is_day,
                            gv_error *err)
{
    *is_day = false;
    if (parse_moment(text, ms, is_day) || parse_ago(text, now_ms, ms))
        return GV_OK;
    return gv_fail(err, GV_INVAL,
                   "'%.40s' is no time: write 2014-07-01T00:30:01Z (UTC), 2014-07-01, or how long "
                   "ago: 90m, 24h, 7d",
                   text);
}

void filter_format_time(int64_t ms, char text[FILTER_TIME_MAX])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (ms == 0 || !gmtime_r(&seconds, &tm) ||
        strftime(text, FILTER_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(text, FILTER_TIME_MAX, "-");
}

/* --- snapshots ---------------------------------------------------------------------------------- */

snapshot_id filter_snapshot_id(const spool_snapshot *s)
{
    snapshot_id id = { .realm = s->realm, .house = s->house, .time_ms = s->time_ms };

    _Static_assert(sizeof id.region == sizeof s->region, "one size of region");
    memcpy(id.region, s->region, sizeof id.region);
    return id;
}

void filter_format_snapshot(const spool_snapshot *s, char text[SNAPSHOT_TEXT_MAX])
{
    snapshot_id id = filter_snapshot_id(s);

    snapshot_format(&id, text);
}

/* region, or region and up to three numbers. */
static bool is_snapshot(const char *text)
{
    size_t len = strcspn(text, "/");
    int numbers = 0;

    if (len == 0 || len >= sizeof((spool_snapshot *)0)->region)
        return false;
    for (text += len; *text == '/'; text += 1 + len) {
        len = strspn(text + 1, "0123456789");
        if (len == 0 || ++numbers > 3)
            return false;
    }
    return *text == '\0';
}

const char *filter_kind_name(spool_kind kind)
{
    static const char *const names[] = { "auctions", "rejects", "ledger", "gap" };

    return names[kind];
}

gv_status filter_parse(const char *snapshot, const char *from, const char *to, int64_t now_ms,
                       filter *out, gv_error *err)
{
    bool is_day = false;
    gv_status status = GV_OK;

    *out = filter_all();
    out->snapshot = snapshot;
    if (snapshot && !is_snapshot(snapshot))
        return gv_fail(err, GV_INVAL,
                       "'%.40s' is no snapshot: write region/realm/house/seconds as `gavel spool "
                       "ls` does, or its beginning, such as eu or eu/604",
                       snapshot);
    if (from)
        status = parse_time(from, now_ms, &out->from_ms, &is_day, err);
    if (status == GV_OK && to)
        status = parse_time(to, now_ms, &out->to_ms, &is_day, err);
    if (status == GV_OK && to && is_day)
        out->to_ms += DAY_MS - 1;
    if (status == GV_OK && out->from_ms > out->to_ms)
        return gv_fail(err, GV_INVAL, "--from %s is later than --to %s", from, to);
    return status;
}

bool filter_takes(const filter *f, const spool_meta *meta)
{
    char text[SNAPSHOT_TEXT_MAX];
    size_t len;

    if (!f->kinds[meta->kind] || meta->snapshot.time_ms < f->from_ms ||
        meta->snapshot.time_ms > f->to_ms)
        return false;
    if (!f->snapshot)
        return true;
    len = strlen(f->snapshot);
    filter_format_snapshot(&meta->snapshot, text);
    return strncmp(text, f->snapshot, len) == 0 && (text[len] == '/' || text[len] == '\0');
}
