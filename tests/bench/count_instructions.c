/* count_instructions.c - a plugin of qemu: the instructions that a user program executes, over all of its threads.
 *
 *   qemu-arm -plugin count_instructions.so,out=FILE PROGRAM...
 *
 * FILE gets one decimal number when the program ends. Kernel time is not in it. Debian's qemu has no header for
 * plugins, so what is used of version 1 of that interface is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define THREADS_MAX 256u
#define EXPORT      __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb; /* instructions that are executed one after the other */

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*seen)(plugin_id id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                          void (*executed)(unsigned thread, void *arg),
                                          int no_registers, void *arg);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id id, void *arg),
                                    void *arg);

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(plugin_id id, const void *about, int argc, char **argv);

int qemu_plugin_version = 1;

/* A counter a thread, on a cache line of its own: no two threads write to the same. */
static struct {
    _Alignas(64) uint64_t instructions;
} counts[THREADS_MAX];
static char out[4096];

static void on_executed(unsigned thread, void *arg)
{
    counts[thread % THREADS_MAX].instructions += (uintptr_t)arg;
}

static void on_seen(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_executed, 0,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

static void on_end(plugin_id id, void *arg)
{
    uint64_t sum = 0;
    FILE *file = fopen(out, "w");

    (void)id;
    (void)arg;
    for (size_t i = 0; i < THREADS_MAX; i++)
        sum += counts[i].instructions;
    if (!file || fprintf(file, "%" PRIu64 "\n", sum) < 0 || fclose(file) != 0)
        fprintf(stderr, "count_instructions: cannot write %s\n", out);
}

int qemu_plugin_install(plugin_id id, const void *about, int argc, char **argv)
{
    (void)about;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || strlen(argv[0]) - 4 >= sizeof out) {
        fprintf(stderr, "count_instructions: it takes out=FILE\n");
        return 1;
    }
    strcpy(out, argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_seen);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
