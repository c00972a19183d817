#include "agent/status/history.h"

#include "agent/codec/digest.h"
#include "platform/log.h"
#include "platform/span.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* The file: magic, count, points oldest first, digest of all before it; all little-endian. */
#define MAGIC        "GVHIST01"
#define HEAD_BYTES   12u
#define POINT_BYTES  20u
#define DIGEST_BYTES 8u
#define STEP_MS      ((int64_t)HISTORY_STEP_S * 1000)
static_assert(HISTORY_FILE_MAX == HEAD_BYTES + HISTORY_POINTS * POINT_BYTES + DIGEST_BYTES,
              "room for the whole file");

void history_init(history *h, uint64_t now_mono_ms)
{
    memset(h, 0, sizeof *h);
    h->saved_mono_ms = now_mono_ms;
}

/* --- points ------------------------------------------------------------------------------------ */

static uint32_t step_of(int64_t wall_ms)
{
    int64_t step = wall_ms / STEP_MS;
    return step < 1 ? 1 : step > UINT32_MAX ? UINT32_MAX : (uint32_t)step;
}

static history_point *point_of(history *h, uint32_t step)
{
    history_point *p = &h->points[step % HISTORY_POINTS];
    if (p->step != step)
        *p = (history_point){ .step = step };
    return p;
}

static uint32_t capped(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint32_t larger(uint32_t kept, uint64_t value)
{
    return capped(value > kept ? value : kept);
}

void history_note(history *h, int64_t wall_ms, const history_sample *sample)
{
    history_point *p = point_of(h, step_of(wall_ms));
    if (h->has_seen && sample->records_total > h->records_seen)
        p->records = capped(p->records + (sample->records_total - h->records_seen));
    h->records_seen = sample->records_total;
    h->has_seen = true;
    p->spool_records = larger(p->spool_records, sample->spool_records);
    p->spool_kib = larger(p->spool_kib, sample->spool_bytes / 1024);
    p->resident_kib = larger(p->resident_kib, sample->resident_bytes / 1024);
    h->changed = true;
}

/* --- the file ---------------------------------------------------------------------------------- */

static void put_point(uint8_t *at, const history_point *p)
{
    gv_put_le32(at, p->step);
    gv_put_le32(at + 4, p->records);
    gv_put_le32(at + 8, p->spool_records);
    gv_put_le32(at + 12, p->spool_kib);
    gv_put_le32(at + 16, p->resident_kib);
}

static history_point get_point(const uint8_t *at)
{
    return (history_point){ gv_get_le32(at), gv_get_le32(at + 4), gv_get_le32(at + 8),
                            gv_get_le32(at + 12), gv_get_le32(at + 16) };
}

static size_t pack(history *h)
{
    uint32_t count = 0;
    memcpy(h->file, MAGIC, 8);
    for (size_t i = 0; i < HISTORY_POINTS; i++)
        if (h->points[i].step != 0)
            put_point(h->file + HEAD_BYTES + count++ * POINT_BYTES, &h->points[i]);
    gv_put_le32(h->file + 8, count);
    size_t len = HEAD_BYTES + count * POINT_BYTES;
    gv_put_le64(h->file + len, codec_digest(gv_span_of(h->file, len)));
    return len + DIGEST_BYTES;
}

static gv_status unpack(history *h, size_t len, gv_error *err)
{
    if (len < HEAD_BYTES + DIGEST_BYTES || memcmp(h->file, MAGIC, 8) != 0)
        return gv_fail(err, GV_CORRUPT, "it is no history");
    uint32_t count = gv_get_le32(h->file + 8);
    if (count > HISTORY_POINTS || len != HEAD_BYTES + count * POINT_BYTES + DIGEST_BYTES)
        return gv_fail(err, GV_CORRUPT, "it has another length than it says");
    size_t body = len - DIGEST_BYTES;
    if (gv_get_le64(h->file + body) != codec_digest(gv_span_of(h->file, body)))
        return gv_fail(err, GV_CORRUPT, "its checksum does not match");
    for (uint32_t i = 0; i < count; i++) {
        history_point p = get_point(h->file + HEAD_BYTES + i * POINT_BYTES);
        h->points[p.step % HISTORY_POINTS] = p;
    }
    return GV_OK;
}

void history_load(history *h, const plat_fs *fs, const char *path)
{
    size_t len = 0;
    gv_error err = { 0, "" };
    gv_status st = plat_fs_load(fs, path, h->file, sizeof h->file, &len, &err);
    if (st == GV_IO && err.os_errno == ENOENT)
        return;
    if (st == GV_OK)
        st = unpack(h, len, &err);
    if (st != GV_OK)
        GV_LOG(GV_LOG_WARN, gv_kmsg("the history of the status page starts anew"),
               gv_kstr("file", path), gv_kstr("reason", err.text));
}

void history_save(history *h, const plat_fs *fs, const char *path, uint64_t now_mono_ms, bool now)
{
    gv_error err = { 0, "" };
    if (!h->changed || (!now && now_mono_ms - h->saved_mono_ms < HISTORY_SAVE_MS))
        return;
    h->saved_mono_ms = now_mono_ms;
    if (plat_fs_replace(fs, path, h->file, pack(h), &err) == GV_OK)
        h->changed = false;
    else
        GV_LOG(GV_LOG_WARN, gv_kmsg("the history of the status page is not saved"),
               gv_kstr("reason", err.text));
}

/* --- showing ----------------------------------------------------------------------------------- */

/* How many steps of the week that ends at `last` lie between its oldest point and `last`. */
static uint32_t span_of(const history *h, uint32_t last)
{
    uint32_t span = 0;
    for (size_t i = 0; i < HISTORY_POINTS; i++) {
        uint32_t step = h->points[i].step;
        if (step != 0 && step <= last && last - step < HISTORY_POINTS && last - step >= span)
            span = last - step + 1;
    }
    return span;
}

static void add(history_shown *s, const history_point *p)
{
    uint64_t spool_bytes = (uint64_t)p->spool_kib * 1024,
             resident = (uint64_t)p->resident_kib * 1024;
    s->records += p->records;
    s->spool_records = p->spool_records > s->spool_records ? p->spool_records : s->spool_records;
    s->spool_bytes = spool_bytes > s->spool_bytes ? spool_bytes : s->spool_bytes;
    s->resident_bytes = resident > s->resident_bytes ? resident : s->resident_bytes;
}

void history_show(const history *h, int64_t wall_ms, uint32_t *step_s,
                  void (*each)(void *ctx, const history_shown *point), void *ctx)
{
    uint32_t last = step_of(wall_ms), span = span_of(h, last);
    /* One less, since groups begin where they begin and not where the span does. */
    uint32_t width = (span + HISTORY_SHOWN - 2) / (HISTORY_SHOWN - 1);
    width = width ? width : 1;
    *step_s = width * HISTORY_STEP_S;
    /* Groups begin at multiples of their width, so that a point does not change its neighbours. */
    for (uint32_t group = (last - (span ? span - 1 : 0)) / width; span && group <= last / width;
         group++) {
        history_shown s = { .at_ms = (int64_t)group * width * STEP_MS };
        bool is_empty = true;
        for (uint32_t step = group * width; step < (group + 1) * width && step <= last; step++) {
            const history_point *p = &h->points[step % HISTORY_POINTS];
            if (p->step != step || step == 0 || last - step >= HISTORY_POINTS)
                continue;
            add(&s, p);
            is_empty = false;
        }
        if (!is_empty)
            each(ctx, &s);
    }
}
