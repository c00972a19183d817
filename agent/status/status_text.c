#include "agent/status/status_text.h"

#include "agent/codec/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX       600
#define FEED_WIDTH_MAX 40
#define MIB            1048576.0
#define LABEL_FMT      "%-10s "

typedef struct {
    gv_buf *out;
    bool colours;
    bool full;
} page;

/* --- pieces ------------------------------------------------------------------------------------ */

static void put(page *p, const char *fmt, ...) GV_PRINTF(2, 3);

static void put(page *p, const char *fmt, ...)
{
    char text[4 * TEXT_MAX]; /* no line has more than three texts */
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t fits = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    p->full = p->full || !gv_buf_put(p->out, text, fits);
}

typedef enum { PLAIN, BOLD, GREEN, YELLOW, RED } colour;

static const char *start(const page *p, colour c)
{
    static const char *const codes[] = { "", "\x1b[1m", "\x1b[1;32m", "\x1b[1;33m", "\x1b[1;31m" };
    return p->colours ? codes[c] : "";
}

static const char *stop(const page *p)
{
    return p->colours ? "\x1b[0m" : "";
}

/* What a terminal may be given: no control characters, of ASCII or (U+0080 to U+009F) of ISO 8859. */
static const char *clean(const char *text, char room[TEXT_MAX])
{
    gv_buf out = gv_buf_of(room, TEXT_MAX - 1);
    const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
    while (at < end) {
        size_t bad = 0, len = utf8_sequence(at, end, &bad);
        bool is_control = (len == 1 && (*at < 0x20 || *at == 0x7f)) ||
                          (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
        bool fits = len == 0 || is_control ? gv_buf_put(&out, "?", 1) : gv_buf_put(&out, at, len);
        if (!fits)
            break;
        at += len ? len : bad;
    }
    room[out.len] = '\0';
    return room;
}

/* No longer than that, for a column; never half a character. */
static const char *clip(char *text, size_t longest)
{
    if (strlen(text) > longest)
        text[utf8_valid_prefix(gv_span_of(text, longest))] = '\0';
    return text;
}

static const cJSON *member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_of(const cJSON *json, const char *name, char room[TEXT_MAX])
{
    const char *text = cJSON_GetStringValue(member(json, name));
    return clean(text ? text : "", room);
}

static bool number_of(const cJSON *json, const char *name, double *value)
{
    const cJSON *item = member(json, name);
    *value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return cJSON_IsNumber(item);
}

static double count_of(const cJSON *json, const char *name)
{
    double value;
    number_of(json, name, &value);
    return value;
}

static bool is_true(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(member(json, name));
}

/* "3 d 4 h", "5 h 12 min", "45 s" */
static const char *duration(double seconds, char room[48])
{
    const double longest = 1e12; /* whatever the answer says */
    uint64_t s = !(seconds > 0) ? 0 : (uint64_t)(seconds < longest ? seconds : longest);
    if (s < 120)
        snprintf(room, 48, "%" PRIu64 " s", s);
    else if (s < 7200)
        snprintf(room, 48, "%" PRIu64 " min", s / 60);
    else if (s < 48 * 3600)
        snprintf(room, 48, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(room, 48, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    return room;
}

/* --- parts ------------------------------------------------------------------------------------- */

static void put_head(page *p, const cJSON *json, status_state state)
{
    static const colour colours[] = { GREEN, YELLOW, RED };
    char version[TEXT_MAX], device[TEXT_MAX], now[TEXT_MAX], up[48];
    put(p, "gavel %s on %s%s%s: %s%s%s\n", text_of(json, "gavel", version), start(p, BOLD),
        text_of(json, "device", device), stop(p), start(p, colours[state]),
        status_state_name(state), stop(p));
    put(p, "at %s, up for %s\n", text_of(json, "now", now),
        duration(count_of(json, "uptime_s"), up));
}

static void put_conditions(page *p, const cJSON *json)
{
    const cJSON *c;
    char words[TEXT_MAX], advice[TEXT_MAX], since[48];
    cJSON_ArrayForEach(c, member(json, "conditions"))
    {
        const char *severity = cJSON_GetStringValue(member(c, "severity"));
        bool is_error = severity && strcmp(severity, "error") == 0;
        put(p, "\n%s%-8s%s %s (for %s)\n", start(p, is_error ? RED : YELLOW),
            is_error ? "ERROR" : "WARNING", stop(p), text_of(c, "words", words),
            duration(count_of(c, "since_s"), since));
        if (text_of(c, "advice", advice)[0])
            put(p, "         %s\n", advice);
    }
    put(p, "\n");
}

static void put_servers(page *p, const cJSON *json)
{
    static const char *const names[] = { "broker", "registry" };
    char text[TEXT_MAX];
    for (size_t i = 0; i < 2; i++) {
        const cJSON *server = member(json, names[i]);
        bool is_up = is_true(server, "up");
        put(p, LABEL_FMT "%s%s%s  %s\n", names[i], start(p, is_up ? GREEN : RED),
            is_up ? "up  " : "away", stop(p), text_of(server, "text", text));
    }
    put(p, LABEL_FMT "%.0f acknowledged, %.0f refused\n", "records",
        count_of(member(json, "broker"), "records_acked"),
        count_of(member(json, "broker"), "records_refused"));
}

static void put_spool(page *p, const cJSON *spool)
{
    char age[48];
    double oldest_s;
    if (!is_true(spool, "enabled")) {
        put(p, LABEL_FMT "none\n", "spool");
        return;
    }
    put(p, LABEL_FMT "%.0f batches, %.0f records, %.1f of %.0f MiB", "spool",
        count_of(spool, "batches"), count_of(spool, "records"), count_of(spool, "bytes") / MIB,
        count_of(spool, "quota_bytes") / MIB);
    if (number_of(spool, "oldest_age_s", &oldest_s))
        put(p, ", the oldest of %s ago", duration(oldest_s, age));
    put(p, "%s\n",
        !is_true(spool, "usable") ? "; it cannot be used"
        : is_true(spool, "full")  ? "; it is full"
                                  : "");
}

static void put_machine(page *p, const cJSON *json)
{
    const cJSON *memory = member(json, "memory"), *disk = member(json, "disk"),
                *board = member(json, "board");
    char model[TEXT_MAX], profile[TEXT_MAX], clock[TEXT_MAX];
    double value;
    put(p, LABEL_FMT "%.1f of %.1f MiB, %.1f at most so far\n", "memory",
        count_of(memory, "resident_bytes") / MIB, count_of(memory, "budget_bytes") / MIB,
        count_of(memory, "peak_bytes") / MIB);
    put(p, LABEL_FMT "%.1f MiB written", "disk", count_of(disk, "written_bytes") / MIB);
    if (number_of(disk, "free_bytes", &value))
        put(p, ", %.1f GiB free", value / MIB / 1024);
    if (number_of(disk, "card_lasts_years", &value))
        put(p, "; a card lasts %.0f years at this rate", value);
    put(p, "\n" LABEL_FMT "%s", "board",
        text_of(board, "model", model)[0] ? model : text_of(board, "profile", profile));
    if (number_of(board, "temperature_c", &value))
        put(p, ", %.1f C", value);
    put(p, "; clock: %s\n", text_of(board, "clock", clock));
}

static void put_update(page *p, const cJSON *update)
{
    const cJSON *attempted = member(update, "attempted");
    char outcome[TEXT_MAX], reason[TEXT_MAX];
    if (count_of(update, "version") > 0)
        put(p, LABEL_FMT "version %.0f, by an update", "config", count_of(update, "version"));
    else
        put(p, LABEL_FMT "the board's own file", "config");
    if (cJSON_IsObject(attempted))
        put(p, "; version %.0f: %s%s%s", count_of(attempted, "version"),
            text_of(attempted, "outcome", outcome),
            text_of(attempted, "reason", reason)[0] ? ", " : "", reason);
    put(p, "\n");
}

static void put_feed(page *p, const cJSON *d)
{
    char name[TEXT_MAX], at[TEXT_MAX], trouble[TEXT_MAX], age[48] = "-", next[48] = "-";
    char records[32] = "-";
    double value;
    bool is_stale = is_true(d, "stale");
    text_of(d, "trouble", trouble);
    text_of(d, "name", name);
    text_of(d, "snapshot_at", at);
    if (number_of(d, "snapshot_age_s", &value))
        duration(value, age);
    if (number_of(d, "next_fetch_s", &value))
        duration(value, next);
    if (number_of(d, "records", &value))
        snprintf(records, sizeof records, "%.0f", value);
    const char *word = is_true(d, "fetching") ? "fetching" : is_stale ? "stale" : "";
    put(p, "%-16s %-20s %12s %10s %12s", clip(name, FEED_WIDTH_MAX), at[0] ? clip(at, 20) : "-",
        age, records, next);
    if (is_stale || trouble[0])
        put(p, "  %s%s%s%s%s", start(p, YELLOW), word, word[0] && trouble[0] ? ": " : "", trouble,
            stop(p));
    else if (word[0])
        put(p, "  %s", word);
    put(p, "\n");
}

static void put_feeds(page *p, const cJSON *json)
{
    const cJSON *d;
    put(p, "\n%s%-16s %-20s %12s %10s %12s%s\n", start(p, BOLD), "feed", "snapshot", "age",
        "records", "asked in", stop(p));
    cJSON_ArrayForEach(d, member(json, "feeds"))
    {
        put_feed(p, d);
    }
    if (count_of(json, "feeds_left_out") > 0)
        put(p, "and %.0f more\n", count_of(json, "feeds_left_out"));
}

static void put_recent(page *p, const cJSON *json)
{
    const cJSON *e, *all = member(json, "recent");
    char at[TEXT_MAX], level[TEXT_MAX], text[TEXT_MAX];
    if (cJSON_GetArraySize(all) > 0)
        put(p, "\n%slast in the log%s\n", start(p, BOLD), stop(p));
    cJSON_ArrayForEach(e, all)
    {
        double times = count_of(e, "times");
        put(p, "%-20s %-5s %s", text_of(e, "at", at), text_of(e, "level", level),
            text_of(e, "text", text));
        if (times > 1)
            put(p, " (%.0f times)", times);
        put(p, "\n");
    }
}

/* --- the whole --------------------------------------------------------------------------------- */

static bool state_of(const cJSON *json, status_state *state)
{
    const char *name = cJSON_GetStringValue(member(json, "state"));
    for (int i = STATUS_OK; name && i <= STATUS_OUTAGE; i++) {
        *state = (status_state)i;
        if (strcmp(name, status_state_name(*state)) == 0)
            return true;
    }
    return false;
}

gv_status status_text(gv_span json, bool colours, gv_buf *out, status_state *state, gv_error *err)
{
    page p = { out, colours, false };
    size_t begin = out->len;
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    if (!root || !state_of(root, state)) {
        cJSON_Delete(root);
        return gv_fail(err, GV_INVAL, "the answer is no status of gavel");
    }
    put_head(&p, root, *state);
    put_conditions(&p, root);
    put_servers(&p, root);
    put_spool(&p, member(root, "spool"));
    put_machine(&p, root);
    put_update(&p, member(root, "update"));
    put_feeds(&p, root);
    put_recent(&p, root);
    cJSON_Delete(root);
    while (p.full && out->len > begin && out->data[out->len - 1] != '\n')
        out->len--;
    return GV_OK;
}

bool status_url(const char *listen, char url[STATUS_URL_MAX])
{
    const char *colon = strrchr(listen, ':');
    char *end;
    if (!colon || colon == listen)
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    int len = (int)(colon - listen);
    if (port == 0 || port > 65535 || *end != '\0')
        return false;
    const char *host = listen;
    if (strncmp(listen, "0.0.0.0:", 8) == 0) {
        host = "127.0.0.1";
        len = (int)strlen(host);
    } else if (strncmp(listen, "[::]:", 5) == 0) {
        host = "[::1]";
        len = (int)strlen(host);
    }
    return snprintf(url, STATUS_URL_MAX, "http://%.*s:%lu/status.json", len, host, port) <
           STATUS_URL_MAX;
}
