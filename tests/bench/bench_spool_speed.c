/* Bytes a second into the spool and out of it, beside bare loops that do no more than pack, write and
 * sync, or read and unpack. */
#include "tests/bench/bench_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SPOOL_NAME "bench-spool"
#define BARE_NAME  "bench-bare"

#define SLICE_BATCHES                                                                              \
    64u /* of one, then as many of the other: whoever else uses the machine slows both */

typedef struct {
    double seconds, cpu_seconds;
    uint64_t payload_bytes;
    uint64_t disk_bytes;
    uint64_t syncs;
} figures;

typedef struct {
    int file;
    char *packed, *plain;
    uint32_t *lengths; /* of the packed batches, one after the other in the file */
    off_t at;
} bare_file;

/* One turn: the same batches both ways. */
typedef enum { SPOOL_IN, BARE_IN, SPOOL_OUT, BARE_OUT, WAYS } way;

typedef struct {
    bench *b;
    spool *s;
    bare_file bare;
    bool is_checked;
    figures ways[WAYS];
} turn;

static void expect(const turn *t, size_t n, gv_span got)
{
    gv_span payload;

    if (!t->is_checked)
        return;
    bench_batch(t->b, n, &payload);
    bench_check(gv_span_equal(got, payload), "a batch that was read is not the one appended");
}

/* --- the spool ------------------------------------------------------------------------------ */

static void append_spool(turn *t, figures *f, size_t first, size_t count)
{
    uint64_t before_bytes = spool_look(t->s)->payload_bytes;

    bench_spool_fill(t->b, t->s, first, count);
    f->payload_bytes += spool_look(t->s)->payload_bytes - before_bytes;
}

static void drain_spool(turn *t, figures *f, size_t first, size_t count)
{
    static uint8_t bytes[BENCH_BATCH_BYTES];
    gv_error err = { 0, "" };
    spool_meta meta;
    uint64_t seq;

    for (size_t n = first; n < first + count; n++) {
        gv_buf payload = gv_buf_of(bytes, sizeof bytes);
        bench_check(spool_next(t->s, &meta, &payload, &seq, &err) == GV_OK,
                    err.text[0] ? err.text : "not all that was appended can be read");
        expect(t, n, gv_span_of(payload.data, payload.len));
        f->payload_bytes += payload.len;
        spool_ack(t->s, seq);
        spool_tick(t->s);
    }
}

/* --- the bare loops ------------------------------------------------------------------------- */

static void bare_open(bench *b, bare_file *bare, size_t batches)
{
    size_t cap = (size_t)LZ4_compressBound(BENCH_BATCH_BYTES);

    *bare = (bare_file){ .file = open(bench_path(b, BARE_NAME), O_RDWR | O_CREAT | O_TRUNC, 0600),
                         .packed = malloc(cap),
                         .plain = malloc(BENCH_BATCH_BYTES),
                         .lengths = malloc(batches * sizeof *bare->lengths) };
    bench_check(bare->file >= 0, "cannot make a file in --dir");
    bench_check(bare->packed && bare->plain && bare->lengths, "no memory for the bare loop");
    bench_check(posix_fallocate(bare->file, 0, (off_t)(batches * BENCH_BATCH_BYTES)) == 0 &&
                    fsync(bare->file) == 0,
                "no room in --dir");
}

static void bare_close(bench *b, bare_file *bare)
{
    close(bare->file);
    free(bare->packed);
    free(bare->plain);
    free(bare->lengths);
    bench_remove(b, BARE_NAME);
}

static void append_bare(turn *t, figures *f, size_t first, size_t count)
{
    bare_file *bare = &t->bare;
    gv_span payload;

    for (size_t n = first; n < first + count; n++) {
        bench_batch(t->b, n, &payload);
        int len = LZ4_compress_default((const char *)payload.data, bare->packed, (int)payload.len,
                                       LZ4_compressBound((int)payload.len));
        bench_check(pwrite(bare->file, bare->packed, (size_t)len, bare->at) == len,
                    "the bare loop cannot write");
        bare->lengths[n] = (uint32_t)len;
        bare->at += len;
        f->payload_bytes += payload.len;
        f->disk_bytes += (uint64_t)len;
        if ((n + 1) % BATCHES_PER_SYNC != 0 && n + 1 < first + count)
            continue;
        bench_check(fdatasync(bare->file) == 0, "the bare loop cannot sync");
        f->syncs++;
    }
}

static void drain_bare(turn *t, figures *f, size_t first, size_t count)
{
    bare_file *bare = &t->bare;

    for (size_t n = first; n < first + count; n++) {
        int packed = (int)bare->lengths[n];
        bench_check(pread(bare->file, bare->packed, (size_t)packed, bare->at) == packed,
                    "the bare loop cannot read");
        int len = LZ4_decompress_safe(bare->packed, bare->plain, packed, BENCH_BATCH_BYTES);
        bench_check(len > 0, "the bare loop cannot unpack");
        expect(t, n, gv_span_of(bare->plain, (size_t)len));
        f->payload_bytes += (uint64_t)len;
        bare->at += packed;
    }
}

/* --- in turns ------------------------------------------------------------------------------- */

/* What was written is on the disk and no longer in memory. */
static void forget(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return;
    (void)fsync(file);
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
}

static bool forget_one(void *arg, const char *name)
{
    const bench *b = arg;
    char path[2 * PLAT_PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", b->path, name);
    forget(path);
    return true;
}

static void measure(turn *t, way which, size_t first, size_t count)
{
    static void (*const run[WAYS])(turn *, figures *, size_t, size_t) = { append_spool, append_bare,
                                                                          drain_spool, drain_bare };
    figures *f = &t->ways[which];
    double wall_s = bench_now_s(CLOCK_MONOTONIC), cpu_s = bench_now_s(CLOCK_PROCESS_CPUTIME_ID);

    run[which](t, f, first, count);
    f->seconds += bench_now_s(CLOCK_MONOTONIC) - wall_s;
    f->cpu_seconds += bench_now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
}

/* Slice by slice, and who comes first changes, too. */
static void alternate(turn *t, way a, way b, size_t batches)
{
    for (size_t at = 0; at < batches; at += SLICE_BATCHES) {
        size_t count = batches - at < SLICE_BATCHES ? batches - at : SLICE_BATCHES;
        bool swap = at / SLICE_BATCHES % 2 != 0;
        measure(t, swap ? b : a, at, count);
        measure(t, swap ? a : b, at, count);
    }
}

/* What the spool has asked of the disk since `before`. */
static void count_disk(turn *t, way which, const fs_count *before)
{
    const fs_count *now = &t->b->count;
    figures *f = &t->ways[which];

    f->disk_bytes = now->written_bytes - before->written_bytes;
    f->syncs = now->file_syncs - before->file_syncs + now->dir_syncs - before->dir_syncs;
}

static void append_both(turn *t, size_t batches)
{
    fs_count before = t->b->count;
    const spool_state *state = spool_look(t->s);

    alternate(t, SPOOL_IN, BARE_IN, batches);
    count_disk(t, SPOOL_IN, &before);
    bench_check(state->appended_batches == batches && state->unread == batches,
                "the spool does not count what was appended");
    bench_check(t->ways[SPOOL_IN].disk_bytes == state->stored_bytes,
                "the spool wrote more than it counts");
    bench_check(t->ways[SPOOL_IN].syncs >= batches / BATCHES_PER_SYNC,
                "batches were promised without a sync");
}

static void drain_both(turn *t, size_t batches)
{
    fs_count before = t->b->count;
    const spool_state *state = spool_look(t->s);

    t->bare.at = 0;
    alternate(t, SPOOL_OUT, BARE_OUT, batches);
    count_disk(t, SPOOL_OUT, &before);
    bench_check(state->acked_batches == batches && state->batches == 0,
                "the spool still holds what was acknowledged");
}

static void take_turn(bench *b, bool is_checked, figures ways[WAYS])
{
    size_t batches = (size_t)(b->run_mib * MIB / BENCH_BATCH_BYTES);
    turn t = { .b = b, .s = bench_spool_new(b, SPOOL_NAME), .is_checked = is_checked };

    bare_open(b, &t.bare, batches);
    append_both(&t, batches);
    spool_close(t.s);
    t.s = bench_spool_open(b, SPOOL_NAME);
    b->system.list_dir(b->system.ctx, b->path, forget_one, b, NULL);
    forget(bench_path(b, BARE_NAME));
    drain_both(&t, batches);
    for (way i = SPOOL_IN; i < WAYS; i++)
        bench_check(t.ways[i].payload_bytes == t.ways[SPOOL_IN].payload_bytes,
                    "the spool and the bare loop did not bring the same bytes");
    bare_close(b, &t.bare);
    spool_close(t.s);
    bench_remove(b, SPOOL_NAME);
    memcpy(ways, t.ways, sizeof t.ways);
}

static double rate(const figures *f)
{
    return (double)f->payload_bytes / f->seconds / 1e6;
}

static void say(const char *name, figures turns[][WAYS], size_t rounds, way which)
{
    double rates[ROUNDS_MAX], cpu[ROUNDS_MAX];
    const figures *f = &turns[0][which];

    for (size_t i = 0; i < rounds; i++) {
        rates[i] = rate(&turns[i][which]);
        cpu[i] = turns[i][which].cpu_seconds * 1e9 / (double)f->payload_bytes;
    }
    printf("  %-36s %6.0f MB/s, %5.2f CPU ms/MB, %4llu syncs, %6.1f MB written\n", name,
           bench_median(rates, rounds), bench_median(cpu, rounds), (unsigned long long)f->syncs,
           (double)f->disk_bytes / 1e6);
}

static double say_ratio(figures turns[][WAYS], size_t rounds, way a, way b)
{
    double ratios[ROUNDS_MAX];

    for (size_t i = 0; i < rounds; i++)
        ratios[i] = rate(&turns[i][a]) / rate(&turns[i][b]);
    double ratio = bench_median(ratios, rounds);
    printf("  ratio %.2f (%.2f to %.2f over %zu turns)", ratio, ratios[0], ratios[rounds - 1],
           rounds);
    return ratio;
}

void bench_speed(bench *b)
{
    static figures turns[ROUNDS_MAX][WAYS];

    take_turn(b, true, turns[0]); /* warms up */
    for (size_t i = 0; i < b->rounds; i++)
        take_turn(b, false, turns[i]);
    printf("append, %llu MiB of batches, a sync every %u\n", (unsigned long long)b->run_mib,
           BATCHES_PER_SYNC);
    say("bare: LZ4, pwrite, fdatasync", turns, b->rounds, BARE_IN);
    say("spool_append, spool_commit", turns, b->rounds, SPOOL_IN);
    double ratio = say_ratio(turns, b->rounds, SPOOL_IN, BARE_IN);
    printf("; target %.1f: %s\n\n", TARGET_RATIO, ratio >= TARGET_RATIO ? "met" : "missed");
    printf("drain, from the disk\n");
    say("bare: pread, LZ4", turns, b->rounds, BARE_OUT);
    say("spool_next, spool_ack, deleting", turns, b->rounds, SPOOL_OUT);
    say_ratio(turns, b->rounds, SPOOL_OUT, BARE_OUT);
    printf("\n\n");
}
