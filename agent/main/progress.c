#include "agent/main/progress.h"

#include <stdio.h>
#include <string.h>

#define BAR_CELLS    20u
#define DRAW_EACH_MS 200u

static void draw(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                 const outlet_counts *o)
{
    char spooled[64] = "";
    char bar[BAR_CELLS + 1];
    uint32_t cells = s->feeds ? s->feeds_done * BAR_CELLS / s->feeds : 0;
    memset(bar, '#', cells);
    memset(bar + cells, '.', BAR_CELLS - cells);
    bar[BAR_CELLS] = '\0';
    if (o->spooled_records > 0)
        snprintf(spooled, sizeof spooled, "  %llu spooled, %llu of them sent",
                 (unsigned long long)o->spooled_records, (unsigned long long)o->drained_records);
    fprintf(stderr, "\r[%s] %u/%u feeds  %.1f MB in  %llu records acknowledged%s  %s\033[K", bar,
            s->feeds_done, s->feeds, (double)p->bytes_in / 1e6,
            (unsigned long long)f->records_acked, spooled, f->up ? "" : f->text);
}

void progress_draw(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                   const outlet_counts *o, uint64_t now_ms)
{
    static uint64_t next_ms;
    if (now_ms < next_ms)
        return;
    next_ms = now_ms + DRAW_EACH_MS;
    draw(s, p, f, o);
}

void progress_end(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                  const outlet_counts *o)
{
    draw(s, p, f, o);
    fputc('\n', stderr);
}
