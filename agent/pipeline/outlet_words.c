/* What the outlet says in the log. */
#include "agent/pipeline/outlet_internal.h"
#include "platform/log.h"

void outlet_say_event(void *ctx, const spool_event *e)
{
    static const struct {
        gv_log_level level;
        const char *message;
    } words[] = {
        [SPOOL_TORN] = { GV_LOG_INFO,
                         "spool: what a power cut left unfinished is put aside; nothing "
                         "of it was promised" },
        [SPOOL_DAMAGED] = { GV_LOG_ERROR,
                            "spool: batches cannot be read and will be missing; their bytes are in "
                            "quarantine" },
        [SPOOL_MISSING] = { GV_LOG_WARN, "spool: batches are not there any more" },
        [SPOOL_SEALED] = { GV_LOG_ERROR,
                           "spool: the disk failed; the file is left alone and a new one begun" },
        [SPOOL_SHED] = { GV_LOG_WARN, "spool: quarantine is full; its oldest file was removed" },
    };
    (void)ctx;
    GV_LOG(words[e->kind].level, gv_kmsg(words[e->kind].message), gv_kstr("file", e->file),
           gv_kuint("first", e->first_seq), gv_kuint("last", e->last_seq),
           gv_kuint("records", e->records), gv_kstr("reason", e->text));
}

void outlet_say_spooling(const outlet *o, bool stalled)
{
    const forwarder_status *f = forwarder_state(o->forwarder);
    const char *reason = !stalled ? "a transfer has waited too long for a slow broker"
                         : f->up  ? "no record was acknowledged, though a broker answers"
                                  : f->text;
    GV_LOG(GV_LOG_WARN, gv_kmsg("batches go to the spool"), gv_kstr("reason", reason),
           gv_kuint("batches", o->with_forwarder + o->held.count));
}

void outlet_say_direct(const outlet *o)
{
    GV_LOG(GV_LOG_INFO, gv_kmsg("batches go straight to the broker again"),
           gv_kuint("spooled_batches", o->counts.spooled_batches),
           gv_kuint("drained_batches", o->counts.drained_batches),
           gv_kuint("on_their_way", o->window_count));
}

void outlet_say_full(const outlet *o, const char *reason)
{
    const spool_state *s = spool_look(o->spool);
    if (!o->counts.full) {
        GV_LOG(GV_LOG_INFO, gv_kmsg("the spool takes batches again; fetching goes on"));
        return;
    }
    GV_LOG(GV_LOG_WARN,
           gv_kmsg("the spool is full and fetching waits: bring the broker back, raise "
                   "spool.quota_mib, or make room on the disk"),
           gv_kstr("reason", reason), gv_kuint("batches", s->batches),
           gv_kuint("records", s->records), gv_kuint("bytes", s->bytes),
           gv_kuint("quota_bytes", o->config.quota_bytes),
           gv_kuint("reserve_bytes", o->config.reserve_bytes));
}

void outlet_say_batch(const batch *b, const char *message, uint32_t records)
{
    char name[SNAPSHOT_TEXT_MAX];
    snapshot_format(&b->snapshot, name);
    GV_LOG(GV_LOG_ERROR, gv_kmsg(message), gv_kuint("sequence", b->spool_seq),
           gv_kstr("snapshot", name), gv_kuint("records", records));
}
