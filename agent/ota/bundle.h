/* bundle.h - a signed configuration on its way from its owner to boards.
 *
 * Order:     size and parts, then the key, then the signature; the manifest is read as JSON only when it
 *            holds. Then its form, the configuration's hash, the recipient, the agent, the version.
 *            The first verdict stands. The configuration itself is not looked into: it is a span of
 *            bytes that the owner has signed.
 * Units:     bytes; versions are counted up by the owner and are no times.
 * Ownership: a bundle's `config` and `manifest` are spans of the bytes it was opened from; the rest is
 *            its own. Everything in a recipient or a draft is borrowed for the call.
 * Memory:    none of its own; a few KiB of the heap during a check of a signature, given back.
 * Threads:   none.
 * Errors:    words for a person: what is wrong, with which version or key, and what to do.
 * Source:    agent/ota/BUNDLE.md. */
#ifndef GAVEL_OTA_BUNDLE_H
#define GAVEL_OTA_BUNDLE_H

#include "agent/ota/signature.h"
#include "platform/err.h"
#include "platform/span.h"

#include <stdbool.h>
#include <stdint.h>

#define BUNDLE_CONFIG_BYTES_MAX ((size_t)64 * 1024)
#define BUNDLE_BYTES_MAX        (BUNDLE_CONFIG_BYTES_MAX + (size_t)8 * 1024)
#define BUNDLE_KEYS_MAX         8
#define BUNDLE_TARGETS_MAX      64 /* devices and groups together */
#define BUNDLE_NAME_MAX         64 /* bytes of a device's or group's name */
#define BUNDLE_VERSION_MAX      (((uint64_t)1 << 53) - 1)

/* In the order in which it is checked. */
typedef enum {
    BUNDLE_GOOD,
    BUNDLE_TOO_LARGE,
    BUNDLE_BROKEN,        /* cut short, no bundle, or (once believed) a manifest of no known form */
    BUNDLE_UNKNOWN_KEY,   /* signed by none of the pinned keys */
    BUNDLE_BAD_SIGNATURE, /* names a pinned key, and was not signed with it as it is */
    BUNDLE_BAD_HASH,      /* the configuration is not the one that was signed */
    BUNDLE_NOT_FOR_US,    /* for other devices or groups */
    BUNDLE_NEEDS_AGENT,   /* a newer one than this */
    BUNDLE_OLD,           /* the version is not above what the board has seen */
    BUNDLE_BAD_CONFIG     /* never from here: the option table's verdict, or config_merge()'s */
} bundle_verdict;

#define BUNDLE_VERDICTS (BUNDLE_BAD_CONFIG + 1)

/* "good", "too_large" ...: for counters and logs. */
const char *bundle_verdict_name(bundle_verdict verdict);

typedef struct {
    uint64_t version;               /* 1 to BUNDLE_VERSION_MAX */
    char agent_min[24];             /* "": any */
    char sha256[65];                /* of the configuration, hex */
    char key_id[SIGNATURE_ID_SIZE]; /* of the key that signed it */
    char signed_at[24];             /* the owner's clock, for people only; "2026-11-27T01:00:00Z" */
    char note[200];                 /* the owner's words, may be "" */
    gv_span config;
    gv_span manifest;
} bundle;

typedef struct {
    const char *const
        *keys;        /* as in ota.keys, see signature.h; one that is no key is passed over */
    size_t key_count; /* BUNDLE_KEYS_MAX are looked at */
    const char *device;
    const char *const *groups;
    size_t group_count;
    const char *agent_version; /* "0.1.0" */
    uint64_t seen_version;     /* highest version ever taken in hand; 0: none */
} bundle_recipient;

/* `out` holds what could be believed: nothing of it (all zero) before the signature has held. */
bundle_verdict bundle_open(gv_span bytes, const bundle_recipient *recipient, bundle *out,
                           gv_error *err);

/* For the owner's desk: the form and the hash alone. Nobody's signature is checked, so nothing here
 * may be acted upon. BUNDLE_GOOD, TOO_LARGE, BROKEN or BAD_HASH. */
bundle_verdict bundle_inspect(gv_span bytes, bundle *out, gv_error *err);

typedef enum { BUNDLE_FOR_ALL, BUNDLE_FOR_DEVICE, BUNDLE_FOR_GROUP } bundle_target;

/* Calls each() for every target of an opened or inspected bundle, `name` "" for all, until it answers
 * false; the number of calls. */
size_t bundle_targets(const bundle *b,
                      bool (*each)(void *ctx, bundle_target target, const char *name), void *ctx);

/* Where a target's bundle is: "all.gavel", "devices/NAME.gavel" or "groups/NAME.gavel" below the
 * published folder; and the key of its record in Kafka: "all", "device/NAME", "group/NAME". */
#define BUNDLE_PATH_MAX (BUNDLE_NAME_MAX + 16)
void bundle_path(bundle_target target, const char *name, char path[BUNDLE_PATH_MAX]);
void bundle_record_key(bundle_target target, const char *name, char key[BUNDLE_PATH_MAX]);

/* Whether a device or group may be called so: 1 to BUNDLE_NAME_MAX letters, digits, '.', '_' and '-',
 * the first one no dot (it becomes the name of a file). */
bool bundle_name_ok(const char *name);

/* Negative, 0 or positive, as a is older than, the same as or newer than b; "0.10.0" is newer than
 * "0.9". What follows the numbers does not count. */
int bundle_compare_agents(const char *a, const char *b);

typedef struct {
    uint64_t version;
    const char *agent_min; /* "": any */
    const char *signed_at; /* as bundle.signed_at */
    const char *note;
    bool is_for_all; /* else for these, at least one */
    const char *const *devices;
    size_t device_count;
    const char *const *groups;
    size_t group_count;
    gv_span config;
} bundle_draft;

/* Appends the signed bundle to `out` (BUNDLE_BYTES_MAX are always enough). GV_INVAL: the draft breaks
 * a rule above, with words; GV_FULL: no room; else as signature_sign(). */
gv_status bundle_seal(const bundle_draft *draft, const signature_signer *signer, gv_buf *out,
                      gv_error *err);

#endif
