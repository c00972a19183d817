/* gavel config publish: signed updates in a folder that a web server shows, or in Kafka. */
#include "agent/commands/owner_internal.h"

#include "agent/commands/setup_internal.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- what is published -------------------------------------------------------------------------- */
typedef struct {
    const char *folder;
    const char *below; /* "", "devices/", "groups/" */
    void (*each)(void *ctx, const owner_published *published);
    void *ctx;
    gv_error *err;
    gv_status status;
} walk;

static gv_status read_one(walk *w, const char *path)
{
    char whole[PLAT_PATH_MAX];
    gv_error why = { 0, "" };
    gv_buf bytes;
    bundle b;

    if (snprintf(whole, sizeof whole, "%s/%s", w->folder, path) >= (int)sizeof whole)
        return gv_fail(w->err, GV_INVAL, "%s: the path is too long", w->folder);
    gv_status status = owner_load(whole, &bytes, &why);
    if (status != GV_OK)
        return gv_fail(w->err, status, "%s", why.text);
    if (bundle_inspect(owner_span(&bytes), &b, &why) == BUNDLE_GOOD) {
        const owner_published published = { path, &b };
        w->each(w->ctx, &published);
    } else {
        status = gv_fail(w->err, GV_CORRUPT,
                         "%s: %s. Nothing is known of its version: move it away, and publish with "
                         "a version above all that boards have seen",
                         whole, why.text);
    }
    free(bytes.data);
    return status;
}

static bool walk_entry(void *ctx, const char *name)
{
    static const char ending[] = ".gavel";
    walk *w = ctx;
    char path[PLAT_PATH_MAX];
    size_t len = strlen(name), end = sizeof ending - 1;

    if (len <= end || strcmp(name + len - end, ending) != 0)
        return true;
    if (snprintf(path, sizeof path, "%s%s", w->below, name) < (int)sizeof path)
        w->status = read_one(w, path);
    return w->status == GV_OK;
}

gv_status owner_folder_read(const char *folder,
                            void (*each)(void *ctx, const owner_published *published), void *ctx,
                            gv_error *err)
{
    static const char *const parts[] = { "", "devices/", "groups/" };
    plat_fs fs = plat_fs_system();
    walk w = { folder, "", each, ctx, err, GV_OK };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && w.status == GV_OK; i++) {
        char dir[PLAT_PATH_MAX];
        gv_error why = { 0, "" };
        w.below = parts[i];
        if (snprintf(dir, sizeof dir, "%s/%s", folder, parts[i]) >= (int)sizeof dir)
            return gv_fail(err, GV_INVAL, "%s: the path is too long", folder);
        gv_status status = fs.list_dir(fs.ctx, dir, walk_entry, &w, &why);
        if (status != GV_OK && why.os_errno != ENOENT && w.status == GV_OK)
            w.status = gv_fail(err, status, "%s", why.text);
    }
    return w.status;
}

static void keep_highest(void *ctx, const owner_published *published)
{
    uint64_t *version = ctx;

    if (published->b->version > *version)
        *version = published->b->version;
}

gv_status owner_folder_highest(const char *folder, uint64_t *version, gv_error *err)
{
    *version = 0;
    return owner_folder_read(folder, keep_highest, version, err);
}

/* --- index.json --------------------------------------------------------------------------------- */
static void add_to_index(void *ctx, const owner_published *published)
{
    const bundle *b = published->b;
    cJSON *list = ctx, *entry = cJSON_CreateObject(), *after = NULL;
    char version[24];

    snprintf(version, sizeof version, "%" PRIu64, b->version);
    cJSON_AddStringToObject(entry, "file", published->path);
    cJSON_AddRawToObject(entry, "version", version);
    cJSON_AddStringToObject(entry, "signed_at", b->signed_at);
    cJSON_AddStringToObject(entry, "key", b->key_id);
    cJSON_AddStringToObject(entry, "agent_min", b->agent_min);
    cJSON_AddStringToObject(entry, "config_sha256", b->sha256);
    cJSON_AddNumberToObject(entry, "config_bytes", (double)b->config.len);
    cJSON_AddStringToObject(entry, "note", b->note);
    int at = 0;
    cJSON_ArrayForEach(after, list) /* by their paths, so that the file does not change by chance */
    {
        if (strcmp(cJSON_GetStringValue(after->child), published->path) > 0)
            break;
        at++;
    }
    cJSON_InsertItemInArray(list, at, entry);
}

static gv_status write_file(const char *folder, const char *path, gv_span bytes, gv_error *err)
{
    char whole[PLAT_PATH_MAX], *slash;

    if (snprintf(whole, sizeof whole, "%s/%s", folder, path) >= (int)sizeof whole)
        return gv_fail(err, GV_INVAL, "%s: the path is too long", folder);
    slash = strrchr(whole, '/');
    *slash = '\0'; /* readable for the web server, unlike what plat_fs makes */
    if (mkdir(whole, 0755) != 0 && errno != EEXIST)
        return gv_fail_errno(err, errno, "cannot make the folder %s", whole);
    *slash = '/';
    return setup_write(whole, (const char *)bytes.data, bytes.len, 0644, -1, -1, err);
}

/* For people: boards read the bundles alone. */
static gv_status write_index(const char *folder, gv_error *err)
{
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "published");
    gv_status status = owner_folder_read(folder, add_to_index, list, err);
    char *text = status == GV_OK ? cJSON_Print(root) : NULL;

    if (text)
        status = write_file(folder, "index.json", gv_span_str(text), err);
    else if (status == GV_OK)
        status = gv_fail(err, GV_FULL, "no memory for index.json");
    cJSON_free(text);
    cJSON_Delete(root);
    return status;
}

/* --- publishing --------------------------------------------------------------------------------- */
typedef struct {
    const char *folder;
    const gv_span *bytes; /* of the bundle that is looked at */
    const bundle *b;
    bool is_writing; /* else it is only asked whether it may be */
    gv_status status;
    gv_error *err;
} placing;

static gv_status may_place(const placing *p, const char *path)
{
    char whole[PLAT_PATH_MAX];
    gv_error why = { 0, "" };
    gv_buf there;
    bundle old;

    if (snprintf(whole, sizeof whole, "%s/%s", p->folder, path) >= (int)sizeof whole)
        return gv_fail(p->err, GV_INVAL, "%s: the path is too long", p->folder);
    gv_status status = owner_load(whole, &there, &why);
    if (status != GV_OK && why.os_errno == ENOENT)
        return GV_OK;
    if (status != GV_OK)
        return gv_fail(p->err, status, "%s", why.text);
    bool is_same = gv_span_equal(owner_span(&there), *p->bytes);
    uint64_t version =
        bundle_inspect(owner_span(&there), &old, NULL) == BUNDLE_GOOD ? old.version : 0;
    free(there.data);
    if (is_same || version < p->b->version)
        return GV_OK;
    return gv_fail(p->err, GV_INVAL,
                   "%s has version %" PRIu64 " already, and boards take only higher ones than "
                   "they have seen: sign version %" PRIu64 " again with --version %" PRIu64
                   " or higher",
                   path, version, p->b->version, version + 1);
}

static bool place_target(void *ctx, bundle_target target, const char *name)
{
    placing *p = ctx;
    char path[BUNDLE_PATH_MAX];

    bundle_path(target, name, path);
    p->status = p->is_writing ? write_file(p->folder, path, *p->bytes, p->err) : may_place(p, path);
    if (p->status == GV_OK && p->is_writing)
        printf("%s/%s: version %" PRIu64 "\n", p->folder, path, p->b->version);
    return p->status == GV_OK;
}

static gv_status place_all(const char *folder, const gv_span *files, size_t count, bool is_writing,
                           gv_error *err)
{
    gv_status status = GV_OK;

    for (size_t i = 0; i < count && status == GV_OK; i++) {
        bundle b;
        placing p = { folder, &files[i], &b, is_writing, GV_OK, err };
        if (bundle_inspect(files[i], &b, err) != BUNDLE_GOOD)
            return GV_CORRUPT;
        bundle_targets(&b, place_target, &p);
        status = p.status;
    }
    return status;
}

/* Boards count over all that they listen to, so a version that is new for its target may be old for
 * them. */
static void warn_of_lower(const gv_span *files, size_t count, uint64_t highest)
{
    for (size_t i = 0; i < count; i++) {
        bundle b;
        if (bundle_inspect(files[i], &b, NULL) == BUNDLE_GOOD && b.version < highest)
            fprintf(stderr,
                    "warning: version %" PRIu64 " is published in the same folder: a board that "
                    "has seen it will not take version %" PRIu64 "\n",
                    highest, b.version);
    }
}

gv_status owner_folder_publish(const char *folder, const gv_span *files, size_t count,
                               gv_error *err)
{
    uint64_t highest;
    gv_status status = owner_folder_highest(folder, &highest, err);

    if (status == GV_OK)
        status = place_all(folder, files, count, false, err);
    if (status == GV_OK && mkdir(folder, 0755) != 0 && errno != EEXIST)
        status = gv_fail_errno(err, errno, "cannot make the folder %s", folder);
    if (status == GV_OK)
        status = place_all(folder, files, count, true, err);
    if (status == GV_OK)
        warn_of_lower(files, count, highest);
    return status == GV_OK ? write_index(folder, err) : status;
}

typedef struct {
    const char *folder, *config_path;
    bool to_kafka;
    gv_buf buffers[OWNER_FILES_MAX];
    gv_span files[OWNER_FILES_MAX];
    size_t count;
} publishing;

static gv_status load_all(const owner_call *call, publishing *p, gv_error *err)
{
    for (int i = 1; i < call->argc; i++) {
        gv_error why = { 0, "" };
        bundle b;
        gv_buf *bytes = &p->buffers[p->count];
        gv_status status = owner_load(call->argv[i], bytes, err);
        if (status != GV_OK)
            return status;
        p->files[p->count++] = owner_span(bytes);
        if (bundle_inspect(owner_span(bytes), &b, &why) != BUNDLE_GOOD)
            return gv_fail(err, GV_CORRUPT, "%s: %s", call->argv[i], why.text);
    }
    return GV_OK;
}

static int publish_all(const owner_call *call, publishing *p)
{
    gv_error err = { 0, "" };
    cli_config *config = p->to_kafka ? cli_load(p->config_path, CONFIG_AGENT) : NULL;

    if (p->to_kafka && !config)
        return CLI_USAGE;
    gv_status status = load_all(call, p, &err);
    if (status == GV_OK && p->folder)
        status = owner_folder_publish(p->folder, p->files, p->count, &err);
    if (status == GV_OK && p->to_kafka)
        status = owner_kafka_publish(&config->config, p->files, p->count, &err);
    for (size_t i = 0; i < p->count; i++)
        free(p->buffers[i].data);
    free(config);
    return status == GV_OK ? CLI_OK : owner_fail(&err);
}

int owner_publish(owner_call *call)
{
    static publishing p;

    p.folder = cli_take_option(&call->argc, call->argv, "--to");
    p.config_path = cli_take_option(&call->argc, call->argv, "--config");
    p.to_kafka = cli_take_flag(&call->argc, call->argv, "--kafka");
    if (!p.config_path)
        p.config_path = call->default_path;
    if (!p.folder && !p.to_kafka) {
        fprintf(stderr, "gavel: publish where? --to FOLDER, or --kafka, or both\n");
        return CLI_USAGE;
    }
    if (call->argc < 2 || call->argc - 1 > OWNER_FILES_MAX) {
        fprintf(stderr, "gavel: name 1 to %d signed updates (gavel config sign makes them)\n",
                OWNER_FILES_MAX);
        return CLI_USAGE;
    }
    return publish_all(call, &p);
}
