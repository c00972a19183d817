/* gavel config keygen, gavel config sign: the owner's key, and what is signed with it. */
#include "agent/commands/owner_internal.h"

#include "agent/commands/setup_internal.h"
#include "platform/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define KEY_NAME "gavel-owner.key"

/* --- keygen ------------------------------------------------------------------------------------- */
static gv_status load_signer(const char *path, signature_signer **out, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    char pem[SIGNATURE_PEM_MAX];
    size_t len = 0;
    gv_error why = { 0, "" };
    gv_status status = plat_fs_load(&fs, path, pem, sizeof pem, &len, &why);

    if (status == GV_OK)
        status = signature_signer_open(gv_span_of(pem, len), out, &why);
    else if (status == GV_FULL)
        why = (gv_error){ 0, "this is larger than any private key" };
    explicit_bzero(pem, sizeof pem);
    return status == GV_OK ? GV_OK : gv_fail(err, status, "%s: %s", path, why.text);
}

static void print_public_key(const signature_signer *signer, const char *path)
{
    char key[SIGNATURE_PUBLIC_SIZE], id[SIGNATURE_ID_SIZE] = "";

    signature_public_key(signer, key);
    signature_key_id(key, id, NULL);
    printf("private key  %s (keep it to yourself: who has it configures your boards)\n"
           "key id       %s\n"
           "public key   %s\n\n"
           "On each board, in its own configuration:\n"
           "  \"ota\": { \"keys\": [\"%s\"] }\n",
           path, id, key, key);
}

static gv_status write_key(const char *path, const char *pem, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    gv_error why = { 0, "" };
    char dir[PLAT_PATH_MAX];
    int file;
    gv_status status = setup_beside(path, "", dir, err);

    if (status != GV_OK)
        return status;
    status = fs.open(fs.ctx, path, PLAT_CREATE_NEW, &file, &why);
    if (status != GV_OK && why.os_errno == EEXIST)
        return gv_fail(err, GV_INVAL,
                       "%s is there already, and no key is ever overwritten: name another file, or "
                       "see its public half with --show",
                       path);
    if (status != GV_OK)
        return gv_fail(err, status, "%s", why.text);
    status = fs.write_at(fs.ctx, file, 0, pem, strlen(pem), err);
    if (status == GV_OK)
        status = fs.sync(fs.ctx, file, err);
    fs.close(fs.ctx, file);
    if (status == GV_OK)
        return fs.sync_dir(fs.ctx, dir, err);
    fs.remove(fs.ctx, path, NULL);
    return status;
}

static gv_status make_key(const char *path, gv_error *err)
{
    char pem[SIGNATURE_PEM_MAX];
    gv_status status = signature_generate(pem, err);

    if (status == GV_OK)
        status = write_key(path, pem, err);
    explicit_bzero(pem, sizeof pem);
    return status;
}

int owner_keygen(owner_call *call)
{
    const char *out = cli_take_option(&call->argc, call->argv, "--out");
    const char *shown = cli_take_option(&call->argc, call->argv, "--show");
    signature_signer *signer = NULL;
    char path[PLAT_PATH_MAX];
    gv_error err = { 0, "" };
    struct stat st;

    if (!owner_words_left(call, 0))
        return CLI_USAGE;
    if (!out == !shown) {
        fprintf(stderr, "gavel: say where the key goes: gavel config keygen --out DIR|FILE, or "
                        "which one to show: --show FILE\n");
        return CLI_USAGE;
    }
    bool is_dir = out && stat(out, &st) == 0 && S_ISDIR(st.st_mode);
    if (snprintf(path, sizeof path, is_dir ? "%s/" KEY_NAME : "%s", out ? out : shown) >=
        (int)sizeof path)
        gv_fail(&err, GV_INVAL, "this path is too long");
    if (err.text[0] || (out && make_key(path, &err) != GV_OK) ||
        load_signer(path, &signer, &err) != GV_OK)
        return owner_fail(&err);
    print_public_key(signer, path);
    signature_signer_close(signer);
    return CLI_OK;
}

/* --- sign --------------------------------------------------------------------------------------- */
typedef struct {
    const char *key_path, *config_path, *version, *folder, *out;
    const char *devices[BUNDLE_TARGETS_MAX], *groups[BUNDLE_TARGETS_MAX];
    char signed_at[24];
    bundle_draft draft;
} signing;

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static bool take_words(owner_call *call, signing *s)
{
    s->key_path = cli_take_option(&call->argc, call->argv, "--key");
    s->config_path = cli_take_option(&call->argc, call->argv, "--config");
    s->version = cli_take_option(&call->argc, call->argv, "--version");
    s->folder = cli_take_option(&call->argc, call->argv, "--to");
    s->out = cli_take_option(&call->argc, call->argv, "--out");
    s->draft.agent_min = or_empty(cli_take_option(&call->argc, call->argv, "--agent-min"));
    s->draft.note = or_empty(cli_take_option(&call->argc, call->argv, "--note"));
    s->draft.is_for_all = cli_take_flag(&call->argc, call->argv, "--all");
    s->draft.devices = s->devices;
    s->draft.groups = s->groups;
    if (!owner_take_all(call, "--device", s->devices, BUNDLE_TARGETS_MAX, &s->draft.device_count) ||
        !owner_take_all(call, "--group", s->groups, BUNDLE_TARGETS_MAX, &s->draft.group_count) ||
        !owner_words_left(call, 0))
        return false;
    if (s->key_path && s->config_path && s->out)
        return true;
    fprintf(stderr, "gavel: `config sign` needs --%s; see: gavel config --help\n",
            !s->key_path      ? "key FILE, the private key that `gavel config keygen` made"
            : !s->config_path ? "config FILE, the configuration to be signed"
                              : "out FILE, where the signed update goes");
    return false;
}

static gv_status find_version(const signing *s, uint64_t *version, gv_error *err)
{
    char *end;

    if (!s->version && !s->folder)
        return gv_fail(err, GV_INVAL,
                       "say the update's version with --version N, or with --to the folder where "
                       "updates are published: it is then one above the highest there");
    if (!s->version) {
        gv_status status = owner_folder_highest(s->folder, version, err);
        ++*version;
        return status;
    }
    errno = 0;
    *version = strtoull(s->version, &end, 10);
    if (s->version[0] < '0' || s->version[0] > '9' || *end || errno)
        return gv_fail(err, GV_INVAL, "--version %s: it is a whole number, counted up", s->version);
    return GV_OK;
}

static void find_time(char text[24])
{
    plat_clock clock = plat_clock_system(0);
    time_t now = (time_t)(plat_wall_ms(&clock) / 1000);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static gv_status seal_and_write(signing *s, const signature_signer *signer, gv_error *err)
{
    uint8_t *bytes = malloc(BUNDLE_BYTES_MAX);
    gv_buf out = gv_buf_of(bytes, BUNDLE_BYTES_MAX);
    bundle b;

    if (!bytes)
        return gv_fail(err, GV_FULL, "no memory for the update");
    find_time(s->signed_at);
    s->draft.signed_at = s->signed_at;
    gv_status status = bundle_seal(&s->draft, signer, &out, err);
    if (status == GV_OK)
        status = setup_write(s->out, (const char *)out.data, out.len, 0644, -1, -1, err);
    if (status == GV_OK && bundle_inspect(gv_span_of(out.data, out.len), &b, err) == BUNDLE_GOOD) {
        printf("%s: version %" PRIu64 " for ", s->out, b.version);
        owner_print_targets(stdout, &b);
        printf(", signed with key %s\n", b.key_id);
    }
    free(bytes);
    return status;
}

static gv_status sign_checked(signing *s, gv_error *err)
{
    signature_signer *signer = NULL;
    gv_status status = find_version(s, &s->draft.version, err);

    if (status == GV_OK)
        status = load_signer(s->key_path, &signer, err);
    if (status == GV_OK)
        status = seal_and_write(s, signer, err);
    signature_signer_close(signer);
    return status;
}

static int sign_all(signing *s)
{
    gv_error err = { 0, "" };
    gv_buf text;

    if (owner_load(s->config_path, &text, &err) != GV_OK)
        return owner_fail(&err);
    s->draft.config = owner_span(&text);
    cli_config *tried = owner_try(s->config_path, NULL, s->draft.config);
    int code = CLI_OK;
    if (!tried) {
        fprintf(stderr, "gavel: not signed: a board would refuse it\n");
        code = CLI_NOT_ALL_WELL;
    } else if (sign_checked(s, &err) != GV_OK) {
        code = owner_fail(&err);
    }
    free(tried);
    free(text.data);
    return code;
}

int owner_sign(owner_call *call)
{
    static signing s; /* some KiB of pointers */

    return take_words(call, &s) ? sign_all(&s) : CLI_USAGE;
}
