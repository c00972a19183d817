/* merge.c - an update from over the air, and what of a board's own file stays in force beside it.
 *
 * Here is decided what an update may say at all; whether its options are good is for config_parse().
 */
#include "agent/config/internal.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The tree of a text; NULL after a failure. `whose` is "update" or "board's own file". */
static cJSON *parse_object(gv_span text, const char *whose, gv_status *status, gv_error *err)
{
    config_syntax problem;
    cJSON *root = NULL;
    char *copy = text.len <= CONFIG_FILE_MAX_BYTES ? malloc(text.len + 1) : NULL;

    *status = GV_FULL;
    if (!copy) {
        gv_fail(err, GV_FULL, "the %s is too large to be read", whose);
        return NULL;
    }
    if (text.len)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (!config_text_clean(copy, text.len, &problem)) {
        *status = gv_fail(err, GV_INVAL, "%s, line %zu, column %zu: %s", whose, problem.line,
                          problem.column, problem.text);
    } else {
        root = cJSON_ParseWithLength(copy, text.len + 1);
        if (!root)
            gv_fail(err, GV_FULL, "no memory to read the %s", whose);
    }
    if (root && !cJSON_IsObject(root)) {
        *status = gv_fail(err, GV_INVAL, "the %s is no object with options in { }", whose);
        cJSON_Delete(root);
        root = NULL;
    }
    free(copy);
    return root;
}

/* --- what an update may say ------------------------------------------------------------------- */
static gv_status belongs(const char *path, const char *why, gv_error *err)
{
    return gv_fail(err, GV_INVAL,
                   "%s: it belongs to the board: %s; take it out of the update, the board's own "
                   "file sets it",
                   path, why);
}

static bool has_reference(const cJSON *value)
{
    const cJSON *child;

    if (cJSON_IsString(value))
        return config_is_reference(value->valuestring);
    cJSON_ArrayForEach(child, value) /* of an object as well */
    {
        if (has_reference(child))
            return true;
    }
    return false;
}

bool config_property_is_local(const char *name)
{
    static const char *const parts[] = { "location", "plugin", "kinit", "engine", "username" };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcasestr(name, parts[i]))
            return true;
    return false;
}

static gv_status property_belongs(const char *name, const char *why, gv_error *err)
{
    char path[CONFIG_PATH_MAX], key[72];

    config_show_key(name, key, sizeof key);
    config_path(path, "%s[\"%s\"]", config_infos[CONFIG_OPTION_kafka_properties].path, key);
    return belongs(path, why, err);
}

static gv_status check_properties(const cJSON *properties, gv_error *err)
{
    const cJSON *property;

    cJSON_ArrayForEach(property, properties)
    {
        if (property->string && config_property_is_local(property->string))
            return property_belongs(property->string, "it names something there", err);
    }
    return GV_OK;
}

static gv_status check_value(const char *path, const cJSON *value, gv_error *err)
{
    const config_info *info = config_find(path);
    const char *why = info ? config_board_owned(info) : NULL;

    if (!why && has_reference(value))
        why = "secrets, and what refers to them, never travel";
    if (why)
        return belongs(path, why, err);
    return info == &config_infos[CONFIG_OPTION_kafka_properties] ? check_properties(value, err)
                                                                 : GV_OK;
}

static gv_status check_member(const cJSON *member, gv_error *err)
{
    gv_status status = GV_OK;
    char path[CONFIG_PATH_MAX], group[72], key[72];
    const cJSON *option;

    config_show_key(member->string, group, sizeof group);
    if (!cJSON_IsObject(member) || !config_group_find(group, strlen(group)))
        return check_value(group, member, err);
    cJSON_ArrayForEach(option, member)
    {
        config_show_key(option->string, key, sizeof key);
        config_path(path, "%s.%s", group, key);
        if (status == GV_OK)
            status = check_value(path, option, err);
    }
    return status;
}

static gv_status check_update(const cJSON *update, gv_error *err)
{
    gv_status status = GV_OK;
    const cJSON *member;

    cJSON_ArrayForEach(member, update)
    {
        if (status == GV_OK)
            status = check_member(member, err);
    }
    return status;
}

gv_status config_check_update(gv_span update, gv_error *err)
{
    gv_status status;
    cJSON *root = parse_object(update, "update", &status, err);

    if (root)
        status = check_update(root, err);
    cJSON_Delete(root);
    return status;
}

/* --- what of the board's own file stays ------------------------------------------------------- */
static cJSON *find(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* The group's object in a tree, made when `make` and it is not there; the tree itself for options at the
 * top. NULL: it is not there, or is no object. */
static cJSON *group_of(cJSON *root, const char *path, bool make)
{
    char name[CONFIG_PATH_MAX];
    size_t len = config_group_len(path);

    if (len == 0)
        return root;
    config_path(name, "%.*s", (int)len, path);
    cJSON *group = find(root, name);
    if (!group && make)
        group = cJSON_AddObjectToObject(root, name);
    return cJSON_IsObject(group) ? group : NULL;
}

/* A copy of the value goes to `path` in the tree of the update, which does not name it. */
static gv_status keep(cJSON *update, const char *path, const char *name, const cJSON *value,
                      gv_error *err)
{
    cJSON *group = group_of(update, path, true);
    cJSON *copy = group ? cJSON_Duplicate(value, true) : NULL;

    if (!group)
        return gv_fail(err, GV_INVAL, "%.*s: expected an object with options in { }",
                       (int)config_group_len(path), path);
    if (!copy || !cJSON_AddItemToObject(group, name, copy)) {
        cJSON_Delete(copy);
        return gv_fail(err, GV_FULL, "no memory to take the update over");
    }
    return GV_OK;
}

/* Of kafka.properties, those that refer to secrets or name what is on the board. */
static gv_status keep_properties(cJSON *own, cJSON *update, gv_error *err)
{
    const char *path = config_infos[CONFIG_OPTION_kafka_properties].path;
    const char *name = path + config_group_len(path) + 1;
    cJSON *mine = find(group_of(own, path, false), name);
    const cJSON *property;

    cJSON_ArrayForEach(property, mine)
    {
        if (!property->string ||
            (!has_reference(property) && !config_property_is_local(property->string)))
            continue;
        cJSON *group = group_of(update, path, true);
        cJSON *theirs = find(group, name);
        if (group && !theirs)
            theirs = cJSON_AddObjectToObject(group, name);
        if (!cJSON_IsObject(theirs))
            return gv_fail(err, GV_INVAL, "%s: expected an object", path);
        if (find(theirs, property->string))
            return property_belongs(property->string, "its own file refers to a secret there", err);
        cJSON *copy = cJSON_Duplicate(property, true);
        if (!copy || !cJSON_AddItemToObject(theirs, property->string, copy)) {
            cJSON_Delete(copy);
            return gv_fail(err, GV_FULL, "no memory to take the update over");
        }
    }
    return GV_OK;
}

static gv_status keep_owned(cJSON *own, cJSON *update, gv_error *err)
{
    gv_status status = keep_properties(own, update, err);

    for (size_t i = 0; i < CONFIG_OPTIONS && status == GV_OK; i++) {
        const char *path = config_infos[i].path;
        size_t len = config_group_len(path);
        const char *name = path + len + (len > 0);
        const cJSON *value = find(group_of(own, path, false), name);
        if (value && config_board_owned(&config_infos[i]))
            status = keep(update, path, name, value, err);
    }
    return status;
}

gv_status config_merge(gv_span own, gv_span update, char *text, size_t cap, size_t *len,
                       gv_error *err)
{
    gv_status status;
    cJSON *theirs = parse_object(update, "update", &status, err);
    cJSON *mine = theirs ? parse_object(own, "board's own file", &status, err) : NULL;

    if (mine)
        status = check_update(theirs, err);
    if (mine && status == GV_OK)
        status = keep_owned(mine, theirs, err);
    if (mine && status == GV_OK) {
        if (cap > INT32_MAX || !cJSON_PrintPreallocated(theirs, text, (int)cap, 1))
            status = gv_fail(err, GV_FULL, "update and board's own file are together too large");
        else
            *len = strlen(text);
    }
    cJSON_Delete(mine);
    cJSON_Delete(theirs);
    return status;
}
