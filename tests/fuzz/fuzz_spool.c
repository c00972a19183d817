/* fuzz_spool.c - any bytes as a segment file and as the cursor beside it. The first byte's lowest bit: whether
 * checksums are put right, so that what lies behind them is reached, too; its other bits: how many
 * blocks of the rest are the cursor file.
 *
 * Must hold, of the walk through a segment: nothing outside is read; each item begins where the one before
 * ended, and all of them are the file; sequences rise; a batch has a payload of the size and checksum that
 * its header says, or is refused. Of a spool with these files: it opens; batches come in rising sequence,
 * no larger than configured, and in the end none waits; then it takes and brings another, unless
 * somebody has made up the very last sequence, and all files are closed.
 */
#include "spool/segment.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"

#include <assert.h>
#include <stdlib.h>

#define DIR           "/s"
#define PAYLOAD_BYTES 6000u
#define LARGEST_BYTES (24u * SPOOL_ALIGN)
#define HEADER_CRC    92u
#define PAYLOAD_CRC   88u
#define STORED_BYTES  12u
#define CURSOR_CRC    60u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- checksums --------------------------------------------------------------------------------------- */
static void mend_cursor(uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + CURSOR_CRC + 4 <= len; at += SPOOL_ALIGN)
        gv_put_le32(bytes + at + CURSOR_CRC, spool_crc32c(0, gv_span_of(bytes + at, CURSOR_CRC)));
}

static void mend_segment(uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + SPOOL_HEADER_BYTES <= len; at += SPOOL_ALIGN) {
        uint8_t *header = bytes + at;
        uint32_t stored = gv_get_le32(header + STORED_BYTES);
        if (stored <= len - at - SPOOL_HEADER_BYTES)
            gv_put_le32(header + PAYLOAD_CRC,
                        spool_crc32c(0, gv_span_of(header + SPOOL_HEADER_BYTES, stored)));
        gv_put_le32(header + HEADER_CRC, spool_crc32c(0, gv_span_of(header, HEADER_CRC)));
    }
}

/* --- the walk ---------------------------------------------------------------------------------------- */
static void check_batch(const segment_walk *walk, const segment_item *item)
{
    static uint8_t room[PAYLOAD_BYTES];
    gv_buf payload = gv_buf_of(room, sizeof room);
    gv_span stored = gv_span_of(walk->io.data + SPOOL_HEADER_BYTES, item->header.stored_bytes);
    gv_error err = { 0, "" };
    gv_status st = segment_unpack(walk, item, &payload, &err);

    assert(spool_crc32c(0, stored) == item->header.payload_crc);
    assert(st == GV_OK || st == GV_CORRUPT);
    assert((st == GV_OK) == (err.text[0] == '\0'));
    assert(payload.len == (st == GV_OK ? item->header.payload_bytes : 0));
}

static void walk_through(const plat_fs *fs, const char *path, uint64_t size)
{
    static uint8_t io[16384];
    segment_walk walk = { .fs = fs,
                          .io = gv_buf_of(io, segment_io_bytes(PAYLOAD_BYTES)),
                          .payload_bytes = PAYLOAD_BYTES,
                          .end = size,
                          .expect = 1,
                          .below = UINT64_MAX };
    segment_item item = { .kind = SEGMENT_BATCH };
    uint64_t at = 0, seq = 0;

    assert(walk.io.cap <= sizeof io);
    assert(fs->open(fs->ctx, path, PLAT_READ, &walk.file, NULL) == GV_OK);
    while (item.kind != SEGMENT_END) {
        assert(segment_next(&walk, true, &item, NULL) == GV_OK);
        assert(item.offset == at || (item.kind == SEGMENT_END && at >= size));
        assert(item.bytes > 0 || item.kind == SEGMENT_END);
        at += item.bytes;
        assert(at <= (size + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN);
        if (item.has_header)
            assert(item.header.seq > seq);
        if (item.has_header)
            seq = item.header.seq;
        if (item.kind == SEGMENT_BATCH)
            check_batch(&walk, &item);
    }
    assert(at >= size);
    fs->close(fs->ctx, walk.file);
}

/* --- the spool --------------------------------------------------------------------------------------- */
static uint64_t drain(spool *s, uint64_t after)
{
    static uint8_t room[PAYLOAD_BYTES];
    gv_buf payload = gv_buf_of(room, sizeof room);
    spool_meta meta;
    uint64_t seq;
    gv_status st;

    while ((st = spool_next(s, &meta, &payload, &seq, NULL)) == GV_OK) {
        assert(seq > after && payload.len <= PAYLOAD_BYTES);
        after = seq;
        payload.len = 0;
        spool_ack(s, seq);
    }
    assert(st == GV_AGAIN && spool_look(s)->unread == 0 && spool_look(s)->batches == 0);
    return after;
}

static void live(disk_double *disk, const plat_fs *fs)
{
    clock_double now = { 0 };
    plat_clock clock = clock_double_table(&now);
    spool_config config = { .fs = fs,
                            .clock = &clock,
                            .dir = DIR,
                            .payload_bytes = PAYLOAD_BYTES,
                            .segment_bytes = SPOOL_SEGMENT_BYTES_MIN,
                            .quota_bytes = 1u << 24,
                            .quarantine_bytes = 1u << 20,
                            .window = 4,
                            .cursor_ms = 1 };
    const spool_meta meta = { .snapshot = { "eu", 1, 0, 1 }, .records = 1 };
    gv_error err = { 0, "" };
    gv_status st;
    uint64_t last;
    spool *s;

    config.mem_bytes = spool_mem_needed(&config);
    config.mem = malloc(config.mem_bytes);
    assert(config.mem);
    for (unsigned starts = 0; starts < 2; starts++) {
        assert(spool_open(&config, &s, NULL) == GV_OK);
        last = drain(s, 0);
        st = spool_append(s, &meta, gv_span_str("one more"), &err);
        assert(st == GV_OK || (st == GV_FULL && strstr(err.text, "no sequence left")));
        assert(spool_commit(s, NULL) == GV_OK);
        assert((drain(s, last) > last) == (st == GV_OK));
        spool_close(s);
        assert(disk_double_open_files(disk) == 0);
    }
    free(config.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[LARGEST_BYTES];

    if (size < 1 || size - 1 > sizeof bytes)
        return 0;
    disk_double *disk = disk_double_new(1u << 26);
    plat_fs fs = disk_double_table(disk);
    size_t cursor = (size_t)(data[0] >> 1 & 3) * SPOOL_ALIGN;
    memcpy(bytes, data + 1, size - 1);
    if (cursor > size - 1)
        cursor = size - 1;
    uint8_t *segment = bytes + cursor;
    size_t len = size - 1 - cursor;
    if (data[0] & 1) {
        mend_cursor(bytes, cursor);
        mend_segment(segment, len);
    }
    if (cursor > 0)
        disk_double_put(disk, DIR "/cursor", bytes, cursor);
    disk_double_put(disk, DIR "/0000000000000001.seg", segment, len);
    walk_through(&fs, DIR "/0000000000000001.seg", len);
    live(disk, &fs);
    disk_double_free(disk);
    return 0;
}
