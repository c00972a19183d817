#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <zlib.h>

#include "agent/net/inflate.h"

#define PLAIN_BYTES 300000

static uint8_t plain[PLAIN_BYTES];
static uint8_t packed[2 * PLAIN_BYTES];
static uint8_t unpacked[2 * PLAIN_BYTES];
static gunzip *g;

static int setup(void **state)
{
    (void)state;
    uint32_t x = 12345;
    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        x = x * 1664525 + 1013904223;
        plain[i] = (i / 5000) % 2 ? (uint8_t)(x >> 28) : (uint8_t)(x >> 24);
    }
    g = gunzip_init(malloc(gunzip_mem_bytes()));
    return g ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(g);
    return 0;
}

static size_t pack(const uint8_t *data, size_t len, uint8_t *out, size_t cap, int level)
{
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (z_const Bytef *)data;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t used = cap - z.avail_out;
    deflateEnd(&z);
    return used;
}

/* Feeds in pieces of `step`; the bytes come to `unpacked`. */
static gv_status unpack(size_t len, size_t step, size_t *got, gv_error *err)
{
    *got = 0;
    gunzip_start(g);
    for (size_t at = 0; at < len; at += step) {
        gv_span in = gv_span_of(packed + at, len - at < step ? len - at : step);
        gv_span out;
        do {
            gv_status status = gunzip_run(g, &in, &out, err);
            if (status != GV_OK)
                return status;
            assert_true(out.len <= GUNZIP_OUT_BYTES);
            assert_true(*got + out.len <= sizeof unpacked);
            memcpy(unpacked + *got, out.data, out.len);
            *got += out.len;
        } while (out.len);
        assert_int_equal(in.len, 0);
    }
    return GV_OK;
}

static void bytes_are_the_same_however_they_are_cut(void **state)
{
    static const size_t steps[] = { 1, 2, 7, 1000, 16384, PLAIN_BYTES };
    (void)state;
    for (int level = 0; level <= 9; level += 3) {
        size_t len = pack(plain, PLAIN_BYTES, packed, sizeof packed, level);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            size_t got;
            gv_error err = { 0 };
            assert_int_equal(unpack(len, steps[i], &got, &err), GV_OK);
            assert_int_equal(got, PLAIN_BYTES);
            assert_memory_equal(unpacked, plain, PLAIN_BYTES);
            assert_true(gunzip_complete(g));
        }
    }
}

static void members_in_a_row_are_one_stream(void **state)
{
    (void)state;
    size_t len = pack(plain, 1000, packed, sizeof packed, 6);
    len += pack(plain, 0, packed + len, sizeof packed - len, 6);
    len += pack(plain + 1000, PLAIN_BYTES - 1000, packed + len, sizeof packed - len, 6);
    for (size_t step = 1; step < 100000; step *= 13) {
        size_t got;
        gv_error err = { 0 };
        assert_int_equal(unpack(len, step, &got, &err), GV_OK);
        assert_int_equal(got, PLAIN_BYTES);
        assert_memory_equal(unpacked, plain, PLAIN_BYTES);
        assert_true(gunzip_complete(g));
    }
}

static void a_stream_cut_anywhere_is_not_complete(void **state)
{
    (void)state;
    size_t len = pack(plain, 3000, packed, sizeof packed, 6);
    for (size_t cut = 1; cut < len; cut++) {
        size_t got;
        gv_error err = { 0 };
        assert_int_equal(unpack(cut, 64, &got, &err), GV_OK);
        assert_false(gunzip_complete(g));
        assert_true(got <= 3000);
        assert_memory_equal(unpacked, plain, got);
    }
}

static void nothing_at_all_is_complete(void **state)
{
    size_t got;
    gv_error err = { 0 };
    (void)state;
    assert_int_equal(unpack(0, 1, &got, &err), GV_OK);
    assert_true(gunzip_complete(g));
}

static void a_wrong_checksum_or_rest_is_damage_until_the_next_stream(void **state)
{
    size_t got;
    (void)state;
    size_t len = pack(plain, 3000, packed, sizeof packed, 6);
    for (size_t at = len - 8; at < len; at++) { /* CRC32 and length */
        gv_error err = { 0 };
        packed[at] ^= 0x40;
        assert_int_equal(unpack(len, 100, &got, &err), GV_CORRUPT);
        assert_non_null(strstr(err.text, "gzip"));
        assert_false(gunzip_complete(g));
        gv_span in = gv_span_of(packed, len);
        gv_span out;
        assert_int_equal(gunzip_run(g, &in, &out, NULL), GV_CORRUPT);
        packed[at] ^= 0x40;
    }
    memcpy(packed + len, "rest", 4);
    assert_int_equal(unpack(len + 4, 100, &got, NULL), GV_CORRUPT);
    assert_int_equal(unpack(len, 100, &got, NULL), GV_OK);
    assert_true(gunzip_complete(g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_the_same_however_they_are_cut),
        cmocka_unit_test(members_in_a_row_are_one_stream),
        cmocka_unit_test(a_stream_cut_anywhere_is_not_complete),
        cmocka_unit_test(nothing_at_all_is_complete),
        cmocka_unit_test(a_wrong_checksum_or_rest_is_damage_until_the_next_stream),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
