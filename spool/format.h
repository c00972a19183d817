/* format.h - the bytes of a stored batch (SPEC.md), from and to memory; no input or output.
 *
 * Units:   bytes. Everything is little-endian and at a fixed place.
 */
#ifndef GAVEL_SPOOL_FORMAT_H
#define GAVEL_SPOOL_FORMAT_H

#include "spool/spool.h"

#define SPOOL_HEADER_BYTES 96u
#define SPOOL_ALIGN        4096u /* a batch starts at a multiple of this: no two share a disk block */
#define SPOOL_VERSION      1u
#define SPOOL_SEQ_LIMIT    (UINT64_C(1) << 62) /* sequences are below: counting up cannot overflow */

typedef enum { SPOOL_PLAIN = 0, SPOOL_LZ4 = 1 } spool_packing;

typedef struct {
    uint16_t version;
    uint16_t header_bytes;  /* the payload starts here */
    uint32_t stored_bytes;  /* of the payload, packed */
    uint32_t payload_bytes; /* unpacked */
    uint64_t seq;
    uint64_t promised_below; /* sequences below this were durable when the batch was written */
    uint64_t records_before; /* in all batches before this one */
    uint32_t payload_crc;    /* CRC32C of the packed payload */
    uint32_t header_crc;     /* CRC32C of the header before it; filled in by get and put */
    spool_packing packing;
    spool_meta meta;
} spool_header;

typedef enum {
    SPOOL_HEADER_OK,
    SPOOL_HEADER_NONE,   /* no header here */
    SPOOL_HEADER_FOREIGN /* whole, but of a version or packing that this program does not know; seq,
                            lengths and records are set */
} spool_header_verdict;

/* Start with 0; may be continued. The second is what the first does on a processor without instructions
 * for it. */
uint32_t spool_crc32c(uint32_t crc, gv_span bytes);
uint32_t spool_crc32c_portable(uint32_t crc, gv_span bytes);

void spool_header_put(spool_header *header, uint8_t out[SPOOL_HEADER_BYTES]);

/* Whatever the bytes are: a header is OK only if its checksum is right and every field is sane. */
spool_header_verdict spool_header_get(gv_span bytes, spool_header *out);

/* Header, payload and padding. */
uint64_t spool_batch_bytes(const spool_header *header);

/* Segment files: 16 hex digits of their first sequence and ".seg". */
#define SPOOL_NAME_BYTES 21u
void spool_segment_name(uint64_t first_seq, char name[SPOOL_NAME_BYTES]);
bool spool_segment_parse(const char *name, uint64_t *first_seq);

#endif
