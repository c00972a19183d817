#include "agent/main/wear.h"

/* Assumptions, not measurements, each on the careful side: a small card of the cheapest flash, for which
 * makers name 500 to 3000 program and erase cycles (TLC); and since a card erases blocks of megabytes,
 * small synced writes cost it several times their size. */
#define CARD_BYTES          (UINT64_C(32) * 1000 * 1000 * 1000)
#define CARD_CYCLES         500u
#define WRITE_AMPLIFICATION 4u

/* What ext4 writes of its own for a sync: descriptor, inode, bitmap and commit blocks of its journal. */
#define SYNC_BYTES (4u * 4096u)

#define DAY_MS  UINT64_C(86400000)
#define YEAR_MS (DAY_MS * 365u)

uint64_t wear_bytes_per_day(uint64_t bytes, uint64_t syncs, uint64_t elapsed_ms)
{
    double all = (double)bytes + (double)syncs * SYNC_BYTES;
    return elapsed_ms ? (uint64_t)(all * (double)DAY_MS / (double)elapsed_ms) : 0;
}

uint64_t wear_card_years(uint64_t bytes_per_day)
{
    const uint64_t endurance = CARD_BYTES / WRITE_AMPLIFICATION * CARD_CYCLES;
    return bytes_per_day ? endurance / bytes_per_day / (YEAR_MS / DAY_MS) : UINT64_MAX;
}
