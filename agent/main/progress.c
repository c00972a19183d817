#include "agent/main/progress.h"

#include "agent/tools/bar.h"

#include <stdio.h>

static bar line = { true, 0 }; /* who calls has looked for a terminal */

static void draw(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                 const outlet_counts *o, uint64_t now_ms)
{
    char text[400], spooled[64] = "";

    if (o->spooled_records > 0)
        snprintf(spooled, sizeof spooled, "  %llu spooled, %llu of them sent",
                 (unsigned long long)o->spooled_records, (unsigned long long)o->drained_records);
    snprintf(text, sizeof text, "%u/%u feeds  %.1f MB in  %llu records acknowledged%s  %s",
             s->feeds_done, s->feeds, (double)p->bytes_in / 1e6,
             (unsigned long long)f->records_acked, spooled, f->up ? "" : f->text);
    bar_draw(&line, s->feeds_done, s->feeds, now_ms, text);
}

void progress_draw(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                   const outlet_counts *o, uint64_t now_ms)
{
    if (bar_due(&line, now_ms))
        draw(s, p, f, o, now_ms);
}

void progress_end(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                  const outlet_counts *o)
{
    line.next_ms = 0; /* now, whenever it was drawn last */
    draw(s, p, f, o, 0);
    fputc('\n', stderr);
}
