/* bar.h - one line on a terminal that says how far something is; nothing where there is no terminal. */
#ifndef GAVEL_TOOLS_BAR_H
#define GAVEL_TOOLS_BAR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool shown;
    uint64_t next_ms;
} bar;

/* Shown when stderr is a terminal. `beside_output`: and stdout is none, since lines on stdout would be
 * torn apart by the bar. */
bar bar_open(bool beside_output);

/* Draws at most five times a second, on stderr; `text` follows the bar. */
void bar_draw(bar *b, uint64_t done, uint64_t total, uint64_t now_ms, const char *text);
bool bar_due(const bar *b, uint64_t now_ms); /* whether it would draw: the text need not be made */

/* Takes the line away, so that what is printed next starts on a clean one. */
void bar_clear(bar *b);

#endif
