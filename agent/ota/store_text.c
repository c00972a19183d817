#include "agent/ota/store_text.h"

#include "agent/codec/digest.h"
#include "agent/ota/bundle.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER       "gavel-updates 1 "
#define HEADER_BYTES (sizeof HEADER - 1 + 16 + 1) /* digest, end of line */

static const char *const outcome_names[UPDATE_OUTCOMES] = { "none",    "trial",     "committed",
                                                            "refused", "postponed", "reverted" };

const char *update_outcome_name(update_outcome outcome)
{
    return outcome_names[outcome];
}

/* --- to text ---------------------------------------------------------------------------------- */
static cJSON *print_ref(const store_ref *ref)
{
    cJSON *out = cJSON_CreateObject();
    if (!cJSON_AddNumberToObject(out, "version", (double)ref->version) ||
        !cJSON_AddStringToObject(out, "sha256", ref->sha256)) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* Takes over `item`, which may be NULL for want of memory. */
static bool add(cJSON *to, const char *name, cJSON *item)
{
    bool is_added =
        item && (name ? cJSON_AddItemToObject(to, name, item) : cJSON_AddItemToArray(to, item));
    if (!is_added)
        cJSON_Delete(item);
    return is_added;
}

static bool add_refused(cJSON *to, const store_refused *refused)
{
    cJSON *item = print_ref(&refused->update);
    bool is_whole = item && cJSON_AddStringToObject(item, "reason", refused->reason);
    return add(to, NULL, item) && is_whole;
}

static bool add_event(cJSON *to, const store_event *event)
{
    cJSON *item = print_ref(&event->update);
    bool is_whole = item &&
                    cJSON_AddStringToObject(item, "outcome", update_outcome_name(event->outcome)) &&
                    cJSON_AddStringToObject(item, "reason", event->reason) &&
                    cJSON_AddNumberToObject(item, "at_ms", (double)event->at_ms);
    return add(to, NULL, item) && is_whole;
}

static bool add_record(cJSON *to, const store_state *s)
{
    return cJSON_AddNumberToObject(to, "stage", s->record.stage) &&
           cJSON_AddNumberToObject(to, "starts", s->record.starts) &&
           cJSON_AddNumberToObject(to, "postponed", s->record.postponed) &&
           cJSON_AddStringToObject(to, "missing", s->missing);
}

static bool add_all(cJSON *root, const store_state *s)
{
    bool is_whole = cJSON_AddNumberToObject(root, "highest", (double)s->highest) &&
                    add(root, "good", print_ref(&s->good)) &&
                    add(root, "previous", print_ref(&s->previous)) &&
                    add(root, "trial", print_ref(&s->trial)) && add_record(root, s);
    cJSON *refused = is_whole ? cJSON_AddArrayToObject(root, "refused") : NULL;
    cJSON *history = refused ? cJSON_AddArrayToObject(root, "history") : NULL;
    is_whole = history != NULL;
    for (size_t i = 0; i < s->refused_count && is_whole; i++)
        is_whole = add_refused(refused, &s->refused[i]);
    for (size_t i = 0; i < s->history_count && is_whole; i++)
        is_whole = add_event(history, &s->history[i]);
    return is_whole;
}

char *store_print(const store_state *state, size_t *len)
{
    cJSON *root = cJSON_CreateObject();
    char *text = malloc(STORE_TEXT_MAX), *json = text + HEADER_BYTES;
    bool is_whole = text && root && add_all(root, state) &&
                    cJSON_PrintPreallocated(root, json, (int)(STORE_TEXT_MAX - HEADER_BYTES), true);
    cJSON_Delete(root);
    if (!is_whole) {
        free(text);
        return NULL;
    }
    char header[HEADER_BYTES + 1];
    snprintf(header, sizeof header, HEADER "%016" PRIx64 "\n", codec_digest(gv_span_str(json)));
    memcpy(text, header, HEADER_BYTES);
    *len = HEADER_BYTES + strlen(json);
    return text;
}

/* --- from text -------------------------------------------------------------------------------- */
static bool read_number(const cJSON *from, const char *name, uint64_t max, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= (double)max))
        return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

static bool read_text(const cJSON *from, const char *name, char *out, size_t cap)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    if (!cJSON_IsString(item) || strlen(item->valuestring) >= cap)
        return false;
    memcpy(out, item->valuestring, strlen(item->valuestring) + 1);
    return true;
}

static bool read_ref(const cJSON *from, store_ref *out)
{
    return read_number(from, "version", BUNDLE_VERSION_MAX, &out->version) &&
           read_text(from, "sha256", out->sha256, sizeof out->sha256);
}

static bool read_event(const cJSON *from, store_event *out)
{
    char name[16];
    uint64_t at_ms;
    if (!read_ref(from, &out->update) || !read_text(from, "outcome", name, sizeof name) ||
        !read_text(from, "reason", out->reason, sizeof out->reason) ||
        !read_number(from, "at_ms", BUNDLE_VERSION_MAX, &at_ms))
        return false;
    out->at_ms = (int64_t)at_ms;
    for (int i = 0; i < UPDATE_OUTCOMES; i++)
        if (strcmp(name, outcome_names[i]) == 0) {
            out->outcome = (update_outcome)i;
            return true;
        }
    return false;
}

static bool read_record(const cJSON *root, store_state *s)
{
    uint64_t stage, starts, postponed;
    if (!read_number(root, "stage", TRIAL_WAITING, &stage) ||
        !read_number(root, "starts", UINT32_MAX, &starts) ||
        !read_number(root, "postponed", UINT32_MAX, &postponed))
        return false;
    s->record = (trial_record){ (trial_stage)stage, (unsigned)starts, (unsigned)postponed };
    return read_text(root, "missing", s->missing, sizeof s->missing);
}

static bool read_lists(const cJSON *root, store_state *s)
{
    const cJSON *refused = cJSON_GetObjectItemCaseSensitive(root, "refused");
    const cJSON *history = cJSON_GetObjectItemCaseSensitive(root, "history");
    const cJSON *item;
    if (!cJSON_IsArray(refused) || cJSON_GetArraySize(refused) > STORE_REFUSED_MAX ||
        !cJSON_IsArray(history) || cJSON_GetArraySize(history) > STORE_HISTORY_MAX)
        return false;
    cJSON_ArrayForEach(item, refused)
    {
        store_refused *r = &s->refused[s->refused_count++];
        if (!read_ref(item, &r->update) || !read_text(item, "reason", r->reason, sizeof r->reason))
            return false;
    }
    cJSON_ArrayForEach(item, history)
    {
        if (!read_event(item, &s->history[s->history_count++]))
            return false;
    }
    return true;
}

static bool read_all(const cJSON *root, store_state *s)
{
    return read_number(root, "highest", BUNDLE_VERSION_MAX, &s->highest) &&
           read_ref(cJSON_GetObjectItemCaseSensitive(root, "good"), &s->good) &&
           read_ref(cJSON_GetObjectItemCaseSensitive(root, "previous"), &s->previous) &&
           read_ref(cJSON_GetObjectItemCaseSensitive(root, "trial"), &s->trial) &&
           read_record(root, s) && read_lists(root, s);
}

gv_status store_parse(gv_span text, store_state *state, gv_error *err)
{
    char header[HEADER_BYTES + 1];
    *state = (store_state){ 0 };
    if (text.len < HEADER_BYTES)
        return gv_fail(err, GV_CORRUPT, "it is cut short");
    gv_span json = gv_span_of(text.data + HEADER_BYTES, text.len - HEADER_BYTES);
    snprintf(header, sizeof header, HEADER "%016" PRIx64 "\n", codec_digest(json));
    if (memcmp(header, text.data, HEADER_BYTES) != 0)
        return gv_fail(err, GV_CORRUPT, "its checksum does not hold");
    cJSON *root = cJSON_ParseWithLength((const char *)json.data, json.len);
    bool is_whole = read_all(root, state);
    cJSON_Delete(root);
    if (!is_whole)
        *state = (store_state){ 0 };
    return is_whole ? GV_OK : gv_fail(err, GV_CORRUPT, "it is of no known form");
}
