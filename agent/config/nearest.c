/* nearest.c - the known key that a mistyped one probably was. */
#include "agent/config/internal.h"

#include <ctype.h>
#include <string.h>

#define KEY_MAX 64

/* Case and the kind of dash are slips, not differences. */
static size_t plain(const char *key, char out[KEY_MAX])
{
    size_t len = 0;

    for (; key[len] && len < KEY_MAX; len++) {
        unsigned char c = (unsigned char)key[len];
        out[len] = c == '-' ? '_' : (char)tolower(c);
    }
    return len;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edit distance; two neighbours swapped count as one edit. */
static size_t distance(const char *left, const char *right)
{
    char a[KEY_MAX], b[KEY_MAX];
    size_t a_len = plain(left, a), b_len = plain(right, b);
    size_t rows[3][KEY_MAX + 1] = { { 0 } };

    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(least(row[j - 1], above[j]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* Up to a third of the letters may be wrong. */
static size_t tolerance(const char *key)
{
    size_t len = strlen(key);
    return len < 3 ? 0 : (len + 2) / 3;
}

static void consider(const char *candidate, size_t cost, size_t limit, const char **best,
                     size_t *best_cost)
{
    if (candidate[0] && cost <= limit && cost < *best_cost) {
        *best = candidate;
        *best_cost = cost;
    }
}

const char *config_nearest(const char *path)
{
    const char *leaf = last_part(path), *best = NULL;
    size_t best_cost = SIZE_MAX;

    for (size_t i = 0; i < CONFIG_OPTIONS; i++) {
        const char *known = config_infos[i].path;
        consider(known, distance(path, known), tolerance(path), &best, &best_cost);
        /* The right name in the wrong group is a slip too. */
        consider(known, distance(leaf, last_part(known)) + 1, tolerance(leaf), &best, &best_cost);
    }
    if (leaf == path) {
        for (size_t i = 0; i < config_group_count; i++) {
            consider(config_groups[i].name, distance(path, config_groups[i].name), tolerance(path),
                     &best, &best_cost);
        }
        consider("sources", distance(path, "sources"), tolerance(path), &best, &best_cost);
    }
    return best;
}

const char *config_nearest_source(const char *name)
{
    const char *best = NULL;
    size_t best_cost = SIZE_MAX;

    for (size_t i = 0; i < config_source_info_count; i++) {
        const char *known = config_source_infos[i].path;
        consider(known, distance(name, known), tolerance(name), &best, &best_cost);
    }
    return best;
}
