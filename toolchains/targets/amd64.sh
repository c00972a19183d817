# Any 64-bit PC or server, whatever its distribution.
target_debian=amd64
target_musl=x86_64-linux-musl
target_tools=x86_64-linux-gnu
target_cpu_flags=
target_cflags="-Os"
target_triplet=x86_64-linux-gnu
target_processor=x86_64
target_openssl=linux-x86_64
