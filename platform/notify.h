/* notify.h - tells systemd how we are (sd_notify protocol over $NOTIFY_SOCKET).
 *
 * Without that variable every call is a no-op. Source: sd_notify(3), sd_watchdog_enabled(3).
 */
#ifndef GAVEL_PLATFORM_NOTIFY_H
#define GAVEL_PLATFORM_NOTIFY_H

#include <stdint.h>

void plat_notify(const char *state); /* such as "READY=1", "STATUS=...", "WATCHDOG=1" */

/* How often WATCHDOG=1 is due: half of $WATCHDOG_USEC, in ms; 0 when no watchdog is set. */
uint64_t plat_notify_watchdog_ms(void);

#endif
