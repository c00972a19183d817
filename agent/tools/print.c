#include "agent/tools/print.h"

#include <stdio.h>

gv_status print_put(void *file, const char *text, size_t len, gv_error *err)
{
    if (fwrite(text, 1, len, file) != len)
        return gv_fail(err, GV_IO, "the output cannot be written");
    return GV_OK;
}

void print_json_string(const char *text)
{
    avro_json_string(gv_span_str(text), print_put, stdout, NULL);
}
