/* fuzz_bundle.c - any bytes as a bundle, once as they are and once rightly signed, and its configuration as
 * an update for a board.
 *
 * The first byte chooses: even, the rest is a whole bundle; odd, the rest is a manifest, then a zero byte,
 * then a configuration, which are sealed with the key that the board has pinned.
 *
 * Invariants:
 *   a verdict other than good comes with words, good without;
 *   bytes that nobody has signed are never good, and nothing of them is told but what the verdict says;
 *   after good: version and names are within their bounds, configuration and manifest lie within the bytes,
 *   the hash is that of the configuration, there is a target, one of them is the board's;
 *   what inspecting finds whole is what opening reads;
 *   a merged configuration is JSON with no references to secrets but those of the board's own file; what
 *   the owner's desk refuses, a board refuses with the same words.
 */
#include "agent/config/internal.h"
#include "agent/ota/bundle_internal.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN "{\"api\":{\"client_id\":\"env:MARK\"},\"kafka\":{\"properties\":{\"x\":\"env:MARK\"}}}"

static signature_signer *signer;
static char public_key[SIGNATURE_PUBLIC_SIZE];
static uint8_t sealed[BUNDLE_BYTES_MAX + 1];
static char merged[CONFIG_FILE_MAX_BYTES * 2];

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* A key of its own for this run: signing has no chance in it, so a finding repeats all the same. */
static void make_key(void)
{
    char pem[SIGNATURE_PEM_MAX];

    if (signer)
        return;
    require(signature_generate(pem, NULL) == GV_OK, "a key can be made");
    require(signature_signer_open(gv_span_str(pem), &signer, NULL) == GV_OK, "it can be read");
    signature_public_key(signer, public_key);
}

static gv_span seal(gv_span manifest, gv_span config)
{
    uint8_t hash[SIGNATURE_HASH_BYTES], signature[SIGNATURE_BYTES];
    char id[SIGNATURE_ID_SIZE], hex[2 * SIGNATURE_BYTES + 1];

    signature_key_id(public_key, id, NULL);
    bundle_hash(manifest, hash);
    require(signature_sign(signer, hash, signature, NULL) == GV_OK, "it can be signed");
    signature_hex(signature, sizeof signature, hex);
    int head = snprintf((char *)sealed, sizeof sealed,
                        BUNDLE_MAGIC "key %s\nsignature %s\nmanifest %05zu\nconfig %05zu\n", id,
                        hex, manifest.len, config.len);
    require(head == BUNDLE_HEAD_BYTES, "the head is always of one size");
    gv_buf out = { sealed, (size_t)head, sizeof sealed };
    gv_buf_put(&out, manifest.data, manifest.len);
    gv_buf_put(&out, config.data, config.len);
    return gv_span_of(out.data, out.len);
}

static bool is_within(gv_span part, gv_span whole)
{
    return part.data >= whole.data && part.data + part.len <= whole.data + whole.len;
}

static bool count_target(void *ctx, bundle_target target, const char *name)
{
    bool *is_ours = ctx;

    require(target == BUNDLE_FOR_ALL ? !name[0] : bundle_name_ok(name), "a target has a name");
    *is_ours |= target == BUNDLE_FOR_ALL || strcmp(name, "a") == 0;
    return true;
}

static void check_good(const bundle *b, gv_span bytes)
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    char hex[2 * SIGNATURE_HASH_BYTES + 1];
    bool is_ours = false;

    require(b->version > 1 && b->version <= BUNDLE_VERSION_MAX, "the version is a new one");
    require(is_within(b->config, bytes) && is_within(b->manifest, bytes), "parts are of the bytes");
    signature_hash(&b->config, 1, hash);
    signature_hex(hash, sizeof hash, hex);
    require(strcmp(hex, b->sha256) == 0, "the hash is the configuration's");
    require(bundle_time_ok(b->signed_at), "the time has its form");
    require(bundle_targets(b, count_target, &is_ours) > 0 && is_ours, "one target is ours");
}

static bundle_verdict open_bytes(gv_span bytes, bundle *b)
{
    static const char *const keys[] = { public_key };
    static const char *const groups[] = { "a" };
    const bundle_recipient who = { .keys = keys,
                                   .key_count = 1,
                                   .device = "a",
                                   .groups = groups,
                                   .group_count = 1,
                                   .agent_version = "0.1.0",
                                   .seen_version = 1 };
    gv_error err = { 0, "" }, why = { 0, "" };
    bundle_verdict verdict = bundle_open(bytes, &who, b, &err);
    bundle seen;

    require((verdict == BUNDLE_GOOD) == (err.text[0] == '\0'), "a refusal has words");
    bundle_verdict inspected = bundle_inspect(bytes, &seen, &why);
    require((inspected == BUNDLE_GOOD) == (why.text[0] == '\0'), "a refusal has words");
    if (verdict >= BUNDLE_NOT_FOR_US || verdict == BUNDLE_GOOD)
        require(inspected == BUNDLE_GOOD && memcmp(&seen, b, sizeof seen) == 0,
                "what is opened is what is inspected");
    else
        require(!b->config.data, "no configuration is handed out that was not signed");
    return verdict;
}

static int count_references(const cJSON *value)
{
    int count = cJSON_IsString(value) && config_is_reference(value->valuestring);
    const cJSON *child;

    cJSON_ArrayForEach(child, value)
    {
        count += count_references(child);
    }
    return count;
}

static void merge(gv_span update)
{
    gv_error err = { 0, "" }, alone = { 0, "" };
    config_syntax problem;
    size_t len = 0;
    gv_status checked = config_check_update(update, &alone);
    gv_status status =
        config_merge(gv_span_str(OWN), update, merged, sizeof merged - 1, &len, &err);

    require((status == GV_OK) == (err.text[0] == '\0'), "a refusal has words");
    if (checked != GV_OK)
        require(status == checked && strcmp(err.text, alone.text) == 0, "desk and board agree");
    if (status != GV_OK)
        return;
    require(config_text_clean(merged, len, &problem), "what is merged is JSON");
    cJSON *root = cJSON_Parse(merged);
    require(root && count_references(root) == 2, "references are the board's own alone");
    cJSON_Delete(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero;
    bundle b;

    make_key();
    if (size == 0)
        return 0;
    gv_span rest = gv_span_of(data + 1, size - 1);
    if (data[0] % 2 == 0) {
        bundle_verdict verdict = open_bytes(rest, &b);
        require(verdict >= BUNDLE_TOO_LARGE && verdict <= BUNDLE_BAD_SIGNATURE, "nobody signed it");
        require(b.version == 0 && !b.manifest.data, "nothing of it is believed");
        return 0;
    }
    zero = memchr(rest.data, 0, rest.len);
    gv_span manifest = gv_span_of(rest.data, zero ? (size_t)(zero - rest.data) : rest.len);
    gv_span config =
        gv_span_of(zero ? zero + 1 : rest.data, zero ? rest.len - manifest.len - 1 : 0);
    merge(config);
    if (manifest.len > BUNDLE_MANIFEST_BYTES || config.len > BUNDLE_CONFIG_BYTES_MAX)
        return 0;
    gv_span bytes = seal(manifest, config);
    bundle_verdict verdict = open_bytes(bytes, &b);
    require(verdict != BUNDLE_UNKNOWN_KEY && verdict != BUNDLE_BAD_SIGNATURE, "it is signed");
    if (verdict == BUNDLE_GOOD)
        check_good(&b, bytes);
    return 0;
}
