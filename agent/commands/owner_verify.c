/* gavel config verify: what a bundle is, and what a board would make of it. */
#include "agent/commands/owner_internal.h"

#include "gavel_version.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
