#include "agent/codec/reject.h"

#include "agent/codec/avro_out.h"

bool reject_encode(const snapshot_id *snapshot, const transcode_reject *reject, gv_buf *out)
{
    size_t before = out->len;

    /* The order of schemas/reject.avsc. */
    if (avro_put_bytes(out, gv_span_str(snapshot->region)) && avro_put_long(out, snapshot->realm) &&
        avro_put_long(out, snapshot->house) && avro_put_long(out, snapshot->time_ms) &&
        avro_put_long(out, (int64_t)reject->row) &&
        avro_put_bytes(out, gv_span_str(reject->reason)) &&
        avro_put_bytes(out, gv_span_str(reject->path)) && avro_put_bytes(out, reject->raw) &&
        avro_put_boolean(out, reject->raw_cut))
        return true;
    out->len = before;
    return false;
}
