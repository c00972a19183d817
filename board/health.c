#include "board/health.h"

#include "board/board.h"
#include "board/sysfs.h"
#include "platform/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define THROTTLED_PATH  "/sys/devices/platform/soc/soc:firmware/get_throttled"
#define TEMP_PATH       "/sys/class/thermal/thermal_zone0/temp"
#define HWMON_MAX       16
#define MMC_MAX         4
#define COOL_BY_MC      5000 /* what was hot is so until it is cooler by this much */
#define WORN_PERCENT    90
#define WORN_RESERVES   2
#define FREE_MIN_BYTES  (UINT64_C(128) << 20) /* cursors are small, but logs and packages are not */
#define FREE_AGAIN(min) ((min) + (min) / 4)

const health_trouble_info health_troubles[HEALTH_TROUBLES] = {
#define HEALTH_TROUBLE(id, name, words, advice) { name, words, advice },
#include "board/health.def"
};

/* --- what the machine shows ------------------------------------------------------------------- */
static void look_at_hwmon(const plat_fs *fs, health_state *s)
{
    char path[64], name[16];
    long alarm;
    for (int i = 0; i < HWMON_MAX; i++) {
        snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%d/name", i);
        if (!sysfs_text(fs, path, name, sizeof name))
            return;
        if (strcmp(name, "rpi_volt") != 0)
            continue;
        snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%d/in0_lcrit_alarm", i);
        if (sysfs_number(fs, path, 10, &alarm)) {
            s->has_power = true;
            s->flags |= alarm ? HEALTH_UNDER_VOLTAGE : 0;
        }
        return;
    }
}

static void look_at_power(const plat_fs *fs, health_state *s)
{
    long flags;
    look_at_hwmon(fs, s);
    if (!sysfs_number(fs, THROTTLED_PATH, 16, &flags))
        return;
    s->has_power = s->has_throttling = true;
    s->flags |= (uint32_t)flags;
}

static void look_at_heat(const plat_fs *fs, health_state *s)
{
    long mc;
    s->has_temperature = sysfs_number(fs, TEMP_PATH, 10, &mc) && mc > -100000 && mc < 200000;
    s->temperature_mc = s->has_temperature ? (int32_t)mc : 0;
}

/* "0x02 0x01": the tenths of their lives that two types of memory are in; 0: not said. */
static bool read_wear(const plat_fs *fs, int device, unsigned *percent, unsigned *reserves)
{
    char path[64], text[32];
    unsigned a = 0, b = 0;
    long eol = 0;
    snprintf(path, sizeof path, "/sys/block/mmcblk%d/device/life_time", device);
    if (!sysfs_text(fs, path, text, sizeof text) || sscanf(text, "%x %x", &a, &b) != 2 ||
        a > 0xFF || b > 0xFF)
        return false;
    snprintf(path, sizeof path, "/sys/block/mmcblk%d/device/pre_eol_info", device);
    if (!sysfs_number(fs, path, 16, &eol) || eol < 0 || eol > 0xFF)
        eol = 0;
    *percent = 10 * (a > b ? a : b);
    *reserves = (unsigned)eol;
    return *percent > 0 || *reserves > 0;
}

static void look_at_wear(const plat_fs *fs, health_state *s)
{
    for (int i = 0; i < MMC_MAX; i++) {
        unsigned percent, reserves;
        if (!read_wear(fs, i, &percent, &reserves))
            continue;
        if (s->has_wear && (percent < s->wear_percent ||
                            (percent == s->wear_percent && reserves <= s->wear_reserves)))
            continue;
        s->has_wear = true;
        s->wear_percent = percent;
        s->wear_reserves = reserves;
        snprintf(s->wear_device, sizeof s->wear_device, "mmcblk%d", i);
    }
}

static health_state look(const health_config *c)
{
    gv_error err = { 0, "" };
    health_state s = { .clock_sync = plat_clock_sync(c->clock),
                       .clock_behind = plat_clock_is_behind(c->clock) };
    look_at_power(c->fs, &s);
    look_at_heat(c->fs, &s);
    look_at_wear(c->fs, &s);
    s.has_free = c->fs->free_bytes(c->fs->ctx, c->state_dir, &s.free_bytes, &err) == GV_OK;
    return s;
}

/* --- what of it is a trouble ------------------------------------------------------------------ */
static uint32_t power_troubles(const health_state *s)
{
    uint32_t t = 0;
    if (s->flags & HEALTH_UNDER_VOLTAGE)
        t |= 1u << HEALTH_TROUBLE_VOLTAGE;
    if (s->flags & HEALTH_WAS_UNDER_VOLTAGE)
        t |= 1u << HEALTH_TROUBLE_WAS_VOLTAGE;
    if (s->flags & (HEALTH_CAPPED | HEALTH_THROTTLED | HEALTH_SOFT_LIMIT))
        t |= 1u << HEALTH_TROUBLE_SLOWED;
    return t;
}

static uint32_t judge(const health *h, const health_state *s, uint64_t now_ms)
{
    const health_config *c = &h->config;
    uint32_t before = h->state.troubles, t = power_troubles(s);
    bool was_hot = before >> HEALTH_TROUBLE_HOT & 1u,
         was_full = before >> HEALTH_TROUBLE_NO_ROOM & 1u;
    int32_t hot_mc = c->hot_mc - (was_hot ? COOL_BY_MC : 0);
    uint64_t room = was_full ? FREE_AGAIN(c->free_min_bytes) : c->free_min_bytes;

    if (c->hot_mc && s->has_temperature && s->temperature_mc >= hot_mc)
        t |= 1u << HEALTH_TROUBLE_HOT;
    if (s->has_wear && (s->wear_percent > WORN_PERCENT || s->wear_reserves >= WORN_RESERVES))
        t |= 1u << HEALTH_TROUBLE_WORN;
    if (s->has_free && s->free_bytes < room)
        t |= 1u << HEALTH_TROUBLE_NO_ROOM;
    if (s->clock_sync == PLAT_SYNC_NO && now_ms - h->started_ms >= HEALTH_CLOCK_GRACE_MS)
        t |= 1u << HEALTH_TROUBLE_CLOCK;
    return t;
}

/* The figure behind a trouble; "" where the words say it all. */
static void figure(const health_state *s, health_trouble trouble, char *text, size_t cap)
{
    text[0] = '\0';
    if (trouble == HEALTH_TROUBLE_HOT)
        snprintf(text, cap, "%" PRId32 " degrees", s->temperature_mc / 1000);
    else if (trouble == HEALTH_TROUBLE_WORN)
        snprintf(text, cap, "%s, %u%% of its life", s->wear_device, s->wear_percent);
    else if (trouble == HEALTH_TROUBLE_NO_ROOM)
        snprintf(text, cap, "%" PRIu64 " MiB", s->free_bytes >> 20);
}

static void tell(const health_state *s, uint32_t before)
{
    for (unsigned i = 0; i < HEALTH_TROUBLES; i++) {
        bool is = s->troubles >> i & 1u, was = before >> i & 1u;
        char text[64];
        if (is == was)
            continue;
        figure(s, (health_trouble)i, text, sizeof text);
        if (is)
            GV_LOG(GV_LOG_WARN, gv_kmsg(health_troubles[i].words), gv_kstr("now", text),
                   gv_kstr("advice", health_troubles[i].advice));
        else
            GV_LOG(GV_LOG_INFO, gv_kmsg("over"), gv_kstr("trouble", health_troubles[i].name),
                   gv_kstr("now", text));
    }
}

health_config health_config_for(const char *profile, const plat_fs *fs, const plat_clock *clock,
                                const char *state_dir)
{
    const board_profile *p = profile ? board_find(profile) : NULL;
    return (health_config){ .fs = fs,
                            .clock = clock,
                            .state_dir = state_dir,
                            .hot_mc = p ? p->hot_c * 1000 : 0,
                            .free_min_bytes = FREE_MIN_BYTES };
}

void health_open(health *h, const health_config *config)
{
    uint64_t now_ms = plat_mono_ms(config->clock);
    *h = (health){ .config = *config, .started_ms = now_ms, .due_ms = now_ms };
    health_state s = look(config);
    s.troubles = judge(h, &s, now_ms);
    h->state = s;
}

uint64_t health_tick(health *h)
{
    uint64_t now_ms = plat_mono_ms(h->config.clock);
    if (now_ms < h->due_ms)
        return h->due_ms;
    health_state s = look(&h->config);
    s.troubles = judge(h, &s, now_ms);
    tell(&s, h->told);
    h->told = s.troubles;
    h->state = s;
    h->due_ms = now_ms + HEALTH_EACH_MS;
    return h->due_ms;
}

const health_state *health_look(const health *h)
{
    return &h->state;
}
