#include "agent/forward/internal.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX SNAPSHOT_TEXT_MAX

static size_t put_decimal(char *out, uint64_t value)
{
    char digits[20];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

/* The part of the keys that all entries of the batch share; of a ledger entry it is all. */
static size_t start_key(const batch *b, char key[KEY_MAX])
{
    if (b->kind == BATCH_LEDGER) {
        snapshot_format(&b->snapshot, key);
        return strlen(key);
    }
    return (size_t)snprintf(key, KEY_MAX, "%s/%u/", b->snapshot.region, b->snapshot.realm);
}

static gv_status send_entry(forwarder *f, const batch *b, const batch_entry *entry,
                            const uint32_t *id, char *key, size_t shared, gv_error *err)
{
    uint8_t *framed = entry->framed;
    size_t skip = BATCH_PREFIX_BYTES, len = shared;

    if (id) {
        framed[0] = 0;
        gv_put_be32(framed + 1, *id);
        skip = 0;
    }
    if (b->kind != BATCH_LEDGER)
        len += put_decimal(key + shared, entry->key);
    return kafka_produce(f->producer, f->config.topics[b->kind], gv_span_of(key, len),
                         gv_span_of(framed + skip, entry->framed_len - skip), b->snapshot.time_ms,
                         b->bytes.data + entry->offset, err);
}

/* Sends on from where the batch stopped: GV_OK when its end is reached, GV_AGAIN when nothing more
 * can be sent now. */
static gv_status send_batch(forwarder *f, batch *b, const uint32_t *id)
{
    char key[KEY_MAX];
    size_t shared = start_key(b, key), next = b->send_offset;
    batch_entry entry;

    while (batch_next(b, &next, &entry)) {
        bool is_alone = entry.offset < f->alone_until;
        gv_error err = { 0, "" };
        gv_status status = GV_OK;

        if (b->send_state & SEND_ALONE) {
            if (f->in_flight && !entry.acked)
                return GV_AGAIN;
            if (!is_alone)
                b->send_state = 0;
        }
        if (!entry.acked)
            status = send_entry(f, b, &entry, id, key, shared, &err);
        if (status == GV_FULL)
            return GV_AGAIN;
        if (status == GV_AGAIN) {
            f->denied_kinds |= 1u << b->kind;
            forwarder_tell(f, false, KAFKA_NO_TOPIC, err.text);
            forwarder_pause(f, KAFKA_NO_TOPIC);
            return GV_AGAIN;
        }
        if (status == GV_INVAL)
            forwarder_refuse(f, b, entry.offset, err.text);
        else if (!entry.acked) {
            b->in_flight++;
            f->in_flight++;
        }
        b->send_offset = next;
    }
    return GV_OK;
}

bool send_is_over(const batch *b)
{
    return b->send_offset >= b->bytes.len && !(b->send_state & SEND_AGAIN);
}

void send_all(forwarder *f)
{
    for (batch *b = f->first; b; b = b->next) {
        uint32_t id = 0;

        if ((b->send_state & SEND_ALONE) && b->in_flight)
            return;
        if (send_is_over(b))
            continue;
        if (b->send_state & SEND_AGAIN) {
            if (b->in_flight)
                return;
            f->alone_until = b->send_offset;
            b->send_offset = 0;
            b->send_state = (uint8_t)(b->send_state & ~SEND_AGAIN);
        }
        if (b->fingerprint && f->events.schema_id(f->events.ctx, f->config.topics[b->kind],
                                                  b->fingerprint, &id) != GV_OK)
            continue;
        if (send_batch(f, b, b->fingerprint ? &id : NULL) != GV_OK)
            return;
    }
}
