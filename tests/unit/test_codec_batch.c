/* The small modules: batch, snapshot, digest, avro_out, reject. */
#include "agent/codec/avro_out.h"
#include "agent/codec/batch.h"
#include "agent/codec/digest.h"
#include "agent/codec/reject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const snapshot_id thrall = { "eu", 604, 0, 1404174601000 };

static void snapshot_has_one_text_form(void **state)
{
    char text[SNAPSHOT_TEXT_MAX];

    (void)state;
    snapshot_format(&thrall, text);
    assert_string_equal(text, "eu/604/0/1404174601");
    snapshot_format(&(snapshot_id){ "kr", UINT32_MAX, UINT32_MAX, INT64_MAX }, text);
    assert_string_equal(text, "kr/4294967295/4294967295/9223372036854775");
}

static void batch_gives_back_what_was_put_in(void **state)
{
    uint8_t bytes[100];
    batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };
    batch_entry entry;
    size_t offset = 0;

    (void)state;
    batch_start(&b, BATCH_AUCTIONS, &thrall, 0x1122334455667788);
    assert_int_equal(b.kind, BATCH_AUCTIONS);
    assert_int_equal(b.snapshot.realm, 604);
    assert_true(batch_append(&b, UINT64_MAX, gv_span_str("first")));
    assert_true(batch_append(&b, 2, gv_span_of(NULL, 0)));
    assert_int_equal(b.records, 2);

    assert_true(batch_next(&b, &offset, &entry));
    assert_int_equal(entry.key, UINT64_MAX);
    assert_int_equal(entry.framed_len, BATCH_PREFIX_BYTES + 5);
    assert_memory_equal(entry.framed + BATCH_PREFIX_BYTES, "first", 5);
    assert_int_equal(entry.offset, 0);
    assert_true(batch_next(&b, &offset, &entry));
    assert_int_equal(entry.key, 2);
    assert_int_equal(entry.framed_len, BATCH_PREFIX_BYTES);
    assert_int_equal(entry.offset, BATCH_ENTRY_OVERHEAD + 5);
    assert_false(batch_next(&b, &offset, &entry));
}

static void batch_layout_is_the_documented_one(void **state)
{
    static const uint8_t expected[] = { 3, 0, 0, 0, 8, 7, 6, 5,   4,   3,
                                        2, 1, 0, 0, 0, 0, 0, 'a', 'b', 'c' };
    uint8_t bytes[sizeof expected];
    batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };

    (void)state;
    memset(bytes, 0xEE, sizeof bytes);
    batch_start(&b, BATCH_REJECTS, &thrall, 1);
    assert_true(batch_append(&b, 0x0102030405060708, gv_span_str("abc")));
    assert_memory_equal(bytes, expected, sizeof expected);
    batch_mark_acked(&b, 0);
    assert_int_equal(bytes[3], 0x80);
}

static void full_batch_is_left_as_it_was(void **state)
{
    uint8_t bytes[2 * BATCH_ENTRY_OVERHEAD + 3];
    batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };

    (void)state;
    batch_start(&b, BATCH_AUCTIONS, &thrall, 1);
    assert_true(batch_append(&b, 1, gv_span_str("ab")));
    assert_false(batch_append(&b, 2, gv_span_str("cd")));
    assert_int_equal(b.records, 1);
    assert_int_equal(b.bytes.len, BATCH_ENTRY_OVERHEAD + 2);
    assert_true(batch_append(&b, 2, gv_span_str("c")));
    assert_false(batch_append(&b, 3, gv_span_of(NULL, 0)));
}

static void acknowledgement_counts_once(void **state)
{
    uint8_t bytes[100];
    batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };
    batch_entry entry;
    size_t offset = 0;

    (void)state;
    batch_start(&b, BATCH_AUCTIONS, &thrall, 1);
    assert_true(batch_append(&b, 1, gv_span_str("one")) && batch_append(&b, 2, gv_span_str("two")));
    batch_next(&b, &offset, &entry);
    batch_next(&b, &offset, &entry);
    batch_mark_acked(&b, entry.offset);
    batch_mark_acked(&b, entry.offset);
    assert_int_equal(b.acked, 1);
    offset = 0;
    batch_next(&b, &offset, &entry);
    assert_false(entry.acked);
    batch_next(&b, &offset, &entry);
    assert_true(entry.acked);
    assert_int_equal(entry.framed_len, BATCH_PREFIX_BYTES + 3);

    batch_start(&b, BATCH_LEDGER, &thrall, 0);
    offset = 0;
    assert_int_equal(b.acked + b.records, 0);
    assert_false(batch_next(&b, &offset, &entry));
}

/* Cut at any byte but an entry's end, marked, or with a length that lies: refused, with the place. */
static void bytes_from_outside_are_checked_before_they_are_walked(void **state)
{
    uint8_t bytes[100], *copy = NULL;
    batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };
    gv_error err = { 0 };
    uint32_t records = 9;

    (void)state;
    assert_int_equal(batch_check(gv_span_of(NULL, 0), &records, &err), GV_OK);
    assert_int_equal(records, 0);
    batch_start(&b, BATCH_AUCTIONS, &thrall, 1);
    assert_true(batch_append(&b, 1, gv_span_str("one")) && batch_append(&b, 2, gv_span_of("", 0)) &&
                batch_append(&b, 3, gv_span_str("three")));
    for (size_t len = 0; len <= b.bytes.len; len++) {
        size_t ends[] = { 0, BATCH_ENTRY_OVERHEAD + 3, 2 * BATCH_ENTRY_OVERHEAD + 3, b.bytes.len };
        gv_status expected = GV_CORRUPT;
        copy = realloc(copy, len ? len : 1); /* a sanitizer sees a read past its end */
        memcpy(copy, bytes, len);
        for (uint32_t i = 0; i < 4; i++)
            if (ends[i] == len)
                expected = GV_OK;
        assert_int_equal(batch_check(gv_span_of(copy, len), &records, &err), expected);
        if (expected == GV_OK)
            assert_true(ends[records] == len);
    }
    free(copy);

    batch_mark_acked(&b, BATCH_ENTRY_OVERHEAD + 3);
    err = (gv_error){ 0 };
    assert_int_equal(batch_check(gv_span_of(bytes, b.bytes.len), &records, &err), GV_CORRUPT);
    assert_string_equal(err.text, "batch: the entry at byte 20 is marked acknowledged");
    gv_put_le32(bytes + BATCH_ENTRY_OVERHEAD + 3, 0x7FFFFFFF);
    err = (gv_error){ 0 };
    assert_int_equal(batch_check(gv_span_of(bytes, b.bytes.len), &records, &err), GV_CORRUPT);
    assert_non_null(strstr(err.text, "at byte 20 says 2147483647 bytes, but 22 are left"));
}

static void dropping_what_was_acknowledged_keeps_the_rest_as_if_never_sent(void **state)
{
    static const char *const texts[] = { "a", "bb", "", "dddd", "eeeee" };

    (void)state;
    for (unsigned acked = 0; acked < 1u << 5; acked++) {
        uint8_t bytes[200], fresh_bytes[200];
        batch b = { .bytes = gv_buf_of(bytes, sizeof bytes) };
        batch fresh = { .bytes = gv_buf_of(fresh_bytes, sizeof fresh_bytes) };
        batch_entry entry;
        size_t offset = 0;

        batch_start(&b, BATCH_AUCTIONS, &thrall, 1);
        batch_start(&fresh, BATCH_AUCTIONS, &thrall, 1);
        for (unsigned i = 0; i < 5; i++) {
            assert_true(batch_append(&b, i, gv_span_str(texts[i])));
            if (!(acked & 1u << i))
                assert_true(batch_append(&fresh, i, gv_span_str(texts[i])));
        }
        for (unsigned i = 0; batch_next(&b, &offset, &entry); i++) {
            gv_put_be32(entry.framed + 1, 77); /* as when it was sent */
            if (acked & 1u << i)
                batch_mark_acked(&b, entry.offset);
        }
        batch_drop_acked(&b);
        assert_int_equal(b.acked, 0);
        assert_int_equal(b.records, fresh.records);
        assert_int_equal(b.bytes.len, fresh.bytes.len);
        assert_memory_equal(bytes, fresh_bytes, fresh.bytes.len);
    }
}

/* Expected values: libstdc++'s std::_Hash_bytes with seed 0, which is the same function. */
static void digest_is_murmurhash64a(void **state)
{
    uint8_t all[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    assert_int_equal(codec_digest(gv_span_str("a")), 0x071717d2d36b6b11);
    assert_int_equal(codec_digest(gv_span_str("auction")), 0x40c47dc4ec949e63);
    assert_int_equal(codec_digest(gv_span_str("12345678")), 0x758f67d162b2d202);
    assert_int_equal(codec_digest(gv_span_str("123456789abcdef")), 0xffda8e09177414c3);
    assert_int_equal(codec_digest(gv_span_of(all, sizeof all)), 0xaeebf3780095c6c1);
}

/* Examples of the specification, and the ends of the range. */
static void longs_are_zigzag_varints(void **state)
{
    static const struct {
        int64_t value;
        const char *avro;
    } cases[] = {
        { 0, "\x00" },
        { -1, "\x01" },
        { 1, "\x02" },
        { -64, "\x7F" },
        { 64, "\x80\x01" },
        { INT32_MAX, "\xFE\xFF\xFF\xFF\x0F" },
        { INT64_MAX, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" },
        { INT64_MIN, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" },
    };
    uint8_t bytes[AVRO_LONG_MAX_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = avro_long_bytes(cases[i].value);
        gv_buf exact = gv_buf_of(bytes, len), small = gv_buf_of(bytes, len - 1);
        assert_false(avro_put_long(&small, cases[i].value));
        assert_int_equal(small.len, 0);
        assert_true(avro_put_long(&exact, cases[i].value));
        assert_int_equal(exact.len, len);
        assert_memory_equal(bytes, cases[i].avro, len);
        assert_int_equal(avro_unzigzag(avro_zigzag(cases[i].value)), cases[i].value);
    }
    for (int shift = 0; shift < 63; shift++)
        for (int64_t v = (INT64_C(1) << shift) - 2; v <= (INT64_C(1) << shift) + 2; v++) {
            gv_buf out = gv_buf_of(bytes, sizeof bytes);
            uint64_t z = 0;
            assert_true(avro_put_long(&out, -v));
            for (size_t i = 0; i < out.len; i++)
                z |= (uint64_t)(bytes[i] & 0x7F) << 7 * i;
            assert_int_equal(avro_unzigzag(z), -v);
            assert_int_equal(out.len, avro_long_bytes(-v));
        }
}

static void prefix_makes_room_for_itself(void **state)
{
    uint8_t bytes[6];
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    size_t mark;

    (void)state;
    assert_true(avro_reserve(&out, &mark) && gv_buf_put(&out, "abc", 3));
    assert_false(avro_prefix(&out, mark, INT32_MAX));
    assert_int_equal(out.len, 4);
    assert_true(avro_prefix(&out, mark, 8192)); /* three bytes */
    assert_memory_equal(bytes,
                        "\x80\x80\x01"
                        "abc",
                        6);
}

static void reject_is_a_record_of_its_schema(void **state)
{
    static const char expected[] = "\x04"
                                   "eu"
                                   "\xB8\x09"
                                   "\x00"
                                   "\xD0\xAC\xA0\xF5\xDD\x51"
                                   "\x0E"
                                   "\x0A"
                                   "wrong"
                                   "\x04"
                                   "id"
                                   "\x04"
                                   "{}"
                                   "\x01";
    uint8_t bytes[sizeof expected - 1];
    transcode_reject reject = {
        .row = 7, .reason = "wrong", .path = "id", .raw = gv_span_str("{}"), .raw_cut = true
    };

    (void)state;
    for (size_t cap = 0; cap < sizeof bytes; cap++) {
        gv_buf small = gv_buf_of(bytes, cap);
        assert_false(reject_encode(&thrall, &reject, &small));
        assert_int_equal(small.len, 0);
    }
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    assert_true(reject_encode(&thrall, &reject, &out));
    assert_int_equal(out.len, sizeof bytes);
    assert_memory_equal(bytes, expected, sizeof bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_has_one_text_form),
        cmocka_unit_test(batch_gives_back_what_was_put_in),
        cmocka_unit_test(batch_layout_is_the_documented_one),
        cmocka_unit_test(full_batch_is_left_as_it_was),
        cmocka_unit_test(acknowledgement_counts_once),
        cmocka_unit_test(dropping_what_was_acknowledged_keeps_the_rest_as_if_never_sent),
        cmocka_unit_test(bytes_from_outside_are_checked_before_they_are_walked),
        cmocka_unit_test(digest_is_murmurhash64a),
        cmocka_unit_test(longs_are_zigzag_varints),
        cmocka_unit_test(prefix_makes_room_for_itself),
        cmocka_unit_test(reject_is_a_record_of_its_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
