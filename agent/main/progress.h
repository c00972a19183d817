/* progress.h - one line on a terminal that says how far a single pass is. */
#ifndef GAVEL_MAIN_PROGRESS_H
#define GAVEL_MAIN_PROGRESS_H

#include "agent/forward/forwarder.h"
#include "agent/pipeline/pipeline.h"
#include "agent/source/source.h"

/* Draws at most five times a second, on stderr. */
void progress_draw(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                   const outlet_counts *o, uint64_t now_ms);

/* Draws the last state and leaves the line. */
void progress_end(const source_counts *s, const pipeline_counts *p, const forwarder_status *f,
                  const outlet_counts *o);

#endif
