# cmake -DIN=page.html -DOUT=base -DSYMBOL=name -P page_policy.cmake: writes base.h, which holds the page's
# Content-Security-Policy: of scripts and styles only those in the page may be used, which is told by their
# SHA-256, and nothing may come from elsewhere. Used by gavel_page_policy() in gavel.cmake.
set(digits ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)

# 32 bytes, as hexadecimal digits, in base64: three bytes at a time make four digits; one is lacking.
function(base64_of OUT HEX)
    set(text "")
    foreach(at RANGE 0 60 6)
        string(SUBSTRING "${HEX}00" ${at} 6 group)
        math(EXPR bits "0x${group}")
        foreach(shift 18 12 6 0)
            math(EXPR digit "(${bits} >> ${shift}) & 63")
            string(SUBSTRING "${digits}" ${digit} 1 character)
            string(APPEND text "${character}")
        endforeach()
    endforeach()
    string(SUBSTRING "${text}" 0 43 text)
    set(${OUT} "${text}=" PARENT_SCOPE)
endfunction()

function(hash_inside OUT TAG)
    string(FIND "${page}" "<${TAG}>" start)
    string(FIND "${page}" "</${TAG}>" end)
    string(FIND "${page}" "<${TAG}" first)
    string(FIND "${page}" "<${TAG}" last REVERSE)
    if(start LESS 0 OR end LESS start OR NOT first EQUAL start OR NOT last EQUAL start)
        message(FATAL_ERROR "${IN}: expected one <${TAG}> without attributes")
    endif()
    string(LENGTH "<${TAG}>" skip)
    math(EXPR start "${start} + ${skip}")
    math(EXPR length "${end} - ${start}")
    string(SUBSTRING "${page}" ${start} ${length} inside)
    string(SHA256 hex "${inside}")
    base64_of(hash ${hex})
    set(${OUT} "'sha256-${hash}'" PARENT_SCOPE)
endfunction()

file(READ "${IN}" page)
hash_inside(style style)
hash_inside(script script)
file(WRITE "${OUT}.h" "/* Generated from the page. */
static const char ${SYMBOL}[] =
    \"default-src 'none'; style-src ${style}; \"
    \"script-src ${script}; img-src data:; \"
    \"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\";
")
