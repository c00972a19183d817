#include "agent/tools/ocf.h"

#include "agent/codec/avro_out.h"

#include <stdio.h>

static gv_status write_bytes(ocf *o, const void *data, size_t len, gv_error *err)
{
    gv_status status = o->fs->write_at(o->fs->ctx, o->file, o->at, data, len, err);

    if (status == GV_OK)
        o->at += len;
    return status;
}

/* Magic, a map of two entries, the sync marker. */
static gv_status write_header(ocf *o, const char *schema_text, gv_error *err)
{
    gv_buf *out = &o->block; /* empty yet */

    if (!gv_buf_put(out, "Obj\x01", 4) || !avro_put_long(out, 2) ||
        !avro_put_bytes(out, gv_span_str("avro.schema")) ||
        !avro_put_bytes(out, gv_span_str(schema_text)) ||
        !avro_put_bytes(out, gv_span_str("avro.codec")) ||
        !avro_put_bytes(out, gv_span_str("null")) || !avro_put_long(out, 0) ||
        !gv_buf_put(out, o->sync, OCF_SYNC_BYTES))
        return gv_fail(err, GV_FULL, "the schema is too long for a file's header");
    gv_status status = write_bytes(o, out->data, out->len, err);
    out->len = 0;
    return status;
}

gv_status ocf_open(ocf *o, const plat_fs *fs, const char *path, const char *schema_text,
                   const uint8_t sync[OCF_SYNC_BYTES], gv_error *err)
{
    gv_status status;

    memset(o, 0, sizeof *o);
    o->fs = fs;
    o->block = gv_buf_of(o->bytes, sizeof o->bytes);
    memcpy(o->sync, sync, OCF_SYNC_BYTES);
    if (snprintf(o->path, sizeof o->path, "%s", path) >= (int)sizeof o->path ||
        snprintf(o->temporary, sizeof o->temporary, "%s.part", path) >= (int)sizeof o->temporary)
        return gv_fail(err, GV_INVAL, "the name %.40s... is too long", path);
    status = fs->open(fs->ctx, o->temporary, PLAT_CREATE, &o->file, err);
    if (status != GV_OK) {
        o->temporary[0] = '\0';
        return status;
    }
    status = write_header(o, schema_text, err);
    if (status != GV_OK)
        ocf_abandon(o);
    return status;
}

/* A block: how many records, how many bytes, these bytes, the sync marker. */
static gv_status write_block(ocf *o, gv_span records, uint64_t count, gv_error *err)
{
    uint8_t room[2 * AVRO_LONG_MAX_BYTES];
    gv_buf head = gv_buf_of(room, sizeof room);
    gv_status status;

    avro_put_long(&head, (int64_t)count);
    avro_put_long(&head, (int64_t)records.len);
    status = write_bytes(o, head.data, head.len, err);
    if (status == GV_OK)
        status = write_bytes(o, records.data, records.len, err);
    return status == GV_OK ? write_bytes(o, o->sync, OCF_SYNC_BYTES, err) : status;
}

static gv_status flush(ocf *o, gv_error *err)
{
    gv_status status;

    if (o->in_block == 0)
        return GV_OK;
    status = write_block(o, gv_span_of(o->block.data, o->block.len), o->in_block, err);
    o->block.len = 0;
    o->in_block = 0;
    return status;
}

gv_status ocf_put(ocf *o, gv_span body, gv_error *err)
{
    gv_status status = GV_OK;

    o->records++;
    if (!gv_buf_put(&o->block, body.data, body.len)) {
        status = flush(o, err);
        if (status == GV_OK && !gv_buf_put(&o->block, body.data, body.len))
            return write_block(o, body, 1, err);
    }
    o->in_block++;
    return status;
}

static gv_status name_file(ocf *o, gv_error *err)
{
    char dir[PLAT_PATH_MAX];
    char *slash;

    snprintf(dir, sizeof dir, "%s", o->path);
    slash = strrchr(dir, '/');
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        slash[slash == dir] = '\0';
    gv_status status = o->fs->rename(o->fs->ctx, o->temporary, o->path, err);
    if (status != GV_OK)
        return status;
    o->temporary[0] = '\0';
    return o->fs->sync_dir(o->fs->ctx, dir, err);
}

gv_status ocf_close(ocf *o, gv_error *err)
{
    gv_status status = flush(o, err);

    if (status == GV_OK)
        status = o->fs->sync(o->fs->ctx, o->file, err);
    if (status != GV_OK) {
        ocf_abandon(o);
        return status;
    }
    o->fs->close(o->fs->ctx, o->file);
    status = name_file(o, err);
    if (status != GV_OK && o->temporary[0] != '\0')
        o->fs->remove(o->fs->ctx, o->temporary, NULL);
    return status;
}

void ocf_abandon(ocf *o)
{
    if (o->temporary[0] == '\0')
        return;
    o->fs->close(o->fs->ctx, o->file);
    o->fs->remove(o->fs->ctx, o->temporary, NULL);
    o->temporary[0] = '\0';
}
