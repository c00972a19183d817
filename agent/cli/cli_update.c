#include "agent/cli/cli_update.h"

#include "agent/ota/store.h"
#include "gavel_version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_device(const gv_config *config, char name[CLI_DEVICE_MAX])
{
    memset(name, 0, CLI_DEVICE_MAX);
    if (config->device_id[0])
        snprintf(name, CLI_DEVICE_MAX, "%s", config->device_id);
    else if (gethostname(name, CLI_DEVICE_MAX - 1) != 0)
        snprintf(name, CLI_DEVICE_MAX, "gavel");
}

bundle_recipient cli_recipient(const gv_config *config, const char *device)
{
    return (bundle_recipient){ .keys = config->ota_keys.items,
                               .key_count = config->ota_keys.count,
                               .device = device,
                               .groups = config->ota_groups.items,
                               .group_count = config->ota_groups.count,
                               .agent_version = GAVEL_VERSION };
}

bool cli_takes_updates(const gv_config *config)
{
    return config->ota_keys.count > 0;
}

char *cli_read_text(const char *path, size_t *len, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    char *text = malloc(CONFIG_FILE_MAX_BYTES), *fitting;
    if (!text) {
        gv_fail(err, GV_FULL, "%s: no memory to read it", path);
        return NULL;
    }
    if (plat_fs_load(&fs, path, text, CONFIG_FILE_MAX_BYTES, len, err) != GV_OK) {
        free(text);
        return NULL;
    }
    fitting = realloc(text, *len ? *len : 1); /* it may be kept */
    return fitting ? fitting : text;
}

static gv_status read_secret(void *ctx, const char *reference, char *value, size_t cap,
                             gv_error *err)
{
    return config_secret_read(ctx, reference, value, cap, err);
}

static gv_status read_text(gv_span text, const char *name, cli_config *c, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    const config_reader reader = {
        .program = CONFIG_AGENT, .name = name, .arena = &c->arena, .secret = read_secret, .ctx = &fs
    };
    gv_status status = config_parse(&reader, text, &c->config, err);
    if (status == GV_OK)
        status = cli_check_kafka(&c->config, err);
    if (status == GV_OK)
        cli_apply_profile(&c->config, &fs);
    return status;
}

cli_config *cli_from_text(gv_span text, const char *name, gv_status *status, gv_error *err)
{
    cli_config *c = calloc(1, sizeof *c);
    *status = c ? read_text(text, name, c, err) : gv_fail(err, GV_IO, "no memory for the options");
    if (*status == GV_OK)
        return c;
    free(c);
    return NULL;
}

cli_config *cli_with_update(gv_span own, gv_span update, gv_status *status, gv_error *err)
{
    size_t cap = 2 * (own.len + update.len) + 1024, len = 0;
    char *text = malloc(cap);
    cli_config *c = NULL;
    *status = text ? config_merge(own, update, text, cap, &len, err)
                   : gv_fail(err, GV_IO, "no memory for the configuration");
    if (*status == GV_OK)
        c = cli_from_text(gv_span_of(text, len), "update", status, err);
    if (c)
        c->config.over_air = true;
    free(text);
    return c;
}

/* --- for those who look ------------------------------------------------------------------------ */
static cli_config *take_kept(const cli_config *own, const store *s, const char *path, gv_error *err)
{
    const store_ref *good = &store_look(s)->good;
    char device[CLI_DEVICE_MAX];
    gv_status status;
    bundle opened;
    size_t len, own_len;
    cli_device(&own->config, device);
    bundle_recipient recipient = cli_recipient(&own->config, device);
    char *bytes = malloc(BUNDLE_BYTES_MAX), *text = cli_read_text(path, &own_len, err);
    cli_config *c = NULL;
    if (bytes && text &&
        store_read(s, good->version, bytes, BUNDLE_BYTES_MAX, &len, err) == GV_OK &&
        bundle_open(gv_span_of(bytes, len), &recipient, &opened, err) == BUNDLE_GOOD)
        c = cli_with_update(gv_span_of(text, own_len), opened.config, &status, err);
    if (c) {
        c->update_version = good->version;
        snprintf(c->update_sha256, sizeof c->update_sha256, "%s", good->sha256);
    }
    free(text);
    free(bytes);
    return c;
}

cli_config *cli_in_force(cli_config *own, const char *path, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    store *s;
    cli_config *c = NULL;
    if (!cli_takes_updates(&own->config) ||
        store_open(&fs, own->config.state_dir, false, &s, err) != GV_OK)
        return own;
    if (store_look(s)->good.version)
        c = take_kept(own, s, path, err);
    store_close(s);
    if (!c)
        return own;
    free(own);
    return c;
}
