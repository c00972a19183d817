/* fuzz_transcode.c - any bytes into the transcoder.
 *
 * Input: one byte of choices, one of chunk size, then the document.
 * Must hold: the same bytes give the same events, verdict and message in any chunking, and when the
 * receiver says GV_AGAIN; every event is counted; each accepted body is read back by avro_in.h, and
 * what is read is encoded to the same bytes; a document is finished exactly when it is accepted.
 */
#include "tests/unit/codec_help.h"
#include "tests/unit/codec_reencode.h"

#include "auction_avsc.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Types that the auction schema does not have. */
static const char other_avsc[] =
    "{\"type\":\"record\",\"name\":\"O\",\"fields\":[{\"name\":\"id\",\"type\":\"long\","
    "\"default\":1},"
    "{\"name\":\"d\",\"type\":[\"null\",\"int\",\"double\"]},{\"name\":\"b\",\"type\":[\"null\","
    "\"boolean\",\"bytes\"]},{\"name\":\"s\",\"type\":[\"null\",\"string\",{\"type\":\"map\","
    "\"values\":\"float\"}]},{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":"
    "2},"
    "\"default\":\"ab\"},{\"name\":\"extra\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]},"
    "\"default\":\"A\"},{\"name\":\"o\",\"type\":[\"null\",\"O\"]}]}";

static codec codecs[2];

static void open_codecs(void)
{
    if (codecs[0].plan)
        return;
    codec_open(&codecs[0], auction_avsc, true);
    codec_open(&codecs[1], other_avsc, false);
}

static void check_bodies(const codec *c, const codec_run *run)
{
    for (size_t i = 0; i < run->record_count; i++) {
        gv_span body = run_body(run, i);
        uint8_t *copy = malloc(body.len);
        gv_buf out = gv_buf_of(copy, body.len);
        assert(codec_reencode(c->schema.root, body, &out, NULL) == GV_OK);
        assert(gv_span_equal(body, gv_span_of(copy, out.len)));
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    transcode_limits limits = transcode_default_limits();
    codec_run whole, pieces;

    open_codecs();
    if (size < 2)
        return 0;
    const codec *c = &codecs[data[0] & 1];
    if (data[0] & 2)
        limits = (transcode_limits){
            .record_bytes = 64, .envelope_bytes = 64, .depth = 6, .array_items = 3
        };
    feeding how = { .chunk_bytes = 1 + data[1] % 64,
                    .seed = data[0] & 4 ? 1u + data[1] : 0,
                    .again_times = data[0] >> 3 & 1 };
    gv_span text = gv_span_of(data + 2, size - 2);

    codec_feed(c, text, &(feeding){ 0 }, &limits, &whole);
    codec_feed(c, text, &how, &limits, &pieces);
    assert(runs_equal(&whole, &pieces));
    assert(whole.counts.records == whole.record_count);
    assert((whole.status == GV_OK) == (whole.counts.finished && whole.counts.saw_records));
    assert(whole.status == GV_OK || whole.status == GV_INVAL);
    assert((whole.status == GV_OK) == (whole.err.text[0] == '\0'));
    check_bodies(c, &whole);
    run_free(&whole);
    run_free(&pieces);
    return 0;
}
