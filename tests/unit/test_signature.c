/* Signatures and keys, against the published vector of RFC 6979, A.2.5 (P-256, SHA-256, "sample"). */
#include "agent/ota/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX\n"
                          "Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth\n"
                          "+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ\n"
                          "-----END PRIVATE KEY-----\n";
static const char public_key[] = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7"
                                 "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==";
static const char sample_signature[] =
    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static uint8_t hash[SIGNATURE_HASH_BYTES], signature[SIGNATURE_BYTES];

static signature_signer *sign_sample(void)
{
    const gv_span parts[] = { gv_span_str("sam"), gv_span_str(""), gv_span_str("ple") };
    signature_signer *signer = NULL;
    gv_error err = { 0, "" };

    signature_hash(parts, 3, hash);
    assert_int_equal(signature_signer_open(gv_span_str(pem), &signer, &err), GV_OK);
    assert_int_equal(signature_sign(signer, hash, signature, &err), GV_OK);
    return signer;
}

static void a_signature_is_the_one_of_the_standard(void **state)
{
    char hex[2 * SIGNATURE_BYTES + 1], text[SIGNATURE_PUBLIC_SIZE], id[SIGNATURE_ID_SIZE];
    signature_signer *signer = sign_sample();

    (void)state;
    signature_hex(signature, sizeof signature, hex);
    assert_string_equal(hex, sample_signature);
    signature_public_key(signer, text);
    assert_string_equal(text, public_key);
    assert_int_equal(signature_key_id(public_key, id, NULL), GV_OK);
    assert_string_equal(id, "5a7a78cca4a0f420");
    assert_int_equal(signature_check(public_key, hash, signature, NULL), GV_OK);
    signature_signer_close(signer);
}

static void refused(const char *why)
{
    gv_error err = { 0, "" };

    if (signature_check(public_key, hash, signature, &err) != GV_CORRUPT)
        fail_msg("%s", why);
    assert_string_equal(err.text, "the signature does not hold");
}

static void another_hash_or_signature_does_not_hold(void **state)
{
    signature_signer *signer = sign_sample();
    uint8_t good[SIGNATURE_BYTES];

    (void)state;
    memcpy(good, signature, sizeof good);
    for (size_t i = 0; i < SIGNATURE_BYTES; i++) {
        signature[i] ^= 0x80;
        refused("a flipped bit");
        signature[i] ^= 0x80;
    }
    hash[0] ^= 1;
    refused("another hash");
    hash[0] ^= 1;
    memset(signature, 0, 32);
    refused("r is 0");
    memset(signature, 0xFF, 32);
    refused("r is above the order");
    memcpy(signature, good, 32);
    memset(signature + 32, 0, 32);
    refused("s is 0");
    memset(signature + 32, 0xFF, 32);
    refused("s is above the order");
    memset(signature, 0, sizeof signature);
    refused("both are 0, which some have taken for good");
    signature_signer_close(signer);
}

static void what_is_no_public_key_is_not_taken_for_one(void **state)
{
    char text[SIGNATURE_PUBLIC_SIZE + 8], id[SIGNATURE_ID_SIZE];
    const size_t end = strlen(public_key);

    (void)state;
    for (int i = 0; i < 7; i++) {
        gv_error err = { 0, "" };
        memcpy(text, public_key, end + 1);
        switch (i) {
        case 0:
            text[0] = '\0';
            break;
        case 1:
            text[end - 1] = '\0';
            break;
        case 2:
            strcat(text, "\n");
            break;
        case 3:
            text[10] = '*';
            break;
        case 4:
            text[20] = 'A';
            break; /* another curve or form */
        case 5:
            text[end - 3] = '=';
            break; /* shorter */
        default:
            text[4] = ' ';
            break;
        }
        assert_int_equal(signature_key_id(text, id, &err), GV_INVAL);
        assert_non_null(strstr(err.text, "is no public key"));
        assert_int_equal(signature_check(text, hash, signature, NULL), GV_INVAL);
    }
}

/* Of the right form, but no point of the curve: such a key must not be calculated with. */
static void a_point_beside_the_curve_verifies_nothing(void **state)
{
    char text[SIGNATURE_PUBLIC_SIZE];
    signature_signer *signer = sign_sample();

    (void)state;
    memcpy(text, public_key, sizeof text);
    text[strlen(text) - 3] = 'A'; /* was 'Q': the last bits */
    assert_int_equal(signature_check(text, hash, signature, NULL), GV_CORRUPT);
    signature_signer_close(signer);
}

static void every_new_key_is_another_one(void **state)
{
    char first[SIGNATURE_PEM_MAX], second[SIGNATURE_PEM_MAX], text[SIGNATURE_PUBLIC_SIZE];
    signature_signer *signer = NULL;

    (void)state;
    assert_int_equal(signature_generate(first, NULL), GV_OK);
    assert_int_equal(signature_generate(second, NULL), GV_OK);
    assert_string_not_equal(first, second);
    assert_int_equal(signature_signer_open(gv_span_str(second), &signer, NULL), GV_OK);
    signature_public_key(signer, text);
    assert_int_equal(signature_sign(signer, hash, signature, NULL), GV_OK);
    assert_int_equal(signature_check(text, hash, signature, NULL), GV_OK);
    assert_int_equal(signature_check(public_key, hash, signature, NULL), GV_CORRUPT);
    signature_signer_close(signer);
}

static void a_cut_private_key_is_refused_without_being_shown(void **state)
{
    (void)state;
    for (size_t len = 0; len < strlen(pem) - 2; len += 7) {
        signature_signer *signer = NULL;
        gv_error err = { 0, "" };
        assert_int_equal(signature_signer_open(gv_span_of(pem, len), &signer, &err), GV_INVAL);
        assert_null(signer);
        assert_non_null(strstr(err.text, "no private key"));
        assert_null(strstr(err.text, "MIGH"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_the_one_of_the_standard),
        cmocka_unit_test(another_hash_or_signature_does_not_hold),
        cmocka_unit_test(what_is_no_public_key_is_not_taken_for_one),
        cmocka_unit_test(a_point_beside_the_curve_verifies_nothing),
        cmocka_unit_test(every_new_key_is_another_one),
        cmocka_unit_test(a_cut_private_key_is_refused_without_being_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
