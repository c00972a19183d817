/* audit.h - prints what the store says about each snapshot: a table, or JSON. */
#ifndef GAVEL_SINK_AUDIT_H
#define GAVEL_SINK_AUDIT_H

#include "agent/sink/store.h"

#include <stdio.h>

/* *all_complete: every snapshot that is there is complete; a gap is not. */
gv_status audit_print(const store *s, FILE *out, bool json, bool *all_complete, gv_error *err);

#endif
