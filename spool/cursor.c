#include "spool/cursor.h"

#include "spool/dir.h"

#include <errno.h>

/* Offsets in a slot; SPEC.md has them as a table. The slots are SPOOL_ALIGN apart: a torn write of
 * one cannot reach the other. */
enum {
    AT_COUNT = 8,
    AT_ACKED = 16,
    AT_SEGMENT = 24,
    AT_OFFSET = 32,
    AT_NEXT = 40,
    AT_RECORDS_BEFORE = 48,
    AT_HEADER_CRC = 56,
    AT_CRC = 60,
    SLOT_BYTES = 64
};

static const char magic[8] = { 'G', 'A', 'V', 'E', 'L', 'C', 'U', '1' };

static bool get_slot(const uint8_t *p, spool_cursor *c)
{
    if (memcmp(p, magic, sizeof magic) != 0 ||
        spool_crc32c(0, gv_span_of(p, AT_CRC)) != gv_get_le32(p + AT_CRC))
        return false;
    *c = (spool_cursor){ .count = gv_get_le64(p + AT_COUNT),
                         .acked_seq = gv_get_le64(p + AT_ACKED),
                         .segment = gv_get_le64(p + AT_SEGMENT),
                         .offset = gv_get_le64(p + AT_OFFSET),
                         .next_seq = gv_get_le64(p + AT_NEXT),
                         .records_before = gv_get_le64(p + AT_RECORDS_BEFORE),
                         .header_crc = gv_get_le32(p + AT_HEADER_CRC) };
    return c->acked_seq < SPOOL_SEQ_LIMIT && c->next_seq <= SPOOL_SEQ_LIMIT;
}

static void put_slot(const spool_cursor *c, uint8_t *p)
{
    memcpy(p, magic, sizeof magic);
    gv_put_le64(p + AT_COUNT, c->count);
    gv_put_le64(p + AT_ACKED, c->acked_seq);
    gv_put_le64(p + AT_SEGMENT, c->segment);
    gv_put_le64(p + AT_OFFSET, c->offset);
    gv_put_le64(p + AT_NEXT, c->next_seq);
    gv_put_le64(p + AT_RECORDS_BEFORE, c->records_before);
    gv_put_le32(p + AT_HEADER_CRC, c->header_crc);
    gv_put_le32(p + AT_CRC, spool_crc32c(0, gv_span_of(p, AT_CRC)));
}

gv_status spool_cursor_load(const plat_fs *fs, const char *dir, spool_cursor *out, gv_error *err)
{
    char path[PLAT_PATH_MAX];
    uint8_t slot[SLOT_BYTES];
    gv_error why = { 0, "" };
    spool_cursor c;
    size_t got;
    int file;
    gv_status st = dir_path(dir, "cursor", path, err);

    *out = (spool_cursor){ 0 };
    if (st != GV_OK)
        return st;
    if (fs->open(fs->ctx, path, PLAT_READ, &file, &why) != GV_OK)
        return why.os_errno == ENOENT ? GV_OK
                                      : gv_fail_errno(err, why.os_errno, "cannot open %s", path);
    for (uint64_t i = 0; i < 2; i++) {
        if (fs->read_at(fs->ctx, file, i * SPOOL_ALIGN, slot, SLOT_BYTES, &got, err) != GV_OK)
            st = GV_IO;
        else if (got == SLOT_BYTES && get_slot(slot, &c) && c.count > out->count)
            *out = c;
    }
    fs->close(fs->ctx, file);
    return st;
}

bool spool_cursor_holds(const plat_fs *fs, const char *dir, const spool_cursor *c,
                        spool_header *acked)
{
    return c->acked_seq != 0 && dir_header(fs, dir, c->segment, c->offset, acked) &&
           acked->seq == c->acked_seq && acked->header_crc == c->header_crc;
}

/* Before the first save the name is made durable, whoever has made the file. */
static gv_status open_file(const plat_fs *fs, const char *dir, bool is_first, int *file,
                           gv_error *err)
{
    char path[PLAT_PATH_MAX];
    gv_error why = { 0, "" };
    gv_status st = dir_path(dir, "cursor", path, err);

    if (st != GV_OK)
        return st;
    st = fs->open(fs->ctx, path, PLAT_WRITE, file, &why);
    if (st != GV_OK && why.os_errno == ENOENT) {
        is_first = true;
        why = (gv_error){ 0, "" };
        st = fs->open(fs->ctx, path, PLAT_CREATE_NEW, file, &why);
    }
    if (st != GV_OK)
        return gv_fail_errno(err, why.os_errno, "cannot open %s", path);
    if (is_first)
        st = fs->reserve(fs->ctx, *file, 2 * SPOOL_ALIGN, err);
    return is_first && st == GV_OK ? fs->sync_dir(fs->ctx, dir, err) : st;
}

/* A save that fails is repeated in the same slot: the other one is the last that is known to be good. */
gv_status spool_cursor_save(const plat_fs *fs, const char *dir, spool_cursor *cursor, gv_error *err)
{
    spool_cursor next = *cursor;
    uint8_t slot[SLOT_BYTES];
    int file = -1;
    gv_status st = open_file(fs, dir, cursor->count == 0, &file, err);

    next.count++;
    put_slot(&next, slot);
    if (st == GV_OK)
        st = fs->write_at(fs->ctx, file, next.count % 2 * SPOOL_ALIGN, slot, SLOT_BYTES, err);
    if (st == GV_OK)
        st = fs->sync(fs->ctx, file, err);
    if (st == GV_OK)
        cursor->count = next.count;
    if (file >= 0)
        fs->close(fs->ctx, file);
    return st;
}
