/* reference.c - gavel_config_reference: writes the reference page to standard output. */
#include "agent/config/config.h"

int main(void)
{
    config_print_reference(stdout);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
