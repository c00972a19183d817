/* gavel spool quarantine: what was set aside, and why. */
#include "agent/cli/cli.h"
#include "agent/tools/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

typedef struct {
    char file[256];
    uint64_t first_seq, last_seq;
    uint64_t batches, records, bytes;
    uint64_t damaged, foreign, damaged_bytes;
} aside_row;

static bool quarantine_path(const char *dir, const char *name, char path[PLAT_PATH_MAX])
{
    return snprintf(path, PLAT_PATH_MAX, "%s/quarantine%s%s", dir, name[0] ? "/" : "", name) <
           PLAT_PATH_MAX;
}

/* --- summing up ----------------------------------------------------------------------------------- */

typedef struct {
    const plat_fs *fs;
    const char *dir;
    uint64_t files, bytes;
} sum;

static bool add_file(void *arg, const char *name)
{
    sum *all = arg;
    char path[PLAT_PATH_MAX];
    uint64_t bytes = 0;
    int file;

    if (!quarantine_path(all->dir, name, path) ||
        all->fs->open(all->fs->ctx, path, PLAT_READ, &file, NULL) != GV_OK)
        return true;
    if (all->fs->size(all->fs->ctx, file, &bytes, NULL) == GV_OK) {
        all->files++;
        all->bytes += bytes;
    }
    all->fs->close(all->fs->ctx, file);
    return true;
}

void tools_quarantine_sum(const plat_fs *fs, const char *dir, uint64_t *files, uint64_t *bytes)
{
    sum all = { fs, dir, 0, 0 };
    char path[PLAT_PATH_MAX];

    if (quarantine_path(dir, "", path))
        fs->list_dir(fs->ctx, path, add_file, &all, NULL);
    *files = all.files;
    *bytes = all.bytes;
}

/* --- listing -------------------------------------------------------------------------------------- */

static void print_row(const aside_row *r)
{
    if (r->file[0] == '\0')
        return;
    printf("%s: %" PRIu64 " bytes; %" PRIu64 " good batches with %" PRIu64 " records", r->file,
           r->bytes, r->batches, r->records);
    if (r->batches)
        printf(" (%" PRIu64 " to %" PRIu64 ")", r->first_seq, r->last_seq);
    if (r->damaged)
        printf("; set aside for %" PRIu64 " damaged places, %" PRIu64 " bytes", r->damaged,
               r->damaged_bytes);
    if (r->foreign)
        printf("; %" PRIu64 " batches of a newer version, or too large", r->foreign);
    if (r->damaged + r->foreign == 0)
        printf("; nothing in it is damaged now: a disk that failed may read again");
    putchar('\n');
}

static void add_item(aside_row *r, const spool_item *item)
{
    r->bytes += item->bytes;
    switch (item->kind) {
    case SPOOL_ITEM_BATCH:
        r->first_seq = r->batches ? r->first_seq : item->first_seq;
        r->last_seq = item->last_seq;
        r->batches++;
        r->records += item->header.meta.records;
        break;
    case SPOOL_ITEM_DAMAGE:
        r->damaged++;
        r->damaged_bytes += item->bytes;
        break;
    case SPOOL_ITEM_FOREIGN:
        r->foreign++;
        break;
    case SPOOL_ITEM_MISSING:
    case SPOOL_ITEM_TAIL:
        break;
    }
}

static int print_all(const char *path)
{
    gv_error err = { 0, "" };
    aside_row row = { .file = "" };
    spool_item item;
    scan s;

    gv_status status = scan_open(&s, path, SCAN_ANY_FILE | SCAN_PRINTS, &err);
    while (status == GV_OK && (status = scan_next(&s, &item, &err)) == GV_OK) {
        if (item.file[0] != '\0' && strncmp(row.file, item.file, sizeof row.file - 1) != 0) {
            print_row(&row);
            row = (aside_row){ .first_seq = 0 };
            snprintf(row.file, sizeof row.file, "%s", item.file);
        }
        add_item(&row, &item);
    }
    print_row(&row);
    bar_clear(&s.bar);
    if (status == GV_AGAIN)
        printf("good batches %" PRIu64 " with %" PRIu64 " records, damaged places %" PRIu64
               "; `gavel spool salvage` collects what is good\n",
               s.counts.batches, s.counts.records, s.counts.damaged);
    scan_close(&s);
    if (status != GV_AGAIN)
        return tools_fail(&err);
    return tools_output_ok() ? CLI_OK : CLI_USAGE;
}

static bool nothing_more(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return false;
}

static int list(const char *dir)
{
    plat_fs fs = plat_fs_system();
    char path[PLAT_PATH_MAX];
    gv_error err = { 0, "" };
    bool any = false;

    if (fs.list_dir(fs.ctx, dir, nothing_more, &any, &err) != GV_OK)
        return tools_fail(&err);
    any = false;
    if (!quarantine_path(dir, "", path) ||
        (fs.list_dir(fs.ctx, path, nothing_more, &any, &err) != GV_OK && err.os_errno != ENOENT))
        return tools_fail(&err);
    if (any)
        return print_all(path);
    printf("nothing is set aside\n");
    return tools_output_ok() ? CLI_OK : CLI_USAGE;
}

static int remove_one(const char *dir, const char *name)
{
    plat_fs fs = plat_fs_system();
    char path[PLAT_PATH_MAX];
    gv_error err = { 0, "" };
    int file;

    if (strchr(name, '/') || name[0] == '.' || name[0] == '\0' ||
        !quarantine_path(dir, name, path)) {
        fprintf(stderr,
                "gavel: '%s' is no file in quarantine/; `gavel spool quarantine ls` lists "
                "them\n",
                name);
        return CLI_USAGE;
    }
    gv_status status =
        fs.open(fs.ctx, path, PLAT_READ, &file, &err); /* remove() takes none for gone */
    if (status == GV_OK) {
        fs.close(fs.ctx, file);
        status = fs.remove(fs.ctx, path, &err);
    }
    if (status != GV_OK)
        return tools_fail(&err);
    printf("removed %s\n", path);
    return tools_output_ok() ? CLI_OK : CLI_USAGE;
}

int tools_quarantine(tools_call *call)
{
    const char *verb = call->argc > 1 ? call->argv[1] : "ls";
    bool is_rm = strcmp(verb, "rm") == 0;

    if (!is_rm && strcmp(verb, "ls") != 0) {
        fprintf(stderr, "gavel: spool quarantine has ls and rm FILE, not '%s'\n", verb);
        return CLI_USAGE;
    }
    if ((call->argc > 1 && !tools_words_left(call, is_rm ? 2 : 1)) || !tools_find_dir(call))
        return CLI_USAGE;
    return is_rm ? remove_one(call->dir, call->argv[2]) : list(call->dir);
}
