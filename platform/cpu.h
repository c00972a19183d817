/* cpu.h - what the processor can do that the program was not compiled to rely on. */
#ifndef GAVEL_PLATFORM_CPU_H
#define GAVEL_PLATFORM_CPU_H

#include <stdbool.h>

/* It has instructions for CRC32C: SSE4.2 on x86-64, the CRC32 extension on 64-bit ARM (every Raspberry Pi from
 * the 3 on). False on other architectures, whatever they have. Source: getauxval(3), HWCAP_CRC32. */
bool plat_cpu_has_crc32c(void);

#endif
