/* wear.h - how long an SD card lasts under what is written to it: an estimate, from assumptions on the
 * careful side, which stand in wear.c.
 */
#ifndef GAVEL_MAIN_WEAR_H
#define GAVEL_MAIN_WEAR_H

#include <stdint.h>

/* What the card itself has to write in a day at this rate, file system included. */
uint64_t wear_bytes_per_day(uint64_t bytes, uint64_t syncs, uint64_t elapsed_ms);

/* Until the card is worn out; 0 bytes a day: UINT64_MAX. */
uint64_t wear_card_years(uint64_t bytes_per_day);

#endif
