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
    size_t batches;
} bare_file;

typedef struct {
    double wall, cpu;
} stop_watch;

static stop_watch start(void)
{
    return (stop_watch){ bench_now_s(CLOCK_MONOTONIC), bench_now_s(CLOCK_PROCESS_CPUTIME_ID) };
}

static void stop(const stop_watch *w, figures *f)
{
    f->seconds = bench_now_s(CLOCK_MONOTONIC) - w->wall;
    f->cpu_seconds = bench_now_s(CLOCK_PROCESS_CPUTIME_ID) - w->cpu;
}

static void expect(bool is_checked, const bench *b, size_t n, gv_span got)
{
    gv_span payload;

    if (!is_checked)
        return;
    bench_batch(b, n, &payload);
    bench_check(gv_span_equal(got, payload), "a batch that was read is not the one appended");
}

/* --- the spool ------------------------------------------------------------------------------ */

static figures append_spool(bench *b, spool *s)
{
    figures f = { 0 };
    fs_count before = b->count;
    stop_watch w = start();
    size_t batches = bench_spool_fill(b, s, b->run_mib * MIB);

    stop(&w, &f);
    const spool_state *state = spool_look(s);
    bench_check(state->appended_batches == batches && state->unread == batches,
                "the spool does not count what was appended");
    f.payload_bytes = state->payload_bytes;
    f.disk_bytes = b->count.written_bytes - before.written_bytes;
    f.syncs = b->count.file_syncs - before.file_syncs + b->count.dir_syncs - before.dir_syncs;
    bench_check(f.disk_bytes == state->stored_bytes, "the spool wrote more than it counts");
    bench_check(f.syncs >= batches / BATCHES_PER_SYNC, "batches were promised without a sync");
    return f;
}

static figures drain_spool(bench *b, spool *s, bool is_checked)
{
    static uint8_t bytes[BENCH_BATCH_BYTES];
    fs_count before = b->count;
    gv_error err = { 0, "" };
    figures f = { 0 };
    spool_meta meta;
    uint64_t seq;
    size_t n = 0;
    stop_watch w = start();

    for (;; n++) {
        gv_buf payload = gv_buf_of(bytes, sizeof bytes);
        gv_status st = spool_next(s, &meta, &payload, &seq, &err);
        if (st == GV_AGAIN)
            break;
        bench_check(st == GV_OK, err.text);
        expect(is_checked, b, n, gv_span_of(payload.data, payload.len));
        f.payload_bytes += payload.len;
        spool_ack(s, seq);
        spool_tick(s);
    }
    spool_tick(s);
    stop(&w, &f);
    bench_check(spool_look(s)->acked_batches == n && spool_look(s)->batches == 0,
                "not all that was appended could be read");
    f.syncs = b->count.file_syncs - before.file_syncs + b->count.dir_syncs - before.dir_syncs;
    f.disk_bytes = b->count.written_bytes - before.written_bytes;
    return f;
}

/* --- the bare loops ------------------------------------------------------------------------- */

static void bare_open(bench *b, bare_file *bare)
{
    size_t most = (size_t)(b->run_mib * MIB / (BENCH_BATCH_BYTES / 2)) + b->data.count;
    int cap = LZ4_compressBound(BENCH_BATCH_BYTES);

    *bare = (bare_file){ .file = open(bench_path(b, BARE_NAME), O_RDWR | O_CREAT | O_TRUNC, 0600),
                         .packed = malloc((size_t)cap),
                         .plain = malloc(BENCH_BATCH_BYTES),
                         .lengths = malloc(most * sizeof *bare->lengths) };
    bench_check(bare->file >= 0, "cannot make a file in --dir");
    bench_check(bare->packed && bare->plain && bare->lengths, "no memory for the bare loop");
    bench_check(posix_fallocate(bare->file, 0, (off_t)(b->run_mib * MIB)) == 0 &&
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

static void bare_sync(const bare_file *bare, figures *f)
{
    bench_check(fdatasync(bare->file) == 0, "the bare loop cannot sync");
    f->syncs++;
}

static figures append_bare(bench *b, bare_file *bare)
{
    figures f = { 0 };
    gv_span payload;
    stop_watch w = start();

    for (; f.payload_bytes < b->run_mib * MIB; f.payload_bytes += payload.len) {
        bench_batch(b, bare->batches, &payload);
        int len = LZ4_compress_default((const char *)payload.data, bare->packed, (int)payload.len,
                                       LZ4_compressBound((int)payload.len));
        bench_check(pwrite(bare->file, bare->packed, (size_t)len, (off_t)f.disk_bytes) == len,
                    "the bare loop cannot write");
        bare->lengths[bare->batches++] = (uint32_t)len;
        f.disk_bytes += (uint64_t)len;
        if (bare->batches % BATCHES_PER_SYNC == 0)
            bare_sync(bare, &f);
    }
    bare_sync(bare, &f);
    stop(&w, &f);
    return f;
}

static figures drain_bare(bench *b, bare_file *bare, bool is_checked)
{
    figures f = { 0 };
    off_t at = 0;
    stop_watch w = start();

    for (size_t n = 0; n < bare->batches; n++) {
        int packed = (int)bare->lengths[n];
        bench_check(pread(bare->file, bare->packed, (size_t)packed, at) == packed,
                    "the bare loop cannot read");
        int len = LZ4_decompress_safe(bare->packed, bare->plain, packed, BENCH_BATCH_BYTES);
        bench_check(len > 0, "the bare loop cannot unpack");
        expect(is_checked, b, n, gv_span_of(bare->plain, (size_t)len));
        f.payload_bytes += (uint64_t)len;
        at += packed;
    }
    stop(&w, &f);
    return f;
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

typedef enum { SPOOL_IN, BARE_IN, SPOOL_OUT, BARE_OUT, WAYS } way;

static void take_turn(bench *b, bool is_checked, figures turn[WAYS])
{
    bare_file bare;
    spool *s = bench_spool_open(b, SPOOL_NAME);

    bare_open(b, &bare);
    turn[SPOOL_IN] = append_spool(b, s);
    turn[BARE_IN] = append_bare(b, &bare);
    spool_close(s);
    s = bench_spool_open(b, SPOOL_NAME);
    b->system.list_dir(b->system.ctx, b->path, forget_one, b, NULL);
    forget(bench_path(b, BARE_NAME));
    turn[SPOOL_OUT] = drain_spool(b, s, is_checked);
    turn[BARE_OUT] = drain_bare(b, &bare, is_checked);
    for (way i = SPOOL_IN; i < WAYS; i++)
        bench_check(turn[i].payload_bytes == turn[SPOOL_IN].payload_bytes,
                    "the spool and the bare loop did not bring the same bytes");
    bare_close(b, &bare);
    spool_close(s);
    bench_remove(b, SPOOL_NAME);
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
