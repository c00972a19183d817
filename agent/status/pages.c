/* pages.c - gavel_status_pages page|dashboard: writes what is made from metrics.def to standard output. */
#include "agent/status/metrics.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "page") == 0)
        metrics_print_page(stdout);
    else if (argc == 2 && strcmp(argv[1], "dashboard") == 0)
        metrics_print_dashboard(stdout);
    else
        return 2;
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
