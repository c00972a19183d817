/* read.c - from the tree of JSON values to the fields of gv_config, option by option. */
#include "agent/config/internal.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PROBLEMS_MAX 50
#define EXACT_MAX    INT64_C(9007199254740991) /* 2^53 - 1: beyond it a double skips numbers */

/* --- problems --------------------------------------------------------------------------------- */
static void say(config_reading *r, bool warning, const char *path, const char *fmt, va_list args)
{
    char text[1024];
    int used =
        snprintf(text, sizeof text, "%.200s: %s%s", r->reader->name, path, path[0] ? ": " : "");

    vsnprintf(text + used, sizeof text - (size_t)used, fmt, args);
    if (r->reader->report)
        r->reader->report(r->reader->ctx, warning, text);
    if (!warning)
        gv_fail(r->err, GV_INVAL, "%s", text);
}

void config_problem(config_reading *r, gv_status status, const char *path, const char *fmt, ...)
{
    va_list args;

    if (r->status == GV_OK)
        r->status = status;
    if (++r->problems > PROBLEMS_MAX)
        return;
    va_start(args, fmt);
    say(r, false, path, fmt, args);
    va_end(args);
}

void config_path(char path[CONFIG_PATH_MAX], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(path, CONFIG_PATH_MAX, fmt, args);
    va_end(args);
}

void config_warning(config_reading *r, const char *path, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say(r, true, path, fmt, args);
    va_end(args);
}

void *config_alloc(config_reading *r, size_t bytes)
{
    void *p = r->full ? NULL : gv_arena_alloc(r->reader->arena, bytes ? bytes : 1);

    if (!p && !r->full) {
        r->full = true;
        config_problem(r, GV_FULL, "", "the configuration needs more than %zu KiB of memory",
                       r->reader->arena->size_bytes / 1024);
    }
    return p;
}

const char *config_copy(config_reading *r, const char *text)
{
    size_t len = strlen(text);
    char *copy = config_alloc(r, len + 1);

    if (copy)
        memcpy(copy, text, len + 1);
    return copy ? copy : "";
}

/* --- words for values ------------------------------------------------------------------------- */
void config_show_key(const char *key, char *text, size_t cap)
{
    size_t len = 0;

    for (; key[len] && len + 4 < cap && len < 60; len++)
        text[len] = (unsigned char)key[len] < 0x20 || key[len] == 0x7F ? '?' : key[len];
    while (key[len] && len > 0 && ((unsigned char)key[len] & 0xC0) == 0x80)
        len--; /* never half a character */
    memcpy(text + len, key[len] ? "..." : "", key[len] ? 4 : 1);
}

void config_found(const cJSON *value, bool hidden, char *text, size_t cap)
{
    char shown[72];

    if (cJSON_IsObject(value)) {
        snprintf(text, cap, "an object");
    } else if (cJSON_IsArray(value)) {
        snprintf(text, cap, "a list");
    } else if (cJSON_IsString(value)) {
        config_show_key(value->valuestring, shown, sizeof shown);
        if (hidden)
            snprintf(text, cap, "a plain text (not shown)");
        else
            snprintf(text, cap, "the text \"%s\"", shown);
    } else if (cJSON_IsNumber(value)) {
        if (hidden)
            snprintf(text, cap, "a number (not shown)");
        else
            snprintf(text, cap, "the number %.17g", value->valuedouble);
    } else {
        snprintf(text, cap, "%s",
                 cJSON_IsNull(value)   ? "null"
                 : cJSON_IsTrue(value) ? "true"
                                       : "false");
    }
}

static void wrong(config_reading *r, const char *path, const config_info *info, const cJSON *value,
                  bool hidden)
{
    char expected[256], found[128];

    config_expected(info, expected, sizeof expected);
    config_found(value, hidden, found, sizeof found);
    config_problem(r, GV_INVAL, path, "expected %s, found %s", expected, found);
}

bool config_whole(const cJSON *value, int64_t min, int64_t max, int64_t *number)
{
    double d = value->valuedouble;

    if (!cJSON_IsNumber(value) || !(d >= (double)-EXACT_MAX && d <= (double)EXACT_MAX) ||
        d != floor(d) || (int64_t)d < min || (int64_t)d > max)
        return false;
    *number = (int64_t)d;
    return true;
}

bool config_duplicate(config_reading *r, const cJSON *object, const cJSON *member, const char *path)
{
    for (const cJSON *m = object->child; m != member; m = m->next) {
        if (strcmp(m->string, member->string) == 0) {
            config_problem(r, GV_INVAL, path, "this key is given twice: take one away");
            return true;
        }
    }
    return false;
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return true;
    }
    return false;
}

/* --- secrets ---------------------------------------------------------------------------------- */
/* The value behind a reference that belongs to this program; "" when nobody resolves. */
static const char *resolve(config_reading *r, const char *path, const char *reference,
                           config_program programs)
{
    char value[CONFIG_SECRET_MAX + 1];
    gv_error err = { 0 };
    gv_status status;
    const char *copy = "";

    if (!r->reader->secret || !(programs & r->reader->program))
        return "";
    value[0] = '\0';
    status = r->reader->secret(r->reader->ctx, reference, value, sizeof value, &err);
    if (status != GV_OK)
        config_problem(r, status == GV_IO ? GV_IO : GV_INVAL, path, "the secret cannot be read: %s",
                       err.text);
    else if (value[0] == '\0')
        config_problem(r, GV_INVAL, path, "the secret that %s names is empty", reference);
    else
        copy = config_copy(r, value);
    if (status == GV_OK && err.text[0])
        config_warning(r, path, "%s", err.text);
    explicit_bzero(value, sizeof value);
    return copy;
}

/* Takes a well-formed reference, or says what is wrong; NULL then. */
static const char *take_reference(config_reading *r, const char *path, const cJSON *value)
{
    const char *why;

    if (!cJSON_IsString(value) || !config_is_reference(value->valuestring)) {
        char found[128];
        config_found(value, true, found, sizeof found);
        config_problem(
            r, GV_INVAL, path,
            "expected a reference to a secret, found %s: put it into a file that only the "
            "program's user may read, and write \"file:/path/of/it\" here (or \"env:NAME\", "
            "\"credential:NAME\")",
            found);
        return NULL;
    }
    why = config_reference_fault(value->valuestring);
    if (why) {
        config_problem(r, GV_INVAL, path, "%s", why);
        return NULL;
    }
    return config_copy(r, value->valuestring);
}

static void read_secret(config_reading *r, const config_info *info, const cJSON *value)
{
    const char *reference = take_reference(r, info->path, value), *secret;

    if (!reference)
        return;
    r->out->references[info - config_infos] = reference;
    secret = resolve(r, info->path, reference, info->programs);
    if (strlen(secret) > (size_t)info->max)
        config_problem(r, GV_INVAL, info->path, "the secret is longer than %d bytes",
                       (int)info->max);
    else if (has_control(secret))
        config_problem(r, GV_INVAL, info->path,
                       "the secret holds a line end or control character: it must be one line");
    else
        *CONFIG_FIELD(const char *, r->out, info) = secret;
}

/* A password may hide anywhere before the last @, and in some options behind the question mark. */
static bool uri_has_password(const char *uri)
{
    const char *start = strstr(uri, "://");
    const char *at = strrchr(uri, '@');
    const char *colon = start ? strchr(start + 3, ':') : NULL;

    if (at && colon && colon < at)
        return true;
    for (const char *p = uri; *p; p++) {
        if (strncasecmp(p, "password=", 9) == 0 || strncasecmp(p, "session_token", 13) == 0)
            return true;
    }
    return false;
}

static void read_uri(config_reading *r, const config_info *info, const cJSON *value)
{
    const char *uri = cJSON_IsString(value) ? value->valuestring : NULL;

    if (uri && config_is_reference(uri)) {
        read_secret(r, info, value);
        return;
    }
    if (!uri || strlen(uri) < (size_t)info->min || strlen(uri) > (size_t)info->max ||
        has_control(uri))
        wrong(r, info->path, info, value, true);
    else if (uri_has_password(uri))
        config_problem(r, GV_INVAL, info->path,
                       "this address holds a password: put the whole address into a file that only "
                       "the program's user may read, and write \"file:/path/of/it\" here");
    else
        *CONFIG_FIELD(const char *, r->out, info) = config_copy(r, uri);
}

/* --- the other types -------------------------------------------------------------------------- */
static void read_string(config_reading *r, const config_info *info, const cJSON *value)
{
    const char *text = cJSON_IsString(value) ? value->valuestring : NULL;

    if (!text || strlen(text) < (size_t)info->min || strlen(text) > (size_t)info->max)
        wrong(r, info->path, info, value, false);
    else if (has_control(text))
        config_problem(r, GV_INVAL, info->path, "the text holds a line end or control character");
    else
        *CONFIG_FIELD(const char *, r->out, info) = config_copy(r, text);
}

static void read_enum(config_reading *r, const config_info *info, const cJSON *value)
{
    int choice =
        cJSON_IsString(value) ? config_choice_find(info->def_text, value->valuestring) : -1;

    if (choice < 0)
        wrong(r, info->path, info, value, false);
    else
        *CONFIG_FIELD(int, r->out, info) = choice;
}

static void read_list(config_reading *r, const config_info *info, const cJSON *value)
{
    int count = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : -1;
    const char **items;
    size_t used = 0;
    const cJSON *item;

    if (count < info->min || count > info->max) {
        wrong(r, info->path, info, value, false);
        return;
    }
    items = config_alloc(r, (size_t)count * sizeof *items);
    if (!items)
        return;
    cJSON_ArrayForEach(item, value)
    {
        const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
        if (!text || text[0] == '\0' || strlen(text) > 1024 || has_control(text)) {
            char path[CONFIG_PATH_MAX], found[128];
            config_path(path, "%s[%zu]", info->path, used);
            config_found(item, text != NULL, found, sizeof found);
            config_problem(r, GV_INVAL, path, "expected a text of 1 to 1024 bytes, found %s",
                           found);
        }
        items[used++] = text ? config_copy(r, text) : "";
    }
    *CONFIG_FIELD(config_list, r->out, info) = (config_list){ items, used };
}

/* librdkafka's properties that are nobody's business. */
static bool is_secret_name(const char *name)
{
    static const char *const parts[] = { "password", "secret", "ssl.key.pem",
                                         "oauthbearer.config" };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcasestr(name, parts[i]))
            return true;
    }
    return false;
}

/* Numbers and booleans are taken as their text: people write "linger.ms": 5. */
static void read_pair(config_reading *r, const config_info *info, const char *path,
                      const cJSON *value, config_pair *pair)
{
    char number[64];
    int64_t whole;

    pair->name = config_copy(r, value->string);
    pair->value = "";
    if (is_secret_name(value->string) ||
        (cJSON_IsString(value) && config_is_reference(value->valuestring))) {
        pair->reference = take_reference(r, path, value);
        if (pair->reference)
            pair->value = resolve(r, path, pair->reference, info->programs);
    } else if (cJSON_IsBool(value)) {
        pair->value = cJSON_IsTrue(value) ? "true" : "false";
    } else if (config_whole(value, -EXACT_MAX, EXACT_MAX, &whole)) {
        snprintf(number, sizeof number, "%lld", (long long)whole);
        pair->value = config_copy(r, number);
    } else if (cJSON_IsNumber(value)) {
        snprintf(number, sizeof number, "%.15g", value->valuedouble);
        pair->value = config_copy(r, number);
    } else if (cJSON_IsString(value) && !has_control(value->valuestring)) {
        pair->value = config_copy(r, value->valuestring);
    } else {
        config_found(value, true, number, sizeof number);
        config_problem(r, GV_INVAL, path, "expected a text, a number, true or false, found %s",
                       number);
    }
}

static void read_map(config_reading *r, const config_info *info, const cJSON *value)
{
    int count = cJSON_IsObject(value) ? cJSON_GetArraySize(value) : -1;
    config_pair *pairs;
    size_t used = 0;
    const cJSON *member;

    if (count < 0 || count > info->max) {
        wrong(r, info->path, info, value, false);
        return;
    }
    pairs = config_alloc(r, (size_t)count * sizeof *pairs);
    if (!pairs)
        return;
    cJSON_ArrayForEach(member, value)
    {
        char path[CONFIG_PATH_MAX], key[72];
        config_show_key(member->string, key, sizeof key);
        config_path(path, "%s[\"%s\"]", info->path, key);
        if (config_duplicate(r, value, member, path))
            continue;
        if (member->string[0] == '\0' || has_control(member->string))
            config_problem(r, GV_INVAL, path, "this is no name");
        read_pair(r, info, path, member, &pairs[used++]);
    }
    *CONFIG_FIELD(config_map, r->out, info) = (config_map){ pairs, used };
}

static void read_option(config_reading *r, const config_info *info, const cJSON *value)
{
    r->out->given[info - config_infos] = true;
    switch (info->kind) {
    case CONFIG_KIND_BOOL:
        if (!cJSON_IsBool(value))
            wrong(r, info->path, info, value, false);
        *CONFIG_FIELD(bool, r->out, info) = cJSON_IsTrue(value);
        break;
    case CONFIG_KIND_INT:
        if (!config_whole(value, info->min, info->max, CONFIG_FIELD(int64_t, r->out, info)))
            wrong(r, info->path, info, value, false);
        break;
    case CONFIG_KIND_STRING:
        read_string(r, info, value);
        break;
    case CONFIG_KIND_SECRET:
        read_secret(r, info, value);
        break;
    case CONFIG_KIND_URI:
        read_uri(r, info, value);
        break;
    case CONFIG_KIND_LIST:
        read_list(r, info, value);
        break;
    case CONFIG_KIND_MAP:
        read_map(r, info, value);
        break;
    case CONFIG_KIND_ENUM:
    default:
        read_enum(r, info, value);
        break;
    }
}

/* --- the tree --------------------------------------------------------------------------------- */
static void unknown(config_reading *r, const char *path)
{
    const char *near = config_nearest(path);

    if (near)
        config_problem(r, GV_INVAL, path, "unknown option; did you mean %s?", near);
    else
        config_problem(r, GV_INVAL, path,
                       "unknown option; \"config options\" lists all that there are");
}

static void read_group(config_reading *r, const config_group *group, const cJSON *value)
{
    const cJSON *member;
    char found[128];

    if (!cJSON_IsObject(value)) {
        config_found(value, true, found, sizeof found);
        config_problem(r, GV_INVAL, group->name, "expected an object with options in { }, found %s",
                       found);
        return;
    }
    cJSON_ArrayForEach(member, value)
    {
        char path[CONFIG_PATH_MAX], key[72];
        const config_info *info;
        config_show_key(member->string, key, sizeof key);
        config_path(path, "%s.%s", group->name, key);
        info = strchr(member->string, '.') ? NULL : config_find(path);
        if (config_duplicate(r, value, member, path))
            continue;
        if (info)
            read_option(r, info, member);
        else
            unknown(r, path);
    }
}

static void read_root(config_reading *r, const cJSON *root)
{
    const cJSON *member;
    char found[128];

    if (!cJSON_IsObject(root)) {
        config_found(root, true, found, sizeof found);
        config_problem(r, GV_INVAL, "", "expected an object with options in { }, found %s", found);
        return;
    }
    cJSON_ArrayForEach(member, root)
    {
        char key[72];
        const config_group *group;
        const config_info *info;
        config_show_key(member->string, key, sizeof key);
        group = key[0] ? config_group_find(key, strlen(key)) : NULL;
        info = config_group_len(key) ? NULL : config_find(key);
        if (config_duplicate(r, root, member, key))
            continue;
        if (strcmp(key, "sources") == 0)
            config_read_sources(r, member);
        else if (group)
            read_group(r, group, member);
        else if (info)
            read_option(r, info, member);
        else if (config_group_len(key) && config_find(key))
            config_problem(r, GV_INVAL, key, "write it as \"%.*s\": { \"%s\": ... }",
                           (int)config_group_len(key), key, key + config_group_len(key) + 1);
        else
            unknown(r, key);
    }
}

static void set_defaults(config_reading *r)
{
    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const config_info *info = &config_infos[i];
        const char **item;
        switch (info->kind) {
        case CONFIG_KIND_BOOL:
            *CONFIG_FIELD(bool, r->out, info) = info->def_number != 0;
            break;
        case CONFIG_KIND_INT:
            *CONFIG_FIELD(int64_t, r->out, info) = info->def_number;
            break;
        case CONFIG_KIND_ENUM:
            *CONFIG_FIELD(int, r->out, info) = config_choice_default(info->def_text);
            break;
        case CONFIG_KIND_LIST:
            item = info->def_text[0] ? config_alloc(r, sizeof *item) : NULL;
            if (item)
                *item = info->def_text;
            *CONFIG_FIELD(config_list, r->out, info) = (config_list){ item, item ? 1 : 0 };
            break;
        case CONFIG_KIND_MAP:
            break;
        default:
            *CONFIG_FIELD(const char *, r->out, info) = info->def_text;
            break;
        }
    }
}

void config_defaults(gv_arena *arena, gv_config *out)
{
    config_reader reader = { .program = CONFIG_BOTH, .name = "", .arena = arena };
    config_reading r = { &reader, out, NULL, GV_OK, 0, false };

    memset(out, 0, sizeof *out);
    set_defaults(&r);
}

/* The texts' tree; NULL after a report. `text` has one byte behind its end for a NUL. */
static cJSON *parse_tree(config_reading *r, char *text, size_t len)
{
    config_syntax syntax;
    cJSON *root;

    if (!config_text_clean(text, len, &syntax)) {
        config_reading at = *r;
        char name[256];
        config_reader reader = *r->reader;
        snprintf(name, sizeof name, "%.200s:%zu:%zu", reader.name, syntax.line, syntax.column);
        reader.name = name;
        at.reader = &reader;
        config_problem(&at, GV_INVAL, "", "%s", syntax.text);
        r->status = at.status;
        return NULL;
    }
    text[len] = '\0';
    root = cJSON_ParseWithLength(text, len + 1);
    if (!root)
        config_problem(r, GV_FULL, "", "no memory to read the configuration");
    return root;
}

gv_status config_parse(const config_reader *reader, gv_span text, gv_config *out, gv_error *err)
{
    config_reading r = { reader, out, err, GV_OK, 0, false };
    char *copy = NULL;
    cJSON *root;

    memset(out, 0, sizeof *out);
    if (text.len > CONFIG_FILE_MAX_BYTES) {
        config_problem(&r, GV_INVAL, "", "larger than %zu KiB: this is no configuration",
                       CONFIG_FILE_MAX_BYTES / 1024);
        return r.status;
    }
    copy = cJSON_malloc(text.len + 1);
    if (!copy) {
        config_problem(&r, GV_FULL, "", "no memory to read the configuration");
        return r.status;
    }
    if (text.len)
        memcpy(copy, text.data, text.len);
    root = parse_tree(&r, copy, text.len);
    if (root) {
        set_defaults(&r);
        read_root(&r, root);
        config_check(&r);
        if (r.problems > PROBLEMS_MAX && reader->report)
            reader->report(reader->ctx, false, "there are more problems, which are not shown");
    }
    cJSON_Delete(root);
    cJSON_free(copy);
    return r.status;
}

const char *config_json_version(void)
{
    return cJSON_Version();
}
