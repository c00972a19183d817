# Toolchain of the static musl targets: the compiler that toolchains/build-deps put beside the
# libraries in GAVEL_DEPS.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GAVEL_DEPS)
set(CMAKE_SYSTEM_NAME Linux)
if(NOT EXISTS ${GAVEL_DEPS}/bin/cc)
    get_filename_component(target "${GAVEL_DEPS}" NAME)
    message(FATAL_ERROR "No compiler in ${GAVEL_DEPS}: run toolchains/build-deps ${target}")
endif()

set(CMAKE_C_COMPILER ${GAVEL_DEPS}/bin/cc)
execute_process(COMMAND ${CMAKE_C_COMPILER} -dumpmachine OUTPUT_VARIABLE machine)
string(REGEX REPLACE "-.*" "" CMAKE_SYSTEM_PROCESSOR "${machine}")
foreach(tool ar ranlib nm strip objdump readelf)
    string(TOUPPER ${tool} name)
    set(CMAKE_${name} ${GAVEL_DEPS}/bin/${tool} CACHE FILEPATH "")
endforeach()
set(CMAKE_C_COMPILER_AR ${CMAKE_AR} CACHE FILEPATH "") # for link-time optimisation
set(CMAKE_C_COMPILER_RANLIB ${CMAKE_RANLIB} CACHE FILEPATH "")

# Nothing of the machine that builds is looked at, except its programs.
set(CMAKE_FIND_ROOT_PATH ${GAVEL_DEPS})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
