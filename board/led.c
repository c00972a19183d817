#include "board/led.h"

#include "board/sysfs.h"
#include "platform/log.h"

#include <stdio.h>
#include <string.h>

#define TRIGGERS_MAX 4096 /* a page, as much as the kernel shows */
#define ON_MS        "100"
#define OFF_MS       "900"
#define NO_TRIGGER   "none"

static void led_path(const led *l, const char *file, char path[PLAT_PATH_MAX])
{
    snprintf(path, PLAT_PATH_MAX, "/sys/class/leds/%s/%s", l->name, file);
}

/* False, and the end of all attempts, when it cannot be written. */
static bool put(led *l, const char *file, const char *text)
{
    char path[PLAT_PATH_MAX];
    gv_error err = { 0, "" };
    if (l->name[0] == '\0')
        return false;
    led_path(l, file, path);
    if (sysfs_write(l->fs, path, text, &err) == GV_OK)
        return true;
    GV_LOG(GV_LOG_WARN, gv_kmsg("the LED cannot be used and is left alone"),
           gv_kstr("led", l->name), gv_kstr("error", err.text),
           gv_kstr("advice", "check board.led (ls /sys/class/leds), and whether gavel's user may "
                             "write there"));
    l->name[0] = '\0';
    return false;
}

/* What the LED does now, so that it can be put back; and whether it could blink. */
static bool remember(led *l)
{
    char path[PLAT_PATH_MAX], triggers[TRIGGERS_MAX];
    bool timer = false;
    led_path(l, "trigger", path);
    if (!sysfs_text(l->fs, path, triggers, sizeof triggers))
        triggers[0] = '\0';
    snprintf(l->trigger, sizeof l->trigger, NO_TRIGGER);
    for (char *rest = triggers, *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        size_t len = strlen(word);
        timer |= strcmp(word, "timer") == 0 || strcmp(word, "[timer]") == 0;
        if (word[0] == '[' && word[len - 1] == ']' && len - 2 < sizeof l->trigger)
            snprintf(l->trigger, sizeof l->trigger, "%.*s", (int)(len - 2), word + 1);
    }
    led_path(l, "brightness", path);
    if (!sysfs_text(l->fs, path, l->brightness, sizeof l->brightness))
        l->brightness[0] = '\0';
    return timer;
}

void led_open(led *l, const plat_fs *fs, const char *name)
{
    *l = (led){ .fs = fs };
    snprintf(l->name, sizeof l->name, "%s", name);
}

/* Without the timer trigger it shines steadily: still another light than on a good day. */
static void begin(led *l)
{
    if (remember(l)) {
        if (put(l, "trigger", "timer") && put(l, "delay_on", ON_MS))
            put(l, "delay_off", OFF_MS);
    } else if (put(l, "trigger", NO_TRIGGER)) {
        put(l, "brightness", "1");
    }
}

static void restore(led *l)
{
    if (put(l, "trigger", l->trigger) && strcmp(l->trigger, NO_TRIGGER) == 0 && l->brightness[0])
        put(l, "brightness", l->brightness);
}

void led_alarm(led *l, bool on)
{
    if (l->name[0] == '\0' || l->alarm == on)
        return;
    l->alarm = on;
    if (on)
        begin(l);
    else
        restore(l);
}

void led_close(led *l)
{
    led_alarm(l, false);
}
