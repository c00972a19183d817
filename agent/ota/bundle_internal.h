/* bundle_internal.h - what the files of the bundle share; nobody else includes it. */
#ifndef GAVEL_OTA_BUNDLE_INTERNAL_H
#define GAVEL_OTA_BUNDLE_INTERNAL_H

#include "agent/ota/bundle.h"

/* The head of a bundle, the same number of bytes in each:
 *   gavel-config 1\n
 *   key KKKKKKKKKKKKKKKK\n
 *   signature SSSS...\n        128 characters
 *   manifest 00213\n
 *   config 01234\n                                                                               */
#define BUNDLE_MAGIC          "gavel-config 1\n"
#define BUNDLE_DIGITS         5
#define BUNDLE_HEAD_BYTES     203
#define BUNDLE_MANIFEST_BYTES ((size_t)7 * 1024) /* most of a manifest */

typedef bool bundle_each_target(void *ctx, bundle_target target, const char *name);

/* Fills `out` (not key_id, config, manifest) from a manifest, and calls each() for its targets, until it
 * answers false. GV_CORRUPT: not of the known form, with words; `out` and what each() was told are
 * then nothing. */
gv_status bundle_read_manifest(gv_span json, bundle *out, size_t *config_bytes,
                               bundle_each_target *each, void *ctx, gv_error *err);

/* "1.2.3": one to four numbers of up to six digits with dots between them. */
bool bundle_agent_ok(const char *version);
/* "2026-11-27T01:00:00Z" */
bool bundle_time_ok(const char *text);

/* What is signed: the magic line and the manifest. */
void bundle_hash(gv_span manifest, uint8_t hash[SIGNATURE_HASH_BYTES]);

#endif
