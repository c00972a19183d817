/* What the board shows of itself, what of it is a trouble, and what is said of it, and how often. */
#include "board/health.h"
#include "tests/doubles/clock_double.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define THROTTLED  "/sys/devices/platform/soc/soc:firmware/get_throttled"
#define TEMP       "/sys/class/thermal/thermal_zone0/temp"
#define LIFE(n)    "/sys/block/mmcblk" #n "/device/life_time"
#define EOL(n)     "/sys/block/mmcblk" #n "/device/pre_eol_info"
#define HWMON(n)   "/sys/class/hwmon/hwmon" #n
#define STATE_FILE "/var/lib/gavel/registry.json"
#define STATE_DIR  "/var/lib/gavel"
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define HAS(name)  (health_look(&h)->troubles >> HEALTH_TROUBLE_##name & 1u)

static clock_double now;
static plat_clock the_clock;
static disk_double *disk;
static plat_fs fs;
static log_double said;
static health h;
static plat_sync sync_state;

static plat_sync test_sync(void *ctx)
{
    (void)ctx;
    return sync_state;
}

static int set_up(void **state)
{
    (void)state;
    now = (clock_double){ 1000, INT64_C(1700000000000) };
    the_clock = clock_double_table(&now);
    disk = disk_double_new(UINT64_C(64) << 20);
    fs = disk_double_table(disk);
    sync_state = PLAT_SYNC_YES;
    the_clock.sync = test_sync;
    log_double_open(&said);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(disk_double_open_files(disk), 0);
    disk_double_free(disk);
    log_double_close(&said);
    return 0;
}

static void show(const char *path, const char *text)
{
    disk_double_put(disk, path, text, strlen(text));
}

static void start(const char *profile)
{
    health_config config = health_config_for(profile, &fs, &the_clock, STATE_DIR);
    config.free_min_bytes = 0;
    health_open(&h, &config);
    health_tick(&h);
}

static void pass(uint64_t ms)
{
    clock_double_advance(&now, ms);
    health_tick(&h);
}

static unsigned lines(void)
{
    return log_double_count(&said, "level=");
}

static void machine_that_shows_nothing_has_no_troubles_and_no_lines(void **state)
{
    (void)state;
    sync_state = PLAT_SYNC_UNKNOWN;
    start("generic");
    for (int i = 0; i < 100; i++)
        pass(HEALTH_EACH_MS);
    const health_state *s = health_look(&h);
    assert_false(s->has_power || s->has_throttling || s->has_temperature || s->has_wear ||
                 s->has_free);
    assert_int_equal(s->troubles, 0);
    assert_int_equal(lines(), 0);
}

static void what_makes_no_sense_is_not_known(void **state)
{
    (void)state;
    show(THROTTLED, "no number\n");
    show(TEMP, "");
    show(LIFE(0), "0x01\n");
    show(HWMON(0) "/name", "rpi_volt\n");
    show(HWMON(0) "/in0_lcrit_alarm", "?\n");
    start("rpi4");
    const health_state *s = health_look(&h);
    assert_false(s->has_power || s->has_throttling || s->has_temperature || s->has_wear);
    show(TEMP, "999999999\n");
    show(LIFE(0), "0x00 0x00\n"); /* "not defined" */
    show(EOL(0), "0x00\n");
    pass(HEALTH_EACH_MS);
    assert_false(s->has_temperature || s->has_wear);
    assert_int_equal(lines(), 0);
}

static void under_voltage_is_told_once_with_what_to_do_and_when_it_is_over(void **state)
{
    (void)state;
    show(THROTTLED, "0\n");
    start("rpi3");
    assert_true(health_look(&h)->has_power && health_look(&h)->has_throttling);
    assert_int_equal(lines(), 0);
    show(THROTTLED, "50005\n"); /* now and since the start: under-voltage, throttled */
    pass(HEALTH_EACH_MS);
    assert_true(HAS(VOLTAGE) && HAS(WAS_VOLTAGE) && HAS(SLOWED));
    assert_int_equal(log_double_count(&said, "the board gets too little voltage"), 1);
    assert_int_equal(log_double_count(&said, "power supply and a short cable, and unplug"), 1);
    assert_int_equal(log_double_count(&said, "slowed itself down"), 1);
    for (int i = 0; i < 10; i++)
        pass(HEALTH_EACH_MS);
    assert_int_equal(lines(), 3);
    show(THROTTLED, "50000\n");
    pass(HEALTH_EACH_MS);
    assert_false(HAS(VOLTAGE) || HAS(SLOWED));
    assert_true(HAS(WAS_VOLTAGE));
    assert_int_equal(log_double_count(&said, "msg=over"), 2);
    assert_int_equal(log_double_count(&said, "trouble=under_voltage"), 1);
    assert_int_equal(lines(), 5);
}

static void trouble_that_was_there_at_the_start_is_told(void **state)
{
    (void)state;
    show(THROTTLED, "0x1\n");
    start("rpi3");
    assert_true(HAS(VOLTAGE));
    assert_int_equal(log_double_count(&said, "the board gets too little voltage"), 1);
}

/* Kernels without the firmware's file have the alarm of the hwmon driver, under any number. */
static void under_voltage_is_found_in_hwmon_too(void **state)
{
    (void)state;
    show(HWMON(0) "/name", "cpu_thermal\n");
    show(HWMON(1) "/name", "rpi_volt\n");
    show(HWMON(1) "/in0_lcrit_alarm", "0\n");
    start("rpi4");
    assert_true(health_look(&h)->has_power);
    assert_false(health_look(&h)->has_throttling);
    assert_int_equal(lines(), 0);
    show(HWMON(1) "/in0_lcrit_alarm", "1\n");
    pass(HEALTH_EACH_MS);
    assert_true(HAS(VOLTAGE));
    assert_false(HAS(SLOWED));
}

static void heat_is_told_once_until_it_is_cool_again(void **state)
{
    static const char *const rises[] = { "79999\n", "80000\n", "79000\n", "81000\n", "75000\n" };
    (void)state;
    start("rpi5");
    for (size_t i = 0; i < sizeof rises / sizeof rises[0]; i++) {
        show(TEMP, rises[i]);
        pass(HEALTH_EACH_MS);
        assert_int_equal(HAS(HOT), i > 0);
    }
    assert_int_equal(health_look(&h)->temperature_mc, 75000);
    assert_int_equal(log_double_count(&said, "now=\"80 degrees\""), 1);
    assert_int_equal(lines(), 1);
    show(TEMP, "74999\n");
    pass(HEALTH_EACH_MS);
    assert_false(HAS(HOT));
    assert_int_equal(lines(), 2);
    /* Other machines may be as hot as they like. */
    start("mainhost");
    show(TEMP, "95000\n");
    pass(HEALTH_EACH_MS);
    assert_int_equal(health_look(&h)->temperature_mc, 95000);
    assert_false(HAS(HOT));
    assert_int_equal(lines(), 2);
}

static void worn_flash_is_told_before_it_fails(void **state)
{
    static const struct {
        const char *life, *eol;
        unsigned percent;
        bool worn;
    } cases[] = {
        { "0x01 0x01\n", "0x01\n", 10, false }, { "0x09 0x02\n", "0x01\n", 90, false },
        { "0x02 0x0A\n", "0x01\n", 100, true }, { "0x0B 0x01\n", "0x01\n", 110, true },
        { "0x01 0x01\n", "0x02\n", 10, true },  { "0x00 0x00\n", "0x03\n", 0, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        show(LIFE(0), cases[i].life);
        show(EOL(0), cases[i].eol);
        start("rpi4");
        assert_true(health_look(&h)->has_wear);
        assert_int_equal(health_look(&h)->wear_percent, cases[i].percent);
        assert_int_equal(HAS(WORN), cases[i].worn);
    }
    assert_int_equal(log_double_count(&said, "nearly worn out"), 4);
    /* Of several, the most worn one counts. */
    show(LIFE(0), "0x02 0x01\n");
    show(EOL(0), "0x01\n");
    show(LIFE(2), "0x05 0x06\n");
    show(LIFE(3), "0x01 0x01\n");
    start("rpi4");
    assert_string_equal(health_look(&h)->wear_device, "mmcblk2");
    assert_int_equal(health_look(&h)->wear_percent, 60);
}

static void little_room_is_told_once_until_there_is_clearly_more(void **state)
{
    static char filler[60 << 20];
    (void)state;
    show(STATE_FILE, "{}");
    health_config config = health_config_for("rpi3", &fs, &the_clock, STATE_DIR);
    assert_true(config.free_min_bytes >= UINT64_C(64) << 20);
    config.free_min_bytes = 32u << 20;
    health_open(&h, &config);
    health_tick(&h);
    assert_true(health_look(&h)->has_free);
    assert_false(HAS(NO_ROOM));
    disk_double_put(disk, "/var/log/large", filler, 33u << 20);
    pass(HEALTH_EACH_MS);
    assert_true(HAS(NO_ROOM));
    disk_double_put(disk, "/var/log/large", filler,
                    30u << 20); /* a little more than 32 MiB again */
    pass(HEALTH_EACH_MS);
    assert_true(health_look(&h)->free_bytes > 32u << 20);
    assert_true(HAS(NO_ROOM));
    assert_int_equal(lines(), 1);
    disk_double_put(disk, "/var/log/large", filler, 1u << 20);
    pass(HEALTH_EACH_MS);
    assert_false(HAS(NO_ROOM));
    assert_int_equal(lines(), 2);
}

/* A board needs its minutes until a time server has answered. */
static void clock_that_nobody_sets_is_told_after_a_while(void **state)
{
    (void)state;
    sync_state = PLAT_SYNC_NO;
    now.wall_ms = 5000;
    plat_clock_raise_floor(&the_clock, INT64_C(1700000000000));
    start("rpi-zero");
    assert_true(health_look(&h)->clock_behind);
    for (uint64_t ms = HEALTH_EACH_MS; ms < HEALTH_CLOCK_GRACE_MS; ms += HEALTH_EACH_MS) {
        pass(HEALTH_EACH_MS);
        assert_false(HAS(CLOCK));
    }
    pass(HEALTH_EACH_MS);
    assert_true(HAS(CLOCK));
    assert_int_equal(log_double_count(&said, "no time server sets the clock"), 1);
    now.wall_ms = INT64_C(1800000000000);
    sync_state = PLAT_SYNC_YES;
    pass(HEALTH_EACH_MS);
    assert_false(HAS(CLOCK) || health_look(&h)->clock_behind);
    assert_int_equal(lines(), 2);
}

static void machine_is_looked_at_every_30_seconds_and_no_more(void **state)
{
    (void)state;
    start("rpi4");
    unsigned before = disk->operations;
    assert_int_equal(health_tick(&h), now.mono_ms + HEALTH_EACH_MS);
    pass(HEALTH_EACH_MS - 1);
    assert_int_equal(disk->operations, before);
    now.wall_ms = 0; /* a jump of the wall clock is no reason */
    pass(1);
    assert_true(disk->operations > before);
    assert_int_equal(HEALTH_EACH_MS, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(machine_that_shows_nothing_has_no_troubles_and_no_lines),
        TEST(what_makes_no_sense_is_not_known),
        TEST(under_voltage_is_told_once_with_what_to_do_and_when_it_is_over),
        TEST(trouble_that_was_there_at_the_start_is_told),
        TEST(under_voltage_is_found_in_hwmon_too),
        TEST(heat_is_told_once_until_it_is_cool_again),
        TEST(worn_flash_is_told_before_it_fails),
        TEST(little_room_is_told_once_until_there_is_clearly_more),
        TEST(clock_that_nobody_sets_is_told_after_a_while),
        TEST(machine_is_looked_at_every_30_seconds_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
