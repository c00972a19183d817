/* edit.c - changes single values in the text of a configuration.
 *
 * Comments are blanked in a copy, in which every other byte stays where it is: what is found there is
 * changed in the text itself.
 */
#include "agent/config/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t start;
    size_t end; /* behind its last byte */
} extent;

/* All of these work on a text that config_text_clean() has found to be good JSON. */

static size_t skip_blank(const char *text, size_t pos)
{
    return pos + strspn(text + pos, " \t\r\n");
}

/* Behind the string at pos. */
static size_t skip_string(const char *text, size_t pos)
{
    for (pos++; text[pos] != '"'; pos++)
        pos += text[pos] == '\\';
    return pos + 1;
}

/* Behind the value at pos. */
static size_t skip_value(const char *text, size_t pos)
{
    size_t depth = 0;

    if (text[pos] != '{' && text[pos] != '[')
        return text[pos] == '"' ? skip_string(text, pos) : pos + strcspn(text + pos, ",]} \t\r\n");
    do {
        if (text[pos] == '"') {
            pos = skip_string(text, pos);
            continue;
        }
        depth += text[pos] == '{' || text[pos] == '[';
        depth -= text[pos] == '}' || text[pos] == ']';
        pos++;
    } while (depth > 0);
    return pos;
}

/* The value of a member of the object at pos; keys with escapes in them are nobody's. */
static bool find_member(const char *text, size_t pos, const char *key, size_t key_len,
                        extent *value)
{
    for (pos = skip_blank(text, pos + 1); text[pos] == '"'; pos = skip_blank(text, pos)) {
        size_t name = pos + 1, name_end = skip_string(text, pos) - 1;
        value->start = skip_blank(text, skip_blank(text, name_end + 1) + 1);
        value->end = skip_value(text, value->start);
        if (name_end - name == key_len && memcmp(text + name, key, key_len) == 0)
            return true;
        pos = skip_blank(text, value->end);
        pos += text[pos] == ',';
    }
    return false;
}

static gv_status replace(char *text, size_t *len, size_t cap, extent old, const char *fresh,
                         gv_error *err)
{
    size_t fresh_len = strlen(fresh);

    if (*len - (old.end - old.start) + fresh_len > cap)
        return gv_fail(err, GV_FULL, "the configuration would be larger than %zu KiB", cap / 1024);
    memmove(text + old.start + fresh_len, text + old.end, *len - old.end);
    memcpy(text + old.start, fresh, fresh_len);
    *len = *len - (old.end - old.start) + fresh_len;
    return GV_OK;
}

/* As the first member of the object at pos. */
static gv_status add(char *text, size_t *len, size_t cap, const char *clean, size_t pos,
                     const char *member, size_t member_len, const char *value, const char *indent,
                     gv_error *err)
{
    bool is_empty = clean[skip_blank(clean, pos + 1)] == '}';
    size_t room = member_len + strlen(value) + strlen(indent) + 16;
    char *fresh = malloc(room);
    gv_status status;

    if (!fresh)
        return gv_fail(err, GV_FULL, "no memory to change the configuration");
    snprintf(fresh, room, "\n%s\"%.*s\": %s%s", indent, (int)member_len, member, value,
             is_empty ? "\n" : ",");
    status = replace(text, len, cap, (extent){ pos + 1, pos + 1 }, fresh, err);
    free(fresh);
    return status;
}

static gv_status edit(char *text, size_t *len, size_t cap, const char *clean, const char *path,
                      const char *value, gv_error *err)
{
    size_t group_len = config_group_len(path), top = skip_blank(clean, 0);
    const char *name = path + group_len + (group_len > 0);
    extent found;
    char group[CONFIG_PATH_MAX];

    if (clean[top] != '{')
        return gv_fail(err, GV_INVAL, "the configuration is no object: it needs { and }");
    if (group_len > 0) {
        if (!find_member(clean, top, path, group_len, &found)) {
            snprintf(group, sizeof group, "{ \"%s\": ", name);
            size_t room = strlen(group) + strlen(value) + 3;
            char *whole = malloc(room);
            if (!whole)
                return gv_fail(err, GV_FULL, "no memory to change the configuration");
            snprintf(whole, room, "%s%s }", group, value);
            gv_status status = add(text, len, cap, clean, top, path, group_len, whole, "  ", err);
            free(whole);
            return status;
        }
        top = found.start;
        if (clean[top] != '{')
            return gv_fail(err, GV_INVAL, "%.*s is no object", (int)group_len, path);
    }
    if (find_member(clean, top, name, strlen(name), &found))
        return replace(text, len, cap, found, value, err);
    return add(text, len, cap, clean, top, name, strlen(name), value, group_len ? "    " : "  ",
               err);
}

gv_status config_edit(char *text, size_t *len, size_t cap, const char *path, const char *value,
                      gv_error *err)
{
    char *clean = malloc(*len + 1);
    config_syntax problem;
    gv_status status;

    if (!clean)
        return gv_fail(err, GV_FULL, "no memory to change the configuration");
    memcpy(clean, text, *len);
    clean[*len] = '\0';
    if (config_text_clean(clean, *len, &problem))
        status = edit(text, len, cap, clean, path, value, err);
    else
        status = gv_fail(err, GV_INVAL, "line %zu, column %zu: %s", problem.line, problem.column,
                         problem.text);
    free(clean);
    return status;
}
