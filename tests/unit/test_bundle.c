/* Bundles: what is believed, in which order, and what each verdict is for. */
#include "agent/ota/bundle_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONFIG "{ \"log\": { \"level\": \"debug\" } }\n"

static signature_signer *signer, *other_signer;
static char public_key[SIGNATURE_PUBLIC_SIZE], other_key[SIGNATURE_PUBLIC_SIZE];
static const char *keys[BUNDLE_KEYS_MAX] = { public_key };
static const char *const our_groups[] = { "attics", "pi-3" };
static uint8_t bytes[BUNDLE_BYTES_MAX + 1];
static size_t len;
static bundle b;
static gv_error err;

static const char *const to_device[] = { "attic" };

static bundle_draft draft(void)
{
    return (bundle_draft){ .version = 7,
                           .agent_min = "",
                           .signed_at = "2026-11-27T01:00:00Z",
                           .note = "",
                           .devices = to_device,
                           .device_count = 1,
                           .config = gv_span_str(CONFIG) };
}

static bundle_recipient us(void)
{
    return (bundle_recipient){ .keys = keys,
                               .key_count = 1,
                               .device = "attic",
                               .groups = our_groups,
                               .group_count = 2,
                               .agent_version = "0.1.0",
                               .seen_version = 6 };
}

static void seal(const bundle_draft *d)
{
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    gv_error why = { 0, "" };

    if (bundle_seal(d, signer, &out, &why) != GV_OK)
        fail_msg("%s", why.text);
    len = out.len;
}

/* From a copy of its exact size, so that a sanitizer sees a read beyond. */
static bundle_verdict open_bytes(const bundle_recipient *who)
{
    uint8_t *copy = malloc(len ? len : 1);
    static uint8_t kept[BUNDLE_BYTES_MAX + 1];

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    err = (gv_error){ 0, "" };
    bundle_verdict verdict = bundle_open(gv_span_of(copy, len), who, &b, &err);
    assert_int_equal(verdict == BUNDLE_GOOD, err.text[0] == '\0');
    if (b.config.data) {
        memcpy(kept, b.config.data, b.config.len);
        b.config.data = kept;
    }
    free(copy);
    return verdict;
}

static bundle_verdict open_for_us(void)
{
    bundle_recipient who = us();
    return open_bytes(&who);
}

static void expect(bundle_verdict verdict, const char *words)
{
    bundle_verdict found = open_for_us();

    if (found != verdict || !strstr(err.text, words))
        fail_msg("%s: %s", bundle_verdict_name(found), err.text);
}

static bool is_nothing(const bundle *what)
{
    static const bundle nothing;
    return memcmp(what, &nothing, sizeof nothing) == 0;
}

/* A bundle around a manifest that no draft would give, rightly signed. */
static void seal_manifest(const char *manifest)
{
    uint8_t hash[SIGNATURE_HASH_BYTES], signature[SIGNATURE_BYTES];
    char id[SIGNATURE_ID_SIZE], hex[2 * SIGNATURE_BYTES + 1];

    bundle_hash(gv_span_str(manifest), hash);
    assert_int_equal(signature_sign(signer, hash, signature, NULL), GV_OK);
    assert_int_equal(signature_key_id(public_key, id, NULL), GV_OK);
    signature_hex(signature, sizeof signature, hex);
    len = (size_t)snprintf(
        (char *)bytes, sizeof bytes, "%skey %s\nsignature %s\nmanifest %05zu\nconfig %05zu\n%s%s",
        BUNDLE_MAGIC, id, hex, strlen(manifest), strlen(CONFIG), manifest, CONFIG);
}

/* The members that all manifests have, but for `version` and what says for whom it is. */
static void seal_members(const char *first, const char *rest)
{
    uint8_t hash[SIGNATURE_HASH_BYTES];
    char hex[2 * SIGNATURE_HASH_BYTES + 1], manifest[1024];
    const gv_span config = gv_span_str(CONFIG);

    signature_hash(&config, 1, hash);
    signature_hex(hash, sizeof hash, hex);
    snprintf(manifest, sizeof manifest,
             "{%s\"config_bytes\":%zu,\"config_sha256\":\"%s\",\"signed_at\":"
             "\"2026-11-27T01:00:00Z\"%s}",
             first, strlen(CONFIG), hex, rest);
    seal_manifest(manifest);
}

static void what_the_owner_signed_is_what_the_board_reads(void **state)
{
    bundle_draft d = draft();

    (void)state;
    d.agent_min = "0.1";
    d.note = "quieter log, \"for now\" \xE2\x80\x93 Anna";
    seal(&d);
    expect(BUNDLE_GOOD, "");
    assert_int_equal(b.version, 7);
    assert_string_equal(b.agent_min, "0.1");
    assert_string_equal(b.note, d.note);
    assert_string_equal(b.signed_at, d.signed_at);
    assert_true(gv_span_equal(b.config, gv_span_str(CONFIG)));
    char id[SIGNATURE_ID_SIZE];
    assert_int_equal(signature_key_id(public_key, id, NULL), GV_OK);
    assert_string_equal(b.key_id, id);
    seal(&d);
    uint8_t before[512];
    assert_true(len < sizeof before);
    memcpy(before, bytes, len);
    seal(&d);
    assert_memory_equal(before, bytes, len); /* signing has no chance in it */
    assert_int_equal(d.config.len + b.manifest.len + BUNDLE_HEAD_BYTES, len);
}

/* Made by another implementation, signed with the key of RFC 6979, A.2.5. */
static void the_bytes_of_today_are_the_bytes_of_tomorrow(void **state)
{
    static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX\n"
                              "Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth\n"
                              "+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ\n"
                              "-----END PRIVATE KEY-----\n";
    static const char whole[] =
        "gavel-config 1\n"
        "key 5a7a78cca4a0f420\n"
        "signature "
        "cab4651082260c6f8a4b6172db1798edd0026e5450465553ee780c6fb24196044c38563a8efd8f7e44b0ce1055"
        "d57444ada6df9a3080796b90366c4d5107c645\n"
        "manifest 00182\n"
        "config 00032\n"
        "{\"version\":7,\"config_bytes\":32,\"config_sha256\":"
        "\"ec8fcd80f5a46e602084819e55d86369a48c54bd05a1d05f38c843947510cebc\",\"signed_at\":\"2026-"
        "11-27T01:00:00Z\",\"targets\":{\"devices\":[\"attic\"]}}\n"
        "{ \"log\": { \"level\": \"debug\" } }\n";
    bundle_draft d = draft();
    signature_signer *mine = signer;
    char key[SIGNATURE_PUBLIC_SIZE];

    (void)state;
    assert_int_equal(signature_signer_open(gv_span_str(pem), &signer, NULL), GV_OK);
    signature_public_key(signer, key);
    seal(&d);
    signature_signer_close(signer);
    signer = mine;
    bytes[len] = '\0';
    assert_string_equal((const char *)bytes, whole);
    keys[0] = key;
    expect(BUNDLE_GOOD, "");
    keys[0] = public_key;
}

static void an_unknown_key_is_not_believed(void **state)
{
    bundle_draft d = draft();
    bundle_recipient who = us();
    const char *rotating[] = { other_key, "no key at all", public_key };

    (void)state;
    seal(&d);
    keys[0] = other_key;
    expect(BUNDLE_UNKNOWN_KEY, "none of the 1 in ota.keys");
    assert_true(is_nothing(&b));
    keys[0] = public_key;
    who.key_count = 0;
    assert_int_equal(open_bytes(&who), BUNDLE_UNKNOWN_KEY);
    who.keys = rotating; /* either key will do while they are changed */
    who.key_count = 3;
    assert_int_equal(open_bytes(&who), BUNDLE_GOOD);
}

static void a_pinned_keys_name_alone_is_not_believed(void **state)
{
    bundle_draft d = draft();
    char id[SIGNATURE_ID_SIZE];
    signature_signer *mine = signer;

    (void)state;
    signer = other_signer;
    seal(&d);
    signer = mine;
    assert_int_equal(signature_key_id(public_key, id, NULL), GV_OK);
    memcpy(bytes + strlen(BUNDLE_MAGIC "key "), id, strlen(id));
    expect(BUNDLE_BAD_SIGNATURE, "changed after it was signed");
    assert_true(is_nothing(&b));
}

static void a_bundle_cut_anywhere_is_broken(void **state)
{
    bundle_draft d = draft();
    size_t whole;

    (void)state;
    seal(&d);
    whole = len;
    for (len = 0; len < whole; len++) {
        assert_int_equal(open_for_us(), BUNDLE_BROKEN);
        assert_true(is_nothing(&b));
    }
    len = whole + 1;
    bytes[whole] = '\n';
    expect(BUNDLE_BROKEN, "bytes behind its end");
    bytes[whole] = '\0';
    expect(BUNDLE_BROKEN, "bytes behind its end");
}

static void a_single_flipped_bit_is_noticed(void **state)
{
    bundle_draft d = draft();
    unsigned seen[BUNDLE_VERDICTS] = { 0 };

    (void)state;
    seal(&d);
    for (size_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bundle_verdict verdict = open_for_us();
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(verdict, BUNDLE_GOOD);
        assert_true(verdict <= BUNDLE_BAD_HASH);
        assert_int_equal(b.config.len, 0);
        seen[verdict]++;
    }
    assert_true(seen[BUNDLE_BROKEN] && seen[BUNDLE_UNKNOWN_KEY] && seen[BUNDLE_BAD_SIGNATURE]);
    assert_int_equal(seen[BUNDLE_BAD_HASH], strlen(CONFIG) * 8);
}

static void a_good_signature_is_moved_to_no_other_configuration(void **state)
{
    bundle_draft d = draft();

    (void)state;
    seal(&d);
    bytes[len - 3] = 'x';
    expect(BUNDLE_BAD_HASH, "version 7");
    assert_int_equal(b.version, 7); /* signed, so it may be told */
    assert_null(b.config.data);
    /* A shorter configuration with a head that agrees. */
    seal(&d);
    bytes[BUNDLE_HEAD_BYTES - 2]--;
    len--;
    expect(BUNDLE_BAD_HASH, "version 7");
}

static void too_large_is_said_before_anything_is_looked_at(void **state)
{
    static char large[BUNDLE_CONFIG_BYTES_MAX + 1];
    bundle_draft d = draft();
    gv_buf out = gv_buf_of(bytes, sizeof bytes);

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    len = BUNDLE_BYTES_MAX + 1;
    expect(BUNDLE_TOO_LARGE, "larger than 72 KiB");
    memset(large, ' ', sizeof large);
    d.config = gv_span_of(large, sizeof large - 1);
    seal(&d); /* the largest one is fine */
    expect(BUNDLE_GOOD, "");
    memcpy(bytes + BUNDLE_HEAD_BYTES - 6, "65537", 5);
    expect(BUNDLE_TOO_LARGE, "65537");
    d.config.len++;
    err = (gv_error){ 0, "" };
    assert_int_equal(bundle_seal(&d, signer, &out, &err), GV_INVAL);
    assert_int_equal(out.len, 0);
}

static void only_who_is_named_takes_it(void **state)
{
    static const char *const others[] = { "cellar", "attic2", "atti", "ATTIC" };
    static const char *const groups[] = { "cellars", "pi-3" };
    static const char *const as_group[] = { "attic" };
    bundle_draft d = draft();

    (void)state;
    d.devices = others;
    d.device_count = 4;
    seal(&d);
    expect(BUNDLE_NOT_FOR_US, "other devices and groups than attic");
    assert_int_equal(b.version, 7);
    d.groups = as_group; /* a group that is called as the device is, is another thing */
    d.group_count = 1;
    seal(&d);
    expect(BUNDLE_NOT_FOR_US, "");
    d.groups = groups;
    d.group_count = 2;
    seal(&d);
    expect(BUNDLE_GOOD, "");
    d.device_count = 0;
    d.group_count = 1;
    seal(&d);
    expect(BUNDLE_NOT_FOR_US, "");
    d.group_count = 0;
    d.is_for_all = true;
    seal(&d);
    expect(BUNDLE_GOOD, "");
}

static void an_agent_that_is_too_old_leaves_it(void **state)
{
    static const char *const newer[] = { "0.1.1", "0.2", "1", "0.1.0.1", "0.10.0" };
    static const char *const older[] = { "0.1.0", "0.1", "0", "0.0.99", "0.1.0.0" };
    bundle_draft d = draft();

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        d.agent_min = newer[i];
        seal(&d);
        expect(BUNDLE_NEEDS_AGENT, newer[i]);
        d.agent_min = older[i];
        seal(&d);
        expect(BUNDLE_GOOD, "");
    }
    assert_true(bundle_compare_agents("0.10.0", "0.9.9") > 0);
    assert_true(bundle_compare_agents("0.2.0-rc1", "0.2.0") == 0);
    assert_true(bundle_compare_agents("99999999999999999999", "1") > 0);
}

static void an_old_bundle_cannot_be_played_again(void **state)
{
    bundle_draft d = draft();
    bundle_recipient who = us();

    (void)state;
    seal(&d);
    who.seen_version = 7;
    assert_int_equal(open_bytes(&who), BUNDLE_OLD);
    assert_non_null(strstr(err.text, "version 7 is not above 7"));
    assert_int_equal(b.version, 7);
    who.seen_version = BUNDLE_VERSION_MAX;
    assert_int_equal(open_bytes(&who), BUNDLE_OLD);
    d.version = BUNDLE_VERSION_MAX;
    seal(&d);
    who.seen_version = BUNDLE_VERSION_MAX - 1;
    assert_int_equal(open_bytes(&who), BUNDLE_GOOD);
    assert_true(b.version == BUNDLE_VERSION_MAX);
}

static void verdicts_come_in_their_order(void **state)
{
    bundle_draft d = draft();
    static const char *const others[] = { "cellar" };
    bundle_recipient who = us();

    (void)state;
    d.devices = others; /* not for us, needs an agent, old, and with a bad hash */
    d.agent_min = "9";
    who.seen_version = 8;
    seal(&d);
    bytes[len - 1] ^= 1;
    assert_int_equal(open_bytes(&who), BUNDLE_BAD_HASH);
    bytes[len - 1] ^= 1;
    assert_int_equal(open_bytes(&who), BUNDLE_NOT_FOR_US);
    who.device = "cellar";
    assert_int_equal(open_bytes(&who), BUNDLE_NEEDS_AGENT);
    who.agent_version = "9.0";
    assert_int_equal(open_bytes(&who), BUNDLE_OLD);
}

static void a_manifest_of_another_form_is_refused(void **state)
{
    static const struct {
        const char *first, *rest, *words;
    } cases[] = {
        { "\"version\":7,", ",\"all\":true,\"version\":7", "twice" },
        { "\"version\":7,", ",\"all\":true,\"all\":true", "twice" },
        { "\"version\":7,", ",\"targets\":{\"devices\":[\"attic\"],\"devices\":[]}", "twice" },
        { "", ",\"all\":true", "missing" },
        { "\"version\":0,", ",\"all\":true", "\"version\"" },
        { "\"version\":-7,", ",\"all\":true", "\"version\"" },
        { "\"version\":7.0,", ",\"all\":true", "\"version\"" },
        { "\"version\":7e0,", ",\"all\":true", "\"version\"" },
        { "\"version\":07,", ",\"all\":true", "\"version\"" },
        { "\"version\":\"7\",", ",\"all\":true", "\"version\"" },
        { "\"version\":9007199254740992,", ",\"all\":true", "\"version\"" },
        { "\"version\":18446744073709551623,", ",\"all\":true", "\"version\"" },
        { "\"version\":7,", "", "for nobody" },
        { "\"version\":7,", ",\"targets\":{}", "for nobody" },
        { "\"version\":7,", ",\"targets\":{\"devices\":[]}", "for nobody" },
        { "\"version\":7,", ",\"targets\":{\"devices\":\"attic\"}", "lists" },
        { "\"version\":7,", ",\"targets\":{\"devices\":[\"../attic\"]}", "no name" },
        { "\"version\":7,", ",\"targets\":{\"devices\":[\"attic\",]}", "no JSON" },
        { "\"version\":7,", ",\"targets\":{\"models\":[\"attic\"]}", "does not know" },
        { "\"version\":7,", ",\"all\":false", "\"all\"" },
        { "\"version\":7,", ",\"all\":true,\"reboot\":true", "does not know" },
        { "\"version\":7,", ",\"all\":true,\"note\":\"a\\u0000b\"", "\"note\"" },
        { "\"version\":7,", ",\"all\":true,\"note\":\"a\\u001b[2J\"", "\"note\"" },
        { "\"version\":7,", ",\"all\":true,\"note\":\"\xFF\"", "\"note\"" },
        { "\"version\":7,", ",\"all\":true,\"agent_min\":\"\"", "\"agent_min\"" },
        { "\"version\":7,", ",\"all\":true,\"agent_min\":\"1.\"", "\"agent_min\"" },
        { "\"version\":7,", ",\"all\":true,}", "no JSON" },
        { "\"version\":7,", ",\"all\":true}{", "no JSON" },
        { "/* a comment */\"version\":7,", ",\"all\":true", "no JSON" },
    };

    (void)state;
    seal_members("\"version\":7,", ",\"all\":true");
    expect(BUNDLE_GOOD, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seal_members(cases[i].first, cases[i].rest);
        expect(BUNDLE_BROKEN, cases[i].words);
        assert_int_equal(b.version, 0);
        assert_null(b.config.data);
    }
    seal_manifest("[]");
    expect(BUNDLE_BROKEN, "no JSON");
    seal_manifest("");
    expect(BUNDLE_BROKEN, "too early");
}

static void a_zero_byte_is_nowhere_an_end(void **state)
{
    bundle_draft d = draft();

    (void)state;
    for (size_t i = 0; i < BUNDLE_HEAD_BYTES; i++) {
        seal(&d);
        bytes[i] = '\0';
        assert_int_equal(open_for_us(), BUNDLE_BROKEN);
    }
    seal_members("\"version\":7,", ",\"all\":true");
    bytes[BUNDLE_HEAD_BYTES + 5] = '\0'; /* within the manifest */
    expect(BUNDLE_BAD_SIGNATURE, "");
}

static void a_draft_that_no_board_would_take_is_not_signed(void **state)
{
    static const char *const bad_names[] = { "", ".hidden", "a/b", "a b", "\xC3\xA4" };
    gv_buf out = gv_buf_of(bytes, sizeof bytes);
    const char *many[BUNDLE_TARGETS_MAX + 1];

    (void)state;
    for (size_t i = 0; i <= BUNDLE_TARGETS_MAX; i++)
        many[i] = "attic";
    for (int i = 0; i < 11; i++) {
        bundle_draft d = draft();
        const char *name = bad_names[i % 5];
        d.devices = i < 5 ? &name : to_device;
        d.version = i == 5 ? 0 : i == 6 ? BUNDLE_VERSION_MAX + 1 : 7;
        d.is_for_all = i == 7;
        d.note = i == 8 ? "two\nlines" : "";
        d.agent_min = i == 9 ? "new" : "";
        if (i == 10) {
            d.devices = many;
            d.device_count = BUNDLE_TARGETS_MAX + 1;
        }
        err = (gv_error){ 0, "" };
        assert_int_equal(bundle_seal(&d, signer, &out, &err), GV_INVAL);
        assert_true(err.text[0] && out.len == 0);
    }
    bundle_draft largest = draft();
    char name[BUNDLE_NAME_MAX + 1], note[200];
    memset(name, 'n', sizeof name - 1);
    memset(note, '"', sizeof note - 1);
    name[sizeof name - 1] = note[sizeof note - 1] = '\0';
    for (size_t i = 0; i < BUNDLE_TARGETS_MAX; i++)
        many[i] = name;
    largest.devices = many;
    largest.device_count = BUNDLE_TARGETS_MAX;
    largest.note = note;
    seal(&largest); /* all limits at once fit */
    expect(BUNDLE_NOT_FOR_US, "");
}

typedef struct {
    char paths[256], record_keys[256];
    size_t limit;
} places;

static bool collect(void *ctx, bundle_target target, const char *name)
{
    places *p = ctx;
    char text[BUNDLE_PATH_MAX];

    bundle_path(target, name, text);
    strcat(strcat(p->paths, text), " ");
    bundle_record_key(target, name, text);
    strcat(strcat(p->record_keys, text), " ");
    return --p->limit > 0;
}

static void every_target_has_its_place(void **state)
{
    static const char *const devices[] = { "attic", "cellar" };
    static const char *const groups[] = { "pi-3" };
    bundle_draft d = draft();
    places found = { "", "", 99 }, one = { "", "", 1 };

    (void)state;
    d.devices = devices;
    d.device_count = 2;
    d.groups = groups;
    d.group_count = 1;
    seal(&d);
    assert_int_equal(bundle_inspect(gv_span_of(bytes, len), &b, &err), BUNDLE_GOOD);
    assert_int_equal(bundle_targets(&b, collect, &found), 3);
    assert_string_equal(found.paths, "devices/attic.gavel devices/cellar.gavel groups/pi-3.gavel ");
    assert_string_equal(found.record_keys, "device/attic device/cellar group/pi-3 ");
    assert_int_equal(bundle_targets(&b, collect, &one), 1);
    d.device_count = d.group_count = 0;
    d.is_for_all = true;
    seal(&d);
    found = (places){ "", "", 99 };
    assert_int_equal(bundle_inspect(gv_span_of(bytes, len), &b, &err), BUNDLE_GOOD);
    assert_int_equal(bundle_targets(&b, collect, &found), 1);
    assert_string_equal(found.paths, "all.gavel ");
    assert_string_equal(found.record_keys, "all ");
    bytes[len - 1] ^= 1; /* what nobody has signed is seen, too */
    assert_int_equal(bundle_inspect(gv_span_of(bytes, len), &b, &err), BUNDLE_BAD_HASH);
}

static signature_signer *new_key(char key[SIGNATURE_PUBLIC_SIZE])
{
    char pem[SIGNATURE_PEM_MAX];
    signature_signer *made = NULL;

    assert_int_equal(signature_generate(pem, NULL), GV_OK);
    assert_int_equal(signature_signer_open(gv_span_str(pem), &made, NULL), GV_OK);
    signature_public_key(made, key);
    return made;
}

static int make_keys(void **state)
{
    (void)state;
    signer = new_key(public_key);
    other_signer = new_key(other_key);
    return strcmp(public_key, other_key) == 0;
}

static int drop_keys(void **state)
{
    (void)state;
    signature_signer_close(signer);
    signature_signer_close(other_signer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_owner_signed_is_what_the_board_reads),
        cmocka_unit_test(the_bytes_of_today_are_the_bytes_of_tomorrow),
        cmocka_unit_test(an_unknown_key_is_not_believed),
        cmocka_unit_test(a_pinned_keys_name_alone_is_not_believed),
        cmocka_unit_test(a_bundle_cut_anywhere_is_broken),
        cmocka_unit_test(a_single_flipped_bit_is_noticed),
        cmocka_unit_test(a_good_signature_is_moved_to_no_other_configuration),
        cmocka_unit_test(too_large_is_said_before_anything_is_looked_at),
        cmocka_unit_test(only_who_is_named_takes_it),
        cmocka_unit_test(an_agent_that_is_too_old_leaves_it),
        cmocka_unit_test(an_old_bundle_cannot_be_played_again),
        cmocka_unit_test(verdicts_come_in_their_order),
        cmocka_unit_test(a_manifest_of_another_form_is_refused),
        cmocka_unit_test(a_zero_byte_is_nowhere_an_end),
        cmocka_unit_test(a_draft_that_no_board_would_take_is_not_signed),
        cmocka_unit_test(every_target_has_its_place),
    };

    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
