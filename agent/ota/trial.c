#include "agent/ota/trial.h"

#include <assert.h>
#include <stdio.h>

static bool all_shown(const trial_signs *signs)
{
    for (int i = 0; i < TRIAL_SIGNS; i++)
        if (!signs->shown[i])
            return false;
    return true;
}

trial_decision trial_begin(const trial_record *record)
{
    if (record->stage != TRIAL_OF_UPDATE)
        return TRIAL_KEEP;
    return record->starts < TRIAL_STARTS_MAX ? TRIAL_START : TRIAL_BACK;
}

trial_decision trial_decide(const trial_record *record, const trial_signs *signs,
                            uint64_t elapsed_ms, uint64_t limit_ms)
{
    bool is_well = all_shown(signs), is_over = elapsed_ms >= limit_ms;
    switch (record->stage) {
    case TRIAL_OF_UPDATE:
        return is_well ? TRIAL_COMMIT : is_over ? TRIAL_BACK : TRIAL_KEEP;
    case TRIAL_OF_GOOD:
        if (is_well)
            return TRIAL_REFUSE;
        if (!is_over)
            return TRIAL_KEEP;
        return record->postponed < TRIAL_POSTPONED_MAX ? TRIAL_POSTPONE : TRIAL_REFUSE;
    case TRIAL_WAITING:
        return is_well ? TRIAL_RETRY : TRIAL_KEEP;
    }
    assert(false); /* a stage that there is not */
    return TRIAL_KEEP;
}

trial_record trial_after(const trial_record *record, trial_decision decision)
{
    trial_record next = *record;
    switch (decision) {
    case TRIAL_START:
        next.stage = TRIAL_OF_UPDATE;
        next.starts++;
        break;
    case TRIAL_BACK:
        next.stage = TRIAL_OF_GOOD;
        break;
    case TRIAL_POSTPONE:
        next.stage = TRIAL_WAITING;
        next.postponed++;
        break;
    case TRIAL_RETRY:
        next.stage = TRIAL_OF_UPDATE;
        next.starts = 0;
        break;
    case TRIAL_KEEP:
    case TRIAL_COMMIT:
    case TRIAL_REFUSE:
        break;
    }
    return next;
}

void trial_missing(const trial_signs *signs, char *text, size_t cap)
{
    static const char *const words[TRIAL_SIGNS] = { "the API gave no access token",
                                                    "the API answered no request for a snapshot",
                                                    "the broker did not answer",
                                                    "the schema registry did not answer",
                                                    "more memory was used than memory.budget_kib" };
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < TRIAL_SIGNS && len < cap; i++) {
        const char *why = signs->trouble[i];
        if (signs->shown[i])
            continue;
        int more = snprintf(text + len, cap - len, why[0] ? "%s%s (%s)" : "%s%s",
                            len > 0 ? "; " : "", words[i], why);
        len += more > 0 ? (size_t)more : 0;
    }
}
