/* fuzz_status.c - an answer that `gavel status` gets, of any bytes.
 *
 * Invariants: what is shown is whole lines of UTF-8 without control characters; a text that has no room
 * ends at a line; an answer that is not shown has words.
 */
#include "agent/codec/utf8.h"
#include "agent/status/status_text.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(gv_span text)
{
    CHECK(utf8_valid_prefix(text) == text.len);
    CHECK(text.len == 0 || text.data[text.len - 1] == '\n');
    for (size_t i = 0; i < text.len; i++) {
        CHECK((text.data[i] >= ' ' && text.data[i] != 0x7f) || text.data[i] == '\n');
        CHECK(!(text.data[i] == 0xc2 && text.data[i + 1] < 0xa0));
    }
}

static void show(gv_span json, size_t cap)
{
    static uint8_t room[1 << 20];
    gv_buf out = gv_buf_of(room, cap);
    status_state state = STATUS_OK;
    gv_error err = { 0, "" };
    if (status_text(json, false, &out, &state, &err) != GV_OK) {
        CHECK(err.text[0] && out.len == 0);
        return;
    }
    CHECK(status_state_name(state)[0]);
    check_text(gv_span_of(room, out.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    show(gv_span_of(data, size), 1 << 20);
    show(gv_span_of(data, size), 300);
    return 0;
}
