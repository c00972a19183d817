/* double.h - starts a Python double of tests/doubles for a C test, and ends it.
 *
 * A double prints one line when it is ready, and ends when its standard input does: it cannot
 * outlive the test, however that ends.
 */
#ifndef GAVEL_TESTS_DOUBLE_H
#define GAVEL_TESTS_DOUBLE_H

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    pid_t pid;
    int input;      /* its standard input */
    char line[256]; /* what it printed */
} test_double;

/* `script` is relative to tests/doubles. */
static inline test_double double_start(const char *script, const char *argument)
{
    test_double d = { .pid = -1 };
    int in[2];
    int out[2];
    char path[512];
    snprintf(path, sizeof path, GAVEL_SOURCE_DIR "/tests/doubles/%s", script);
    if (pipe(in) != 0 || pipe(out) != 0)
        abort();
    d.pid = fork();
    if (d.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        execlp("python3", "python3", path, argument, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    d.input = in[1];
    FILE *f = fdopen(out[0], "r");
    if (!f || !fgets(d.line, sizeof d.line, f)) {
        fprintf(stderr, "%s did not start\n", path);
        exit(1);
    }
    fclose(f);
    return d;
}

/* The number that follows "NAME " in its line. */
static inline int double_port(const test_double *d, const char *name)
{
    char word[32];
    int port = 0;
    for (const char *p = d->line; p && sscanf(p, "%31s %d", word, &port) >= 1;
         p = strchr(p + 1, ' '))
        if (strcmp(word, name) == 0)
            return port;
    fprintf(stderr, "no %s in: %s", name, d->line);
    exit(1);
}

static inline void double_stop(test_double *d)
{
    if (d->pid <= 0)
        return;
    close(d->input);
    waitpid(d->pid, NULL, 0);
    d->pid = -1;
}

#endif
