/* bundle_seal.c - the owner's side: a manifest, its signature, and all of it in one piece. */
#include "agent/ota/bundle_internal.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

static bool names_ok(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!bundle_name_ok(names[i]))
            return false;
    return true;
}

static gv_status check_draft(const bundle_draft *d, gv_error *err)
{
    size_t targets = d->device_count + d->group_count;

    if (d->version < 1 || d->version > BUNDLE_VERSION_MAX)
        return gv_fail(err, GV_INVAL, "a version is a whole number from 1 to %" PRIu64,
                       BUNDLE_VERSION_MAX);
    if (d->config.len > BUNDLE_CONFIG_BYTES_MAX)
        return gv_fail(err, GV_INVAL,
                       "the configuration has %zu bytes: an update can have %zu at most",
                       d->config.len, BUNDLE_CONFIG_BYTES_MAX);
    if (d->is_for_all == (targets > 0))
        return gv_fail(err, GV_INVAL,
                       "say for whom it is: either for all, or for some devices or groups");
    if (targets > BUNDLE_TARGETS_MAX)
        return gv_fail(err, GV_INVAL,
                       "%zu devices and groups: at most %d can be named, make a group of them",
                       targets, BUNDLE_TARGETS_MAX);
    if (!names_ok(d->devices, d->device_count) || !names_ok(d->groups, d->group_count))
        return gv_fail(err, GV_INVAL,
                       "a device or group is named by 1 to %d letters, digits, '.', '_' and '-', "
                       "without a dot in front",
                       BUNDLE_NAME_MAX);
    if (d->agent_min[0] && !bundle_agent_ok(d->agent_min))
        return gv_fail(err, GV_INVAL, "the agent's version is written as 0.2.0");
    return GV_OK;
}

static bool add_names(cJSON *targets, const char *name, const char *const *names, size_t count)
{
    cJSON *list = count ? cJSON_CreateStringArray(names, (int)count) : NULL;
    return count == 0 || cJSON_AddItemToObject(targets, name, list);
}

static bool add_targets(cJSON *root, const bundle_draft *d)
{
    if (d->is_for_all)
        return cJSON_AddTrueToObject(root, "all") != NULL;
    cJSON *targets = cJSON_AddObjectToObject(root, "targets");
    return targets && add_names(targets, "devices", d->devices, d->device_count) &&
           add_names(targets, "groups", d->groups, d->group_count);
}

/* Its length; 0 when there is no memory or no room. */
static size_t write_manifest(const bundle_draft *d, char text[BUNDLE_MANIFEST_BYTES])
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    char version[24], sha256[2 * SIGNATURE_HASH_BYTES + 1];

    signature_hash(&d->config, 1, hash);
    signature_hex(hash, sizeof hash, sha256);
    snprintf(version, sizeof version, "%" PRIu64, d->version);
    cJSON *root = cJSON_CreateObject();
    bool ok = cJSON_AddRawToObject(root, "version", version) &&
              cJSON_AddNumberToObject(root, "config_bytes", (double)d->config.len) &&
              cJSON_AddStringToObject(root, "config_sha256", sha256) &&
              cJSON_AddStringToObject(root, "signed_at", d->signed_at) &&
              (!d->agent_min[0] || cJSON_AddStringToObject(root, "agent_min", d->agent_min)) &&
              (!d->note[0] || cJSON_AddStringToObject(root, "note", d->note)) &&
              add_targets(root, d) &&
              cJSON_PrintPreallocated(root, text, (int)BUNDLE_MANIFEST_BYTES - 8, 0);
    cJSON_Delete(root);
    return ok ? strlen(strcat(text, "\n")) : 0; /* so that a pager shows it on a line of its own */
}

static bool put_text(gv_buf *out, const char *text)
{
    return gv_buf_put(out, text, strlen(text));
}

static bool put_all(gv_buf *out, const char *key_id, const uint8_t *signature, gv_span manifest,
                    gv_span config)
{
    char hex[2 * SIGNATURE_BYTES + 1], sizes[48];

    signature_hex(signature, SIGNATURE_BYTES, hex);
    snprintf(sizes, sizeof sizes, "\nmanifest %0*zu\nconfig %0*zu\n", BUNDLE_DIGITS, manifest.len,
             BUNDLE_DIGITS, config.len);
    return put_text(out, BUNDLE_MAGIC "key ") && put_text(out, key_id) &&
           put_text(out, "\nsignature ") && put_text(out, hex) && put_text(out, sizes) &&
           gv_buf_put(out, manifest.data, manifest.len) && gv_buf_put(out, config.data, config.len);
}

gv_status bundle_seal(const bundle_draft *draft, const signature_signer *signer, gv_buf *out,
                      gv_error *err)
{
    char text[BUNDLE_MANIFEST_BYTES], public_key[SIGNATURE_PUBLIC_SIZE], id[SIGNATURE_ID_SIZE];
    uint8_t hash[SIGNATURE_HASH_BYTES], signature[SIGNATURE_BYTES];
    size_t before = out->len, unused;
    bundle check = { 0 };
    gv_status status = check_draft(draft, err);

    if (status != GV_OK)
        return status;
    gv_span manifest = gv_span_of(text, write_manifest(draft, text));
    if (manifest.len == 0)
        return gv_fail(err, GV_FULL, "no room for the manifest");
    /* Signed is only what a board reads: this finds what is wrong with the note and the time. */
    if (bundle_read_manifest(manifest, &check, &unused, NULL, NULL, err) != GV_OK)
        return GV_INVAL;
    signature_public_key(signer, public_key);
    status = signature_key_id(public_key, id, err);
    bundle_hash(manifest, hash);
    if (status == GV_OK)
        status = signature_sign(signer, hash, signature, err);
    if (status == GV_OK && !put_all(out, id, signature, manifest, draft->config)) {
        out->len = before;
        status = gv_fail(err, GV_FULL, "no room for the bundle");
    }
    return status;
}
