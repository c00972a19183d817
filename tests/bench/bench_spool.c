/* bench_spool - what it costs to keep batches on disk, beside what nobody can do without.
 *
 *     bench_spool [--dir DIR] [--backlog-mib N] [--run-mib N] [--rounds N] [--segment-kib N] [--quick]
 *     bench_spool --make-backlog DIR [--backlog-mib N] [--segment-kib N]
 *
 * Everything is made below DIR (the working directory) and taken away again; a backlog of 4 GiB needs
 * as much room. The batches are the agent's own, of the recorded bodies in GAVEL_RECORDED_DATA or else
 * of generated ones. What is compared runs in turns within one run, on the same disk; medians are
 * printed. Results are checked as they come: every batch that is read is the one that was appended.
 * --quick:        small figures, for a test of this program.
 * --make-backlog: only makes a spool with a backlog, and leaves it there.
 */
#include "tests/bench/bench_spool.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOUR_MS INT64_C(3600000)

const char *bench_path(bench *b, const char *name)
{
    static char path[PLAT_PATH_MAX];

    bench_check(snprintf(path, sizeof path, "%s/%s", b->dir, name) < PLAT_PATH_MAX,
                "the path of --dir is too long");
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

void bench_remove(bench *b, const char *name)
{
    bench_check(nftw(bench_path(b, name), remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ||
                    errno == ENOENT,
                "what was made for measuring cannot be removed");
}

spool *bench_spool_new(bench *b, const char *name)
{
    bench_remove(b, name); /* of a run that was ended */
    return bench_spool_open(b, name);
}

spool *bench_spool_open(bench *b, const char *name)
{
    gv_error err = { 0, "" };
    spool *s;

    strcpy(b->path, bench_path(b, name));
    b->config.dir = b->path;
    bench_check(spool_open(&b->config, &s, &err) == GV_OK, err.text);
    return s;
}

spool_meta bench_batch(const bench *b, size_t n, gv_span *payload)
{
    const batch *from = &b->data.batches[n % b->data.count];
    int64_t again = (int64_t)(n / b->data.count);
    spool_meta meta = { .snapshot = { .realm = from->snapshot.realm,
                                      .house = from->snapshot.house,
                                      .time_ms = from->snapshot.time_ms +
                                                 again * (int64_t)b->data.snapshots * HOUR_MS },
                        .fingerprint = from->fingerprint,
                        .records = from->records,
                        .kind = SPOOL_AUCTIONS };

    memcpy(meta.snapshot.region, from->snapshot.region, sizeof meta.snapshot.region);
    *payload = gv_span_of(from->bytes.data, from->bytes.len);
    return meta;
}

void bench_spool_fill(bench *b, spool *s, size_t first, size_t count)
{
    gv_error err = { 0, "" };
    gv_span payload;

    for (size_t n = first; n < first + count; n++) {
        spool_meta meta = bench_batch(b, n, &payload);
        bench_check(spool_append(s, &meta, payload, &err) == GV_OK, err.text);
        if ((n + 1) % BATCHES_PER_SYNC == 0)
            bench_check(spool_commit(s, &err) == GV_OK, err.text);
    }
    bench_check(spool_commit(s, &err) == GV_OK, err.text);
}

/* --- options -------------------------------------------------------------------------------- */

static void configure(bench *b)
{
    b->system = plat_fs_system();
    b->fs = fs_count_table(&b->count, &b->system);
    b->clock = plat_clock_system(0);
    b->config = (spool_config){ .fs = &b->fs,
                                .clock = &b->clock,
                                .payload_bytes = BENCH_BATCH_BYTES,
                                .segment_bytes = b->segment_bytes,
                                .quota_bytes = UINT64_MAX / 2,
                                .quarantine_bytes = MIB,
                                .window = 8,
                                .cursor_ms = 5000 };
    b->config.mem_bytes = spool_mem_needed(&b->config);
    b->config.mem = malloc(b->config.mem_bytes);
    bench_check(b->config.mem != NULL, "no memory for the spool");
    memset(b->config.mem, 1, b->config.mem_bytes); /* counted before anything is measured */
    bench_data_make(&b->data, (size_t)(b->quick ? 2u : 36u) << 20);
    printf("%s: %llu snapshots, %llu auctions, %.1f MB of batches; segments of %u KiB\n\n",
           b->data.name, (unsigned long long)b->data.snapshots, (unsigned long long)b->data.records,
           (double)b->data.payload_bytes / 1e6, b->segment_bytes / 1024);
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long value = text ? strtoull(text, &end, 10) : 0;

    bench_check(value > 0 && *end == '\0', "an option needs a whole number above 0");
    return value;
}

static const char *read_options(bench *b, char **argv)
{
    const char *backlog = NULL;

    for (; *argv; argv++) {
        if (strcmp(*argv, "--quick") == 0) {
            *b = (bench){ .dir = b->dir,
                          .backlog_mib = 8,
                          .run_mib = 4,
                          .rounds = 1,
                          .segment_bytes = 512 * 1024,
                          .quick = true };
            continue;
        }
        const char *value = argv[1];
        if (strcmp(*argv, "--dir") == 0)
            b->dir = value;
        else if (strcmp(*argv, "--make-backlog") == 0)
            backlog = value;
        else if (strcmp(*argv, "--backlog-mib") == 0)
            b->backlog_mib = number(value);
        else if (strcmp(*argv, "--run-mib") == 0)
            b->run_mib = number(value);
        else if (strcmp(*argv, "--rounds") == 0)
            b->rounds = (size_t)number(value);
        else if (strcmp(*argv, "--segment-kib") == 0)
            b->segment_bytes = (uint32_t)number(value) * 1024;
        else
            bench_check(false, "unknown option; the head of bench_spool.c has them all");
        bench_check(value != NULL, "the last option has no value");
        argv++;
    }
    bench_check(b->rounds <= ROUNDS_MAX, "at most 31 rounds");
    return backlog;
}

int main(int argc, char **argv)
{
    bench b = {
        .dir = ".", .backlog_mib = 4096, .run_mib = 128, .rounds = 7, .segment_bytes = 4u * MIB
    };

    (void)argc;
    const char *backlog = read_options(&b, argv + 1);
    configure(&b);
    if (backlog) {
        bench_make_backlog(&b, backlog);
    } else {
        bench_speed(&b);
        bench_bytes(&b);
        bench_backlog(&b);
    }
    bench_data_free(&b.data);
    free(b.config.mem);
    return 0;
}
