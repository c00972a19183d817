# How each library is built. Sourced by build-deps; one function per line of deps.lock, run in an
# empty work directory with set -e. It finds its unpacked source in $src, installs include/ and
# lib/*.a into $out and reaches what it depends on through $(built NAME). The target's parameters are
# in $cc $ar $ranlib $cflags $kafka_tls ... (targets/*.sh). The text of a function is part of its stamp: change
# one and it is rebuilt, with all that depend on it.

depends_curl="zlib mbedtls"
depends_avro_c="jansson"
depends_librdkafka="zlib lz4 openssl"
depends_mongo_c_driver="zlib openssl"

# Libraries of the sink's stores, for TARGET-sink. The host has its own.
only_sink="mongo-c-driver sqlite3"

# cmake_configure SOURCE ARGS...: looks nothing up on the machine unless told where it is.
cmake_configure() {
    local source=$1 cross=()
    shift
    if [ -n "$target_processor" ]; then
        cross=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$target_processor")
    fi
    cmake -G Ninja -S "$source" -B . -DCMAKE_BUILD_TYPE=None -DCMAKE_INSTALL_PREFIX="$out" \
        -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_AR="$(command -v "$ar")" -DCMAKE_RANLIB="$(command -v "$ranlib")" \
        -DCMAKE_C_FLAGS="$cflags" ${cross[@]+"${cross[@]}"} "$@"
}

build_zlib() {
    cp -a "$src/." .
    CC=$cc AR=$ar RANLIB=$ranlib CFLAGS=$cflags ./configure --static
    make -j"$jobs" libz.a
    cp libz.a "$out/lib"
    cp zlib.h zconf.h "$out/include"
}

build_lz4() {
    cp -a "$src/lib" "$src/Makefile.inc" .
    make -C lib -j"$jobs" liblz4.a CC="$cc" AR="$ar" CFLAGS="$cflags"
    cp lib/liblz4.a "$out/lib"
    cp lib/lz4.h lib/lz4hc.h lib/lz4frame.h "$out/include"
}

build_cjson() {
    $cc $cflags -c "$src/cJSON.c" -o cJSON.o
    $ar rcs "$out/lib/libcjson.a" cJSON.o
    mkdir "$out/include/cjson"
    cp "$src/cJSON.h" "$out/include/cjson"
}

# TLS client for libcurl, and ECDSA keys: generate, sign, verify, read and write as PEM.
build_mbedtls() {
    local option
    cp -a "$src/." .
    for option in THREADING_C THREADING_PTHREAD; do
        python3 scripts/config.py set MBEDTLS_$option
    done
    # A connection's buffers are most of its memory. Servers send records of up to 16 KiB; ours are small.
    python3 scripts/config.py set MBEDTLS_SSL_OUT_CONTENT_LEN 4096
    for option in ARIA_C CAMELLIA_C DEBUG_C DES_C DHM_C ECJPAKE_C LMS_C NIST_KW_C PKCS7_C \
        PSA_CRYPTO_STORAGE_C PSA_ITS_FILE_C RIPEMD160_C SELF_TEST \
        KEY_EXCHANGE_DHE_PSK_ENABLED KEY_EXCHANGE_DHE_RSA_ENABLED KEY_EXCHANGE_ECDHE_PSK_ENABLED \
        KEY_EXCHANGE_ECDH_ECDSA_ENABLED KEY_EXCHANGE_ECDH_RSA_ENABLED KEY_EXCHANGE_ECJPAKE_ENABLED \
        KEY_EXCHANGE_PSK_ENABLED KEY_EXCHANGE_RSA_ENABLED KEY_EXCHANGE_RSA_PSK_ENABLED \
        SSL_CACHE_C SSL_CONTEXT_SERIALIZATION SSL_COOKIE_C SSL_DTLS_ANTI_REPLAY \
        SSL_DTLS_CLIENT_PORT_REUSE SSL_DTLS_CONNECTION_ID SSL_DTLS_CONNECTION_ID_COMPAT \
        SSL_DTLS_HELLO_VERIFY SSL_PROTO_DTLS SSL_RENEGOTIATION SSL_SRV_C SSL_TICKET_C \
        SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_ENABLED \
        X509_CREATE_C X509_CRT_WRITE_C X509_CSR_PARSE_C X509_CSR_WRITE_C; do
        python3 scripts/config.py unset MBEDTLS_$option
    done
    make -C library -j"$jobs" static CC="$cc" AR="$ar" RL="$ranlib" CFLAGS="$cflags"
    cp library/libmbedtls.a library/libmbedx509.a library/libmbedcrypto.a "$out/lib"
    cp -r include/mbedtls include/psa "$out/include"
}

build_jansson() {
    cmake_configure "$src" -DJANSSON_BUILD_DOCS=OFF -DJANSSON_EXAMPLES=OFF -DJANSSON_WITHOUT_TESTS=ON
    ninja install
}

# No codecs: only tests read Avro container files through it, and those are not compressed. Its CMake files find libraries through
# pkg-config, which is shown nothing but jansson.
build_avro_c() {
    PKG_CONFIG_LIBDIR="$(built jansson)/lib/pkgconfig" cmake_configure "$src" -DTHREADSAFE=ON \
        -DPKG_CONFIG_ARGN=--define-prefix -DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON \
        -DCMAKE_DISABLE_FIND_PACKAGE_Snappy=ON
    ninja src/libavro.a
    cp src/libavro.a "$out/lib"
    cp -r "$src/src/avro.h" "$src/src/avro" "$out/include"
}

build_curl() {
    local z tls
    z=$(built zlib) tls=$(built mbedtls)
    # Verbose strings stay: without them every error text is "Error".
    cmake_configure "$src" -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DBUILD_LIBCURL_DOCS=OFF \
        -DBUILD_MISC_DOCS=OFF -DENABLE_CURL_MANUAL=OFF -DHTTP_ONLY=ON \
        -DCURL_USE_OPENSSL=OFF -DCURL_USE_MBEDTLS=ON -DMBEDTLS_INCLUDE_DIR="$tls/include" \
        -DMBEDTLS_LIBRARY="$tls/lib/libmbedtls.a" -DMBEDX509_LIBRARY="$tls/lib/libmbedx509.a" \
        -DMBEDCRYPTO_LIBRARY="$tls/lib/libmbedcrypto.a" \
        -DCURL_ZLIB=ON -DZLIB_INCLUDE_DIR="$z/include" -DZLIB_LIBRARY="$z/lib/libz.a" \
        -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF \
        -DCURL_USE_LIBSSH=OFF -DCURL_USE_GSSAPI=OFF -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF \
        -DCURL_USE_PKGCONFIG=OFF \
        -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_AWS=ON -DCURL_DISABLE_COOKIES=ON \
        -DCURL_DISABLE_DOH=ON -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_KERBEROS_AUTH=ON \
        -DCURL_DISABLE_NEGOTIATE_AUTH=ON -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_NTLM=ON \
        -DCURL_DISABLE_WEBSOCKETS=ON \
        -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt -DCURL_CA_PATH=none
    ninja install
}

# Only what librdkafka needs: TLS 1.2 and 1.3 client, PKCS#12 and PEM keys, HMAC for SCRAM.
# The machine's openssl.cnf is not read: it may name modules that a static build does not have.
build_openssl() {
    CC=$cc AR=$ar RANLIB=$ranlib CFLAGS=$cflags "$src/Configure" "$target_openssl" \
        --prefix=/usr --openssldir=/etc/ssl \
        no-shared no-module no-engine no-legacy no-apps no-tests no-docs no-autoload-config \
        no-comp no-dtls no-ssl3 no-tls1 no-tls1_1 no-srp no-srtp no-psk no-quic no-ct no-ocsp no-cms \
        no-ts no-cmp no-rfc3779 no-gost no-aria no-bf no-blake2 no-camellia no-cast no-dsa no-ec2m \
        no-idea no-md4 no-mdc2 no-ml-dsa no-ml-kem no-rc2 no-rc4 no-rmd160 no-scrypt no-seed no-siphash \
        no-siv no-slh-dsa no-sm2 no-sm3 no-sm4 no-whirlpool
    make -j"$jobs" build_libs
    cp libcrypto.a libssl.a "$out/lib"
    mkdir "$out/include/openssl"
    cp "$src"/include/openssl/*.h include/openssl/*.h "$out/include/openssl"
}

# Its own copy of LZ4 must not be used: --enable-static would silently choose it, and is not needed
# for librdkafka.a. Its own cJSON (older than ours, the same names) is taken out, so that there is
# one cJSON in a program and not whichever the linker meets first. An exported LIBS breaks configure.
build_librdkafka() {
    local dep include= lib= have="WITH_LZ4_EXT WITH_ZLIB" ssl=--disable-ssl
    [ -z "$kafka_tls" ] || ssl=--enable-ssl have+=" WITH_SSL WITH_SASL_SCRAM"
    for dep in ${depends[librdkafka]}; do
        include+=" -I$(built "$dep")/include" lib+=" -L$(built "$dep")/lib"
    done
    cp -a "$src/." .
    unset LIBS
    CC=$cc CXX=false AR=$ar RANLIB=$ranlib CFLAGS=$cflags CPPFLAGS=$include LDFLAGS=$lib \
        PKG_CONFIG_LIBDIR=/nonexistent ./configure ${target_triplet:+--host=$target_triplet} "$ssl" \
        --disable-gssapi --disable-curl --disable-zstd --disable-c11threads --disable-debug-symbols
    for have in $have; do
        grep -q "#define $have 1" config.h || { echo "librdkafka: configured without $have"; return 1; }
    done
    make -C src -j"$jobs" librdkafka.a
    "$ar" d src/librdkafka.a cJSON.o
    cp src/librdkafka.a "$out/lib"
    mkdir "$out/include/librdkafka"
    cp src/rdkafka.h src/rdkafka_mock.h "$out/include/librdkafka"
}

# The status page: plain HTTP on our own loop, without TLS, forms, passwords, cookies or upgrades. Its words
# for the log and for error pages stay out, ours are in net/http_server.c. Threads nobody starts: this
# release cannot be linked without them.
build_libmicrohttpd() {
    CC=$cc AR=$ar RANLIB=$ranlib CFLAGS=$cflags PKG_CONFIG=false "$src/configure" --prefix="$out" \
        ${target_triplet:+--host=$target_triplet} --disable-shared --enable-static --disable-doc \
        --disable-examples --disable-tools --disable-curl --disable-dependency-tracking \
        --with-threads=posix --enable-epoll --disable-poll --disable-https --disable-bauth \
        --disable-dauth --disable-cookie --disable-postprocessor --disable-httpupgrade \
        --disable-sendfile --disable-messages --enable-compact-code
    # It moves the buffer back to the end of the last header to save some room; where there is none it takes
    # the last argument of the question instead, and one without a value ends at 0: memory is overwritten.
    # make takes the file here before the one in $src.
    local wrong='if (MHD_BUF_INC_SIZE > c->read_buffer_size)'
    [ "$(grep -cF "$wrong" "$src/src/microhttpd/connection.c")" = 1 ] ||
        die "libmicrohttpd: the place to mend is not there: see whether it is mended already"
    sed "s/$wrong/if (0)/" "$src/src/microhttpd/connection.c" > src/microhttpd/connection.c
    make -C src/include -j"$jobs" install
    make -C src/microhttpd -j"$jobs" install
    rm -rf "$out"/lib/*.la "$out"/lib/pkgconfig
}

# For tests only.
build_cmocka() {
    cmake_configure "$src" -DUNIT_TESTING=OFF -DWITH_EXAMPLES=OFF
    ninja install
}

# With TLS, SCRAM, mongodb+srv:// and zlib. No SASL library, which is for Kerberos and LDAP; no OCSP, which
# our OpenSSL does not have. The archives alone: what else it makes is shared libraries. The compiler's
# path would get into the library.
build_mongo_c_driver() {
    local z tls option part
    z=$(built zlib) tls=$(built openssl)
    cmake_configure "$src" -DBUILD_VERSION="${version[mongo-c-driver]}" -DENABLE_STATIC=BUILD_ONLY \
        -DENABLE_TESTS=OFF -DENABLE_EXAMPLES=OFF -DENABLE_UNINSTALL=OFF -DENABLE_SRV=ON -DENABLE_SASL=OFF \
        -DENABLE_ICU=OFF -DENABLE_SNAPPY=OFF -DENABLE_ZSTD=OFF -DENABLE_SHM_COUNTERS=OFF \
        -DENABLE_MONGODB_AWS_AUTH=OFF -DENABLE_CLIENT_SIDE_ENCRYPTION=OFF -DENABLE_EXTRA_ALIGNMENT=OFF \
        -DENABLE_ZLIB=SYSTEM -DZLIB_INCLUDE_DIR="$z/include" -DZLIB_LIBRARY="$z/lib/libz.a" \
        -DENABLE_SSL=OPENSSL -DOPENSSL_INCLUDE_DIR="$tls/include" \
        -DOPENSSL_SSL_LIBRARY="$tls/lib/libssl.a" -DOPENSSL_CRYPTO_LIBRARY="$tls/lib/libcrypto.a"
    for option in SSL_OPENSSL CRYPTO_LIBCRYPTO COMPRESSION_ZLIB; do
        grep -q "#define MONGOC_ENABLE_$option 1" src/libmongoc/src/mongoc/mongoc-config.h ||
            { echo "mongo-c-driver: configured without $option"; return 1; }
    done
    sed -i 's/\(#define MONGOC_CC\) .*/\1 "cc"/' src/libmongoc/src/mongoc/mongoc-config.h
    ninja mongoc_static bson_static
    for part in bson mongoc; do
        cp "src/lib$part/lib$part-static-1.0.a" "$out/lib/lib$part.a"
        mkdir "$out/include/$part"
        cp "$src/src/lib$part/src/$part"/*.h "src/lib$part/src/$part"/*.h "$out/include/$part"
        rm "$out/include/$part"/*-private.h
    done
}

# One file of C is made of the sources, by programs of this machine, and that is built for the target.
# No extensions are loaded: a static program cannot.
build_sqlite3() {
    command -v tclsh > /dev/null || { echo "no tclsh: run toolchains/install-packages cross"; return 1; }
    "$src/configure" --disable-tcl --disable-readline
    make sqlite3.c sqlite3.h
    $cc $cflags -DHAVE_FDATASYNC=1 -DHAVE_USLEEP=1 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_DQS=0 \
        -c sqlite3.c -o sqlite3.o
    $ar rcs "$out/lib/libsqlite3.a" sqlite3.o
    cp sqlite3.h "$out/include"
}
