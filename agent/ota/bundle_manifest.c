/* bundle_manifest.c - reads the manifest: strict JSON, known members only, each of them once. */
#include "agent/ota/bundle_internal.h"

#include "agent/codec/json_scan.h"

#include <ctype.h>

#define DEPTH_MAX 4

typedef struct {
    json_reader json;
    bundle *out;
    size_t *config_bytes;
    bundle_each_target *each;
    void *ctx;
    size_t targets;
    bool is_stopped; /* each() wants no more */
    const char *fault;
} reading;

/* Reads the value at p; NULL, perhaps with a fault, when it is not what it should be. */
typedef const uint8_t *read_value(reading *r, const uint8_t *p);

typedef struct {
    const char *name;
    read_value *read;
    bool is_required;
} member;

static const uint8_t *fault(reading *r, const char *what)
{
    if (!r->fault)
        r->fault = what;
    return NULL;
}

/* --- forms ------------------------------------------------------------------------------------ */
bool bundle_name_ok(const char *name)
{
    size_t len = strlen(name);

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return len >= 1 && len <= BUNDLE_NAME_MAX && name[0] != '.';
}

bool bundle_agent_ok(const char *version)
{
    for (int numbers = 0; numbers < 4; numbers++) {
        size_t digits = strspn(version, "0123456789");
        if (digits < 1 || digits > 6)
            return false;
        version += digits;
        if (*version == '\0')
            return true;
        if (*version++ != '.')
            return false;
    }
    return false;
}

bool bundle_time_ok(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00Z";

    for (size_t i = 0; i < sizeof form; i++) /* with the NUL */
        if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
            return false;
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */
/* A text that is well-formed UTF-8 without control characters, with a NUL. */
static const uint8_t *read_text(reading *r, const uint8_t *p, char *text, size_t cap)
{
    gv_buf out = gv_buf_of(text, cap - 1);
    uint32_t replaced = 0;
    json_text found;

    if (*p != '"')
        return NULL;
    p = json_scan_string(&r->json, p, &found);
    if (!p || !json_put_text(&out, &found, &replaced) || replaced > 0)
        return NULL;
    for (size_t i = 0; i < out.len; i++)
        if (out.data[i] < 0x20 || out.data[i] == 0x7F)
            return NULL;
    text[out.len] = '\0';
    return p;
}

static const uint8_t *read_whole(reading *r, const uint8_t *p, uint64_t min, uint64_t max,
                                 uint64_t *value)
{
    json_number number;

    if (json_kind_of[*p] != JSON_NUMBER)
        return NULL;
    p = json_scan_number(&r->json, p, &number);
    if (!p || !number.integer || number.overflow || number.value < 0 ||
        (uint64_t)number.value < min || (uint64_t)number.value > max)
        return NULL;
    *value = (uint64_t)number.value;
    return p;
}

static const uint8_t *read_version(reading *r, const uint8_t *p)
{
    p = read_whole(r, p, 1, BUNDLE_VERSION_MAX, &r->out->version);
    return p ? p : fault(r, "\"version\" is no whole number from 1 to 2^53 - 1");
}

static const uint8_t *read_config_bytes(reading *r, const uint8_t *p)
{
    uint64_t bytes = 0;

    p = read_whole(r, p, 0, BUNDLE_CONFIG_BYTES_MAX, &bytes);
    *r->config_bytes = (size_t)bytes;
    return p ? p : fault(r, "\"config_bytes\" is no size of a configuration");
}

static const uint8_t *read_sha256(reading *r, const uint8_t *p)
{
    char *text = r->out->sha256;

    p = read_text(r, p, text, sizeof r->out->sha256);
    if (!p || strspn(text, "0123456789abcdef") != sizeof r->out->sha256 - 1)
        return fault(r, "\"config_sha256\" has not 64 hexadecimal digits");
    return p;
}

static const uint8_t *read_agent_min(reading *r, const uint8_t *p)
{
    p = read_text(r, p, r->out->agent_min, sizeof r->out->agent_min);
    if (!p || !bundle_agent_ok(r->out->agent_min))
        return fault(r, "\"agent_min\" is no version such as \"0.2.0\"");
    return p;
}

static const uint8_t *read_signed_at(reading *r, const uint8_t *p)
{
    p = read_text(r, p, r->out->signed_at, sizeof r->out->signed_at);
    if (!p || !bundle_time_ok(r->out->signed_at))
        return fault(r, "\"signed_at\" is no time such as \"2026-11-27T01:00:00Z\"");
    return p;
}

static const uint8_t *read_note(reading *r, const uint8_t *p)
{
    p = read_text(r, p, r->out->note, sizeof r->out->note);
    return p ? p : fault(r, "\"note\" is no text of up to 199 bytes without control characters");
}

static const uint8_t *tell_target(reading *r, const uint8_t *p, bundle_target target,
                                  const char *name)
{
    if (++r->targets > BUNDLE_TARGETS_MAX)
        return fault(r, "there are too many targets");
    if (!r->is_stopped && r->each)
        r->is_stopped = !r->each(r->ctx, target, name);
    return p;
}

static const uint8_t *read_all(reading *r, const uint8_t *p)
{
    p = *p == 't' ? json_scan_literal(&r->json, p) : NULL;
    return p ? tell_target(r, p, BUNDLE_FOR_ALL, "") : fault(r, "\"all\" can only be true");
}

static const uint8_t *read_name(reading *r, const uint8_t *p, bundle_target target)
{
    char name[BUNDLE_NAME_MAX + 1];

    p = read_text(r, p, name, sizeof name);
    if (!p || !bundle_name_ok(name))
        return fault(r, "a target is no name of a device or group");
    return tell_target(r, p, target, name);
}

static const uint8_t *read_names(reading *r, const uint8_t *p, bundle_target target)
{
    if (*p != '[')
        return fault(r, "\"devices\" and \"groups\" are lists of names");
    p = json_scan_next(&r->json, p + 1);
    while (p && *p != ']') {
        p = read_name(r, p, target);
        p = p ? json_scan_next(&r->json, p) : NULL;
        if (!p || *p == ']')
            break;
        p = json_scan_expect(&r->json, p, ',', "a comma or ]");
        if (p && *p == ']')
            return json_scan_fail(&r->json, p, "a name");
    }
    return p ? p + 1 : NULL;
}

static const uint8_t *read_devices(reading *r, const uint8_t *p)
{
    return read_names(r, p, BUNDLE_FOR_DEVICE);
}

static const uint8_t *read_groups(reading *r, const uint8_t *p)
{
    return read_names(r, p, BUNDLE_FOR_GROUP);
}

/* --- objects ---------------------------------------------------------------------------------- */
static const uint8_t *read_member(reading *r, const uint8_t *p, const member *members, size_t count,
                                  unsigned *seen)
{
    json_text name;

    if (*p != '"')
        return json_scan_fail(&r->json, p, "a member's name in quotes");
    p = json_scan_string(&r->json, p, &name);
    if (p)
        p = json_scan_expect(&r->json, p, ':', "a colon");
    if (!p)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!gv_span_equal(name.raw, gv_span_str(members[i].name)))
            continue;
        if (*seen & 1u << i)
            return fault(r, "a member is there twice");
        *seen |= 1u << i;
        return members[i].read(r, p);
    }
    return fault(r, "it has a member that this agent does not know");
}

static const uint8_t *read_object(reading *r, const uint8_t *p, const member *members, size_t count)
{
    unsigned seen = 0;

    if (*p != '{')
        return json_scan_fail(&r->json, p, "an object");
    p = json_scan_next(&r->json, p + 1);
    while (p && *p != '}') {
        p = read_member(r, p, members, count, &seen);
        p = p ? json_scan_next(&r->json, p) : NULL;
        if (!p || *p == '}')
            break;
        p = json_scan_expect(&r->json, p, ',', "a comma or }");
        if (p && *p == '}')
            return json_scan_fail(&r->json, p, "a member");
    }
    for (size_t i = 0; p && i < count; i++)
        if (members[i].is_required && !(seen & 1u << i))
            return fault(r, "a member is missing that each manifest has");
    return p ? p + 1 : NULL;
}

static const uint8_t *read_targets(reading *r, const uint8_t *p)
{
    static const member members[] = { { "devices", read_devices, false },
                                      { "groups", read_groups, false } };

    return read_object(r, p, members, sizeof members / sizeof members[0]);
}

/* White space may follow the manifest's object, nothing else. */
static bool is_end(reading *r, const uint8_t *p)
{
    p = json_scan_space(&r->json, p);
    if (p)
        json_scan_fail(&r->json, p, "nothing behind the object");
    return p == NULL;
}

gv_status bundle_read_manifest(gv_span json, bundle *out, size_t *config_bytes,
                               bundle_each_target *each, void *ctx, gv_error *err)
{
    static const member members[] = {
        { "version", read_version, true },      { "config_bytes", read_config_bytes, true },
        { "config_sha256", read_sha256, true }, { "signed_at", read_signed_at, true },
        { "agent_min", read_agent_min, false }, { "note", read_note, false },
        { "targets", read_targets, false },     { "all", read_all, false },
    };
    reading r = { .json = { .end = json.data + json.len, .depth_left = DEPTH_MAX },
                  .out = out,
                  .config_bytes = config_bytes,
                  .each = each,
                  .ctx = ctx };
    const uint8_t *p = json_scan_next(&r.json, json.data);

    if (p)
        p = read_object(&r, p, members, sizeof members / sizeof members[0]);
    if (p && r.targets == 0)
        p = fault(&r, "it is for nobody");
    if (p && is_end(&r, p))
        return GV_OK;
    return gv_fail(err, GV_CORRUPT, "the manifest is not of the known form: %s",
                   r.fault                     ? r.fault
                   : r.json.stop == JSON_SHORT ? "it ends too early"
                                               : "it is no JSON");
}
