/* cursor.h - the newest safe snapshot of each feed, on disk: one small file a feed.
 *
 * A file a feed, so that committing a snapshot writes one block and not a list of every realm.
 * Form: one JSON object, {"version":1,"feed":"eu/604/0","last_modified":N,"etag":"..."}.
 * Errors: a missing cursor is none; a damaged one is renamed to NAME.damaged, named in the log, and
 *         costs a fetch.
 */
#ifndef GAVEL_SOURCE_CURSOR_H
#define GAVEL_SOURCE_CURSOR_H

#include "agent/source/feed.h"
#include "platform/fs.h"

/* Fills last_modified and etag of the feed, when there is a cursor for it. */
void cursor_load(const plat_fs *fs, const char *dir, feed *f);

/* The newest last_modified of all cursors in the directory, of whatever feeds; 0: there is none. */
int64_t cursor_newest(const plat_fs *fs, const char *dir);

/* Durable when it returns GV_OK. */
gv_status cursor_save(const plat_fs *fs, const char *dir, const feed *f, gv_error *err);

/* For the fuzzer: GV_INVAL or GV_OK and a valid cursor of that feed. */
gv_status cursor_parse(gv_span json, feed *f, gv_error *err);

#endif
