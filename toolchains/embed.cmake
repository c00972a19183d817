# cmake -DIN=file -DOUT=base -DSYMBOL=name -P embed.cmake: writes base.c and base.h, which hold the
# bytes of the file. Used by gavel_embed() in gavel.cmake.
file(READ "${IN}" hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," body "${hex}")
# CMake's regular expressions have no repeat counts: one byte is seven characters, sixteen make a line.
set(byte "'..[0-9a-f][0-9a-f]',")
string(REPEAT "${byte}" 14 line)
string(REGEX REPLACE "(${line})" "    \\1\n" body "${body}")
get_filename_component(header "${OUT}.h" NAME)

file(WRITE "${OUT}.h" "/* Generated from ${NAME}. */
#include <stddef.h>

/* A zero byte follows the content, so that text can be used as a string. */
extern const char ${SYMBOL}[];
extern const size_t ${SYMBOL}_bytes; /* without that zero */
")
file(WRITE "${OUT}.c" "/* Generated from ${NAME}. */
#include \"${header}\"

const size_t ${SYMBOL}_bytes = ${bytes};
const char ${SYMBOL}[] = {
${body}
    0
};
")
