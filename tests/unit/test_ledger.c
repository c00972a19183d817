#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pipeline/ledger.h"

#include <cjson/cJSON.h>
#include <string.h>

static ledger_entry entry_of(const char *topic, const char *device)
{
    return (ledger_entry){ { "eu", 604, 2, INT64_C(1404174601000) },
                           LEDGER_COMPLETE,
                           71088,
                           3,
                           0xABC,
                           UINT64_C(0xfedcba9876543210),
                           topic,
                           device };
}

static void expect_text(const cJSON *root, const char *name, const char *text)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    assert_true(cJSON_IsString(item));
    assert_string_equal(item->valuestring, text);
}

static void expect_number(const cJSON *root, const char *name, double number)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    assert_true(cJSON_IsNumber(item));
    assert_true(item->valuedouble == number);
}

static void entry_says_all_that_the_contract_says(void **state)
{
    (void)state;
    char text[LEDGER_BYTES_MAX];
    size_t len;
    gv_error err = { 0, "" };
    ledger_entry e = entry_of("auctions.raw", "attic \"pi\" \\ \n\u00e9");
    assert_int_equal(ledger_write(&e, text, &len, &err), GV_OK);
    assert_int_equal(len, strlen(text));
    assert_null(strchr(text, '\n')); /* one line */
    cJSON *root = cJSON_ParseWithLength(text, len);
    assert_int_equal(cJSON_GetArraySize(root), 13);
    expect_text(root, "snapshot", "eu/604/2/1404174601");
    expect_text(root, "region", "eu");
    expect_number(root, "realm", 604);
    expect_number(root, "house", 2);
    expect_number(root, "snapshot_at", 1404174601000.0);
    expect_text(root, "state", "complete");
    expect_number(root, "records", 71088);
    expect_number(root, "rejects", 3);
    expect_text(root, "digest", "0000000000000abc");
    expect_text(root, "schema", "fedcba9876543210");
    expect_text(root, "topic", "auctions.raw");
    expect_text(root, "device", e.device);
    assert_non_null(strstr(text, "\"agent\":\"gavel "));
    cJSON_Delete(root);
}

static void gap_says_what_was_dropped_and_proves_nothing(void **state)
{
    (void)state;
    char text[LEDGER_BYTES_MAX];
    size_t len;
    gv_error err = { 0, "" };
    ledger_entry e = entry_of("auctions.raw", "attic");
    e.state = LEDGER_GAP;
    e.fingerprint = 0;
    assert_int_equal(ledger_write(&e, text, &len, &err), GV_OK);
    cJSON *root = cJSON_ParseWithLength(text, len);
    assert_int_equal(cJSON_GetArraySize(root), 12);
    expect_text(root, "snapshot", "eu/604/2/1404174601");
    expect_text(root, "region", "eu");
    expect_number(root, "realm", 604);
    expect_number(root, "house", 2);
    expect_number(root, "snapshot_at", 1404174601000.0);
    expect_text(root, "state", "gap");
    expect_text(root, "reason", "quota");
    expect_number(root, "records", 71088);
    expect_number(root, "rejects", 3);
    expect_text(root, "topic", "auctions.raw");
    expect_text(root, "device", "attic");
    assert_non_null(strstr(text, "\"agent\":\"gavel "));
    cJSON_Delete(root);
}

/* The sink reads them with int64_t: no exponent, no fraction. */
static void numbers_are_whole_and_exact(void **state)
{
    (void)state;
    char text[LEDGER_BYTES_MAX];
    size_t len;
    gv_error err = { 0, "" };
    ledger_entry e = entry_of("t", "d");
    e.snapshot.time_ms = INT64_C(253402300799000); /* the year 9999 */
    e.snapshot.realm = UINT32_MAX;
    e.records = UINT64_C(4294967297);
    assert_int_equal(ledger_write(&e, text, &len, &err), GV_OK);
    assert_non_null(strstr(text, "\"snapshot_at\":253402300799000,"));
    assert_non_null(strstr(text, "\"snapshot\":\"eu/4294967295/2/253402300799\","));
    assert_non_null(strstr(text, "\"realm\":4294967295,"));
    assert_non_null(strstr(text, "\"records\":4294967297,"));
}

static void longest_names_fit_and_what_does_not_fit_is_an_error(void **state)
{
    (void)state;
    char text[LEDGER_BYTES_MAX + 16], topic[250], device[65], huge[2000];
    size_t len;
    gv_error err = { 0, "" };
    memset(topic, 't', sizeof topic);
    memset(device, 'd', sizeof device);
    memset(huge, 'h', sizeof huge);
    topic[249] = device[64] = huge[1999] = '\0';
    ledger_entry e = entry_of(topic, device);
    assert_int_equal(ledger_write(&e, text, &len, &err), GV_OK);
    memset(text + LEDGER_BYTES_MAX, '#', 16);
    for (size_t n = 300; n < sizeof huge - 1; n++) {
        huge[n] = '\0';
        e.device = huge;
        gv_status st = ledger_write(&e, text, &len, &err);
        if (st == GV_OK)
            assert_true(len < LEDGER_BYTES_MAX && len == strlen(text));
        else
            assert_non_null(strstr(err.text, "eu/604/2/1404174601"));
        for (int i = 0; i < 16; i++)
            assert_int_equal(text[LEDGER_BYTES_MAX + i], '#');
        huge[n] = 'h';
    }
    assert_int_equal(ledger_write(&e, text, &len, &err), GV_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_says_all_that_the_contract_says),
        cmocka_unit_test(gap_says_what_was_dropped_and_proves_nothing),
        cmocka_unit_test(numbers_are_whole_and_exact),
        cmocka_unit_test(longest_names_fit_and_what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
