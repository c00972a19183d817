/* The bytes of a stored batch, held against SPEC.md as written out by hand: a spool of one machine opens on any
 * other. */
#include "spool/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Made from the tables of SPEC.md with Python's struct.pack, not with this code. */
static const uint8_t golden[SPOOL_HEADER_BYTES] = {
    'G',  'A',  'V',  'E',  'L',  'S',  'P',  'L',  /* magic */
    0x01, 0x00, 0x60, 0x00,                         /* version, header_bytes */
    0x34, 0x12, 0x00, 0x00,                         /* stored_bytes 0x1234 */
    0x78, 0x56, 0x00, 0x00,                         /* payload_bytes 0x5678 */
    0xe8, 0x03, 0x00, 0x00,                         /* records 1000 */
    0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* seq 0x0102030405060708 */
    0x07, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* promised_below */
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, /* records_before 2^32 */
    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, /* fingerprint */
    0x68, 0xe7, 0x53, 0xef, 0x46, 0x01, 0x00, 0x00, /* time_ms 1404174591848 */
    0x5c, 0x02, 0x00, 0x00,                         /* realm 604 */
    0x02, 0x00, 0x00, 0x00,                         /* house 2 */
    'e',  'u',  0,    0,    0,    0,    0,    0,    /* region */
    0x01, 0x01, 0,    0,    0,    0,    0,    0,    /* rejects, LZ4, reserved */
    0x0d, 0x0c, 0x0b, 0x0a,                         /* payload_crc */
    0x4a, 0x78, 0x4b, 0xb7,                         /* header_crc */
};

static spool_header sample(void)
{
    return (spool_header){ .version = SPOOL_VERSION,
                           .header_bytes = SPOOL_HEADER_BYTES,
                           .stored_bytes = 0x1234,
                           .payload_bytes = 0x5678,
                           .seq = 0x0102030405060708,
                           .promised_below = 0x0102030405060707,
                           .records_before = UINT64_C(1) << 32,
                           .payload_crc = 0x0a0b0c0d,
                           .packing = SPOOL_LZ4,
                           .meta = { .snapshot = { "eu", 604, 2, INT64_C(1404174591848) },
                                     .fingerprint = 0x0123456789abcdef,
                                     .records = 1000,
                                     .kind = SPOOL_REJECTS } };
}

static void checksum_is_crc32c(void **state)
{
    uint8_t zeros[32] = { 0 };
    gv_span digits = gv_span_str("123456789");

    (void)state;
    assert_int_equal(spool_crc32c(0, digits), 0xe3069283);
    assert_int_equal(spool_crc32c(0, gv_span_of(zeros, 32)), 0x8a9136aa); /* RFC 3720, B.4 */
    for (size_t cut = 0; cut <= digits.len; cut++) {
        uint32_t first = spool_crc32c(0, gv_span_of(digits.data, cut));
        assert_int_equal(spool_crc32c(first, gv_span_of(digits.data + cut, digits.len - cut)),
                         0xe3069283);
    }
}

static void checksum_is_the_same_on_every_processor(void **state)
{
    uint8_t bytes[300];
    uint32_t x = 1;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(x >> 24);
    }
    assert_int_equal(spool_crc32c_portable(0, gv_span_str("123456789")), 0xe3069283);
    for (size_t at = 0; at < 9; at++)
        for (size_t len = 0; len + at <= sizeof bytes; len++)
            assert_int_equal(spool_crc32c(x, gv_span_of(bytes + at, len)),
                             spool_crc32c_portable(x, gv_span_of(bytes + at, len)));
}

static void header_is_what_the_specification_says(void **state)
{
    spool_header h = sample();
    uint8_t bytes[SPOOL_HEADER_BYTES];

    (void)state;
    spool_header_put(&h, bytes);
    assert_memory_equal(bytes, golden, sizeof golden);
    assert_int_equal(spool_batch_bytes(&h), 8192); /* 96 + 0x1234, on the next 4096 */
}

static void header_comes_back_field_by_field(void **state)
{
    spool_header h, want = sample();

    (void)state;
    assert_int_equal(spool_header_get(gv_span_of(golden, sizeof golden), &h), SPOOL_HEADER_OK);
    assert_int_equal(h.stored_bytes, want.stored_bytes);
    assert_int_equal(h.payload_bytes, want.payload_bytes);
    assert_int_equal(h.seq, want.seq);
    assert_int_equal(h.promised_below, want.promised_below);
    assert_int_equal(h.records_before, want.records_before);
    assert_int_equal(h.payload_crc, want.payload_crc);
    assert_int_equal(h.packing, want.packing);
    assert_int_equal(h.meta.records, want.meta.records);
    assert_int_equal(h.meta.kind, want.meta.kind);
    assert_int_equal(h.meta.fingerprint, want.meta.fingerprint);
    assert_true(spool_snapshot_equal(&h.meta.snapshot, &want.meta.snapshot));
}

static void header_with_any_bit_flipped_is_none(void **state)
{
    spool_header h;

    (void)state;
    for (size_t i = 0; i < sizeof golden * 8; i++) {
        uint8_t bytes[sizeof golden];
        memcpy(bytes, golden, sizeof golden);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(spool_header_get(gv_span_of(bytes, sizeof bytes), &h), SPOOL_HEADER_NONE);
    }
    for (size_t len = 0; len < sizeof golden; len++)
        assert_int_equal(spool_header_get(gv_span_of(golden, len), &h), SPOOL_HEADER_NONE);
}

/* A right checksum over something this version does not write. */
static spool_header_verdict altered(size_t at, uint8_t value)
{
    uint8_t bytes[sizeof golden];
    spool_header h;

    memcpy(bytes, golden, sizeof golden);
    bytes[at] = value;
    gv_put_le32(bytes + 92, spool_crc32c(0, gv_span_of(bytes, 92)));
    return spool_header_get(gv_span_of(bytes, sizeof bytes), &h);
}

static void unknown_version_is_told_from_damage(void **state)
{
    (void)state;
    assert_int_equal(altered(8, 2), SPOOL_HEADER_FOREIGN);    /* version */
    assert_int_equal(altered(10, 128), SPOOL_HEADER_FOREIGN); /* a longer header */
    assert_int_equal(altered(80, 4), SPOOL_HEADER_FOREIGN);   /* kind */
    assert_int_equal(altered(81, 2), SPOOL_HEADER_FOREIGN);   /* packing */
    assert_int_equal(altered(82, 1), SPOOL_HEADER_FOREIGN);   /* reserved */
    assert_int_equal(altered(87, 1), SPOOL_HEADER_FOREIGN);
    assert_int_equal(altered(10, 95), SPOOL_HEADER_NONE);  /* shorter than any */
    assert_int_equal(altered(79, 'x'), SPOOL_HEADER_NONE); /* a region without an end */
    assert_int_equal(altered(81, 0), SPOOL_HEADER_NONE);   /* plain, but of two lengths */
}

static void segment_names_are_their_sequence(void **state)
{
    char name[SPOOL_NAME_BYTES];
    uint64_t seq;

    (void)state;
    spool_segment_name(0xabc, name);
    assert_string_equal(name, "0000000000000abc.seg");
    assert_true(spool_segment_parse(name, &seq));
    assert_int_equal(seq, 0xabc);
    static const char *const others[] = { "",
                                          "cursor",
                                          "0000000000000000.seg",
                                          "0000000000000abc.seg.1",
                                          "0000000000000ABC.seg",
                                          "0000000000000abc.se",
                                          "0000000000000abc",
                                          "00000000000000abc.seg" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(spool_segment_parse(others[i], &seq));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_is_crc32c),
        cmocka_unit_test(checksum_is_the_same_on_every_processor),
        cmocka_unit_test(header_is_what_the_specification_says),
        cmocka_unit_test(header_comes_back_field_by_field),
        cmocka_unit_test(header_with_any_bit_flipped_is_none),
        cmocka_unit_test(unknown_version_is_told_from_damage),
        cmocka_unit_test(segment_names_are_their_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
