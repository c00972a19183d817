/* signature.h - ECDSA signatures over P-256 and SHA-256, and the keys for them.
 *
 * Public key:  as text, base64 of its SubjectPublicKeyInfo in DER with an uncompressed point: always
 *              124 characters. Its id is the first 8 bytes of SHA-256 over that DER, in hex.
 * Private key: PEM (PKCS#8, or "EC PRIVATE KEY" as openssl writes it), without a password.
 * Signature:   r and s, 32 bytes each, big-endian. Made with the nonce of RFC 6979: the same key and
 *              hash give the same signature, and no bad source of randomness can betray the key.
 * Memory:      a few KiB of the heap during a call; a signer holds its key and wipes it when closed.
 * Threads:     none.
 * Errors:      GV_INVAL: no such key; GV_CORRUPT: the signature does not hold; GV_FULL: no memory;
 *              GV_IO: the system gives no random numbers. No message holds a private key.
 * Source:      FIPS 186-4; RFC 5480; RFC 6979. */
#ifndef GAVEL_OTA_SIGNATURE_H
#define GAVEL_OTA_SIGNATURE_H

#include "platform/err.h"
#include "platform/span.h"

#include <stdint.h>

#define SIGNATURE_BYTES       64
#define SIGNATURE_HASH_BYTES  32
#define SIGNATURE_PUBLIC_SIZE 125 /* text with its NUL */
#define SIGNATURE_ID_SIZE     17
#define SIGNATURE_PEM_MAX     1024 /* of a private key */

/* SHA-256 over the parts, one after the other. */
void signature_hash(const gv_span *parts, size_t count, uint8_t hash[SIGNATURE_HASH_BYTES]);

/* Lower-case hex of len bytes, and a NUL: 2 * len + 1 bytes. */
void signature_hex(const uint8_t *bytes, size_t len, char *text);

/* GV_INVAL: the text is no public key. */
gv_status signature_key_id(const char *public_key, char id[SIGNATURE_ID_SIZE], gv_error *err);

gv_status signature_check(const char *public_key, const uint8_t hash[SIGNATURE_HASH_BYTES],
                          const uint8_t signature[SIGNATURE_BYTES], gv_error *err);

/* --- the owner's private key ------------------------------------------------------------------ */
/* A new key, as PEM with a NUL. */
gv_status signature_generate(char pem[SIGNATURE_PEM_MAX], gv_error *err);

typedef struct signature_signer signature_signer;

gv_status signature_signer_open(gv_span pem, signature_signer **out, gv_error *err);
void signature_signer_close(signature_signer *signer); /* NULL is fine */

void signature_public_key(const signature_signer *signer, char text[SIGNATURE_PUBLIC_SIZE]);

gv_status signature_sign(const signature_signer *signer, const uint8_t hash[SIGNATURE_HASH_BYTES],
                         uint8_t signature[SIGNATURE_BYTES], gv_error *err);

#endif
