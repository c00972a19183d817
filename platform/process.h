/* process.h - what the system knows of this process. */
#ifndef GAVEL_PLATFORM_PROCESS_H
#define GAVEL_PLATFORM_PROCESS_H

#include <stdint.h>

/* The largest resident memory since the program was started, KiB; 0 when it cannot be read.
 * (getrusage() would also count the process that started it.) Source: proc(5), VmHWM. */
uint64_t plat_peak_memory_kib(void);

/* What is resident now, KiB; 0 when it cannot be read. Source: proc(5), VmRSS. */
uint64_t plat_memory_kib(void);

#endif
