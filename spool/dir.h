/* dir.h - the files of a spool directory: segments by their first sequence, and quarantine/. */
#ifndef GAVEL_SPOOL_DIR_H
#define GAVEL_SPOOL_DIR_H

#include "spool/format.h"

typedef struct {
    uint64_t first_seq; /* smallest and ... */
    uint64_t last_seq;  /* ... largest first sequence; 0: there are no segments */
    uint64_t segments;
    uint64_t bytes;
    uint64_t strangers; /* other files, not counting those of the spool */
} dir_survey;

/* The path of a file in the directory. GV_INVAL: too long. */
gv_status dir_path(const char *dir, const char *name, char path[PLAT_PATH_MAX], gv_error *err);

/* Looks at all names and sizes. */
gv_status dir_look(const plat_fs *fs, const char *dir, dir_survey *out, gv_error *err);

/* The segment with the smallest first sequence above `after`; GV_AGAIN: there is none. */
gv_status dir_next(const plat_fs *fs, const char *dir, uint64_t after, uint64_t *first_seq,
                   gv_error *err);
/* The one with the largest first sequence below `before`; GV_AGAIN: there is none. */
gv_status dir_previous(const plat_fs *fs, const char *dir, uint64_t before, uint64_t *first_seq,
                       gv_error *err);

/* Opens a segment and tells its size. */
gv_status dir_open(const plat_fs *fs, const char *dir, uint64_t first_seq, plat_open_mode mode,
                   int *file, uint64_t *bytes, gv_error *err);
/* The header at that place of a segment; false: there is none, or it cannot be read. */
bool dir_header(const plat_fs *fs, const char *dir, uint64_t first_seq, uint64_t offset,
                spool_header *header);
gv_status dir_remove(const plat_fs *fs, const char *dir, uint64_t first_seq, gv_error *err);

/* Moves a segment into quarantine/, whole, under a name that is free there. */
gv_status dir_set_aside(const plat_fs *fs, const char *dir, uint64_t first_seq, gv_error *err);

/* Bytes in quarantine/, and the path of what came first; "" when it is empty. GV_OK without it, too. */
gv_status dir_look_quarantine(const plat_fs *fs, const char *dir, uint64_t *bytes,
                              char oldest[PLAT_PATH_MAX]);

#endif
