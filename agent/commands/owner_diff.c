/* gavel config diff: what an update would change on a board, by its file or by what it says itself. */
#include "agent/commands/owner_internal.h"

#include "agent/cli/http_ask.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX ((size_t)1024 * 1024)

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

static int print_changes(const gv_config *before, const gv_config *after)
{
    change c = { before, after };
    size_t count = config_diff(before, after, CONFIG_AGENT, print_change, &c);

    if (count == 0)
        printf("nothing would change\n");
    return count ? CLI_NOT_ALL_WELL : CLI_OK;
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
    if (after)
        code = print_changes(&before->config, &after->config);
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

/* --- a running board ---------------------------------------------------------------------------- */
/* The document of that name at `url`, which is as a person writes it: with or without /status.json. */
static gv_status ask_board(const char *url, const char *name, gv_buf *body, gv_error *err)
{
    static const char status_path[] = "/status.json";
    gv_error why = { 0, "" };
    char whole[512];
    size_t len = strlen(url), tail = sizeof status_path - 1;

    if (len > tail && strcmp(url + len - tail, status_path) == 0)
        len -= tail;
    while (len > 0 && url[len - 1] == '/')
        len--;
    if (snprintf(whole, sizeof whole, "%.*s/%s", (int)len, url, name) >= (int)sizeof whole)
        return gv_fail(err, GV_INVAL, "this address is too long");
    gv_status status = http_ask(whole, body, &why);
    return status == GV_OK ? GV_OK
                           : gv_fail(err, status,
                                     "%s: %s; see whether the agent runs there, and whether "
                                     "status.listen lets others than the board ask",
                                     whole, why.text);
}

static bool compare_versions(const cJSON *update, const bundle *b, const char *sha256)
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
               is_same || (double)b->version > runs ? "" : ", which the board would not take");
    else
        printf("the update is not signed yet, ");
    printf("sha256 %s: %s\n", sha256, is_same ? "the same configuration" : "another configuration");
    return is_same;
}

/* What the board says is an update, too: of both, only what an update may set is looked at. */
static int compare_options(const char *url, gv_span running, const char *path, gv_span update)
{
    cli_config *before = owner_try(url, NULL, running);
    cli_config *after = before ? owner_try(path, NULL, update) : NULL;
    int code = after ? print_changes(&before->config, &after->config) : CLI_USAGE;

    free(after);
    free(before);
    return code;
}

static int diff_board(const char *url, const char *path, const bundle *b, gv_span update,
                      gv_buf *body)
{
    gv_error err = { 0, "" };
    char sha256[2 * SIGNATURE_HASH_BYTES + 1];

    if (ask_board(url, "status.json", body, &err) != GV_OK)
        return owner_fail(&err);
    cJSON *status = cJSON_ParseWithLength((const char *)body->data, body->len);
    const cJSON *part = cJSON_GetObjectItemCaseSensitive(status, "update");
    bool is_agent = cJSON_IsObject(part);
    hash_of(update, sha256);
    bool is_same = is_agent && compare_versions(part, b, sha256);
    cJSON_Delete(status);
    if (!is_agent) {
        gv_fail(&err, GV_INVAL, "%s: this is not the status of an agent that takes updates", url);
        return owner_fail(&err);
    }
    if (is_same)
        return CLI_OK;
    body->len = 0;
    if (ask_board(url, "config.json", body, &err) != GV_OK)
        return owner_fail(&err);
    return compare_options(url, owner_span(body), path, update);
}

static int diff(const char *own, const char *url, const char *path, const gv_buf *file)
{
    gv_buf body = gv_buf_of(url ? malloc(ANSWER_BYTES_MAX) : NULL, ANSWER_BYTES_MAX);
    gv_error err = { 0, "" };
    gv_span update;
    bundle b;
    int code = CLI_USAGE;

    if (url && !body.data) {
        gv_fail(&err, GV_FULL, "no memory for the answer");
        code = owner_fail(&err);
    } else if (find_update(owner_span(file), &b, &update)) {
        code = own ? diff_file(own, path, update) : diff_board(url, path, &b, update, &body);
    }
    free(body.data);
    return code;
}

int owner_diff(owner_call *call)
{
    const char *own = cli_take_option(&call->argc, call->argv, "--config");
    const char *url = cli_take_option(&call->argc, call->argv, "--board");
    gv_error err = { 0, "" };
    gv_buf file;

    if (!owner_words_left(call, 1))
        return CLI_USAGE;
    if (!own == !url) {
        fprintf(stderr, "gavel: compare with what? --config FILE, the board's own file, or --board "
                        "URL, a running one\n");
        return CLI_USAGE;
    }
    if (owner_load(call->argv[1], &file, &err) != GV_OK)
        return owner_fail(&err);
    int code = diff(own, url, call->argv[1], &file);
    free(file.data);
    return code;
}
