/* config_help.h - reads configuration texts in a test and keeps everything that was said. */
#ifndef GAVEL_TESTS_CONFIG_HELP_H
#define GAVEL_TESTS_CONFIG_HELP_H

#include "agent/config/config.h"

#define SECRET_VALUE "hunter2-do-not-show"

typedef struct {
    gv_config config;
    gv_status status;
    gv_error err;
    char said[64 * 1024]; /* every problem and warning, one line each */
    int problems;
    int warnings;
    size_t secrets_read;
    char memory[CONFIG_ARENA_BYTES];
    gv_arena arena;
} config_case;

/* Reads `text` as gavel.json for `program`; every secret's value is SECRET_VALUE. */
config_case *config_read(config_program program, const char *text);
config_case *config_read_span(config_program program, const void *text, size_t len);
void config_done(config_case *c);

/* Reads and expects exactly one problem, whose whole text this is. */
void expect_problem(config_program program, const char *text, const char *problem);
/* Reads and expects no problem. */
void expect_fine(config_program program, const char *text);

/* The text in which members named a.b are wrapped: wrap("kafka.brokers", "5") = {"kafka":{...}}. */
void config_wrap(char *out, size_t cap, const char *path, const char *value);

/* What config_print() and others write; free() it. */
char *printed(const gv_config *config, config_program program, config_print_style style);

/* A complete configuration of the agent, with `more` ("" or ", \"x\": ...") at its end. */
const char *agent_text(const char *more);

#endif
