/* auction_bodies.h - small auction bodies whose every row a test can name, and what came of them. */
#ifndef GAVEL_TESTS_AUCTION_BODIES_H
#define GAVEL_TESTS_AUCTION_BODIES_H

#include "agent/codec/schema.h"
#include "agent/codec/snapshot.h"
#include "tests/doubles/forwarder_double.h"

typedef enum { REALM_FIRST, REALM_LAST, REALM_NEVER, REALM_NO_LINK } body_realm;

typedef struct {
    uint32_t realm; /* the one it names */
    body_realm where;
    unsigned rows;
    unsigned reject_every; /* each so-many-th row breaks the schema; 0: none */
    unsigned long_every;   /* each so-many-th row has a long unknown member; 0: none */
} body_spec;

#define BODY_ROW_MAX 4096

/* Allocated; free(). */
char *body_make(const body_spec *spec, size_t *len);

/* Row i alone, as it is in the body; its length. */
size_t body_row(const body_spec *spec, unsigned i, char text[BODY_ROW_MAX]);
bool body_row_is_bad(const body_spec *spec, unsigned i);
int64_t body_row_id(unsigned i);
unsigned body_rejects(const body_spec *spec);

/* What an auction or a reject says, decoded by its schema. */
typedef struct {
    char region[8];
    int64_t realm, house, snapshot_at;
    /* auctions */
    int64_t position, id, item_id, quantity, buyout;
    unsigned extras;
    /* rejects */
    int64_t row;
    char reason[256], path[256];
    uint8_t raw[BODY_ROW_MAX];
    size_t raw_len;
    bool raw_cut;
} body_fields;

/* Fails the test when the body is not by that schema. */
void body_decode(const schema *s, gv_span avro, body_fields *out);

typedef struct {
    uint64_t records, rejects, digest;
} body_tally;

/* Of that realm and time every row was handed to the forwarder exactly once: as what it is, in its
 * place, with its own bytes. */
body_tally body_expect_rows(const forwarder *f, const body_spec *spec, int64_t time_ms,
                            const schema *auction, const schema *reject);

/* A file of the repository, with a final NUL; free(). */
char *body_load(const char *path, size_t *len);

#endif
