/* words.c - what an option takes and what it is when nobody sets it, in words. */
#include "agent/config/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "7 days" for 604800000; "" when a larger unit says it no better. */
static void human_ms(int64_t ms, char *text, size_t cap)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {
        { 86400000, "day" }, { 3600000, "hour" }, { 60000, "minute" }, { 1000, "second" }
    };

    text[0] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0] && ms > 0; i++) {
        if (ms % units[i].ms == 0) {
            int64_t n = ms / units[i].ms;
            snprintf(text, cap, "%" PRId64 " %s%s", n, units[i].name, n == 1 ? "" : "s");
            return;
        }
    }
}

static void expected_text(const config_info *info, char *text, size_t cap)
{
    if (info->min > 0)
        snprintf(text, cap, "a text of %" PRId64 " to %" PRId64 " bytes", info->min, info->max);
    else
        snprintf(text, cap, "a text of up to %" PRId64 " bytes", info->max);
}

void config_expected(const config_info *info, char *text, size_t cap)
{
    char choices[128];

    switch (info->kind) {
    case CONFIG_KIND_BOOL:
        snprintf(text, cap, "true or false");
        break;
    case CONFIG_KIND_INT:
        snprintf(text, cap, "a whole number from %" PRId64 " to %" PRId64 "%s%s%s", info->min,
                 info->max, info->unit[0] ? " (" : "", info->unit, info->unit[0] ? ")" : "");
        break;
    case CONFIG_KIND_STRING:
        expected_text(info, text, cap);
        break;
    case CONFIG_KIND_SECRET:
        snprintf(text, cap,
                 "a reference to a secret: \"file:/path\", \"env:NAME\" or \"credential:NAME\"");
        break;
    case CONFIG_KIND_URI:
        snprintf(text, cap,
                 "an address without a password, or a reference to a secret: \"file:/path\", "
                 "\"env:NAME\" or \"credential:NAME\"");
        break;
    case CONFIG_KIND_LIST:
        snprintf(text, cap, "a list of %" PRId64 " to %" PRId64 " texts", info->min, info->max);
        break;
    case CONFIG_KIND_MAP:
        snprintf(text, cap, "an object with up to %" PRId64 " members", info->max);
        break;
    case CONFIG_KIND_ENUM:
        config_choices_list(info->def_text, choices, sizeof choices);
        snprintf(text, cap, "one of %s", choices);
        break;
    case CONFIG_KIND_IDS:
        snprintf(text, cap, "a list of connected realm ids, or \"all\"");
        break;
    case CONFIG_KIND_HOUSES:
        snprintf(text, cap, "a list of the houses 2, 6 and 7");
        break;
    }
}

void config_default(const config_info *info, char *text, size_t cap)
{
    const char *choice = "";
    char human[32];
    int index;

    switch (info->kind) {
    case CONFIG_KIND_BOOL:
        snprintf(text, cap, "%s", info->def_number ? "true" : "false");
        break;
    case CONFIG_KIND_INT:
        human_ms(strcmp(info->unit, "ms") == 0 ? info->def_number : 0, human, sizeof human);
        snprintf(text, cap, "%" PRId64 "%s%s%s", info->def_number, human[0] ? " (" : "", human,
                 human[0] ? ")" : "");
        break;
    case CONFIG_KIND_ENUM:
        index = config_choice_default(info->def_text);
        if (index < 0) {
            snprintf(text, cap, "none: it must be set");
        } else {
            int len = (int)config_choice(info->def_text, index, &choice);
            snprintf(text, cap, "%.*s", len, choice);
        }
        break;
    case CONFIG_KIND_HOUSES:
        snprintf(text, cap, "[2, 6, 7]");
        break;
    default:
        if (info->def_text[0] == '\0')
            snprintf(text, cap, "not set");
        else if (info->kind == CONFIG_KIND_LIST)
            snprintf(text, cap, "[\"%s\"]", info->def_text);
        else
            snprintf(text, cap, "\"%s\"", info->def_text);
        break;
    }
}
