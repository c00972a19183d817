/* Object container files, read by avro-c. */
#include "agent/codec/avro_out.h"
#include "agent/tools/ocf.h"

#include <avro.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char schema_text[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\","
                                  "\"type\":\"long\"},{\"name\":\"s\",\"type\":\"string\"}]}";
static const uint8_t sync_bytes[OCF_SYNC_BYTES] = "0123456789abcde";

static ocf file; /* too large for a stack */

static void put_record(int64_t n, size_t text_len)
{
    uint8_t *text = malloc(text_len + 1);
    uint8_t *room = malloc(text_len + 32);
    gv_buf body = gv_buf_of(room, text_len + 32);
    gv_error err = { 0, "" };

    memset(text, 'x', text_len);
    assert_true(avro_put_long(&body, n) && avro_put_bytes(&body, gv_span_of(text, text_len)));
    assert_int_equal(ocf_put(&file, gv_span_of(body.data, body.len), &err), GV_OK);
    free(room);
    free(text);
}

static int64_t read_long(const avro_value_t *record)
{
    avro_value_t field;
    int64_t n = 0;

    assert_int_equal(avro_value_get_by_index(record, 0, &field, NULL), 0);
    assert_int_equal(avro_value_get_long(&field, &n), 0);
    return n;
}

static size_t read_text_len(const avro_value_t *record)
{
    avro_value_t field;
    const char *text;
    size_t size = 1;

    assert_int_equal(avro_value_get_by_index(record, 1, &field, NULL), 0);
    assert_int_equal(avro_value_get_string(&field, &text, &size), 0);
    return size - 1;
}

/* Small ones in many blocks; one longer than a block; none at all. */
static void avro_c_reads_every_record_in_order(void **state)
{
    static const size_t counts[] = { 0, 1, 20000 };
    plat_fs fs = plat_fs_system();

    (void)state;
    for (size_t c = 0; c < 3; c++) {
        avro_file_reader_t reader;
        avro_value_iface_t *iface;
        avro_value_t value;
        gv_error err = { 0, "" };

        assert_int_equal(ocf_open(&file, &fs, "some.avro", schema_text, sync_bytes, &err), GV_OK);
        for (size_t i = 0; i < counts[c]; i++)
            put_record(INT64_MAX - (int64_t)i, i == 7 ? 3 * OCF_BLOCK_BYTES : i % 30);
        assert_int_equal(ocf_close(&file, &err), GV_OK);
        assert_int_equal(file.records, counts[c]);

        assert_int_equal(avro_file_reader("some.avro", &reader), 0);
        avro_schema_t writer = avro_file_reader_get_writer_schema(reader);
        iface = avro_generic_class_from_schema(writer);
        assert_int_equal(avro_generic_value_new(iface, &value), 0);
        for (size_t i = 0; i < counts[c]; i++) {
            assert_int_equal(avro_file_reader_read_value(reader, &value), 0);
            assert_int_equal(read_long(&value), INT64_MAX - (int64_t)i);
            assert_int_equal(read_text_len(&value), i == 7 ? 3 * OCF_BLOCK_BYTES : i % 30);
            avro_value_reset(&value);
        }
        assert_int_not_equal(avro_file_reader_read_value(reader, &value), 0);
        avro_value_decref(&value);
        avro_value_iface_decref(iface);
        avro_schema_decref(writer);
        avro_file_reader_close(reader);
    }
    unlink("some.avro");
}

static void a_file_has_its_name_when_it_is_whole_and_not_earlier(void **state)
{
    plat_fs fs = plat_fs_system();

    (void)state;
    unlink("whole.avro");
    assert_int_equal(ocf_open(&file, &fs, "whole.avro", schema_text, sync_bytes, NULL), GV_OK);
    put_record(1, 1);
    assert_int_equal(access("whole.avro.part", F_OK), 0);
    assert_int_not_equal(access("whole.avro", F_OK), 0);
    assert_int_equal(ocf_close(&file, NULL), GV_OK);
    assert_int_equal(access("whole.avro", F_OK), 0);
    assert_int_not_equal(access("whole.avro.part", F_OK), 0);

    assert_int_equal(ocf_open(&file, &fs, "never.avro", schema_text, sync_bytes, NULL), GV_OK);
    ocf_abandon(&file);
    assert_int_not_equal(access("never.avro", F_OK), 0);
    assert_int_not_equal(access("never.avro.part", F_OK), 0);
    unlink("whole.avro");
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    plat_fs fs = plat_fs_system();
    gv_error err = { 0, "" };

    (void)state;
    assert_int_equal(ocf_open(&file, &fs, "no/such/place.avro", schema_text, sync_bytes, &err),
                     GV_IO);
    assert_non_null(strstr(err.text, "no/such/place.avro"));
    ocf_abandon(&file); /* changes nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avro_c_reads_every_record_in_order),
        cmocka_unit_test(a_file_has_its_name_when_it_is_whole_and_not_earlier),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
