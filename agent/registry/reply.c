#include "agent/registry/reply.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

static gv_status wrong(gv_error *err, const char *what)
{
    return gv_fail(err, GV_CORRUPT, "the registry's reply %s", what);
}

/* The whole body as one object; NULL with words when it is none. */
static cJSON *parse(gv_span body, gv_error *err)
{
    const char *end = NULL;
    const char *begin = (const char *)body.data;
    cJSON *json = body.len ? cJSON_ParseWithLengthOpts(begin, body.len, &end, 0) : NULL;
    if (json) {
        while (end < begin + body.len && strchr(" \t\r\n", *end) && *end)
            end++;
        if (end == begin + body.len && cJSON_IsObject(json))
            return json;
        cJSON_Delete(json);
    }
    wrong(err, "is not a JSON object");
    return NULL;
}

static const cJSON *member(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

/* A whole number from `least` to 2^31 - 1. */
static bool whole(const cJSON *item, int least, int *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= least) ||
        !(item->valuedouble <= 2147483647.0) || item->valuedouble != (int)item->valuedouble)
        return false;
    *value = (int)item->valuedouble;
    return true;
}

static void copy_printable(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; text && *text && n + 1 < cap; text++)
        out[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
    out[n] = '\0';
}

gv_status reply_id(gv_span body, uint32_t *id, gv_error *err)
{
    int value;
    cJSON *json = parse(body, err);
    if (!json)
        return GV_CORRUPT;
    bool good = whole(member(json, "id"), 1, &value);
    cJSON_Delete(json);
    if (!good)
        return wrong(err, "has no \"id\" from 1 to 2147483647");
    *id = (uint32_t)value;
    return GV_OK;
}

gv_status reply_compatible(gv_span body, bool *compatible, char *why, size_t cap, gv_error *err)
{
    cJSON *json = parse(body, err);
    why[0] = '\0';
    if (!json)
        return GV_CORRUPT;
    const cJSON *verdict = member(json, "is_compatible");
    const cJSON *messages = member(json, "messages");
    bool good = cJSON_IsBool(verdict);
    if (good) {
        *compatible = cJSON_IsTrue(verdict);
        const cJSON *first = cJSON_IsArray(messages) ? cJSON_GetArrayItem(messages, 0) : NULL;
        if (cJSON_IsString(first))
            copy_printable(why, cap, first->valuestring);
    }
    cJSON_Delete(json);
    return good ? GV_OK : wrong(err, "has no \"is_compatible\"");
}

static gv_status take_schema(const cJSON *json, char **text, gv_error *err)
{
    const cJSON *type = member(json, "schemaType");
    const cJSON *references = member(json, "references");
    const cJSON *schema = member(json, "schema");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "AVRO") != 0) {
        char name[24];
        copy_printable(name, sizeof name, type->valuestring);
        return gv_fail(err, GV_INVAL, "the schema is of type %s; only AVRO is understood", name);
    }
    if (cJSON_GetArraySize(references) > 0)
        return gv_fail(err, GV_INVAL, "the schema refers to other schemas, which is not supported");
    if (!cJSON_IsString(schema) || schema->valuestring[0] == '\0')
        return wrong(err, "has no \"schema\"");
    *text = strdup(schema->valuestring);
    return *text ? GV_OK : gv_fail(err, GV_FULL, "no memory for a schema");
}

gv_status reply_schema(gv_span body, char **text, gv_error *err)
{
    cJSON *json = parse(body, err);
    *text = NULL;
    if (!json)
        return GV_CORRUPT;
    gv_status status = take_schema(json, text, err);
    cJSON_Delete(json);
    return status;
}

int reply_error(gv_span body, char *message, size_t cap)
{
    int code = 0;
    cJSON *json = parse(body, NULL);
    message[0] = '\0';
    if (!json)
        return 0;
    if (whole(member(json, "error_code"), 1, &code)) {
        const cJSON *text = member(json, "message");
        copy_printable(message, cap, cJSON_IsString(text) ? text->valuestring : "");
    }
    cJSON_Delete(json);
    return code;
}
