# The machine that builds, for the programs of the main host and for all tests.
target_cc=gcc
target_ar=ar
target_ranlib=ranlib
target_cflags="-O2 -g1 -fno-omit-frame-pointer"
target_triplet=                           # set for cross builds: what --host of a configure takes
target_processor=                         # set for cross builds: CMAKE_SYSTEM_PROCESSOR
case $(uname -m) in                       # OpenSSL's name of the target
x86_64) target_openssl=linux-x86_64 ;;
aarch64) target_openssl=linux-aarch64 ;;
armv*) target_openssl=linux-armv4 ;;
*) target_openssl=linux-generic32 ;;
esac
