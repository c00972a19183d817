/* gavel spool salvage: every good batch of all files of a directory, in order, into a new spool.
 *
 * First all files are walked, and of each good batch its place is kept (24 bytes); then the batches
 * are copied in the order of their sequences. One that is there twice - in a copied file, or in
 * quarantine/ as well - is taken once: its sequence and all of its header are the same.
 */
#include "agent/cli/cli.h"
#include "agent/tools/internal.h"
#include "spool/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMIT_EACH   64u
#define SEGMENT_BYTES (8u * 1024u * 1024u)
#define HEADER_CRC_AT (SPOOL_HEADER_BYTES - 4u)

typedef struct {
    uint64_t seq;
    uint64_t offset;
    uint32_t file;       /* index of its name */
    uint32_t header_crc; /* of the header without its own checksum */
} place;

_Static_assert(sizeof(place) == 24, "what the user is told that salvage needs");

typedef struct {
    scan scan;
    place *places;
    size_t count, cap;
    char **files;
    size_t file_count, file_cap;
    scan_counts counts; /* of all directories */
    uint64_t damaged_bytes;
    uint64_t copies;
    /* copying */
    void *memory;
    segment_walk walk; /* its file is that of files[open] */
    size_t open;       /* file_count: none */
    gv_buf payload;
    spool *out;
} salvage;

/* --- the index ------------------------------------------------------------------------------------ */

static bool grow(void **items, size_t *cap, size_t count, size_t item_bytes)
{
    if (count < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 1024;
    void *bigger = realloc(*items, more * item_bytes);
    if (!bigger)
        return false;
    *items = bigger;
    *cap = more;
    return true;
}

static gv_status add_file(salvage *s, const char *dir, const char *name, gv_error *err)
{
    void *files = s->files;
    char path[PLAT_PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return gv_fail(err, GV_INVAL, "the path %.60s... is too long", path);
    if (s->file_count && strcmp(s->files[s->file_count - 1], path) == 0)
        return GV_OK;
    bool ok = grow(&files, &s->file_cap, s->file_count, sizeof *s->files);
    s->files = files;
    if (!ok || !(s->files[s->file_count] = strdup(path)))
        return gv_fail(err, GV_FULL, "no memory for the names of %zu files", s->file_count);
    s->file_count++;
    return GV_OK;
}

static gv_status add_place(salvage *s, const spool_item *item, gv_error *err)
{
    uint8_t bytes[SPOOL_HEADER_BYTES];
    spool_header header = item->header;
    void *places = s->places;
    bool ok = grow(&places, &s->cap, s->count, sizeof *s->places);

    s->places = places;
    if (!ok)
        return gv_fail(err, GV_FULL, "no memory for an index of %zu batches", s->count);
    spool_header_put(&header, bytes);
    s->places[s->count++] = (place){ item->header.seq, item->offset, (uint32_t)(s->file_count - 1),
                                     spool_crc32c(0, gv_span_of(bytes, HEADER_CRC_AT)) };
    return GV_OK;
}

static void tell_damage(salvage *s, const char *dir, const spool_item *item)
{
    bar_clear(&s->scan.bar);
    s->damaged_bytes += item->bytes;
    printf("cannot be read: %s/%s at byte %" PRIu64 ", %" PRIu64 " bytes", dir, item->file,
           item->offset, item->bytes);
    if (item->has_header)
        printf(": batch %" PRIu64 ", %u records", item->first_seq,
               (unsigned)item->header.meta.records);
    putchar('\n');
}

static void add_counts(scan_counts *all, const scan_counts *more)
{
    all->batches += more->batches;
    all->records += more->records;
    all->damaged += more->damaged;
    all->foreign += more->foreign;
    all->unreadable += more->unreadable;
}

static gv_status walk_dir(salvage *s, const char *dir, gv_error *err)
{
    gv_status status = scan_open(&s->scan, dir, SCAN_ANY_FILE, err);
    spool_item item;

    while (status == GV_OK && (status = scan_next(&s->scan, &item, err)) == GV_OK) {
        if (item.kind == SPOOL_ITEM_DAMAGE || item.kind == SPOOL_ITEM_FOREIGN)
            tell_damage(s, dir, &item);
        if (item.kind != SPOOL_ITEM_BATCH)
            continue;
        status = add_file(s, dir, item.file, err);
        if (status == GV_OK)
            status = add_place(s, &item, err);
    }
    add_counts(&s->counts, &s->scan.counts);
    scan_close(&s->scan);
    return status == GV_AGAIN ? GV_OK : status;
}

static bool any_name(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return false;
}

static gv_status is_empty_dir(const plat_fs *fs, const char *dir, bool *is_empty, gv_error *err)
{
    gv_error why = { 0, "" };
    bool any = false;

    gv_status status = fs->list_dir(fs->ctx, dir, any_name, &any, &why);
    *is_empty = !any;
    if (status == GV_OK || why.os_errno == ENOENT)
        return GV_OK;
    return gv_fail(err, status, "%s", why.text);
}

static gv_status walk_all(salvage *s, const char *dir, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    char aside[PLAT_PATH_MAX];
    bool is_empty = true;

    gv_status status = walk_dir(s, dir, err);
    if (status == GV_OK && snprintf(aside, sizeof aside, "%s/quarantine", dir) < PLAT_PATH_MAX)
        status = is_empty_dir(&fs, aside, &is_empty, err);
    return status == GV_OK && !is_empty ? walk_dir(s, aside, err) : status;
}

/* --- order ---------------------------------------------------------------------------------------- */

static int in_order(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    if (x->header_crc != y->header_crc)
        return x->header_crc < y->header_crc ? -1 : 1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sorts, and leaves one of each. */
static void order_places(salvage *s)
{
    size_t kept = 0;

    qsort(s->places, s->count, sizeof *s->places, in_order);
    for (size_t i = 0; i < s->count; i++) {
        const place *p = &s->places[i];
        if (kept && s->places[kept - 1].seq == p->seq &&
            s->places[kept - 1].header_crc == p->header_crc)
            s->copies++;
        else
            s->places[kept++] = *p;
    }
    s->count = kept;
}

/* --- copying -------------------------------------------------------------------------------------- */

static gv_status open_new(salvage *s, const plat_fs *fs, const plat_clock *clock, const char *dir,
                          gv_error *err)
{
    spool_config config = { .fs = fs,
                            .clock = clock,
                            .dir = dir,
                            .payload_bytes = SCAN_PAYLOAD_BYTES,
                            .segment_bytes = SEGMENT_BYTES,
                            .quota_bytes = INT64_MAX,
                            .quarantine_bytes = SEGMENT_BYTES,
                            .window = 1,
                            .cursor_ms = 1000 };
    size_t io_bytes = segment_io_bytes(SCAN_PAYLOAD_BYTES);
    bool is_empty;

    gv_status status = is_empty_dir(fs, dir, &is_empty, err);
    if (status == GV_OK && !is_empty)
        return gv_fail(err, GV_INVAL, "%s is not empty; --out wants a new directory", dir);
    config.mem_bytes = spool_mem_needed(&config);
    s->memory = malloc(config.mem_bytes + io_bytes + SCAN_PAYLOAD_BYTES);
    if (status != GV_OK || !s->memory)
        return gv_fail(err, GV_FULL, "no memory to write %s", dir);
    config.mem = s->memory;
    uint8_t *rest = (uint8_t *)s->memory + config.mem_bytes;
    s->walk = (segment_walk){ .fs = fs,
                              .io = gv_buf_of(rest, io_bytes),
                              .payload_bytes = SCAN_PAYLOAD_BYTES,
                              .below = UINT64_MAX };
    s->payload = gv_buf_of(rest + io_bytes, SCAN_PAYLOAD_BYTES);
    s->open = s->file_count;
    return spool_open(&config, &s->out, err);
}

static void close_source(salvage *s)
{
    if (s->walk.fs && s->open < s->file_count)
        s->walk.fs->close(s->walk.fs->ctx, s->walk.file);
    s->open = s->file_count;
}

/* The batch at the place: it was good a moment ago. */
static gv_status read_place(salvage *s, const place *p, segment_item *item, gv_error *err)
{
    const plat_fs *fs = s->walk.fs;
    gv_status status = GV_OK;

    if (s->open != p->file) {
        close_source(s);
        status = fs->open(fs->ctx, s->files[p->file], PLAT_READ, &s->walk.file, err);
        if (status != GV_OK)
            return status;
        s->open = p->file;
        status = fs->size(fs->ctx, s->walk.file, &s->walk.end, err);
    }
    s->walk.at = p->offset;
    s->walk.expect = 0;
    s->payload.len = 0;
    if (status == GV_OK)
        status = segment_next(&s->walk, true, item, err);
    if (status == GV_OK && item->kind != SEGMENT_BATCH)
        return gv_fail(err, GV_CORRUPT, "it has changed meanwhile");
    return status == GV_OK ? segment_unpack(&s->walk, item, &s->payload, err) : status;
}

/* What cannot be read any more is told and left out; what cannot be written ends it. */
static gv_status copy_all(salvage *s, uint64_t *batches, uint64_t *records, gv_error *err)
{
    bar progress = bar_open(false);
    gv_status status = GV_OK;

    for (size_t i = 0; i < s->count && status == GV_OK; i++) {
        const place *p = &s->places[i];
        gv_error why = { 0, "" };
        segment_item item;

        if (read_place(s, p, &item, &why) != GV_OK) {
            s->counts.damaged++;
            bar_clear(&progress);
            printf("cannot be read: %s at byte %" PRIu64 ": %s\n", s->files[p->file], p->offset,
                   why.text);
            continue;
        }
        status = spool_append(s->out, &item.header.meta,
                              gv_span_of(s->payload.data, s->payload.len), err);
        if (status == GV_OK && (i + 1) % COMMIT_EACH == 0)
            status = spool_commit(s->out, err);
        *batches += status == GV_OK;
        *records += status == GV_OK ? item.header.meta.records : 0;
        bar_draw(&progress, i, s->count, plat_mono_ms(&s->scan.clock), "copying");
    }
    bar_clear(&progress);
    return status == GV_OK ? spool_commit(s->out, err) : status;
}

static gv_status write_new(salvage *s, const char *dir, gv_error *err)
{
    plat_fs fs = plat_fs_system();
    plat_clock clock = plat_clock_system(0);
    uint64_t batches = 0, records = 0;

    gv_status status = open_new(s, &fs, &clock, dir, err);
    if (status == GV_OK)
        status = copy_all(s, &batches, &records, err);
    close_source(s);
    if (s->out)
        spool_close(s->out);
    if (status == GV_OK)
        printf("%" PRIu64 " batches with %" PRIu64 " records written to %s\n", batches, records,
               dir);
    return status;
}

static void print_found(const salvage *s)
{
    printf("%zu good batches in %zu files (%" PRIu64
           " more are copies of them); cannot be read: %" PRIu64 " places, %" PRIu64
           " bytes; of a newer version: %" PRIu64 "; unreadable files: %" PRIu64 "\n",
           s->count, s->file_count, s->copies, s->counts.damaged, s->damaged_bytes,
           s->counts.foreign, s->counts.unreadable);
}

int tools_salvage(tools_call *call)
{
    static salvage s;
    const char *out = cli_take_option(&call->argc, call->argv, "--out");
    gv_error err = { 0, "" };

    if (!tools_words_left(call, 1))
        return CLI_USAGE;
    gv_status status = walk_all(&s, call->argv[1], &err);
    if (status == GV_OK) {
        order_places(&s);
        print_found(&s);
    }
    if (status == GV_OK && out)
        status = write_new(&s, out, &err);
    for (size_t i = 0; i < s.file_count; i++)
        free(s.files[i]);
    free(s.files);
    free(s.places);
    free(s.memory);
    if (status != GV_OK)
        return tools_fail(&err);
    if (!tools_output_ok())
        return CLI_USAGE;
    return s.counts.damaged + s.counts.foreign + s.counts.unreadable ? CLI_NOT_ALL_WELL : CLI_OK;
}
