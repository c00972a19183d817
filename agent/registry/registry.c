#include "agent/registry/registry.h"

#include "agent/net/http_url.h"
#include "agent/registry/cache_file.h"
#include "agent/registry/call.h"
#include "agent/registry/reply.h"
#include "platform/log.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX_BYTES  65536
#define SCHEMA_MAX_BYTES 262144
#define OWN_SUFFIX_BYTES 17 /* ".<fingerprint>" */

typedef enum { LOOK_UP, CHECK, REGISTER } step;

/* One of our schemas, and how far we are with it. */
typedef struct {
    const registry_schema *schema;
    char subject[CACHE_SUBJECT_MAX];
    size_t common_len; /* of the subject that all versions share; what follows makes it its own */
    bool known;        /* an id is in the cache, perhaps from an earlier run */
    bool confirmed;    /* and the registry gave it in this run */
    bool refused;      /* the registry answered, and a person must act: waits by itself */
    uint64_t due_ms;
    char words[320]; /* what is in the way; "" nothing yet */
} item;

struct registry {
    registry_config config;
    const plat_fs *fs;
    const plat_clock *clock;
    void (*on_id)(void *ctx);
    void *ctx;
    size_t best;

    registry_call ask;
    item *current;
    step step;
    uint32_t delay_ms; /* the last wait after nobody answered; 0 none */
    uint64_t random;

    registry_call fetch;
    uint32_t fetch_id;
    void (*fetch_done)(void *ctx, gv_status status, const char *text, const gv_error *err);
    void *fetch_ctx;

    registry_cache cache;
    uint64_t save_ms; /* when to write the cache; UINT64_MAX: it is written */
    char state[400];
    size_t count;
    item items[];
};

/* --- time -------------------------------------------------------------------------------------- */
/* From half of `ms` to all of it, so that boards that lost the registry together come back apart. */
static uint64_t jittered(registry *r, uint64_t ms)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return ms - r->random % (ms / 2 + 1);
}

static uint64_t later(registry *r, uint64_t ms)
{
    return plat_mono_ms(r->clock) + jittered(r, ms);
}

/* --- words ------------------------------------------------------------------------------------- */
static void update_state(registry *r)
{
    size_t missing = 0;
    const item *first = NULL;
    for (size_t i = 0; i < r->count; i++)
        if (!r->items[i].known) {
            first = first && first->words[0] ? first : &r->items[i];
            missing++;
        }
    if (missing == 0)
        snprintf(r->state, sizeof r->state, "all schema ids known");
    else
        snprintf(r->state, sizeof r->state, "%zu of %zu schema ids missing: %s", missing, r->count,
                 first->words[0] ? first->words : "asking the registry");
}

/* Says it in the log when it is new. */
static void complain(item *it, const char *words)
{
    if (strcmp(it->words, words) == 0)
        return;
    snprintf(it->words, sizeof it->words, "%s", words);
    GV_LOG(GV_LOG_WARN,
           gv_kmsg(it->known ? "schema id not confirmed, the known one stays in use"
                             : "schema id not known"),
           gv_kstr("subject", it->subject), gv_kstr("reason", it->words));
    if (it->schema->file && it->refused && !it->known)
        GV_LOG(GV_LOG_ERROR,
               gv_kmsg("spooled records wait for this older schema, and are kept: register the "
                       "file's text under the subject"),
               gv_kstr("file", it->schema->file), gv_kstr("subject", it->subject));
}

/* --- the cache file ---------------------------------------------------------------------------- */
static void save_cache(registry *r)
{
    gv_error err = { 0 };
    r->save_ms = UINT64_MAX;
    if (!r->config.cache_path)
        return;
    if (cache_save(&r->cache, r->fs, r->config.cache_path, &err) != GV_OK) {
        r->save_ms = later(r, r->config.retry_max_ms);
        GV_LOG(GV_LOG_WARN, gv_kmsg("cannot write the cache of schema ids; tried again later"),
               gv_kstr("reason", err.text));
    }
}

/* --- asking for an id -------------------------------------------------------------------------- */
static call_done on_answer;

static char *schema_body(const char *schema)
{
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    if (json && cJSON_AddStringToObject(json, "schema", schema) &&
        cJSON_AddStringToObject(json, "schemaType", "AVRO"))
        text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

/* A subject has only characters that stand for themselves in a path (cache_subject_valid). */
static void go(registry *r, item *it, step next)
{
    char path[CALL_PATH_MAX];
    char *body = schema_body(it->schema->text);
    r->current = it;
    r->step = next;
    if (!body) {
        complain(it, "no memory for a request");
        it->due_ms = later(r, r->config.retry_max_ms);
        return;
    }
    if (next == LOOK_UP)
        snprintf(path, sizeof path, "/subjects/%s", it->subject);
    else if (next == CHECK)
        snprintf(path, sizeof path, "/compatibility/subjects/%s/versions/latest?verbose=true",
                 it->subject);
    else
        snprintf(path, sizeof path, "/subjects/%s/versions", it->subject);
    call_start(&r->ask, "POST", path, body, on_answer);
}

static void use_common_subject(item *it)
{
    it->subject[it->common_len] = '\0';
}

static void use_own_subject(item *it)
{
    snprintf(it->subject + it->common_len, OWN_SUFFIX_BYTES + 1, ".%016" PRIx64,
             it->schema->fingerprint);
}

/* Those that waited because nobody answered need not wait any longer. */
static void answered(registry *r)
{
    r->delay_ms = 0;
    for (size_t i = 0; i < r->count; i++)
        if (!r->items[i].refused)
            r->items[i].due_ms = 0;
}

static void got_id(registry *r, item *it, uint32_t id)
{
    const cache_entry *before = cache_find(&r->cache, it->schema->fingerprint, it->subject);
    bool changed = !before || before->id != id;
    if (before && changed)
        GV_LOG(GV_LOG_WARN,
               gv_kmsg("the registry has another id for a known schema: was it made anew?"),
               gv_kstr("subject", it->subject), gv_kuint("before", before->id), gv_kuint("id", id));
    cache_put(&r->cache, it->schema->fingerprint, it->subject, id); /* has room: checked at open */
    it->known = it->confirmed = true;
    it->words[0] = '\0';
    answered(r);
    if (!changed)
        return;
    GV_LOG(GV_LOG_INFO, gv_kmsg(r->step == REGISTER ? "schema registered" : "schema id found"),
           gv_kstr("subject", it->subject), gv_kuint("id", id));
    save_cache(r);
    if (r->on_id)
        r->on_id(r->ctx);
}

/* Nobody answered, or not in the way the API promises: everything waits, longer each time. */
static void away(registry *r, item *it, const char *words, int64_t retry_after_s)
{
    uint64_t max = r->config.retry_max_ms;
    uint64_t next = r->delay_ms ? (uint64_t)r->delay_ms * 2 : r->config.retry_min_ms;
    r->delay_ms = (uint32_t)(next < max ? next : max);
    uint64_t due = later(r, r->delay_ms);
    if (retry_after_s > 0) { /* what the server asks for, within reason */
        uint64_t asked = (uint64_t)(retry_after_s < 3600 ? retry_after_s : 3600) * 1000;
        if (due < plat_mono_ms(r->clock) + asked)
            due = plat_mono_ms(r->clock) + asked;
    }
    it->refused = false;
    complain(it, words);
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].due_ms < due)
            r->items[i].due_ms = due;
}

/* The registry answered, and only a person can change what it said: asked again, but slowly. */
static void refused(registry *r, item *it, const char *words)
{
    it->refused = true;
    answered(r);
    complain(it, words);
    it->due_ms = later(r, r->config.retry_max_ms);
}

static void refused_with(registry *r, item *it, int http_status, gv_span body)
{
    char words[320];
    char message[160];
    int code = reply_error(body, message, sizeof message);
    if (http_status == 401 || http_status == 403)
        snprintf(words, sizeof words,
                 "the registry refuses access (status %d): check registry.username and "
                 "registry.password, and what that user may do",
                 http_status);
    else if (http_status == 409)
        snprintf(words, sizeof words,
                 "the schema is not compatible with the one registered before: %s", message);
    else
        snprintf(words, sizeof words, "the registry refuses the schema (status %d, error %d): %s",
                 http_status, code, message);
    refused(r, it, words);
}

static void not_registered(registry *r, item *it)
{
    if (it->schema->file && !it->subject[it->common_len]) {
        use_own_subject(it);
        go(r, it, LOOK_UP);
    } else if (r->config.may_register)
        go(r, it, CHECK);
    else
        refused(r, it,
                "the schema is not registered under this subject: register it, or let the agent "
                "do so (registry.register)");
}

static void judge_check(registry *r, item *it, gv_span body)
{
    char words[320];
    char why[160];
    bool compatible = false;
    gv_error err = { 0 };
    if (reply_compatible(body, &compatible, why, sizeof why, &err) != GV_OK) {
        away(r, it, err.text, -1);
    } else if (compatible) {
        go(r, it, REGISTER);
    } else {
        snprintf(words, sizeof words,
                 "the schema is not compatible with the one registered before%s%s",
                 why[0] ? ": " : "", why);
        refused(r, it, words);
    }
}

static void on_answer(void *ctx, gv_status status, const call_answer *answer, int64_t retry_after_s,
                      const gv_error *err)
{
    registry *r = ctx;
    item *it = r->current;
    r->current = NULL;
    if (status != GV_OK) {
        away(r, it, err->text, retry_after_s);
    } else if (answer->http_status == 404 && r->step == LOOK_UP) {
        not_registered(r, it);
    } else if (answer->http_status == 404 && r->step == CHECK) {
        go(r, it, REGISTER); /* no version yet: nothing to be compatible with */
    } else if (answer->http_status >= 300) {
        refused_with(r, it, answer->http_status, answer->body);
    } else if (r->step == CHECK) {
        judge_check(r, it, answer->body);
    } else {
        uint32_t id;
        gv_error wrong = { 0 };
        if (reply_id(answer->body, &id, &wrong) == GV_OK) {
            got_id(r, it, id);
        } else { /* another of the addresses may be better */
            r->best = (r->best + 1) % r->config.url_count;
            away(r, it, wrong.text, -1);
        }
    }
    update_state(r);
}

/* --- the agent's side -------------------------------------------------------------------------- */
static gv_status make_subject(char out[CACHE_SUBJECT_MAX], registry_strategy strategy,
                              const registry_schema *schema, gv_error *err)
{
    int n = strategy == REGISTRY_TOPIC_NAME
                ? snprintf(out, CACHE_SUBJECT_MAX, "%s-value", schema->topic)
            : strategy == REGISTRY_RECORD_NAME
                ? snprintf(out, CACHE_SUBJECT_MAX, "%s", schema->record_name)
                : snprintf(out, CACHE_SUBJECT_MAX, "%s-%s", schema->topic, schema->record_name);
    if (n < 0 || n >= CACHE_SUBJECT_MAX - (schema->file ? OWN_SUFFIX_BYTES : 0) ||
        !cache_subject_valid(out))
        return gv_fail(err, GV_INVAL,
                       "\"%.100s\" cannot be a subject: only letters, digits, '.', '_' and '-'",
                       out);
    return GV_OK;
}

static gv_status check_config(const registry_config *config, size_t schemas, gv_error *err)
{
    if (config->url_count == 0)
        return gv_fail(err, GV_INVAL, "no address of a Schema Registry is configured");
    if (schemas > CACHE_ENTRIES)
        return gv_fail(err, GV_INVAL, "more than %d schemas", CACHE_ENTRIES);
    for (size_t i = 0; i < config->url_count; i++) {
        char shown[HTTP_URL_SHOWN_MAX];
        http_url_show(config->urls[i], shown, sizeof shown);
        if (!http_url_valid(config->urls[i]) || strpbrk(config->urls[i], "?#") ||
            strlen(config->urls[i]) >= CALL_URL_MAX)
            return gv_fail(err, GV_INVAL,
                           "\"%s\" is no registry's address: expected http://host:port/path",
                           shown);
    }
    return GV_OK;
}

static void set_call(registry *r, registry_call *call, http_client *http, size_t max_reply)
{
    call->http = http;
    call->clock = r->clock;
    call->config = &r->config;
    call->best = &r->best;
    call->max_reply = max_reply;
    call->ctx = r;
    call->retry_ms = UINT64_MAX;
}

/* Whether an id for it is on disk, under either subject. */
static void find_known(registry *r, item *it)
{
    it->common_len = strlen(it->subject);
    it->known = cache_find(&r->cache, it->schema->fingerprint, it->subject) != NULL;
    if (it->known || !it->schema->file)
        return;
    use_own_subject(it);
    it->known = cache_find(&r->cache, it->schema->fingerprint, it->subject) != NULL;
    if (!it->known)
        use_common_subject(it);
}

/* Entries of the cache that none of our schemas needs give way only here, and only for want of
 * room: a schema of ours must always fit. */
static void make_room(registry *r)
{
    size_t missing = 0;
    for (size_t i = 0; i < r->count; i++)
        missing += !r->items[i].known || r->items[i].schema->file;
    for (size_t i = 0; i < r->cache.count && r->cache.count + missing > CACHE_ENTRIES;) {
        bool ours = false;
        for (size_t k = 0; k < r->count; k++)
            ours = ours || cache_find(&r->cache, r->items[k].schema->fingerprint,
                                      r->items[k].subject) == &r->cache.entries[i];
        if (ours) {
            i++;
            continue;
        }
        r->cache.count--;
        memmove(&r->cache.entries[i], &r->cache.entries[i + 1],
                (r->cache.count - i) * sizeof r->cache.entries[0]);
    }
}

gv_status registry_open(const registry_config *config, http_client *http, const plat_fs *fs,
                        const plat_clock *clock, const registry_schema *schemas, size_t count,
                        void (*on_id)(void *ctx), void *ctx, registry **out, gv_error *err)
{
    gv_status status = check_config(config, count, err);
    if (status != GV_OK)
        return status;
    registry *r = calloc(1, sizeof *r + count * sizeof(item));
    if (!r)
        return gv_fail(err, GV_FULL, "no memory for the registry");
    r->config = *config;
    r->fs = fs;
    r->clock = clock;
    r->on_id = on_id;
    r->ctx = ctx;
    r->count = count;
    r->save_ms = UINT64_MAX;
    r->random =
        plat_mono_ms(clock) * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)plat_wall_ms(clock) ^ 1;
    set_call(r, &r->ask, http, REPLY_MAX_BYTES);
    set_call(r, &r->fetch, http, SCHEMA_MAX_BYTES);
    cache_load(&r->cache, fs, config->cache_path, config->urls, config->url_count);
    for (size_t i = 0; i < count && status == GV_OK; i++) {
        item *it = &r->items[i];
        it->schema = &schemas[i];
        status = make_subject(it->subject, config->strategy, it->schema, err);
        if (status == GV_OK)
            find_known(r, it);
    }
    if (status != GV_OK) {
        registry_close(r);
        return status;
    }
    make_room(r);
    update_state(r);
    *out = r;
    return GV_OK;
}

void registry_close(registry *r)
{
    if (!r)
        return;
    if (r->save_ms != UINT64_MAX)
        save_cache(r);
    call_cancel(&r->ask);
    call_cancel(&r->fetch);
    free(r);
}

/* For a schema of an earlier run, whose record name we do not know: whether the subject fits. */
static bool subject_of_topic(registry_strategy strategy, const char *subject, const char *topic)
{
    size_t len = strlen(topic);
    if (strategy == REGISTRY_RECORD_NAME)
        return true;
    if (strncmp(subject, topic, len) != 0 || subject[len] != '-')
        return false;
    return strategy == REGISTRY_TOPIC_RECORD_NAME || strcmp(subject + len, "-value") == 0;
}

gv_status registry_id(const registry *r, const char *topic, uint64_t fingerprint, uint32_t *id)
{
    const cache_entry *found = NULL;
    for (size_t i = 0; i < r->count; i++) {
        const item *it = &r->items[i];
        if (it->schema->fingerprint != fingerprint || strcmp(it->schema->topic, topic) != 0)
            continue;
        found = cache_find(&r->cache, fingerprint, it->subject);
        if (!found && !it->schema->file)
            return GV_AGAIN;
    }
    for (size_t i = 0; i < r->cache.count && !found; i++)
        if (r->cache.entries[i].fingerprint == fingerprint &&
            subject_of_topic(r->config.strategy, r->cache.entries[i].subject, topic))
            found = &r->cache.entries[i];
    if (!found)
        return GV_AGAIN;
    *id = found->id;
    return GV_OK;
}

static uint64_t ask_next(registry *r)
{
    uint64_t now = plat_mono_ms(r->clock);
    item *next = NULL;
    if (r->ask.busy)
        return UINT64_MAX;
    for (size_t i = 0; i < r->count; i++) {
        item *it = &r->items[i];
        if (!it->confirmed && (!next || it->due_ms < next->due_ms))
            next = it;
    }
    if (!next)
        return UINT64_MAX;
    if (next->due_ms > now)
        return next->due_ms;
    if (!next->known) /* somebody may have registered an older one under either subject */
        use_common_subject(next);
    go(r, next, LOOK_UP);
    return now;
}

uint64_t registry_tick(registry *r)
{
    uint64_t next = ask_next(r);
    uint64_t asked = call_tick(&r->ask);
    uint64_t fetched = call_tick(&r->fetch);
    if (r->save_ms <= plat_mono_ms(r->clock))
        save_cache(r);
    if (r->ask.busy)
        next = asked;
    next = fetched < next ? fetched : next;
    return r->save_ms < next ? r->save_ms : next;
}

const char *registry_state(const registry *r)
{
    return r->state;
}

bool registry_complete(const registry *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (!r->items[i].known)
            return false;
    return true;
}

bool registry_in_trouble(const registry *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->items[i].words[0])
            return true;
    return false;
}

/* --- the sink's side --------------------------------------------------------------------------- */
static void on_fetched(void *ctx, gv_status status, const call_answer *answer,
                       int64_t retry_after_s, const gv_error *err)
{
    registry *r = ctx;
    char *text = NULL;
    gv_error error = *err;
    (void)retry_after_s;
    if (status == GV_OK && answer->http_status == 404) {
        status = gv_fail(&error, GV_INVAL, "the registry does not know the schema id %" PRIu32,
                         r->fetch_id);
    } else if (status == GV_OK && answer->http_status >= 300) {
        char message[160];
        int code = reply_error(answer->body, message, sizeof message);
        status =
            gv_fail(&error, GV_IO,
                    "the registry refuses to give schema %" PRIu32 " (status %d, error %d): %s",
                    r->fetch_id, answer->http_status, code, message);
    } else if (status == GV_OK) {
        status = reply_schema(answer->body, &text, &error);
        if (status == GV_CORRUPT ||
            status == GV_FULL) { /* perhaps only this time, or this address */
            status = GV_IO;
            r->best = (r->best + 1) % r->config.url_count;
        }
    }
    r->fetch_done(r->fetch_ctx, status, text, &error);
    free(text);
}

gv_status registry_fetch(registry *r, uint32_t id,
                         void (*done)(void *ctx, gv_status status, const char *text,
                                      const gv_error *err),
                         void *ctx, gv_error *err)
{
    char path[64];
    (void)err;
    if (r->fetch.busy)
        return GV_AGAIN;
    snprintf(path, sizeof path, "/schemas/ids/%" PRIu32, id);
    r->fetch_id = id;
    r->fetch_done = done;
    r->fetch_ctx = ctx;
    call_start(&r->fetch, "GET", path, NULL, on_fetched);
    return GV_OK;
}
