# How Gavel's parts are built. A room's CMakeLists.txt needs nothing but these:
#
#   gavel_library(codec SOURCES plan.c transcode.c LINKS platform)     -> target gavel_codec
#   gavel_program(gavel SOURCES gavel.c LINKS pipeline deps::curl)     -> build/<preset>/bin/gavel
#   gavel_test(plan SOURCES test_plan.c LINKS codec deps::avro [LABEL "unit;threads"])
#   gavel_fuzzer(codec SOURCES fuzz_codec.c LINKS codec)               seeds: tests/fuzz/seeds/codec
#   gavel_embed(gavel_main ${CMAKE_SOURCE_DIR}/schemas/x.avsc schema_x)  -> #include "schema_x.h"
#   gavel_page_policy(gavel_status page.html page_policy)               -> #include "page_policy.h"
#
# LINKS takes a Gavel library by its bare name, wherever and whenever it is defined, a deps::
# target (toolchains/deps.cmake), or anything else CMake links. Without GAVEL_HOST_PARTS, the rooms of
# the sink, and what links them, are left out where the libraries of its stores are not there (they are in
# the presets TARGET-sink).

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)

# Asserts stay in every build: a bug must stop the agent before it writes wrong data. CMake's own
# flags for these build types would switch them off.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -D_FORTIFY_SOURCE=2")

set(GAVEL_SANITIZE "" CACHE STRING "Sanitizers for our code, as -fsanitize takes them")
option(GAVEL_FUZZ "Build fuzzers with libFuzzer (clang); otherwise they replay their seeds" OFF)
if(GAVEL_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "GAVEL_FUZZ needs clang: use cmake --preset fuzz")
endif()

include(${CMAKE_CURRENT_LIST_DIR}/deps.cmake)

# --- version header --------------------------------------------------------------------------
function(gavel_git OUT DEFAULT)
    execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} ${ARGN} OUTPUT_VARIABLE text
        RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(failed OR text STREQUAL "")
        set(text "${DEFAULT}")
    endif()
    set(${OUT} "${text}" PARENT_SCOPE)
endfunction()

if(DEFINED ENV{SOURCE_DATE_EPOCH})
    set(GAVEL_BUILD_TIME_S "$ENV{SOURCE_DATE_EPOCH}")
else()
    gavel_git(GAVEL_BUILD_TIME_S 0 log -1 --format=%ct)
endif()
gavel_git(GAVEL_COMMIT unknown describe --always --dirty --exclude=*)
configure_file(${CMAKE_CURRENT_LIST_DIR}/gavel_version.h.in ${CMAKE_BINARY_DIR}/gavel_version.h @ONLY)

# --- flags of our own code ---------------------------------------------------------------------
add_library(gavel_flags INTERFACE)
target_include_directories(gavel_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
# One feature macro for the whole tree: the Linux port needs Linux calls, third-party headers POSIX types.
target_compile_definitions(gavel_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(gavel_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
    -ffunction-sections -fdata-sections -fno-omit-frame-pointer -fstack-protector-strong
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
target_link_options(gavel_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro,-z,now)
if(GAVEL_SANITIZE)
    target_compile_options(gavel_flags INTERFACE -fsanitize=${GAVEL_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(gavel_flags INTERFACE -fsanitize=${GAVEL_SANITIZE})
    # gcc instruments before it looks at conversions, and then no longer sees that a masked value
    # fits. The other presets look.
    if(CMAKE_C_COMPILER_ID STREQUAL GNU)
        target_compile_options(gavel_flags INTERFACE -Wno-conversion)
    endif()
endif()
if(GAVEL_FUZZ)
    target_compile_options(gavel_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_BUILD_TYPE STREQUAL Release)
    include(CheckIPOSupported)
    check_ipo_supported(RESULT CMAKE_INTERPROCEDURAL_OPTIMIZATION OUTPUT ignored LANGUAGES C)
    target_link_options(gavel_flags INTERFACE -s)
endif()

# --- what rooms call ---------------------------------------------------------------------------
macro(gavel_subdirectories)
    foreach(dir ${ARGN})
        if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
            add_subdirectory(${dir})
        endif()
    endforeach()
endmacro()

# Links TARGET to what LINKS names; the order in which directories are read does not matter.
function(gavel_link TARGET SCOPE)
    foreach(item ${ARGN})
        target_link_libraries(${TARGET} ${SCOPE} $<IF:$<TARGET_EXISTS:gavel_${item}>,gavel_${item},${item}>)
    endforeach()
endfunction()

# Rooms and libraries that are not there.
set(GAVEL_LEFT_OUT "")
if(NOT GAVEL_HOST_PARTS AND NOT TARGET deps::mongoc)
    list(APPEND GAVEL_LEFT_OUT sink store deps::mongoc deps::sqlite3)
endif()

# Also returns from the function that calls it when the target is left out.
macro(gavel_arguments)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;LINKS")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "${CMAKE_CURRENT_FUNCTION}(${ARGV}): expected NAME SOURCES files... LINKS libraries...")
    endif()
    foreach(item ${arg_LINKS})
        if(item IN_LIST GAVEL_LEFT_OUT)
            return()
        endif()
    endforeach()
endmacro()

# What every record passes through is built for speed. For 64-bit boards, whose program is the largest,
# the rest is built for size: it is most of the code and runs now and then. Not on 32 bits: gcc 12 then links
# texts at odd addresses, and reads them with instructions for even ones (test_status_history: SIGBUS).
set(GAVEL_FAST platform codec spool net_http net_kafka pipeline forward sink store)

function(gavel_small TARGET)
    if(CMAKE_CROSSCOMPILING AND CMAKE_BUILD_TYPE STREQUAL Release AND CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
        target_compile_options(${TARGET} PRIVATE -Os)
    endif()
endfunction()

function(gavel_library NAME)
    gavel_arguments()
    add_library(gavel_${NAME} STATIC ${arg_SOURCES})
    target_link_libraries(gavel_${NAME} PRIVATE gavel_flags)
    if(NOT NAME IN_LIST GAVEL_FAST)
        gavel_small(gavel_${NAME})
    endif()
    gavel_link(gavel_${NAME} PUBLIC ${arg_LINKS})
endfunction()

function(gavel_program NAME)
    gavel_arguments()
    add_executable(${NAME} ${arg_SOURCES})
    target_link_libraries(${NAME} PRIVATE gavel_flags)
    gavel_link(${NAME} PRIVATE ${arg_LINKS})
    set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    gavel_small(${NAME})
    if(CMAKE_CROSSCOMPILING) # what each library adds, for toolchains/size-report
        target_link_options(${NAME} PRIVATE -Wl,-Map=${CMAKE_BINARY_DIR}/bin/${NAME}.map)
    endif()
endfunction()

# Sanitizers stop at the first finding; a leak is one.
set(GAVEL_TEST_ENVIRONMENT
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0
    UBSAN_OPTIONS=print_stacktrace=1
    "TSAN_OPTIONS=halt_on_error=1:suppressions=${CMAKE_SOURCE_DIR}/toolchains/tsan.supp")

# The executable is test_NAME and runs in a scratch directory of its own.
function(gavel_test NAME)
    gavel_arguments()
    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    add_executable(test_${NAME} ${arg_SOURCES})
    target_link_libraries(test_${NAME} PRIVATE gavel_flags deps::cmocka)
    gavel_link(test_${NAME} PRIVATE ${arg_LINKS})
    target_compile_definitions(test_${NAME} PRIVATE GAVEL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    set(scratch ${CMAKE_BINARY_DIR}/scratch/${NAME})
    file(MAKE_DIRECTORY ${scratch})
    add_test(NAME ${NAME} COMMAND test_${NAME} WORKING_DIRECTORY ${scratch})
    set_tests_properties(${NAME} PROPERTIES LABELS "${arg_LABEL}" TIMEOUT 120
        ENVIRONMENT "${GAVEL_TEST_ENVIRONMENT}")
endfunction()

# SOURCES define LLVMFuzzerTestOneInput(). The ctest runs the seeds, whether libFuzzer is there or not.
function(gavel_fuzzer NAME)
    gavel_arguments()
    add_executable(fuzz_${NAME} ${arg_SOURCES})
    target_link_libraries(fuzz_${NAME} PRIVATE gavel_flags)
    gavel_link(fuzz_${NAME} PRIVATE ${arg_LINKS})
    set(seeds ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${NAME})
    if(NOT EXISTS ${seeds})
        set(seeds "")
    endif()
    if(GAVEL_FUZZ)
        target_link_options(fuzz_${NAME} PRIVATE -fsanitize=fuzzer)
        add_test(NAME fuzz_${NAME} COMMAND fuzz_${NAME} -runs=0 ${seeds})
    else()
        target_sources(fuzz_${NAME} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME fuzz_${NAME} COMMAND fuzz_${NAME} ${seeds})
    endif()
    set_tests_properties(fuzz_${NAME} PROPERTIES LABELS fuzz TIMEOUT 120
        ENVIRONMENT "${GAVEL_TEST_ENVIRONMENT}")
endfunction()

# Puts the bytes of FILE into TARGET as `const char SYMBOL[]` and `const size_t SYMBOL_bytes`.
function(gavel_embed TARGET FILE SYMBOL)
    if(NOT TARGET ${TARGET})
        return() # left out
    endif()
    get_filename_component(file ${FILE} ABSOLUTE)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${file})
    set(dir ${CMAKE_BINARY_DIR}/embed/${TARGET})
    set(script ${CMAKE_SOURCE_DIR}/toolchains/embed.cmake)
    add_custom_command(OUTPUT ${dir}/${SYMBOL}.c ${dir}/${SYMBOL}.h
        COMMAND ${CMAKE_COMMAND} -DIN=${file} -DNAME=${name} -DOUT=${dir}/${SYMBOL}
            -DSYMBOL=${SYMBOL} -P ${script}
        DEPENDS ${file} ${script} COMMENT "Embedding ${name}" VERBATIM)
    target_sources(${TARGET} PRIVATE ${dir}/${SYMBOL}.c ${dir}/${SYMBOL}.h)
    target_include_directories(${TARGET} PRIVATE ${dir})
endfunction()

# Gives TARGET a header SYMBOL.h with `SYMBOL[]`, the Content-Security-Policy that suits the page FILE.
function(gavel_page_policy TARGET FILE SYMBOL)
    set(dir ${CMAKE_BINARY_DIR}/embed/${TARGET})
    set(script ${CMAKE_SOURCE_DIR}/toolchains/page_policy.cmake)
    add_custom_command(OUTPUT ${dir}/${SYMBOL}.h
        COMMAND ${CMAKE_COMMAND} -DIN=${FILE} -DOUT=${dir}/${SYMBOL} -DSYMBOL=${SYMBOL} -P ${script}
        DEPENDS ${FILE} ${script} COMMENT "What the page may load" VERBATIM)
    target_sources(${TARGET} PRIVATE ${dir}/${SYMBOL}.h)
    target_include_directories(${TARGET} PRIVATE ${dir})
endfunction()
