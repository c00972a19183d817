/* gavel spool export: the records as an Avro Object Container File. */
#include "agent/cli/cli.h"
#include "agent/codec/avro_in.h"
#include "agent/codec/digest.h"
#include "agent/tools/internal.h"
#include "agent/tools/ocf.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
    ocf file;
    scan scan;
    filter filter;
    int schema;        /* SCAN_AUCTION, SCAN_REJECT */
    uint64_t left_out; /* records of another schema, or that are none of ours */
} export_job;

static void choose_sync(const scan *s, uint8_t sync[OCF_SYNC_BYTES])
{
    uint64_t seed[2] = { plat_mono_ms(&s->clock), (uint64_t)plat_wall_ms(&s->clock) };

    gv_put_le64(sync, codec_digest(gv_span_of(seed, sizeof seed)));
    gv_put_le64(sync + 8, codec_digest(gv_span_of(sync, 8)));
}

static gv_status put_batch(export_job *job, const batch *b, gv_error *err)
{
    const schema *type = &job->scan.schemas[job->schema];
    gv_status status = GV_OK;
    batch_entry entry;
    size_t offset = 0;

    if (b->fingerprint != type->fingerprint) {
        job->left_out += b->records;
        return GV_OK;
    }
    while (status == GV_OK && batch_next(b, &offset, &entry)) {
        gv_span body =
            gv_span_of(entry.framed + BATCH_PREFIX_BYTES, entry.framed_len - BATCH_PREFIX_BYTES);
        if (avro_in_check(type->root, body, NULL) == GV_OK)
            status = ocf_put(&job->file, body, err);
        else
            job->left_out++; /* one of these would make the whole file unreadable */
    }
    return status;
}

static gv_status put_all(export_job *job, gv_error *err)
{
    gv_status status;
    spool_item item;
    batch b;

    do {
        status = scan_next_batch(&job->scan, &job->filter, &item, &b, err);
        if (status == GV_OK)
            status = put_batch(job, &b, err);
    } while (status == GV_OK);
    return status == GV_AGAIN ? GV_OK : status;
}

static bool exists(const plat_fs *fs, const char *path)
{
    int file;

    if (fs->open(fs->ctx, path, PLAT_READ, &file, NULL) != GV_OK)
        return false;
    fs->close(fs->ctx, file);
    return true;
}

static gv_status write_file(export_job *job, const char *dir, const char *path, bool force,
                            gv_error *err)
{
    uint8_t sync[OCF_SYNC_BYTES];
    gv_status status = scan_open(&job->scan, dir, SCAN_SEGMENTS, err);

    if (status == GV_OK && !force && exists(&job->scan.fs, path))
        return gv_fail(err, GV_INVAL, "%s is there already; --force replaces it", path);
    if (status != GV_OK)
        return status;
    choose_sync(&job->scan, sync);
    status = ocf_open(&job->file, &job->scan.fs, path, job->scan.texts[job->schema], sync, err);
    if (status != GV_OK)
        return status;
    status = put_all(job, err);
    if (status == GV_OK)
        return ocf_close(&job->file, err);
    ocf_abandon(&job->file);
    return status;
}

/* auctions when nothing is said. */
static bool take_kind(tools_call *call, export_job *job)
{
    const char *kind = cli_take_option(&call->argc, call->argv, "--kind");

    memset(job->filter.kinds, 0, sizeof job->filter.kinds);
    if (!kind || strcmp(kind, "auctions") == 0) {
        job->schema = SCAN_AUCTION;
        job->filter.kinds[SPOOL_AUCTIONS] = true;
        return true;
    }
    if (strcmp(kind, "rejects") == 0) {
        job->schema = SCAN_REJECT;
        job->filter.kinds[SPOOL_REJECTS] = true;
        return true;
    }
    fprintf(stderr, "gavel: --kind is auctions or rejects, not '%s'\n", kind);
    return false;
}

int tools_export(tools_call *call)
{
    static export_job job; /* with a block of the file */
    bool force = cli_take_flag(&call->argc, call->argv, "--force");
    gv_error err = { 0, "" };

    if (!tools_take_filter(call, &job.filter) || !take_kind(call, &job) ||
        !tools_words_left(call, 1) || !tools_find_dir(call))
        return CLI_USAGE;
    gv_status status = write_file(&job, call->dir, call->argv[1], force, &err);
    scan_close(&job.scan);
    if (status != GV_OK)
        return tools_fail(&err);
    printf("%" PRIu64 " records, %" PRIu64 " bytes: %s\n", job.file.records, job.file.at,
           call->argv[1]);
    if (job.left_out)
        fprintf(stderr,
                "gavel: %" PRIu64 " records are left out: they are not of the schema that this "
                "program knows\n",
                job.left_out);
    return scan_tell_losses(&job.scan) || job.left_out ? CLI_NOT_ALL_WELL : CLI_OK;
}
