/* led.h - one of the board's LEDs blinks while something is wrong; else it does what it always did.
 *
 * Ownership: config pointers are borrowed until led_close().
 * Errors:    an LED that is not there or may not be written is logged once and then left alone.
 * Threads:   one owner.
 * Source:    kernel, Documentation/leds/leds-class.rst and Documentation/ABI/testing/
 *            sysfs-class-led-trigger-timer: the trigger that is in force stands in brackets; the timer
 *            trigger brings delay_on and delay_off (ms).
 */
#ifndef GAVEL_BOARD_LED_H
#define GAVEL_BOARD_LED_H

#include "platform/fs.h"

#define LED_NAME_MAX    64
#define LED_TRIGGER_MAX 64

typedef struct {
    const plat_fs *fs;
    char name[LED_NAME_MAX + 1]; /* "": none, or given up */
    bool alarm;
    char trigger[LED_TRIGGER_MAX]; /* what was in force before the alarm */
    char brightness[16];           /* the same; counts where no trigger was */
} led;

/* "" for none. */
void led_open(led *l, const plat_fs *fs, const char *name);

/* Blinks, or (false) is as it was before; nothing is written when that is so already. */
void led_alarm(led *l, bool on);

/* As it was before. */
void led_close(led *l);

#endif
