#include "agent/tools/bar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS    20u
#define DRAW_EACH_MS 200u

bar bar_open(bool beside_output)
{
    return (bar){ isatty(STDERR_FILENO) && !(beside_output && isatty(STDOUT_FILENO)), 0 };
}

bool bar_due(const bar *b, uint64_t now_ms)
{
    return b->shown && now_ms >= b->next_ms;
}

void bar_draw(bar *b, uint64_t done, uint64_t total, uint64_t now_ms, const char *text)
{
    char cells[BAR_CELLS + 1];

    if (!bar_due(b, now_ms))
        return;
    b->next_ms = now_ms + DRAW_EACH_MS;
    size_t filled = total == 0 || done >= total ? BAR_CELLS : (size_t)(done * BAR_CELLS / total);
    memset(cells, '#', filled);
    memset(cells + filled, '.', BAR_CELLS - filled);
    cells[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %s\033[K", cells, text);
}

void bar_clear(bar *b)
{
    if (b->shown && b->next_ms != 0)
        fputs("\r\033[K", stderr);
}
