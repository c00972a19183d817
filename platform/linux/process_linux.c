#include "platform/process.h"

#include <stdio.h>

uint64_t plat_peak_memory_kib(void)
{
    unsigned long long kib = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, file))
        sscanf(line, "VmHWM: %llu kB", &kib);
    fclose(file);
    return kib;
}
