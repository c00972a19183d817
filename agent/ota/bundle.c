#include "agent/ota/bundle_internal.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
    char key_id[SIGNATURE_ID_SIZE];
    uint8_t signature[SIGNATURE_BYTES];
    gv_span manifest;
    gv_span config;
} parts;

const char *bundle_verdict_name(bundle_verdict verdict)
{
    static const char *const names[BUNDLE_VERDICTS] = {
        "good",     "too_large",  "broken",      "unknown_key", "bad_signature",
        "bad_hash", "not_for_us", "needs_agent", "old",         "bad_config",
    };
    return names[verdict];
}

/* --- the parts -------------------------------------------------------------------------------- */
/* Takes the bytes of a text; false when something else is there. */
static bool take(gv_span *rest, const char *text)
{
    gv_span begin = gv_span_of(rest->data, strlen(text));

    if (rest->len < begin.len || !gv_span_equal(begin, gv_span_str(text)))
        return false;
    *rest = gv_span_of(rest->data + begin.len, rest->len - begin.len);
    return true;
}

static int hex_digit(uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Bytes written as lower-case hexadecimal digits. */
static bool take_hex(gv_span *rest, uint8_t *bytes, size_t len)
{
    if (rest->len < 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(rest->data[2 * i]), low = hex_digit(rest->data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    *rest = gv_span_of(rest->data + 2 * len, rest->len - 2 * len);
    return true;
}

static bool take_size(gv_span *rest, size_t *size)
{
    *size = 0;
    if (rest->len < BUNDLE_DIGITS)
        return false;
    for (size_t i = 0; i < BUNDLE_DIGITS; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9')
            return false;
        *size = *size * 10 + (size_t)(rest->data[i] - '0');
    }
    *rest = gv_span_of(rest->data + BUNDLE_DIGITS, rest->len - BUNDLE_DIGITS);
    return true;
}

static bool take_head(gv_span *rest, parts *out, size_t *manifest, size_t *config)
{
    uint8_t id[(SIGNATURE_ID_SIZE - 1) / 2];

    if (!take(rest, BUNDLE_MAGIC "key ") || !take_hex(rest, id, sizeof id) ||
        !take(rest, "\nsignature ") || !take_hex(rest, out->signature, SIGNATURE_BYTES) ||
        !take(rest, "\nmanifest ") || !take_size(rest, manifest) || !take(rest, "\nconfig ") ||
        !take_size(rest, config) || !take(rest, "\n"))
        return false;
    signature_hex(id, sizeof id, out->key_id);
    return true;
}

static bundle_verdict find_parts(gv_span bytes, parts *out, gv_error *err)
{
    gv_span rest = bytes;
    size_t manifest, config;

    if (bytes.len > BUNDLE_BYTES_MAX) {
        gv_fail(err, GV_FULL, "larger than %zu KiB: this is no bundle", BUNDLE_BYTES_MAX / 1024);
        return BUNDLE_TOO_LARGE;
    }
    if (!take_head(&rest, out, &manifest, &config)) {
        gv_fail(err, GV_CORRUPT,
                "this is no bundle of form 1, or only the beginning of one: fetch it again, or "
                "make it with `gavel config sign`");
        return BUNDLE_BROKEN;
    }
    if (manifest > BUNDLE_MANIFEST_BYTES || config > BUNDLE_CONFIG_BYTES_MAX) {
        gv_fail(err, GV_FULL, "a manifest of %zu and a configuration of %zu bytes are too large",
                manifest, config);
        return BUNDLE_TOO_LARGE;
    }
    if (rest.len != manifest + config) {
        gv_fail(err, GV_CORRUPT, "the bundle %s: %zu bytes where its head says %zu; fetch it again",
                rest.len < manifest + config ? "is cut short" : "has bytes behind its end",
                bytes.len, BUNDLE_HEAD_BYTES + manifest + config);
        return BUNDLE_BROKEN;
    }
    out->manifest = gv_span_of(rest.data, manifest);
    out->config = gv_span_of(rest.data + manifest, config);
    return BUNDLE_GOOD;
}

/* --- the signature ---------------------------------------------------------------------------- */
void bundle_hash(gv_span manifest, uint8_t hash[SIGNATURE_HASH_BYTES])
{
    const gv_span signed_parts[] = { gv_span_str(BUNDLE_MAGIC), manifest };
    signature_hash(signed_parts, 2, hash);
}

static const char *find_key(const bundle_recipient *who, const char *id)
{
    for (size_t i = 0; i < who->key_count && i < BUNDLE_KEYS_MAX; i++) {
        char its_id[SIGNATURE_ID_SIZE];
        if (signature_key_id(who->keys[i], its_id, NULL) == GV_OK && strcmp(its_id, id) == 0)
            return who->keys[i];
    }
    return NULL;
}

static bundle_verdict check_signature(const parts *p, const bundle_recipient *who, gv_error *err)
{
    const char *key = find_key(who, p->key_id);
    uint8_t hash[SIGNATURE_HASH_BYTES];
    gv_error why = { 0, "" };

    if (!key) {
        gv_fail(err, GV_INVAL,
                "signed with key %s, which is none of the %zu in ota.keys: sign it with one of "
                "those, or put the public key into ota.keys on the board",
                p->key_id, who->key_count);
        return BUNDLE_UNKNOWN_KEY;
    }
    bundle_hash(p->manifest, hash);
    if (signature_check(key, hash, p->signature, &why) == GV_OK)
        return BUNDLE_GOOD;
    gv_fail(err, GV_CORRUPT,
            "%s: the bundle was changed after it was signed with key %s, or was not; fetch it from "
            "where it was published, or publish it again",
            why.text, p->key_id);
    return BUNDLE_BAD_SIGNATURE;
}

/* --- the manifest ----------------------------------------------------------------------------- */
static bundle_verdict check_config(const parts *p, size_t config_bytes, bundle *out, gv_error *err)
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    char text[sizeof out->sha256];

    signature_hash(&p->config, 1, hash);
    signature_hex(hash, sizeof hash, text);
    if (p->config.len == config_bytes && strcmp(text, out->sha256) == 0) {
        out->config = p->config;
        return BUNDLE_GOOD;
    }
    gv_fail(err, GV_CORRUPT,
            "the configuration is not the one that was signed as version %" PRIu64
            ": fetch it from where it was published, or publish it again",
            out->version);
    return BUNDLE_BAD_HASH;
}

/* What follows once the manifest may be read: its form and its configuration. */
static bundle_verdict read_signed(const parts *p, bundle_each_target *each, void *ctx, bundle *out,
                                  gv_error *err)
{
    bundle found = { .manifest = p->manifest };
    size_t config_bytes = 0;

    memcpy(found.key_id, p->key_id, sizeof found.key_id);
    memcpy(out->key_id, p->key_id, sizeof out->key_id);
    if (bundle_read_manifest(p->manifest, &found, &config_bytes, each, ctx, err) != GV_OK)
        return BUNDLE_BROKEN;
    *out = found;
    return check_config(p, config_bytes, out, err);
}

typedef struct {
    const bundle_recipient *who;
    bool is_for_us;
} matching;

static bool match_target(void *ctx, bundle_target target, const char *name)
{
    matching *m = ctx;

    m->is_for_us =
        target == BUNDLE_FOR_ALL || (target == BUNDLE_FOR_DEVICE && !strcmp(name, m->who->device));
    for (size_t i = 0; i < m->who->group_count && target == BUNDLE_FOR_GROUP; i++)
        m->is_for_us |= strcmp(name, m->who->groups[i]) == 0;
    return !m->is_for_us;
}

static bundle_verdict check_recipient(const bundle *b, const matching *m, gv_error *err)
{
    if (!m->is_for_us) {
        gv_fail(err, GV_INVAL, "version %" PRIu64 " is for other devices and groups than %s",
                b->version, m->who->device);
        return BUNDLE_NOT_FOR_US;
    }
    if (b->agent_min[0] && bundle_compare_agents(m->who->agent_version, b->agent_min) < 0) {
        gv_fail(err, GV_INVAL,
                "version %" PRIu64 " needs gavel %s or newer, this is %s: update the program first",
                b->version, b->agent_min, m->who->agent_version);
        return BUNDLE_NEEDS_AGENT;
    }
    if (b->version <= m->who->seen_version) {
        gv_fail(err, GV_INVAL,
                "version %" PRIu64 " is not above %" PRIu64 ", which was seen already: sign it "
                "again with a higher one",
                b->version, m->who->seen_version);
        return BUNDLE_OLD;
    }
    return BUNDLE_GOOD;
}

bundle_verdict bundle_open(gv_span bytes, const bundle_recipient *recipient, bundle *out,
                           gv_error *err)
{
    matching m = { recipient, false };
    parts p;

    memset(out, 0, sizeof *out);
    bundle_verdict verdict = find_parts(bytes, &p, err);
    if (verdict == BUNDLE_GOOD)
        verdict = check_signature(&p, recipient, err);
    if (verdict == BUNDLE_GOOD)
        verdict = read_signed(&p, match_target, &m, out, err);
    if (verdict == BUNDLE_GOOD)
        verdict = check_recipient(out, &m, err);
    return verdict;
}

bundle_verdict bundle_inspect(gv_span bytes, bundle *out, gv_error *err)
{
    parts p;

    memset(out, 0, sizeof *out);
    bundle_verdict verdict = find_parts(bytes, &p, err);
    return verdict == BUNDLE_GOOD ? read_signed(&p, NULL, NULL, out, err) : verdict;
}

/* --- targets and versions --------------------------------------------------------------------- */
typedef struct {
    bundle_each_target *each;
    void *ctx;
    size_t calls;
} counting;

static bool count_target(void *ctx, bundle_target target, const char *name)
{
    counting *c = ctx;

    c->calls++;
    return c->each(c->ctx, target, name);
}

size_t bundle_targets(const bundle *b,
                      bool (*each)(void *ctx, bundle_target target, const char *name), void *ctx)
{
    counting c = { each, ctx, 0 };
    size_t config_bytes;
    bundle again = { 0 };

    /* It has been read before: it is of the known form. */
    (void)bundle_read_manifest(b->manifest, &again, &config_bytes, count_target, &c, NULL);
    return c.calls;
}

void bundle_path(bundle_target target, const char *name, char path[BUNDLE_PATH_MAX])
{
    static const char *const folders[] = { "all", "devices/", "groups/" };
    snprintf(path, BUNDLE_PATH_MAX, "%s%.*s.gavel", folders[target], BUNDLE_NAME_MAX, name);
}

void bundle_record_key(bundle_target target, const char *name, char key[BUNDLE_PATH_MAX])
{
    static const char *const kinds[] = { "all", "device/", "group/" };
    snprintf(key, BUNDLE_PATH_MAX, "%s%.*s", kinds[target], BUNDLE_NAME_MAX, name);
}

/* The number at *text, which moves behind it and the dot; 0 when there is none. Nobody counts that far. */
static unsigned take_number(const char **text)
{
    unsigned number = 0;

    for (; **text >= '0' && **text <= '9'; (*text)++)
        number = number < 100000000 ? number * 10 + (unsigned)(**text - '0') : number;
    *text += **text == '.';
    return number;
}

int bundle_compare_agents(const char *a, const char *b)
{
    for (int i = 0; i < 4; i++) {
        unsigned of_a = take_number(&a), of_b = take_number(&b);
        if (of_a != of_b)
            return of_a < of_b ? -1 : 1;
    }
    return 0;
}
