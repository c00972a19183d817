#include "agent/source/internal.h"

#include <assert.h>
#include <string.h>

void source_look(const source *s, uint32_t i, source_feed *out)
{
    assert(i < s->counts.feeds);
    const feed *f = &s->feeds[i];
    *out = (source_feed){ .realm = f->realm,
                          .house = f->house,
                          .last_modified = f->last_modified,
                          .has_age = f->answered && f->last_modified > 0,
                          .records = f->records,
                          .next_ms = f->due_ms,
                          .fetching = f->state == FEED_RUNNING,
                          .stale = f->stale,
                          .failures = f->failures,
                          .trouble = f->trouble };
    feed_name(f, out->name);
    memcpy(out->region, f->region, sizeof out->region);
    if (out->has_age)
        out->age_ms = f->age_ms + (plat_mono_ms(s->clock) - f->answered_ms);
}

const char *source_trouble(const source *s)
{
    if (s->token.failures > 0)
        return s->token.why.text;
    for (size_t i = 0; i < s->index_count; i++)
        if (s->indexes[i].failures > 0)
            return s->indexes[i].trouble;
    return "";
}
