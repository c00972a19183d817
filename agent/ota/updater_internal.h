/* updater_internal.h - what the files of the updater share; nobody else includes it. */
#ifndef GAVEL_OTA_UPDATER_INTERNAL_H
#define GAVEL_OTA_UPDATER_INTERNAL_H

#include "agent/ota/updater.h"

#define UPDATER_PLACES_MAX 18 /* the device's, 16 groups', everybody's */
#define UPDATER_TOLD_MAX   16 /* refused bundles that are remembered */
#define UPDATER_URL_MAX    512

struct updater {
    const plat_fs *fs;
    const plat_clock *clock;
    store *store;
    update_state state;
    updater_config config; /* while started */
    http_client *http;     /* NULL: not started */
    uint64_t started_ms;
    bool is_trying;   /* the update on trial is in force */
    bool is_given_up; /* ... or was, and the disk did not take that it is over */
    bool wants_restart;
    bool store_failed;      /* has been told */
    uint64_t unusable_good; /* version; 0: none */
    uint64_t wish_due_ms;
    uint64_t random;

    /* --- the look under way --- */
    http_transfer *transfer;
    size_t place; /* which one is asked next, or now; UPDATER_PLACES_MAX: no look under way */
    char url[UPDATER_URL_MAX];
    char condition[HTTP_ETAG_MAX + 32];
    const char *headers[1];
    char etags[UPDATER_PLACES_MAX][HTTP_ETAG_MAX];
    uint64_t due_ms;
    unsigned failures;
    int64_t retry_after_s; /* of this look; -1: not asked for */
    char trouble[160];     /* of this look; "": none */
    store_ref best;        /* found and kept */
    uint8_t told[UPDATER_TOLD_MAX][SIGNATURE_HASH_BYTES];
    size_t told_count;
    size_t len;
    uint8_t bytes[BUNDLE_BYTES_MAX];
};

/* --- updater.c --- */
/* An event has come: the state as others see it follows the store. */
void updater_refresh(updater *u);
int64_t updater_now_ms(const updater *u); /* wall clock */
/* The disk does not take what has to be remembered: says so, once. */
void updater_store_failed(updater *u, const gv_error *err);

/* --- updater_poll.c --- */
void poll_start(updater *u);
void poll_stop(updater *u);
uint64_t poll_tick(updater *u, uint64_t now_ms);

#endif
