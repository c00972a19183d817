# Third-party libraries as targets deps::NAME. The first group is built by toolchains/build-deps
# into GAVEL_DEPS, statically and with pinned versions; the second comes from the host's packages.

set(GAVEL_DEPS "${CMAKE_SOURCE_DIR}/build/deps/host" CACHE PATH "Prefix that toolchains/build-deps made")

# What was built, for gavel_version.h: some libraries cannot tell their version themselves.
set(GAVEL_DEP_VERSIONS "")
if(NOT EXISTS ${GAVEL_DEPS}/complete)
    get_filename_component(prefix "${GAVEL_DEPS}" NAME)
    message(FATAL_ERROR "No built libraries in ${GAVEL_DEPS}: run toolchains/build-deps ${prefix}")
endif()
file(STRINGS ${GAVEL_DEPS}/complete lines)
foreach(line ${lines})
    string(REPLACE " " ";" line ${line})
    list(GET line 0 name)
    list(GET line 1 version)
    string(MAKE_C_IDENTIFIER ${name} name)
    string(TOUPPER ${name} name)
    string(APPEND GAVEL_DEP_VERSIONS "#define GAVEL_DEP_${name} \"${version}\"\n")
endforeach()
set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${GAVEL_DEPS}/complete)

# gavel_dep(NAME archive[;archive] LINKS...): archives in link order.
function(gavel_dep NAME ARCHIVES)
    set(before "")
    foreach(archive ${ARCHIVES})
        add_library(deps::${archive} STATIC IMPORTED GLOBAL)
        set_target_properties(deps::${archive} PROPERTIES
            IMPORTED_LOCATION ${GAVEL_DEPS}/lib/lib${archive}.a)
        target_include_directories(deps::${archive} INTERFACE ${GAVEL_DEPS}/include)
        # Never export an archive's symbols from a program: the host's libmongoc would then use
        # half of our OpenSSL and half of its own.
        target_link_options(deps::${archive} INTERFACE -Wl,--exclude-libs,lib${archive}.a)
        if(before)
            target_link_libraries(deps::${before} INTERFACE deps::${archive})
        endif()
        set(before ${archive})
    endforeach()
    target_link_libraries(deps::${before} INTERFACE ${ARGN})
    list(GET ARCHIVES 0 first)
    if(NOT first STREQUAL NAME)
        add_library(deps::${NAME} ALIAS deps::${first})
    endif()
endfunction()

file(MAKE_DIRECTORY ${GAVEL_DEPS}/include) # CMake wants it to exist
gavel_dep(z z)
gavel_dep(lz4 lz4)
gavel_dep(cjson cjson)
gavel_dep(mbedtls "mbedtls;mbedx509;mbedcrypto" pthread)
gavel_dep(jansson jansson)
gavel_dep(avro avro deps::jansson)
gavel_dep(curl curl deps::mbedtls deps::z)
gavel_dep(microhttpd microhttpd pthread)
gavel_dep(cmocka cmocka)
# It knows glibc's ways of saying so, and elsewhere defines the type once more.
target_compile_definitions(deps::cmocka INTERFACE _UINTPTR_T_DEFINED)
# Without OpenSSL, librdkafka speaks neither TLS nor SCRAM.
set(kafka_tls "")
if(GAVEL_DEP_VERSIONS MATCHES GAVEL_DEP_OPENSSL)
    gavel_dep(openssl "ssl;crypto" pthread dl)
    set(kafka_tls deps::openssl)
endif()
gavel_dep(rdkafka rdkafka ${kafka_tls} deps::lz4 deps::cjson deps::z m pthread dl)

# The sink's stores; the host has its own.
if(GAVEL_DEP_VERSIONS MATCHES GAVEL_DEP_MONGO_C_DRIVER)
    gavel_dep(mongoc "mongoc;bson" deps::openssl deps::z pthread m)
    gavel_dep(sqlite3 sqlite3 pthread m)
endif()

if(GAVEL_HOST_PARTS)
    find_package(PkgConfig REQUIRED)
    foreach(pair mongoc=libmongoc-1.0 sqlite3=sqlite3)
        string(REPLACE "=" ";" pair ${pair})
        list(GET pair 0 name)
        list(GET pair 1 module)
        pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL ${module})
        if(NOT ${name}_FOUND)
            message(FATAL_ERROR "${module} is not installed: run toolchains/install-packages build"
                " (or configure with -DGAVEL_HOST_PARTS=OFF for the agent alone)")
        endif()
        add_library(deps::${name} ALIAS PkgConfig::${name})
    endforeach()
endif()
