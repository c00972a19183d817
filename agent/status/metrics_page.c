/* METRICS.md and the dashboard, as the table has it. */
#include "agent/status/metrics.h"

#include <string.h>

static const char page_head[] =
    "# Metrics\n\n"
    "What a running agent answers at `/metrics` (option `status.listen`), for Prometheus. "
    "Counters\n"
    "count from the start of the program; a reload of the configuration does not set them back.\n"
    "What is not known is left out. This page is made from metrics.def.\n\n"
    "```yaml\n"
    "scrape_configs:\n"
    "  - job_name: gavel\n"
    "    static_configs:\n"
    "      - targets: [\"attic.local:9180\"]    # with status.listen \"[::]:9180\" on the board\n"
    "```\n\n"
    "[Alert rules](../../board/mainhost/prometheus-alerts.yaml) and a\n"
    "[dashboard for Grafana](../../board/mainhost/grafana-dashboard.json) go with them.\n";

void metrics_print_page(FILE *file)
{
    char name[METRIC_NAME_MAX];
    fputs(page_head, file);
    for (size_t i = 0; i < metric_count; i++) {
        const metric *m = &metrics[i];
        if (!m->name) {
            fprintf(file,
                    "\n## %s\n\n%s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
                    m->group, m->about);
            continue;
        }
        metric_name(m, name);
        fprintf(file, "| `%s` | %s | %s | %s |\n", name, metric_type_name(m), metric_label_names(m),
                m->help);
    }
    fputs("\n`gavel_feeds_left_out` (gauge) counts feeds that had no room in the answer.\n", file);
}

/* --- the dashboard ----------------------------------------------------------------------------- */

#define PANEL_WIDTH  8
#define PANEL_HEIGHT 7
#define GRID_WIDTH   24

typedef struct {
    FILE *file;
    unsigned id, x, y;
} layout;

static const char dashboard_head[] =
    "{\n"
    "  \"title\": \"Gavel\",\n"
    "  \"uid\": \"gavel-agent\",\n"
    "  \"description\": \"Made from agent/status/metrics.def.\",\n"
    "  \"tags\": [\"gavel\"],\n"
    "  \"timezone\": \"browser\",\n"
    "  \"schemaVersion\": 37,\n"
    "  \"refresh\": \"1m\",\n"
    "  \"time\": {\"from\": \"now-24h\", \"to\": \"now\"},\n"
    "  \"templating\": {\"list\": [\n"
    "    {\"name\": \"source\", \"label\": \"Data source\", \"type\": \"datasource\", "
    "\"query\": \"prometheus\"},\n"
    "    {\"name\": \"board\", \"label\": \"Board\", \"type\": \"query\", \"multi\": true, "
    "\"includeAll\": true, \"refresh\": 2,\n"
    "     \"datasource\": {\"type\": \"prometheus\", \"uid\": \"${source}\"},\n"
    "     \"query\": {\"query\": \"label_values(gavel_build_info, instance)\", \"refId\": "
    "\"boards\"}}\n"
    "  ]},\n"
    "  \"panels\": [";

static bool is_first_of_panel(size_t i)
{
    if (!metrics[i].name || !metrics[i].panel[0])
        return false;
    for (size_t k = 0; k < i; k++)
        if (metrics[k].name && strcmp(metrics[k].panel, metrics[i].panel) == 0)
            return false;
    return true;
}

/* Grafana's name for the unit of what is drawn: a counter as its rate. */
static const char *drawn_unit(const metric *m)
{
    static const char *const gauges[] = {
        "short", "s", "bytes", "celsius", "percentunit", "short"
    };
    if (m->type == METRIC_COUNTER)
        return m->unit == METRIC_BYTES ? "Bps" : "short";
    return gauges[m->unit];
}

static void print_target(FILE *file, const metric *m, char ref)
{
    static const char *const by[] = { "", "", " {{condition}}", " {{reason}}", " {{feed}}" };
    char name[METRIC_NAME_MAX];
    metric_name(m, name);
    fprintf(file, "%s\n      {\"refId\": \"%c\", \"expr\": \"", ref == 'A' ? "" : ",", ref);
    if (m->type == METRIC_COUNTER)
        fprintf(file, "rate(%s{instance=~\\\"$board\\\"}[$__rate_interval])", name);
    else if (m->labels == METRIC_CONDITION)
        fprintf(file, "%s{instance=~\\\"$board\\\"} > 0", name);
    else
        fprintf(file, "%s{instance=~\\\"$board\\\"}", name);
    fprintf(file, "\", \"legendFormat\": \"{{instance}}%s%s\"}", by[m->labels],
            m->labels == METRIC_ONE ? name + strlen("gavel") : "");
}

static void print_panel(layout *l, size_t first)
{
    const metric *m = &metrics[first];
    char ref = 'A';
    fprintf(l->file,
            "%s\n    {\"id\": %u, \"type\": \"%s\", \"title\": \"%s%s\",\n"
            "     \"gridPos\": {\"x\": %u, \"y\": %u, \"w\": %d, \"h\": %d},\n"
            "     \"datasource\": {\"type\": \"prometheus\", \"uid\": \"${source}\"},\n"
            "     \"fieldConfig\": {\"defaults\": {\"unit\": \"%s\", \"min\": 0}, \"overrides\": "
            "[]},\n"
            "     \"targets\": [",
            l->id ? "," : "", l->id + 1,
            m->labels == METRIC_CONDITION ? "state-timeline" : "timeseries", m->panel,
            m->type == METRIC_COUNTER ? " per second" : "", l->x, l->y, PANEL_WIDTH, PANEL_HEIGHT,
            drawn_unit(m));
    for (size_t i = first; i < metric_count; i++)
        if (metrics[i].name && strcmp(metrics[i].panel, m->panel) == 0)
            print_target(l->file, &metrics[i], ref++);
    fputs("\n     ]}", l->file);
    l->id++;
    l->x += PANEL_WIDTH;
    if (l->x == GRID_WIDTH) {
        l->x = 0;
        l->y += PANEL_HEIGHT;
    }
}

void metrics_print_dashboard(FILE *file)
{
    layout l = { .file = file };
    fputs(dashboard_head, file);
    for (size_t i = 0; i < metric_count; i++)
        if (is_first_of_panel(i))
            print_panel(&l, i);
    fputs("\n  ]\n}\n", file);
}
