/* health.h - how the machine is: power, heat, wear, room, clock. Said in the log when it changes.
 *
 * What a machine does not show is not known, and no trouble: nothing is logged about it.
 *
 * Units:     milliseconds (monotonic), bytes, thousandths of a degree Celsius.
 * Ownership: config pointers are borrowed as long as the health is used.
 * Memory:    none but the structure.
 * Threads:   one owner. Calls read a few files of /sys and /proc, which do not wait for a disk.
 * Sources:   Raspberry Pi documentation, "vcgencmd", get_throttled: bits 0 to 3 (now) and 16 to 19 (since
 *            the board started) of under-voltage, ARM frequency capped, throttled, soft temperature
 *            limit. The same number, as hexadecimal, is in the firmware driver's sysfs file
 *            get_throttled; it is only refreshed while the hwmon driver polls the firmware, and kernels
 *            warn once that it is deprecated, but only it tells more than under-voltage.
 *            Kernel, Documentation/hwmon/raspberrypi-hwmon.rst: in0_lcrit_alarm of "rpi_volt".
 *            Kernel, Documentation/driver-api/mmc/mmc-dev-attrs.rst, and JEDEC JESD84-B51 (eMMC 5.1),
 *            EXT_CSD 267 to 269: life_time, two types of memory, in steps of 10 % (0x0B: beyond it);
 *            pre_eol_info, reserve blocks: 1 normal, 2 80 % used, 3 90 % used. SD cards have neither.
 */
#ifndef GAVEL_BOARD_HEALTH_H
#define GAVEL_BOARD_HEALTH_H

#include "platform/clock.h"
#include "platform/fs.h"

#define HEALTH_EACH_MS 30000u
#define HEALTH_CLOCK_GRACE_MS                                                                      \
    300000u /* a clock that was not set so long after the start is a trouble */

typedef enum { /* in bit order of what is in force now */
               HEALTH_UNDER_VOLTAGE = 1u << 0,
               HEALTH_CAPPED = 1u << 1,
               HEALTH_THROTTLED = 1u << 2,
               HEALTH_SOFT_LIMIT = 1u << 3,
               HEALTH_WAS_UNDER_VOLTAGE = 1u << 16
} health_flag;

typedef enum {
#define HEALTH_TROUBLE(name, ...) HEALTH_TROUBLE_##name,
#include "board/health.def"
    HEALTH_TROUBLES
} health_trouble;

typedef struct {
    const char *name; /* for a status page: "under_voltage" */
    const char *words;
    const char *advice;
} health_trouble_info;

extern const health_trouble_info health_troubles[HEALTH_TROUBLES];

typedef struct {
    bool has_power; /* the machine tells of under-voltage */
    bool has_throttling;
    uint32_t flags; /* health_flag, of what is known */
    bool has_temperature;
    int32_t temperature_mc;
    bool has_wear;
    char wear_device[16];   /* the most worn one: "mmcblk0" */
    unsigned wear_percent;  /* of the life time, at most; more than 100: beyond it */
    unsigned wear_reserves; /* pre_eol_info; 0: not said */
    bool has_free;
    uint64_t free_bytes; /* for the state directory */
    plat_sync clock_sync;
    bool clock_behind; /* the wall clock is before the floor */
    uint32_t troubles; /* 1u << health_trouble */
} health_state;

typedef struct {
    const plat_fs *fs;
    const plat_clock *clock;
    const char *state_dir;
    int32_t hot_mc;          /* from here on it is too hot; 0: never */
    uint64_t free_min_bytes; /* less is too little room */
} health_config;

/* What suits the profile of that name; NULL is generic. */
health_config health_config_for(const char *profile, const plat_fs *fs, const plat_clock *clock,
                                const char *state_dir);

typedef struct {
    health_config config;
    health_state state;
    uint32_t told; /* of the troubles */
    uint64_t started_ms;
    uint64_t due_ms;
} health;

void health_open(health *h,
                 const health_config *config); /* looks for the first time, logs nothing */

/* Looks again when it is due, and logs what has begun or ended; returns the next deadline. */
uint64_t health_tick(health *h);

const health_state *health_look(const health *h);

#endif
