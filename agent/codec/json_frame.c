#include "agent/codec/json_frame.h"

void json_frame_start(json_frame *f, uint8_t first)
{
    *f = (json_frame){ .scalar = first != '{' && first != '[' && first != '"' };
}

static size_t scan_scalar(gv_span bytes, bool *done)
{
    for (size_t i = 0; i < bytes.len; i++)
        switch (bytes.data[i]) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ',':
        case ':':
        case '"':
        case '[':
        case ']':
        case '{':
        case '}':
            *done = true;
            return i;
        default:
            break;
        }
    return bytes.len;
}

/* Passes the rest of a string, its closing quote included. */
static size_t scan_string(json_frame *f, gv_span bytes, size_t i)
{
    for (; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        if (f->escaped) {
            f->escaped = false;
        } else if (c == '\\') {
            f->escaped = true;
        } else if (c == '"') {
            f->in_string = false;
            return i + 1;
        }
    }
    return i;
}

size_t json_frame_scan(json_frame *f, gv_span bytes, bool *done)
{
    *done = false;
    if (f->scalar)
        return scan_scalar(bytes, done);
    for (size_t i = 0; i < bytes.len;) {
        if (f->in_string) {
            i = scan_string(f, bytes, i);
        } else {
            uint8_t c = bytes.data[i++];
            f->in_string = c == '"';
            f->depth += c == '{' || c == '[';
            f->depth -= c == '}' || c == ']';
        }
        if (f->depth == 0 && !f->in_string) {
            *done = true;
            return i;
        }
    }
    return bytes.len;
}
