/* Verdicts are given in rounds. A round takes all snapshots that changed since the last one, notes
 * how far each partition of the record topics has been written (the marks), and waits until the
 * group has committed that far: then everything that was sent before the ledger entries of these
 * snapshots is in the store, whichever sink put it there. What changes meanwhile is for the next
 * round. So one set of marks serves any number of snapshots. */
#include "agent/sink/sink_internal.h"

#include "platform/log.h"

#include <stdlib.h>
#include <string.h>

/* Questions to the broker wait behind fetches, some 100 ms each: while there are records to load, only
 * a ledger entry starts a round at once, and our own commits are known without asking. */
#define ROUND_MS      1000 /* between rounds in which no ledger entry waits */
#define ROUND_BUSY_MS 10000
#define LOOK_MS       200 /* between two questions about the group's progress */
#define LOOK_BUSY_MS  5000

void sink_want(sink *s, const char *id, unsigned flags)
{
    snapshot_entry *e = snapshot_table_add(&s->snapshots, id);

    if (e) {
        e->flags |= flags | SNAPSHOT_WANTED;
    } else {
        s->overflowed = true; /* its document is pending or to be looked at again: found later */
    }
}

static gv_status take_doc(void *arg, const char *id, gv_span bson)
{
    looked_up *l = arg;

    l->found = snapshot_doc_read(id, bson, &l->doc);
    return GV_OK;
}

gv_status sink_look_up(sink *s, const char *id, looked_up *out, gv_error *err)
{
    const store *st = s->config.store;

    memset(out, 0, sizeof *out);
    return st->snapshot_get(st->ctx, id, take_doc, out, err);
}

static bool has_entry(const looked_up *seen)
{
    return seen->found && (seen->doc.has_ledger || seen->doc.has_gap);
}

typedef struct {
    const char *id;
    bool marked; /* by whoever died, or works, before a verdict */
} opening;

static gv_status open_doc(sink *s, void *arg, const looked_up *seen, bson_t *members, gv_error *err)
{
    opening *o = arg;

    (void)s;
    o->marked = seen->found && seen->doc.recheck;
    if (!seen->found) {
        return snapshot_doc_receiving(o->id, members, err);
    }
    if (has_entry(seen) && !o->marked) {
        BSON_APPEND_BOOL(members, "recheck", true); /* should we die, the next start looks again */
    }
    return GV_OK;
}

gv_status sink_open_snapshot(sink *s, const char *id, gv_error *err)
{
    opening o = { id, false };
    gv_status status = sink_change(s, id, open_doc, &o, err);

    if (status == GV_OK) {
        snapshot_entry *e = snapshot_table_add(&s->snapshots, id);
        if (e) {
            e->opened_ms = plat_mono_ms(s->config.clock);
            e->flags |= o.marked ? SNAPSHOT_CHANGED : 0u; /* what they stored counts */
        } else {
            s->overflowed = true;
        }
    }
    return status;
}

/* --- what the store says still needs a verdict --- */

/* Those found incomplete are compared again once, at the start: somebody may have repaired them. */
static gv_status remember(void *arg, const char *id, gv_span bson)
{
    sink *s = arg;
    looked_up seen;

    seen.found = snapshot_doc_read(id, bson, &seen.doc);
    if (has_entry(&seen) && (seen.doc.recheck || strcmp(seen.doc.state, "pending") == 0 ||
                             (!s->asked && strcmp(seen.doc.state, "incomplete") == 0))) {
        sink_want(s, id, SNAPSHOT_FORCED);
    }
    return GV_OK;
}

static gv_status ask_store(sink *s, gv_error *err)
{
    const store *st = s->config.store;

    s->overflowed = false; /* set again when there are more than the table holds */
    gv_status status = st->snapshots(st->ctx, remember, s, err);
    if (status != GV_OK) {
        s->overflowed = true;
    } else {
        s->asked = true;
    }
    return status;
}

/* --- the marks --- */

typedef gv_status each_partition_fn(sink *s, uint8_t topic, const kafka_partition *p,
                                    gv_error *err);

static gv_status ask_broker(sink *s, bool with_ledger, each_partition_fn *each, gv_error *err)
{
    for (size_t t = 0; t < s->config.topic_count; t++) {
        size_t count = 0;
        if (s->topics[t].kind == SINK_LEDGER && !with_ledger) {
            continue;
        }
        gv_status status = s->outside.progress(s->outside.ctx, s->topics[t].name, s->partitions,
                                               SINK_PARTITIONS_MAX, &count, err);
        if (status == GV_OK && count > SINK_PARTITIONS_MAX) {
            status = gv_fail(err, GV_IO, "topic %s has %zu partitions, more than %d",
                             s->topics[t].name, count, SINK_PARTITIONS_MAX);
        }
        for (size_t i = 0; status == GV_OK && i < count; i++) {
            status = each(s, (uint8_t)t, &s->partitions[i], err);
        }
        if (status != GV_OK) {
            return status;
        }
    }
    return GV_OK;
}

static gv_status add_mark(sink *s, uint8_t topic, const kafka_partition *p, gv_error *err)
{
    if (p->high <= p->low || p->committed >= p->high) {
        return GV_OK; /* nothing there, or all of it read */
    }
    if (!sink_offsets_set(&s->marks, topic, p->partition, p->high)) {
        return gv_fail(err, GV_IO, "not enough memory");
    }
    return GV_OK;
}

static gv_status check_mark(sink *s, uint8_t topic, const kafka_partition *p, gv_error *err)
{
    (void)err;
    for (size_t i = 0; i < s->marks.count; i++) {
        sink_offset *m = &s->marks.items[i];
        /* Records that the broker has deleted by now will never come. */
        if (m->topic == topic && m->partition == p->partition &&
            (p->committed >= m->value || p->low >= m->value)) {
            *m = s->marks.items[--s->marks.count];
            break;
        }
    }
    return GV_OK;
}

void sink_strike_marks(sink *s, const sink_offsets *committed)
{
    for (size_t i = 0; i < committed->count; i++) {
        const sink_offset *o = &committed->items[i];
        const kafka_partition p = { o->partition, 0, o->value, o->value };
        check_mark(s, o->topic, &p, NULL);
    }
    s->reached = s->active && s->marks.count == 0;
}

static gv_status begin_round(sink *s, gv_error *err)
{
    s->marks.count = 0;
    gv_status status = ask_broker(s, false, add_mark, err);
    if (status != GV_OK) {
        return status;
    }
    for (size_t i = 0; i < s->snapshots.capacity; i++) {
        snapshot_entry *e = &s->snapshots.entries[i];
        if (e->used && e->flags & SNAPSHOT_WANTED) {
            unsigned due =
                e->flags & SNAPSHOT_FORCED ? SNAPSHOT_DUE | SNAPSHOT_NEEDED : SNAPSHOT_DUE;
            e->flags = (e->flags & SNAPSHOT_CHANGED) | due;
        }
    }
    s->active = true;
    s->reached = s->marks.count == 0;
    return GV_OK;
}

/* --- verdicts, several with one look at the store --- */

typedef struct {
    snapshot_entry *entry;
    ledger ledger; /* the claim, or the gap when there is none */
    int64_t revision;
    tally *tally;
} comparison;

typedef struct {
    comparison items[STORE_SCAN_MAX];
    size_t count;
    const char *collection; /* of all of them */
    uint64_t records;       /* of all of them, as their ledgers count: bounds the memory */
    size_t map[STORE_SCAN_MAX];
} comparisons;

static gv_status count_record(void *arg, size_t which, bool copy, int64_t position, int64_t digest)
{
    comparisons *c = arg;

    tally_record(c->items[which].tally, copy, position, digest);
    return GV_OK;
}

static gv_status count_reject(void *arg, size_t which, bool copy, int64_t position, int64_t digest)
{
    comparisons *c = arg;

    (void)copy, (void)position, (void)digest;
    tally_reject(c->items[c->map[which]].tally);
    return GV_OK;
}

static const char *collection_of(const sink *s, const ledger *entry)
{
    for (size_t i = 0; i < s->config.topic_count; i++) {
        if (s->topics[i].kind == SINK_RECORDS && strcmp(s->topics[i].name, entry->topic) == 0) {
            return s->topics[i].collection;
        }
    }
    return sink_default_topic(s, SINK_RECORDS)->collection;
}

static gv_status scan_all(sink *s, comparisons *c, gv_error *err)
{
    const store *st = s->config.store;
    const sink_topic *rejects = sink_default_topic(s, SINK_REJECTS);
    const char *names[STORE_SCAN_MAX];
    size_t with_rejects = 0;

    for (size_t i = 0; i < c->count; i++) {
        names[i] = c->items[i].ledger.snapshot;
    }
    gv_status status =
        c->count ? st->scan(st->ctx, c->collection, names, c->count, count_record, c, err) : GV_OK;
    for (size_t i = 0; i < c->count; i++) {
        if (rejects && c->items[i].ledger.claim.rejects != 0) {
            names[with_rejects] = c->items[i].ledger.snapshot;
            c->map[with_rejects++] = i;
        }
    }
    if (status == GV_OK && with_rejects != 0) {
        status = st->scan(st->ctx, rejects->collection, names, with_rejects, count_reject, c, err);
    }
    return status;
}

static void say(const char *id, const verdict *v, const verdict_claim *claim)
{
    static const char *const texts[] = { [VERDICT_INCOMPLETE] = "snapshot incomplete",
                                         [VERDICT_COMPLETE] = "snapshot complete",
                                         [VERDICT_GAP] = "snapshot has a gap" };

    GV_LOG(v->state == VERDICT_COMPLETE ? GV_LOG_INFO : GV_LOG_WARN, gv_kmsg(texts[v->state]),
           gv_kstr("snapshot", id), gv_kuint("records", claim->records),
           gv_kuint("stored", v->stored), gv_kuint("copies", v->copies),
           gv_kuint("missing", v->missing), gv_kuint("dropped", v->dropped),
           gv_kstr("reason", v->reason));
}

static gv_status set_at(sink *s, const char *id, int64_t revision, const bson_t *members,
                        gv_error *err)
{
    const store *st = s->config.store;

    return st->snapshot_set(st->ctx, id, revision, gv_span_of(bson_get_data(members), members->len),
                            err);
}

static gv_status store_verdict(sink *s, comparison *c, gv_error *err)
{
    verdict v;
    bson_t members;

    tally_verdict(c->tally, &v);
    if (c->entry->flags & SNAPSHOT_FORCED && v.state != VERDICT_COMPLETE) {
        /* Its ledger entry came while this round waited: records may still be on their way, so nothing
         * is said before it has had a round of its own. */
        c->entry->flags = SNAPSHOT_WANTED | SNAPSHOT_FORCED;
        return GV_OK;
    }
    bson_init(&members);
    snapshot_doc_verdict(&v, plat_wall_ms(s->config.clock), &members);
    gv_status status = set_at(s, c->ledger.snapshot, c->revision, &members, err);
    bson_destroy(&members);
    if (status == GV_AGAIN) { /* by another sink: what was compared is news no more */
        c->entry->flags = SNAPSHOT_WANTED | SNAPSHOT_FORCED;
        return GV_OK;
    }
    if (status != GV_OK) {
        return status;
    }
    s->counts.complete += v.state == VERDICT_COMPLETE;
    s->counts.incomplete += v.state == VERDICT_INCOMPLETE;
    s->counts.gaps += v.state == VERDICT_GAP;
    say(c->ledger.snapshot, &v, &c->ledger.claim);
    /* Records that came while this round waited were compared too; the next one opens it anew. */
    snapshot_table_remove(&s->snapshots, c->entry);
    return GV_OK;
}

/* Nothing was added since the verdict: it stands, and its mark goes. */
static gv_status let_stand(sink *s, snapshot_entry *e, const snapshot_doc *doc, gv_error *err)
{
    bson_t members;

    bson_init(&members);
    BSON_APPEND_BOOL(&members, "recheck", false);
    gv_status status = set_at(s, e->id, doc->revision, &members, err);
    bson_destroy(&members);
    if (status == GV_AGAIN) {
        e->flags = SNAPSHOT_WANTED | SNAPSHOT_FORCED;
        return GV_OK;
    }
    if (status == GV_OK) {
        snapshot_table_remove(&s->snapshots, e);
    }
    return status;
}

static bool begin_comparison(const snapshot_doc *doc, snapshot_entry *e, comparison *out)
{
    verdict_gap gap = { .records = doc->gap.claim.records, .last = doc->gap_last };

    memcpy(gap.reason, doc->gap.reason, sizeof gap.reason);
    memcpy(gap.device, doc->gap.device, sizeof gap.device);
    *out = (comparison){ .entry = e,
                         .ledger = doc->has_ledger ? doc->entry : doc->gap,
                         .revision = doc->revision };
    out->tally = tally_open(doc->has_ledger ? &doc->entry.claim : NULL, doc->has_gap ? &gap : NULL);
    return out->tally != NULL;
}

/* Looks at one entry that is due: it joins the comparison, or needs none. False: not in this one. */
static bool join(sink *s, snapshot_entry *e, comparisons *c, gv_status *status, gv_error *err)
{
    looked_up seen;
    comparison *item = &c->items[c->count];

    *status = sink_look_up(s, e->id, &seen, err);
    if (*status != GV_OK) {
        return false;
    }
    if (!has_entry(&seen)) {
        e->flags &= SNAPSHOT_WANTED | SNAPSHOT_FORCED;
        return true;
    }
    if (!(e->flags & (SNAPSHOT_CHANGED | SNAPSHOT_NEEDED | SNAPSHOT_FORCED)) &&
        strcmp(seen.doc.state, "pending") != 0) {
        *status = let_stand(s, e, &seen.doc, err);
        return *status == GV_OK;
    }
    const char *collection =
        collection_of(s, seen.doc.has_ledger ? &seen.doc.entry : &seen.doc.gap);
    uint64_t records = seen.doc.entry.claim.records;
    if (c->count != 0 &&
        (strcmp(collection, c->collection) != 0 || c->records + records > VERDICT_POSITIONS_MAX)) {
        return false;
    }
    if (!begin_comparison(&seen.doc, e, item)) {
        *status = gv_fail(err, GV_IO, "not enough memory to compare snapshot %s", e->id);
        return false;
    }
    c->collection = collection;
    c->records += records;
    c->count++;
    return true;
}

static gv_status look_after(sink *s, gv_error *err)
{
    comparisons *c = calloc(1, sizeof *c);
    gv_status status = c ? GV_OK : gv_fail(err, GV_IO, "not enough memory for a verdict");
    bool going = c != NULL;

    for (size_t i = 0; going && i < s->snapshots.capacity && c->count < STORE_SCAN_MAX; i++) {
        snapshot_entry *e = &s->snapshots.entries[i];
        if (e->used && e->flags & SNAPSHOT_DUE) {
            going = join(s, e, c, &status, err);
        }
    }
    if (status == GV_OK) {
        status = scan_all(s, c, err);
    }
    for (size_t i = 0; status == GV_OK && i < c->count; i++) {
        status = store_verdict(s, &c->items[i], err);
    }
    for (size_t i = 0; c && i < c->count; i++) {
        tally_close(c->items[i].tally);
    }
    free(c);
    return status;
}

static bool round_is_due(const sink *s, bool caught_up, uint64_t now)
{
    uint64_t since = now - s->last_round_ms;

    return snapshot_table_with(&s->snapshots, SNAPSHOT_FORCED) ||
           since >= (caught_up ? ROUND_MS : ROUND_BUSY_MS);
}

/* Between rounds: is there cause for one? */
static gv_status rest(sink *s, bool caught_up, uint64_t now, gv_error *err)
{
    gv_status status = GV_OK;

    if (s->overflowed && !snapshot_table_with(&s->snapshots, SNAPSHOT_WANTED)) {
        status = ask_store(s, err);
    }
    if (status != GV_OK || !snapshot_table_with(&s->snapshots, SNAPSHOT_WANTED)) {
        return status;
    }
    if (!round_is_due(s, caught_up, now)) {
        return GV_AGAIN;
    }
    status = begin_round(s, err);
    s->last_look_ms = now;
    return status == GV_OK ? GV_AGAIN : status;
}

gv_status sink_verify(sink *s, bool caught_up, gv_error *err)
{
    uint64_t now = plat_mono_ms(s->config.clock);

    if (!s->active) {
        return rest(s, caught_up, now, err);
    }
    if (!s->reached) {
        if (now - s->last_look_ms < (caught_up ? LOOK_MS : LOOK_BUSY_MS)) {
            return GV_AGAIN;
        }
        s->last_look_ms = now;
        gv_status status = ask_broker(s, false, check_mark, err);
        s->reached = status == GV_OK && s->marks.count == 0;
        return status == GV_OK ? GV_AGAIN : status;
    }
    if (snapshot_table_with(&s->snapshots, SNAPSHOT_DUE)) {
        gv_status status = look_after(s, err);
        return status == GV_OK ? GV_AGAIN : status;
    }
    s->active = s->reached = false;
    s->last_round_ms = now;
    return snapshot_table_with(&s->snapshots, SNAPSHOT_WANTED) || s->overflowed ? GV_AGAIN : GV_OK;
}

bool sink_busy(const sink *s)
{
    return s->active && s->reached;
}

/* --- is there anything left to read? --- */

static gv_status is_read(sink *s, uint8_t topic, const kafka_partition *p, gv_error *err)
{
    (void)s, (void)topic, (void)err;
    return p->high <= p->low || p->committed >= p->high ? GV_OK : GV_AGAIN;
}

gv_status sink_idle(sink *s, gv_error *err)
{
    return s->item_count != 0 ? GV_AGAIN : ask_broker(s, true, is_read, err);
}
