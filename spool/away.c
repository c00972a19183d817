#include "spool/internal.h"

static uint64_t bytes_of(const spool *s, uint64_t first_seq)
{
    const plat_fs *fs = spool_fs(s);
    uint64_t bytes = 0;
    int file;

    if (dir_open(fs, s->config.dir, first_seq, PLAT_READ, &file, &bytes, NULL) == GV_OK)
        fs->close(fs->ctx, file);
    return bytes;
}

/* Over its cap, quarantine/ gives up what came first: a dying disk must not fill the spool with what
 * nobody can read. */
static void shed(spool *s)
{
    const plat_fs *fs = spool_fs(s);
    char oldest[PLAT_PATH_MAX];
    uint64_t cap = s->config.quota_bytes / 2;

    if (cap > s->config.quarantine_bytes)
        cap = s->config.quarantine_bytes;

    while (dir_look_quarantine(fs, s->config.dir, &s->state.quarantine_bytes, oldest) == GV_OK &&
           s->state.quarantine_bytes > cap && oldest[0] != '\0') {
        if (fs->remove(fs->ctx, oldest, NULL) != GV_OK)
            return;
        spool_tell(
            s, &(spool_event){ .kind = SPOOL_SHED,
                               .first_seq = 1,
                               .file = oldest + strlen(s->config.dir) + 1,
                               .text = "quarantine/ is over its cap; its oldest file is gone" });
    }
}

/* Neither way is made durable: a segment that comes back after a power cut is sent again. */
void segment_away(spool *s, uint64_t first_seq, bool is_damaged)
{
    uint64_t bytes = bytes_of(s, first_seq);
    gv_status st = is_damaged ? dir_set_aside(spool_fs(s), s->config.dir, first_seq, NULL)
                              : dir_remove(spool_fs(s), s->config.dir, first_seq, NULL);

    if (st != GV_OK)
        return; /* it stays, counted as it is */
    s->state.bytes -= bytes < s->state.bytes ? bytes : s->state.bytes;
    s->state.segments -= s->state.segments > 0;
    if (is_damaged)
        shed(s);
}
