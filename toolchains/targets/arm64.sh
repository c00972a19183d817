# Raspberry Pi Zero 2 W, 3, 4 and 5 with a 64-bit system, and every other 64-bit ARM board.
target_debian=arm64                       # its name at Debian; set for static musl targets
target_musl=aarch64-linux-musl            # the triplet in Debian's musl-dev
target_tools=aarch64-linux-gnu            # prefix of the compiler's and binutils' names
target_cpu_flags=
target_cflags="-Os"
target_triplet=aarch64-linux-gnu
target_processor=aarch64
target_openssl=linux-aarch64
