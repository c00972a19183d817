/* The LED blinks during an outage, and is left as it was found. */
#include "board/led.h"
#include "tests/doubles/disk_double.h"
#include "tests/doubles/log_double.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ACT        "/sys/class/leds/ACT/"
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The disk double, but every write is noted: sysfs takes orders, it does not keep texts. */
typedef struct {
    disk_double *disk;
    plat_fs below;
    char path[PLAT_PATH_MAX]; /* opened last */
    char written[2048];       /* "trigger=timer " ... */
} led_world;

static led_world w;
static plat_fs fs;
static log_double said;

static gv_status note_open(void *ctx, const char *path, plat_open_mode mode, int *file,
                           gv_error *err)
{
    (void)ctx;
    snprintf(w.path, sizeof w.path, "%s", path);
    return w.below.open(w.below.ctx, path, mode, file, err);
}

static gv_status note_write(void *ctx, int file, uint64_t offset, const void *buf, size_t len,
                            gv_error *err)
{
    size_t used = strlen(w.written);
    (void)ctx, (void)file, (void)err;
    assert_int_equal(offset, 0);
    snprintf(w.written + used, sizeof w.written - used, "%s=%.*s ", strrchr(w.path, '/') + 1,
             (int)len, (const char *)buf);
    return GV_OK;
}

static int set_up(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.disk = disk_double_new(1 << 20);
    w.below = disk_double_table(w.disk);
    fs = w.below;
    fs.open = note_open;
    fs.write_at = note_write;
    log_double_open(&said);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(disk_double_open_files(w.disk), 0);
    disk_double_free(w.disk);
    log_double_close(&said);
    return 0;
}

static void put_led(const char *triggers, const char *brightness)
{
    disk_double_put(w.disk, ACT "trigger", triggers, strlen(triggers));
    disk_double_put(w.disk, ACT "brightness", brightness, strlen(brightness));
    disk_double_put(w.disk, ACT "delay_on", "500\n", 4);
    disk_double_put(w.disk, ACT "delay_off", "500\n", 4);
}

static void expect_written(const char *orders)
{
    assert_string_equal(w.written, orders);
    w.written[0] = '\0';
}

static void led_blinks_during_an_outage_and_is_then_as_it_was(void **state)
{
    led l;
    (void)state;
    put_led("none rc-feedback [mmc0] timer heartbeat\n", "0\n");
    led_open(&l, &fs, "ACT");
    led_alarm(&l, false);
    expect_written("");
    led_alarm(&l, true);
    led_alarm(&l, true);
    expect_written("trigger=timer delay_on=100 delay_off=900 ");
    led_alarm(&l, false);
    led_alarm(&l, false);
    expect_written("trigger=mmc0 ");
    led_alarm(&l, true);
    expect_written("trigger=timer delay_on=100 delay_off=900 ");
    led_close(&l);
    expect_written("trigger=mmc0 ");
    led_close(&l);
    expect_written("");
    assert_int_equal(log_double_count(&said, "level="), 0);
}

static void led_without_a_trigger_gets_its_brightness_back(void **state)
{
    led l;
    (void)state;
    put_led("[none] mmc0 timer\n", "255\n");
    led_open(&l, &fs, "ACT");
    led_alarm(&l, true);
    led_close(&l);
    expect_written("trigger=timer delay_on=100 delay_off=900 trigger=none brightness=255 ");
}

static void led_that_cannot_blink_shines(void **state)
{
    led l;
    (void)state;
    put_led("none [mmc0] timerish\n", "0\n");
    led_open(&l, &fs, "ACT");
    led_alarm(&l, true);
    led_close(&l);
    expect_written("trigger=none brightness=1 trigger=mmc0 ");
}

static void led_that_is_not_there_is_told_once(void **state)
{
    led l;
    (void)state;
    led_open(&l, &fs, "PWR");
    for (int i = 0; i < 10; i++)
        led_alarm(&l, i % 2 == 0);
    led_close(&l);
    expect_written("");
    assert_int_equal(log_double_count(&said, "the LED cannot be used"), 1);
    assert_int_equal(log_double_count(&said, "led=PWR"), 1);
    assert_int_equal(log_double_count(&said, "level="), 1);
}

static void without_a_name_nothing_is_touched(void **state)
{
    led l;
    unsigned before;
    (void)state;
    put_led("none [mmc0] timer\n", "0\n");
    before = w.disk->operations;
    led_open(&l, &fs, "");
    led_alarm(&l, true);
    led_close(&l);
    assert_int_equal(w.disk->operations, before);
    assert_int_equal(log_double_count(&said, "level="), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(led_blinks_during_an_outage_and_is_then_as_it_was),
        TEST(led_without_a_trigger_gets_its_brightness_back),
        TEST(led_that_cannot_blink_shines),
        TEST(led_that_is_not_there_is_told_once),
        TEST(without_a_name_nothing_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
