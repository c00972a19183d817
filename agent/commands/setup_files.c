#include "agent/commands/setup_internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT_USER "gavel"

setup_owner setup_find_owner(void)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(AGENT_USER) : NULL;
    return user ? (setup_owner){ (int)user->pw_uid, (int)user->pw_gid } : (setup_owner){ -1, -1 };
}

gv_status setup_beside(const char *config_path, const char *name, char out[PLAT_PATH_MAX],
                       gv_error *err)
{
    const char *slash = strrchr(config_path, '/');
    int len = slash ? (int)(slash - config_path) : 1;
    if (snprintf(out, PLAT_PATH_MAX, "%.*s/%s", len, slash ? config_path : ".", name) >=
        PLAT_PATH_MAX)
        return gv_fail(err, GV_INVAL, "%s: the path is too long", config_path);
    return GV_OK;
}

/* The file exists with its mode and owner before anything is in it. */
static gv_status fill(const plat_fs *fs, const char *path, const char *text, size_t len,
                      unsigned mode, int uid, int gid, gv_error *err)
{
    int file;
    gv_status status = fs->open(fs->ctx, path, PLAT_CREATE, &file, err);
    if (status != GV_OK)
        return status;
    if (chmod(path, mode) != 0 || (gid != -1 && chown(path, (uid_t)uid, (gid_t)gid) != 0))
        status = gv_fail_errno(err, errno, "cannot set the owner of %s", path);
    if (status == GV_OK)
        status = fs->write_at(fs->ctx, file, 0, text, len, err);
    if (status == GV_OK)
        status = fs->sync(fs->ctx, file, err);
    fs->close(fs->ctx, file);
    return status;
}

gv_status setup_write(const char *path, const char *text, size_t len, unsigned mode, int uid,
                      int gid, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    char partial[PLAT_PATH_MAX], dir[PLAT_PATH_MAX];
    gv_status status = setup_beside(path, "", dir, err);
    if (snprintf(partial, sizeof partial, "%s.new", path) >= (int)sizeof partial)
        return gv_fail(err, GV_INVAL, "%s: the path is too long", path);
    if (status == GV_OK)
        status = fill(&fs, partial, text, len, mode, uid, gid, err);
    if (status == GV_OK)
        status = fs.rename(fs.ctx, partial, path, err);
    if (status == GV_OK)
        return fs.sync_dir(fs.ctx, dir, err);
    fs.remove(fs.ctx, partial, NULL);
    return status;
}
