/* fuzz_ledger.c - any bytes as a message of the ledger topic: its key, a zero byte, its value.
 *
 * Must hold: no read outside of it; an accepted entry names the snapshot that is its key, has a state,
 * and makes documents that can be read back with the same claim. A refusal has a message.
 */
#include "agent/sink/snapshot_doc.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    gv_error err = { 0 };
    ledger entry;
    snapshot_doc back;
    bson_t whole, doc;

    if (!zero)
        return 0;
    gv_span key = gv_span_of(data, (size_t)(zero - data));
    gv_span json = gv_span_of(zero + 1, size - key.len - 1);
    gv_status status = ledger_decode(key, json, &entry, &whole, &err);
    assert(status == GV_OK || status == GV_CORRUPT);
    assert((status == GV_OK) == (err.text[0] == '\0'));
    if (status != GV_OK)
        return 0;
    assert(gv_span_equal(key, gv_span_str(entry.snapshot)));
    assert(entry.claim.state[0]);
    bson_init(&doc);
    const ledger_place at = { "auctions.snapshots", 3, INT64_MAX };
    const ledger_change change = { &entry, &whole, &at, entry.is_gap, true };
    assert(snapshot_doc_ledger(&change, &doc, &err) == GV_OK);
    gv_span bytes = gv_span_of(bson_get_data(&doc), doc.len);
    assert(snapshot_doc_read(entry.snapshot, bytes, &back));
    assert(back.has_gap == entry.is_gap && back.has_ledger != entry.is_gap);
    const ledger *same = entry.is_gap ? &back.gap : &back.entry;
    assert(same->claim.records == entry.claim.records && same->claim.digest == entry.claim.digest);
    assert(strcmp(same->claim.state, entry.claim.state) == 0);
    assert(strcmp(same->reason, entry.reason) == 0 && strcmp(same->device, entry.device) == 0);
    assert((entry.is_gap ? back.gap_at : back.entry_at).offset == INT64_MAX);
    assert(strcmp(back.state, "pending") == 0);
    bson_destroy(&doc);
    bson_destroy(&whole);
    return 0;
}
