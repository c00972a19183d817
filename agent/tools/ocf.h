/* ocf.h - writes an Avro Object Container File.
 *
 * Ownership: the schema's text is borrowed until ocf_close().
 * Memory:    one block of OCF_BLOCK_BYTES, and a larger record for itself goes out directly.
 * Durable:   the file has a temporary name until ocf_close() says GV_OK; then it is whole and synced.
 * Source:    Apache Avro 1.12 specification, Object Container Files; codec "null".
 */
#ifndef GAVEL_TOOLS_OCF_H
#define GAVEL_TOOLS_OCF_H

#include "platform/fs.h"
#include "platform/span.h"

#define OCF_BLOCK_BYTES ((size_t)64 * 1024)
#define OCF_SYNC_BYTES  16u

typedef struct {
    const plat_fs *fs;
    char path[PLAT_PATH_MAX]; /* as it will be called */
    char temporary[PLAT_PATH_MAX];
    int file;
    uint64_t at;
    uint64_t records;
    uint64_t in_block;
    uint8_t sync[OCF_SYNC_BYTES];
    uint8_t bytes[OCF_BLOCK_BYTES];
    gv_buf block;
} ocf;

/* `sync` is any 16 bytes that are unlikely in the data. GV_IO: the file cannot be made. */
gv_status ocf_open(ocf *o, const plat_fs *fs, const char *path, const char *schema_text,
                   const uint8_t sync[OCF_SYNC_BYTES], gv_error *err);

gv_status ocf_put(ocf *o, gv_span body, gv_error *err);

/* Writes what is left and gives the file its name; an earlier file of that name is replaced. */
gv_status ocf_close(ocf *o, gv_error *err);

/* Removes the temporary file; after a failure. */
void ocf_abandon(ocf *o);

#endif
