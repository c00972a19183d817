#include "tests/unit/config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void keep(void *ctx, bool warning, const char *text)
{
    config_case *c = ctx;
    size_t used = strlen(c->said);

    *(warning ? &c->warnings : &c->problems) += 1;
    snprintf(c->said + used, sizeof c->said - used, "%s\n", text);
}

static gv_status same_secret(void *ctx, const char *reference, char *value, size_t cap,
                             gv_error *err)
{
    config_case *c = ctx;

    (void)reference;
    (void)err;
    c->secrets_read++;
    assert_true(cap > sizeof SECRET_VALUE);
    memcpy(value, SECRET_VALUE, sizeof SECRET_VALUE);
    return GV_OK;
}

config_case *config_read_span(config_program program, const void *text, size_t len)
{
    config_case *c = calloc(1, sizeof *c);
    config_reader reader = { program, "gavel.json", NULL, keep, same_secret, c };

    assert_non_null(c);
    gv_arena_init(&c->arena, c->memory, sizeof c->memory);
    reader.arena = &c->arena;
    c->status = config_parse(&reader, gv_span_of(text, len), &c->config, &c->err);
    /* A failure always says something, and success has nothing to say. */
    assert_int_equal(c->status == GV_OK, c->problems == 0);
    assert_int_equal(c->status == GV_OK, c->err.text[0] == '\0');
    return c;
}

config_case *config_read(config_program program, const char *text)
{
    return config_read_span(program, text, strlen(text));
}

void config_done(config_case *c)
{
    free(c);
}

void expect_problem(config_program program, const char *text, const char *problem)
{
    config_case *c = config_read(program, text);
    char line[1200];

    snprintf(line, sizeof line, "%s\n", problem);
    assert_string_equal(c->said, line);
    assert_int_equal(c->problems, 1);
    config_done(c);
}

void expect_fine(config_program program, const char *text)
{
    config_case *c = config_read(program, text);

    assert_string_equal(c->said, "");
    config_done(c);
}

void config_wrap(char *out, size_t cap, const char *path, const char *value)
{
    const char *dot = strchr(path, '.');

    if (dot)
        snprintf(out, cap, "{\"%.*s\": {\"%s\": %s}}", (int)(dot - path), path, dot + 1, value);
    else
        snprintf(out, cap, "{\"%s\": %s}", path, value);
}

char *printed(const gv_config *config, config_program program, config_print_style style)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);

    assert_non_null(file);
    config_print(file, config, program, style);
    fclose(file);
    return text;
}

const char *agent_text(const char *more)
{
    static char text[4096];

    snprintf(text, sizeof text,
             "{\"sources\": [{\"region\": \"eu\", \"realms\": [604]}],"
             " \"api\": {\"client_id\": \"env:ID\", \"client_secret\": \"file:/key\"}%s}",
             more);
    return text;
}
