/* secret.c - references to secrets, and the secrets themselves. */
#include "agent/config/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char file_prefix[] = "file:";
static const char env_prefix[] = "env:";
static const char credential_prefix[] = "credential:";

/* What follows the prefix; NULL when the text starts with another one. */
static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

bool config_is_reference(const char *text)
{
    return after(text, file_prefix) || after(text, env_prefix) || after(text, credential_prefix);
}

static bool is_name(const char *text, const char *also)
{
    if (*text == '\0' || strlen(text) > 128)
        return false;
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && !strchr(also, *text))
            return false;
    }
    return true;
}

const char *config_reference_fault(const char *text)
{
    const char *rest;

    if ((rest = after(text, file_prefix)))
        return *rest != '/'                       ? "file: needs a path that starts with /"
               : strlen(rest) > PLAT_PATH_MAX - 1 ? "the path after file: is too long"
                                                  : NULL;
    if ((rest = after(text, env_prefix)))
        return is_name(rest, "_") ? NULL : "env: needs the name of an environment variable";
    if ((rest = after(text, credential_prefix)))
        return is_name(rest, "_-.") && *rest != '.' ? NULL
                                                    : "credential: needs the name of a credential";
    return "this is no reference to a secret";
}

static gv_status read_env(const char *name, char *value, size_t cap, gv_error *err)
{
    const char *text = getenv(name);

    if (!text)
        return gv_fail(err, GV_IO, "the environment variable %s is not set", name);
    if (strlen(text) >= cap)
        return gv_fail(err, GV_FULL, "the environment variable %s is longer than %zu bytes", name,
                       cap - 1);
    memcpy(value, text, strlen(text) + 1);
    return GV_OK;
}

/* People end a file with a line end; a secret does not have one. */
static gv_status finish_file(const char *path, char *value, size_t len, gv_error *err)
{
    if (memchr(value, '\0', len))
        return gv_fail(err, GV_INVAL, "%s holds a NUL byte: this is not a text file", path);
    if (len > 0 && value[len - 1] == '\n')
        len--;
    if (len > 0 && value[len - 1] == '\r')
        len--;
    value[len] = '\0';
    return GV_OK;
}

static gv_status read_file(const plat_fs *fs, const char *path, char *value, size_t cap,
                           gv_error *err)
{
    size_t len = 0;
    gv_status status = plat_fs_load(fs, path, value, cap - 1, &len, err);

    if (status == GV_FULL && err)
        snprintf(err->text, sizeof err->text, "%.200s is larger than %zu bytes", path, cap - 1);
    return status == GV_OK ? finish_file(path, value, len, err) : status;
}

static gv_status read_credential(const plat_fs *fs, const char *name, char *value, size_t cap,
                                 gv_error *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[PLAT_PATH_MAX];

    if (!dir)
        return gv_fail(err, GV_IO,
                       "$CREDENTIALS_DIRECTORY is not set: credentials come from systemd, with "
                       "LoadCredential=%s:/path in the unit",
                       name);
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return gv_fail(err, GV_INVAL, "the path of credential %s is too long", name);
    return read_file(fs, path, value, cap, err);
}

gv_status config_secret_read(const plat_fs *fs, const char *reference, char *value, size_t cap,
                             gv_error *err)
{
    const char *rest;
    struct stat st;
    gv_status status;

    if ((rest = after(reference, env_prefix)))
        return read_env(rest, value, cap, err);
    if ((rest = after(reference, credential_prefix)))
        return read_credential(fs, rest, value, cap, err);
    rest = after(reference, file_prefix);
    status = read_file(fs, rest, value, cap, err);
    if (status == GV_OK && stat(rest, &st) == 0 && (st.st_mode & 077) != 0)
        gv_fail(err, GV_OK, "other users may read %s: chmod 600 it", rest);
    return status;
}
