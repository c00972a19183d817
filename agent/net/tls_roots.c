#include "agent/net/tls_roots.h"

#include "agent/net/http_head.h"

#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CHAINS 4 /* CA files in use at a time: API, registry, updates, and a changed one */

struct tls_chain {
    char path[512]; /* "" when free */
    struct timespec changed;
    off_t bytes;
    unsigned users;
    mbedtls_x509_crt certs;
};

struct tls_roots {
    tls_chain chains[CHAINS];
};

static void drop(tls_chain *chain)
{
    mbedtls_x509_crt_free(&chain->certs);
    memset(chain, 0, sizeof *chain);
}

tls_roots *tls_roots_open(void)
{
    return calloc(1, sizeof(tls_roots));
}

void tls_roots_close(tls_roots *roots)
{
    if (!roots)
        return;
    for (int i = 0; i < CHAINS; i++)
        drop(&roots->chains[i]);
    free(roots);
}

static const char *system_file(struct stat *st)
{
    static const char *const usual[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* openSUSE */
        "/etc/ssl/cert.pem",
    };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (stat(usual[i], st) == 0)
            return usual[i];
    return NULL;
}

/* The parsed chain of exactly this state of the file, or else a place for it. */
static tls_chain *find(tls_roots *roots, const char *path, const struct stat *st)
{
    tls_chain *place = NULL;
    for (int i = 0; i < CHAINS; i++) {
        tls_chain *chain = &roots->chains[i];
        bool same_path = strcmp(chain->path, path) == 0;
        if (same_path && chain->bytes == st->st_size &&
            chain->changed.tv_sec == st->st_mtim.tv_sec &&
            chain->changed.tv_nsec == st->st_mtim.tv_nsec)
            return chain;
        if (chain->users == 0 && (!place || same_path || chain->path[0] == '\0'))
            place = chain;
    }
    if (place)
        drop(place);
    return place;
}

static gv_status load(tls_chain *chain, const char *path, const struct stat *st, gv_error *err)
{
    mbedtls_x509_crt_init(&chain->certs);
    /* Positive: so many certificates were not understood, the others were taken. */
    int r = mbedtls_x509_crt_parse_file(&chain->certs, path);
    if (r < 0 || chain->certs.raw.len == 0) {
        char why[100] = "it holds no certificate";
        if (r < 0)
            mbedtls_strerror(r, why, sizeof why);
        drop(chain);
        return gv_fail(err, GV_INVAL, "cannot use the CA file %s: %s (expected PEM)", path, why);
    }
    memcpy(chain->path, path, strlen(path) + 1);
    chain->changed = st->st_mtim;
    chain->bytes = st->st_size;
    return GV_OK;
}

gv_status tls_roots_get(tls_roots *roots, const char *ca_file, tls_chain **out, gv_error *err)
{
    struct stat st;
    const char *path = ca_file;
    if (!path) {
        path = system_file(&st);
        if (!path)
            return gv_fail(
                err, GV_INVAL,
                "this machine has no CA certificates: install the package ca-certificates");
    } else if (strlen(path) >= sizeof roots->chains[0].path) {
        return gv_fail(err, GV_INVAL, "the CA file's path is too long");
    } else if (stat(path, &st) != 0) {
        return gv_fail(err, GV_INVAL, "cannot read the CA file %s: %s", path, strerror(errno));
    }
    tls_chain *chain = find(roots, path, &st);
    if (!chain)
        return gv_fail(err, GV_FULL, "more than %d CA files in use at once", CHAINS);
    if (chain->path[0] == '\0') {
        gv_status status = load(chain, path, &st, err);
        if (status != GV_OK)
            return status;
    }
    chain->users++;
    *out = chain;
    return GV_OK;
}

void tls_chain_release(tls_chain *chain)
{
    if (chain)
        chain->users--;
}

static int64_t seconds_of(const mbedtls_x509_time *t)
{
    return http_civil_to_s(t->year, (unsigned)t->mon, (unsigned)t->day, (unsigned)t->hour,
                           (unsigned)t->min, (unsigned)t->sec);
}

static int check(void *arg, mbedtls_x509_crt *cert, int depth, uint32_t *flags)
{
    tls_verdict *verdict = arg;
    int64_t now_s = plat_wall_ms(verdict->clock) / 1000;
    (void)depth;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_EXPIRED);
    if (seconds_of(&cert->valid_from) > now_s)
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
    if (seconds_of(&cert->valid_to) < now_s)
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    if (*flags & (MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_EXPIRED)) {
        verdict->not_before_s = seconds_of(&cert->valid_from);
        verdict->not_after_s = seconds_of(&cert->valid_to);
    }
    verdict->flags |= *flags;
    return 0;
}

void tls_roots_apply(void *mbedtls_config, tls_chain *chain, tls_verdict *verdict)
{
    mbedtls_ssl_config *config = mbedtls_config;
    mbedtls_ssl_conf_ca_chain(config, &chain->certs, NULL);
    mbedtls_ssl_conf_verify(config, check, verdict);
}

static void day_text(int64_t s, char text[24])
{
    struct tm tm;
    time_t t = (time_t)s;
    if (!gmtime_r(&t, &tm) || strftime(text, 24, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        memcpy(text, "?", 2);
}

/* What the clock says and how far it can be believed: the first question about a certificate that is
 * not valid now. */
static void clock_text(const plat_clock *clock, char *text, size_t cap)
{
    char now[24], taken[24];
    bool behind = plat_clock_is_behind(clock);
    day_text(clock->wall_ms(clock->ctx) / 1000, now);
    day_text(plat_wall_ms(clock) / 1000, taken);
    snprintf(text, cap, "the clock of this machine says %s%s%s%s%s", now,
             behind ? " (taken as " : "", behind ? taken : "", behind ? ")" : "",
             plat_clock_sync(clock) == PLAT_SYNC_NO ? ", and no time server sets it" : "");
}

static void explain_expired(const tls_verdict *verdict, const char *clock, const char *to,
                            char *text, size_t cap)
{
    plat_sync sync = plat_clock_sync(verdict->clock);
    const char *advice = sync == PLAT_SYNC_YES
                             ? "as a time server sets it, the server needs a new certificate"
                             : "check the clock (does NTP work?); if it is right, the server needs "
                               "a new certificate";
    snprintf(text, cap, "the certificate was valid until %s, and %s: %s", to, clock, advice);
}

void tls_verdict_explain(const tls_verdict *verdict, char *text, size_t cap)
{
    char from[24], to[24], clock[128];
    day_text(verdict->not_before_s, from);
    day_text(verdict->not_after_s, to);
    clock_text(verdict->clock, clock, sizeof clock);
    if (verdict->flags & MBEDTLS_X509_BADCERT_FUTURE)
        snprintf(text, cap,
                 "%s, but the certificate is valid only from %s: set the clock (does network time, "
                 "NTP, work?)",
                 clock, from);
    else if (verdict->flags & MBEDTLS_X509_BADCERT_EXPIRED)
        explain_expired(verdict, clock, to, text, cap);
    else if (verdict->flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        snprintf(text, cap,
                 "no trusted authority has signed the certificate: if the server is your own, name "
                 "its CA file in the configuration");
    else if (verdict->flags & MBEDTLS_X509_BADCERT_CN_MISMATCH)
        snprintf(text, cap, "the certificate belongs to another host name: check the address");
    else
        snprintf(text, cap, "the certificate is refused (mbedTLS flags 0x%x)", verdict->flags);
}
