/* digest.h - the 64-bit digest of a record body, whose sum over a snapshot proves it complete.
 *
 * digest(body) = mix(FNV-1a-64(body)); a snapshot's digest is the sum of them modulo 2^64, so the
 * order of records does not matter. It guards against loss and damage, not against an attacker.
 * Source: FNV-1a 64-bit offset basis and prime (Fowler/Noll/Vo); mix is the 64-bit finaliser of
 * MurmurHash3 (public domain).
 */
#ifndef GAVEL_CODEC_DIGEST_H
#define GAVEL_CODEC_DIGEST_H

#include "platform/span.h"

uint64_t codec_digest(gv_span body);

#endif
