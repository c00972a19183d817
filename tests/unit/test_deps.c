/* Every library that toolchains/build-deps builds is linked here, and it is the pinned one: a
 * version of the machine's own that slipped in between would show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <avro.h>
#include <cjson/cJSON.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <lz4.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <microhttpd.h>
#include <zlib.h>

#include "gavel_version.h"

#ifdef GAVEL_DEP_OPENSSL /* in builds with TLS and SCRAM for Kafka */
#include <openssl/crypto.h>
#endif

static void every_library_is_the_pinned_version(void **state)
{
    char mbedtls[16];

    (void)state;
    mbedtls_version_get_string(mbedtls);
    assert_string_equal(zlibVersion(), GAVEL_DEP_ZLIB);
    assert_string_equal(LZ4_versionString(), GAVEL_DEP_LZ4);
    assert_string_equal(cJSON_Version(), GAVEL_DEP_CJSON);
    assert_string_equal(mbedtls, GAVEL_DEP_MBEDTLS);
    assert_string_equal(jansson_version_str(), GAVEL_DEP_JANSSON);
    assert_string_equal(MHD_get_version(), GAVEL_DEP_LIBMICROHTTPD);
    assert_string_equal(curl_version_info(CURLVERSION_NOW)->version, GAVEL_DEP_CURL);
    assert_string_equal(rd_kafka_version_str(), GAVEL_DEP_LIBRDKAFKA);
#ifdef GAVEL_DEP_OPENSSL
    assert_string_equal(OpenSSL_version(OPENSSL_VERSION_STRING), GAVEL_DEP_OPENSSL);
#endif
}

static void curl_speaks_https_through_mbedtls(void **state)
{
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    int https = 0;

    (void)state;
    assert_string_equal(info->ssl_version, "mbedTLS/" GAVEL_DEP_MBEDTLS);
    assert_true(info->features & CURL_VERSION_LIBZ);
    assert_true(info->features & CURL_VERSION_ASYNCHDNS);
    for (const char *const *name = info->protocols; *name; name++) {
        https += strcmp(*name, "https") == 0;
    }
    assert_int_equal(https, 1);
}

/* The page is served on the program's own loop; the rest would only be more to carry. */
static void http_server_has_epoll_and_no_more_than_that(void **state)
{
    (void)state;
    assert_int_equal(MHD_is_feature_supported(MHD_FEATURE_EPOLL), MHD_YES);
    assert_int_equal(MHD_is_feature_supported(MHD_FEATURE_BASIC_AUTH), MHD_NO);
    assert_int_equal(MHD_is_feature_supported(MHD_FEATURE_TLS), MHD_NO);
}

static void kafka_client_has_what_it_was_built_for(void **state)
{
    static const char *const wanted[] = {
        "sasl_plain", "lz4",        "gzip",
#ifdef GAVEL_DEP_OPENSSL
        "ssl",        "sasl_scram",
#endif
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char features[512] = ",";
    size_t size = sizeof features - 2;

    (void)state;
    assert_int_equal(rd_kafka_conf_get(conf, "builtin.features", features + 1, &size),
                     RD_KAFKA_CONF_OK);
    rd_kafka_conf_destroy(conf);
    strcat(features, ",");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char item[32];
        snprintf(item, sizeof item, ",%s,", wanted[i]);
        if (!strstr(features, item)) {
            fail_msg("librdkafka lacks %s: it has %s", wanted[i], features);
        }
    }
}

#ifdef GAVEL_DEP_OPENSSL
/* Setting up TLS initialises OpenSSL, which must not stumble over the machine's configuration. */
static void kafka_client_starts_with_tls_and_a_mock_cluster(void **state)
{
    char error[256] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    (void)state;
    assert_int_equal(rd_kafka_conf_set(conf, "security.protocol", "sasl_ssl", error, sizeof error),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(
        rd_kafka_conf_set(conf, "sasl.mechanism", "SCRAM-SHA-512", error, sizeof error),
        RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "sasl.username", "u", error, sizeof error),
                     RD_KAFKA_CONF_OK);
    assert_int_equal(rd_kafka_conf_set(conf, "sasl.password", "p", error, sizeof error),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!kafka) {
        fail_msg("rd_kafka_new: %s", error);
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(kafka, 1);
    assert_non_null(cluster);
    assert_non_null(strstr(rd_kafka_mock_cluster_bootstraps(cluster), "127.0.0.1:"));
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(kafka);
}
#endif

static void avro_reads_a_schema(void **state)
{
    static const char text[] = "{\"type\":\"record\",\"name\":\"r\",\"fields\":"
                               "[{\"name\":\"f\",\"type\":\"long\"}]}";
    avro_schema_t schema;

    (void)state;
    assert_int_equal(avro_schema_from_json_length(text, sizeof text - 1, &schema), 0);
    assert_string_equal(avro_schema_name(schema), "r");
    avro_schema_decref(schema);
}

static int fixed_random(void *state, unsigned char *out, size_t bytes)
{
    uint32_t *x = state;
    for (size_t i = 0; i < bytes; i++) {
        *x = *x * 1664525 + 1013904223;
        out[i] = (unsigned char)(*x >> 24);
    }
    return 0;
}

/* What signing a bundle takes: a P-256 key, written as PEM and read again, signs; the public half
 * verifies. */
static void mbedtls_signs_and_verifies_with_pem_keys(void **state)
{
    unsigned char pem[512], public_pem[512], signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    unsigned char hash[32] = { 1, 2, 3 };
    size_t signature_bytes;
    uint32_t seed = 1;
    mbedtls_pk_context made, signer, verifier;

    (void)state;
    mbedtls_pk_init(&made);
    mbedtls_pk_init(&signer);
    mbedtls_pk_init(&verifier);
    assert_int_equal(mbedtls_pk_setup(&made, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
    assert_int_equal(
        mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(made), fixed_random, &seed), 0);
    assert_int_equal(mbedtls_pk_write_key_pem(&made, pem, sizeof pem), 0);
    assert_int_equal(mbedtls_pk_write_pubkey_pem(&made, public_pem, sizeof public_pem), 0);

    assert_int_equal(
        mbedtls_pk_parse_key(&signer, pem, strlen((char *)pem) + 1, NULL, 0, fixed_random, &seed),
        0);
    assert_int_equal(mbedtls_pk_sign(&signer, MBEDTLS_MD_SHA256, hash, sizeof hash, signature,
                                     sizeof signature, &signature_bytes, fixed_random, &seed),
                     0);
    assert_int_equal(
        mbedtls_pk_parse_public_key(&verifier, public_pem, strlen((char *)public_pem) + 1), 0);
    assert_int_equal(mbedtls_pk_verify(&verifier, MBEDTLS_MD_SHA256, hash, sizeof hash, signature,
                                       signature_bytes),
                     0);
    hash[0] ^= 1;
    assert_int_not_equal(mbedtls_pk_verify(&verifier, MBEDTLS_MD_SHA256, hash, sizeof hash,
                                           signature, signature_bytes),
                         0);
    mbedtls_pk_free(&made);
    mbedtls_pk_free(&signer);
    mbedtls_pk_free(&verifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_library_is_the_pinned_version),
        cmocka_unit_test(curl_speaks_https_through_mbedtls),
        cmocka_unit_test(http_server_has_epoll_and_no_more_than_that),
        cmocka_unit_test(kafka_client_has_what_it_was_built_for),
#ifdef GAVEL_DEP_OPENSSL
        cmocka_unit_test(kafka_client_starts_with_tls_and_a_mock_cluster),
#endif
        cmocka_unit_test(avro_reads_a_schema),
        cmocka_unit_test(mbedtls_signs_and_verifies_with_pem_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
