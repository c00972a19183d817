/* What comes of an entry of the ledger topic: its place in the snapshot's document. The document keeps
 * the last claim and the last gap, and which of the two came last; so it ends the same, however often
 * and by however many sinks the topic is read. */
#include "agent/sink/sink_internal.h"

#include <stdio.h>
#include <string.h>

#define CHANGE_ATTEMPTS 8 /* each lost one means that another sink has succeeded */

gv_status sink_change(sink *s, const char *id, sink_change_fn *decide, void *arg, gv_error *err)
{
    const store *st = s->config.store;

    for (int attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
        looked_up seen;
        bson_t members;
        gv_status status = sink_look_up(s, id, &seen, err);
        if (status != GV_OK) {
            return status;
        }
        bson_init(&members);
        status = decide(s, arg, &seen, &members, err);
        if (status == GV_OK && !bson_empty(&members)) {
            status = st->snapshot_set(st->ctx, id, seen.doc.revision,
                                      gv_span_of(bson_get_data(&members), members.len), err);
        }
        bson_destroy(&members);
        if (status != GV_AGAIN) {
            return status;
        }
    }
    return gv_fail(err, GV_IO, "snapshot %s is being changed by others all the time", id);
}

typedef struct {
    const ledger *entry;
    const bson_t *whole;
    ledger_place at;
    bool pending; /* a verdict is needed */
} arrival;

/* Was that place written before the topic was made anew? Then its offsets say nothing now. */
static gv_status is_of_an_older_topic(sink *s, const ledger_place *place, bool *older,
                                      gv_error *err)
{
    size_t count = 0;
    gv_status status = s->outside.progress(s->outside.ctx, place->topic, s->partitions,
                                           SINK_PARTITIONS_MAX, &count, err);

    *older = false;
    for (size_t i = 0; status == GV_OK && i < count && i < SINK_PARTITIONS_MAX; i++) {
        *older = *older || (s->partitions[i].partition == place->partition &&
                            s->partitions[i].high <= place->offset);
    }
    return status;
}

/* One key is in one partition, unless somebody changes their number: then the comer counts as later. */
static gv_status is_later(sink *s, const ledger_place *comer, bool there, const ledger_place *than,
                          bool *later, gv_error *err)
{
    *later = !there || comer->partition != than->partition || comer->offset > than->offset ||
             strcmp(comer->topic, than->topic) != 0;
    if (*later || comer->offset == than->offset) {
        return GV_OK;
    }
    return is_of_an_older_topic(s, than, later, err);
}

static bool same_claim(const verdict_claim *a, const verdict_claim *b)
{
    return strcmp(a->state, b->state) == 0 && a->records == b->records &&
           a->rejects == b->rejects && a->digest == b->digest;
}

/* Found complete: a gap cannot change that, nor the same claim once more. */
static bool stays_complete(const snapshot_doc *doc, const ledger *entry)
{
    return strcmp(doc->state, "complete") == 0 && doc->has_ledger &&
           (entry->is_gap || same_claim(&doc->entry.claim, &entry->claim));
}

static gv_status take_entry(sink *s, void *arg, const looked_up *seen, bson_t *members,
                            gv_error *err)
{
    arrival *a = arg;
    const snapshot_doc *doc = &seen->doc;
    bool gap = a->entry->is_gap;
    bool newer = true, last = true;

    gv_status status = is_later(s, &a->at, gap ? doc->has_gap : doc->has_ledger,
                                gap ? &doc->gap_at : &doc->entry_at, &newer, err);
    if (status == GV_OK) {
        status = is_later(s, &a->at, gap ? doc->has_ledger : doc->has_gap,
                          gap ? &doc->entry_at : &doc->gap_at, &last, err);
    }
    if (status != GV_OK) {
        return status;
    }
    a->pending = strcmp(doc->state, "complete") != 0;
    if (!newer) {
        return GV_OK;
    }
    a->pending = !stays_complete(doc, a->entry);
    const ledger_change change = { a->entry, a->whole, &a->at, gap == last, a->pending };
    return snapshot_doc_ledger(&change, members, err);
}

gv_status sink_take_ledger(sink *s, const sink_item *item, gv_error *why)
{
    ledger entry;
    bson_t whole;

    gv_status status = ledger_decode(item->key, item->value, &entry, &whole, why);
    if (status != GV_OK) {
        return status;
    }
    arrival a = { &entry, &whole, { .partition = item->partition, .offset = item->offset }, true };
    snprintf(a.at.topic, sizeof a.at.topic, "%s", s->topics[item->topic].name);
    status = sink_change(s, entry.snapshot, take_entry, &a, why);
    bson_destroy(&whole);
    if (status == GV_OK && a.pending) {
        sink_want(s, entry.snapshot, SNAPSHOT_FORCED);
    }
    return status == GV_CORRUPT ? GV_IO : status; /* the entry is well, its document is not */
}
