#include "agent/ota/signature.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POINT_BYTES 65 /* 4, x, y */
#define HEAD_BYTES  26
#define SPKI_BYTES  (HEAD_BYTES + POINT_BYTES)
#define HALF_BYTES  (SIGNATURE_BYTES / 2)

/* A SubjectPublicKeyInfo of P-256 up to its point, which is the same in all of them. */
static const uint8_t spki_head[HEAD_BYTES] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                               0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                               0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

struct signature_signer {
    mbedtls_pk_context pk;
};

static gv_status no_memory(gv_error *err)
{
    return gv_fail(err, GV_FULL, "no memory to work with a key");
}

/* mbedTLS's own gathers and mixes; the kernel has done that already. */
static int random_bytes(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    while (len > 0) {
        ssize_t got = getrandom(out, len, 0);
        if (got < 0 && errno != EINTR)
            return MBEDTLS_ERR_ECP_RANDOM_FAILED;
        out += got > 0 ? got : 0;
        len -= got > 0 ? (size_t)got : 0;
    }
    return 0;
}

void signature_hash(const gv_span *parts, size_t count, uint8_t hash[SIGNATURE_HASH_BYTES])
{
    mbedtls_sha256_context sha;

    /* None of these can fail: they do in ports to hardware only. */
    mbedtls_sha256_init(&sha);
    (void)mbedtls_sha256_starts(&sha, 0);
    for (size_t i = 0; i < count; i++)
        (void)mbedtls_sha256_update(&sha, parts[i].data, parts[i].len);
    (void)mbedtls_sha256_finish(&sha, hash);
    mbedtls_sha256_free(&sha);
}

void signature_hex(const uint8_t *bytes, size_t len, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

/* --- public keys ------------------------------------------------------------------------------ */
static gv_status read_public_key(const char *text, uint8_t spki[SPKI_BYTES], gv_error *err)
{
    size_t len = 0;

    if (strlen(text) != SIGNATURE_PUBLIC_SIZE - 1 ||
        mbedtls_base64_decode(spki, SPKI_BYTES, &len, (const unsigned char *)text,
                              SIGNATURE_PUBLIC_SIZE - 1) != 0 ||
        len != SPKI_BYTES || memcmp(spki, spki_head, HEAD_BYTES) != 0)
        return gv_fail(err, GV_INVAL,
                       "\"%.16s...\" is no public key: copy the whole line that `gavel config "
                       "keygen` printed, %d characters",
                       text, SIGNATURE_PUBLIC_SIZE - 1);
    return GV_OK;
}

static void id_of(const uint8_t spki[SPKI_BYTES], char id[SIGNATURE_ID_SIZE])
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    const gv_span whole = gv_span_of(spki, SPKI_BYTES);

    signature_hash(&whole, 1, hash);
    signature_hex(hash, (SIGNATURE_ID_SIZE - 1) / 2, id);
}

gv_status signature_key_id(const char *public_key, char id[SIGNATURE_ID_SIZE], gv_error *err)
{
    uint8_t spki[SPKI_BYTES];
    gv_status status = read_public_key(public_key, spki, err);

    if (status == GV_OK)
        id_of(spki, id);
    return status;
}

/* Everything that is not a signature of the hash, and lack of memory, told apart. */
static int check(const uint8_t *point, const uint8_t *hash, const uint8_t *signature)
{
    mbedtls_ecp_group group;
    mbedtls_ecp_point q;
    mbedtls_mpi r, s;

    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&q);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
    if (!failed)
        failed = mbedtls_ecp_point_read_binary(&group, &q, point, POINT_BYTES);
    if (!failed)
        failed = mbedtls_ecp_check_pubkey(&group, &q);
    if (!failed)
        failed = mbedtls_mpi_read_binary(&r, signature, HALF_BYTES);
    if (!failed)
        failed = mbedtls_mpi_read_binary(&s, signature + HALF_BYTES, HALF_BYTES);
    if (!failed)
        failed = mbedtls_ecdsa_verify(&group, hash, SIGNATURE_HASH_BYTES, &q, &r, &s);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&q);
    mbedtls_ecp_group_free(&group);
    return failed;
}

gv_status signature_check(const char *public_key, const uint8_t hash[SIGNATURE_HASH_BYTES],
                          const uint8_t signature[SIGNATURE_BYTES], gv_error *err)
{
    uint8_t spki[SPKI_BYTES];
    gv_status status = read_public_key(public_key, spki, err);

    if (status != GV_OK)
        return status;
    int failed = check(spki + HEAD_BYTES, hash, signature);
    if (failed == MBEDTLS_ERR_MPI_ALLOC_FAILED || failed == MBEDTLS_ERR_ECP_ALLOC_FAILED)
        return no_memory(err);
    return failed ? gv_fail(err, GV_CORRUPT, "the signature does not hold") : GV_OK;
}

/* --- private keys ----------------------------------------------------------------------------- */
gv_status signature_generate(char pem[SIGNATURE_PEM_MAX], gv_error *err)
{
    mbedtls_pk_context pk;

    mbedtls_pk_init(&pk);
    int failed = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (!failed)
        failed =
            mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), random_bytes, NULL);
    if (!failed)
        failed = mbedtls_pk_write_key_pem(&pk, (unsigned char *)pem, SIGNATURE_PEM_MAX);
    mbedtls_pk_free(&pk);
    if (failed == MBEDTLS_ERR_ECP_RANDOM_FAILED)
        return gv_fail(err, GV_IO, "the system gives no random numbers for a key");
    return failed ? no_memory(err) : GV_OK;
}

static gv_status no_private_key(int failed, gv_error *err)
{
    if (failed == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || failed == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return gv_fail(err, GV_INVAL,
                       "the key has a password: take it off first (openssl ec -in FILE -out "
                       "OTHER) and keep the file where only you can read it");
    if (failed == MBEDTLS_ERR_PK_ALLOC_FAILED)
        return no_memory(err);
    return gv_fail(err, GV_INVAL,
                   "this is no private key for P-256 in PEM form: `gavel config keygen` makes one");
}

gv_status signature_signer_open(gv_span pem, signature_signer **out, gv_error *err)
{
    unsigned char text[SIGNATURE_PEM_MAX];
    signature_signer *signer;
    int failed;

    if (pem.len >= sizeof text)
        return no_private_key(MBEDTLS_ERR_PK_KEY_INVALID_FORMAT, err);
    signer = calloc(1, sizeof *signer);
    if (!signer)
        return no_memory(err);
    memcpy(text, pem.data, pem.len);
    text[pem.len] = '\0';
    mbedtls_pk_init(&signer->pk);
    failed = mbedtls_pk_parse_key(&signer->pk, text, pem.len + 1, NULL, 0, random_bytes, NULL);
    explicit_bzero(text, sizeof text);
    if (!failed &&
        (!mbedtls_pk_can_do(&signer->pk, MBEDTLS_PK_ECDSA) ||
         mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(signer->pk)) != MBEDTLS_ECP_DP_SECP256R1))
        failed = MBEDTLS_ERR_PK_INVALID_ALG;
    if (failed) {
        signature_signer_close(signer);
        return no_private_key(failed, err);
    }
    *out = signer;
    return GV_OK;
}

void signature_signer_close(signature_signer *signer)
{
    if (!signer)
        return;
    mbedtls_pk_free(&signer->pk); /* wipes the key */
    free(signer);
}

void signature_public_key(const signature_signer *signer, char text[SIGNATURE_PUBLIC_SIZE])
{
    uint8_t spki[SPKI_BYTES];
    size_t len = 0;

    /* What was parsed as a key of P-256 has such a point, and this is its size. */
    memcpy(spki, spki_head, HEAD_BYTES);
    (void)mbedtls_ecp_write_public_key(mbedtls_pk_ec(signer->pk), MBEDTLS_ECP_PF_UNCOMPRESSED, &len,
                                       spki + HEAD_BYTES, POINT_BYTES);
    (void)mbedtls_base64_encode((unsigned char *)text, SIGNATURE_PUBLIC_SIZE, &len, spki,
                                SPKI_BYTES);
}

gv_status signature_sign(const signature_signer *signer, const uint8_t hash[SIGNATURE_HASH_BYTES],
                         uint8_t signature[SIGNATURE_BYTES], gv_error *err)
{
    mbedtls_ecp_group group;
    mbedtls_mpi d, r, s;

    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&d);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int failed = mbedtls_ecp_export(mbedtls_pk_ec(signer->pk), &group, &d, NULL);
    if (!failed)
        failed = mbedtls_ecdsa_sign_det_ext(&group, &r, &s, &d, hash, SIGNATURE_HASH_BYTES,
                                            MBEDTLS_MD_SHA256, random_bytes, NULL);
    if (!failed)
        failed = mbedtls_mpi_write_binary(&r, signature, HALF_BYTES);
    if (!failed)
        failed = mbedtls_mpi_write_binary(&s, signature + HALF_BYTES, HALF_BYTES);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&d);
    mbedtls_ecp_group_free(&group);
    if (failed == MBEDTLS_ERR_ECP_RANDOM_FAILED)
        return gv_fail(err, GV_IO, "the system gives no random numbers to sign with");
    return failed ? no_memory(err) : GV_OK;
}
