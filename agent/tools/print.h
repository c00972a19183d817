/* print.h - pieces of output that several tools print. */
#ifndef GAVEL_TOOLS_PRINT_H
#define GAVEL_TOOLS_PRINT_H

#include "agent/codec/avro_json.h"

/* For avro_json_write(): to a FILE. */
gv_status print_put(void *file, const char *text, size_t len, gv_error *err);

/* To stdout, with quotes. */
void print_json_string(const char *text);

#endif
