/* fuzz_source.c - what the source reads of others' bytes: the first byte chooses the realm index, a
 * token reply, a cursor file or a link, the rest is the text.
 *
 * Invariants:
 *   a realm is never 0; reading stops at the first one that the caller refuses;
 *   a token has only characters that cannot break a header line, and fits;
 *   a cursor has a time and an ETag of printable characters; it is written and read as the same again;
 *   what is refused changes nothing, and says why in one line, without quoting a token.
 */
#include "agent/source/cursor.h"
#include "agent/source/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t seen, stop_at;
    bool stopped;
} realms;

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void require_words(const gv_error *err)
{
    require(err->text[0] != '\0' && !strchr(err->text, '\n'), "a refusal says why in one line");
}

static gv_status each(void *ctx, uint32_t realm, gv_error *err)
{
    realms *r = ctx;
    require(!r->stopped, "nothing comes after a refusal");
    require(realm > 0, "a realm is never 0");
    r->stopped = ++r->seen == r->stop_at;
    return r->stopped ? gv_fail(err, GV_FULL, "enough") : GV_OK;
}

static void read_index(gv_span text)
{
    gv_error err = { 0, "" }, stop_err = { 0, "" };
    realms all = { 0 };
    gv_status st = feed_parse_index(text, each, &all, &err);
    require(st == GV_OK || st == GV_INVAL, "an index is one or not");
    if (st != GV_OK)
        require_words(&err);
    if (all.seen == 0)
        return;
    realms some = { .stop_at = (all.seen + 1) / 2 };
    require(feed_parse_index(text, each, &some, &stop_err) == GV_FULL, "the refusal comes back");
    require(some.seen == some.stop_at, "as many realms again");
}

static void read_token(gv_span text)
{
    char bearer[TOKEN_TEXT_MAX];
    uint64_t life_s = UINT64_MAX;
    gv_error err = { 0, "" };
    memset(bearer, '\n', sizeof bearer);
    if (token_parse(text, bearer, &life_s, &err) != GV_OK) {
        require(bearer[0] == '\n' && life_s == UINT64_MAX, "a refused token is not there");
        require_words(&err);
        return;
    }
    size_t len = strnlen(bearer, sizeof bearer);
    require(len > 0 && len < sizeof bearer, "a token fits");
    for (size_t i = 0; i < len; i++)
        require(bearer[i] > ' ' && bearer[i] <= '~' && bearer[i] != '"', "a token is plain text");
    require(life_s <= UINT64_C(366) * 86400, "a token does not live for ever");
}

/* A file system of one file, which is whatever was written last. */
typedef struct {
    char text[2048];
    size_t len;
} one_file;

static gv_status file_open(void *ctx, const char *path, plat_open_mode mode, int *file,
                           gv_error *err)
{
    (void)ctx, (void)path, (void)mode, (void)err;
    *file = 0;
    return GV_OK;
}

static void file_close(void *ctx, int file)
{
    (void)ctx, (void)file;
}

static gv_status file_write(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                            gv_error *err)
{
    one_file *f = ctx;
    (void)file, (void)err;
    require(offset == 0 && len <= sizeof f->text, "a cursor is small");
    memcpy(f->text, buf, len);
    f->len = len;
    return GV_OK;
}

static gv_status file_sync(void *ctx, int file, gv_error *err)
{
    (void)ctx, (void)file, (void)err;
    return GV_OK;
}

static gv_status file_rename(void *ctx, const char *from, const char *to, gv_error *err)
{
    (void)ctx, (void)from, (void)to, (void)err;
    return GV_OK;
}

static gv_status file_sync_dir(void *ctx, const char *path, gv_error *err)
{
    (void)ctx, (void)path, (void)err;
    return GV_OK;
}

static void read_cursor(gv_span text)
{
    const feed empty = { .region = "eu", .realm = 604 };
    one_file file = { .len = 0 };
    const plat_fs fs = { .open = file_open,
                         .close = file_close,
                         .write_at = file_write,
                         .sync = file_sync,
                         .rename = file_rename,
                         .sync_dir = file_sync_dir,
                         .ctx = &file };
    gv_error err = { 0, "" };
    feed f = empty, again = empty;
    if (cursor_parse(text, &f, &err) != GV_OK) {
        require(memcmp(&f, &empty, sizeof f) == 0, "a refused cursor changes nothing");
        require_words(&err);
        return;
    }
    require(f.last_modified > 0, "a cursor has a time");
    require(f.last_modified <= INT64_MAX / 1000, "which is one in milliseconds, too");
    size_t len = strnlen(f.etag, sizeof f.etag);
    require(len < sizeof f.etag, "an ETag fits");
    for (size_t i = 0; i < len; i++)
        require(f.etag[i] >= ' ' && f.etag[i] <= '~', "an ETag is plain text");
    require(cursor_save(&fs, "d", &f, &err) == GV_OK, "a cursor can be written again");
    require(cursor_parse(gv_span_of(file.text, file.len), &again, &err) == GV_OK, "and read");
    require(f.last_modified == again.last_modified && strcmp(f.etag, again.etag) == 0,
            "as the same");
}

static void read_link(gv_span text)
{
    uint32_t realm = 0;
    if (feed_realm_of_href(text, &realm))
        require(realm > 0, "a realm is never 0");
    else
        require(realm == 0, "no realm is no realm");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(gv_span text) = { read_index, read_token, read_cursor,
                                                     read_link };
    if (size > 0)
        readers[data[0] % 4](gv_span_of(data + 1, size - 1));
    return 0;
}
