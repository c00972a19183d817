#include "spool/internal.h"

#include <errno.h>
#include <lz4.h>

/* --- segments -------------------------------------------------------------------------------------- */
void tail_seal(spool *s)
{
    const plat_fs *fs = spool_fs(s);
    tail_segment *t = &s->tail;

    /* A truncation that is lost only leaves zeros behind the last batch. */
    if (t->at < t->size && fs->truncate(fs->ctx, t->file, t->at, NULL) == GV_OK) {
        s->state.bytes -= t->size - t->at;
        t->size = t->at;
    }
    fs->close(fs->ctx, t->file);
    t->is_open = false;
}

/* The disk failed while it wrote this segment: what is not yet promised in it never will be, for a sync
 * that is repeated proves nothing. Its batches come again under the same sequences, elsewhere. */
static void give_up_tail(spool *s, const char *why)
{
    const plat_fs *fs = spool_fs(s);
    tail_segment *t = &s->tail;
    char name[SPOOL_NAME_BYTES];

    fs->close(fs->ctx, t->file);
    t->is_open = false;
    s->next_seq = s->committed_seq;
    s->records_total = s->records_committed;
    s->state.pending = 0;
    spool_segment_name(t->first_seq, name);
    spool_tell(
        s, &(spool_event){
               .kind = SPOOL_SEALED, .first_seq = s->committed_seq, .file = name, .text = why });
    if (t->committed == 0)
        segment_away(s, t->first_seq, false); /* it holds no promise */
}

static gv_status check_room(const spool *s, uint64_t bytes, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    uint64_t unused = s->tail.is_open ? s->tail.size - s->tail.at : 0; /* given back before */
    uint64_t used = s->state.bytes - unused + s->state.quarantine_bytes, there;
    gv_status st;

    if (used > s->config.quota_bytes || bytes > s->config.quota_bytes - used)
        return gv_fail(err, GV_FULL, "the spool holds %llu MiB of the %llu MiB it may use",
                       (unsigned long long)(used >> 20),
                       (unsigned long long)(s->config.quota_bytes >> 20));
    st = fs->free_bytes(fs->ctx, s->config.dir, &there, err);
    if (st == GV_OK && (there < bytes || there - bytes < s->config.reserve_bytes))
        return gv_fail(
            err, GV_FULL, "the disk has %llu MiB free, of which %llu MiB are to stay free",
            (unsigned long long)(there >> 20), (unsigned long long)(s->config.reserve_bytes >> 20));
    return st;
}

/* What has its name already was given up, or could not be removed when it had just been made: it holds
 * no promise. */
static gv_status create_segment(spool *s, int *file, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    gv_error why = { 0, "" };
    uint64_t bytes;

    if (dir_open(fs, s->config.dir, s->next_seq, PLAT_CREATE_NEW, file, &bytes, &why) == GV_OK)
        return GV_OK;
    if (why.os_errno != EEXIST)
        return gv_fail_errno(err, why.os_errno, "no new segment in %s", s->config.dir);
    segment_away(s, s->next_seq, true); /* all the same, nothing is deleted that is not known */
    return dir_open(fs, s->config.dir, s->next_seq, PLAT_CREATE_NEW, file, &bytes, err);
}

/* A new file with room for `size` bytes. Its name is made durable with its first batches: after those a
 * journalling file system has nothing left to write for it. */
static gv_status make_segment(spool *s, uint64_t size, bool is_gaps, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    int file;
    gv_status st = create_segment(s, &file, err);

    if (st != GV_OK)
        return st;
    st = fs->reserve(fs->ctx, file, size, err);
    if (st != GV_OK) {
        fs->close(fs->ctx, file);
        dir_remove(fs, s->config.dir, s->next_seq, NULL);
        return st;
    }
    s->tail = (tail_segment){
        .is_open = true, .is_gaps = is_gaps, .file = file, .first_seq = s->next_seq, .size = size
    };
    s->state.bytes += size;
    s->state.segments++;
    return GV_OK;
}

/* Rolling in the middle of what the next commit brings costs a commit of its own; between two commits it
 * does not. So the segment ends early when the next ones would not all fit, if they are like the last. */
static bool is_time_to_roll(const spool *s)
{
    const tail_segment *t = &s->tail;

    return s->state.pending == 0 && t->at + t->last_commit_bytes > t->size;
}

/* A segment with room for `bytes` more. Gap entries, which are beyond the quota, have segments of their
 * own: each would keep one full of dropped batches from going away. When none can be made, nothing is
 * lost yet and nothing that was appended has to come again: GV_FULL, whatever the reason. */
static gv_status roll(spool *s, uint64_t bytes, bool beyond_quota, gv_error *err)
{
    uint64_t size = beyond_quota ? SPOOL_SEGMENT_BYTES_MIN : s->config.segment_bytes;
    bool fits =
        s->tail.is_open && s->tail.is_gaps == beyond_quota && s->tail.at + bytes <= s->tail.size;
    gv_status st;

    if (fits && (beyond_quota || !is_time_to_roll(s)))
        return GV_OK;
    if (bytes > size)
        size = bytes;
    if (!beyond_quota && check_room(s, size, fits ? NULL : err) != GV_OK)
        return fits ? GV_OK : GV_FULL;
    st = spool_commit(s, err);
    if (st != GV_OK)
        return st;
    if (s->tail.is_open)
        tail_seal(s);
    return make_segment(s, size, beyond_quota, err) == GV_OK ? GV_OK : GV_FULL;
}

/* --- batches --------------------------------------------------------------------------------------- */
/* The payload into io, packed and padded with zeros, with room for the header before it; fills in what
 * the header says of it. Returns the length of all. */
static size_t pack(spool *s, gv_span payload, spool_header *h)
{
    uint8_t *stored = s->io.data + SPOOL_HEADER_BYTES;
    size_t len = payload.len;
    int packed = 0;

    if (len > 1) /* one byte less than it is: else it is not worth it */
        packed = LZ4_compress_fast_extState(s->lz4, (const char *)payload.data, (char *)stored,
                                            (int)len, (int)len - 1, 1);
    if (packed > 0)
        len = (size_t)packed;
    else if (len > 0)
        memcpy(stored, payload.data, len);
    h->packing = packed > 0 ? SPOOL_LZ4 : SPOOL_PLAIN;
    h->payload_bytes = (uint32_t)payload.len;
    h->stored_bytes = (uint32_t)len;
    h->payload_crc = spool_crc32c(0, gv_span_of(stored, len));
    size_t total = (size_t)spool_batch_bytes(h);
    memset(stored + len, 0, total - SPOOL_HEADER_BYTES - len);
    return total;
}

gv_status tail_append(spool *s, const spool_meta *meta, gv_span payload, bool beyond_quota,
                      gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    gv_status st;

    if (payload.len > s->config.payload_bytes)
        return gv_fail(err, GV_INVAL, "a batch of %zu bytes is larger than the spool takes (%zu)",
                       payload.len, s->config.payload_bytes);
    if (s->next_seq >= SPOOL_SEQ_LIMIT)
        return gv_fail(err, GV_FULL,
                       "the spool has no sequence left, which only damage brings about: once it is "
                       "drained, stop the agent and move %s away",
                       s->config.dir);
    spool_header header = { .version = SPOOL_VERSION,
                            .header_bytes = SPOOL_HEADER_BYTES,
                            .seq = s->next_seq,
                            .records_before = s->records_total,
                            .meta = *meta };
    size_t bytes = pack(s, payload, &header);
    st = roll(s, bytes, beyond_quota, err);
    if (st != GV_OK)
        return st;
    header.promised_below = s->committed_seq; /* rolling may have committed */
    spool_header_put(&header, s->io.data);
    st = fs->write_at(fs->ctx, s->tail.file, s->tail.at, s->io.data, bytes, err);
    if (st == GV_FULL)
        return st; /* a file system that does not reserve; what was written of it is written over */
    if (st != GV_OK) {
        give_up_tail(s, "the disk failed a write");
        return st;
    }
    if (s->state.oldest_ms == 0)
        s->state.oldest_ms = meta->snapshot.time_ms;
    s->tail.at += bytes;
    s->next_seq++;
    s->records_total += meta->records;
    s->state.pending++;
    s->state.appended_batches++;
    s->state.appended_records += meta->records;
    s->state.payload_bytes += payload.len;
    s->state.stored_bytes += bytes;
    return GV_OK;
}

gv_status spool_append(spool *s, const spool_meta *meta, gv_span payload, gv_error *err)
{
    return tail_append(s, meta, payload, false, err);
}

gv_status spool_commit(spool *s, gv_error *err)
{
    const plat_fs *fs = spool_fs(s);
    gv_status st;

    if (s->state.pending == 0)
        return GV_OK;
    st = fs->sync(fs->ctx, s->tail.file, err);
    if (st == GV_OK && s->tail.committed == 0)
        st = fs->sync_dir(fs->ctx, s->config.dir, err); /* its name is promised, too */
    if (st != GV_OK) {
        give_up_tail(s, "the disk failed a sync");
        return GV_IO;
    }
    s->state.commits++;
    s->state.batches += s->state.pending;
    s->state.unread += s->state.pending;
    s->state.records += s->records_total - s->records_committed;
    s->state.pending = 0;
    s->committed_seq = s->next_seq;
    s->records_committed = s->records_total;
    s->tail.last_commit_bytes = s->tail.at - s->tail.committed;
    s->tail.committed = s->tail.at;
    return GV_OK;
}
