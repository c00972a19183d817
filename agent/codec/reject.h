/* reject.h - encodes a rejected row by schemas/reject.avsc. */
#ifndef GAVEL_CODEC_REJECT_H
#define GAVEL_CODEC_REJECT_H

#include "agent/codec/snapshot.h"
#include "agent/codec/transcode.h"

/* Appends the Avro body; false when it does not fit, nothing has changed then. */
bool reject_encode(const snapshot_id *snapshot, const transcode_reject *reject, gv_buf *out);

#endif
