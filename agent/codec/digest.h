/* digest.h - the 64-bit digest of a record body, whose sum over a snapshot proves it complete.
 *
 * digest(body) = MurmurHash64A(body, seed 0), words read little-endian; a snapshot's digest is the
 * sum of them modulo 2^64, so the order of records does not matter. It guards against loss and
 * damage, not against an attacker.
 * Source: MurmurHash2.cpp, MurmurHash64A (Austin Appleby, public domain).
 */
#ifndef GAVEL_CODEC_DIGEST_H
#define GAVEL_CODEC_DIGEST_H

#include "platform/span.h"

uint64_t codec_digest(gv_span body);

#endif
