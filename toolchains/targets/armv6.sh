# Raspberry Pi 1, Zero and Zero W. What Debian calls armhf is ARMv7 and dies there with SIGILL, so the
# C library is armel's (ARMv5), and our code is for ARMv6 with its floating-point unit.
target_debian=armel
target_musl=arm-linux-musleabi
target_tools=arm-linux-gnueabi
target_cpu_flags="-march=armv6k+fp -mfpu=vfp -mfloat-abi=softfp -marm"
target_cflags="-Os"
target_triplet=arm-linux-gnueabi
target_processor=armv6l
target_openssl=linux-armv4
