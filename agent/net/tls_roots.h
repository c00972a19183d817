/* tls_roots.h - the trusted certificates of TLS connections, and why a server's was refused.
 *
 * Each CA file is parsed once and shared by all connections (curl alone would parse 140 certificates
 * for each of them), and again when the file has changed.
 *
 * Validity in time is judged by plat_wall_ms(), which never answers less than the floor: a board that
 * starts in 1970 can still talk to a server whose certificate was valid at the floor.
 *
 * Memory:    one parsed chain for each CA file in use: about 0.4 MiB for a system's whole bundle.
 * Threads:   one.
 */
#ifndef GAVEL_NET_TLS_ROOTS_H
#define GAVEL_NET_TLS_ROOTS_H

#include "platform/clock.h"
#include "platform/err.h"

#include <stdbool.h>

typedef struct tls_roots tls_roots;
typedef struct tls_chain tls_chain;

/* What the check of one connection's certificates found; zero it before. */
typedef struct {
    const plat_clock *clock;
    unsigned flags;       /* mbedTLS's MBEDTLS_X509_BADCERT_... of all certificates */
    int64_t not_before_s; /* of the certificate that is not valid now */
    int64_t not_after_s;
} tls_verdict;

tls_roots *tls_roots_open(void);
void tls_roots_close(tls_roots *roots);

/* The chain of that file, NULL for the system's; held until tls_chain_release(). */
gv_status tls_roots_get(tls_roots *roots, const char *ca_file, tls_chain **out, gv_error *err);
void tls_chain_release(tls_chain *chain); /* NULL is nothing */

/* Puts chain and verdict to work in an mbedtls_ssl_config. */
void tls_roots_apply(void *mbedtls_config, tls_chain *chain, tls_verdict *verdict);

/* Words for a verdict with flags: what is wrong and what to do. */
void tls_verdict_explain(const tls_verdict *verdict, char *text, size_t cap);

#endif
