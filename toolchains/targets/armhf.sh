# Raspberry Pi 2, 3, 4 with a 32-bit system, and other ARMv7 boards with a floating-point unit.
target_debian=armhf
target_musl=arm-linux-musleabihf
target_tools=arm-linux-gnueabihf
target_cpu_flags=
target_cflags="-Os"
target_triplet=arm-linux-gnueabihf
target_processor=armv7l
# Without OpenSSL's assembly: it has NEON, which not every ARMv7 has. It looks before it uses it, but
# nobody could tell that from an object that needs it (check-cpu).
target_openssl=linux-generic32
