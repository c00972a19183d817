/* gavel config verify, gavel config diff: what a bundle is, and what a board would make of it. */
#include "agent/commands/owner_internal.h"

#include "agent/cli/http_ask.h"
#include "gavel_version.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES_MAX ((size_t)1024 * 1024)

/* --- verify ------------------------------------------------------------------------------------- */
/* The board that the bundle is held against. */
typedef struct {
    const char *keys[BUNDLE_KEYS_MAX];
    size_t key_count;
    gv_buf own_text; /* of its own file; empty when none is given */
    cli_config *own;
    char host[BUNDLE_NAME_MAX + 1];
    char name[BUNDLE_NAME_MAX + 1]; /* where no board is known: one that the bundle is for */
    const char *group;
    bundle_recipient who;
} board;

static bool load_own(board *p, const char *path)
{
    gv_error err = { 0, "" };

    if (owner_load(path, &p->own_text, &err) != GV_OK) {
        owner_fail(&err);
        return false;
    }
    p->own = owner_read(path, owner_span(&p->own_text));
    return p->own != NULL;
}

static bool first_target(void *ctx, bundle_target target, const char *name)
{
    board *p = ctx;

    snprintf(p->name, sizeof p->name, "%s", name);
    p->group = target == BUNDLE_FOR_GROUP ? p->name : NULL;
    return false;
}

/* Without a board's file it is held against one that it is for. */
static void find_recipient(board *p, const bundle *b)
{
    p->who = (bundle_recipient){ .keys = p->keys,
                                 .key_count = p->key_count,
                                 .agent_version = GAVEL_VERSION };
    if (!p->own_text.data) {
        bundle_targets(b, first_target, p);
        p->who.device = p->name;
        p->who.groups = &p->group;
        p->who.group_count = p->group != NULL;
        return;
    }
    const gv_config *c = &p->own->config;
    gethostname(p->host, sizeof p->host - 1);
    p->who.device = c->device_id[0] ? c->device_id : p->host;
    p->who.groups = c->ota_groups.items;
    p->who.group_count = c->ota_groups.count;
}

static void print_bundle(const bundle *b)
{
    printf("version    %" PRIu64 "\nsigned     %s, with key %s\nfor        ", b->version,
           b->signed_at, b->key_id);
    owner_print_targets(stdout, b);
    if (b->agent_min[0])
        printf("\nagent      %s or newer", b->agent_min);
    if (b->note[0])
        printf("\nnote       %s", b->note);
    printf("\nconfig     %zu bytes, sha256 %s\n", b->config.len, b->sha256);
}

static int verify(board *p, const char *path, gv_span bytes)
{
    gv_error err = { 0, "" };
    bundle b, opened;
    bundle_verdict verdict = bundle_inspect(bytes, &b, &err);

    if (b.version)
        print_bundle(&b);
    if (verdict == BUNDLE_GOOD && p->key_count == 0) {
        printf(
            "verdict    unknown_key: whole, but nobody's signature was checked: name the boards' "
            "keys with --keys, or a board's file with --config\n");
        return CLI_NOT_ALL_WELL;
    }
    if (verdict == BUNDLE_GOOD) {
        find_recipient(p, &b);
        verdict = bundle_open(bytes, &p->who, &opened, &err);
    }
    if (verdict == BUNDLE_GOOD) {
        const gv_span own = owner_span(&p->own_text);
        cli_config *tried = owner_try(path, p->own_text.data ? &own : NULL, b.config);
        if (!tried) {
            verdict = BUNDLE_BAD_CONFIG;
            gv_fail(&err, GV_INVAL, "the board would refuse the configuration, as said above");
        }
        free(tried);
    }
    printf("verdict    %s%s%s\n", bundle_verdict_name(verdict), err.text[0] ? ": " : "", err.text);
    return verdict == BUNDLE_GOOD ? CLI_OK : CLI_NOT_ALL_WELL;
}

static bool take_board(owner_call *call, board *p)
{
    const char *path = cli_take_option(&call->argc, call->argv, "--config");

    if (!owner_take_all(call, "--keys", p->keys, BUNDLE_KEYS_MAX, &p->key_count) ||
        !owner_words_left(call, 1))
        return false;
    for (size_t i = 0; i < p->key_count; i++) {
        char id[SIGNATURE_ID_SIZE];
        gv_error err = { 0, "" };
        if (signature_key_id(p->keys[i], id, &err) != GV_OK) {
            owner_fail(&err);
            return false;
        }
    }
    if (!path)
        return true;
    if (!load_own(p, path))
        return false;
    const config_list *pinned = &p->own->config.ota_keys;
    for (size_t i = 0; i < pinned->count && p->key_count < BUNDLE_KEYS_MAX; i++)
        p->keys[p->key_count++] = pinned->items[i];
    return true;
}

int owner_verify(owner_call *call)
{
    board p = { .key_count = 0 };
    gv_error err = { 0, "" };
    gv_buf bytes;
    int code = CLI_USAGE;

    if (take_board(call, &p)) {
        if (owner_load(call->argv[1], &bytes, &err) == GV_OK) {
            code = verify(&p, call->argv[1], owner_span(&bytes));
            free(bytes.data);
        } else {
            code = owner_fail(&err);
        }
    }
    free(p.own);
    free(p.own_text.data);
    return code;
}

/* --- diff --------------------------------------------------------------------------------------- */
typedef struct {
    const gv_config *before, *after;
} change;

static void print_change(void *ctx, const char *path)
{
    const change *c = ctx;

    printf("%s: ", path);
    config_print_value(stdout, c->before, path);
    printf(" -> ");
    config_print_value(stdout, c->after, path);
    putchar('\n');
}

static int diff_file(const char *own_path, const char *update_path, gv_span update)
{
    gv_error err = { 0, "" };
    gv_buf text;
    int code = CLI_USAGE;

    if (owner_load(own_path, &text, &err) != GV_OK)
        return owner_fail(&err);
    const gv_span own = owner_span(&text);
    cli_config *before = owner_read(own_path, own);
    cli_config *after = before ? owner_try(update_path, &own, update) : NULL;
    if (after) {
        change c = { &before->config, &after->config };
        size_t count = config_diff(c.before, c.after, CONFIG_AGENT, print_change, &c);
        if (count == 0)
            printf("nothing would change\n");
        code = count ? CLI_NOT_ALL_WELL : CLI_OK;
    }
    free(after);
    free(before);
    free(text.data);
    return code;
}

/* A bundle's configuration; anything else is taken for a configuration that is not signed yet. */
static bool find_update(gv_span file, bundle *b, gv_span *update)
{
    gv_error err = { 0, "" };

    *update = file;
    *b = (bundle){ .version = 0 };
    if (file.len > 0 && (file.data[0] == '{' || file.data[0] == '/' || file.data[0] <= ' '))
        return true;
    if (bundle_inspect(file, b, &err) != BUNDLE_GOOD) {
        owner_fail(&err);
        return false;
    }
    *update = b->config;
    return true;
}

static void hash_of(gv_span text, char hex[2 * SIGNATURE_HASH_BYTES + 1])
{
    uint8_t hash[SIGNATURE_HASH_BYTES];

    signature_hash(&text, 1, hash);
    signature_hex(hash, sizeof hash, hex);
}

/* `url` as a person writes it: with or without the path. */
static gv_status ask_board(const char *url, gv_buf *body, gv_error *err)
{
    gv_error why = { 0, "" };
    char whole[512];
    size_t len = strlen(url);
    bool is_whole = len > 5 && strcmp(url + len - 5, ".json") == 0;

    if (snprintf(whole, sizeof whole, is_whole ? "%s" : "%s/status.json", url) >= (int)sizeof whole)
        return gv_fail(err, GV_INVAL, "this address is too long");
    gv_status status = http_ask(whole, body, &why);
    return status == GV_OK ? GV_OK
                           : gv_fail(err, status,
                                     "%s: %s; see whether the agent runs there, and whether "
                                     "status.listen lets others than the board ask",
                                     whole, why.text);
}

static int compare(const cJSON *update, const bundle *b, const char *sha256)
{
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(update, "version");
    const cJSON *running = cJSON_GetObjectItemCaseSensitive(update, "sha256");
    double runs = cJSON_IsNumber(version) ? version->valuedouble : 0;
    bool is_same = cJSON_IsString(running) && strcmp(running->valuestring, sha256) == 0;

    if (runs > 0)
        printf("the board runs version %.0f, ", runs);
    else
        printf("the board runs its own file, ");
    printf("sha256 %.64s\n",
           cJSON_IsString(running) && strspn(running->valuestring, "0123456789abcdef") == 64
               ? running->valuestring
               : "not told");
    if (b->version)
        printf("the update is version %" PRIu64 "%s, ", b->version,
               (double)b->version > runs ? "" : ", which the board would not take");
    else
        printf("the update is not signed yet, ");
    printf("sha256 %s: %s\n", sha256, is_same ? "the same configuration" : "another configuration");
    return is_same ? CLI_OK : CLI_NOT_ALL_WELL;
}

static int diff_board(const char *url, const bundle *b, gv_span update)
{
    gv_error err = { 0, "" };
    char sha256[2 * SIGNATURE_HASH_BYTES + 1];
    gv_buf body = gv_buf_of(malloc(STATUS_BYTES_MAX), STATUS_BYTES_MAX);
    int code;

    hash_of(update, sha256);
    if (!body.data || ask_board(url, &body, &err) != GV_OK) {
        gv_fail(&err, GV_FULL, "no memory for the answer");
        free(body.data);
        return owner_fail(&err);
    }
    cJSON *status = cJSON_ParseWithLength((const char *)body.data, body.len);
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(status, "update");
    if (cJSON_IsObject(part)) {
        code = compare(part, b, sha256);
    } else {
        gv_fail(&err, GV_INVAL, "%s: this is not the status of an agent that takes updates", url);
        code = owner_fail(&err);
    }
    cJSON_Delete(status);
    free(body.data);
    return code;
}

int owner_diff(owner_call *call)
{
    const char *own = cli_take_option(&call->argc, call->argv, "--config");
    const char *url = cli_take_option(&call->argc, call->argv, "--board");
    gv_error err = { 0, "" };
    gv_span update;
    gv_buf bytes;
    bundle b;
    int code = CLI_USAGE;

    if (!owner_words_left(call, 1))
        return CLI_USAGE;
    if (!own == !url) {
        fprintf(stderr, "gavel: compare with what? --config FILE, the board's own file, or --board "
                        "URL, a running one\n");
        return CLI_USAGE;
    }
    if (owner_load(call->argv[1], &bytes, &err) != GV_OK)
        return owner_fail(&err);
    if (find_update(owner_span(&bytes), &b, &update))
        code = own ? diff_file(own, call->argv[1], update) : diff_board(url, &b, update);
    free(bytes.data);
    return code;
}
