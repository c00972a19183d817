#include "platform/process.h"

#include <stdio.h>
#include <string.h>

static uint64_t status_kib(const char *name)
{
    unsigned long long kib = 0;
    char line[256];
    size_t len = strlen(name);
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, len) == 0)
            sscanf(line + len, "%llu kB", &kib);
    fclose(file);
    return kib;
}

uint64_t plat_peak_memory_kib(void)
{
    return status_kib("VmHWM:");
}

uint64_t plat_memory_kib(void)
{
    return status_kib("VmRSS:");
}
