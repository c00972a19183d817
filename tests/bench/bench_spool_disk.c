/* What stands on the disk: a long backlog, opened; bytes an auction; bytes a day. */
#include "agent/pipeline/ledger.h"
#include "agent/source/cursor.h"
#include "tests/bench/bench_spool.h"
#include "tests/doubles/clock_double.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKLOG_NAME "bench-backlog"
#define EMPTY_NAME   "bench-empty"
#define BYTES_NAME   "bench-bytes"
#define CURSORS_NAME "bench-cursors"
#define HOURS_A_DAY  24u
#define DAY_MS       (HOURS_A_DAY * 3600u * 1000u)

/* --- a long backlog ------------------------------------------------------------------------- */

static size_t fill_backlog(bench *b, spool *s)
{
    double started_s = bench_now_s(CLOCK_MONOTONIC);
    uint64_t payload_bytes = 0;
    gv_error err = { 0, "" };
    gv_span payload;
    size_t n = 0;

    while (spool_look(s)->bytes < b->backlog_mib * MIB) {
        spool_meta meta = bench_batch(b, n, &payload);
        bench_check(spool_append(s, &meta, payload, &err) == GV_OK, err.text);
        payload_bytes += payload.len;
        n++;
    }
    bench_check(spool_commit(s, &err) == GV_OK, err.text);
    printf("backlog: %zu batches, %.0f MB of them in %.0f MiB on disk, %" PRIu64
           " segments; %.0f s to make\n",
           n, (double)payload_bytes / 1e6, (double)spool_look(s)->bytes / MIB,
           spool_look(s)->segments, bench_now_s(CLOCK_MONOTONIC) - started_s);
    return n;
}

static bool count_name(void *arg, const char *name)
{
    (void)name;
    ++*(uint64_t *)arg;
    return true;
}

static double list_ms(bench *b, uint64_t *names)
{
    double started_s = bench_now_s(CLOCK_MONOTONIC);
    gv_error err = { 0, "" };

    *names = 0;
    bench_check(b->system.list_dir(b->system.ctx, b->path, count_name, names, &err) == GV_OK,
                err.text);
    return (bench_now_s(CLOCK_MONOTONIC) - started_s) * 1e3;
}

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;

    bench_check(f && fscanf(f, "%*d %ld", &pages) == 1, "/proc/self/statm cannot be read");
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Opens it and reads its first batches; how much more memory is resident then. */
static long grown_kib(bench *b, const char *name)
{
    static uint8_t bytes[BENCH_BATCH_BYTES];
    memset(bytes, 1, sizeof bytes);
    long before_kib = resident_kib();
    spool *s = bench_spool_open(b, name);
    spool_meta meta;
    uint64_t seq;

    for (size_t i = 0; i < b->config.window; i++) {
        gv_buf payload = gv_buf_of(bytes, sizeof bytes);
        if (spool_next(s, &meta, &payload, &seq, NULL) != GV_OK)
            break;
    }
    long after_kib = resident_kib();
    spool_close(s); /* nothing is acknowledged: all of it is still there */
    return after_kib - before_kib;
}

static void measure_open(bench *b, size_t batches)
{
    double list[ROUNDS_MAX], open[ROUNDS_MAX];
    uint64_t names;

    for (size_t i = 0; i < b->rounds; i++) {
        list[i] = list_ms(b, &names);
        double started_s = bench_now_s(CLOCK_MONOTONIC);
        spool *s = bench_spool_open(b, BACKLOG_NAME);
        open[i] = (bench_now_s(CLOCK_MONOTONIC) - started_s) * 1e3;
        bench_check(spool_look(s)->unread == batches, "the spool has not found its backlog");
        bench_check(names >= spool_look(s)->segments, "a segment has no name");
        spool_close(s);
    }
    double listed = bench_median(list, b->rounds), opened = bench_median(open, b->rounds);
    printf("  reading the directory alone, %" PRIu64 " names  %8.2f ms\n", names, listed);
    printf(
        "  spool_open                                %8.2f ms; %.2f ms beyond, target %.0f: %s\n",
        opened, opened - listed, TARGET_OPEN_MS,
        opened - listed < TARGET_OPEN_MS ? "met" : "missed");
}

void bench_backlog(bench *b)
{
    spool *s = bench_spool_new(b, BACKLOG_NAME);
    size_t batches = fill_backlog(b, s);

    spool_close(s);
    measure_open(b, batches);
    long without_kib = grown_kib(b, EMPTY_NAME), with_kib = grown_kib(b, BACKLOG_NAME);
    printf("  memory: the spool's own %zu KiB, whatever the backlog; resident beyond it %ld KiB "
           "more with the backlog, %ld KiB more without\n",
           b->config.mem_bytes / 1024, with_kib, without_kib);
    bench_remove(b, BACKLOG_NAME);
    bench_remove(b, EMPTY_NAME);
}

void bench_make_backlog(bench *b, const char *dir)
{
    b->dir = dir;
    spool *s = bench_spool_open(b, ".");
    fill_backlog(b, s);
    spool_close(s);
}

/* --- bytes an auction, bytes a day ---------------------------------------------------------- */

typedef struct {
    uint64_t bytes, syncs;
} disk_work;

static disk_work work_since(const bench *b, const fs_count *before)
{
    return (disk_work){ b->count.written_bytes - before->written_bytes,
                        b->count.file_syncs - before->file_syncs + b->count.dir_syncs -
                            before->dir_syncs };
}

static void append_ledger(bench *b, spool *s, const batch *last, uint64_t records)
{
    ledger_entry entry = { .snapshot = last->snapshot,
                           .records = records,
                           .digest = UINT64_C(0x9e3779b97f4a7c15),
                           .fingerprint = last->fingerprint,
                           .topic = "auctions.raw",
                           .device = "board" };
    uint8_t room[LEDGER_BYTES_MAX + BATCH_ENTRY_OVERHEAD];
    batch packed = { .bytes = gv_buf_of(room, sizeof room) };
    char text[LEDGER_BYTES_MAX];
    gv_error err = { 0, "" };
    size_t len;
    gv_span ignored;
    spool_meta meta = bench_batch(b, (size_t)(last - b->data.batches), &ignored);

    bench_check(ledger_write(&entry, text, &len, &err) == GV_OK, err.text);
    bench_check(batch_append(&packed, 0, gv_span_of(text, len)), "a ledger entry is too long");
    meta.kind = SPOOL_LEDGER;
    meta.records = 1;
    meta.fingerprint = 0;
    gv_span payload = gv_span_of(packed.bytes.data, packed.bytes.len);
    bench_check(spool_append(s, &meta, payload, &err) == GV_OK && spool_commit(s, &err) == GV_OK,
                err.text);
}

/* An outage's work: the data's snapshots, each with its ledger entry. */
static disk_work spool_snapshots(bench *b, uint64_t *on_disk)
{
    fs_count before = b->count;
    gv_error err = { 0, "" };
    gv_span payload;
    spool *s = bench_spool_new(b, BYTES_NAME);
    uint64_t records = 0;

    for (size_t n = 0; n < b->data.count; n++) {
        const batch *here = &b->data.batches[n];
        spool_meta meta = bench_batch(b, n, &payload);
        bench_check(spool_append(s, &meta, payload, &err) == GV_OK, err.text);
        records += here->records;
        if ((n + 1) % BATCHES_PER_SYNC == 0)
            bench_check(spool_commit(s, &err) == GV_OK, err.text);
        if (n + 1 < b->data.count && here[1].snapshot.time_ms == here->snapshot.time_ms)
            continue;
        append_ledger(b, s, here, records);
        records = 0;
    }
    bench_check(spool_look(s)->records == b->data.records + b->data.snapshots,
                "the spool does not hold every auction and ledger entry");
    uint64_t stored_bytes = spool_look(s)->stored_bytes;
    spool_close(s);
    disk_work done = work_since(b, &before); /* with what closing writes */
    s = bench_spool_open(b, BYTES_NAME);
    *on_disk = spool_look(s)->bytes;
    spool_close(s);
    bench_check(*on_disk == stored_bytes && done.bytes >= stored_bytes,
                "what was written is not what stands on the disk");
    bench_remove(b, BYTES_NAME);
    return done;
}

/* A day without outage: the spool is open and is ticked every second. */
static disk_work idle_day(bench *b)
{
    clock_double now = { 0, 0 };
    plat_clock clock = clock_double_table(&now), system = b->clock;
    spool *s = bench_spool_new(b, EMPTY_NAME);
    fs_count before;

    spool_close(s); /* the directory is made once, not every day */
    b->clock = clock;
    before = b->count;
    s = bench_spool_open(b, EMPTY_NAME);
    while (now.mono_ms < DAY_MS) {
        spool_tick(s);
        clock_double_advance(&now, 1000);
    }
    spool_close(s);
    b->clock = system;
    bench_remove(b, EMPTY_NAME);
    return work_since(b, &before);
}

/* The cursor of one feed, saved every hour of a day. */
static disk_work cursor_day(bench *b)
{
    feed f = { .region = "eu", .realm = 604, .last_modified = 1404174601 };
    fs_count before = b->count;
    gv_error err = { 0, "" };

    bench_check(b->fs.make_dir(b->fs.ctx, bench_path(b, CURSORS_NAME), &err) == GV_OK, err.text);
    for (unsigned hour = 0; hour < HOURS_A_DAY; hour++) {
        f.last_modified += 3600;
        bench_check(cursor_save(&b->fs, bench_path(b, CURSORS_NAME), &f, &err) == GV_OK, err.text);
    }
    bench_remove(b, CURSORS_NAME);
    return work_since(b, &before);
}

static void say_bytes(const char *name, const bench *b, uint64_t bytes)
{
    printf("  %-44s %7.1f bytes\n", name, (double)bytes / (double)b->data.records);
}

void bench_bytes(bench *b)
{
    uint64_t on_disk;
    disk_work outage = spool_snapshots(b, &on_disk), idle = idle_day(b), cursors = cursor_day(b);
    double days = (double)b->data.snapshots / HOURS_A_DAY; /* of one realm */

    bench_check(idle.bytes == 0 && idle.syncs == 0, "an idle spool writes to the disk");
    bench_check(cursors.bytes > 0, "cursors were saved without being written");
    printf("an auction (of %" PRIu64 ")\n", b->data.records);
    say_bytes("as JSON from the API", b, b->data.json_bytes);
    say_bytes("as Avro", b, b->data.avro_bytes);
    say_bytes("in a batch, with key and length", b, b->data.payload_bytes);
    say_bytes("spooled, with headers, padding and ledger", b, on_disk);
    printf("writes a day of one realm with a snapshot of %" PRIu64
           " auctions an hour, computed from these %" PRIu64 " snapshots; n realms: n times\n",
           b->data.records / b->data.snapshots, b->data.snapshots);
    printf("  outage: spool %.1f MB, %.0f syncs; cursors as on a healthy day\n",
           (double)outage.bytes / days / 1e6, (double)outage.syncs / days);
    printf("  healthy: spool %" PRIu64 " bytes, %" PRIu64 " syncs; cursors %" PRIu64
           " bytes, %" PRIu64 " syncs\n\n",
           idle.bytes, idle.syncs, cursors.bytes, cursors.syncs);
}
