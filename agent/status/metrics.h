/* metrics.h - the table of metrics.def as data, and the pages that are made of it.
 *
 * Source: Prometheus, "Exposition formats" (text, 0.0.4) and "Metric and label naming"; Grafana,
 *         dashboard JSON model.
 */
#ifndef GAVEL_STATUS_METRICS_H
#define GAVEL_STATUS_METRICS_H

#include "agent/status/status.h"

#include <stdio.h>

typedef enum { METRIC_COUNTER, METRIC_GAUGE } metric_type;

typedef enum {
    METRIC_NONE,
    METRIC_SECONDS,
    METRIC_BYTES,
    METRIC_CELSIUS,
    METRIC_RATIO,
    METRIC_INFO
} metric_unit;

typedef enum {
    METRIC_ONE,
    METRIC_BUILD,
    METRIC_CONDITION,
    METRIC_REASON,
    METRIC_FEED
} metric_labels;

typedef struct {
    const char *group; /* of the first one of a group; NULL for the others */
    const char *about; /* the group */
    const char *name;  /* NULL: only a group begins here */
    metric_type type;
    metric_unit unit;
    metric_labels labels;
    const char *panel; /* "": none */
    const char *help;
    double (*value)(const status_facts *f, const status_feed *d, size_t i); /* NaN: not known */
} metric;

extern const metric metrics[];
extern const size_t metric_count;

#define METRIC_NAME_MAX 64

/* "gavel_api_body_bytes_total" */
void metric_name(const metric *m, char name[METRIC_NAME_MAX]);
const char *metric_type_name(const metric *m);   /* "counter", "gauge" */
const char *metric_label_names(const metric *m); /* "feed"; "" for none */

/* METRICS.md, and a dashboard to import into Grafana. */
void metrics_print_page(FILE *file);
void metrics_print_dashboard(FILE *file);

#endif
