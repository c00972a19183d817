#include "spool/format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Offsets in the header; SPEC.md has them as a table. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_HEADER_BYTES = 10,
    AT_STORED_BYTES = 12,
    AT_PAYLOAD_BYTES = 16,
    AT_RECORDS = 20,
    AT_SEQ = 24,
    AT_PROMISED_BELOW = 32,
    AT_RECORDS_BEFORE = 40,
    AT_FINGERPRINT = 48,
    AT_TIME_MS = 56,
    AT_REALM = 64,
    AT_HOUSE = 68,
    AT_REGION = 72,
    AT_KIND = 80,
    AT_PACKING = 81,
    AT_RESERVED = 82,
    AT_PAYLOAD_CRC = 88,
    AT_HEADER_CRC = 92
};

static const char magic[8] = { 'G', 'A', 'V', 'E', 'L', 'S', 'P', 'L' };

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[1] << 8 | p[0]);
}

bool spool_snapshot_equal(const spool_snapshot *a, const spool_snapshot *b)
{
    return a->time_ms == b->time_ms && a->realm == b->realm && a->house == b->house &&
           strncmp(a->region, b->region, sizeof a->region) == 0;
}

void spool_header_put(spool_header *h, uint8_t out[SPOOL_HEADER_BYTES])
{
    const spool_meta *m = &h->meta;

    memset(out, 0, SPOOL_HEADER_BYTES);
    memcpy(out + AT_MAGIC, magic, sizeof magic);
    put_le16(out + AT_VERSION, h->version);
    put_le16(out + AT_HEADER_BYTES, h->header_bytes);
    gv_put_le32(out + AT_STORED_BYTES, h->stored_bytes);
    gv_put_le32(out + AT_PAYLOAD_BYTES, h->payload_bytes);
    gv_put_le32(out + AT_RECORDS, m->records);
    gv_put_le64(out + AT_SEQ, h->seq);
    gv_put_le64(out + AT_PROMISED_BELOW, h->promised_below);
    gv_put_le64(out + AT_RECORDS_BEFORE, h->records_before);
    gv_put_le64(out + AT_FINGERPRINT, m->fingerprint);
    gv_put_le64(out + AT_TIME_MS, (uint64_t)m->snapshot.time_ms);
    gv_put_le32(out + AT_REALM, m->snapshot.realm);
    gv_put_le32(out + AT_HOUSE, m->snapshot.house);
    memcpy(out + AT_REGION, m->snapshot.region, strnlen(m->snapshot.region, 7));
    out[AT_KIND] = (uint8_t)m->kind;
    out[AT_PACKING] = (uint8_t)h->packing;
    gv_put_le32(out + AT_PAYLOAD_CRC, h->payload_crc);
    h->header_crc = spool_crc32c(0, gv_span_of(out, AT_HEADER_CRC));
    gv_put_le32(out + AT_HEADER_CRC, h->header_crc);
}

static void get_fields(const uint8_t *p, spool_header *h)
{
    *h = (spool_header){
        .version = get_le16(p + AT_VERSION),
        .header_bytes = get_le16(p + AT_HEADER_BYTES),
        .stored_bytes = gv_get_le32(p + AT_STORED_BYTES),
        .payload_bytes = gv_get_le32(p + AT_PAYLOAD_BYTES),
        .seq = gv_get_le64(p + AT_SEQ),
        .promised_below = gv_get_le64(p + AT_PROMISED_BELOW),
        .records_before = gv_get_le64(p + AT_RECORDS_BEFORE),
        .payload_crc = gv_get_le32(p + AT_PAYLOAD_CRC),
        .header_crc = gv_get_le32(p + AT_HEADER_CRC),
        .packing = (spool_packing)p[AT_PACKING],
        .meta = { .snapshot = { .realm = gv_get_le32(p + AT_REALM),
                                .house = gv_get_le32(p + AT_HOUSE),
                                .time_ms = (int64_t)gv_get_le64(p + AT_TIME_MS) },
                  .fingerprint = gv_get_le64(p + AT_FINGERPRINT),
                  .records = gv_get_le32(p + AT_RECORDS),
                  .kind = (spool_kind)p[AT_KIND] },
    };
    memcpy(h->meta.snapshot.region, p + AT_REGION, sizeof h->meta.snapshot.region);
}

spool_header_verdict spool_header_get(gv_span bytes, spool_header *h)
{
    const uint8_t *p = bytes.data;

    if (bytes.len < SPOOL_HEADER_BYTES || memcmp(p, magic, sizeof magic) != 0 ||
        spool_crc32c(0, gv_span_of(p, AT_HEADER_CRC)) != gv_get_le32(p + AT_HEADER_CRC))
        return SPOOL_HEADER_NONE;
    get_fields(p, h);
    if (h->header_bytes < SPOOL_HEADER_BYTES || h->seq == 0 || h->seq >= SPOOL_SEQ_LIMIT)
        return SPOOL_HEADER_NONE;
    if (h->version != SPOOL_VERSION || h->header_bytes != SPOOL_HEADER_BYTES ||
        p[AT_PACKING] > SPOOL_LZ4 || p[AT_KIND] > SPOOL_GAP || gv_get_le32(p + AT_RESERVED) != 0 ||
        get_le16(p + AT_RESERVED + 4) != 0) {
        h->meta.snapshot.region[sizeof h->meta.snapshot.region - 1] = '\0';
        return SPOOL_HEADER_FOREIGN;
    }
    if (h->meta.snapshot.region[sizeof h->meta.snapshot.region - 1] != '\0' ||
        (h->packing == SPOOL_PLAIN && h->stored_bytes != h->payload_bytes))
        return SPOOL_HEADER_NONE;
    return SPOOL_HEADER_OK;
}

uint64_t spool_batch_bytes(const spool_header *h)
{
    uint64_t bytes = (uint64_t)h->header_bytes + h->stored_bytes;

    return (bytes + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
}

void spool_segment_name(uint64_t first_seq, char name[SPOOL_NAME_BYTES])
{
    snprintf(name, SPOOL_NAME_BYTES, "%016" PRIx64 ".seg", first_seq);
}

bool spool_segment_parse(const char *name, uint64_t *first_seq)
{
    uint64_t value = 0;

    for (int i = 0; i < 16; i++) {
        char c = name[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *first_seq = value;
    return value > 0 && value < SPOOL_SEQ_LIMIT && strcmp(name + 16, ".seg") == 0;
}
