/* One snapshot on its way in: what is handed on, what is not, and that every batch comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pipeline/intake.h"
#include "tests/doubles/forwarder_double.h"
#include "tests/unit/auction_bodies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (128u * 1024u)
#define TIME_MS     INT64_C(1404174601000)

static struct {
    void *arena_block, *mem, *pool_mem;
    schema auction, reject;
    intake_shared shared;
    batch_pool pool;
    intake in;
    forwarder *forwarder;
    gv_error err;
} w;

static void submit(void *ctx, batch *b)
{
    (void)ctx;
    forwarder_submit(w.forwarder, b);
}

static void came_back(void *ctx, batch *b, uint32_t refused)
{
    (void)ctx;
    assert_ptr_equal(b->owner, &w.in);
    intake_returned(&w.in, b, refused);
}

/* Everything anew, with so many batches of that size. */
static void make(uint32_t batches, size_t batch_bytes, const transcode_limits *limits)
{
    static const plan_binding bindings[] = INTAKE_BINDINGS;
    gv_arena arena;
    size_t len;
    const plan *p;
    char *text = body_load(GAVEL_SOURCE_DIR "/schemas/auction.avsc", &len);
    w.arena_block = malloc(ARENA_BYTES);
    gv_arena_init(&arena, w.arena_block, ARENA_BYTES);
    assert_int_equal(schema_parse(gv_span_of(text, len), &arena, &w.auction, &w.err), GV_OK);
    free(text);
    text = body_load(GAVEL_SOURCE_DIR "/schemas/reject.avsc", &len);
    assert_int_equal(schema_parse(gv_span_of(text, len), &arena, &w.reject, &w.err), GV_OK);
    free(text);
    assert_int_equal(plan_build(&w.auction, bindings, sizeof bindings / sizeof bindings[0], "id",
                                "extra", &arena, &p, &w.err),
                     GV_OK);
    w.shared = (intake_shared){ .auction_plan = p,
                                .auction_fingerprint = w.auction.fingerprint,
                                .reject_fingerprint = w.reject.fingerprint,
                                .limits = *limits,
                                .pool = &w.pool,
                                .submit = submit };
    size_t scratch = intake_scratch_bytes(limits), mem = intake_mem_needed(&w.shared);
    w.mem = malloc(mem + scratch);
    w.shared.scratch = gv_buf_of((uint8_t *)w.mem + mem, scratch);
    w.pool_mem = malloc(pool_mem_needed(batches, batch_bytes));
    pool_init(&w.pool, w.pool_mem, batches, batch_bytes);
    w.forwarder = forwarder_double_open(came_back, NULL);
    intake_init(&w.in, &w.shared, w.mem, mem);
}

static void drop(void)
{
    forwarder_double_close(w.forwarder);
    free(w.arena_block);
    free(w.mem);
    free(w.pool_mem);
    memset(&w, 0, sizeof w);
}

static int setup(void **state)
{
    (void)state;
    transcode_limits limits = transcode_default_limits();
    limits.record_bytes = 8192;
    make(4, 16384, &limits);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    drop();
    return 0;
}

static void release_all(void)
{
    while (forwarder_double_held(w.forwarder) > 0)
        forwarder_double_release(w.forwarder, 0, 0);
}

static void begin(uint32_t realm, bool realm_known)
{
    const snapshot_id id = { "eu", realm, 0, TIME_MS };
    w.err = (gv_error){ 0, "" };
    intake_begin(&w.in, &id, realm_known);
}

/* Feeds all of it in pieces; whenever it has to wait, one batch is given back. */
static gv_status feed_all(const char *text, size_t len, size_t piece, unsigned *waits)
{
    for (size_t at = 0; at < len;) {
        size_t n = piece && piece < len - at ? piece : len - at, taken = SIZE_MAX;
        gv_status st = intake_feed(&w.in, gv_span_of(text + at, n), &taken, &w.err);
        assert_true(taken <= n);
        at += taken;
        if (st == GV_OK) {
            assert_int_equal(taken, n);
            continue;
        }
        if (st != GV_AGAIN)
            return st;
        ++*waits;
        assert_int_equal(w.pool.free_count, 0);
        if (forwarder_double_held(w.forwarder) == 0)
            intake_hand_over(&w.in);
        forwarder_double_release(w.forwarder, forwarder_double_held(w.forwarder) / 2, 0);
    }
    return GV_OK;
}

static intake_verdict end_all(unsigned *waits)
{
    intake_verdict verdict;
    while ((verdict = intake_end(&w.in, &w.err)) == INTAKE_WAIT) {
        ++*waits;
        if (forwarder_double_held(w.forwarder) == 0)
            intake_hand_over(&w.in);
        forwarder_double_release(w.forwarder, 0, 0);
    }
    return verdict;
}

/* The whole body; answers what became of it. Every batch is back in the pool then. */
static intake_verdict take(const body_spec *spec, bool realm_known, size_t piece, unsigned *waits)
{
    size_t len;
    char *text = body_make(spec, &len);
    intake_verdict verdict = INTAKE_BROKEN;
    begin(spec->realm, realm_known);
    if (feed_all(text, len, piece, waits) == GV_OK)
        verdict = end_all(waits);
    else
        intake_abort(&w.in);
    release_all();
    assert_int_equal(w.in.pending, 0);
    assert_int_equal(w.pool.free_count, w.pool.count);
    free(text);
    return verdict;
}

/* Every row was handed on exactly once, and nothing else. */
static void expect_rows(const body_spec *spec)
{
    body_tally t = body_expect_rows(w.forwarder, spec, TIME_MS, &w.auction, &w.reject);
    assert_int_equal(forwarder_double_count(w.forwarder), t.records + t.rejects);
    assert_int_equal(intake_counts(&w.in)->records, t.records);
    assert_int_equal(intake_counts(&w.in)->rejects, t.rejects);
    assert_true(w.in.digest == t.digest);
}

/* --- what is handed on ------------------------------------------------------------------------ */

static void every_row_is_handed_on_once_in_any_chunking(void **state)
{
    static const size_t pieces[] = { 0, 1, 7, 97, 1000, 16384 };
    static const body_spec specs[] = {
        { .realm = 604, .rows = 1 },
        { .realm = 604, .rows = 700 },
        { .realm = 604, .rows = 600, .reject_every = 3 },
        { .realm = 604, .rows = 300, .reject_every = 2, .long_every = 1 },
        { .realm = 604, .rows = 50, .reject_every = 1 },
        { .realm = 0, .where = REALM_NEVER, .rows = 400, .long_every = 3 },
    };
    (void)state;
    for (size_t s = 0; s < sizeof specs / sizeof specs[0]; s++)
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
            unsigned waits = 0;
            assert_int_equal(take(&specs[s], false, pieces[p], &waits), INTAKE_WHOLE);
            expect_rows(&specs[s]);
            forwarder_double_forget(w.forwarder);
        }
}

/* Four batches for some eighty: it must have waited, and nothing may be lost or doubled by that. */
static void empty_pool_pauses_and_resumes_with_nothing_lost_or_doubled(void **state)
{
    (void)state;
    const body_spec spec = { .realm = 604, .rows = 800, .reject_every = 5, .long_every = 1 };
    for (size_t piece = 1; piece < 40000; piece = piece * 3 + 1) {
        unsigned waits = 0;
        assert_int_equal(take(&spec, false, piece, &waits), INTAKE_WHOLE);
        assert_true(waits > 20);
        expect_rows(&spec);
        forwarder_double_forget(w.forwarder);
    }
}

static void body_without_rows_is_whole(void **state)
{
    (void)state;
    unsigned waits = 0;
    const body_spec spec = { .realm = 604, .rows = 0 };
    assert_int_equal(take(&spec, false, 0, &waits), INTAKE_WHOLE);
    expect_rows(&spec);
}

static void refused_records_are_counted(void **state)
{
    (void)state;
    size_t len;
    const body_spec spec = { .realm = 604, .rows = 10 };
    char *text = body_make(&spec, &len);
    unsigned waits = 0;
    begin(604, false);
    assert_int_equal(feed_all(text, len, 0, &waits), GV_OK);
    assert_int_equal(intake_end(&w.in, &w.err), INTAKE_WHOLE);
    assert_int_equal(w.in.pending, 1);
    forwarder_double_release(w.forwarder, 0, 3);
    assert_int_equal(w.in.refused, 3);
    begin(604, false); /* the next one starts from nothing */
    assert_int_equal(w.in.refused, 0);
    free(text);
}

/* --- guards ----------------------------------------------------------------------------------- */

static void expect_broken(const char *text, const char *words)
{
    unsigned waits = 0;
    size_t before = forwarder_double_count(w.forwarder);
    intake_verdict verdict = INTAKE_BROKEN;
    begin(604, false);
    if (feed_all(text, strlen(text), 0, &waits) == GV_OK)
        verdict = end_all(&waits);
    else
        intake_abort(&w.in);
    assert_int_equal(verdict, INTAKE_BROKEN);
    if (!strstr(w.err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", w.err.text, words);
    assert_int_equal(forwarder_double_count(w.forwarder), before);
    release_all();
    assert_int_equal(w.pool.free_count, w.pool.count);
}

#define REALM_604 "\"connected_realm\":{\"href\":\"https://x/data/wow/connected-realm/604?n\"}"
#define REALM_605 "\"connected_realm\":{\"href\":\"https://x/data/wow/connected-realm/605?n\"}"
#define ROW       "{\"id\":1,\"item\":{\"id\":2},\"quantity\":1,\"time_left\":\"LONG\"}"

static void body_that_is_no_snapshot_is_broken_with_words(void **state)
{
    (void)state;
    expect_broken("", "empty");
    expect_broken("   ", "ends too early");
    expect_broken("<html>", "not JSON at byte 0");
    expect_broken("[]", "expected an object");
    expect_broken("{}", "no array \"auctions\"");
    expect_broken("{" REALM_604 "}", "no array \"auctions\"");
    expect_broken("{" REALM_604 ",\"auctions\":{}}", "is no array");
    expect_broken("{" REALM_604 ",\"auctions\":[" ROW "]", "ends too early");
    expect_broken("{" REALM_604 ",\"auctions\":[" ROW, "ends too early");
    expect_broken("{" REALM_604 ",\"auctions\":[" ROW ",]}", "not JSON");
    expect_broken("{" REALM_604 ",\"auctions\":[" ROW "]}x", "not JSON");
}

static void wrong_realm_before_the_auctions_hands_nothing_on(void **state)
{
    (void)state;
    expect_broken("{" REALM_605 ",\"auctions\":[" ROW "]}",
                  "the body is of connected realm 605, asked was 604");
    expect_broken("{" REALM_604 "," REALM_605 ",\"auctions\":[" ROW "]}", "asked was 604");
}

static void wrong_realm_after_the_auctions_hands_nothing_on(void **state)
{
    (void)state;
    expect_broken("{\"auctions\":[" ROW "]," REALM_605 "}", "asked was 604");
}

/* Whatever is sent under a realm's name must be that realm's. */
static void realm_that_is_never_named_hands_nothing_on(void **state)
{
    (void)state;
    expect_broken("{\"auctions\":[" ROW "]}", "names no connected realm");
    expect_broken("{\"auctions\":[]}", "names no connected realm");
    expect_broken("{\"connected_realms\":{},\"auctions\":[" ROW "]}", "names no connected realm");
}

static void link_that_names_no_realm_is_not_the_asked_one(void **state)
{
    static const char *const links[] = { "{}",
                                         "null",
                                         "604",
                                         "{\"href\":604}",
                                         "{\"href\":\"https://x/data/wow/realm/604\"}",
                                         "{\"href\":\"https://x/connected-realm/\"}",
                                         "{\"href\":\"https://x/connected-realm/99999999999\"}" };
    (void)state;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"connected_realm\":%s,\"auctions\":[" ROW "]}", links[i]);
        expect_broken(text, "of connected realm 0, asked was 604");
    }
}

/* A second list would come after the check of the first, or with other positions. */
static void second_list_of_auctions_is_broken(void **state)
{
    (void)state;
    expect_broken("{\"auctions\":[" ROW "]," REALM_604 ",\"auctions\":[" ROW "]}", "twice");
}

static void realm_after_the_auctions_takes_two_passes(void **state)
{
    (void)state;
    unsigned waits = 0;
    const body_spec spec = { .realm = 604, .where = REALM_LAST, .rows = 300, .reject_every = 4 };
    for (size_t piece = 0; piece < 3000; piece = piece * 5 + 11) {
        assert_int_equal(take(&spec, false, piece, &waits), INTAKE_LOOK_AGAIN);
        assert_int_equal(forwarder_double_count(w.forwarder), 0);
        assert_int_equal(take(&spec, true, piece, &waits), INTAKE_WHOLE);
        expect_rows(&spec);
        forwarder_double_forget(w.forwarder);
    }
}

static void second_pass_still_sees_another_realm(void **state)
{
    (void)state;
    unsigned waits = 0;
    static const char text[] = "{\"auctions\":[" ROW "]," REALM_605 "}";
    begin(604, true);
    assert_int_equal(feed_all(text, sizeof text - 1, 0, &waits), GV_INVAL);
    intake_abort(&w.in);
    assert_int_equal(forwarder_double_count(w.forwarder), 0);
    assert_int_equal(w.pool.free_count, w.pool.count);
}

static void commodities_have_no_realm_to_name(void **state)
{
    (void)state;
    unsigned waits = 0;
    const body_spec spec = { .realm = 0, .where = REALM_NEVER, .rows = 20 };
    assert_int_equal(take(&spec, false, 0, &waits), INTAKE_WHOLE);
    expect_rows(&spec);
    /* A body that names one is some realm's. */
    static const char text[] = "{" REALM_604 ",\"auctions\":[" ROW "]}";
    begin(0, false);
    assert_int_equal(feed_all(text, sizeof text - 1, 0, &waits), GV_INVAL);
    intake_abort(&w.in);
}

static void it_can_be_given_up_at_any_byte(void **state)
{
    (void)state;
    size_t len;
    const body_spec spec = { .realm = 604, .rows = 60, .reject_every = 3, .long_every = 2 };
    char *text = body_make(&spec, &len);
    for (size_t end = 0; end < len; end += 61) {
        unsigned waits = 0;
        begin(604, false);
        assert_int_equal(feed_all(text, end, 0, &waits), GV_OK);
        if (end % 2) {
            assert_int_equal(intake_end(&w.in, &w.err), INTAKE_BROKEN);
            assert_true(w.err.text[0] != '\0');
        } else {
            intake_abort(&w.in);
        }
        release_all();
        assert_int_equal(w.pool.free_count, w.pool.count);
        forwarder_double_forget(w.forwarder);
    }
    free(text);
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* A row of exactly so many bytes of JSON, whose note is filled with `with`. */
static size_t long_row(char *out, size_t bytes, const char *with)
{
    static const char head[] = "{\"id\":1,\"item\":{\"id\":2},\"quantity\":1,\"note\":\"";
    static const char tail[] = "\"}";
    size_t n = sizeof head - 1, unit = strlen(with);
    memcpy(out, head, n);
    while (n + unit + sizeof tail - 1 <= bytes) {
        memcpy(out + n, with, unit);
        n += unit;
    }
    while (n + sizeof tail - 1 < bytes)
        out[n++] = 'x';
    memcpy(out + n, tail, sizeof tail - 1);
    return n + sizeof tail - 1;
}

/* Whatever a row holds, it becomes a record or a reject: a snapshot never breaks by its length. */
static void row_of_any_length_is_a_record_or_a_reject(void **state)
{
    static const char *const withs[] = {
        "x", "\xff", "\\ud800", "\\u0001", "\xc3\xa9", "\xe2\x82"
    };
    (void)state;
    static char text[200 * 1024];
    const size_t batch_bytes = 65536;
    transcode_limits limits = transcode_default_limits();
    drop();
    limits.record_bytes = batch_bytes - BATCH_ENTRY_OVERHEAD - INTAKE_REJECT_FRAME_BYTES;
    make(4, batch_bytes, &limits);
    const size_t limit = limits.record_bytes;
    const size_t lengths[] = {
        1000,       limit / 3 - 1, limit / 3 + 200, limit / 2, limit - 2000,
        limit - 60, limit - 1,     limit,           limit + 1, limit + 5000
    };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (size_t k = 0; k < sizeof withs / sizeof withs[0]; k++)
            for (int nested = 0; nested < 2; nested++) {
                unsigned waits = 0;
                size_t n = (size_t)sprintf(text, "{" REALM_604 ",\"auctions\":[");
                n += long_row(text + n, lengths[i], withs[k]);
                if (nested) { /* inside an unknown member, too */
                    n += (size_t)sprintf(text + n, ",{\"id\":3,\"item\":{\"id\":4,\"q\":");
                    n += long_row(text + n, lengths[i] - 40, withs[k]);
                    n += (size_t)sprintf(text + n, "},\"quantity\":1}");
                }
                n += (size_t)sprintf(text + n, "]}");
                begin(604, false);
                if (feed_all(text, n, 0, &waits) != GV_OK)
                    fail_msg("%zu bytes of %s: %s", lengths[i], withs[k], w.err.text);
                assert_int_equal(end_all(&waits), INTAKE_WHOLE);
                assert_int_equal(intake_counts(&w.in)->records + intake_counts(&w.in)->rejects,
                                 1 + nested);
                assert_int_equal(forwarder_double_count(w.forwarder), 1 + nested);
                if (lengths[i] == 1000)
                    assert_int_equal(intake_counts(&w.in)->records, 1 + nested);
                if (lengths[i] > limit)
                    assert_int_equal(intake_counts(&w.in)->rejects, 1 + nested);
                release_all();
                forwarder_double_forget(w.forwarder);
            }
}

static void longest_record_and_longest_reject_fit_in_the_smallest_batch(void **state)
{
    (void)state;
    transcode_limits limits = transcode_default_limits();
    limits.record_bytes = 65536 - BATCH_ENTRY_OVERHEAD - INTAKE_REJECT_FRAME_BYTES;
    assert_true(limits.record_bytes + BATCH_ENTRY_OVERHEAD <= 65536);
    assert_true(intake_scratch_bytes(&limits) + BATCH_ENTRY_OVERHEAD <= 65536);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_row_is_handed_on_once_in_any_chunking),
        TEST(empty_pool_pauses_and_resumes_with_nothing_lost_or_doubled),
        TEST(body_without_rows_is_whole),
        TEST(refused_records_are_counted),
        TEST(body_that_is_no_snapshot_is_broken_with_words),
        TEST(wrong_realm_before_the_auctions_hands_nothing_on),
        TEST(wrong_realm_after_the_auctions_hands_nothing_on),
        TEST(realm_that_is_never_named_hands_nothing_on),
        TEST(link_that_names_no_realm_is_not_the_asked_one),
        TEST(second_list_of_auctions_is_broken),
        TEST(realm_after_the_auctions_takes_two_passes),
        TEST(second_pass_still_sees_another_realm),
        TEST(commodities_have_no_realm_to_name),
        TEST(it_can_be_given_up_at_any_byte),
        TEST(row_of_any_length_is_a_record_or_a_reject),
        TEST(longest_record_and_longest_reject_fit_in_the_smallest_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
